// What recording costs, over values in one bucket (warm) and values spread as latencies are, and what reading costs.
#include <cstdint>
#include <memory>
#include <random>
#include <vector>

#include "benchmark/benchmark.h"
#include "luna/ctrl/stats/counter.h"
#include "luna/ctrl/stats/histogram.h"

namespace luna::stats {
namespace {

void BM_CounterIncrement(benchmark::State& state) {
  Counter counter;
  for (auto _ : state) {
    counter.Increment();
    benchmark::ClobberMemory();
  }
}
BENCHMARK(BM_CounterIncrement);

void BM_RecordOneValue(benchmark::State& state) {
  auto histogram = std::make_unique<Histogram>();
  for (auto _ : state) {
    histogram->Record(uint64_t{12'345});
    benchmark::ClobberMemory();
  }
}
BENCHMARK(BM_RecordOneValue);

void BM_RecordLogNormal(benchmark::State& state) {
  auto histogram = std::make_unique<Histogram>();
  std::mt19937_64 random(1);
  std::lognormal_distribution<double> latency(9.0, 1.0);
  std::vector<uint64_t> values(4096);
  for (uint64_t& value : values) value = static_cast<uint64_t>(latency(random));
  size_t i = 0;
  for (auto _ : state) {
    histogram->Record(values[i++ & 4095]);
    benchmark::ClobberMemory();
  }
}
BENCHMARK(BM_RecordLogNormal);

void BM_Percentile(benchmark::State& state) {
  auto histogram = std::make_unique<Histogram>();
  std::mt19937_64 random(1);
  for (int i = 0; i < 100'000; ++i) histogram->Record(random() >> (random() % 64));
  for (auto _ : state) benchmark::DoNotOptimize(histogram->Percentile(0.99));
}
BENCHMARK(BM_Percentile);

void BM_Merge(benchmark::State& state) {
  auto a = std::make_unique<Histogram>();
  auto b = std::make_unique<Histogram>();
  std::mt19937_64 random(1);
  for (int i = 0; i < 100'000; ++i) b->Record(random() >> (random() % 64));
  for (auto _ : state) a->Merge(*b);
}
BENCHMARK(BM_Merge);

}  // namespace
}  // namespace luna::stats
