#include "luna/ctrl/stats/trace_ring.h"

#include <algorithm>
#include <bit>

#include "absl/strings/str_format.h"
#include "luna/sched/clock/time_format.h"

namespace luna::stats {

TraceRing::TraceRing(size_t capacity)
    : mask_(std::bit_ceil(std::max<size_t>(capacity, 2)) - 1), slots_(std::make_unique<Slot[]>(mask_ + 1)) {}

std::vector<TraceRecord> TraceRing::Snapshot() const {
  const uint64_t end = written();
  const uint64_t begin = end > capacity() ? end - capacity() : 0;
  std::vector<TraceRecord> records;
  records.reserve(end - begin);
  for (uint64_t i = begin; i < end; ++i) {
    const Slot& slot = slots_[i & mask_];
    records.push_back({Time::FromNanoseconds(slot.time.load(std::memory_order_acquire)),
                       slot.event.load(std::memory_order_acquire), slot.a.load(std::memory_order_acquire),
                       slot.b.load(std::memory_order_acquire)});
  }
  // The writer may meanwhile have overwritten what lay before, and be half way through one more record, which takes the
  // slot of record `now_end - capacity`. Each word was loaded with acquire, so whoever saw a word of record i sees
  // now_end >= i.
  const uint64_t now_end = written();
  const uint64_t first_whole = now_end >= capacity() ? now_end - capacity() + 1 : 0;
  const uint64_t torn = std::min<uint64_t>(first_whole > begin ? first_whole - begin : 0, records.size());
  records.erase(records.begin(), records.begin() + static_cast<ptrdiff_t>(torn));
  return records;
}

std::string TraceToString(const std::vector<TraceRecord>& records,
                          absl::FunctionRef<absl::string_view(uint64_t event)> event_name) {
  std::string text;
  for (size_t i = 0; i < records.size(); ++i) {
    const TraceRecord& r = records[i];
    const Duration since_last = i == 0 ? Duration::Zero() : r.time - records[i - 1].time;
    absl::StrAppendFormat(&text, "%s %+10.3f us  %-20s %d %d\n", ToString(r.time),
                          static_cast<double>(since_last.nanoseconds()) * 1e-3, event_name(r.event), r.a, r.b);
  }
  return text;
}

}  // namespace luna::stats
