#ifndef LUNA_NET_TCP_CORE_H_
#define LUNA_NET_TCP_CORE_H_

// Core: what the connections of one stack share. Internal to net/tcp. One thread.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

#include "absl/types/span.h"
#include "luna/ctrl/stats/counter.h"
#include "luna/ctrl/stats/drop_counters.h"
#include "luna/mem/zbuf/slab.h"
#include "luna/net/ip/datagram.h"
#include "luna/net/pmd/packet.h"
#include "luna/net/tcp/config.h"
#include "luna/net/tcp/header_reserve.h"
#include "luna/net/tcp/rate_limiter.h"
#include "luna/net/tcp/segment.h"
#include "luna/net/tcp/timestamp_clock.h"
#include "luna/sched/timer/timer_wheel.h"

namespace luna::tcp {

class Connection;

// Counters of a stack, beside the drop reasons.
struct StackCounters {
  stats::Counter segments_in;
  stats::Counter segments_out;
  stats::Counter segments_retransmitted;
  stats::Counter bytes_in;   // payload accepted in order
  stats::Counter bytes_out;  // payload sent, retransmissions included
  stats::Counter fast_path_segments;
  stats::Counter connections_opened;  // active
  stats::Counter connections_accepted;
  stats::Counter connections_closed;
  stats::Counter resets_sent;
  stats::Counter resets_received;
  stats::Counter ecn_connections;  // that negotiated ECN
  stats::Counter ecn_marks_in;     // data segments that arrived with CE
  stats::Counter keep_alive_probes;
  stats::Counter window_probes;     // octets sent beyond a window that stays shut (RFC 9293 §3.8.6.1)
  stats::Counter memory_waits;      // times that Send() gave back-pressure because of memory_limit_bytes
  stats::Counter memory_refused;    // segments whose payload was dropped because of it
  stats::Counter memory_short;      // times that windows stopped opening because the slab was nearly used up
  stats::Counter orphans_refused;   // connections reset at Close() because max_orphans were left already
  stats::Counter icmp_errors;       // believed
  stats::Counter path_mtu_lowered;  // segment sizes that a smaller path MTU cut
  stats::Counter syn_cookies_sent;
  stats::Counter syn_cookies_accepted;
  stats::Counter timeouts;        // retransmission time-outs
  stats::Counter send_no_memory;  // segments that waited because the slab was exhausted
};

// The TCP header of one segment to be sent.
struct SegmentHeader {
  wire::FourTuple tuple;
  SeqNum seq;
  SeqNum ack;
  uint16_t flags = 0;
  uint16_t window = 0;
  uint16_t urgent = 0;  // the pointer, with the URG flag
  uint8_t ttl = 0;      // 0: the stack's default
  uint8_t dscp = 0;
  bool may_fragment = false;
  const wire::TcpOptions* options = nullptr;  // null: none
};

struct Core {
  static constexpr size_t kMaxReplies = 1024;
  // Of the keyed hash, beside those of isn.cc, stack.cc and syn_cookie.cc.
  static constexpr uint64_t kChallengeDomain = 6;
  static constexpr uint64_t kResetDomain = 7;

  static constexpr size_t kHeaderObjBytes = pmd::kTxHeadroomBytes + kMaxTcpHeaderBytes;

  Core(const StackConfig& stack_config, zbuf::Slab& header_slab, stats::DropCounters& drop_counters, Time now)
      : config(stack_config),
        slab(header_slab),
        drops(drop_counters),
        headers(header_slab, kHeaderObjBytes, stack_config.header_reserve),
        timestamp_clock(stack_config.timestamp_tick),
        wheel(now),
        challenge_acks(stack_config.challenge_acks_per_second, stack_config.secret, kChallengeDomain),
        resets(stack_config.resets_per_second, stack_config.secret, kResetDomain),
        held_limit(stack_config.memory_limit_bytes == 0 ? UINT64_MAX : stack_config.memory_limit_bytes),
        held_overshoot(held_limit),
        held_pressure(held_limit / 4 * 3),
        window_pressure(held_pressure) {}

  // Builds a segment without payload: the header in an obj of its own with headroom for IP and Ethernet. False when the
  // slab is exhausted. Those of connections may take the reserve. O(1).
  bool Build(const SegmentHeader& header, ip::OutDatagram* out, bool of_connection = true);
  // The same for one that differs from `like`, whose header is `octets`, in its number only.
  bool BuildLike(const ip::OutDatagram& like, absl::Span<const uint8_t> octets, SeqNum seq, ip::OutDatagram* out);

  // Room for a TCP header, with kTxHeadroomBytes in front, in an obj of its own. Null, and counted: memory is out.
  std::byte* AllocHeader(bool of_connection);

  // Queues a segment that belongs to no connection (any more). Not when memory is out or kMaxReplies wait: counted.
  void Reply(const SegmentHeader& header);
  // The RST that answers `segment` (RFC 9293 §3.10.7.1), subject to the rate limit. Never answers a RST.
  void ReplyReset(const Segment& segment, Time now);

  const StackConfig config;
  zbuf::Slab& slab;
  stats::DropCounters& drops;
  HeaderReserve headers;
  StackCounters counters;
  const TimestampClock timestamp_clock;
  timer::TimerWheel wheel;
  SharedRateLimiter challenge_acks;
  SharedRateLimiter resets;
  // Payload of all connections: StackConfig::memory_limit_bytes.
  uint64_t held_bytes = 0;
  const uint64_t held_limit;
  uint64_t held_overshoot;                    // the limit, or what the last Send() left beyond it
  const uint64_t held_pressure;               // from here on the reserve, for connections that move
  uint64_t window_pressure;                   // the same, for windows: 0 while memory_short
  bool memory_short = false;                  // Stack::SetMemoryShort()
  std::vector<Connection*> waiting_for_room;  // of Send(); what their peers say wakes them, too; each at most once
  std::deque<Connection*> waiting_empty;      // the same, with nothing to be acknowledged; oldest first
  std::vector<Connection*> held_down;         // their windows, by that pressure; each at most once
  uint32_t orphans = 0;                       // connections that the application has closed
  ip::OutBatch replies;                       // leave before the connections' own segments
  std::vector<Connection*> output;            // have something to send; each at most once
  size_t output_done = 0;                     // of them, from the front: have no more; never all of them
  std::deque<Connection*> posted;     // have an event that no segment or timer of theirs carried; each at most once
  std::vector<Connection*> starved;   // a Send() of theirs found no memory: they get kWritable after the next Reap()
  std::vector<Connection*> finished;  // closed, waiting for Reap(); each once
};

}  // namespace luna::tcp

#endif  // LUNA_NET_TCP_CORE_H_
