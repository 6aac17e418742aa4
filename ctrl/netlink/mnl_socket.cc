#include "luna/ctrl/netlink/mnl_socket.h"

#include <libmnl/libmnl.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace luna::netlink {
namespace {

constexpr int kReceiveBufferBytes = 1 << 20;
// Foreign datagrams skipped by one Receive(): a flood of them must not hold the caller.
constexpr int kMaxSkipped = 16;

absl::Status ErrnoStatus(absl::StatusCode code, const char* what) {
  return absl::Status(code, absl::StrCat(what, ": ", strerror(errno)));
}

}  // namespace

absl::StatusOr<std::unique_ptr<MnlSocket>> MnlSocket::Open(absl::Span<const int> groups) {
  mnl_socket* raw = mnl_socket_open2(NETLINK_ROUTE, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (raw == nullptr) return ErrnoStatus(absl::StatusCode::kUnavailable, "cannot open a netlink socket");
  std::unique_ptr<MnlSocket> socket(new MnlSocket(raw));
  // Best effort: without CAP_NET_ADMIN the system's rmem_max caps it, and overflow is handled anyway.
  const int fd = mnl_socket_get_fd(raw);
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &kReceiveBufferBytes, sizeof(kReceiveBufferBytes)) != 0) {
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &kReceiveBufferBytes, sizeof(kReceiveBufferBytes));
  }
  if (mnl_socket_bind(raw, 0, MNL_SOCKET_AUTOPID) != 0) {
    return ErrnoStatus(absl::StatusCode::kUnavailable, "cannot bind a netlink socket");
  }
  for (int group : groups) {
    if (mnl_socket_setsockopt(raw, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) != 0) {
      return ErrnoStatus(absl::StatusCode::kUnavailable, "cannot join a netlink group");
    }
  }
  return socket;
}

MnlSocket::~MnlSocket() { mnl_socket_close(socket_); }

int MnlSocket::fd() const { return mnl_socket_get_fd(socket_); }

absl::Status MnlSocket::Send(absl::Span<const uint8_t> message) {
  if (mnl_socket_sendto(socket_, message.data(), message.size()) < 0) {
    const bool busy = errno == EAGAIN || errno == EINTR || errno == ENOBUFS;
    return ErrnoStatus(busy ? absl::StatusCode::kUnavailable : absl::StatusCode::kInternal, "netlink send");
  }
  return absl::OkStatus();
}

absl::StatusOr<size_t> MnlSocket::Receive(absl::Span<uint8_t> buffer) {
  for (int i = 0; i < kMaxSkipped; ++i) {
    sockaddr_nl from{};
    iovec vector{buffer.data(), buffer.size()};
    msghdr header{};
    header.msg_name = &from;
    header.msg_namelen = sizeof(from);
    header.msg_iov = &vector;
    header.msg_iovlen = 1;
    // mnl_socket_recvfrom refuses foreign senders' datagrams with an error of its own; here they are merely skipped.
    const ssize_t n = recvmsg(fd(), &header, 0);
    if (n < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN || errno == EWOULDBLOCK) return 0;
      const bool overflow = errno == ENOBUFS;
      return ErrnoStatus(overflow ? absl::StatusCode::kResourceExhausted : absl::StatusCode::kInternal,
                         "netlink receive");
    }
    if ((header.msg_flags & MSG_TRUNC) != 0) return absl::OutOfRangeError("netlink datagram longer than the buffer");
    if (header.msg_namelen != sizeof(from) || from.nl_pid != 0) continue;
    if (n > 0) return static_cast<size_t>(n);
  }
  return 0;
}

absl::Status MnlSocket::WaitReadable(Duration timeout) {
  pollfd poll_fd{fd(), POLLIN, 0};
  const int64_t ms = std::clamp<int64_t>(timeout.milliseconds(), 0, 1'000'000);
  const int n = poll(&poll_fd, 1, static_cast<int>(ms));
  if (n < 0 && errno != EINTR) return ErrnoStatus(absl::StatusCode::kInternal, "poll of a netlink socket");
  if (n <= 0) return absl::DeadlineExceededError("no answer from the kernel on a netlink socket");
  return absl::OkStatus();
}

}  // namespace luna::netlink
