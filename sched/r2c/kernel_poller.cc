#include "luna/sched/r2c/kernel_poller.h"

#include <errno.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <string>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "glog/logging.h"

namespace luna::r2c {
namespace {

uint64_t Pack(int fd, uint32_t generation) { return uint64_t{generation} << 32 | static_cast<uint32_t>(fd); }

absl::Status ErrnoStatus(int error, const char* call, int fd) {
  const std::string what = absl::StrCat(call, " of fd ", fd);
  // A regular file; "permission denied" would mislead.
  if (error == EPERM) return absl::InvalidArgumentError(absl::StrCat(what, ": epoll cannot watch this kind of file"));
  return absl::ErrnoToStatus(error, what);
}

}  // namespace

absl::StatusOr<std::unique_ptr<KernelPoller>> KernelPoller::Create() {
  const int fd = epoll_create1(EPOLL_CLOEXEC);
  if (fd < 0) return absl::ErrnoToStatus(errno, "epoll_create1");
  return absl::WrapUnique(new KernelPoller(fd));
}

KernelPoller::~KernelPoller() { close(epoll_fd_); }

absl::Status KernelPoller::Add(int fd, uint32_t events, FdHandler* handler) {
  CHECK(handler != nullptr);
  const uint32_t generation = next_generation_++;
  epoll_event event = {.events = events, .data = {.u64 = Pack(fd, generation)}};
  // The kernel knows best whether the fd is watched: an entry of ours is stale when its file was closed without Remove.
  if (epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &event) != 0) return ErrnoStatus(errno, "epoll_ctl(ADD)", fd);
  if (static_cast<size_t>(fd) >= entries_.size()) entries_.resize(fd + 1);
  Entry& entry = entries_[fd];
  if (entry.handler == nullptr) ++watched_;
  entry = {.handler = handler, .events = events, .generation = generation};
  return absl::OkStatus();
}

absl::Status KernelPoller::Modify(int fd, uint32_t events) {
  Entry* const entry = Find(fd);
  if (entry == nullptr) return absl::NotFoundError(absl::StrCat("fd ", fd, " is not watched"));
  epoll_event event = {.events = events, .data = {.u64 = Pack(fd, entry->generation)}};
  if (epoll_ctl(epoll_fd_, EPOLL_CTL_MOD, fd, &event) != 0) return ErrnoStatus(errno, "epoll_ctl(MOD)", fd);
  entry->events = events;
  return absl::OkStatus();
}

absl::Status KernelPoller::Remove(int fd) {
  Entry* const entry = Find(fd);
  if (entry == nullptr) return absl::NotFoundError(absl::StrCat("fd ", fd, " is not watched"));
  *entry = Entry();
  --watched_;
  if (epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, fd, nullptr) != 0) return ErrnoStatus(errno, "epoll_ctl(DEL)", fd);
  return absl::OkStatus();
}

KernelPoller::Entry* KernelPoller::Find(int fd) {
  if (fd < 0 || static_cast<size_t>(fd) >= entries_.size() || entries_[fd].handler == nullptr) return nullptr;
  return &entries_[fd];
}

int KernelPoller::PollOnce(int max_events) {
  if (watched_ == 0 || max_events <= 0) return 0;
  const int limit = std::min(max_events, kMaxBatch);
  return Dispatch(Collect(Duration::Zero(), limit), limit);
}

int KernelPoller::PollIfDue(Time now, int max_events) {
  if (now < next_poll_) return 0;
  const uint64_t full_before = counters_.full_polls.value();
  const int called = PollOnce(max_events);
  next_poll_ = counters_.full_polls.value() == full_before ? now + interval_ : now;
  return called;
}

void KernelPoller::set_interval(Duration interval) {
  CHECK(interval >= Duration::Zero());
  interval_ = interval;
  next_poll_ = Time::FromNanoseconds(INT64_MIN);
}

int KernelPoller::Wait(Duration timeout, int max_events) {
  if (max_events <= 0) return 0;
  const int limit = std::min(max_events, kMaxBatch);
  return Dispatch(Collect(timeout, limit), limit);
}

int KernelPoller::Collect(Duration timeout, int limit) {
  DCHECK(!dispatching_) << "a handler polls";
  counters_.polls.Increment();
  int count;
  if (timeout <= Duration::Zero()) {
    count = epoll_wait(epoll_fd_, batch_.data(), limit, 0);
  } else if (timeout == Duration::Infinite()) {
    count = epoll_wait(epoll_fd_, batch_.data(), limit, -1);
  } else {
    const timespec ts = {.tv_sec = timeout.nanoseconds() / 1'000'000'000,
                         .tv_nsec = timeout.nanoseconds() % 1'000'000'000};
    count = epoll_pwait2(epoll_fd_, batch_.data(), limit, &ts, nullptr);
    if (count < 0 && errno == ENOSYS) {
      const int64_t ms = std::min<int64_t>(timeout.milliseconds(), INT32_MAX);
      count = epoll_wait(epoll_fd_, batch_.data(), limit, static_cast<int>(ms));
    }
  }
  if (count >= 0) return count;
  // Whatever else epoll_wait may say is about its arguments, and they are right.
  PCHECK(errno == EINTR) << "epoll_wait";
  return 0;
}

int KernelPoller::Dispatch(int count, int limit) {
  if (count == limit) counters_.full_polls.Increment();
  dispatching_ = true;
  int called = 0;
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = batch_[i];
    // Looked up anew for each event: the handler before may have removed this fd, or opened another file under its
    // number.
    const Entry* const entry = Find(static_cast<int>(event.data.u64 & 0xFFFF'FFFF));
    const bool current = entry != nullptr && entry->generation == event.data.u64 >> 32;
    const uint32_t events = current ? event.events & (entry->events | EPOLLERR | EPOLLHUP) : 0;
    if (events == 0) {
      counters_.stale.Increment();
      continue;
    }
    counters_.callbacks.Increment();
    ++called;
    entry->handler->OnFdReady(events);
  }
  dispatching_ = false;
  return called;
}

}  // namespace luna::r2c
