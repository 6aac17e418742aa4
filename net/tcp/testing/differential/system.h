#ifndef LUNA_NET_TCP_TESTING_DIFFERENTIAL_SYSTEM_H_
#define LUNA_NET_TCP_TESTING_DIFFERENTIAL_SYSTEM_H_

// System: a host under comparison. Packets go in and come out as bytes, a socket is used by the calls of POSIX, time
// passes. Luna on a virtual clock (luna_system.h), or the kernel behind a TUN device (kernel_system.h).
//
// No call blocks: sockets are made with SOCK_NONBLOCK. One thread.

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "luna/net/tcp/posix/call_result.h"
#include "luna/net/wire/address.h"
#include "luna/sched/clock/time.h"

namespace luna::tcp::differential {

using posix::CallResult;

class System {
 public:
  virtual ~System() = default;

  // Makes ready for a list on a connection between these two; what was before is forgotten.
  virtual absl::Status Begin(const wire::Endpoint& host, const wire::Endpoint& peer) = 0;
  // Before any socket is made.
  virtual absl::Status SetSysctl(absl::string_view name, absl::string_view value) = 0;

  virtual void Inject(absl::string_view packet) = 0;
  // Lets so much time pass, and returns what was sent since the last call, oldest first.
  virtual std::vector<std::string> Advance(Duration duration) = 0;
  // The state of the connection between the two, by Luna's names; "-" when there is none.
  virtual std::string State() = 0;
  // What is left at the end of a list that must not be; "" when all is well.
  virtual std::string End() = 0;

  virtual CallResult Socket(int domain, int type, int protocol) = 0;
  virtual CallResult Bind(int fd, const sockaddr* address, socklen_t length) = 0;
  virtual CallResult Listen(int fd, int backlog) = 0;
  virtual CallResult Accept(int fd, int flags) = 0;
  virtual CallResult Connect(int fd, const sockaddr* address, socklen_t length) = 0;
  virtual CallResult Send(int fd, const void* buffer, size_t size, int flags) = 0;
  virtual CallResult Recv(int fd, void* buffer, size_t size, int flags) = 0;
  virtual CallResult Shutdown(int fd, int how) = 0;
  virtual CallResult Close(int fd) = 0;
  virtual CallResult SetSockOpt(int fd, int level, int name, const void* value, socklen_t length) = 0;
  virtual CallResult GetSockOpt(int fd, int level, int name, void* value, socklen_t* length) = 0;
  // poll() with a timeout of 0 for all that poll() can tell; the result's value is `revents`.
  virtual CallResult Poll(int fd) = 0;
};

}  // namespace luna::tcp::differential

#endif  // LUNA_NET_TCP_TESTING_DIFFERENTIAL_SYSTEM_H_
