// What a look at epoll costs a busy loop: a poll that finds nothing, one that PollIfDue skips, and one with a callback.
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>
#include <memory>

#include "benchmark/benchmark.h"
#include "glog/logging.h"
#include "luna/sched/clock/time.h"
#include "luna/sched/r2c/kernel_poller.h"

namespace luna::r2c {
namespace {

struct Ignore : FdHandler {
  void OnFdReady(uint32_t) override {}
};

// A poller that watches one eventfd.
struct Watch {
  explicit Watch(unsigned value) : poller(*KernelPoller::Create()), fd(eventfd(value, EFD_NONBLOCK)) {
    const absl::Status added = poller->Add(fd, EPOLLIN, &handler);
    CHECK(added.ok()) << added;
  }
  ~Watch() { close(fd); }

  Ignore handler;
  std::unique_ptr<KernelPoller> poller;
  int fd;
};

void BM_PollNothingReady(benchmark::State& state) {
  Watch watch(0);
  for (auto _ : state) benchmark::DoNotOptimize(watch.poller->PollOnce(16));
}
BENCHMARK(BM_PollNothingReady);

void BM_PollOneReady(benchmark::State& state) {
  Watch watch(1);
  for (auto _ : state) benchmark::DoNotOptimize(watch.poller->PollOnce(16));
}
BENCHMARK(BM_PollOneReady);

// An iteration of 200 ns: one poll in fifty at the default interval.
void BM_PollIfDue(benchmark::State& state) {
  Watch watch(0);
  Time now;
  for (auto _ : state) {
    benchmark::DoNotOptimize(watch.poller->PollIfDue(now, 16));
    now += Duration::Nanoseconds(200);
  }
}
BENCHMARK(BM_PollIfDue);

}  // namespace
}  // namespace luna::r2c
