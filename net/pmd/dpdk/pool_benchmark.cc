// Zbuf beside what else one could take objs from: DPDK's mempool (its per-core cache on), its mbufs, and malloc. One
// thread, 2 KB objs. `bazel run -c opt //net/pmd/dpdk:pool_benchmark`.
//
// "OneAgain": an obj is taken and given back, which is warm for everyone. "Ring": 1,024 objs are out, and the oldest
// goes back for each new one, as on a NIC's receive ring. What is not shown: frees from another thread, and huge pages.

#include <cstddef>
#include <cstdlib>
#include <vector>

#include "rte_config.h"
// clang-format off: rte_config.h comes first.
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
// clang-format on

#include "benchmark/benchmark.h"
#include "glog/logging.h"
#include "luna/mem/zbuf/slab.h"
#include "luna/net/pmd/dpdk/eal.h"
#include "luna/net/pmd/dpdk/testing/frames.h"

namespace luna::pmd::dpdk {
namespace {

constexpr size_t kObjBytes = 2048;
constexpr size_t kRing = 1024;
constexpr unsigned kPoolObjs = 8191;
constexpr unsigned kCache = 256;

void StartDpdk() {
  static Eal* const eal = [] {
    auto started = Eal::Init({.huge = Huge::kOff});
    CHECK(started.ok()) << started.status();
    return started->release();
  }();
  (void)eal;
}

struct Zbuf {
  Memory memory{64};
  void* Get() { return memory.slab->Alloc(kObjBytes); }
  void Put(void* obj) { memory.slab->Free(obj); }
};

struct Mempool {
  Mempool() {
    StartDpdk();
    pool = rte_mempool_create("luna-bench", kPoolObjs, kObjBytes, kCache, 0, nullptr, nullptr, nullptr, nullptr,
                              SOCKET_ID_ANY, 0);
    CHECK(pool != nullptr);
    CHECK(rte_lcore_id() != LCORE_ID_ANY) << "without a core's cache this would be no comparison";
  }
  ~Mempool() { rte_mempool_free(pool); }
  void* Get() {
    void* obj = nullptr;
    return rte_mempool_get(pool, &obj) == 0 ? obj : nullptr;
  }
  void Put(void* obj) { rte_mempool_put(pool, obj); }
  rte_mempool* pool;
};

struct Mbufs {
  Mbufs() {
    StartDpdk();
    pool = rte_pktmbuf_pool_create("luna-bench-mbufs", kPoolObjs, kCache, 0, kObjBytes, SOCKET_ID_ANY);
    CHECK(pool != nullptr);
  }
  ~Mbufs() { rte_mempool_free(pool); }
  void* Get() { return rte_pktmbuf_alloc(pool); }
  void Put(void* obj) { rte_pktmbuf_free(static_cast<rte_mbuf*>(obj)); }
  rte_mempool* pool;
};

struct Malloc {
  void* Get() { return std::malloc(kObjBytes); }
  void Put(void* obj) { std::free(obj); }
};

template <typename Source>
void OneAgain(benchmark::State& state) {
  Source source;
  for (auto _ : state) {
    void* const obj = source.Get();
    benchmark::DoNotOptimize(obj);
    source.Put(obj);
  }
}

template <typename Source>
void Ring(benchmark::State& state) {
  Source source;
  std::vector<void*> ring(kRing);
  for (void*& obj : ring) obj = source.Get();
  size_t at = 0;
  for (auto _ : state) {
    source.Put(ring[at]);
    ring[at] = source.Get();
    benchmark::DoNotOptimize(ring[at]);
    at = (at + 1) % kRing;
  }
  for (void* obj : ring) source.Put(obj);
}

BENCHMARK_TEMPLATE(OneAgain, Zbuf);
BENCHMARK_TEMPLATE(OneAgain, Mempool);
BENCHMARK_TEMPLATE(OneAgain, Mbufs);
BENCHMARK_TEMPLATE(OneAgain, Malloc);
BENCHMARK_TEMPLATE(Ring, Zbuf);
BENCHMARK_TEMPLATE(Ring, Mempool);
BENCHMARK_TEMPLATE(Ring, Mbufs);
BENCHMARK_TEMPLATE(Ring, Malloc);

}  // namespace
}  // namespace luna::pmd::dpdk
