#include "luna/net/socket/worker_sockets.h"

#include <errno.h>
#include <unistd.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/types/span.h"

namespace luna::socket {
namespace {

using tcp::posix::CallResult;
using tcp::posix::Failure;
using tcp::posix::Success;

constexpr r2c::Delivery kDelivery = {.leave_data = true};

tcp::posix::Settings SettingsOf(r2c::Worker& worker, const WorkerSocketsOptions& options) {
  return {.stack = worker.stack().config(), .sockets = options.defaults};
}

}  // namespace

class WorkerSockets::KernelSet final : public r2c::FdHandler {
 public:
  static absl::StatusOr<std::unique_ptr<KernelSet>> Create(r2c::KernelPoller* poller) {
    const int fd = epoll_create1(EPOLL_CLOEXEC);
    if (fd < 0) return absl::ErrnoToStatus(errno, "epoll_create1");
    std::unique_ptr<KernelSet> set(new KernelSet(fd, poller));
    if (poller == nullptr) return set;
    if (absl::Status status = poller->Add(fd, EPOLLIN | EPOLLET, set.get()); !status.ok()) return status;
    set->watched_ = true;
    return set;
  }
  ~KernelSet() override {
    if (watched_) (void)poller_->Remove(fd_);
    close(fd_);
  }
  void OnFdReady(uint32_t) override {}  // the next epoll_wait() asks by itself
  int fd() const { return fd_; }

 private:
  KernelSet(int fd, r2c::KernelPoller* poller) : fd_(fd), poller_(poller) {}

  const int fd_;
  r2c::KernelPoller* const poller_;
  bool watched_ = false;
};

WorkerSockets::WorkerSockets(r2c::Worker& worker, const WorkerSocketsOptions& options)
    : Sockets(SettingsOf(worker, options), &fds_),
      worker_(worker),
      options_(options),
      fds_(kFirstFd, options.most_files) {}

WorkerSockets::~WorkerSockets() {
  ForgetAll([](tcp::Connection&) {});
  worker_.Detach(*this);
  worker_.Cancel(wake_timer_);
}

void WorkerSockets::Round() {
  if (worker_.iterating()) return;
  if (options_.round) {
    options_.round();
  } else {
    worker_.RunOnce();
  }
  NoteRoom();
}

CallResult WorkerSockets::RunUntilReady(int fd, absl::FunctionRef<CallResult()> call) {
  CallResult result = call();
  // Who never waits must not keep the loop standing: a round, and once more.
  if (result.error == EAGAIN && !worker_.iterating()) {
    Round();
    return call();
  }
  if (!result.would_block) return result;
  while (result.would_block) {
    if (worker_.iterating() || interrupted()) {
      const size_t done = ProgressOf(fd);
      result = done > 0 ? Success(static_cast<int64_t>(done)) : Failure(worker_.iterating() ? EDEADLK : EINTR);
      break;
    }
    const Time wake = std::min(NextWaitDeadline(), std::exchange(look_again_, Time::Infinite()));
    if (!wake.is_infinite()) worker_.Arm(wake_timer_, wake);
    if (options_.iterate) {
      options_.iterate();
      NoteRoom();
    } else {
      Round();
    }
    result = call();
  }
  CancelWait(fd);
  return result;
}

absl::StatusOr<tcp::Connection*> WorkerSockets::Open(const wire::Endpoint& local, const wire::Endpoint& remote,
                                                     const tcp::ConnectionOptions& options) {
  if (local.port != 0 && options_.may_connect_from && !options_.may_connect_from(local.port)) {
    return absl::FailedPreconditionError("another worker's port");
  }
  return worker_.Connect(local, remote, *this, kDelivery, options);
}

absl::StatusOr<tcp::Listener*> WorkerSockets::OpenListener(const wire::Endpoint& local,
                                                           const tcp::ListenOptions& options) {
  absl::StatusOr<tcp::Listener*> listener = worker_.Listen(local, *this, kDelivery, options);
  if (!listener.ok() || !options_.admit) return listener;
  if (absl::Status status = options_.admit(local.port); !status.ok()) {
    worker_.StopListening(*listener);
    return status;
  }
  return listener;
}

// --- Descriptors of the kernel in a set of Luna's ---

absl::StatusOr<WorkerSockets::KernelSet*> WorkerSockets::KernelSetOf(int epoll_fd) {
  const auto found = kernel_sets_.find(epoll_fd);
  if (found != kernel_sets_.end()) return found->second.get();
  auto set = KernelSet::Create(worker_.poller());
  if (!set.ok()) return set.status();
  return (kernel_sets_[epoll_fd] = *std::move(set)).get();
}

CallResult WorkerSockets::EpollCtl(int epoll_fd, int operation, int fd, const epoll_event* event) {
  if (fd >= kFirstFd || !IsEpoll(epoll_fd)) return Sockets::EpollCtl(epoll_fd, operation, fd, event);
  const absl::StatusOr<KernelSet*> set = KernelSetOf(epoll_fd);
  if (!set.ok()) return Failure(EMFILE);
  epoll_event copy = event == nullptr ? epoll_event{} : *event;
  return epoll_ctl((*set)->fd(), operation, fd, event == nullptr ? nullptr : &copy) == 0 ? Success() : Failure(errno);
}

CallResult WorkerSockets::EpollWait(int epoll_fd, epoll_event* events, int capacity, int timeout_ms) {
  const auto found = kernel_sets_.find(epoll_fd);
  if (found == kernel_sets_.end() || events == nullptr || capacity <= 0) {
    return Sockets::EpollWait(epoll_fd, events, capacity, timeout_ms);
  }
  const auto ask_kernel = [&](int from) {
    return std::max(epoll_wait(found->second->fd(), events + from, capacity - from, 0), 0);
  };
  kernel_first_ = !kernel_first_;
  int count = kernel_first_ ? ask_kernel(0) : 0;
  if (count == capacity) {
    CancelWait(epoll_fd);
    return Success(count);
  }
  const CallResult ours = Sockets::EpollWait(epoll_fd, events + count, capacity - count, count > 0 ? 0 : timeout_ms);
  if (ours.ok()) count += static_cast<int>(ours.value);
  if (!kernel_first_ && count < capacity) count += ask_kernel(count);
  if (count == 0) return ours;
  CancelWait(epoll_fd);
  return Success(count);
}

// Descriptors of the kernel in a poll() are asked for in each round; none of them wakes a worker that sleeps, so it
// looks again by itself.
CallResult WorkerSockets::Poll(pollfd* fds, nfds_t count, int timeout_ms) {
  constexpr Duration kLookAgain = Duration::Milliseconds(1);
  const absl::Span<pollfd> all(fds, fds == nullptr ? 0 : count);
  const auto is_kernels = [](const pollfd& p) { return p.fd >= 0 && p.fd < kFirstFd; };
  if (std::none_of(all.begin(), all.end(), is_kernels)) return Sockets::Poll(fds, count, timeout_ms);
  std::vector<pollfd> ours(all.begin(), all.end()), kernels(all.begin(), all.end());
  for (size_t i = 0; i < count; ++i) (is_kernels(all[i]) ? ours : kernels)[i].fd = -1;
  const int ready = poll(kernels.data(), count, 0);
  if (ready < 0) return Failure(errno);
  if (ready > 0) CancelWait(ours[0].fd);  // it ends now, whatever the rounds before were waiting for
  const CallResult result = Sockets::Poll(ours.data(), count, ready > 0 ? 0 : timeout_ms);
  for (size_t i = 0; i < count; ++i) {
    all[i].revents = static_cast<int16_t>(kernels[i].revents | (ours[i].fd < 0 ? 0 : ours[i].revents));
  }
  if (result.would_block) look_again_ = now() + kLookAgain;
  return result.ok() ? Success(result.value + ready) : result;
}

CallResult WorkerSockets::Close(int fd) {
  const CallResult result = Sockets::Close(fd);
  if (!result.would_block) kernel_sets_.erase(fd);
  return result;
}

}  // namespace luna::socket
