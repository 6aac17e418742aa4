// What a port costs per frame, both ends in one thread: build, transmit, receive, free. `bazel run -c opt
// //net/pmd/dpdk:port_benchmark`.
//
// One thread, because the cores of a virtual machine are near each other in one second and far in the next; this shows
// instructions and cache misses, not the wire. Arguments: payload bytes, slices per frame. items/s are frames one way.

#include <algorithm>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "benchmark/benchmark.h"
#include "luna/net/pmd/dpdk/eal.h"
#include "luna/net/pmd/dpdk/port.h"
#include "luna/net/pmd/dpdk/testing/frames.h"
#include "luna/net/pmd/packet_io.h"
#include "luna/sched/clock/time.h"

namespace luna::pmd::dpdk {
namespace {

constexpr size_t kBurst = 32;

Eal* TheEal() {
  // Kept to the end: DPDK starts once.
  static Eal* eal = [] {
    auto started = Eal::Init({.huge = Huge::kOff});
    if (!started.ok()) fprintf(stderr, "%s\n", started.status().ToString().c_str());
    return started.ok() ? started->release() : nullptr;
  }();
  return eal;
}

struct Wire {
  Memory memory_a{64};
  Memory memory_b{64};
  std::unique_ptr<Port> a;
  std::unique_ptr<Port> b;
};

bool OpenRing(Wire& wire) {
  auto ports = Port::OpenRingPair(*TheEal(), "bench", {.slabs = {wire.memory_a.slab.get()}},
                                  {.slabs = {wire.memory_b.slab.get()}});
  if (!ports.ok()) return false;
  wire.a = std::move(ports->first);
  wire.b = std::move(ports->second);
  return true;
}

bool OpenMemif(Wire& wire) {
  // One for all runs: each server socket costs one of DPDK's 32 ports for good.
  static const std::string socket = absl::StrCat("luna-bench-", std::random_device()());
  const auto open = [&](const char* name, const char* role, Memory& memory) {
    auto port = Port::Open(
        *TheEal(), {.devargs = absl::StrCat(name, ",role=", role, ",socket=", socket), .slabs = {memory.slab.get()}});
    return port.ok() ? *std::move(port) : nullptr;
  };
  wire.a = open("net_memif0", "server", wire.memory_a);
  wire.b = open("net_memif1", "client", wire.memory_b);
  if (wire.a == nullptr || wire.b == nullptr) return false;
  while (!wire.a->queue(0).link_up() || !wire.b->queue(0).link_up()) wire.b->queue(0).Reclaim();
  ReceiveAll(wire.a->queue(0));
  ReceiveAll(wire.b->queue(0));
  return true;
}

// The head is built anew, as a stack does; further slices share one payload, as a sender's queue does.
Packet Build(zbuf::Slab& slab, std::byte* payload, uint32_t bytes, size_t slices) {
  Packet packet;
  const uint32_t head = slices == 1 ? bytes : 54;
  std::byte* obj = slab.Alloc(head + kTxHeadroomBytes);
  memset(obj + kTxHeadroomBytes, 0, std::min<uint32_t>(head, 54));
  packet.data.Append(zbuf::ZRef::Adopt(obj + kTxHeadroomBytes), head);
  const uint32_t rest = bytes - head;
  for (size_t i = 1; i < slices; ++i) {
    packet.data.Append(zbuf::ZRef::ShareOf(payload), rest / static_cast<uint32_t>(slices - 1));
  }
  return packet;
}

template <bool (*open)(Wire&)>
void OneWay(benchmark::State& state) {
  Wire wire;
  if (TheEal() == nullptr || !open(wire)) {
    state.SkipWithError("cannot open");
    return;
  }
  PacketIo& a = wire.a->queue(0);
  PacketIo& b = wire.b->queue(0);
  const uint32_t bytes = static_cast<uint32_t>(state.range(0));
  const size_t slices = static_cast<size_t>(state.range(1));
  std::byte* payload = wire.memory_a.slab->Alloc(2048);
  std::vector<Packet> out(kBurst);
  std::vector<Packet> in(kBurst);
  size_t frames = 0;
  for (auto _ : state) {
    for (Packet& packet : out) packet = Build(*wire.memory_a.slab, payload, bytes, slices);
    size_t sent = a.TransmitBurst(absl::MakeSpan(out));
    size_t got = b.ReceiveBurst(absl::MakeSpan(in), Time());
    if (sent != kBurst || got != kBurst) {
      state.SkipWithError("frames were lost");
      break;
    }
    for (Packet& packet : in) packet.data.Clear();
    a.Reclaim();
    frames += got;
  }
  wire.memory_a.slab->Free(payload);
  state.SetItemsProcessed(static_cast<int64_t>(frames));
  state.SetBytesProcessed(static_cast<int64_t>(frames) * bytes);
}

void Sizes(benchmark::internal::Benchmark* b) { b->Args({64, 1})->Args({64, 2})->Args({1500, 1})->Args({1500, 2}); }
BENCHMARK_TEMPLATE(OneWay, OpenRing)->Apply(Sizes);
BENCHMARK_TEMPLATE(OneWay, OpenMemif)->Apply(Sizes);

// An idle poll: what every iteration of a worker's loop pays.
template <bool (*open)(Wire&)>
void EmptyPoll(benchmark::State& state) {
  Wire wire;
  if (TheEal() == nullptr || !open(wire)) {
    state.SkipWithError("cannot open");
    return;
  }
  PacketIo& a = wire.a->queue(0);
  std::vector<Packet> in(kBurst);
  for (auto _ : state) {
    benchmark::DoNotOptimize(a.ReceiveBurst(absl::MakeSpan(in), Time()));
    benchmark::DoNotOptimize(a.Reclaim());
  }
}
BENCHMARK_TEMPLATE(EmptyPoll, OpenRing);
BENCHMARK_TEMPLATE(EmptyPoll, OpenMemif);

}  // namespace
}  // namespace luna::pmd::dpdk
