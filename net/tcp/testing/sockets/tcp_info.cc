#include "luna/net/tcp/testing/sockets/tcp_info.h"

#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>

namespace luna::tcp::testing {
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

tcp_info InfoOf(const SocketFile& socket) {
  tcp_info info = {};
  info.tcpi_state = socket.phase == SocketFile::Phase::kListening ? kKernelListen : KernelState(State::kClosed);
  if (socket.connection == nullptr) return info;
  const Sender& sender = socket.connection->sender();
  info.tcpi_state = KernelState(socket.connection->state());
  info.tcpi_snd_mss = sender.mss();
  info.tcpi_snd_cwnd = sender.congestion().window() / std::max<uint32_t>(sender.mss(), 1);
  info.tcpi_unacked = (sender.flight() + sender.mss() - 1) / std::max<uint32_t>(sender.mss(), 1);
  info.tcpi_rto = static_cast<uint32_t>(sender.rtt().rto().microseconds());
  info.tcpi_reordering = 3;
  return info;
}

std::string TcpStruct(const SocketFile& socket, int name) {
  switch (name) {
    case TCP_INFO:
      return BytesOf(InfoOf(socket));
    case TCP_CC_INFO:
      return BytesOf(tcp_cc_info{});
    case TCP_CONGESTION:
      return std::string("reno").append(12, '\0');
    default:
      return {};
  }
}

}  // namespace

std::string StructOption(const SocketFile& socket, int level, int name, Time /*now*/) {
  if (level == IPPROTO_TCP) return TcpStruct(socket, name);
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

}  // namespace luna::tcp::testing
