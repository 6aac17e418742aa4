// What one reading of the time costs, and how much a clock of our own on the processor's counter could save at most.
#if defined(__x86_64__)
#include <x86intrin.h>
#endif

#include "benchmark/benchmark.h"
#include "luna/sched/clock/clock.h"

namespace luna {
namespace {

void BM_MonotonicClock(benchmark::State& state) {
  MonotonicClock monotonic;
  Clock* clock = &monotonic;
  benchmark::DoNotOptimize(clock);
  for (auto _ : state) benchmark::DoNotOptimize(clock->Now());
}
BENCHMARK(BM_MonotonicClock);

#if defined(__x86_64__)
// Without scaling to nanoseconds and without keeping up with the kernel's clock: less than any honest clock.
void BM_BareTimeStampCounter(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(__rdtsc());
}
BENCHMARK(BM_BareTimeStampCounter);
#endif

}  // namespace
}  // namespace luna
