#ifndef LUNA_NET_TCP_CONNECTION_OPTIONS_H_
#define LUNA_NET_TCP_CONNECTION_OPTIONS_H_

// What an application may choose for each connection. A plain value; StackConfig holds the stack's defaults, a
// listener or Connect() may give others, and Connection::SetOptions() changes them while the connection lives.
//
// The names in parentheses are those of the socket options that mean the same.

#include <cstdint>
#include <limits>

#include "absl/status/status.h"
#include "luna/sched/clock/time.h"

namespace luna::tcp {

struct ConnectionOptions {
  // --- Times ---
  // Nothing acknowledged for so long, while something is owed: the connection is given up (TCP_USER_TIMEOUT; RFC 9293
  // §3.9.1.1, RFC 5482). Zero: data_retries decide. Takes the place of data_retries and, on a connection that keeps
  // alive, of keep_alive_probes.
  Duration user_timeout;
  // Without a segment from the peer and with nothing of ours under way for keep_alive_idle, a probe is sent, then one
  // each keep_alive_interval (TCP_KEEPIDLE, TCP_KEEPINTVL; RFC 9293 §3.8.4 MUST-27, MUST-28: at least two hours).
  Duration keep_alive_idle = Duration::Seconds(2 * 3600);
  Duration keep_alive_interval = Duration::Seconds(75);
  // How long Close() lingers when `linger` is on: that long the layer above may wait for kLingered. Zero: Close() is
  // Abort() (SO_LINGER).
  Duration linger_time;
  // A connection that the application has closed waits so long for the peer's FIN (TCP_LINGER2). Zero: not at all.
  Duration fin_wait_2 = Duration::Seconds(5);

  // --- Buffers ---
  uint32_t send_buffer_bytes = 1u << 20;     // queued and unacknowledged; Send() gives back-pressure here (SO_SNDBUF)
  uint32_t receive_buffer_bytes = 1u << 20;  // unread, plus out of order: what the window advertises (SO_RCVBUF)
  // Never offers a larger window than this (TCP_WINDOW_CLAMP). Zero: no clamp.
  uint32_t window_clamp = 0;
  // kWritable comes when the octets that were not sent yet are fewer than this (TCP_NOTSENT_LOWAT), and half of the
  // send buffer is free.
  uint32_t unsent_low_water = std::numeric_limits<uint32_t>::max();
  // --- Retransmission ---
  uint16_t data_retries = 12;     // R2 for data: so many retransmissions without an answer (RFC 9293 §3.8.3 MUST-21)
  uint16_t closed_retries = 8;    // R2 once the application has closed
  uint8_t syn_retries = 7;        // R2 for SYN (TCP_SYNCNT)
  uint8_t keep_alive_probes = 9;  // unanswered ones that end the connection (TCP_KEEPCNT; MUST-29: more than one)
  // --- Path ---
  uint16_t mss_clamp = 0;  // no larger segments either way, options not counted (TCP_MAXSEG). Zero: the MTU decides
  uint8_t ttl = 64;        // RFC 9293 MUST-49 (IP_TTL)
  uint8_t dscp = 0;        // six bits (RFC 9293 MUST-48, SHLD-21; the upper six of IP_TOS)
  // --- Switches ---
  bool nagle = false;       // RFC 9293 §3.7.4 (off: TCP_NODELAY)
  bool cork = false;        // only full segments leave, until it is taken off, or StackConfig::cork_limit (TCP_CORK)
  bool keep_alive = false;  // SO_KEEPALIVE (RFC 9293 MUST-24, MUST-25)
  bool linger = false;      // SO_LINGER
  // kSoftError events (RFC 9293 MUST-47, SHLD-9, SHLD-20). soft_error() can be read either way.
  bool report_soft_errors = true;

  friend bool operator==(const ConnectionOptions&, const ConnectionOptions&) = default;
};
static_assert(sizeof(ConnectionOptions) <= 80);

// InvalidArgument, naming option, value and mend, for what no connection can have.
absl::Status Validate(const ConnectionOptions& options);

}  // namespace luna::tcp

#endif  // LUNA_NET_TCP_CONNECTION_OPTIONS_H_
