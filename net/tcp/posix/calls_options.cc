// getsockopt, setsockopt and ioctl.

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/time.h>

#include <algorithm>
#include <climits>
#include <cstring>
#include <string>

#include "luna/net/tcp/posix/file.h"
#include "luna/net/tcp/posix/sockets.h"
#include "luna/net/tcp/posix/tcp_info.h"

namespace luna::tcp::posix {
namespace {

using Phase = SocketFile::Phase;

// An option whose value is an int.
struct IntOption {
  int level;
  int name;
  int (*get)(const SocketFile& socket);
  int (*set)(SocketFile& socket, int value);  // 0 or an errno; null: it can only be read
};

constexpr int kMostKeepAliveSeconds = 32767;
constexpr int kMostProbes = 127;
constexpr int kLargestMss = 32767;
constexpr int kSmallestMss = 88;
constexpr size_t kCongestionNameBytes = 16;  // TCP_CA_NAME_MAX

int SetWithin(int value, int low, int high, int* out) {
  if (value < low || value > high) return EINVAL;
  *out = value;
  return 0;
}

template <bool SocketOptions::*kField>
int GetBool(const SocketFile& socket) {
  return socket.options.*kField ? 1 : 0;
}
template <bool SocketOptions::*kField>
int SetBool(SocketFile& socket, int value) {
  socket.options.*kField = value != 0;
  return 0;
}
template <int SocketOptions::*kField>
int GetInt(const SocketFile& socket) {
  return socket.options.*kField;
}
template <int SocketOptions::*kField, int kLow, int kHigh>
int SetInt(SocketFile& socket, int value) {
  return SetWithin(value, kLow, kHigh, &(socket.options.*kField));
}

int GetMaxSegment(const SocketFile& socket) {
  if (socket.connection != nullptr && socket.phase == Phase::kConnected) {
    return static_cast<int>(socket.connection->sender().mss());
  }
  return socket.options.max_segment == 0 ? kDefaultMss : socket.options.max_segment;
}

int SetMaxSegment(SocketFile& socket, int value) {
  if (value == 0) {
    socket.options.max_segment = 0;
    return 0;
  }
  return SetWithin(value, kSmallestMss, kLargestMss, &socket.options.max_segment);
}

// TCP_LINGER2 of -1: no FIN-WAIT-2 at all.
int SetFinWait2(SocketFile& socket, int value) {
  socket.options.fin_wait_2_seconds = value < 0 ? -1 : value;
  return 0;
}

int SetReadLowWater(SocketFile& socket, int value) {
  socket.options.receive_low_water = value < 0 ? INT_MAX : std::max(value, 1);
  return 0;
}

int SetQueueHint(SocketFile& socket, int value) {
  if (value != 0 && value != 1) return EINVAL;
  socket.options.queue_hint = value == 1;
  return 0;
}

constexpr IntOption kIntOptions[] = {
    {SOL_SOCKET, SO_REUSEADDR, GetBool<&SocketOptions::reuse_address>, SetBool<&SocketOptions::reuse_address>},
    {SOL_SOCKET, SO_REUSEPORT, GetBool<&SocketOptions::reuse_port>, SetBool<&SocketOptions::reuse_port>},
    {SOL_SOCKET, SO_BROADCAST, GetBool<&SocketOptions::broadcast>, SetBool<&SocketOptions::broadcast>},
    {SOL_SOCKET, SO_OOBINLINE, GetBool<&SocketOptions::oob_inline>, SetBool<&SocketOptions::oob_inline>},
    {SOL_SOCKET, SO_ZEROCOPY, GetBool<&SocketOptions::zerocopy>, SetBool<&SocketOptions::zerocopy>},
    {SOL_SOCKET, SO_KEEPALIVE, GetBool<&SocketOptions::keep_alive>, SetBool<&SocketOptions::keep_alive>},
    {SOL_SOCKET, SO_TYPE, [](const SocketFile&) { return int{SOCK_STREAM}; }, nullptr},
    {SOL_SOCKET, SO_DOMAIN, [](const SocketFile&) { return int{AF_INET}; }, nullptr},
    {SOL_SOCKET, SO_PROTOCOL, [](const SocketFile&) { return int{IPPROTO_TCP}; }, nullptr},
    {SOL_SOCKET, SO_ACCEPTCONN, [](const SocketFile& s) { return s.phase == Phase::kListening ? 1 : 0; }, nullptr},
    {SOL_SOCKET, SO_SNDBUF, [](const SocketFile& s) { return static_cast<int>(s.options.send_buffer); }, nullptr},
    {SOL_SOCKET, SO_RCVBUF, [](const SocketFile& s) { return static_cast<int>(s.options.receive_buffer); }, nullptr},
    {SOL_SOCKET, SO_RCVLOWAT, [](const SocketFile& s) { return static_cast<int>(s.options.receive_low_water); },
     SetReadLowWater},
    {IPPROTO_TCP, TCP_NODELAY, GetBool<&SocketOptions::no_delay>, SetBool<&SocketOptions::no_delay>},
    {IPPROTO_TCP, TCP_CORK, GetBool<&SocketOptions::cork>, SetBool<&SocketOptions::cork>},
    {IPPROTO_TCP, TCP_QUICKACK, GetBool<&SocketOptions::quick_ack>, SetBool<&SocketOptions::quick_ack>},
    {IPPROTO_TCP, TCP_INQ, GetBool<&SocketOptions::queue_hint>, SetQueueHint},
    {IPPROTO_TCP, TCP_MAXSEG, GetMaxSegment, SetMaxSegment},
    {IPPROTO_TCP, TCP_USER_TIMEOUT, GetInt<&SocketOptions::user_timeout_ms>,
     SetInt<&SocketOptions::user_timeout_ms, 0, INT_MAX>},
    {IPPROTO_TCP, TCP_KEEPIDLE, GetInt<&SocketOptions::keep_idle_seconds>,
     SetInt<&SocketOptions::keep_idle_seconds, 1, kMostKeepAliveSeconds>},
    {IPPROTO_TCP, TCP_KEEPINTVL, GetInt<&SocketOptions::keep_interval_seconds>,
     SetInt<&SocketOptions::keep_interval_seconds, 1, kMostKeepAliveSeconds>},
    {IPPROTO_TCP, TCP_KEEPCNT, GetInt<&SocketOptions::keep_count>, SetInt<&SocketOptions::keep_count, 1, kMostProbes>},
    {IPPROTO_TCP, TCP_SYNCNT, GetInt<&SocketOptions::syn_count>, SetInt<&SocketOptions::syn_count, 1, kMostProbes>},
    {IPPROTO_TCP, TCP_LINGER2, GetInt<&SocketOptions::fin_wait_2_seconds>, SetFinWait2},
    {IPPROTO_TCP, TCP_DEFER_ACCEPT, GetInt<&SocketOptions::defer_accept_seconds>,
     SetInt<&SocketOptions::defer_accept_seconds, 0, INT_MAX>},
    {IPPROTO_TCP, TCP_WINDOW_CLAMP, GetInt<&SocketOptions::window_clamp>,
     SetInt<&SocketOptions::window_clamp, 0, INT_MAX>},
    {IPPROTO_TCP, TCP_NOTSENT_LOWAT, GetInt<&SocketOptions::not_sent_low_water>,
     SetInt<&SocketOptions::not_sent_low_water, 0, INT_MAX>},
    {IPPROTO_IP, IP_TOS, GetInt<&SocketOptions::tos>, SetInt<&SocketOptions::tos, 0, 255>},
    {IPPROTO_IP, IP_TTL, GetInt<&SocketOptions::ttl>, SetInt<&SocketOptions::ttl, 1, 255>},
};

const IntOption* FindInt(int level, int name) {
  const auto* found = std::find_if(std::begin(kIntOptions), std::end(kIntOptions),
                                   [&](const IntOption& o) { return o.level == level && o.name == name; });
  return found == std::end(kIntOptions) ? nullptr : found;
}

// As the system calls hand a value out: cut off to the length that was asked.
CallResult Give(absl::Span<const char> bytes, void* value, socklen_t* length) {
  const size_t n = std::min<size_t>(*length, bytes.size());
  if (n != 0 && value == nullptr) return Failure(EFAULT);
  if (n != 0) std::memcpy(value, bytes.data(), n);
  *length = static_cast<socklen_t>(n);
  return Success();
}

template <typename T>
CallResult GiveValue(const T& from, void* value, socklen_t* length) {
  return Give({reinterpret_cast<const char*>(&from), sizeof(from)}, value, length);
}

template <typename T>
int TakeValue(const void* value, socklen_t length, T* out) {
  if (length < sizeof(T)) return EINVAL;
  if (value == nullptr) return EFAULT;
  std::memcpy(out, value, sizeof(T));
  return 0;
}

timeval ToTimeval(Duration duration) {
  if (duration == Duration::Infinite()) return {};
  return {.tv_sec = duration / Duration::Seconds(1), .tv_usec = duration.microseconds() % (1000 * 1000)};
}

int SetTimeout(const void* value, socklen_t length, Duration* out) {
  timeval time;
  if (const int error = TakeValue(value, length, &time); error != 0) return error;
  if (time.tv_usec < 0 || time.tv_usec >= 1000 * 1000) return EDOM;
  const Duration duration = Duration::Seconds(time.tv_sec) + Duration::Microseconds(time.tv_usec);
  *out = time.tv_sec < 0 ? Duration::Zero() : duration == Duration::Zero() ? Duration::Infinite() : duration;
  return 0;
}

int SetLinger(SocketFile& socket, const void* value, socklen_t length) {
  linger what;
  if (const int error = TakeValue(value, length, &what); error != 0) return error;
  socket.options.linger = what.l_onoff != 0;
  if (what.l_onoff != 0) socket.options.linger_seconds = what.l_linger;
  return 0;
}

}  // namespace

CallResult Sockets::GetSockOpt(int fd, int level, int name, void* value, socklen_t* length) {
  int error;
  const std::shared_ptr<SocketFile> socket = FindSocket(fd, &error);
  if (error != 0) return Failure(error);
  if (length == nullptr) return Failure(EFAULT);
  if (static_cast<int>(*length) < 0) return Failure(EINVAL);
  if (level == SOL_SOCKET && name == SO_ERROR) {
    if (value == nullptr && *length > 0) return Failure(EFAULT);
    return GiveValue(TakeError(*socket), value, length);
  }
  if (const IntOption* option = FindInt(level, name)) return GiveValue(option->get(*socket), value, length);
  if (level == SOL_SOCKET && name == SO_LINGER) {
    const linger what = {.l_onoff = socket->options.linger ? 1 : 0, .l_linger = socket->options.linger_seconds};
    return GiveValue(what, value, length);
  }
  if (level == SOL_SOCKET && name == SO_RCVTIMEO) {
    return GiveValue(ToTimeval(socket->options.receive_timeout), value, length);
  }
  if (level == SOL_SOCKET && name == SO_SNDTIMEO) {
    return GiveValue(ToTimeval(socket->options.send_timeout), value, length);
  }
  if (level == IPPROTO_TCP && name == TCP_CONGESTION) {
    std::string algorithm = CongestionName(settings_);
    algorithm.resize(kCongestionNameBytes);
    return Give({algorithm.data(), algorithm.size()}, value, length);
  }
  const std::string bytes = StructOption(*socket, level, name, now());
  return bytes.empty() ? Failure(ENOPROTOOPT) : Give({bytes.data(), bytes.size()}, value, length);
}

CallResult Sockets::SetSockOpt(int fd, int level, int name, const void* value, socklen_t length) {
  int error;
  const std::shared_ptr<SocketFile> socket = FindSocket(fd, &error);
  if (error != 0) return Failure(error);
  const IntOption* option = FindInt(level, name);
  if (level == SOL_SOCKET && (name == SO_SNDBUF || name == SO_RCVBUF)) {
    error = SetBuffer(*socket, name, value, length);
  } else if (level == SOL_SOCKET && name == SO_LINGER) {
    error = SetLinger(*socket, value, length);
  } else if (level == SOL_SOCKET && (name == SO_RCVTIMEO || name == SO_SNDTIMEO)) {
    SocketOptions& options = socket->options;
    error = SetTimeout(value, length, name == SO_RCVTIMEO ? &options.receive_timeout : &options.send_timeout);
  } else if (level == IPPROTO_TCP && name == TCP_CONGESTION) {
    error = CheckCongestion(value, length);
  } else if (option != nullptr && option->set != nullptr) {
    int number = 0;
    error = TakeValue(value, length, &number);
    if (error == 0) error = option->set(*socket, number);
  } else {
    error = ENOPROTOOPT;
  }
  if (error != 0) return Failure(error);
  ApplyOptions(*socket);
  socket->Tell();
  if (level == IPPROTO_TCP && name == TCP_NODELAY && socket->options.no_delay) PushHeldBack(*socket);
  return Finish(Success());
}

int Sockets::SetBuffer(SocketFile& socket, int name, const void* value, socklen_t length) {
  constexpr uint32_t kLeast[] = {4608, 2304};  // Linux' SOCK_MIN_SNDBUF and SOCK_MIN_RCVBUF
  int number = 0;
  if (const int error = TakeValue(value, length, &number); error != 0) return error;
  const auto asked =
      std::min(number < 0 ? uint32_t{INT_MAX} : static_cast<uint32_t>(number), settings_.sockets.buffer_limit_bytes);
  const bool send = name == SO_SNDBUF;
  const uint32_t bytes = settings_.sockets.double_buffers ? std::max(2 * asked, kLeast[send ? 0 : 1]) : asked;
  (send ? socket.options.send_buffer : socket.options.receive_buffer) = bytes;
  (send ? socket.options.send_buffer_set : socket.options.receive_buffer_set) = true;
  return 0;
}

// One for the whole stack.
int Sockets::CheckCongestion(const void* value, socklen_t length) const {
  if (value == nullptr) return EFAULT;
  if (length < 1) return EINVAL;
  std::string name(static_cast<const char*>(value), std::min<size_t>(length, kCongestionNameBytes - 1));
  return name.substr(0, name.find('\0')) == CongestionName(settings_) ? 0 : ENOENT;
}

CallResult Sockets::Ioctl(int fd, unsigned long request, void* argument) {  // NOLINT(google-runtime-int)
  int error;
  const std::shared_ptr<SocketFile> socket = FindSocket(fd, &error);
  if (error != 0) return Failure(error == ENOTSOCK ? ENOTTY : error);
  if (argument == nullptr) return Failure(EFAULT);
  int value = 0;
  if (request == FIONBIO) {
    std::memcpy(&value, argument, sizeof(value));
    socket->flags = value != 0 ? socket->flags | O_NONBLOCK : socket->flags & ~O_NONBLOCK;
    return Success();
  }
  if (socket->phase == Phase::kListening) return Failure(EINVAL);
  const Connection* connection = socket->connection;
  switch (request) {
    case SIOCINQ:  // also FIONREAD
      value = static_cast<int>(socket->readable_bytes());
      break;
    case SIOCOUTQ:  // also TIOCOUTQ
      if (connection != nullptr) value = static_cast<int>(connection->sender().queue().bytes());
      break;
    case SIOCOUTQNSD:
      if (connection != nullptr) value = static_cast<int>(UnsentBytes(*connection));
      break;
    default:
      return Failure(ENOTTY);
  }
  std::memcpy(argument, &value, sizeof(value));
  return Success();
}

}  // namespace luna::tcp::posix
