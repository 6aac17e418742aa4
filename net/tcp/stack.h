#ifndef LUNA_NET_TCP_STACK_H_
#define LUNA_NET_TCP_STACK_H_

// Stack: TCP for one thread, as a deterministic function of (packets, now, configuration).
//
//   Event e = stack.Ingest(std::move(datagram), now);   // one packet in; at most one event out
//   while ((e = stack.NextEvent(now))) …;               // timers, and what application calls caused
//   stack.Flush(now, limit, &batch);                    // segments to send, in order
//   stack.Reap();                                       // connections whose kClosed event was handed out are destroyed
//
// It reads no clock, draws no random numbers, makes no upcalls and knows no device: packets, time and the secret come
// in as arguments, so any run replays. Works without an IP layer: whoever has IP datagrams can drive it.
//
// Thread: all calls from one thread. Source: RFC 9293, RFC 5961, RFC 6191, RFC 1337.

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "luna/ctrl/stats/drop_counters.h"
#include "luna/mem/zbuf/slab.h"
#include "luna/net/ip/datagram.h"
#include "luna/net/tcp/config.h"
#include "luna/net/tcp/connection.h"
#include "luna/net/tcp/connection_pool.h"
#include "luna/net/tcp/core.h"
#include "luna/net/tcp/event.h"
#include "luna/net/tcp/icmp.h"
#include "luna/net/tcp/listener.h"
#include "luna/net/tcp/time_wait.h"
#include "luna/net/tcp/tuple_table.h"
#include "luna/net/wire/address.h"
#include "luna/sched/clock/time.h"

namespace luna::tcp {

class Stack {
 public:
  static constexpr size_t kMostPrefetched = 16;

  // `slab` gives the header objs of outgoing segments and the copies of Connection::Send(bytes); `drops` counts refused
  // segments. Both belong to the same thread and outlive the stack. `now` is where the caller's clock stands.
  // StackConfig::header_reserve objs of it are set aside: queued data may pin all there is, and would stay for ever if
  // no header could be had to send it. CHECKs that `config` passes Validate(): whoever has it from a user asks before.
  Stack(const StackConfig& config, zbuf::Slab& slab, stats::DropCounters& drops, Time now);
  ~Stack();
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;

  // --- Opening ---
  // Listens on `local`; an unspecified address means every address. AlreadyExists when the port is taken,
  // InvalidArgument for port 0. The listener lives until StopListening().
  absl::StatusOr<Listener*> Listen(const wire::Endpoint& local, const ListenOptions& options = {});
  // Half-open handshakes of the listener are reset; established connections stay.
  void StopListening(Listener* listener);
  // Starts a connection from `local` to `remote`; local port 0 means: choose one from the ephemeral range (RFC 6056).
  // `owner` becomes Connection::owner(). The SYN leaves with the next Flush(); kConnected or kClosed follows.
  // InvalidArgument: an address that cannot be a peer. AlreadyExists: the four-tuple is in use. ResourceExhausted: no
  // port or no connection is left.
  // Without `options`: the stack's defaults.
  absl::StatusOr<Connection*> Connect(wire::Endpoint local, const wire::Endpoint& remote, void* owner, Time now) {
    return Connect(local, remote, owner, now, core_.config);
  }
  absl::StatusOr<Connection*> Connect(wire::Endpoint local, const wire::Endpoint& remote, void* owner, Time now,
                                      const ConnectionOptions& options);

  // --- The verbs ---
  Event Ingest(ip::Datagram&& datagram, Time now);
  // The same in two steps, for who joins segments of a burst in between (coalesce.h). False: refused, and counted.
  bool Parse(ip::Datagram&& datagram, Time now, Segment* out);
  Event Ingest(Segment& segment, Time now);
  // Before the segments of a burst, at most kMostPrefetched: has their connections fetched from memory, all at once.
  void Prefetch(absl::Span<const Segment> segments) const;
  // An event that no packet carried. Call until it returns none.
  Event NextEvent(Time now);
  // Appends segments to `out` until it holds `limit`. What does not fit, or finds no memory, leaves with a later call.
  void Flush(Time now, size_t limit, ip::OutBatch* out);
  // Destroys connections that are finished and whose events were all handed out. Returns how many.
  size_t Reap() { return core_.starved.empty() && core_.finished.empty() ? 0 : ReapFinished(); }
  // --- What the network says, pushed in; events, if any, come with NextEvent() ---
  // An ICMP error that quotes a segment of ours (see icmp.h). Believed only when the number it quotes is in flight (RFC
  // 5927 §4.1). Hard errors end a handshake and nothing else (RFC 5461); the others can be read as
  // Connection::soft_error() (RFC 9293 MUST-47, MUST-56, SHLD-25). "Too big" lowers that connection's segment size,
  // down to min_path_mtu, for path_mtu_life, and never raises it. O(1).
  void OnIcmpError(const IcmpError& error, Time now);
  // The same for an ICMP message as it came, from its type octet on. One that is broken, or no error about a segment,
  // is counted. Any bytes; O(length).
  void OnIcmp(absl::Span<const uint8_t> message, Time now);
  // The path to `remote` takes datagrams of `mtu` octets, more or less than before: a route says so, which is believed
  // (RFC 9293 SHLD-6). Holds for present and later connections. O(connections).
  void OnPathMtu(const wire::IpAddress& remote, uint32_t mtu, Time now);
  // The same for one connection, which remembers it: to say it again changes nothing, so that what ICMP has lowered
  // since stays low until the route itself changes, or its time is over. For whoever asks a route table: when a
  // connection begins, and for each connection when the table changed. Never more than OnPathMtu() said of that host.
  // O(1).
  void OnRouteMtu(Connection& connection, uint32_t mtu, Time now);

  // The slab is nearly used up (Slab::IsScarce), by whomever: windows do not open until it is said to be over. What
  // they offer already is taken, and what is to be sent leaves: that frees memory. The worker says so.
  void SetMemoryShort(bool is_short);

  // When NextEvent() may have something to do at the earliest.
  Time NextDeadline() const;
  // True when Flush() has something to send.
  bool HasOutput() const { return !core_.output.empty() || !core_.replies.empty(); }

  // --- Facts ---
  // Objs of the slab that are out though nothing uses them: StackConfig::header_reserve.
  size_t reserved_objs() const { return core_.headers.objs(); }
  const StackConfig& config() const { return core_.config; }
  const StackCounters& counters() const { return core_.counters; }
  // Connections that are not closed, half-open ones included.
  size_t connections() const { return table_.size(); }
  size_t time_wait() const { return time_wait_.size(); }
  bool IsInTimeWait(const wire::FourTuple& tuple) const { return time_wait_.Find(tuple) != nullptr; }
  // Payload that the connections hold: StackConfig::memory_limit_bytes bounds it.
  uint64_t held_bytes() const { return core_.held_bytes; }
  // Calls visit(Connection&) for each connection, in an order that is the same in every run with this secret. It may
  // Close() and Abort() them, and not open others.
  template <typename Visit>
  void ForEachConnection(Visit visit) {
    table_.ForEach(visit);
  }

 private:
  static constexpr size_t kMostPathMtus = 4096;
  static constexpr uint32_t kLeastMtu = 68 + kMinMss;  // RFC 791's least, and room for a segment

  size_t ReapFinished();
  uint32_t PathMtu(const wire::IpAddress& remote) const;
  Event ToConnection(Connection& connection, Segment& segment, Time now);
  // LISTEN (RFC 9293 §3.10.7.2) and CLOSED (§3.10.7.1).
  Event ToListener(Listener& listener, Segment& segment, Time now);
  // A segment without a connection.
  Event ToNobody(Segment& segment, Time now);
  Connection* NewPassive(const Listener& listener, const Segment& syn);
  Connection* OpenPassive(Listener& listener, const Segment& syn, SeqNum iss, Time now);
  void SendCookie(Listener& listener, Segment& syn, Time now);
  Event ToCookie(Listener& listener, Segment& segment, Time now);
  void InTimeWait(const Segment& segment, Time now);
  // Whether a segment for a connection in TIME-WAIT begins a new incarnation.
  static bool Reopens(const Segment& segment, const TimeWaitRecord& old);
  Listener* FindListener(const wire::Endpoint& local);
  // After anything that may have closed it: out of the table, into TIME-WAIT when that is its state.
  void Settle(Connection& connection, Time now);
  // RFC 6528's number; beyond all numbers of the last connection with that tuple, if it ended among the last few
  // hundred, however soon this one follows (the clock in it ticks every 4 µs): a peer that did not hear of the end
  // would take what is new for what is old. Not for SYN cookies.
  SeqNum NewIsn(const wire::FourTuple& tuple, Time now);
  uint16_t ChoosePort(const wire::Endpoint& local, const wire::Endpoint& remote);
  bool InUse(const wire::FourTuple& tuple) const { return table_.Contains(tuple) || IsInTimeWait(tuple); }

  Core core_;
  ConnectionPool pool_;
  TupleTable<Connection> table_;
  TimeWaitTable time_wait_;
  // Connections that a cookie had opened, or one before them, and that have ended: while the cookie lives it opens none
  // again, and what still comes is answered by a reset.
  TimeWaitTable cookie_bars_;
  Time now_;  // of the last NextEvent()
  absl::flat_hash_map<wire::Endpoint, std::unique_ptr<Listener>> listeners_;
  absl::flat_hash_map<wire::IpAddress, uint32_t> path_mtus_;  // those that differ from the link's
  std::array<uint32_t, 256> port_counters_{};                 // RFC 6056 §3.3.4's table
  // Connections that ended last, those in TIME-WAIT aside: by the keyed hash of the tuple, one for each remainder.
  struct Ended {
    uint64_t tuple_hash = 0;
    SeqNum snd_nxt;
  };
  std::array<Ended, 256> ended_{};
};

}  // namespace luna::tcp

#endif  // LUNA_NET_TCP_STACK_H_
