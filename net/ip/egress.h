#ifndef LUNA_NET_IP_EGRESS_H_
#define LUNA_NET_IP_EGRESS_H_

// Egress: datagrams in, frames out. Finds the route and the neighbour, finishes the transport checksum, and prepends
// the IPv4 and Ethernet headers into the headroom of the datagram's first obj.
//
// Neighbours are looked for in this order: static entries; the kernel's table (when `kernel_neighbours` is given: links
// that the kernel has too, and resolves on); our own Arp (when `arp` is given). While a neighbour is being resolved its
// frames wait, in Arp or here. With the kernel's table, whoever owns the control plane takes TakeUnresolved() after
// each iteration and has the kernel resolve those (netlink::KernelMirror::RequestResolve); the answer comes as a new
// snapshot.
//
// Dropped and counted:
//   kNoRoute              no route; or the destination is not a host's address: unspecified, loopback, multicast,
//   broadcast; or
//                         it is one of our own. Luna does not loop back: a process that wants to talk to itself uses
//                         the kernel's loopback. SelectSource tells so before a connection is attempted.
//   kIpPacketTooBig       larger than the route's or the device's MTU. Egress does not fragment.
//   kNeighbourUnresolved  nobody answered for the next hop.
//   kNeighbourQueueFull   too many frames wait for it; the oldest goes.
//   kTxError              the first slice has no headroom left: a mistake of the layer above.
//
// Hot path: where a destination's frames go is remembered in a small direct-mapped cache, so a packet costs one
// compare, one checksum and 34 bytes of headers. The cache is dropped whenever a snapshot or an ARP entry changes.
// Thread: the worker's. Time is an argument.

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/types/optional.h"
#include "luna/ctrl/stats/drop_counters.h"
#include "luna/ctrl/stats/drop_reason.h"
#include "luna/net/ip/arp.h"
#include "luna/net/ip/datagram.h"
#include "luna/net/ip/neighbour_table.h"
#include "luna/net/ip/pending_frames.h"
#include "luna/net/ip/route_table.h"
#include "luna/net/ip/snapshot.h"
#include "luna/net/pmd/packet_io.h"
#include "luna/net/wire/address.h"
#include "luna/net/wire/ethernet.h"
#include "luna/sched/clock/time.h"

namespace luna::ip {

struct EgressConfig {
  pmd::Capabilities capabilities;           // of the device: MAC, MTU, checksum offloads
  std::vector<wire::Ipv4Prefix> addresses;  // ours on that link
  NeighbourTable static_neighbours;
  // For neighbours that the kernel resolves:
  size_t max_pending = 256;                         // frames that wait for one
  size_t max_pending_total = 4096;                  // frames that wait for any
  Duration resolve_timeout = Duration::Seconds(3);  // then they are dropped
  Duration ask_again = Duration::Seconds(1);        // between two mentions in TakeUnresolved
};

// Where Egress looks things up. All outlive it.
struct EgressSources {
  const SnapshotBox<RouteTable>* routes = nullptr;                 // required
  const SnapshotBox<NeighbourTable>* kernel_neighbours = nullptr;  // null: the kernel is not asked
  Arp* arp = nullptr;                                              // null: no ARP of our own
};

class Egress {
 public:
  using Frames = std::vector<pmd::Packet>;

  // `drops` outlives this.
  Egress(EgressConfig config, EgressSources sources, stats::DropCounters* drops);

  // Turns one datagram into a frame at the end of `frames`, or queues it, or drops and counts it. Takes it in any case.
  // May append ARP requests. Its addresses are IPv4.
  void Encapsulate(OutDatagram&& datagram, Time now, Frames& frames);
  // The same for all of `batch`, in order, and leaves it empty.
  void Encapsulate(OutBatch& batch, Time now, Frames& frames);

  // Takes new snapshots, sends what they unblock, runs ARP's timers, gives up on what waited too long. Once per loop
  // iteration; two or three loads when nothing happened.
  void Poll(Time now, Frames& frames);
  // When Poll has something to do even if no snapshot changes; includes the Arp's.
  Time NextDeadline() const;

  // Next hops that the kernel should resolve or re-confirm, each once, and forgets them. Empty without kernel
  // neighbours.
  std::vector<wire::IpAddress> TakeUnresolved();

  // For connection set-up; linear in the routes' prefix lengths, uncached.
  // Our address to reach `destination` from: the route's preferred one, else ours on the next hop's network, else our
  // first. NotFound without a route; InvalidArgument when `destination` is our own or not a host's address.
  absl::StatusOr<wire::IpAddress> SelectSource(const wire::IpAddress& destination) const;
  // The largest IP datagram to `destination`: the smaller of device's and route's MTU; the device's without a route.
  uint32_t PathMtu(const wire::IpAddress& destination) const;
  // Changes whenever the answers of these two may have.
  uint64_t routes_version() const { return routes_.version(); }

  // Frames that wait here, without those in Arp.
  size_t pending_frames() const { return pending_total_; }
  const EgressConfig& config() const { return config_; }

 private:
  static constexpr size_t kCacheEntries = 256;

  // Where frames to a destination go, until when that is believed.
  struct Hop {
    wire::IpAddress destination;
    Time valid_until = Time::FromNanoseconds(INT64_MIN);
    uint32_t mtu = 0;
    std::array<uint8_t, wire::EthernetHeader::kSize> ethernet = {};  // ready to be copied
  };
  // Frames for a next hop that the kernel is to resolve.
  struct Waiting {
    PendingFrames frames;
    Time give_up;
    Time ask_again;
  };
  struct Resolved {
    wire::MacAddress mac;
    Time valid_until;
  };

  static size_t CacheSlot(const wire::IpAddress& destination);
  void FlushCache();
  void Refresh(Frames& frames);

  bool IsOurs(wire::Ipv4Address address) const;
  // Why nobody can be there; null when somebody can.
  const char* UnreachableBecause(const wire::IpAddress& destination) const;
  uint32_t MtuOf(const Route& route) const;

  // These return whether its frame is the last of `frames`: it was neither dropped nor has to wait.
  bool EncapsulateOne(OutDatagram& datagram, Time now, Frames& frames);
  bool EncapsulateTo(const Hop& hop, OutDatagram& datagram, Frames& frames);
  bool EncapsulateSlow(OutDatagram& datagram, Time now, Frames& frames);
  // Prepends both headers; false when dropped.
  bool Prepend(const Hop& hop, OutDatagram& datagram);
  // What follows batch[first], whose frame is the last one, and is like it. Returns the last one's place.
  size_t EncapsulateRow(OutBatch& batch, size_t first, Frames& frames);
  void FinishTransport(OutDatagram& datagram);
  Hop MakeHop(const wire::IpAddress& destination, const Route& route) const;
  absl::optional<Resolved> FindNeighbour(const wire::IpAddress& next_hop, Time now, Frames& frames);
  void Wait(const wire::IpAddress& next_hop, pmd::Packet&& frame, Time now);
  void ReleaseResolved(Frames& frames);
  void ExpireWaiting(Time now);
  void ReportUnresolved(const wire::IpAddress& next_hop);
  void Drop(OutDatagram& datagram, stats::DropReason reason);

  const EgressConfig config_;
  SnapshotReader<RouteTable> routes_;
  absl::optional<SnapshotReader<NeighbourTable>> kernel_neighbours_;
  Arp* const arp_;
  stats::DropCounters* const drops_;
  uint64_t arp_generation_ = 0;
  uint16_t identification_ = 0;
  std::vector<Hop> cache_;  // kCacheEntries
  absl::flat_hash_map<wire::IpAddress, Waiting> waiting_;
  size_t pending_total_ = 0;
  Time next_deadline_ = Time::Infinite();  // of waiting_
  std::vector<wire::IpAddress> unresolved_;
};

}  // namespace luna::ip

#endif  // LUNA_NET_IP_EGRESS_H_
