#include <vector>

#include "benchmark/benchmark.h"
#include "luna/net/wire/checksum.h"

namespace luna::wire {
namespace {

void BM_Checksum(benchmark::State& state) {
  const std::vector<uint8_t> bytes(static_cast<size_t>(state.range(0)) + 2, 0x5a);
  // A frame's IP payload lies at 14 + 20 bytes: not at a multiple of 4.
  const auto part = absl::MakeConstSpan(bytes).subspan(2);
  for (auto _ : state) benchmark::DoNotOptimize(ChecksumSum(part));
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) * state.range(0));
}
BENCHMARK(BM_Checksum)->Arg(20)->Arg(64)->Arg(576)->Arg(1460)->Arg(9000);

void BM_Ipv4BaseHeaderSum(benchmark::State& state) {
  std::vector<uint8_t> bytes(20, 0x5a);
  for (auto _ : state) {
    benchmark::DoNotOptimize(bytes.data());
    benchmark::ClobberMemory();
    benchmark::DoNotOptimize(Ipv4BaseHeaderSum(bytes.data()));
  }
}
BENCHMARK(BM_Ipv4BaseHeaderSum);

}  // namespace
}  // namespace luna::wire
