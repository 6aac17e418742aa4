// Simulated packets per second of one core: "items" are packets that reached a host. All checks are on.

#include "benchmark/benchmark.h"
#include "luna/net/tcp/testing/simulator/network.h"
#include "luna/net/tcp/testing/simulator/scenario.h"
#include "luna/net/tcp/testing/simulator/simulation.h"
#include "luna/net/tcp/testing/simulator/transfer.h"

namespace luna::tcp::simulator {
namespace {

// One bulk transfer, clean.
void BM_Bulk(benchmark::State& state) {
  uint64_t packets = 0;
  for (auto _ : state) {
    Simulation simulation(1);
    for (int i = 0; i < 2; ++i) simulation.AddHost({}).egress().Add<Delay>(Duration::Microseconds(50));
    Transfers transfers(simulation, {});
    transfers.Add(0, 1, {.send_bytes = 50'000'000, .most_per_send = 65536}, {}, Duration::Zero());
    simulation.RunUntil([&] { return transfers.AllOver(); }, Duration::Seconds(60));
    packets += simulation.delivered();
  }
  state.SetItemsProcessed(static_cast<int64_t>(packets));
}
BENCHMARK(BM_Bulk);

// Small questions and answers on some connections.
void BM_Rpc(benchmark::State& state) {
  uint64_t packets = 0;
  for (auto _ : state) {
    Simulation simulation(1);
    for (int i = 0; i < 2; ++i) simulation.AddHost({}).egress().Add<Delay>(Duration::Microseconds(50));
    Transfers transfers(simulation, {});
    for (int i = 0; i < state.range(0); ++i) {
      transfers.Add(0, 1, {.send_bytes = 64 * 1000, .most_per_send = 64, .send_pause = Duration::Microseconds(50)},
                    {.send_bytes = 64 * 1000, .most_per_send = 64, .answers = true}, Duration::Zero());
    }
    simulation.RunUntil([&] { return transfers.AllOver(); }, Duration::Seconds(60));
    packets += simulation.delivered();
  }
  state.SetItemsProcessed(static_cast<int64_t>(packets));
}
BENCHMARK(BM_Rpc)->Arg(1)->Arg(8)->Arg(64);

// Seeds as tools/soak runs them.
void BM_Seeds(benchmark::State& state) {
  uint64_t packets = 0;
  uint64_t seed = 0;
  for (auto _ : state) packets += RunScenario(DrawScenario(++seed)).packets;
  state.SetItemsProcessed(static_cast<int64_t>(packets));
}
BENCHMARK(BM_Seeds)->Iterations(500);

}  // namespace
}  // namespace luna::tcp::simulator
