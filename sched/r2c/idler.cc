#include "luna/sched/r2c/idler.h"

#include <poll.h>
#include <sys/prctl.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "glog/logging.h"

namespace luna::r2c {
namespace {

// To fall asleep and wake up takes about as long.
constexpr Duration kShortestSleep = Duration::Microseconds(5);

constexpr unsigned long kTimerSlackNanoseconds = 1000;
constexpr size_t kMostDescriptors = 4;

}  // namespace

KernelSleeper::KernelSleeper() { PCHECK(prctl(PR_SET_TIMERSLACK, kTimerSlackNanoseconds, 0, 0, 0) == 0); }

bool KernelSleeper::Sleep(absl::Span<const int> fds, Duration timeout) {
  std::array<pollfd, kMostDescriptors> polled;
  CHECK(fds.size() <= polled.size());
  for (size_t i = 0; i < fds.size(); ++i) polled[i] = {.fd = fds[i], .events = POLLIN, .revents = 0};
  const timespec ts = {.tv_sec = timeout.nanoseconds() / 1'000'000'000,
                       .tv_nsec = timeout.nanoseconds() % 1'000'000'000};
  const int ready = ppoll(polled.data(), fds.size(), timeout == Duration::Infinite() ? nullptr : &ts, nullptr);
  PCHECK(ready >= 0 || errno == EINTR) << "ppoll";
  if (ready <= 0 || fds.empty()) return true;
  return (polled[0].revents & (POLLERR | POLLHUP | POLLNVAL)) == 0 || (polled[0].revents & POLLIN) != 0;
}

Idler::Idler(Worker& worker, Clock& clock, Sleeper& sleeper, const IdleOptions& options)
    : worker_(worker),
      clock_(clock),
      sleeper_(sleeper),
      options_(options),
      device_fd_(worker.io().capabilities().poll_fd),
      last_busy_(worker.now()) {}

void Idler::Sleep() {
  const Time start = clock_.Now();
  const Time deadline = worker_.NextDeadline();
  Duration timeout = deadline.is_infinite() ? Duration::Infinite() : deadline - start;
  timeout = std::min(timeout, options_.longest_sleep);
  if (device_fd_ < 0)
    timeout = std::min({timeout, options_.longest_nap, std::max(kShortestSleep, (start - last_busy_) / 8)});
  if (timeout < kShortestSleep) return;
  const KernelPoller* poller = worker_.poller();
  Mailbox* mailbox = worker_.mailbox();
  if (mailbox != nullptr && !mailbox->PrepareToSleep()) return;
  if (!worker_.io().PrepareToSleep()) {
    if (mailbox != nullptr) mailbox->Awake();
    return;
  }
  const std::array<int, 3> fds = {device_fd_, poller == nullptr ? -1 : poller->fd(),
                                  mailbox == nullptr ? -1 : mailbox->fd()};
  if (!sleeper_.Sleep(fds, timeout)) device_fd_ = -1;
  if (mailbox != nullptr) mailbox->Awake();
  counters_.sleeps.Increment();
  const Duration slept = clock_.Now() - start;
  counters_.slept_ns.Add(static_cast<uint64_t>(slept.nanoseconds()));
  worker_.io().OnSlept(slept);
}

}  // namespace luna::r2c
