#ifndef LUNA_FLOW_BIFURCATION_XDP_ASSEMBLER_H_
#define LUNA_FLOW_BIFURCATION_XDP_ASSEMBLER_H_

// Assembler: writes eBPF instructions one by one, with labels for forward jumps. Just the instructions that the
// compiler needs; the instruction set is RFC 9669.
//
// Thread: one. Errors are the programmer's: CHECK.

#include <linux/bpf.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace luna::bifurcation::xdp {

// The eleven registers. r0 is a result, r1-r5 are arguments (lost in a call), r6-r9 survive calls.
enum class Reg : uint8_t { kR0, kR1, kR2, kR3, kR4, kR5, kR6, kR7, kR8, kR9, kR10 };

// Width of a load, in the encoding of the instruction.
enum class Width : uint8_t { k8 = BPF_B, k16 = BPF_H, k32 = BPF_W };

// Comparisons of jumps, unsigned.
enum class Jump : uint8_t { kEqual = BPF_JEQ, kNotEqual = BPF_JNE, kGreater = BPF_JGT, kLess = BPF_JLT };

class Assembler {
 public:
  // A place in the program that jumps may name before it is known. Made by NewLabel, put in place once by Bind.
  struct Label {
    int id = -1;
  };

  Label NewLabel();
  void Bind(Label label);

  void Move(Reg to, Reg from);
  void Move(Reg to, int32_t value);       // sign-extended to 64 bits
  void Add(Reg to, Reg from);             // 64-bit
  void Add(Reg to, int32_t value);        // 64-bit, value sign-extended
  void And(Reg to, int32_t value);        // 64-bit, value sign-extended
  void ShiftLeft(Reg to, int32_t bits);   // 64-bit
  void ShiftRight(Reg to, int32_t bits);  // 64-bit, logical
  // Reads the low 16 or 32 bits of `reg` as big-endian; the bits above become 0.
  void BigEndian16(Reg reg);
  void BigEndian32(Reg reg);
  // to = zero-extended *(width*)(base + offset)
  void Load(Width width, Reg to, Reg base, int16_t offset);
  // to = the map behind a file descriptor of the loading process. Two slots.
  void LoadMap(Reg to, int map_fd);

  // 64-bit compares; the value is sign-extended.
  void If(Jump jump, Reg left, Reg right, Label target);
  void If(Jump jump, Reg left, int32_t value, Label target);
  // Compares the low 32 bits only, so that any 32-bit number can be an immediate. Linux 5.1.
  void If32(Jump jump, Reg left, uint32_t value, Label target);
  void Goto(Label target);

  void Call(int32_t helper);
  void Exit();

  // Fills in the jumps and gives the program away. CHECK: every label used is bound, every jump reaches (2^15 slots).
  std::vector<bpf_insn> Finish();

 private:
  struct Fixup {
    size_t at;  // slot of the jump
    int label;
  };

  void Emit(uint8_t code, Reg dst, Reg src, int16_t offset, int32_t value);
  void EmitJump(uint8_t code, Reg left, Reg right, int32_t value, Label target);

  std::vector<bpf_insn> program_;
  std::vector<int64_t> labels_;  // slot by id; -1 while unbound
  std::vector<Fixup> fixups_;
};

}  // namespace luna::bifurcation::xdp

#endif  // LUNA_FLOW_BIFURCATION_XDP_ASSEMBLER_H_
