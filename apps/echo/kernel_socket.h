#ifndef LUNA_APPS_ECHO_KERNEL_SOCKET_H_
#define LUNA_APPS_ECHO_KERNEL_SOCKET_H_

#include <unistd.h>

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "luna/net/wire/address.h"

namespace luna::apps {

// Owner of a file descriptor.
class Fd {
 public:
  explicit Fd(int fd = -1) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

// Non-blocking IPv4 TCP sockets with TCP_NODELAY. Errors are one line with the address, errno's text and the mend.
absl::StatusOr<Fd> ListenKernel(const wire::Endpoint& local);
absl::StatusOr<Fd> ConnectKernel(const wire::Endpoint& remote);  // the handshake may still be under way
absl::StatusOr<Fd> AcceptKernel(int listener);                   // NotFound when nobody waits
absl::StatusOr<wire::Endpoint> LocalEndpoint(int fd);

}  // namespace luna::apps

#endif  // LUNA_APPS_ECHO_KERNEL_SOCKET_H_
