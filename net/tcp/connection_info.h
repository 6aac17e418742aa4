#ifndef LUNA_NET_TCP_CONNECTION_INFO_H_
#define LUNA_NET_TCP_CONNECTION_INFO_H_

// ConnectionInfo: a snapshot of a connection for operators, tests and the TCP_INFO of a socket layer. The names are
// those of Linux' struct tcp_info without prefix; "segments" are counted in MSS where only octets are known.
// A plain value: it does not change when the connection does.

#include <cstdint>

#include "luna/net/tcp/state.h"
#include "luna/sched/clock/time.h"

namespace luna::tcp {

struct ConnectionInfo {
  // Congestion states as Linux numbers them.
  enum class Recovery : uint8_t { kOpen = 0, kDisorder = 1, kCwr = 2, kRecovery = 3, kLoss = 4 };

  State state = State::kClosed;
  Recovery ca_state = Recovery::kOpen;
  uint8_t retransmits = 0;  // time-outs in a row without an answer
  uint8_t probes = 0;       // unanswered window or keep-alive probes
  uint8_t backoff = 0;      // doublings of the time-out in force
  bool timestamps = false;  // what was negotiated (tcpi_options)
  bool sack = false;
  bool window_scale = false;
  bool ecn = false;
  uint8_t snd_wscale = 0;
  uint8_t rcv_wscale = 0;

  Duration rto;
  Duration ato;  // delay of acknowledgements
  uint32_t snd_mss = 0;
  uint32_t rcv_mss = 0;
  uint32_t advmss = 0;

  uint32_t unacked = 0;     // segments in flight
  uint32_t sacked = 0;      // of them: reported by SACK
  uint32_t lost = 0;        // of them: believed lost
  uint32_t retrans = 0;     // of them: retransmitted
  uint32_t reordering = 3;  // segments
  uint32_t reord_seen = 0;  // times that reordering was seen

  Duration last_data_sent;  // or FIN, since then; before that, since the handshake
  Duration last_data_recv;  // in order, likewise
  Duration last_ack_recv;

  uint32_t pmtu = 0;
  Duration rtt;
  Duration rttvar;
  Duration min_rtt;
  uint32_t snd_ssthresh = 0;  // segments
  uint32_t snd_cwnd = 0;      // segments
  uint32_t rcv_space = 0;     // octets
  uint32_t rcv_ssthresh = 0;  // octets
  uint32_t snd_wnd = 0;       // octets
  uint32_t rcv_wnd = 0;       // octets

  // While something was to be sent, or in flight; of that, while the peer's window held it back, and while the send
  // buffer did: all that it took has left, and the application waits for room (send_clock.h).
  Duration busy_time;
  Duration rwnd_limited;
  Duration sndbuf_limited;

  uint32_t total_retrans = 0;  // segments
  uint64_t bytes_acked = 0;
  uint64_t bytes_received = 0;
  uint64_t bytes_sent = 0;     // payload, retransmissions included
  uint64_t bytes_retrans = 0;  // payload
  uint32_t segs_out = 0;
  uint32_t segs_in = 0;
  uint32_t data_segs_out = 0;
  uint32_t data_segs_in = 0;
  uint32_t notsent_bytes = 0;
  uint32_t delivered = 0;     // segments
  uint32_t delivered_ce = 0;  // segments
  uint32_t dsack_dups = 0;
  uint32_t rcv_ooopack = 0;
};

}  // namespace luna::tcp

#endif  // LUNA_NET_TCP_CONNECTION_INFO_H_
