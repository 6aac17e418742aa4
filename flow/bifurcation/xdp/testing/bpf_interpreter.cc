#include "luna/flow/bifurcation/xdp/testing/bpf_interpreter.h"

#include <array>
#include <cstddef>
#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace luna::bifurcation::xdp {
namespace {

// Fake addresses: the context's fields are 32 bits wide, so real ones would not fit.
constexpr uint64_t kContextAddress = 0x1000;
constexpr uint64_t kFrameAddress = 0x100000;
constexpr uint64_t kMapAddress = 0x7fff00000000;
constexpr int kMaxSteps = 100000;

class Machine {
 public:
  Machine(absl::Span<const bpf_insn> program, const BpfWorld& world) : program_(program), world_(world) {
    context_.data = kFrameAddress;
    context_.data_end = static_cast<uint32_t>(kFrameAddress + world.frame.size());
    context_.rx_queue_index = world.rx_queue;
    Write(1, kContextAddress);
    Write(10, 0xffff0000);
  }

  absl::StatusOr<BpfVerdict> Run() {
    for (int steps = 1; steps <= kMaxSteps; ++steps) {
      if (pc_ >= program_.size()) return Error("jump out of the program");
      const bpf_insn& insn = program_[pc_];
      if (insn.code == (BPF_JMP | BPF_EXIT)) {
        if (!Known(0)) return Error("r0 was never written");
        return BpfVerdict{static_cast<uint32_t>(registers_[0]), steps};
      }
      if (absl::Status status = Step(insn); !status.ok()) return status;
    }
    return Error("too many steps");
  }

 private:
  absl::Status Error(absl::string_view what) const {
    return absl::FailedPreconditionError(absl::StrCat("instruction ", pc_, ": ", what));
  }
  bool Known(int reg) const { return (written_ >> reg & 1) != 0; }
  void Write(int reg, uint64_t value) {
    registers_[reg] = value;
    written_ |= 1u << reg;
  }

  absl::Status Step(const bpf_insn& insn) {
    switch (BPF_CLASS(insn.code)) {
      case BPF_ALU64:
        return Arithmetic(insn);
      case BPF_ALU:
        return ByteSwap(insn);
      case BPF_LDX:
        return Load(insn);
      case BPF_LD:
        return LoadMap(insn);
      case BPF_JMP:
      case BPF_JMP32:
        return insn.code == (BPF_JMP | BPF_CALL) ? Call(insn) : Jump(insn);
      default:
        return Error("unknown class");
    }
  }

  // The second operand, or nothing when it is a register that was never written.
  bool Operand(const bpf_insn& insn, uint64_t* value) const {
    *value = static_cast<uint64_t>(static_cast<int64_t>(insn.imm));
    if (BPF_SRC(insn.code) == BPF_K) return true;
    *value = registers_[insn.src_reg];
    return Known(insn.src_reg);
  }

  absl::Status Arithmetic(const bpf_insn& insn) {
    uint64_t value;
    if (!Operand(insn, &value)) return Error("source register was never written");
    if (BPF_OP(insn.code) == BPF_MOV) {
      Write(insn.dst_reg, value);
      ++pc_;
      return absl::OkStatus();
    }
    if (!Known(insn.dst_reg)) return Error("target register was never written");
    uint64_t& target = registers_[insn.dst_reg];
    switch (BPF_OP(insn.code)) {
      case BPF_ADD:
        target += value;
        break;
      case BPF_AND:
        target &= value;
        break;
      case BPF_LSH:
        target <<= value & 63;
        break;
      case BPF_RSH:
        target >>= value & 63;
        break;
      default:
        return Error("unknown arithmetic");
    }
    ++pc_;
    return absl::OkStatus();
  }

  absl::Status ByteSwap(const bpf_insn& insn) {
    if (insn.code != (BPF_ALU | BPF_END | BPF_TO_BE)) return Error("unknown 32-bit arithmetic");
    if (!Known(insn.dst_reg)) return Error("target register was never written");
    const int bytes = insn.imm / 8;
    if (bytes != 2 && bytes != 4) return Error("unknown swap width");
    uint64_t swapped = 0;
    std::array<uint8_t, 8> memory;
    std::memcpy(memory.data(), &registers_[insn.dst_reg], 8);
    for (int i = 0; i < bytes; ++i) swapped = swapped << 8 | memory[i];
    Write(insn.dst_reg, swapped);
    ++pc_;
    return absl::OkStatus();
  }

  absl::Status Load(const bpf_insn& insn) {
    if (BPF_MODE(insn.code) != BPF_MEM) return Error("unknown load");
    if (!Known(insn.src_reg)) return Error("load by a register that was never written");
    const size_t bytes = BPF_SIZE(insn.code) == BPF_B ? 1 : BPF_SIZE(insn.code) == BPF_H ? 2 : 4;
    if (BPF_SIZE(insn.code) == BPF_DW) return Error("unknown load width");
    const uint64_t address = registers_[insn.src_reg] + static_cast<int64_t>(insn.off);
    const uint8_t* from = Memory(address, bytes);
    if (from == nullptr) return Error(absl::StrCat("read of ", bytes, " bytes outside memory at ", absl::Hex(address)));
    uint64_t value = 0;
    std::memcpy(&value, from, bytes);  // both this machine and the program are little-endian, or both are not
    Write(insn.dst_reg, value);
    ++pc_;
    return absl::OkStatus();
  }

  const uint8_t* Memory(uint64_t address, size_t bytes) const {
    if (address >= kFrameAddress && address + bytes <= kFrameAddress + world_.frame.size()) {
      return world_.frame.data() + (address - kFrameAddress);
    }
    if (address >= kContextAddress && address + bytes <= kContextAddress + sizeof(context_)) {
      return reinterpret_cast<const uint8_t*>(&context_) + (address - kContextAddress);
    }
    return nullptr;
  }

  absl::Status LoadMap(const bpf_insn& insn) {
    if (insn.code != (BPF_LD | BPF_IMM | BPF_DW) || insn.src_reg != BPF_PSEUDO_MAP_FD) return Error("unknown load");
    if (insn.imm != world_.xskmap_fd) return Error("not our map");
    Write(insn.dst_reg, kMapAddress);
    pc_ += 2;
    return absl::OkStatus();
  }

  absl::Status Call(const bpf_insn& insn) {
    if (insn.imm != BPF_FUNC_redirect_map) return Error("unknown helper");
    if (!Known(1) || !Known(2) || !Known(3)) return Error("argument was never written");
    if (registers_[1] != kMapAddress) return Error("first argument is not the map");
    const bool found = registers_[2] == world_.queue_with_socket;
    const uint64_t fallback = registers_[3];
    written_ &= ~0x3eu;  // r1-r5 do not survive
    Write(0, found ? uint64_t{XDP_REDIRECT} : fallback);
    ++pc_;
    return absl::OkStatus();
  }

  absl::Status Jump(const bpf_insn& insn) {
    const bool always = insn.code == (BPF_JMP | BPF_JA);
    uint64_t left = 0, right = 0;
    if (!always) {
      if (!Known(insn.dst_reg) || !Operand(insn, &right))
        return Error("compare with a register that was never written");
      left = registers_[insn.dst_reg];
      if (BPF_CLASS(insn.code) == BPF_JMP32) {
        left = static_cast<uint32_t>(left);
        right = static_cast<uint32_t>(right);
      }
    }
    bool taken = always;
    switch (BPF_OP(insn.code)) {
      case BPF_JA:
        break;
      case BPF_JEQ:
        taken = left == right;
        break;
      case BPF_JNE:
        taken = left != right;
        break;
      case BPF_JGT:
        taken = left > right;
        break;
      case BPF_JLT:
        taken = left < right;
        break;
      default:
        return Error("unknown jump");
    }
    pc_ += 1 + (taken ? static_cast<size_t>(static_cast<int64_t>(insn.off)) : 0);
    return absl::OkStatus();
  }

  absl::Span<const bpf_insn> program_;
  const BpfWorld& world_;
  xdp_md context_{};
  std::array<uint64_t, 16> registers_{};
  uint32_t written_ = 0;  // bit per register
  size_t pc_ = 0;
};

}  // namespace

absl::StatusOr<BpfVerdict> RunXdp(absl::Span<const bpf_insn> program, const BpfWorld& world) {
  return Machine(program, world).Run();
}

}  // namespace luna::bifurcation::xdp
