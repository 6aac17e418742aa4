#ifndef LUNA_SCHED_RING_SPSC_RING_H_
#define LUNA_SCHED_RING_SPSC_RING_H_

// SpscRing: a bounded queue from one thread to one other, without locks and without waiting.
//
// Back-pressure is the return value: a push into a full ring leaves the value with the caller. Each side keeps a copy
// of the other's index and looks at the shared one only when its copy says full, or empty, so that a burst costs one
// transfer of a cache line and not one per value (the published design of FastForward, MCRingBuffer and rigtorp's
// queue). Values move. What is inside when the ring goes is destroyed.

#include <atomic>
#include <bit>
#include <cstddef>
#include <utility>
#include <vector>

#include "glog/logging.h"

namespace luna {

template <typename T>
class SpscRing {
 public:
  // Room for `capacity` values at least: the next power of two. From 1 on.
  explicit SpscRing(size_t capacity) : slots_(std::bit_ceil(capacity)), mask_(slots_.size() - 1) {
    CHECK(capacity > 0);
  }
  SpscRing(const SpscRing&) = delete;
  SpscRing& operator=(const SpscRing&) = delete;

  size_t capacity() const { return slots_.size(); }

  // Producer thread only. False, and `value` untouched: full.
  bool TryPush(T&& value) {
    const size_t tail = tail_.load(std::memory_order_relaxed);
    if (tail - head_seen_ == slots_.size()) {
      head_seen_ = head_.load(std::memory_order_acquire);
      if (tail - head_seen_ == slots_.size()) return false;
    }
    slots_[tail & mask_] = std::move(value);
    tail_.store(tail + 1, std::memory_order_release);
    return true;
  }

  // Consumer thread only: the oldest value, null when there is none. It stays until Pop(), which destroys it.
  T* Front() {
    const size_t head = head_.load(std::memory_order_relaxed);
    if (head == tail_seen_) {
      tail_seen_ = tail_.load(std::memory_order_acquire);
      if (head == tail_seen_) return nullptr;
    }
    return &slots_[head & mask_];
  }
  // Pre: Front() has found one.
  void Pop() {
    const size_t head = head_.load(std::memory_order_relaxed);
    slots_[head & mask_] = T();
    head_.store(head + 1, std::memory_order_release);
  }
  // Both. False: empty.
  bool TryPop(T* value) {
    T* const front = Front();
    if (front == nullptr) return false;
    *value = std::move(*front);
    Pop();
    return true;
  }

  // Exact for a thread that is alone with the ring; for others a number that was right a moment ago.
  size_t size() const {
    const size_t head = head_.load(std::memory_order_acquire);
    return tail_.load(std::memory_order_acquire) - head;
  }
  bool empty() const { return size() == 0; }

 private:
  static constexpr size_t kCacheLine = 64;

  std::vector<T> slots_;
  const size_t mask_;
  // The producer's line, and the consumer's. Indices count up for ever; their difference is the size.
  alignas(kCacheLine) std::atomic<size_t> tail_{0};
  size_t head_seen_ = 0;
  alignas(kCacheLine) std::atomic<size_t> head_{0};
  size_t tail_seen_ = 0;
};

}  // namespace luna

#endif  // LUNA_SCHED_RING_SPSC_RING_H_
