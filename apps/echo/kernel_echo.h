#ifndef LUNA_APPS_ECHO_KERNEL_ECHO_H_
#define LUNA_APPS_ECHO_KERNEL_ECHO_H_

// The echo server and client on the kernel's sockets: the yardstick beside Luna (--device=kernel).

#include <atomic>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "luna/apps/echo/workload.h"
#include "luna/net/wire/address.h"
#include "luna/sched/r2c/kernel_poller.h"

namespace luna::apps {

enum class KernelMode {
  kSpin,   // epoll_wait without blocking, in a busy loop
  kBlock,  // epoll_wait that sleeps
};

// Accepts on `local` and echoes until `*stop`. Errors name the address and the mend. `ready` is called once listening.
class KernelEchoServer {
 public:
  static absl::StatusOr<std::unique_ptr<KernelEchoServer>> Listen(const wire::Endpoint& local);
  ~KernelEchoServer();
  // What was bound: the port when `local` asked for any.
  const wire::Endpoint& local() const { return local_; }
  void Run(KernelMode mode, const std::atomic<bool>& stop);

 private:
  class Acceptor;
  class Peer;
  KernelEchoServer() = default;

  std::unique_ptr<r2c::KernelPoller> poller_;
  wire::Endpoint local_;
  std::unique_ptr<Acceptor> acceptor_;
};

// Runs `workload` over `connections` kernel connections to `remote` until it is done or `*stop`.
absl::Status RunKernelClient(const wire::Endpoint& remote, uint32_t connections, KernelMode mode, Workload& workload,
                             absl::Span<const std::byte> period, const std::atomic<bool>& stop);

}  // namespace luna::apps

#endif  // LUNA_APPS_ECHO_KERNEL_ECHO_H_
