#ifndef LUNA_CTRL_STATS_COUNTER_H_
#define LUNA_CTRL_STATS_COUNTER_H_

#include <atomic>
#include <cstdint>

namespace luna::stats {

// A count that one thread writes and any thread may read.
//
// The writer does a plain load, add and store (relaxed, no read-modify-write, no lock prefix, no fence): as cheap as
// `++n`. Two writers at once lose counts, which is a programmer error that the sanitizers cannot see: give each thread
// a Counter of its own and add them up when reading.
// A reader sees some value the counter really had; two counters read one after the other need not match each other.
// Wraps at 2^64. 8 bytes; neighbours in one cache line should belong to one writer.
class Counter {
 public:
  constexpr Counter() = default;
  Counter(const Counter&) = delete;
  Counter& operator=(const Counter&) = delete;

  // Writer thread only.
  void Add(uint64_t n) { Set(value() + n); }
  void Increment() { Add(1); }
  // For levels (queue depth, free objs) rather than counts.
  void Set(uint64_t n) { value_.store(n, std::memory_order_relaxed); }

  // Any thread.
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

static_assert(sizeof(Counter) == 8 && std::atomic<uint64_t>::is_always_lock_free);

}  // namespace luna::stats

#endif  // LUNA_CTRL_STATS_COUNTER_H_
