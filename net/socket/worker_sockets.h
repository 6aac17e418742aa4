#ifndef LUNA_NET_SOCKET_WORKER_SOCKETS_H_
#define LUNA_NET_SOCKET_WORKER_SOCKETS_H_

// WorkerSockets: POSIX sockets on a worker. It is the application of that worker, or one of several: what the worker
// delivers becomes readiness of descriptors, and calls become calls of TCP. luna_socket.h is the C API over it.
//
//   WorkerSockets sockets(worker, {});
//   UseSockets(&sockets);                 // of this thread: luna_socket() and its kin
//
// A call that would block runs the worker's loop until it need not (RunUntilReady); so does epoll_wait(). Output leaves
// with the loop's next round. Descriptor numbers begin far above the kernel's. An epoll set may hold descriptors of the
// kernel as well: they are watched by an epoll of the kernel's behind it, with the kernel's own semantics, and the two
// kinds take turns in who fills the array of events first, so that neither starves the other.
//
// Ownership: outlived by the worker. Destroyed after the worker was drained, or its connections are aborted.
// Thread: the worker's.

#include <poll.h>
#include <sys/epoll.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "luna/mem/zbuf/zchain.h"
#include "luna/net/tcp/connection.h"
#include "luna/net/tcp/posix/call_result.h"
#include "luna/net/tcp/posix/settings.h"
#include "luna/net/tcp/posix/sockets.h"
#include "luna/net/wire/address.h"
#include "luna/sched/clock/time.h"
#include "luna/sched/r2c/handler.h"
#include "luna/sched/r2c/kernel_poller.h"
#include "luna/sched/r2c/worker.h"

namespace luna::socket {

struct WorkerSocketsOptions {
  tcp::posix::SocketDefaults defaults;
  int most_files = 1 << 20;
  // One round of the loop, and a sleep if nothing was to be done: what a call that waits makes. Null:
  // Worker::RunOnce().
  std::function<void()> iterate = nullptr;
  // One without a sleep: what calls make that do not wait. Null: Worker::RunOnce().
  std::function<void()> round = nullptr;
  // Asked before each round that a call waits for: true ends the call with EINTR. Null: never.
  std::function<bool()> interrupted = nullptr;
  // When a port is listened on: rules of the NIC, reservations. Null: nothing is to be done. PermissionDenied is
  // EACCES, other errors are EADDRINUSE.
  std::function<absl::Status(uint16_t port)> admit = nullptr;
  // Whether a connection may begin at a port that bind() named: its answers have to come to this worker. EADDRNOTAVAIL
  // else. Null: any.
  std::function<bool(uint16_t port)> may_connect_from = nullptr;
  // Whether bind() may take the address. Null: any. It may always take none (INADDR_ANY).
  std::function<bool(const wire::IpAddress&)> is_ours = nullptr;
};

class WorkerSockets final : public tcp::posix::Sockets, private r2c::Handler {
 public:
  // Numbers of Luna's descriptors begin here, beyond what the kernel gives out (fs.nr_open is 2^20 unless raised).
  static constexpr int kFirstFd = 1 << 24;

  WorkerSockets(r2c::Worker& worker, const WorkerSocketsOptions& options);
  ~WorkerSockets() override;

  Time now() const override { return worker_.now(); }
  r2c::Worker& worker() { return worker_; }
  // A round of the loop without a sleep. Without effect within one.
  void Round();
  // The program is asked to stop.
  bool interrupted() const { return options_.interrupted && options_.interrupted(); }
  // The same, once: for calls that are to tell of it though they need not wait.
  bool TakeInterruption() { return interrupted() && !std::exchange(interruption_told_, true); }

  // Makes `call` until it need not wait, with rounds of the loop in between. `fd`: under which its wait is known.
  // Within an iteration of the worker (a handler, a message, a timer) there are none: EDEADLK instead of waiting.
  tcp::posix::CallResult RunUntilReady(int fd, absl::FunctionRef<tcp::posix::CallResult()> call);

  // The kernel's descriptors are taken here, too.
  tcp::posix::CallResult EpollCtl(int epoll_fd, int operation, int fd, const epoll_event* event) override;
  tcp::posix::CallResult EpollWait(int epoll_fd, epoll_event* events, int capacity, int timeout_ms) override;
  tcp::posix::CallResult Poll(pollfd* fds, nfds_t count, int timeout_ms) override;
  tcp::posix::CallResult Close(int fd) override;

 protected:
  tcp::Stack& stack_of_sockets() override { return worker_.stack(); }
  void Pump() override {}  // the loop's next round does
  absl::StatusOr<wire::IpAddress> SourceTo(const wire::IpAddress& remote) override { return worker_.SourceTo(remote); }
  absl::StatusOr<tcp::Connection*> Open(const wire::Endpoint& local, const wire::Endpoint& remote,
                                        const tcp::ConnectionOptions& options) override;
  absl::StatusOr<tcp::Listener*> OpenListener(const wire::Endpoint& local, const tcp::ListenOptions& options) override;
  void CloseListener(tcp::Listener* listener) override { worker_.StopListening(listener); }
  bool IsOurs(const wire::IpAddress& address) const override { return !options_.is_ours || options_.is_ours(address); }

 private:
  // The kernel's descriptors of one epoll set. The worker's poller watches it, so that they wake a worker that sleeps.
  class KernelSet;
  // A round is due when a call's time is over, even if nothing else happens.
  class WakeTimer final : public r2c::AppTimer {
   public:
    void OnTimer(Time) override {}
  };

  void OnAccepted(tcp::Connection& c) override { Tell(c, tcp::EventBits::kAccepted); }
  void OnConnected(tcp::Connection& c) override { Tell(c, tcp::EventBits::kConnected); }
  void OnReadable(tcp::Connection& c, zbuf::ZChain) override { Tell(c, tcp::EventBits::kReadable); }
  void OnUrgent(tcp::Connection& c) override { Tell(c, tcp::EventBits::kUrgent); }
  void OnWritable(tcp::Connection& c) override { Tell(c, tcp::EventBits::kWritable); }
  void OnPeerClosed(tcp::Connection& c) override { Tell(c, tcp::EventBits::kPeerClosed); }
  void OnClosed(tcp::Connection& c, tcp::CloseReason) override { Tell(c, tcp::EventBits::kClosed); }
  void Tell(tcp::Connection& connection, uint32_t what) { Handle({&connection, what}); }

  absl::StatusOr<KernelSet*> KernelSetOf(int epoll_fd);

  r2c::Worker& worker_;
  const WorkerSocketsOptions options_;
  tcp::posix::LowestFreeFds fds_;
  WakeTimer wake_timer_;
  std::map<int, std::unique_ptr<KernelSet>> kernel_sets_;  // by the epoll set's descriptor
  bool kernel_first_ = false;
  bool interruption_told_ = false;
  Time look_again_ = Time::Infinite();  // at what only the kernel knows
};

}  // namespace luna::socket

#endif  // LUNA_NET_SOCKET_WORKER_SOCKETS_H_
