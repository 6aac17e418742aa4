#ifndef LUNA_FLOW_BIFURCATION_XDP_COMPILER_H_
#define LUNA_FLOW_BIFURCATION_XDP_COMPILER_H_

// Compiles a PortPlan into an XDP program: the plan's TCP segments go to an AF_XDP socket, all else to the kernel.
//
// The program, for each frame: Ethernet (and, if asked, one VLAN tag), IPv4, not a fragment, TCP, then the rules one by
// one. A match calls bpf_redirect_map(xskmap, receive queue, XDP_PASS): a queue without a socket falls back to the
// kernel. Whatever does not parse or match is XDP_PASS. It never drops and never writes. Fragments go to the kernel
// whole, first ones too, for only it can put them together. Cost per frame: about 25 instructions and two to four per
// rule.
//
// Pure function: no system call, no privilege, any thread.

#include <linux/bpf.h>

#include <vector>

#include "absl/status/statusor.h"
#include "luna/flow/bifurcation/port_plan.h"

namespace luna::bifurcation::xdp {

struct CompileOptions {
  // Also match frames that carry one VLAN tag (802.1Q, any id). Off by default: a tagged frame belongs to the kernel's
  // VLAN interface. Only tags that are in the frame are seen, not those that the NIC strips.
  bool match_vlan_tagged = false;
};

// `xskmap_fd`: a BPF_MAP_TYPE_XSKMAP of the process that will load the program, keyed by receive queue.
// Unimplemented: a rule spreads over queues by source port (source_port_hash_bits), which one socket cannot do.
absl::StatusOr<std::vector<bpf_insn>> Compile(const PortPlan& plan, int xskmap_fd, const CompileOptions& options = {});

}  // namespace luna::bifurcation::xdp

#endif  // LUNA_FLOW_BIFURCATION_XDP_COMPILER_H_
