#include "luna/flow/bifurcation/xdp/assembler.h"

#include "gtest/gtest.h"

namespace luna::bifurcation::xdp {
namespace {

uint64_t Word(const bpf_insn& insn) {
  uint64_t word;
  static_assert(sizeof(insn) == sizeof(word));
  __builtin_memcpy(&word, &insn, sizeof(word));
  return word;
}

// The encodings by hand from RFC 9669: code, dst | src << 4, offset, immediate, little-endian.
constexpr uint64_t Encoded(uint8_t code, uint8_t dst, uint8_t src, int16_t offset, int32_t value) {
  return uint64_t{code} | uint64_t{dst} << 8 | uint64_t{src} << 12 | uint64_t{static_cast<uint16_t>(offset)} << 16 |
         uint64_t{static_cast<uint32_t>(value)} << 32;
}

TEST(Assembler, Encodings) {
  Assembler a;
  a.Move(Reg::kR6, Reg::kR1);
  a.Move(Reg::kR0, 2);
  a.Add(Reg::kR4, 14);
  a.Add(Reg::kR2, Reg::kR0);
  a.And(Reg::kR5, 0xf);
  a.ShiftLeft(Reg::kR5, 2);
  a.ShiftRight(Reg::kR5, 4);
  a.BigEndian16(Reg::kR7);
  a.BigEndian32(Reg::kR8);
  a.Load(Width::k8, Reg::kR0, Reg::kR2, 14);
  a.Load(Width::k16, Reg::kR0, Reg::kR2, -2);
  a.Load(Width::k32, Reg::kR3, Reg::kR6, 4);
  a.LoadMap(Reg::kR1, 5);
  a.Call(51);
  a.Exit();
  const uint64_t kWords[] = {
      Encoded(0xbf, 6, 1, 0, 0),  Encoded(0xb7, 0, 0, 0, 2),
      Encoded(0x07, 4, 0, 0, 14), Encoded(0x0f, 2, 0, 0, 0),
      Encoded(0x57, 5, 0, 0, 15), Encoded(0x67, 5, 0, 0, 2),
      Encoded(0x77, 5, 0, 0, 4),  Encoded(0xdc, 7, 0, 0, 16),
      Encoded(0xdc, 8, 0, 0, 32), Encoded(0x71, 0, 2, 14, 0),
      Encoded(0x69, 0, 2, -2, 0), Encoded(0x61, 3, 6, 4, 0),
      Encoded(0x18, 1, 1, 0, 5),  0,
      Encoded(0x85, 0, 0, 0, 51), Encoded(0x95, 0, 0, 0, 0),
  };
  const std::vector<bpf_insn> program = a.Finish();
  ASSERT_EQ(program.size(), std::size(kWords));
  for (size_t i = 0; i < program.size(); ++i) EXPECT_EQ(Word(program[i]), kWords[i]) << "slot " << i;
}

TEST(Assembler, JumpsCountFromTheNextSlot) {
  Assembler a;
  const Assembler::Label end = a.NewLabel(), next = a.NewLabel();
  a.If(Jump::kGreater, Reg::kR4, Reg::kR3, end);
  a.If(Jump::kEqual, Reg::kR5, 6, next);
  a.Bind(next);
  a.If32(Jump::kNotEqual, Reg::kR8, 0xc0a8fffe, end);
  a.LoadMap(Reg::kR1, 0);
  a.Goto(end);
  a.Bind(end);
  a.Exit();
  const std::vector<bpf_insn> program = a.Finish();
  EXPECT_EQ(Word(program[0]), Encoded(0x2d, 4, 3, 5, 0));
  EXPECT_EQ(Word(program[1]), Encoded(0x15, 5, 0, 0, 6));
  EXPECT_EQ(Word(program[2]), Encoded(0x56, 8, 0, 3, static_cast<int32_t>(0xc0a8fffe)));
  EXPECT_EQ(Word(program[5]), Encoded(0x05, 0, 0, 0, 0));
}

TEST(AssemblerDeathTest, AJumpToNowhere) {
  Assembler a;
  a.Goto(a.NewLabel());
  EXPECT_DEATH(a.Finish(), "a label that is nowhere");
}

TEST(AssemblerDeathTest, AJumpTooFar) {
  Assembler a;
  const Assembler::Label end = a.NewLabel();
  a.Goto(end);
  for (int i = 0; i < 32768; ++i) a.Move(Reg::kR0, 0);
  a.Bind(end);
  EXPECT_DEATH(a.Finish(), "a jump too far");
}

}  // namespace
}  // namespace luna::bifurcation::xdp
