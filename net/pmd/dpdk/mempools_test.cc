#include "rte_config.h"
// clang-format off: rte_config.h comes first.
#include <rte_mbuf.h>
#include <rte_mempool.h>
// clang-format on

#include <array>
#include <atomic>
#include <cstring>
#include <memory>
#include <set>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "luna/mem/zbuf/zbuf.h"
#include "luna/net/pmd/dpdk/eal.h"
#include "luna/net/pmd/dpdk/tx_pool.h"
#include "luna/net/pmd/dpdk/zbuf_mempool.h"

namespace luna::pmd::dpdk {
namespace {

class EalEnvironment : public testing::Environment {
 public:
  void SetUp() override {
    absl::StatusOr<std::unique_ptr<Eal>> eal = Eal::Init({.huge = Huge::kOff, .memory_mb = 16});
    ASSERT_TRUE(eal.ok()) << eal.status();
    eal_ = *std::move(eal);
  }
  void TearDown() override { eal_.reset(); }

 private:
  std::unique_ptr<Eal> eal_;
};
const auto* const kEnvironment = testing::AddGlobalTestEnvironment(new EalEnvironment);

class MempoolsTest : public testing::Test {
 protected:
  void SetUp() override {
    absl::StatusOr<std::unique_ptr<zbuf::Arena>> arena = zbuf::Arena::Create(source_, {.size_bytes = 4 << 20});
    ASSERT_TRUE(arena.ok()) << arena.status();
    arena_ = *std::move(arena);
    slab_ = std::make_unique<zbuf::Slab>(*arena_);
  }
  std::unique_ptr<ZbufMempool> MakeZbufPool(const ZbufMempool::Options& options = {}) {
    absl::StatusOr<std::unique_ptr<ZbufMempool>> pool = ZbufMempool::Create(*slab_, options);
    EXPECT_TRUE(pool.ok()) << pool.status();
    return *std::move(pool);
  }
  TxPool::Ptr MakeTxPool(uint32_t count) {
    absl::StatusOr<TxPool::Ptr> pool = TxPool::Create(*slab_, count);
    EXPECT_TRUE(pool.ok()) << pool.status();
    return *std::move(pool);
  }
  void ExpectFreeState(const rte_mbuf* mbuf) {
    EXPECT_EQ(mbuf->refcnt, 1);
    EXPECT_EQ(mbuf->next, nullptr);
    EXPECT_EQ(mbuf->nb_segs, 1);
  }

  zbuf::AnonymousPageSource source_;
  std::unique_ptr<zbuf::Arena> arena_;
  std::unique_ptr<zbuf::Slab> slab_;
};

// --- ZbufMempool.

TEST_F(MempoolsTest, DriverSeesItsDataRoom) {
  std::unique_ptr<ZbufMempool> pool = MakeZbufPool();
  EXPECT_EQ(rte_pktmbuf_data_room_size(pool->pool()), zbuf::kReceiveObjBytes);
  std::unique_ptr<ZbufMempool> narrow = MakeZbufPool({.data_room_bytes = 2175});
  EXPECT_EQ(rte_pktmbuf_data_room_size(narrow->pool()), 2175);
  std::unique_ptr<ZbufMempool> huge = MakeZbufPool({.obj_bytes = 65792});
  EXPECT_EQ(rte_pktmbuf_data_room_size(huge->pool()), 65535);
  EXPECT_TRUE(ZbufMempool::IsZbufMempool(pool->pool()));
  EXPECT_FALSE(TxPool::IsTxPool(pool->pool()));
}

TEST_F(MempoolsTest, BadObjSizesAreRefused) {
  for (size_t bytes : {size_t{0}, size_t{128}, zbuf::kMaxObjBytes + 1}) {
    EXPECT_EQ(ZbufMempool::Create(*slab_, {.obj_bytes = bytes}).status().code(), absl::StatusCode::kInvalidArgument)
        << bytes;
  }
}

// Drivers that map a pool for DMA walk its chunks: they must be the arena, all of it.
TEST_F(MempoolsTest, ChunksAreTheArena) {
  std::unique_ptr<ZbufMempool> pool = MakeZbufPool();
  std::vector<std::pair<void*, size_t>> chunks;
  rte_mempool_mem_iter(
      pool->pool(),
      [](rte_mempool*, void* out, rte_mempool_memhdr* chunk, unsigned) {
        static_cast<decltype(chunks)*>(out)->emplace_back(chunk->addr, chunk->len);
      },
      &chunks);
  ASSERT_EQ(chunks.size(), 1u);
  EXPECT_EQ(chunks[0].first, arena_->base());
  EXPECT_EQ(chunks[0].second, arena_->bytes());
  EXPECT_EQ(rte_mempool_avail_count(pool->pool()), pool->pool()->size);
}

TEST_F(MempoolsTest, AllocatedMbufsLieInDriverAreasAndPointAtTheirObjs) {
  std::unique_ptr<ZbufMempool> pool = MakeZbufPool();
  std::array<rte_mbuf*, 200> mbufs;
  ASSERT_EQ(rte_pktmbuf_alloc_bulk(pool->pool(), mbufs.data(), mbufs.size()), 0);
  EXPECT_EQ(slab_->outstanding(), mbufs.size());
  std::set<rte_mbuf*> distinct(mbufs.begin(), mbufs.end());
  EXPECT_EQ(distinct.size(), mbufs.size());
  for (rte_mbuf* mbuf : mbufs) {
    std::byte* obj = zbuf::ObjFromDriverArea(mbuf);
    EXPECT_EQ(mbuf->buf_addr, obj);
    EXPECT_EQ(mbuf->buf_iova, zbuf::IoAddress(obj));
    EXPECT_EQ(mbuf->buf_len, zbuf::kReceiveObjBytes);
    EXPECT_EQ(mbuf->data_off, RTE_PKTMBUF_HEADROOM);
    EXPECT_EQ(mbuf->pool, pool->pool());
    EXPECT_EQ(rte_mempool_from_obj(mbuf), pool->pool());
    ExpectFreeState(mbuf);
    memset(rte_pktmbuf_append(mbuf, 2048), 0x5a, 2048);
  }
  rte_pktmbuf_free_bulk(mbufs.data(), mbufs.size());
  EXPECT_EQ(slab_->outstanding(), 0u);
}

TEST_F(MempoolsTest, ChainsComeHomeWhole) {
  std::unique_ptr<ZbufMempool> pool = MakeZbufPool();
  std::array<rte_mbuf*, 3> m;
  ASSERT_EQ(rte_pktmbuf_alloc_bulk(pool->pool(), m.data(), m.size()), 0);
  ASSERT_EQ(rte_pktmbuf_chain(m[0], m[1]), 0);
  ASSERT_EQ(rte_pktmbuf_chain(m[0], m[2]), 0);
  rte_pktmbuf_free(m[0]);
  EXPECT_EQ(slab_->outstanding(), 0u);
  // Whatever order the objs come back in, each mbuf is a free one again.
  ASSERT_EQ(rte_mempool_get_bulk(pool->pool(), reinterpret_cast<void**>(m.data()), m.size()), 0);
  for (rte_mbuf* mbuf : m) ExpectFreeState(mbuf);
  rte_pktmbuf_free_bulk(m.data(), m.size());
}

TEST_F(MempoolsTest, AdoptedChainIsOursAndItsMbufsAreFree) {
  std::unique_ptr<ZbufMempool> pool = MakeZbufPool();
  std::array<rte_mbuf*, 2> m;
  ASSERT_EQ(rte_pktmbuf_alloc_bulk(pool->pool(), m.data(), m.size()), 0);
  memcpy(rte_pktmbuf_append(m[0], 5), "hello", 5);
  memcpy(rte_pktmbuf_append(m[1], 5), "world", 5);
  ASSERT_EQ(rte_pktmbuf_chain(m[0], m[1]), 0);
  rte_mbuf* second = m[0]->next;
  zbuf::ZRef a = zbuf::ZRef::Adopt(ZbufMempool::AdoptMbuf(m[0]));
  zbuf::ZRef b = zbuf::ZRef::Adopt(ZbufMempool::AdoptMbuf(second));
  EXPECT_EQ(memcmp(a.get(), "hello", 5), 0);
  EXPECT_EQ(memcmp(b.get(), "world", 5), 0);
  EXPECT_EQ(zbuf::RefCount(a.get()), 1);
  for (rte_mbuf* mbuf : m) ExpectFreeState(mbuf);
  zbuf::ZRef shared = a.Share();
  a.reset();
  b.reset();
  EXPECT_EQ(slab_->outstanding(), 1u);
  shared.reset();
  EXPECT_EQ(slab_->outstanding(), 0u);
}

TEST_F(MempoolsTest, ExhaustionTakesNothingIsCountedAndPasses) {
  std::unique_ptr<ZbufMempool> pool = MakeZbufPool();
  std::vector<rte_mbuf*> all;
  rte_mbuf* mbuf;
  while ((mbuf = rte_pktmbuf_alloc(pool->pool())) != nullptr) all.push_back(mbuf);
  EXPECT_EQ(all.size(), 2 * zbuf::ObjsPerZone(zbuf::SizeClassOf(zbuf::kReceiveObjBytes)));
  EXPECT_EQ(pool->exhausted(), 1u);
  EXPECT_EQ(rte_mempool_avail_count(pool->pool()), 0u);
  // 10 are free, 100 are asked for: none is taken, over more than one batch too.
  for (int i = 0; i < 10; ++i) rte_pktmbuf_free(all[i]);
  all.erase(all.begin(), all.begin() + 10);
  std::array<rte_mbuf*, 100> many;
  EXPECT_NE(rte_pktmbuf_alloc_bulk(pool->pool(), many.data(), many.size()), 0);
  EXPECT_EQ(slab_->outstanding(), all.size());
  EXPECT_EQ(pool->exhausted(), 2u);
  EXPECT_EQ(rte_pktmbuf_alloc_bulk(pool->pool(), many.data(), 10), 0);
  rte_pktmbuf_free_bulk(many.data(), 10);
  rte_pktmbuf_free_bulk(all.data(), static_cast<unsigned>(all.size()));
  EXPECT_EQ(slab_->outstanding(), 0u);
}

// The driver area belongs to whoever used it last; a pool must not believe what a stranger left there.
TEST_F(MempoolsTest, StrangersInTheDriverAreaAreOverwritten) {
  std::unique_ptr<ZbufMempool> first = MakeZbufPool();
  rte_mbuf* mbuf = rte_pktmbuf_alloc(first->pool());
  rte_pktmbuf_free(mbuf);
  memset(static_cast<void*>(mbuf), 0xff, sizeof(*mbuf));
  rte_mbuf* again = rte_pktmbuf_alloc(first->pool());
  ASSERT_EQ(again, mbuf);
  ExpectFreeState(again);
  EXPECT_EQ(again->pool, first->pool());
  rte_pktmbuf_free(again);

  std::unique_ptr<ZbufMempool> second = MakeZbufPool({.data_room_bytes = 2000});
  rte_mbuf* other = rte_pktmbuf_alloc(second->pool());
  ASSERT_EQ(other, mbuf);
  EXPECT_EQ(other->pool, second->pool());
  EXPECT_EQ(other->buf_len, 2000);
  rte_pktmbuf_free(other);
}

TEST_F(MempoolsTest, OtherThreadsMayFreeButNotAllocate) {
  std::unique_ptr<ZbufMempool> pool = MakeZbufPool();
  std::array<rte_mbuf*, 64> mbufs;
  ASSERT_EQ(rte_pktmbuf_alloc_bulk(pool->pool(), mbufs.data(), mbufs.size()), 0);
  std::thread([&] {
    EXPECT_EQ(rte_pktmbuf_alloc(pool->pool()), nullptr);
    rte_pktmbuf_free_bulk(mbufs.data(), mbufs.size());
  }).join();
  EXPECT_EQ(slab_->DrainReturns(), mbufs.size());
  EXPECT_EQ(slab_->outstanding(), 0u);
}

// --- TxPool.

TEST_F(MempoolsTest, TxMbufCarriesASliceAndItsReference) {
  TxPool::Ptr pool = MakeTxPool(8);
  std::byte* obj = slab_->Alloc(2048);
  slab_->Ref(obj);  // the one that travels
  rte_mbuf* mbuf = pool->Take(obj + 100, 500);
  ASSERT_NE(mbuf, nullptr);
  EXPECT_EQ(rte_pktmbuf_mtod(mbuf, std::byte*), obj + 100);
  EXPECT_EQ(rte_pktmbuf_iova(mbuf), zbuf::IoAddress(obj + 100));
  EXPECT_EQ(mbuf->data_len, 500);
  EXPECT_EQ(mbuf->pkt_len, 500u);
  EXPECT_EQ(rte_pktmbuf_headroom(mbuf), 0);  // nobody may write in front of shared data
  EXPECT_EQ(rte_pktmbuf_tailroom(mbuf), 0);
  EXPECT_TRUE(RTE_MBUF_DIRECT(mbuf));
  EXPECT_TRUE(TxPool::IsTxPool(mbuf->pool));
  EXPECT_GT(rte_pktmbuf_data_room_size(mbuf->pool) - RTE_PKTMBUF_HEADROOM, 65280);
  EXPECT_EQ(pool->Outstanding(), 1u);
  rte_pktmbuf_free(mbuf);
  EXPECT_EQ(pool->Outstanding(), 0u);
  EXPECT_EQ(zbuf::RefCount(obj), 1);
  slab_->Free(obj);
}

TEST_F(MempoolsTest, TxChainIsFreedSegmentBySegment) {
  TxPool::Ptr pool = MakeTxPool(8);
  std::byte* a = slab_->Alloc(128);
  std::byte* b = slab_->Alloc(4096);
  rte_mbuf* head = pool->Take(a, 100);
  ASSERT_EQ(rte_pktmbuf_chain(head, pool->Take(b, 4096)), 0);
  rte_pktmbuf_free(head);
  EXPECT_EQ(slab_->outstanding(), 0u);
  EXPECT_EQ(pool->Outstanding(), 0u);
  // Reuse finds clean mbufs (Take DCHECKs it).
  rte_mbuf* again = pool->Take(a, 1);
  ExpectFreeState(again);
  pool->PutBack(again);
}

TEST_F(MempoolsTest, PutBackKeepsTheReference) {
  TxPool::Ptr pool = MakeTxPool(2);
  std::byte* obj = slab_->Alloc(128);
  rte_mbuf* head = pool->Take(obj, 64);
  rte_mbuf* tail = pool->Take(obj + 64, 64);
  EXPECT_EQ(pool->Take(obj, 1), nullptr);
  ASSERT_EQ(rte_pktmbuf_chain(head, tail), 0);
  pool->PutBack(head);
  EXPECT_EQ(pool->Outstanding(), 0u);
  EXPECT_EQ(zbuf::RefCount(obj), 1);
  ExpectFreeState(tail);
  slab_->Free(obj);
}

TEST_F(MempoolsTest, SettleHandsTheReferenceOver) {
  TxPool::Ptr pool = MakeTxPool(2);
  std::byte* obj = slab_->Alloc(128);
  rte_mbuf* mbuf = pool->Take(obj + 3, 64);
  EXPECT_EQ(TxPool::Settle(mbuf), obj + 3);
  EXPECT_EQ(pool->Outstanding(), 0u);
  EXPECT_EQ(zbuf::RefCount(obj), 1);
  slab_->Free(obj);
}

TEST_F(MempoolsTest, TxMbufsComeBackFromOtherThreads) {
  constexpr uint32_t kMbufs = 64;
  constexpr int kRounds = 2000;
  TxPool::Ptr pool = MakeTxPool(kMbufs);
  // One slot each way is ring enough: the other thread takes, and frees or settles.
  std::atomic<rte_mbuf*> slot{nullptr};
  std::atomic<bool> stop{false};
  std::thread other([&] {
    for (uint32_t n = 0; !stop.load(std::memory_order_acquire) || slot.load() != nullptr;) {
      rte_mbuf* mbuf = slot.exchange(nullptr, std::memory_order_acq_rel);
      if (mbuf == nullptr) {
        std::this_thread::yield();
        continue;
      }
      if (n++ % 2 == 0) {
        rte_pktmbuf_free(mbuf);
      } else {
        zbuf::Free(TxPool::Settle(mbuf));
      }
    }
  });
  for (int i = 0; i < kRounds; ++i) {
    std::byte* obj = nullptr;
    while ((obj = slab_->Alloc(128)) == nullptr) std::this_thread::yield();
    rte_mbuf* mbuf = nullptr;
    while ((mbuf = pool->Take(obj, 128)) == nullptr) std::this_thread::yield();
    while (slot.load(std::memory_order_acquire) != nullptr) std::this_thread::yield();
    slot.store(mbuf, std::memory_order_release);
  }
  stop.store(true, std::memory_order_release);
  other.join();
  EXPECT_EQ(pool->Outstanding(), 0u);
  slab_->DrainReturns();
  EXPECT_EQ(slab_->outstanding(), 0u);
}

// A ring's other end may hold frames when the sender's port is gone; the last one to come back deletes the pool (ASan
// and LeakSanitizer watch).
TEST_F(MempoolsTest, OrphanedPoolOutlivesItsOwnerUntilTheLastReturn) {
  TxPool::Ptr pool = MakeTxPool(4);
  std::byte* a = slab_->Alloc(128);
  std::byte* b = slab_->Alloc(128);
  rte_mbuf* one = pool->Take(a, 128);
  rte_mbuf* two = pool->Take(b, 128);
  pool.reset();
  rte_pktmbuf_free(one);
  std::thread([&] { rte_pktmbuf_free(two); }).join();
  slab_->DrainReturns();
  EXPECT_EQ(slab_->outstanding(), 0u);
}

TEST_F(MempoolsTest, OrphaningWhileOthersReturnIsSafe) {
  for (int round = 0; round < 200; ++round) {
    TxPool::Ptr pool = MakeTxPool(8);
    std::array<rte_mbuf*, 8> mbufs;
    for (rte_mbuf*& mbuf : mbufs) mbuf = pool->Take(slab_->Alloc(128), 128);
    std::atomic<bool> go{false};
    std::thread other([&] {
      while (!go.load(std::memory_order_acquire)) std::this_thread::yield();
      for (rte_mbuf* mbuf : mbufs) rte_pktmbuf_free(mbuf);
    });
    go.store(true, std::memory_order_release);
    pool.reset();
    other.join();
    slab_->DrainReturns();
    ASSERT_EQ(slab_->outstanding(), 0u);
  }
}

}  // namespace
}  // namespace luna::pmd::dpdk
