#ifndef LUNA_NET_TCP_CONFIG_H_
#define LUNA_NET_TCP_CONFIG_H_

// Every tunable of the TCP stack, with its unit and its source. Two profiles:
//   Rfc()        what the RFCs ask of a host on the open Internet;
//   DataCentre() the default: the paper's data centre (retransmission floor 4 ms, give-up in seconds, short TIME-WAIT).
// A StackConfig is a plain value of its holder's. It is copied into the Stack and does not change while the stack
// lives.

#include <array>
#include <cstdint>

#include "absl/status/status.h"
#include "luna/net/tcp/connection_options.h"
#include "luna/sched/clock/time.h"

namespace luna::tcp {

// Fixed numbers of the protocol.
inline constexpr uint16_t kDefaultMss = 536;         // RFC 9293 §3.7.1: assumed when the peer sends no MSS option
inline constexpr uint32_t kMinMss = 64;              // smallest segment size believed from a peer (anti-amplification)
inline constexpr uint32_t kIpv4TcpHeaderBytes = 40;  // RFC 6691: MSS = MTU - 40, options not counted
inline constexpr uint32_t kTimestampOptionBytes = 12;                          // NOP NOP TS
inline constexpr uint8_t kMaxWindowShift = 14;                                 // RFC 7323 §2.3
inline constexpr uint32_t kMaxWindowBytes = 65535u << kMaxWindowShift;         // the largest window there can be
inline constexpr uint32_t kDupAckThreshold = 3;                                // RFC 5681 §3.2
inline constexpr Duration kTimestampLife = Duration::Seconds(24 * 24 * 3600);  // RFC 7323 §5.5: then TS.Recent is stale
inline constexpr uint32_t kMaxTcpHeaderBytes = 60;  // RFC 9293 §3.1: data offset of 15 words
// With the longest headers that TCP and IPv4 can have.
inline constexpr uint32_t kMostTsoPayloadBytes = 0xffff - kMaxTcpHeaderBytes - 60;

// Explicit congestion notification (RFC 3168).
enum class EcnMode : uint8_t {
  kOff,        // neither offered nor accepted
  kOnRequest,  // accepted when the peer's SYN offers it
  kAlways,     // offered in our SYN, too
};

// See congestion.h.
enum class CongestionAlgorithm : uint8_t {
  kNewReno,  // RFC 5681
  kCubic,    // RFC 9438
};

// What a SYN gets when a listener's backlog of handshakes is full (RFC 4987; syn_cookie.h).
enum class SynCookies : uint8_t {
  kOff,       // nothing: it is dropped
  kWhenFull,  // a cookie
  kAlways,    // every SYN gets one, and no handshake takes memory
};

// What it inherits are the defaults of each connection: connection_options.h.
struct StackConfig : ConnectionOptions {
  // --- Retransmission (RFC 6298) ---
  Duration rto_initial = Duration::Milliseconds(100);         // before the first RTT sample; RFC 6298 §2.1 says 1 s
  Duration rto_min = Duration::Milliseconds(4);               // LUNA §9; RFC 6298 §2.4 says 1 s
  Duration rto_max = Duration::Seconds(1);                    // RFC 6298 §2.5 allows a cap of at least 60 s
  Duration rto_after_syn_loss = Duration::Milliseconds(100);  // RFC 6298 §5.7 says 3 s
  bool rto_min_is_margin = false;  // rto_min bounds 4 * RTTVAR, so RTO >= SRTT + rto_min (Linux), not RTO (RFC 6298)
  // --- Loss recovery ---
  bool rack = true;                  // RFC 8985 with SACK; false: RFC 6675
  uint32_t reordering_segments = 3;  // DupThresh (RFC 5681 §3.2, RFC 6675 §2, RFC 8985 §6.2), to begin with …
  uint32_t reordering_limit = 300;   // … and the most that it grows to by observed reordering (RFC 4653)
  bool tail_loss_probe = true;       // RFC 8985 §7
  // Added to 2 * SRTT for the probe: with one segment in flight the longest that a peer delays an acknowledgement (RFC
  // 8985 §7.2 TLP.max_ack_delay, there 200 ms; here Luna's own 500 us and as much again), else a margin.
  Duration tail_probe_ack_delay = Duration::Milliseconds(1);
  Duration tail_probe_slack = Duration::Microseconds(200);
  bool frto = true;  // RFC 5682
  // --- Acknowledgement ---
  Duration delayed_ack = Duration::Microseconds(500);  // RFC 9293 §3.8.6.3 MUST-40: below 500 ms; 0 = at once
  uint32_t ack_every_segments = 2;                     // RFC 5681 §4.2: at least every second full-sized segment
  bool ack_small_segments = false;                     // segments that are not full-sized count, too (BSD)
  // So many acknowledgements with new data leave at once when a connection begins, and after each pause of an RTO
  // (Linux: 16). The default has none: a peer's slow start costs at most delayed_ack per round trip without.
  uint8_t quick_acks = 0;
  // An application that has read all there is and does not answer before the next flush has an acknowledgement sent at
  // once (Linux). The default waits for the answer, up to delayed_ack.
  bool ack_on_read = false;
  // The acknowledgement of a FIN waits for the application to close, too, as if it were data (Linux).
  bool delay_fin_ack = false;
  // What acknowledges octets that were never sent is answered (RFC 9293 §3.10.7.4, fifth). Linux drops it in silence on
  // an established connection.
  bool answer_unsent_acks = true;
  uint32_t challenge_acks_per_second = 1000;    // RFC 5961 §7, on average; the exact number is secret
  uint32_t challenge_acks_per_connection = 10;  // of them, each second
  // Answers to segments at RCV.NXT - 1, such as keep-alive and some window probes are, each second. Not of the
  // challenge ACKs: strangers can use those up.
  uint32_t probe_answers_per_connection = 10;
  uint32_t resets_per_second = 1000;  // replies to segments without a connection
  // --- Life cycle ---
  Duration time_wait = Duration::Milliseconds(1000);  // RFC 9293 §3.4.2: 2 MSL = 4 min; short with RFC 6191 reuse
  uint32_t time_wait_limit = 1u << 18;                // records; the oldest goes first
  SynCookies syn_cookies = SynCookies::kWhenFull;
  uint32_t max_orphans = 1u << 16;  // connections closed by the application and not yet done
  // --- Congestion (RFC 5681, 6928, 6582) ---
  CongestionAlgorithm congestion = CongestionAlgorithm::kNewReno;
  uint32_t initial_window_segments = 10;
  bool idle_restart = true;  // RFC 5681 §4.1: from the initial window after an idle RTO
  // Of segments that leave together, so many are a run, and at most half a window; PSH ends each run of more than one:
  // receivers that coalesce need not wait (Linux's policy with segmentation offload). 0: never.
  uint32_t push_every_segments = 0;
  bool reduce_from_window = false;  // a loss takes its part of cwnd (Linux), not of FlightSize (RFC 5681 equation 4)
  // --- Buffers ---
  // The receive buffer grows up to this as the application's reading speeds up (receive_tuner.h), unless the connection
  // was given another size than the stack's receive_buffer_bytes. The window scale follows from the larger one.
  uint32_t receive_buffer_max_bytes = 4u << 20;
  // Slices that a connection may hold unread, and that it may queue. Each pins an obj, however few octets it has:
  // without these limits a peer could have the whole slab with segments of one octet. At the first limit what is unread
  // is copied together, into slices of 8 to 16 KB: 4,096 of them are 32 MB and more.
  uint32_t receive_slices_limit = 4096;  // more full segments than receive_buffer_max_bytes holds
  uint32_t send_slices_limit = 2048;
  // Payload that all connections together hold, unread, out of order, queued and unacknowledged. 0: no bound. At three
  // quarters of it, what is left is a reserve for connections that move. By it nobody's queue, or what it has unread or
  // out of order, grows beyond four times what is left, or eight times what the peer takes at a time (the smaller of
  // its window and the congestion window; half as much for what is out of order): windows do not open, Send() gives
  // back-pressure and payload is dropped, to be sent again. At the bound that holds for all, but for who has nothing
  // unread, which may have a segment until an eighth more is held. One chain may overshoot it.
  uint64_t memory_limit_bytes = 0;
  // Objs set aside for the headers of connections' segments: see header_reserve.h. What answers strangers does not get
  // them.
  uint16_t header_reserve = 64;
  // --- Path ---
  uint32_t mtu = 1500;  // largest IP datagram on the link; the MSS follows from it
  // A device that cuts segments (TSO): a row of full-sized ones leaves as one datagram with up to so many octets of
  // payload, in up to so many slices. 0: the stack cuts, by gather.
  uint32_t tso_payload_bytes = 0;
  uint32_t tso_payload_slices = 0;
  // ICMP lowers a path's MTU no further than this; what does not fit then may be fragmented (RFC 1191 §3).
  uint32_t min_path_mtu = 552;
  // After so long the path is tried with large segments again (RFC 1191 §6.3: 10 minutes, and not less than 5).
  Duration path_mtu_life = Duration::Seconds(600);
  // RFC 5461 §3.1: unreachable networks and hosts end a handshake, too. RFC 9293 MUST-56 says no.
  bool soft_errors_end_handshake = false;
  // --- Sending ---
  Duration cork_limit = Duration::Milliseconds(200);  // what a cork or Send() with `more` holds back leaves after this
  uint32_t r1_retries = 3;  // R1: so many retransmissions without an answer are reported (RFC 9293 MUST-20, SHLD-10)
  // --- Options ---
  bool timestamps = true;    // RFC 7323
  bool window_scale = true;  // RFC 7323
  // RFC 7323 §5.4: of the timestamp clock, 1 ms to 1 s. (Finer is no use to a peer, and wraps within its segments'
  // lives.)
  Duration timestamp_tick = Duration::Milliseconds(1);
  bool sack = true;   // RFC 2018
  bool dsack = true;  // RFC 2883; needs `sack`
  EcnMode ecn = EcnMode::kOnRequest;
  // --- Ports (RFC 6056) and limits ---
  uint16_t ephemeral_first = 61440;  // LUNA §7.1: the range whose top four bits are set
  uint16_t ephemeral_last = 65535;
  uint32_t max_connections = 1u << 20;
  // Key of the ISN, port and hash functions (RFC 6528 §3). Random in production; fixed in tests.
  std::array<uint64_t, 2> secret = {0, 0};

  static StackConfig DataCentre() { return StackConfig(); }
  static StackConfig Rfc();
};

inline StackConfig StackConfig::Rfc() {
  StackConfig config;
  config.rto_initial = Duration::Seconds(1);
  config.rto_min = Duration::Seconds(1);
  config.rto_after_syn_loss = Duration::Seconds(3);
  config.rto_max = Duration::Seconds(60);
  config.syn_retries = 8;  // 1+2+4+...+60 s: more than 3 minutes (MUST-23)
  config.data_retries = 15;
  config.closed_retries = 8;
  config.delayed_ack = Duration::Milliseconds(40);
  config.time_wait = Duration::Seconds(240);
  config.fin_wait_2 = Duration::Seconds(60);
  config.nagle = true;
  config.tail_probe_ack_delay = Duration::Milliseconds(200);
  config.tail_probe_slack = Duration::Milliseconds(2);
  return config;
}

// InvalidArgument, naming setting, value and mend, for what no stack can have, or no RFC allows in either profile. That
// includes the defaults of connections.
absl::Status Validate(const StackConfig& config);

}  // namespace luna::tcp

#endif  // LUNA_NET_TCP_CONFIG_H_
