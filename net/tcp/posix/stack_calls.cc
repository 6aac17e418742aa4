// What the calls ask of the stack: the one place where socket options and errors of this host meet the stack's.

#include <errno.h>

#include <algorithm>
#include <utility>

#include "glog/logging.h"
#include "luna/net/tcp/posix/file.h"
#include "luna/net/tcp/posix/sockets.h"

namespace luna::tcp::posix {
namespace {

ConnectionOptions ForStack(const SocketOptions& from, const Settings& profile) {
  ConnectionOptions to = profile.stack;
  if (from.receive_buffer_set) {
    // Half of what Linux doubled stands for its own overhead.
    to.receive_buffer_bytes =
        std::max(profile.sockets.double_buffers ? from.receive_buffer / 2 : from.receive_buffer, 1u);
  }
  if (from.send_buffer_set) to.send_buffer_bytes = std::max(to.send_buffer_bytes, from.send_buffer);
  to.nagle = !from.no_delay;
  to.cork = from.cork;
  to.keep_alive = from.keep_alive;
  if (from.keep_idle_seconds != 0) to.keep_alive_idle = Duration::Seconds(from.keep_idle_seconds);
  if (from.keep_interval_seconds != 0) to.keep_alive_interval = Duration::Seconds(from.keep_interval_seconds);
  if (from.keep_count != 0) to.keep_alive_probes = static_cast<uint8_t>(from.keep_count);
  if (from.syn_count != 0) to.syn_retries = static_cast<uint8_t>(from.syn_count);
  to.user_timeout = Duration::Milliseconds(from.user_timeout_ms);
  if (from.fin_wait_2_seconds != 0) to.fin_wait_2 = Duration::Seconds(std::max(from.fin_wait_2_seconds, 0));
  to.mss_clamp = static_cast<uint16_t>(from.max_segment);
  to.window_clamp = static_cast<uint32_t>(from.window_clamp);
  if (from.not_sent_low_water != 0) to.unsent_low_water = static_cast<uint32_t>(from.not_sent_low_water);
  to.dscp = static_cast<uint8_t>(from.tos >> 2);
  to.ttl = static_cast<uint8_t>(from.ttl);
  return to;
}

// As Linux translates ICMP, as far as NetworkError tells its codes apart.
int ErrorOf(NetworkError error) {
  switch (error) {
    case NetworkError::kNetUnreachable:
      return ENETUNREACH;
    case NetworkError::kHostUnreachable:
    case NetworkError::kProhibited:
    case NetworkError::kTimeExceeded:
      return EHOSTUNREACH;
    case NetworkError::kProtocolUnreachable:
      return ENOPROTOOPT;
    case NetworkError::kPortUnreachable:
      return ECONNREFUSED;
    case NetworkError::kMessageTooBig:
      return EMSGSIZE;
    case NetworkError::kSourceRouteFailed:
      return EOPNOTSUPP;
    case NetworkError::kHostUnknown:
      return EHOSTDOWN;
    case NetworkError::kParameterProblem:
      return EPROTO;
    case NetworkError::kNone:
    case NetworkError::kNoAnswer:
      return 0;
  }
  return 0;
}

struct Backlogs {
  uint32_t half_open;
  uint32_t accepted;
};

// A negative backlog is the largest there is. As many wait to be accepted as was said, and one more; FreeBSD adds half.
Backlogs BacklogsOf(int backlog, const SocketDefaults& sockets) {
  const uint32_t said = std::min(static_cast<uint32_t>(backlog), sockets.listen_backlog_limit);
  return {.half_open = std::max(said, 1u), .accepted = (sockets.bsd ? said + said / 2 : said) + 1};
}

int ErrorOfReset(const SocketFile& socket, bool peer_had_closed, bool bsd) {
  if (!peer_had_closed) return ECONNRESET;
  if (bsd) return socket.write_shut ? 0 : ECONNRESET;
  return socket.write_shut ? ECONNRESET : EPIPE;
}

}  // namespace

int Sockets::ErrorOfEnd(const SocketFile& socket, const Connection& connection) const {
  const int said = ErrorOf(connection.soft_error());
  switch (connection.close_reason()) {
    case CloseReason::kReset:
      return ErrorOfReset(socket, connection.peer_closed(), settings_.sockets.bsd);
    case CloseReason::kRefused:
      return ECONNREFUSED;
    case CloseReason::kTimedOut:
    case CloseReason::kKeepAlive:
      return said == 0 ? ETIMEDOUT : said;
    case CloseReason::kUnreachable:
      return said == 0 ? EHOSTUNREACH : said;
    default:
      return 0;
  }
}

int Sockets::TakeError(SocketFile& socket) {
  if (socket.error != 0) return std::exchange(socket.error, 0);
  return socket.connection == nullptr ? 0 : ErrorOf(socket.connection->TakeSoftError());
}

absl::StatusOr<Listener*> Sockets::StartListening(SocketFile& socket, int backlog) {
  const Backlogs limits = BacklogsOf(backlog, settings_.sockets);
  return OpenListener(*socket.bound, {.backlog = limits.half_open,
                                      .accept_backlog = limits.accepted,
                                      .context = &socket,
                                      .connection = ForStack(socket.options, settings_)});
}

void Sockets::ListenAgain(SocketFile& socket, int backlog) const {
  const Backlogs limits = BacklogsOf(backlog, settings_.sockets);
  socket.listener->SetBacklog(limits.half_open, limits.accepted);
}

absl::StatusOr<Connection*> Sockets::OpenConnection(SocketFile& socket, const wire::Endpoint& local,
                                                    const wire::Endpoint& remote) {
  return Open(local, remote, ForStack(socket.options, settings_));
}

void Sockets::ApplyOptions(SocketFile& socket) {
  const ConnectionOptions options = ForStack(socket.options, settings_);
  if (socket.listener != nullptr) socket.listener->set_connection_options(options);
  if (socket.connection == nullptr) return;
  const absl::Status status = socket.connection->SetOptions(options, now());
  LOG_IF(WARNING, !status.ok()) << status;
  if (socket.options.quick_ack != socket.connection->quick_ack()) {
    socket.connection->SetQuickAck(socket.options.quick_ack);
  }
}

// Saying so once more pushes what a cork, MSG_MORE or Nagle's algorithm holds back.
void Sockets::PushHeldBack(SocketFile& socket) {
  if (socket.connection != nullptr) socket.connection->Push();
}

}  // namespace luna::tcp::posix
