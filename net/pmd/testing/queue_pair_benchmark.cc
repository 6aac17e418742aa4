// What a frame costs between the ends of a QueuePair: the floor under every benchmark of the layers above.
#include <array>
#include <cstdint>
#include <memory>

#include "benchmark/benchmark.h"
#include "glog/logging.h"
#include "luna/mem/zbuf/zbuf.h"
#include "luna/net/pmd/packet_util.h"
#include "luna/net/pmd/testing/queue_pair.h"
#include "luna/net/pmd/testing/wire_link.h"

namespace luna::pmd {
namespace {

constexpr size_t kBurst = 32;

// Sends bursts of header-only packets of the size in range(0) from a to b, and drops them there.
template <typename Link>
void Forward(benchmark::State& state, Link& link, zbuf::Slab& slab) {
  const auto bytes = static_cast<uint32_t>(state.range(0));
  std::array<Packet, kBurst> packets;
  Time now = Time::FromNanoseconds(1);
  for (auto _ : state) {
    for (Packet& packet : packets) packet.data.Append(MakeHeaderObj(slab, bytes));
    CHECK_EQ(link.a().TransmitBurst(absl::MakeSpan(packets)), kBurst);
    CHECK_EQ(link.b().ReceiveBurst(absl::MakeSpan(packets), now), kBurst);
    for (Packet& packet : packets) packet.data.Clear();
    now += Duration::Nanoseconds(1);
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kBurst));
}

struct Memory {
  Memory() {
    arena = zbuf::Arena::Create(pages, {.size_bytes = size_t{16} << 20}).value();
    slab = std::make_unique<zbuf::Slab>(*arena);
  }
  zbuf::AnonymousPageSource pages;
  std::unique_ptr<zbuf::Arena> arena;
  std::unique_ptr<zbuf::Slab> slab;
};

void BM_QueuePairCopy(benchmark::State& state) {
  Memory memory;
  QueuePair link(*memory.slab, *memory.slab);
  Forward(state, link, *memory.slab);
}
BENCHMARK(BM_QueuePairCopy)->Arg(64)->Arg(1500)->Arg(9000);

void BM_QueuePairShare(benchmark::State& state) {
  Memory memory;
  QueuePair link(*memory.slab, *memory.slab, {.share_objs = true});
  Forward(state, link, *memory.slab);
}
BENCHMARK(BM_QueuePairShare)->Arg(64)->Arg(1500)->Arg(9000);

// The hostile wire is for tests; this says how long a simulation of so many frames takes.
void BM_WireLink(benchmark::State& state) {
  Memory memory;
  WireLink link(*memory.slab, *memory.slab, {.mtu = 9000});
  Forward(state, link, *memory.slab);
}
BENCHMARK(BM_WireLink)->Arg(64)->Arg(1500)->Arg(9000);

}  // namespace
}  // namespace luna::pmd
