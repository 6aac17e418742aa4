// bazel run -c opt //mem/zbuf:zbuf_benchmark

#include <atomic>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "benchmark/benchmark.h"
#include "luna/mem/zbuf/zbuf.h"

namespace luna::zbuf {
namespace {

struct Memory {
  explicit Memory(size_t zones) : arena(*Arena::Create(pages, {.size_bytes = zones * kZoneBytes, .prefault = true})) {}
  AnonymousPageSource pages;
  std::unique_ptr<Arena> arena;
};

void BM_AllocFree(benchmark::State& state) {
  Memory memory(4);
  Slab slab(*memory.arena);
  const auto bytes = static_cast<size_t>(state.range(0));
  for (auto _ : state) {
    std::byte* const obj = slab.Alloc(bytes);
    benchmark::DoNotOptimize(obj);
    Free(obj);
  }
}
BENCHMARK(BM_AllocFree)->Arg(100)->Arg(2048)->Arg(65536);

// A ring's worth at a time: objs cycle through the zones in FIFO order.
void BM_RingOfObjs(benchmark::State& state) {
  Memory memory(80);
  Slab slab(*memory.arena);
  std::vector<std::byte*> ring(static_cast<size_t>(state.range(0)));
  slab.AllocBulk(2048, absl::MakeSpan(ring));
  size_t at = 0;
  for (auto _ : state) {
    Free(ring[at]);
    ring[at] = slab.Alloc(2048);
    if (++at == ring.size()) at = 0;
  }
  slab.FreeBulk(ring);
}
BENCHMARK(BM_RingOfObjs)->Arg(64)->Arg(1024)->Arg(8192)->Arg(60000);

void BM_BulkOf32(benchmark::State& state) {
  Memory memory(4);
  Slab slab(*memory.arena);
  std::byte* objs[32];
  for (auto _ : state) {
    slab.AllocBulk(2048, absl::MakeSpan(objs));
    benchmark::DoNotOptimize(objs);
    slab.FreeBulk(objs);
  }
  state.SetItemsProcessed(state.iterations() * 32);
}
BENCHMARK(BM_BulkOf32);

void BM_InteriorRefFree(benchmark::State& state) {
  Memory memory(4);
  Slab slab(*memory.arena);
  std::byte* const obj = slab.Alloc(2048);
  size_t offset = 0;
  for (auto _ : state) {
    Ref(obj + offset);
    benchmark::DoNotOptimize(obj);
    Free(obj + offset);
    offset = (offset + 61) & 2047;
  }
  Free(obj);
}
BENCHMARK(BM_InteriorRefFree);

// The lookup alone, over objs of many zones: every zone header has the same place in its 2 MB.
void BM_IoAddress(benchmark::State& state) {
  const auto zones = static_cast<size_t>(state.range(0));
  Memory memory(zones);
  Slab slab(*memory.arena);
  std::vector<std::byte*> all(zones * ObjsPerZone(SizeClassOf(2048)));
  slab.AllocBulk(2048, absl::MakeSpan(all));
  std::vector<std::byte*> objs;
  for (size_t z = 0; z < zones; ++z) objs.push_back(all[z * ObjsPerZone(SizeClassOf(2048)) + 17 * z % 700]);
  size_t at = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(IoAddress(objs[at] + 99));
    benchmark::DoNotOptimize(ContextOf(objs[at] + 99));
    if (++at == objs.size()) at = 0;
  }
  slab.FreeBulk(all);
}
BENCHMARK(BM_IoAddress)->Arg(1)->Arg(8)->Arg(16)->Arg(32)->Arg(64);

void BM_ChainMove(benchmark::State& state) {
  Memory memory(4);
  Slab slab(*memory.arena);
  ZChain a = *ZChain::CopyFrom(slab, absl::string_view("hello"));
  for (auto _ : state) {
    ZChain b = std::move(a);
    benchmark::DoNotOptimize(b);
    a = std::move(b);
    benchmark::DoNotOptimize(a);
  }
}
BENCHMARK(BM_ChainMove);

// What an echo does: a received obj, header trimmed off, appended to a send queue, acknowledged.
void BM_ChainReceiveTrimQueueAck(benchmark::State& state) {
  Memory memory(4);
  Slab slab(*memory.arena);
  ZChain queue;
  for (auto _ : state) {
    ZChain packet(ZSlice{ZRef::Adopt(slab.Alloc(2048)), 1514});
    packet.TrimFront(54);
    queue.Append(std::move(packet));
    ZChain segment = queue.ShareRange(0, 1460);
    benchmark::DoNotOptimize(segment);
    segment.Clear();
    queue.TrimFront(1460);
  }
}
BENCHMARK(BM_ChainReceiveTrimQueueAck);

// A deep queue: share a segment from the middle, acknowledge at the front, append at the back.
void BM_ChainQueueOf(benchmark::State& state) {
  Memory memory(4);
  Slab slab(*memory.arena);
  std::byte* const obj = slab.Alloc(2048);
  ZChain queue;
  for (int64_t i = 0; i < state.range(0); ++i) queue.Append(ZRef::ShareOf(obj), 1460);
  for (auto _ : state) {
    queue.Append(ZRef::ShareOf(obj), 1460);
    queue.TrimFront(1460);
  }
  queue.Clear();
  Free(obj);
}
BENCHMARK(BM_ChainQueueOf)->Arg(2)->Arg(16)->Arg(256);

void BM_DrainNothing(benchmark::State& state) {
  Memory memory(1);
  Slab slab(*memory.arena);
  for (auto _ : state) benchmark::DoNotOptimize(slab.DrainReturns());
}
BENCHMARK(BM_DrainNothing);

// The foreign path without contention: another slab's thread gives references back, this one drains.
void BM_ForeignFreeAndDrain(benchmark::State& state) {
  constexpr size_t kBatch = 512;
  Memory memory(4);
  Slab slab(*memory.arena);
  std::vector<std::byte*> objs(kBatch);
  std::atomic<int> turn{0};
  std::thread stranger([&] {
    while (true) {
      int t;
      while ((t = turn.load(std::memory_order_acquire)) == 0) std::this_thread::yield();
      if (t < 0) return;
      for (std::byte* obj : objs) Free(obj);
      turn.store(0, std::memory_order_release);
    }
  });
  for (auto _ : state) {
    slab.AllocBulk(2048, absl::MakeSpan(objs));
    turn.store(1, std::memory_order_release);
    while (turn.load(std::memory_order_acquire) != 0) std::this_thread::yield();
    slab.DrainReturns();
  }
  turn.store(-1, std::memory_order_release);
  stranger.join();
  state.SetItemsProcessed(state.iterations() * kBatch);
}
BENCHMARK(BM_ForeignFreeAndDrain)->UseRealTime();

// For scale: malloc and free of the same size.
void BM_Malloc(benchmark::State& state) {
  for (auto _ : state) {
    void* const p = std::malloc(2048);
    benchmark::DoNotOptimize(p);
    std::free(p);
  }
}
BENCHMARK(BM_Malloc);

}  // namespace
}  // namespace luna::zbuf
