#include "luna/net/tcp/posix/tcp_info.h"

#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>

namespace luna::tcp::posix {
namespace {

template <typename T>
std::string BytesOf(const T& value) {
  return {reinterpret_cast<const char*>(&value), sizeof(value)};
}

// As the kernel numbers them (include/net/tcp_states.h).
uint8_t KernelState(State state) {
  switch (state) {
    case State::kEstablished:
      return 1;
    case State::kSynSent:
      return 2;
    case State::kSynReceived:
      return 3;
    case State::kFinWait1:
      return 4;
    case State::kFinWait2:
      return 5;
    case State::kTimeWait:
      return 6;
    case State::kCloseWait:
      return 8;
    case State::kLastAck:
      return 9;
    case State::kClosing:
      return 11;
    default:
      return 7;
  }
}

constexpr uint8_t kKernelListen = 10;

uint32_t Microseconds(Duration duration) { return static_cast<uint32_t>(duration.microseconds()); }
uint32_t Milliseconds(Duration duration) { return static_cast<uint32_t>(duration.milliseconds()); }

void FillNegotiated(const ConnectionInfo& from, tcp_info* to) {
  to->tcpi_options =
      static_cast<uint8_t>((from.timestamps ? TCPI_OPT_TIMESTAMPS : 0) | (from.sack ? TCPI_OPT_SACK : 0) |
                           (from.window_scale ? TCPI_OPT_WSCALE : 0) | (from.ecn ? TCPI_OPT_ECN : 0));
  to->tcpi_snd_wscale = from.snd_wscale;
  to->tcpi_rcv_wscale = from.rcv_wscale;
  to->tcpi_snd_mss = from.snd_mss;
  to->tcpi_rcv_mss = from.rcv_mss;
  to->tcpi_advmss = from.advmss;
  to->tcpi_pmtu = from.pmtu;
}

void FillRecovery(const ConnectionInfo& from, tcp_info* to) {
  to->tcpi_ca_state = static_cast<uint8_t>(from.ca_state);
  to->tcpi_retransmits = from.retransmits;
  to->tcpi_probes = from.probes;
  to->tcpi_backoff = from.backoff;
  to->tcpi_unacked = from.unacked;
  to->tcpi_sacked = from.sacked;
  to->tcpi_lost = from.lost;
  to->tcpi_retrans = from.retrans;
  to->tcpi_reordering = from.reordering;
  to->tcpi_reord_seen = from.reord_seen;
  to->tcpi_snd_ssthresh = from.snd_ssthresh;
  to->tcpi_snd_cwnd = from.snd_cwnd;
  to->tcpi_total_retrans = from.total_retrans;
  to->tcpi_dsack_dups = from.dsack_dups;
  to->tcpi_delivered = from.delivered;
  to->tcpi_delivered_ce = from.delivered_ce;
}

void FillTimes(const ConnectionInfo& from, tcp_info* to) {
  to->tcpi_busy_time = static_cast<uint64_t>(from.busy_time.microseconds());
  to->tcpi_rwnd_limited = static_cast<uint64_t>(from.rwnd_limited.microseconds());
  to->tcpi_sndbuf_limited = static_cast<uint64_t>(from.sndbuf_limited.microseconds());
  to->tcpi_rto = Microseconds(from.rto);
  to->tcpi_ato = Microseconds(from.ato);
  to->tcpi_rtt = Microseconds(from.rtt);
  to->tcpi_rttvar = Microseconds(from.rttvar);
  to->tcpi_min_rtt = Microseconds(from.min_rtt);
  to->tcpi_last_data_sent = Milliseconds(from.last_data_sent);
  to->tcpi_last_data_recv = Milliseconds(from.last_data_recv);
  to->tcpi_last_ack_recv = Milliseconds(from.last_ack_recv);
}

void FillCounts(const ConnectionInfo& from, tcp_info* to) {
  to->tcpi_rcv_space = from.rcv_space;
  to->tcpi_rcv_ssthresh = from.rcv_ssthresh;
  to->tcpi_snd_wnd = from.snd_wnd;
  to->tcpi_bytes_acked = from.bytes_acked;
  to->tcpi_bytes_received = from.bytes_received;
  to->tcpi_bytes_sent = from.bytes_sent;
  to->tcpi_bytes_retrans = from.bytes_retrans;
  to->tcpi_segs_out = from.segs_out;
  to->tcpi_segs_in = from.segs_in;
  to->tcpi_data_segs_out = from.data_segs_out;
  to->tcpi_data_segs_in = from.data_segs_in;
  to->tcpi_notsent_bytes = from.notsent_bytes;
  to->tcpi_rcv_ooopack = from.rcv_ooopack;
}

tcp_info InfoOf(const SocketFile& socket, Time now) {
  tcp_info info = {};
  info.tcpi_state = kKernelListen;
  if (socket.phase == SocketFile::Phase::kListening) return info;
  const ConnectionInfo from = socket.connection != nullptr ? socket.connection->Info(now) : socket.last_info;
  info.tcpi_state = KernelState(from.state);
  FillNegotiated(from, &info);
  FillRecovery(from, &info);
  FillTimes(from, &info);
  FillCounts(from, &info);
  return info;
}

std::string TcpStruct(const SocketFile& socket, int name, Time now) {
  switch (name) {
    case TCP_INFO:
      return BytesOf(InfoOf(socket, now));
    case TCP_CC_INFO:
      return BytesOf(tcp_cc_info{});
    default:
      return {};
  }
}

}  // namespace

std::string StructOption(const SocketFile& socket, int level, int name, Time now) {
  if (level == IPPROTO_TCP) return TcpStruct(socket, name, now);
  if (level != SOL_SOCKET || name != SO_MEMINFO) return {};
  std::array<uint32_t, SK_MEMINFO_VARS> memory = {};
  memory[SK_MEMINFO_RMEM_ALLOC] = static_cast<uint32_t>(socket.readable_bytes());
  memory[SK_MEMINFO_RCVBUF] = socket.options.receive_buffer;
  memory[SK_MEMINFO_SNDBUF] = socket.options.send_buffer;
  if (socket.connection != nullptr) memory[SK_MEMINFO_WMEM_QUEUED] = socket.connection->sender().queue().bytes();
  return BytesOf(memory);
}

uint32_t UnsentBytes(const Connection& connection) {
  const Sender& sender = connection.sender();
  const uint32_t queued = sender.queue().bytes();
  const auto sent = static_cast<uint32_t>(std::max<int64_t>(sender.max() - sender.una(), 0));
  return queued - std::min(queued, sent);
}

}  // namespace luna::tcp::posix
