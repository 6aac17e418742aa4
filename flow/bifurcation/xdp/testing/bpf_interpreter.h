#ifndef LUNA_FLOW_BIFURCATION_XDP_TESTING_BPF_INTERPRETER_H_
#define LUNA_FLOW_BIFURCATION_XDP_TESTING_BPF_INTERPRETER_H_

// Runs an XDP program in user space, without privileges: what the compiler emits can be tested on any machine.
//
// Stricter than a CPU: reading a register that was never written, reading outside the frame or the context, an unknown
// instruction, a helper other than bpf_redirect_map, a jump out of the program, or more than 100,000 steps is an error.
// Knows only the instructions that Assembler writes. It is no verifier: whether the kernel takes the program is tested
// as root.

#include <linux/bpf.h>

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace luna::bifurcation::xdp {

// The machine around the program.
struct BpfWorld {
  absl::Span<const uint8_t> frame;
  uint32_t rx_queue = 0;
  int xskmap_fd = -1;              // the only map there is
  uint32_t queue_with_socket = 0;  // the only key it holds
};

struct BpfVerdict {
  uint32_t action = XDP_ABORTED;  // XDP_PASS, XDP_REDIRECT, ...
  int steps = 0;                  // instructions executed
};

absl::StatusOr<BpfVerdict> RunXdp(absl::Span<const bpf_insn> program, const BpfWorld& world);

}  // namespace luna::bifurcation::xdp

#endif  // LUNA_FLOW_BIFURCATION_XDP_TESTING_BPF_INTERPRETER_H_
