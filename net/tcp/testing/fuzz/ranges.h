#ifndef LUNA_NET_TCP_TESTING_FUZZ_RANGES_H_
#define LUNA_NET_TCP_TESTING_FUZZ_RANGES_H_

// Ranges: a set of integers as disjoint ranges. What a model remembers of a stream. A value; O(log n) per call.

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <map>

namespace luna::tcp::testing {

class Ranges {
 public:
  void Add(int64_t start, int64_t end) {
    if (start >= end) return;
    auto at = ranges_.upper_bound(start);
    if (at != ranges_.begin() && std::prev(at)->second >= start) --at;
    while (at != ranges_.end() && at->first <= end) {
      start = std::min(start, at->first);
      end = std::max(end, at->second);
      at = ranges_.erase(at);
    }
    ranges_[start] = end;
  }
  // The first number at or after `from` that is not in the set.
  int64_t EndFrom(int64_t from) const {
    const auto at = ranges_.upper_bound(from);
    return at == ranges_.begin() ? from : std::max(from, std::prev(at)->second);
  }
  bool Has(int64_t start, int64_t end) const { return start >= end || EndFrom(start) >= end; }

 private:
  std::map<int64_t, int64_t> ranges_;  // start to end, never touching
};

}  // namespace luna::tcp::testing

#endif  // LUNA_NET_TCP_TESTING_FUZZ_RANGES_H_
