// What an operation costs while N timers are armed. Deadlines are spread evenly over 0 to 4 s, as many connections'
// are. The timers lie at random in memory with respect to their deadlines: with many, a pop is a cache miss.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <random>
#include <vector>

#include "benchmark/benchmark.h"
#include "luna/sched/clock/time.h"
#include "luna/sched/timer/timer_wheel.h"

namespace luna::timer {
namespace {

constexpr int64_t kSpreadNs = 4'000'000'000;

// A timer on a cache line of its own, as in a connection.
struct alignas(64) Line {
  Timer timer;
};

class Population {
 public:
  explicit Population(int64_t n) : n_(static_cast<size_t>(n)), lines_(std::make_unique<Line[]>(n_)), wheel_(now_) {
    for (size_t i = 0; i < n_; ++i) wheel_.Arm(lines_[i].timer, now_ + RandomDelay());
  }

  Duration RandomDelay() { return Duration::Nanoseconds(1 + static_cast<int64_t>(random_() % kSpreadNs)); }
  Timer& RandomTimer() { return lines_[random_() % n_].timer; }

  size_t n_;
  Time now_ = Time::FromNanoseconds(1'000'000'000'000);
  std::mt19937_64 random_{1};
  std::unique_ptr<Line[]> lines_;
  TimerWheel wheel_;
};

void BM_RandomNumbersAlone(benchmark::State& state) {
  Population p(state.range(0));
  for (auto _ : state) {
    benchmark::DoNotOptimize(p.RandomTimer().armed());
    benchmark::DoNotOptimize(p.RandomDelay());
  }
}

// One armed timer moves to another deadline: cancel and arm.
void BM_ReArm(benchmark::State& state) {
  Population p(state.range(0));
  for (auto _ : state) p.wheel_.Arm(p.RandomTimer(), p.now_ + p.RandomDelay());
}

// A timer that is not in the population is armed and cancelled: what a request with a timeout does.
void BM_ArmCancel(benchmark::State& state) {
  Population p(state.range(0));
  Timer timer;
  for (auto _ : state) {
    p.wheel_.Arm(timer, p.now_ + p.RandomDelay());
    p.wheel_.Cancel(timer);
  }
}

// The common poll: nothing is due.
void BM_PopNothing(benchmark::State& state) {
  Population p(state.range(0));
  for (auto _ : state) {
    benchmark::DoNotOptimize(p.wheel_.PopExpired(p.now_));
    benchmark::DoNotOptimize(p.wheel_.NextDeadline());
  }
}

// Steady state: time moves on to the next timer, which is popped and armed again. Cascades included.
void BM_PopAndReArm(benchmark::State& state) {
  Population p(state.range(0));
  for (auto _ : state) {
    Timer* timer;
    while ((timer = p.wheel_.PopExpired(p.now_)) == nullptr) p.now_ = p.wheel_.NextDeadline();
    p.wheel_.Arm(*timer, p.now_ + p.RandomDelay());
  }
}

// A loop that polls every 1 us over 4 s of deadlines: how many timers one PopExpired moves at most, and how long the
// slowest ones take. The first half second is not counted: nothing could be moved ahead of it. Preemption of the
// benchmark shows in `longest_us`, so look at the thousandth part as well.
void BM_BusyLoop(benchmark::State& state) {
  uint64_t most_moves = 0;
  std::vector<double> took_us;
  for (auto _ : state) {
    Population p(state.range(0));
    took_us.clear();
    took_us.reserve(4'000'000);
    for (int64_t ns = 0; ns <= kSpreadNs; ns += 1'000) {
      const Time now = p.now_ + Duration::Nanoseconds(ns);
      const auto before = std::chrono::steady_clock::now();
      Timer* timer;
      do {
        const uint64_t moves_before = p.wheel_.moves();
        timer = p.wheel_.PopExpired(now);
        if (ns > 500'000'000) most_moves = std::max(most_moves, p.wheel_.moves() - moves_before);
      } while (timer != nullptr);
      const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - before;
      if (ns > 500'000'000) took_us.push_back(took.count());
    }
  }
  std::sort(took_us.begin(), took_us.end());
  state.counters["most_moves"] = static_cast<double>(most_moves);
  state.counters["p999_us"] = took_us[took_us.size() * 999 / 1000];
  state.counters["p99999_us"] = took_us[took_us.size() * 99999 / 100000];
  state.counters["longest_us"] = took_us.back();
}

void Sizes(benchmark::internal::Benchmark* b) { b->Arg(1)->Arg(1'000)->Arg(100'000)->Arg(1'000'000); }
BENCHMARK(BM_RandomNumbersAlone)->Apply(Sizes);
BENCHMARK(BM_ReArm)->Apply(Sizes);
BENCHMARK(BM_ArmCancel)->Apply(Sizes);
BENCHMARK(BM_PopNothing)->Apply(Sizes);
BENCHMARK(BM_PopAndReArm)->Apply(Sizes);
BENCHMARK(BM_BusyLoop)->Arg(1'000)->Arg(100'000)->Arg(1'000'000)->Iterations(1)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace luna::timer
