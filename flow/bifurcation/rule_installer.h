#ifndef LUNA_FLOW_BIFURCATION_RULE_INSTALLER_H_
#define LUNA_FLOW_BIFURCATION_RULE_INSTALLER_H_

// RuleInstaller: the seam between a PortPlan and whatever splits the traffic of one NIC: an XDP program
// (flow/bifurcation/xdp), a NIC's flow rules (flow/bifurcation/dpdk), or nothing at all (testing/fake_rule_installer).
//
// Control path only: set up and torn down with a device, never called per packet.
// Thread: one at a time, any. Ownership: an installer's destructor removes what it installed. Rules must not outlive
// the process either: after a crash the NIC is wholly the kernel's again.

#include <string>

#include "absl/status/status.h"
#include "luna/flow/bifurcation/port_plan.h"

namespace luna::bifurcation {

class RuleInstaller {
 public:
  virtual ~RuleInstaller() = default;

  // Makes `plan` the rules in force. Replaces an earlier plan without a gap in which Luna's traffic reaches the kernel
  // where the device can do so. On error the earlier state is kept, and the status says in one line what was refused
  // and the mend.
  virtual absl::Status Install(const PortPlan& plan) = 0;

  // Gives all traffic back to the kernel. OK when nothing is installed.
  virtual absl::Status Remove() = 0;

  // For messages: "xdp on eth1".
  virtual std::string name() const = 0;
};

}  // namespace luna::bifurcation

#endif  // LUNA_FLOW_BIFURCATION_RULE_INSTALLER_H_
