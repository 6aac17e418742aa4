#ifndef LUNA_SCHED_RING_MPSC_QUEUE_H_
#define LUNA_SCHED_RING_MPSC_QUEUE_H_

// MpscQueue: a bounded queue from any number of threads to one, without locks.
//
// Each slot has a ticket that says whose turn it is (D. Vyukov's bounded queue, with one consumer). A producer that was
// stopped between taking its ticket and filling the slot holds up the consumer at that slot, not the other producers;
// nobody waits inside a call. Order: each producer's own; between producers, that of the tickets.

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "glog/logging.h"

namespace luna {

template <typename T>
class MpscQueue {
 public:
  // Room for `capacity` values at least: the next power of two, from 2 on.
  explicit MpscQueue(size_t capacity)
      : size_(std::bit_ceil(capacity < 2 ? size_t{2} : capacity)), mask_(size_ - 1), slots_(new Slot[size_]) {
    CHECK(capacity > 0);
    for (size_t i = 0; i < size_; ++i) slots_[i].turn.store(i, std::memory_order_relaxed);
  }
  MpscQueue(const MpscQueue&) = delete;
  MpscQueue& operator=(const MpscQueue&) = delete;

  size_t capacity() const { return size_; }

  // Any thread. False, and `value` untouched: full.
  bool TryPush(T&& value) {
    size_t ticket = tail_.load(std::memory_order_relaxed);
    for (;;) {
      Slot& slot = slots_[ticket & mask_];
      const auto ahead = static_cast<intptr_t>(slot.turn.load(std::memory_order_acquire) - ticket);
      if (ahead < 0) return false;  // its value of a round ago is still there
      if (ahead > 0) {
        ticket = tail_.load(std::memory_order_relaxed);  // another producer was faster
      } else if (tail_.compare_exchange_weak(ticket, ticket + 1, std::memory_order_relaxed)) {
        slot.value = std::move(value);
        slot.turn.store(ticket + 1, std::memory_order_release);
        return true;
      }
    }
  }

  // Consumer thread only. True also while the next value is still being written.
  bool empty() const { return slots_[head_ & mask_].turn.load(std::memory_order_acquire) != head_ + 1; }

  // Consumer thread only. False: empty().
  bool TryPop(T* value) {
    if (empty()) return false;
    Slot& slot = slots_[head_ & mask_];
    *value = std::move(slot.value);
    slot.turn.store(head_ + size_, std::memory_order_release);
    ++head_;
    return true;
  }

 private:
  static constexpr size_t kCacheLine = 64;

  struct Slot {
    std::atomic<size_t> turn;
    T value{};
  };

  const size_t size_;
  const size_t mask_;
  const std::unique_ptr<Slot[]> slots_;
  alignas(kCacheLine) std::atomic<size_t> tail_{0};
  alignas(kCacheLine) size_t head_ = 0;
};

}  // namespace luna

#endif  // LUNA_SCHED_RING_MPSC_QUEUE_H_
