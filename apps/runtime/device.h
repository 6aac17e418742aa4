#ifndef LUNA_APPS_RUNTIME_DEVICE_H_
#define LUNA_APPS_RUNTIME_DEVICE_H_

// Device: what --device names, opened, with whatever it needs beside it. The one place where the drivers meet.
// Thread: the first worker's, for everything but InstallRules(). Lifetime: Platform > arena > slab > Device.

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
  // Which TCP ports must reach us. On a shared link the listening ones are taken from the kernel too, so that no
  // program of the kernel's is robbed of its traffic: AlreadyExists names the port that is taken. Devices that are
  // wholly ours need no rules. Any thread, one at a time, beside that of io().
  virtual absl::Status InstallRules(const bifurcation::PortPlan&) { return absl::OkStatus(); }
};

// What comes before a device and its memory: for DPDK devices EAL, and a source of pages that the device can reach.
class Platform {
 public:
  virtual ~Platform() = default;
  // Where Zbuf's zones come from. The platform outlives the arena.
  virtual zbuf::PageSource& pages() = 0;
  // Frames of options.device never leave the memory of this machine: see pmd::TrustedLinkIo.
  virtual bool device_is_memory() const { return false; }
  // Opens options.device. Errors are one line that begins with --device and its value.
  virtual absl::StatusOr<std::unique_ptr<Device>> OpenDevice(zbuf::Arena& arena, zbuf::Slab& slab) = 0;
};

// Chosen by options.device. Errors name --device (malformed devargs, EAL) or --huge.
absl::StatusOr<std::unique_ptr<Platform>> OpenPlatform(const RuntimeOptions& options);

}  // namespace luna::apps

#endif  // LUNA_APPS_RUNTIME_DEVICE_H_
