#ifndef LUNA_SCHED_R2C_KERNEL_POLLER_H_
#define LUNA_SCHED_R2C_KERNEL_POLLER_H_

// The kernel's file descriptors inside a run-to-completion loop: kernel sockets, netlink, eventfds, signalfds.
//
// As in §7.2 of the LUNA paper, each iteration of a worker ends with one non-blocking and bounded look at epoll, so an
// application serves peers over the kernel's TCP in the same thread and the same style as peers over Luna, and neither
// side starves the other.

#include <sys/epoll.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "luna/ctrl/stats/counter.h"
#include "luna/sched/clock/time.h"

namespace luna::r2c {

// Whoever wants to know that a file descriptor is ready.
class FdHandler {
 public:
  virtual ~FdHandler() = default;
  // `events`: EPOLLIN, EPOLLOUT, EPOLLRDHUP, … as asked for, and EPOLLERR and EPOLLHUP always. Readiness is
  // level-triggered unless EPOLLET was asked for: what is not read now is reported again. Do a bounded piece of work:
  // no bound of the poller's limits what one callback takes. May Add, Modify and Remove any fd, its own included, and
  // may then destroy itself; must not call PollOnce, PollIfDue or Wait.
  virtual void OnFdReady(uint32_t events) = 0;
};

// For descriptors that only have to end a sleep.
class WakeOnly final : public FdHandler {
 public:
  void OnFdReady(uint32_t) override {}
};

// Not thread-safe: one worker owns it. To wake a Wait() from another thread, Add an eventfd and write to that.
class KernelPoller {
 public:
  // No call handles more events than this, whatever it is asked for.
  static constexpr int kMaxBatch = 64;

  // How long PollIfDue lets the kernel's descriptors wait by default. An epoll_wait that finds nothing takes 90 ns on a
  // quiet virtual machine and several times that with the mitigations of older processors: as much as an idle iteration
  // of a worker. At this interval it is a few per cent of a core, and the delay is small against the kernel's own path.
  static constexpr Duration kDefaultInterval = Duration::Microseconds(5);

  // Fails when the process or the system is out of file descriptors.
  static absl::StatusOr<std::unique_ptr<KernelPoller>> Create();
  ~KernelPoller();
  KernelPoller(const KernelPoller&) = delete;
  KernelPoller& operator=(const KernelPoller&) = delete;

  // Watches `fd` for `events` (EPOLLIN | …). The poller owns neither fd nor handler; both stay valid until Remove(fd).
  // AlreadyExists when the fd is watched; InvalidArgument for what cannot be watched (a regular file); else as errno
  // says.
  absl::Status Add(int fd, uint32_t events, FdHandler* handler);

  // Watches for other events, with the same handler. NotFound when the fd is not watched. Events that this call no
  // longer asks for are not delivered any more, not even those of the batch being handled.
  absl::Status Modify(int fd, uint32_t events);

  // Stops watching. Afterwards the handler is not called for this fd again, not even within the batch being handled,
  // and not when the number is reused for another file at once. Call it before close(fd): a file that lives on through
  // a duplicate would go on waking the poller. NotFound when the fd is not watched; when the fd was closed before, it
  // is forgotten all the same and the error says what the kernel said.
  absl::Status Remove(int fd);

  // Asks epoll once without blocking and calls at most min(max_events, kMaxBatch) handlers. Returns how many were
  // called. When more are ready than that, the next call continues with the others: a busy fd goes to the end of the
  // kernel's list, so each of N ready fds is served within ceil(N / max_events) calls. Costs no system call when
  // nothing is watched.
  int PollOnce(int max_events);

  // PollOnce, but at most once per interval(), so that a busy loop may call it in each iteration: a ready fd waits for
  // no longer than interval() and one iteration. When a call found as many events as it may handle, the next one polls
  // without regard to the interval. `now`: the iteration's time; must not decrease.
  int PollIfDue(Time now, int max_events);
  // Zero: PollIfDue always polls. Not negative.
  void set_interval(Duration interval);
  Duration interval() const { return interval_; }

  // As PollOnce, but sleeps until an fd is ready or `timeout` is over; Infinite() for no timeout, zero or less for none
  // at all. Returns 0 on timeout and also early when a signal arrives. Precise to the kernel's timer slack (50 us
  // unless set), never shorter except for signals. On kernels before 5.11 the timeout is cut to whole milliseconds: the
  // caller's loop comes round early then and spins for the rest.
  int Wait(Duration timeout, int max_events);

  // Readable when a watched fd is ready: for a thread that sleeps in poll(2) on this and others.
  int fd() const { return epoll_fd_; }

  // How many fds are watched.
  size_t size() const { return watched_; }

  // For a stats::Registry. Written by the owner, readable by any thread.
  struct Counters {
    stats::Counter polls;       // epoll_wait calls
    stats::Counter callbacks;   // handlers called
    stats::Counter full_polls;  // polls that found as many events as they may handle
    stats::Counter stale;       // events dropped, since a handler before them in the batch removed or modified their fd
  };
  const Counters& counters() const { return counters_; }

 private:
  // What is watched under an fd's number. Free when handler is null.
  struct Entry {
    FdHandler* handler = nullptr;
    uint32_t events = 0;
    // Of this use of the number. An event carries the generation that it was asked for under.
    uint32_t generation = 0;
  };

  explicit KernelPoller(int epoll_fd) : epoll_fd_(epoll_fd) {}

  // Null when the fd is not watched.
  Entry* Find(int fd);
  // Calls the handlers of batch_[0, count). `limit`: how many the poll might have returned.
  int Dispatch(int count, int limit);
  // One epoll_wait for at most `limit` events; the number of them. 0 when interrupted.
  int Collect(Duration timeout, int limit);

  int epoll_fd_;
  // Indexed by fd: the kernel hands out the lowest free number, so this stays dense.
  std::vector<Entry> entries_;
  size_t watched_ = 0;
  uint32_t next_generation_ = 1;
  // A batch is being handled.
  bool dispatching_ = false;
  Duration interval_ = kDefaultInterval;
  // From when on PollIfDue polls.
  Time next_poll_ = Time::FromNanoseconds(INT64_MIN);
  std::array<epoll_event, kMaxBatch> batch_;
  Counters counters_;
};

}  // namespace luna::r2c

#endif  // LUNA_SCHED_R2C_KERNEL_POLLER_H_
