#ifndef LUNA_CTRL_STATS_DROP_COUNTERS_H_
#define LUNA_CTRL_STATS_DROP_COUNTERS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "luna/ctrl/stats/counter.h"
#include "luna/ctrl/stats/drop_reason.h"

namespace luna::stats {

// One Counter per DropReason. One thread writes (each worker has one DropCounters), any thread reads. Under 1 KB.
class DropCounters {
 public:
  // Writer thread only. Counting DropReason::kNone is allowed and shows nowhere: `Count(Parse(packet))` needs no
  // branch.
  void Count(DropReason reason, uint64_t packets = 1) { counters_[Index(reason)].Add(packets); }

  // Any thread.
  uint64_t value(DropReason reason) const { return counters_[Index(reason)].value(); }
  const Counter& counter(DropReason reason) const { return counters_[Index(reason)]; }
  uint64_t total() const;

  // Calls visit(DropReason, uint64_t) for every reason that is not zero, in order of the list.
  template <typename Visit>
  void ForEachNonZero(Visit visit) const {
    for (DropReason reason : AllDropReasons()) {
      if (const uint64_t n = value(reason); n != 0) visit(reason, n);
    }
  }

  // Adds the other's counts to these: to sum up the threads of a process. This object's writer thread only.
  void Merge(const DropCounters& other);

  // The reasons that are not zero: "ip_bad_checksum=3 tcp_old_ack=1"; "none" when there are none.
  std::string ToString() const;

 private:
  // Out-of-range values fall on kNone rather than outside the array.
  static size_t Index(DropReason reason) {
    const auto i = static_cast<size_t>(reason);
    return i < kDropReasonCount ? i : 0;
  }
  std::array<Counter, kDropReasonCount> counters_;
};

}  // namespace luna::stats

#endif  // LUNA_CTRL_STATS_DROP_COUNTERS_H_
