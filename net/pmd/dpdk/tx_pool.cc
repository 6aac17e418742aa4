#include "luna/net/pmd/dpdk/tx_pool.h"

#include "rte_config.h"
// clang-format off: rte_config.h comes first.
#include <rte_mbuf.h>
#include <rte_mempool.h>
// clang-format on

#include "glog/logging.h"
#include "luna/mem/zbuf/zone.h"
#include "luna/net/pmd/dpdk/mempool_ops.h"

namespace luna::pmd::dpdk {

// DPDK's object header lies right in front of the mbuf.
struct alignas(64) TxPool::Element {
  Element* next = nullptr;  // in the free list or the return list
  std::byte pad[64 - sizeof(Element*) - sizeof(rte_mempool_objhdr)];
  rte_mempool_objhdr header;
  rte_mbuf mbuf;

  static Element* Of(void* mbuf) {
    return reinterpret_cast<Element*>(static_cast<std::byte*>(mbuf) - offsetof(Element, mbuf));
  }
};

struct TxPoolOps {
  static TxPool* Self(const rte_mempool* pool) { return static_cast<TxPool*>(pool->pool_data); }

  static int Enqueue(rte_mempool* pool, void* const* elements, unsigned count) {
    for (unsigned i = 0; i < count; ++i) {
      rte_mbuf* mbuf = static_cast<rte_mbuf*>(elements[i]);
      zbuf::Free(mbuf->buf_addr);
      Self(pool)->Return(mbuf);
    }
    return 0;
  }

  // Only Take hands these mbufs out; a driver has no reason to allocate from a transmit pool.
  static int Dequeue(rte_mempool*, void**, unsigned) { return -ENOTSUP; }
  static unsigned Count(const rte_mempool* pool) { return Self(pool)->free_count_; }

  static int Index() {
    static const int index =
        RegisterMempoolOps({.name = "luna_tx", .enqueue = Enqueue, .dequeue = Dequeue, .get_count = Count});
    return index;
  }
};

TxPool::TxPool(zbuf::Slab& slab, uint32_t count) : slab_(slab), count_(count), elements_(new Element[count]) {}

absl::StatusOr<TxPool::Ptr> TxPool::Create(zbuf::Slab& slab, uint32_t count, int numa_node) {
  static_assert(offsetof(Element, mbuf) == 64 && sizeof(Element) == 64 + sizeof(rte_mbuf));
  Ptr self(new TxPool(slab, count));
  for (uint32_t i = count; i > 0; --i) self->Push(&self->elements_[i - 1]);
  rte_pktmbuf_pool_private data{};
  data.mbuf_data_room_size = 65535;
  absl::StatusOr<rte_mempool*> pool = MakeEmptyPool("lt", count, TxPoolOps::Index(), self.get(), data, numa_node);
  if (!pool.ok()) return pool.status();
  self->pool_ = *pool;
  for (uint32_t i = 0; i < count; ++i) InitialiseFreeMbuf(&self->elements_[i].mbuf, *pool);
  return self;
}

TxPool::~TxPool() { rte_mempool_free(pool_); }

bool TxPool::IsTxPool(const rte_mempool* pool) { return pool->ops_index == TxPoolOps::Index(); }

void TxPool::Push(Element* element) {
  element->next = free_;
  free_ = element;
  ++free_count_;
}

rte_mbuf* TxPool::Take(std::byte* data, uint16_t bytes) {
  if (free_ == nullptr) [[unlikely]] {
    DrainReturns();
    if (free_ == nullptr) return nullptr;
  }
  Element* element = free_;
  free_ = element->next;
  --free_count_;
  rte_mbuf* mbuf = &element->mbuf;
  mbuf->buf_addr = data;
  mbuf->buf_iova = zbuf::IoAddress(data);
  mbuf->buf_len = bytes;
  mbuf->data_off = 0;
  mbuf->data_len = bytes;
  mbuf->pkt_len = bytes;
  mbuf->ol_flags = 0;
  mbuf->tx_offload = 0;
  DCHECK(mbuf->next == nullptr && mbuf->nb_segs == 1 && rte_mbuf_refcnt_read(mbuf) == 1);
  return mbuf;
}

void TxPool::PutBack(rte_mbuf* chain) {
  while (chain != nullptr) {
    rte_mbuf* next = chain->next;
    chain->next = nullptr;
    chain->nb_segs = 1;
    Push(Element::Of(chain));
    chain = next;
  }
}

std::byte* TxPool::Settle(rte_mbuf* mbuf) {
  std::byte* data = rte_pktmbuf_mtod(mbuf, std::byte*);
  mbuf->next = nullptr;
  mbuf->nb_segs = 1;
  TxPoolOps::Self(mbuf->pool)->Return(mbuf);
  return data;
}

void TxPool::Return(rte_mbuf* mbuf) {
  Element* element = Element::Of(mbuf);
  if (OnOwnerThread()) [[likely]] {
    Push(element);
  } else {
    ReturnFromElsewhere(element);
  }
}

void TxPool::ReturnFromElsewhere(Element* element) {
  element->next = returns_.load(std::memory_order_relaxed);
  while (
      !returns_.compare_exchange_weak(element->next, element, std::memory_order_release, std::memory_order_relaxed)) {
  }
  if (balance_.fetch_add(1, std::memory_order_acq_rel) == -1) delete this;
}

void TxPool::DrainReturns() {
  Element* element = returns_.exchange(nullptr, std::memory_order_acquire);
  while (element != nullptr) {
    Element* next = element->next;
    Push(element);
    ++drained_;
    element = next;
  }
}

uint32_t TxPool::Outstanding() {
  if (returns_.load(std::memory_order_relaxed) != nullptr) DrainReturns();
  return count_ - free_count_;
}

void TxPool::Destroy() {
  orphaned_.store(true, std::memory_order_relaxed);
  DrainReturns();
  // Everything that is not in the free list now comes, or has come meanwhile, by ReturnFromElsewhere.
  const int64_t must_come = static_cast<int64_t>(drained_ + count_ - free_count_);
  if (balance_.fetch_sub(must_come, std::memory_order_acq_rel) == must_come) delete this;
}

}  // namespace luna::pmd::dpdk
