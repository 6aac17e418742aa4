#ifndef LUNA_NET_PMD_DPDK_TX_POOL_H_
#define LUNA_NET_PMD_DPDK_TX_POOL_H_

// TxPool: mbufs without buffers, which carry slices of Zbuf objs to a device. One per transmit queue.
//
// Each slice of a frame gets one of these mbufs, its buf_addr the slice's first byte; it takes over the slice's
// reference when the device accepts the frame. When the device is done it puts the mbuf back, from whatever thread, and
// put frees that reference. So nothing is copied, an obj may be in several frames and on several devices at once, and
// sharing needs no look at anybody's count.
//
// Why not the mbuf in the obj's own driver area: it exists once per obj, but a payload may be in two frames (a
// retransmission beside the original), and objs of other threads must not be written to. Besides, a LIFO of a few mbufs
// stays in the cache, where driver areas are cold.
//
// To DPDK these mbufs are direct ones with data_off 0: no headroom, so that no driver writes in front of shared data.
// The pool claims a data room of 65,535 bytes: versions of net_memif copy without looking at lengths when they believe
// that every segment fits their buffers (see memif.h).
//
// Threads: Take, PutBack and DrainReturns on the slab's owner thread; put (by drivers) and Settle on any. Returns from
// other threads go through a lock-free list. Lifetime: Destroy orphans the pool; it vanishes when the last mbuf is back
// (a net_ring peer may still hold some).

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "luna/mem/zbuf/slab.h"

struct rte_mempool;
struct rte_mbuf;

namespace luna::pmd::dpdk {

class TxPool {
 public:
  struct Destroyer {
    void operator()(TxPool* pool) const { pool->Destroy(); }
  };
  using Ptr = std::unique_ptr<TxPool, Destroyer>;

  // `slab` names the owner thread, and must live until Destroy. `count` is the most mbufs that can be out.
  // ResourceExhausted.
  static absl::StatusOr<Ptr> Create(zbuf::Slab& slab, uint32_t count, int numa_node = -1);
  TxPool(const TxPool&) = delete;
  TxPool& operator=(const TxPool&) = delete;

  // An mbuf for [data, data + bytes), one segment, no offload flags; null when all are out. Takes no reference.
  rte_mbuf* Take(std::byte* data, uint16_t bytes);

  // Undoes Take, for a frame that the device did not accept: the reference stays with the caller. Whole chain.
  void PutBack(rte_mbuf* chain);

  // Collects what other threads returned, and says how many mbufs are still out.
  uint32_t Outstanding();

  // True for the pool of any TxPool.
  static bool IsTxPool(const rte_mempool* pool);

  // Ends the journey of one segment that came out of a device (net_ring hands over the sender's own mbufs): the caller
  // owns the reference from here, the mbuf goes home. Any thread. Returns the first byte of the data.
  static std::byte* Settle(rte_mbuf* mbuf);

 private:
  friend struct TxPoolOps;
  struct Element;

  TxPool(zbuf::Slab& slab, uint32_t count);
  ~TxPool();
  void Destroy();

  // One mbuf comes home, from any thread.
  void Return(rte_mbuf* mbuf);
  void ReturnFromElsewhere(Element* element);
  void DrainReturns();
  void Push(Element* element);
  bool OnOwnerThread() const { return !orphaned_.load(std::memory_order_relaxed) && slab_.OwnedByThisThread(); }

  zbuf::Slab& slab_;
  const uint32_t count_;
  rte_mempool* pool_ = nullptr;
  std::unique_ptr<Element[]> elements_;
  Element* free_ = nullptr;  // LIFO
  uint32_t free_count_ = 0;
  uint64_t drained_ = 0;  // returns from other threads that were collected, ever
  std::atomic<bool> orphaned_{false};

  // Other threads' line.
  alignas(64) std::atomic<Element*> returns_{nullptr};
  // Returns from other threads, ever; from Destroy on, minus how many had to come: whoever brings it to 0 deletes.
  std::atomic<int64_t> balance_{0};
};

}  // namespace luna::pmd::dpdk

#endif  // LUNA_NET_PMD_DPDK_TX_POOL_H_
