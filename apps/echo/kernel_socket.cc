#include "luna/apps/echo/kernel_socket.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace luna::apps {
namespace {

sockaddr_in ToSockaddr(const wire::Endpoint& endpoint) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(endpoint.port);
  address.sin_addr.s_addr = htonl(endpoint.address.v4().value());
  return address;
}

absl::Status Errno(absl::string_view what, const wire::Endpoint& endpoint, absl::string_view mend) {
  return absl::UnavailableError(absl::StrCat(what, " ", endpoint.ToString(), ": ", std::strerror(errno), mend));
}

void NoDelay(int fd) {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

}  // namespace

absl::StatusOr<Fd> ListenKernel(const wire::Endpoint& local) {
  Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const int on = 1;
  const sockaddr_in address = ToSockaddr(local);
  if (fd.get() < 0) return Errno("cannot open a socket for", local, "");
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return Errno("cannot bind", local,
                 errno == EADDRINUSE      ? "; choose another --port, or stop the program that has it (ss -ltnp)"
                 : errno == EADDRNOTAVAIL ? "; --address must be one of this host's (ip address)"
                                          : "");
  }
  if (listen(fd.get(), 1024) != 0) return Errno("cannot listen on", local, "; choose another --port");
  return fd;
}

absl::StatusOr<Fd> ConnectKernel(const wire::Endpoint& remote) {
  Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (fd.get() < 0) return Errno("cannot open a socket for", remote, "");
  NoDelay(fd.get());
  const sockaddr_in address = ToSockaddr(remote);
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 && errno != EINPROGRESS) {
    return Errno("cannot connect to", remote, "; check --connect and that the server runs");
  }
  return fd;
}

absl::StatusOr<Fd> AcceptKernel(int listener) {
  Fd fd(accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (fd.get() < 0) {
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR || errno == ECONNABORTED) {
      return absl::NotFoundError("nobody waits");
    }
    return absl::ResourceExhaustedError(absl::StrCat("cannot accept: ", std::strerror(errno)));
  }
  NoDelay(fd.get());
  return fd;
}

absl::StatusOr<wire::Endpoint> LocalEndpoint(int fd) {
  sockaddr_in address{};
  socklen_t size = sizeof(address);
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    return absl::InternalError(absl::StrCat("getsockname: ", std::strerror(errno)));
  }
  return wire::Endpoint{wire::Ipv4Address(ntohl(address.sin_addr.s_addr)), ntohs(address.sin_port)};
}

}  // namespace luna::apps
