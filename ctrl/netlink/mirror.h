#ifndef LUNA_CTRL_NETLINK_MIRROR_H_
#define LUNA_CTRL_NETLINK_MIRROR_H_

// KernelMirror: what the kernel knows of one link (its addresses, the routes over it, the neighbours on it), kept up to
// date and published as snapshots for net/ip. For devices with a kernel twin: AF_XDP, af_packet.
//
// It dumps links, addresses, routes and neighbours, one after the other, and applies notifications, which the same
// socket delivers in order among the dumped messages. When the kernel dropped notifications (ENOBUFS), when a dump was
// interrupted, when an address went or the link changed its state (the kernel then removes routes without a word), it
// dumps all again; until that is complete the last published snapshots stand.
//
// What becomes a Route: unicast routes of the main table whose next hop is on this link (of multipath routes, the first
// that is); type of service 0. Routes over other links, and unreachable, blackhole and prohibit routes, are not there:
// Luna sends on this link or not at all. What becomes a Neighbour: entries with an Ethernet address, and failed or
// incomplete ones without.
//
// Thread: one owner for everything but the snapshot boxes, which any thread may read.

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "luna/ctrl/netlink/link_state.h"
#include "luna/ctrl/netlink/message.h"
#include "luna/ctrl/netlink/socket.h"
#include "luna/net/ip/neighbour_table.h"
#include "luna/net/ip/route_table.h"
#include "luna/net/ip/snapshot.h"
#include "luna/net/wire/address.h"
#include "luna/sched/clock/time.h"

namespace luna::netlink {

// The groups that a mirror's socket must have joined: MnlSocket::Open(MirrorGroups()).
absl::Span<const int> MirrorGroups();

// Counts since construction.
struct MirrorStats {
  uint64_t datagrams = 0;
  uint64_t messages = 0;
  uint64_t malformed = 0;     // datagrams or messages that made no sense
  uint64_t overflows = 0;     // times that the kernel dropped notifications
  uint64_t dumps = 0;         // full dumps begun
  uint64_t dump_errors = 0;   // dumps that the kernel refused or interrupted
  uint64_t refused = 0;       // RequestResolves that the kernel refused (no CAP_NET_ADMIN, for one)
  uint64_t publications = 0;  // snapshots of any kind
};

class KernelMirror {
 public:
  // Takes the first full dump before it returns. Errors: NotFound when there is no such link; DeadlineExceeded when the
  // kernel did not answer within `timeout`; what the socket reports.
  static absl::StatusOr<std::unique_ptr<KernelMirror>> Create(std::unique_ptr<Socket> socket, int ifindex,
                                                              Duration timeout = Duration::Seconds(2));
  KernelMirror(const KernelMirror&) = delete;
  KernelMirror& operator=(const KernelMirror&) = delete;

  // Valid as long as the mirror. Any thread may read them.
  const ip::SnapshotBox<LinkState>* link() const { return &link_; }
  const ip::SnapshotBox<ip::RouteTable>* routes() const { return &routes_; }
  const ip::SnapshotBox<ip::NeighbourTable>* neighbours() const { return &neighbours_; }

  // Reads at most `max_datagrams` and publishes what changed. Call when fd() is readable, or now and then. Does not
  // block. Returns true when there may be more.
  bool OnReadable(int max_datagrams = 32);
  int fd() const { return socket_->fd(); }

  // Has the kernel resolve, or re-confirm, a neighbour on the link; the answer comes as a snapshot. Fire and forget:
  // refusals are counted. Also tries again a dump that could not be begun. Errors: what Send says; InvalidArgument for
  // addresses that are not IPv4.
  absl::Status RequestResolve(const wire::IpAddress& address);

  // Begins a full dump. OnReadable completes it. For owners who distrust notifications; every minute is plenty.
  void Resync();

  // False while a full dump is under way or could not be begun.
  bool synced() const { return step_ == Step::kDone; }
  const MirrorStats& stats() const { return stats_; }

 private:
  // The dumps, in order. kStalled: the next one could not be asked for; OnReadable tries again.
  enum class Step : uint8_t { kLink, kAddress, kRoute, kNeighbour, kDone, kStalled };

  // A route's identity in the kernel, within one table and type of service: destination and metric. There can be
  // several of one identity, with different gateways, if somebody appended them.
  using RouteKey = std::pair<wire::Ipv4Prefix, uint32_t>;

  // What the messages so far amount to. A full dump starts from an empty one.
  struct State {
    bool link_seen = false;
    LinkState link;
    std::multimap<RouteKey, ip::Route> routes;
    ip::NeighbourTable neighbours;
  };

  KernelMirror(std::unique_ptr<Socket> socket, int ifindex);

  // Asks for the dump of `step`; kLink begins a full one.
  void StartDump(Step step);
  // Dumps all again, as soon as the dump under way (the kernel runs one per socket) has ended.
  void Restart();
  void FinishStep();
  // Reads what waits; returns true when there may be more.
  bool ReadSome(int max_datagrams);
  void TakeDatagram(absl::Span<const uint8_t> datagram);
  void TakeMessage(const RawMessage& message);
  // NLMSG_DONE and NLMSG_ERROR.
  void TakeEnd(const RawMessage& message);
  void Apply(const RawMessage& message);
  void ApplyLink(const RawMessage& message);
  void ApplyAddress(const RawMessage& message);
  void ApplyRoute(const RawMessage& message);
  void ApplyNeighbour(const RawMessage& message);
  // Whether a parsed message is to be applied; counts those that are malformed.
  bool Usable(Parsed parsed);
  void PublishChanges();

  const std::unique_ptr<Socket> socket_;
  const int ifindex_;
  State state_;
  Step step_ = Step::kStalled;
  bool changed_ = false;        // state_ since the last publication
  bool restart_ = false;        // see Restart()
  uint32_t sequence_ = 0;       // of the last request
  uint32_t dump_sequence_ = 0;  // of the dump under way
  absl::Status dump_error_;     // why the last dump failed, for Create
  MirrorStats stats_;
  std::vector<uint8_t> buffer_;
  ip::SnapshotBox<LinkState> link_;
  ip::SnapshotBox<ip::RouteTable> routes_;
  ip::SnapshotBox<ip::NeighbourTable> neighbours_;
};

}  // namespace luna::netlink

#endif  // LUNA_CTRL_NETLINK_MIRROR_H_
