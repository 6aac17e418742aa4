#ifndef LUNA_APPS_RUNTIME_DEVICE_H_
#define LUNA_APPS_RUNTIME_DEVICE_H_

// Device: what --device names, opened, with whatever it needs beside it. The one place where the drivers meet.

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "luna/apps/runtime/options.h"
#include "luna/flow/bifurcation/port_plan.h"
#include "luna/mem/zbuf/zbuf.h"
#include "luna/net/pmd/packet_io.h"

namespace luna::apps {

class Device {
 public:
  virtual ~Device() = default;
  virtual pmd::PacketIo& io() = 0;
  // The kernel answers ARP for our addresses and owns routes and neighbours of the link (Flow Bifurcation). Otherwise
  // Luna does ARP of its own.
  virtual bool kernel_owns_control_plane() const { return false; }
  // Which TCP ports must reach us. Devices that are wholly ours need no rules.
  virtual absl::Status InstallRules(const bifurcation::PortPlan&) { return absl::OkStatus(); }
};

// Where zones of 2 MB come from, for this device and hugepage policy.
std::unique_ptr<zbuf::PageSource> MakePageSource(const RuntimeOptions& options);

// Opens options.device. Errors are one line that begins with --device and its value.
absl::StatusOr<std::unique_ptr<Device>> OpenDevice(const RuntimeOptions& options, zbuf::Arena& arena, zbuf::Slab& slab);

}  // namespace luna::apps

#endif  // LUNA_APPS_RUNTIME_DEVICE_H_
