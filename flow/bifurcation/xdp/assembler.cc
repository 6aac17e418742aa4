#include "luna/flow/bifurcation/xdp/assembler.h"

#include <limits>
#include <utility>

#include "glog/logging.h"

namespace luna::bifurcation::xdp {
namespace {

constexpr uint8_t Code(unsigned bits) { return static_cast<uint8_t>(bits); }

}  // namespace

void Assembler::Emit(uint8_t code, Reg dst, Reg src, int16_t offset, int32_t value) {
  bpf_insn insn{};
  insn.code = code;
  insn.dst_reg = static_cast<uint8_t>(dst) & 0xf;
  insn.src_reg = static_cast<uint8_t>(src) & 0xf;
  insn.off = offset;
  insn.imm = value;
  program_.push_back(insn);
}

void Assembler::EmitJump(uint8_t code, Reg left, Reg right, int32_t value, Label target) {
  CHECK_GE(target.id, 0) << "a jump to no label";
  fixups_.push_back({program_.size(), target.id});
  Emit(code, left, right, 0, value);
}

Assembler::Label Assembler::NewLabel() {
  labels_.push_back(-1);
  return {static_cast<int>(labels_.size()) - 1};
}

void Assembler::Bind(Label label) {
  CHECK_GE(label.id, 0);
  CHECK_EQ(labels_[label.id], -1) << "a label is bound once";
  labels_[label.id] = static_cast<int64_t>(program_.size());
}

void Assembler::Move(Reg to, Reg from) { Emit(Code(BPF_ALU64 | BPF_MOV | BPF_X), to, from, 0, 0); }
void Assembler::Move(Reg to, int32_t value) { Emit(Code(BPF_ALU64 | BPF_MOV | BPF_K), to, Reg::kR0, 0, value); }
void Assembler::Add(Reg to, Reg from) { Emit(Code(BPF_ALU64 | BPF_ADD | BPF_X), to, from, 0, 0); }
void Assembler::Add(Reg to, int32_t value) { Emit(Code(BPF_ALU64 | BPF_ADD | BPF_K), to, Reg::kR0, 0, value); }
void Assembler::And(Reg to, int32_t value) { Emit(Code(BPF_ALU64 | BPF_AND | BPF_K), to, Reg::kR0, 0, value); }
void Assembler::ShiftLeft(Reg to, int32_t bits) { Emit(Code(BPF_ALU64 | BPF_LSH | BPF_K), to, Reg::kR0, 0, bits); }
void Assembler::ShiftRight(Reg to, int32_t bits) { Emit(Code(BPF_ALU64 | BPF_RSH | BPF_K), to, Reg::kR0, 0, bits); }
void Assembler::BigEndian16(Reg reg) { Emit(Code(BPF_ALU | BPF_END | BPF_TO_BE), reg, Reg::kR0, 0, 16); }
void Assembler::BigEndian32(Reg reg) { Emit(Code(BPF_ALU | BPF_END | BPF_TO_BE), reg, Reg::kR0, 0, 32); }

void Assembler::Load(Width width, Reg to, Reg base, int16_t offset) {
  Emit(Code(BPF_LDX | BPF_MEM | static_cast<unsigned>(width)), to, base, offset, 0);
}

void Assembler::LoadMap(Reg to, int map_fd) {
  Emit(Code(BPF_LD | BPF_IMM | BPF_DW), to, static_cast<Reg>(BPF_PSEUDO_MAP_FD), 0, map_fd);
  Emit(0, Reg::kR0, Reg::kR0, 0, 0);
}

void Assembler::If(Jump jump, Reg left, Reg right, Label target) {
  EmitJump(Code(BPF_JMP | static_cast<unsigned>(jump) | BPF_X), left, right, 0, target);
}

void Assembler::If(Jump jump, Reg left, int32_t value, Label target) {
  EmitJump(Code(BPF_JMP | static_cast<unsigned>(jump) | BPF_K), left, Reg::kR0, value, target);
}

void Assembler::If32(Jump jump, Reg left, uint32_t value, Label target) {
  EmitJump(Code(BPF_JMP32 | static_cast<unsigned>(jump) | BPF_K), left, Reg::kR0, static_cast<int32_t>(value), target);
}

void Assembler::Goto(Label target) { EmitJump(Code(BPF_JMP | BPF_JA), Reg::kR0, Reg::kR0, 0, target); }

void Assembler::Call(int32_t helper) { Emit(Code(BPF_JMP | BPF_CALL), Reg::kR0, Reg::kR0, 0, helper); }
void Assembler::Exit() { Emit(Code(BPF_JMP | BPF_EXIT), Reg::kR0, Reg::kR0, 0, 0); }

std::vector<bpf_insn> Assembler::Finish() {
  for (const Fixup& fixup : fixups_) {
    CHECK_NE(labels_[fixup.label], -1) << "a jump to a label that is nowhere";
    const int64_t distance = labels_[fixup.label] - static_cast<int64_t>(fixup.at) - 1;
    CHECK_LE(distance, std::numeric_limits<int16_t>::max()) << "a jump too far";
    CHECK_GE(distance, std::numeric_limits<int16_t>::min()) << "a jump too far";
    program_[fixup.at].off = static_cast<int16_t>(distance);
  }
  labels_.clear();
  fixups_.clear();
  return std::exchange(program_, {});
}

}  // namespace luna::bifurcation::xdp
