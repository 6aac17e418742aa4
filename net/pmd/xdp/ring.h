#ifndef LUNA_NET_PMD_XDP_RING_H_
#define LUNA_NET_PMD_XDP_RING_H_

// The two ends of an AF_XDP ring (Linux Documentation/networking/af_xdp.rst): a single-producer single-consumer queue
// in memory that is shared with the kernel. `fill` and `tx` are ours to produce, `rx` and `completion` ours to consume.
//
// Indices run freely over 32 bits and wrap; an entry's slot is its index modulo the size, a power of two. Each side
// writes its own index with release order and reads the other's with acquire order; both keep a private copy of the
// other's index and look again only when the copy says full or empty, so that the shared cache line is touched once per
// burst. Thread: one per end.

#include <atomic>
#include <cstdint>

#include "glog/logging.h"

namespace luna::pmd::xdp {

// Where a ring lies. The memory outlives the ring's ends.
template <typename Entry>
struct RingMemory {
  uint32_t* producer = nullptr;
  uint32_t* consumer = nullptr;
  uint32_t* flags = nullptr;
  Entry* entries = nullptr;
  uint32_t size = 0;  // a power of two
};

// XDP_RING_NEED_WAKEUP: the kernel sleeps until it is told that there is work.
inline constexpr uint32_t kRingNeedsWakeup = 1;

template <typename Entry>
class ProducerRing {
 public:
  ProducerRing() = default;
  explicit ProducerRing(const RingMemory<Entry>& memory)
      : memory_(memory), mask_(memory.size - 1), produced_(*memory.producer), consumed_seen_(*memory.consumer) {
    CHECK(memory.size != 0 && (memory.size & mask_) == 0) << "ring of " << memory.size;
  }

  uint32_t size() const { return memory_.size; }

  // Slots that may be pushed, at least `wanted` if there are so many. O(1); touches the shared index only when it must.
  uint32_t Free(uint32_t wanted) {
    uint32_t free = memory_.size - (produced_ - consumed_seen_);
    if (free < wanted) {
      consumed_seen_ = std::atomic_ref(*memory_.consumer).load(std::memory_order_acquire);
      free = memory_.size - (produced_ - consumed_seen_);
    }
    return free;
  }

  // Writes the next slot, which must be free. Unseen by the kernel until Publish.
  void Push(const Entry& entry) {
    DCHECK_GT(Free(1), 0u);
    memory_.entries[produced_++ & mask_] = entry;
  }
  void Publish() { std::atomic_ref(*memory_.producer).store(produced_, std::memory_order_release); }

  // Published entries that the kernel has not taken yet. Reads the shared index.
  uint32_t Pending() {
    consumed_seen_ = std::atomic_ref(*memory_.consumer).load(std::memory_order_acquire);
    return produced_ - consumed_seen_;
  }

  // Whether the kernel must be woken to look at the ring.
  bool NeedsWakeup() const {
    return (std::atomic_ref(*memory_.flags).load(std::memory_order_relaxed) & kRingNeedsWakeup) != 0;
  }

 private:
  RingMemory<Entry> memory_;
  uint32_t mask_ = 0;
  uint32_t produced_ = 0;       // ours, published or not
  uint32_t consumed_seen_ = 0;  // the kernel's, when we last looked
};

template <typename Entry>
class ConsumerRing {
 public:
  ConsumerRing() = default;
  explicit ConsumerRing(const RingMemory<Entry>& memory)
      : memory_(memory), mask_(memory.size - 1), consumed_(*memory.consumer), produced_seen_(*memory.producer) {
    CHECK(memory.size != 0 && (memory.size & mask_) == 0) << "ring of " << memory.size;
  }

  uint32_t size() const { return memory_.size; }

  // Entries that may be popped. Looks at the shared index only when the last look is used up.
  uint32_t Available() {
    if (produced_seen_ == consumed_) {
      produced_seen_ = std::atomic_ref(*memory_.producer).load(std::memory_order_acquire);
    }
    return produced_seen_ - consumed_;
  }

  // The next entry; there must be one. The slot stays ours until Release.
  Entry Pop() {
    DCHECK_GT(Available(), 0u);
    return memory_.entries[consumed_++ & mask_];
  }
  // Gives the popped slots back to the kernel.
  void Release() { std::atomic_ref(*memory_.consumer).store(consumed_, std::memory_order_release); }

 private:
  RingMemory<Entry> memory_;
  uint32_t mask_ = 0;
  uint32_t consumed_ = 0;       // ours, released or not
  uint32_t produced_seen_ = 0;  // the kernel's, when we last looked
};

}  // namespace luna::pmd::xdp

#endif  // LUNA_NET_PMD_XDP_RING_H_
