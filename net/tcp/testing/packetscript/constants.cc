#include "luna/net/tcp/testing/packetscript/constants.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "luna/net/wire/address.h"

namespace luna::tcp::packetscript {
namespace {

struct Constant {
  const char* name;
  int64_t value;
};

#define LUNA_CONSTANT(name) \
  { #name, name }

constexpr Constant kErrors[] = {LUNA_CONSTANT(EPERM),        LUNA_CONSTANT(ENOENT),
                                LUNA_CONSTANT(EINTR),        LUNA_CONSTANT(EIO),
                                LUNA_CONSTANT(EBADF),        LUNA_CONSTANT(EAGAIN),
                                LUNA_CONSTANT(ENOMEM),       LUNA_CONSTANT(EACCES),
                                LUNA_CONSTANT(EFAULT),       LUNA_CONSTANT(EBUSY),
                                LUNA_CONSTANT(EEXIST),       LUNA_CONSTANT(EINVAL),
                                LUNA_CONSTANT(ENFILE),       LUNA_CONSTANT(EMFILE),
                                LUNA_CONSTANT(ENOSPC),       LUNA_CONSTANT(ESPIPE),
                                LUNA_CONSTANT(EPIPE),        LUNA_CONSTANT(EDOM),
                                LUNA_CONSTANT(ERANGE),       LUNA_CONSTANT(EPROTO),
                                LUNA_CONSTANT(EMSGSIZE),     LUNA_CONSTANT(ENOTSOCK),
                                LUNA_CONSTANT(EDESTADDRREQ), LUNA_CONSTANT(EPROTOTYPE),
                                LUNA_CONSTANT(ENOPROTOOPT),  LUNA_CONSTANT(EOPNOTSUPP),
                                LUNA_CONSTANT(EAFNOSUPPORT), LUNA_CONSTANT(EADDRINUSE),
                                LUNA_CONSTANT(ENETDOWN),     LUNA_CONSTANT(EADDRNOTAVAIL),
                                LUNA_CONSTANT(ENETUNREACH),  LUNA_CONSTANT(ENETRESET),
                                LUNA_CONSTANT(ECONNABORTED), LUNA_CONSTANT(ECONNRESET),
                                LUNA_CONSTANT(ENOBUFS),      LUNA_CONSTANT(EISCONN),
                                LUNA_CONSTANT(ENOTCONN),     LUNA_CONSTANT(ESHUTDOWN),
                                LUNA_CONSTANT(ETIMEDOUT),    LUNA_CONSTANT(ECONNREFUSED),
                                LUNA_CONSTANT(EHOSTDOWN),    LUNA_CONSTANT(EHOSTUNREACH),
                                LUNA_CONSTANT(EALREADY),     LUNA_CONSTANT(EINPROGRESS),
                                LUNA_CONSTANT(ENOPROTOOPT),  LUNA_CONSTANT(EPROTONOSUPPORT)};

constexpr Constant kNames[] = {
    LUNA_CONSTANT(AF_UNSPEC),
    LUNA_CONSTANT(AF_INET),
    LUNA_CONSTANT(AF_INET6),
    LUNA_CONSTANT(PF_INET),
    LUNA_CONSTANT(PF_INET6),
    LUNA_CONSTANT(SOCK_STREAM),
    LUNA_CONSTANT(SOCK_DGRAM),
    LUNA_CONSTANT(SOCK_RAW),
    LUNA_CONSTANT(SOCK_NONBLOCK),
    LUNA_CONSTANT(SOCK_CLOEXEC),
    LUNA_CONSTANT(IPPROTO_IP),
    LUNA_CONSTANT(IPPROTO_IPV6),
    LUNA_CONSTANT(IPPROTO_ICMP),
    LUNA_CONSTANT(IPPROTO_TCP),
    LUNA_CONSTANT(IPPROTO_UDP),
    LUNA_CONSTANT(INADDR_ANY),
    LUNA_CONSTANT(SHUT_RD),
    LUNA_CONSTANT(SHUT_WR),
    LUNA_CONSTANT(SHUT_RDWR),
    // Levels and options.
    LUNA_CONSTANT(SOL_SOCKET),
    {"SOL_TCP", IPPROTO_TCP},
    {"SOL_IP", IPPROTO_IP},
    {"SOL_IPV6", IPPROTO_IPV6},
    LUNA_CONSTANT(SO_ACCEPTCONN),
    LUNA_CONSTANT(SO_BROADCAST),
    LUNA_CONSTANT(SO_DEBUG),
    LUNA_CONSTANT(SO_DOMAIN),
    LUNA_CONSTANT(SO_DONTROUTE),
    LUNA_CONSTANT(SO_ERROR),
    LUNA_CONSTANT(SO_KEEPALIVE),
    LUNA_CONSTANT(SO_LINGER),
    LUNA_CONSTANT(SO_MARK),
    LUNA_CONSTANT(SO_OOBINLINE),
    LUNA_CONSTANT(SO_PRIORITY),
    LUNA_CONSTANT(SO_PROTOCOL),
    LUNA_CONSTANT(SO_RCVBUF),
    LUNA_CONSTANT(SO_RCVBUFFORCE),
    LUNA_CONSTANT(SO_RCVLOWAT),
    LUNA_CONSTANT(SO_RCVTIMEO),
    LUNA_CONSTANT(SO_REUSEADDR),
    LUNA_CONSTANT(SO_REUSEPORT),
    LUNA_CONSTANT(SO_SNDBUF),
    LUNA_CONSTANT(SO_SNDBUFFORCE),
    LUNA_CONSTANT(SO_SNDLOWAT),
    LUNA_CONSTANT(SO_SNDTIMEO),
    LUNA_CONSTANT(SO_TIMESTAMP),
    LUNA_CONSTANT(SO_TYPE),
    LUNA_CONSTANT(SO_ZEROCOPY),
    LUNA_CONSTANT(SO_MAX_PACING_RATE),
    LUNA_CONSTANT(SO_TIMESTAMPING),
    LUNA_CONSTANT(SO_BUSY_POLL),
    LUNA_CONSTANT(SO_INCOMING_CPU),
    LUNA_CONSTANT(SO_MEMINFO),
    LUNA_CONSTANT(IP_TOS),
    LUNA_CONSTANT(IP_TTL),
    LUNA_CONSTANT(IP_MTU),
    LUNA_CONSTANT(IP_MTU_DISCOVER),
    LUNA_CONSTANT(IP_RECVERR),
    LUNA_CONSTANT(IP_MINTTL),
    LUNA_CONSTANT(IP_RECVTOS),
    LUNA_CONSTANT(IP_RECVTTL),
    LUNA_CONSTANT(IP_PMTUDISC_DONT),
    LUNA_CONSTANT(IP_PMTUDISC_WANT),
    LUNA_CONSTANT(IP_PMTUDISC_DO),
    LUNA_CONSTANT(IP_PMTUDISC_PROBE),
    LUNA_CONSTANT(IP_BIND_ADDRESS_NO_PORT),
    LUNA_CONSTANT(IP_FREEBIND),
    LUNA_CONSTANT(TCP_CC_INFO),
    LUNA_CONSTANT(TCP_CONGESTION),
    LUNA_CONSTANT(TCP_CORK),
    {"TCP_NOPUSH", TCP_CORK},
    LUNA_CONSTANT(TCP_DEFER_ACCEPT),
    LUNA_CONSTANT(TCP_FASTOPEN),
    LUNA_CONSTANT(TCP_FASTOPEN_CONNECT),
    LUNA_CONSTANT(TCP_FASTOPEN_KEY),
    LUNA_CONSTANT(TCP_FASTOPEN_NO_COOKIE),
    LUNA_CONSTANT(TCP_INFO),
    LUNA_CONSTANT(TCP_INQ),
    LUNA_CONSTANT(TCP_CM_INQ),
    LUNA_CONSTANT(TCP_KEEPCNT),
    LUNA_CONSTANT(TCP_KEEPIDLE),
    LUNA_CONSTANT(TCP_KEEPINTVL),
    LUNA_CONSTANT(TCP_LINGER2),
    LUNA_CONSTANT(TCP_MAXSEG),
    LUNA_CONSTANT(TCP_MD5SIG),
    LUNA_CONSTANT(TCP_NODELAY),
    LUNA_CONSTANT(TCP_NOTSENT_LOWAT),
    LUNA_CONSTANT(TCP_QUEUE_SEQ),
    LUNA_CONSTANT(TCP_QUICKACK),
    LUNA_CONSTANT(TCP_REPAIR),
    LUNA_CONSTANT(TCP_SAVED_SYN),
    LUNA_CONSTANT(TCP_SAVE_SYN),
    LUNA_CONSTANT(TCP_SYNCNT),
    LUNA_CONSTANT(TCP_THIN_DUPACK),
    LUNA_CONSTANT(TCP_THIN_LINEAR_TIMEOUTS),
    LUNA_CONSTANT(TCP_TIMESTAMP),
    LUNA_CONSTANT(TCP_TX_DELAY),
    LUNA_CONSTANT(TCP_USER_TIMEOUT),
    LUNA_CONSTANT(TCP_WINDOW_CLAMP),
    // Flags of calls.
    LUNA_CONSTANT(MSG_CONFIRM),
    LUNA_CONSTANT(MSG_CTRUNC),
    LUNA_CONSTANT(MSG_DONTROUTE),
    LUNA_CONSTANT(MSG_DONTWAIT),
    LUNA_CONSTANT(MSG_EOR),
    LUNA_CONSTANT(MSG_ERRQUEUE),
    LUNA_CONSTANT(MSG_FASTOPEN),
    LUNA_CONSTANT(MSG_MORE),
    LUNA_CONSTANT(MSG_NOSIGNAL),
    LUNA_CONSTANT(MSG_OOB),
    LUNA_CONSTANT(MSG_PEEK),
    LUNA_CONSTANT(MSG_TRUNC),
    LUNA_CONSTANT(MSG_WAITALL),
    LUNA_CONSTANT(MSG_ZEROCOPY),
    LUNA_CONSTANT(O_APPEND),
    LUNA_CONSTANT(O_CLOEXEC),
    LUNA_CONSTANT(O_NONBLOCK),
    LUNA_CONSTANT(O_RDONLY),
    LUNA_CONSTANT(O_RDWR),
    LUNA_CONSTANT(O_WRONLY),
    LUNA_CONSTANT(O_CREAT),
    LUNA_CONSTANT(O_TRUNC),
    LUNA_CONSTANT(F_DUPFD),
    LUNA_CONSTANT(F_GETFD),
    LUNA_CONSTANT(F_GETFL),
    LUNA_CONSTANT(F_SETFD),
    LUNA_CONSTANT(F_SETFL),
    LUNA_CONSTANT(FD_CLOEXEC),
    LUNA_CONSTANT(SPLICE_F_MOVE),
    LUNA_CONSTANT(SPLICE_F_NONBLOCK),
    LUNA_CONSTANT(SPLICE_F_MORE),
    LUNA_CONSTANT(FIONREAD),
    LUNA_CONSTANT(FIONBIO),
    LUNA_CONSTANT(SIOCINQ),
    LUNA_CONSTANT(SIOCOUTQ),
    LUNA_CONSTANT(SIOCOUTQNSD),
    LUNA_CONSTANT(SIOCATMARK),
    {"FIONWRITE", SIOCOUTQ},
    LUNA_CONSTANT(POLLIN),
    LUNA_CONSTANT(POLLPRI),
    LUNA_CONSTANT(POLLOUT),
    LUNA_CONSTANT(POLLRDNORM),
    LUNA_CONSTANT(POLLRDBAND),
    LUNA_CONSTANT(POLLWRNORM),
    LUNA_CONSTANT(POLLWRBAND),
    LUNA_CONSTANT(POLLERR),
    LUNA_CONSTANT(POLLHUP),
    LUNA_CONSTANT(POLLNVAL),
    LUNA_CONSTANT(POLLRDHUP),
    LUNA_CONSTANT(EPOLL_CTL_ADD),
    LUNA_CONSTANT(EPOLL_CTL_DEL),
    LUNA_CONSTANT(EPOLL_CTL_MOD),
    LUNA_CONSTANT(EPOLLIN),
    LUNA_CONSTANT(EPOLLOUT),
    LUNA_CONSTANT(EPOLLPRI),
    LUNA_CONSTANT(EPOLLERR),
    LUNA_CONSTANT(EPOLLHUP),
    LUNA_CONSTANT(EPOLLRDHUP),
    LUNA_CONSTANT(EPOLLRDNORM),
    LUNA_CONSTANT(EPOLLRDBAND),
    LUNA_CONSTANT(EPOLLWRNORM),
    LUNA_CONSTANT(EPOLLWRBAND),
    LUNA_CONSTANT(EPOLLET),
    LUNA_CONSTANT(EPOLLONESHOT),
    LUNA_CONSTANT(EPOLLEXCLUSIVE),
    {"NULL", 0},
};

#undef LUNA_CONSTANT

absl::StatusOr<int64_t> CallValue(const Expression& expression) {
  if (expression.items.size() == 1) {
    const Expression& argument = expression.items[0];
    if (expression.text == "htons" || expression.text == "htonl") return IntegerOf(argument);
    if (expression.text == "inet_addr" && argument.kind == Expression::Kind::kString) {
      if (const auto address = wire::Ipv4Address::Parse(argument.text)) return int64_t{address->value()};
    }
  }
  return absl::InvalidArgumentError(absl::StrCat(expression.text, "(…) is no number"));
}

}  // namespace

absl::StatusOr<int64_t> ConstantByName(absl::string_view name) {
  for (const Constant& constant : kNames) {
    if (name == constant.name) return constant.value;
  }
  for (const Constant& constant : kErrors) {
    if (name == constant.name) return constant.value;
  }
  if (name == "EWOULDBLOCK") return EAGAIN;
  return absl::NotFoundError(absl::StrCat("the name ", name, " is not known"));
}

std::string ErrnoName(int error) {
  for (const Constant& constant : kErrors) {
    if (error == constant.value) return constant.name;
  }
  return absl::StrCat(error);
}

absl::StatusOr<int64_t> IntegerOf(const Expression& expression) {
  switch (expression.kind) {
    case Expression::Kind::kInteger:
      return expression.number;
    case Expression::Kind::kWord:
      return ConstantByName(expression.text);
    case Expression::Kind::kCall:
      return CallValue(expression);
    case Expression::Kind::kOr: {
      int64_t all = 0;
      for (const Expression& item : expression.items) {
        const absl::StatusOr<int64_t> value = IntegerOf(item);
        if (!value.ok()) return value;
        all |= *value;
      }
      return all;
    }
    default:
      return absl::InvalidArgumentError("a number is expected");
  }
}

}  // namespace luna::tcp::packetscript
