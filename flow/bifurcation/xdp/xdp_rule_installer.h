#ifndef LUNA_FLOW_BIFURCATION_XDP_XDP_RULE_INSTALLER_H_
#define LUNA_FLOW_BIFURCATION_XDP_XDP_RULE_INSTALLER_H_

// XdpRuleInstaller: splits the traffic of one kernel interface by an XDP program. The plan's TCP goes to the AF_XDP
// sockets in its xskmap (net/pmd/xdp), the rest to the kernel, on the same interface and address.
//
// The program hangs on a bpf_link whose only holder is this process: when the process ends, in whatever way, the kernel
// detaches it, and the interface is as it was. A second Install replaces the program in one step.
//
// The interface is looked up in the network namespace of the thread that calls Open; later calls may come from any
// thread. Needs CAP_BPF and CAP_NET_ADMIN (or root), Linux 5.9.

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "luna/flow/bifurcation/port_plan.h"
#include "luna/flow/bifurcation/rule_installer.h"
#include "luna/flow/bifurcation/xdp/compiler.h"

namespace luna::bifurcation::xdp {

// Where in the kernel the program runs.
enum class AttachMode : uint8_t {
  kAuto,     // native, and generic when the driver cannot
  kNative,   // in the driver, before an skb exists
  kGeneric,  // on the skb, for any driver; slower
};

// "auto", "native", "generic".
std::string ToString(AttachMode mode);

struct XdpInstallerOptions {
  std::string interface;                // "eth1"
  AttachMode mode = AttachMode::kAuto;  //
  uint32_t queues = 64;                 // receive queues the xskmap has room for
  CompileOptions compile;               //
};

class XdpRuleInstaller : public RuleInstaller {
 public:
  // Creates the xskmap; attaches nothing yet. NotFound: no such interface. PermissionDenied: a capability is missing.
  // AlreadyExists: the interface has an XDP program of somebody else.
  static absl::StatusOr<std::unique_ptr<XdpRuleInstaller>> Open(const XdpInstallerOptions& options);
  ~XdpRuleInstaller() override;
  XdpRuleInstaller(const XdpRuleInstaller&) = delete;
  XdpRuleInstaller& operator=(const XdpRuleInstaller&) = delete;

  // Besides Open's errors: Unimplemented when neither the driver (kNative) nor, for kAuto, the kernel can; Internal,
  // with the end of the verifier's log, when the kernel refuses the program.
  absl::Status Install(const PortPlan& plan) override;
  absl::Status Remove() override;
  std::string name() const override;

  // The map that the program redirects to: key is the receive queue, value an AF_XDP socket. Valid as long as this
  // object.
  int xskmap_fd() const { return map_fd_; }
  int ifindex() const { return ifindex_; }
  bool installed() const { return link_fd_ >= 0; }
  // kNative or kGeneric while installed.
  AttachMode attached_mode() const { return attached_mode_; }
  // The kernel's id of the program in force, 0 without.
  uint32_t program_id() const { return program_id_; }

 private:
  XdpRuleInstaller(XdpInstallerOptions options, int ifindex, int map_fd);

  absl::Status Attach(int program_fd);
  absl::StatusOr<int> Link(int program_fd, AttachMode mode) const;

  const XdpInstallerOptions options_;
  const int ifindex_;
  const int map_fd_;
  int link_fd_ = -1;
  uint32_t program_id_ = 0;
  AttachMode attached_mode_ = AttachMode::kAuto;
};

// The id of the XDP program attached to the interface in the caller's network namespace; 0 when there is none.
absl::StatusOr<uint32_t> AttachedProgram(int ifindex);

}  // namespace luna::bifurcation::xdp

#endif  // LUNA_FLOW_BIFURCATION_XDP_XDP_RULE_INSTALLER_H_
