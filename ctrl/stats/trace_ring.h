#ifndef LUNA_CTRL_STATS_TRACE_RING_H_
#define LUNA_CTRL_STATS_TRACE_RING_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "luna/sched/clock/time.h"

namespace luna::stats {

// What happened when. The meaning of `event`, `a` and `b` is the writer's: an enum of its own, a sequence number, a
// length.
struct TraceRecord {
  Time time;
  uint64_t event = 0;
  uint64_t a = 0;
  uint64_t b = 0;

  bool operator==(const TraceRecord&) const = default;
};

// The latest trace records of one thread, always on: a flight recorder. Old records are overwritten.
//
// Threads: one writer appends; any thread may take a snapshot meanwhile and gets only whole records. The writer neither
// waits nor does a read-modify-write: five plain stores on x86.
class TraceRing {
 public:
  // Capacity is rounded up to a power of two, at least 2. 32 bytes each, allocated here and never again.
  explicit TraceRing(size_t capacity);
  TraceRing(const TraceRing&) = delete;
  TraceRing& operator=(const TraceRing&) = delete;

  // Writer thread only.
  void Append(Time now, uint64_t event, uint64_t a = 0, uint64_t b = 0) {
    const uint64_t index = written_.load(std::memory_order_relaxed);
    Slot& slot = slots_[index & mask_];
    // Release, so that a reader who sees any word of this record also sees that the ones before were published.
    slot.time.store(now.nanoseconds(), std::memory_order_release);
    slot.event.store(event, std::memory_order_release);
    slot.a.store(a, std::memory_order_release);
    slot.b.store(b, std::memory_order_release);
    written_.store(index + 1, std::memory_order_release);
  }

  // Any thread. The last min(written(), capacity() - 1) records, oldest first, less those that the writer overwrote
  // during the call. (One slot is always taken as being written.) O(capacity), allocates.
  std::vector<TraceRecord> Snapshot() const;

  // Any thread. How many were ever appended.
  uint64_t written() const { return written_.load(std::memory_order_acquire); }
  size_t capacity() const { return mask_ + 1; }

 private:
  struct Slot {
    std::atomic<int64_t> time{0};
    std::atomic<uint64_t> event{0};
    std::atomic<uint64_t> a{0};
    std::atomic<uint64_t> b{0};
  };

  size_t mask_;
  std::unique_ptr<Slot[]> slots_;
  // Records appended so far. Record i lies in slot i & mask_.
  std::atomic<uint64_t> written_{0};
};

// One line per record: time, microseconds since the record before, event's name, a and b in decimal.
std::string TraceToString(const std::vector<TraceRecord>& records,
                          absl::FunctionRef<absl::string_view(uint64_t event)> event_name);

}  // namespace luna::stats

#endif  // LUNA_CTRL_STATS_TRACE_RING_H_
