#ifndef LUNA_NET_PMD_DPDK_PORT_H_
#define LUNA_NET_PMD_DPDK_PORT_H_

// Port: one DPDK device, opened by its devargs, with one PacketIo per queue.
//
//   auto eal = Eal::Init({});
//   auto port = Port::Open(**eal, {.devargs = "net_memif0,role=client", .slabs = {&slab}});
//   (*port)->queue(0).ReceiveBurst(packets, now);
//
// Threads: Open and the destructor on one control thread while no queue runs. Queue i belongs to the owner thread of
// slabs[i]. Open itself fills receive rings, so the opening thread must own every slab then; afterwards each worker
// calls Slab::BindToCurrentThread() on its own. The destructor may run on any thread (objs go home through the return
// queue). Lifetime: Eal, slabs (and their arenas) > Port. Ports of a ring pair: close both before either one's slabs
// die. The PacketIos die with the port.

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "luna/mem/zbuf/slab.h"
#include "luna/net/pmd/dpdk/devargs.h"
#include "luna/net/pmd/dpdk/eal.h"
#include "luna/net/pmd/dpdk/queue.h"
#include "luna/net/pmd/dpdk/starter.h"
#include "luna/net/pmd/packet_io.h"
#include "luna/net/wire/address.h"

namespace luna::pmd::dpdk {

struct PortOptions {
  std::string devargs;             // see devargs.h
  std::vector<zbuf::Slab*> slabs;  // one per queue; not empty
  uint16_t rx_descriptors =
      1024;  // per queue; adjusted to what the device can do. net_memif: rounded up to a power of 2,
  uint16_t tx_descriptors = 1024;  // one ring size for both directions, unless rsize= is given
  uint32_t mtu = 1500;             // largest IP datagram, both ways. net_memif: sets bsize=, see README.md
  bool vlan = false;               // a NIC puts tags on and takes them off, if it can: for a VlanIo around it
  BufferMode mode = BufferMode::kAuto;
  absl::optional<wire::MacAddress>
      mac;  // ours; absent: the device's, or a random one where the device has none of its own
};

class Port {
 public:
  // InvalidArgument (devargs or options), NotFound (no such interface or PCI device), AlreadyExists (name open in this
  // process), PermissionDenied, ResourceExhausted (memory), Unavailable (the driver did not open the device). One line
  // each, which quotes the devargs.
  static absl::StatusOr<std::unique_ptr<Port>> Open(Eal& eal, const PortOptions& options);

  // Two ports joined by DPDK rings inside this process: what one sends the other receives, the very same objs, without
  // a copy. `devargs` of both options are ignored; the ports are called net_ring_NAMEa and net_ring_NAMEb. Both have as
  // many queues, options.slabs.size(); queue i talks to queue i. `ring_entries` is a power of 2; a ring holds one frame
  // less.
  static absl::StatusOr<std::pair<std::unique_ptr<Port>, std::unique_ptr<Port>>> OpenRingPair(
      Eal& eal, absl::string_view name, const PortOptions& a, const PortOptions& b, uint32_t ring_entries = 1024);

  // Stops and removes the device. Frames not yet received are lost; objs all go home. The name can be opened again.
  // (net_af_xdp of DPDK 22.11 leaves its socket on the interface's queue until the process ends: that queue cannot.)
  ~Port();
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;

  const std::string& name() const { return devargs_.name(); }
  size_t queue_count() const { return queues_.size(); }
  PacketIo& queue(size_t i) { return *queues_[i]; }
  // Of queue 0; the others differ in the name only.
  const Capabilities& capabilities() const { return queues_[0]->capabilities(); }
  BufferMode mode() const { return mode_; }

 private:
  struct DeviceFacts;  // what the device said of itself
  class RingPair;      // shared by the two ports of a pair

  Port(Eal& eal, const PortOptions& options, Devargs devargs);

  absl::Status CheckOptions() const;
  absl::Status ApplyDefaults();
  absl::Status Attach();
  absl::Status AttachFailed(int error) const;
  absl::Status Configure();
  absl::Status ReadFacts(DeviceFacts& facts) const;
  absl::Status SetUpQueues(const DeviceFacts& facts);
  absl::StatusOr<QueueConfig> MakeQueueConfig(const DeviceFacts& facts, size_t i);
  Capabilities MakeCapabilities(const DeviceFacts& facts, size_t i) const;
  wire::MacAddress ChooseMac() const;
  bool IsMemif() const;
  void SizeAfPacketSlots();
  Starter::Kind StarterKind() const;
  uint32_t MaxFrameBytes() const;
  absl::Status Failed(absl::string_view step, int error) const;

  Eal& eal_;
  const PortOptions options_;
  Devargs devargs_;
  const BufferMode mode_;
  std::shared_ptr<RingPair> rings_;  // of a pair, else null
  int ring_side_ = 0;
  int kernel_ifindex_ = 0;
  uint32_t least_receive_bytes_ = 0;  // that the driver wants in a receive obj, frames or not
  absl::optional<wire::MacAddress> own_mac_;
  bool has_memif_socket_ = false;
  bool attached_ = false;
  uint16_t id_ = 0;
  std::unique_ptr<Starter> starter_;
  std::vector<std::unique_ptr<Queue>> queues_;
};

}  // namespace luna::pmd::dpdk

#endif  // LUNA_NET_PMD_DPDK_PORT_H_
