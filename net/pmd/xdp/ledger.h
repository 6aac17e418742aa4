#ifndef LUNA_NET_PMD_XDP_LEDGER_H_
#define LUNA_NET_PMD_XDP_LEDGER_H_

// What the kernel holds of ours. Two books, so that whatever the kernel keeps when a socket closes can be taken home,
// and so that an address it returns is believed only if it was given: no leak, no double free.
//
// Addresses are offsets into the UMEM. Thread: the owner of the queue.

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "glog/logging.h"

namespace luna::pmd::xdp {

// Receive objs that are posted to the kernel: a set of addresses that lie at least kGrain apart, one bit each.
class PostedSet {
 public:
  // No two objs may start within one grain; so objs are at least this long.
  static constexpr uint32_t kGrainShift = 11;
  static constexpr uint64_t kGrain = uint64_t{1} << kGrainShift;

  explicit PostedSet(uint64_t umem_bytes) : bits_((umem_bytes >> kGrainShift) / 64 + 1) {}

  // Not yet in the set.
  void Add(uint64_t address) {
    uint64_t& word = Word(address);
    DCHECK_EQ(word & Bit(address), 0u);
    word |= Bit(address);
    ++count_;
  }

  // False, and nothing changes, when the address was not in the set (or is outside the UMEM).
  bool Take(uint64_t address) {
    if (address >> kGrainShift >= bits_.size() * 64) return false;
    uint64_t& word = Word(address);
    if ((word & Bit(address)) == 0) return false;
    word &= ~Bit(address);
    --count_;
    return true;
  }

  uint32_t count() const { return count_; }

  // Empties the set and calls `take` with an inner address of each obj that was in it: the last byte of its grain,
  // which an obj of kGrain bytes or more covers.
  template <typename F>
  void TakeAll(F take) {
    for (size_t i = 0; i < bits_.size(); ++i) {
      for (uint64_t word = std::exchange(bits_[i], 0); word != 0; word &= word - 1) {
        take(((i * 64 + static_cast<size_t>(std::countr_zero(word)) + 1) << kGrainShift) - 1);
      }
    }
    count_ = 0;
  }

 private:
  static uint64_t Bit(uint64_t address) { return uint64_t{1} << ((address >> kGrainShift) & 63); }
  uint64_t& Word(uint64_t address) { return bits_[(address >> kGrainShift) >> 6]; }

  std::vector<uint64_t> bits_;
  uint32_t count_ = 0;
};

// Transmit descriptors that the kernel has not completed, in the order in which they were sent. Completions come in
// that order as a rule (O(1)), but need not (O(distance)). An address may be in flight several times.
class InFlight {
 public:
  // `capacity` is a power of two.
  explicit InFlight(uint32_t capacity) : entries_(capacity), mask_(capacity - 1) {
    CHECK(std::has_single_bit(capacity));
  }

  uint32_t Free() const { return static_cast<uint32_t>(entries_.size()) - (tail_ - head_); }
  // Descriptors and frames the kernel holds.
  uint32_t descriptors() const { return descriptors_; }
  uint32_t frames() const { return frames_; }

  // Requires Free() > 0.
  void Add(uint64_t address, bool last_of_frame) {
    DCHECK_GT(Free(), 0u);
    entries_[tail_++ & mask_] = address | (last_of_frame ? kLast : 0);
    ++descriptors_;
    frames_ += last_of_frame;
  }

  // False when the address is not in flight.
  bool Complete(uint64_t address) {
    for (uint32_t i = head_; i != tail_; ++i) {
      uint64_t& entry = entries_[i & mask_];
      if ((entry & ~kLast) != address) continue;
      --descriptors_;
      frames_ -= (entry & kLast) != 0;
      entry = kGone;
      while (head_ != tail_ && entries_[head_ & mask_] == kGone) ++head_;
      return true;
    }
    return false;
  }

  template <typename F>
  void TakeAll(F take) {
    for (; head_ != tail_; ++head_) {
      const uint64_t entry = entries_[head_ & mask_];
      if (entry != kGone) take(entry & ~kLast);
    }
    descriptors_ = 0;
    frames_ = 0;
  }

 private:
  static constexpr uint64_t kLast = uint64_t{1} << 63;  // no UMEM is that large
  static constexpr uint64_t kGone = ~uint64_t{0};

  std::vector<uint64_t> entries_;
  uint32_t mask_;
  uint32_t head_ = 0;  // oldest entry, never kGone
  uint32_t tail_ = 0;
  uint32_t descriptors_ = 0;
  uint32_t frames_ = 0;
};

}  // namespace luna::pmd::xdp

#endif  // LUNA_NET_PMD_XDP_LEDGER_H_
