#include "luna/ctrl/stats/drop_counters.h"

#include "absl/strings/str_cat.h"

namespace luna::stats {

uint64_t DropCounters::total() const {
  uint64_t sum = 0;
  ForEachNonZero([&](DropReason, uint64_t n) { sum += n; });
  return sum;
}

void DropCounters::Merge(const DropCounters& other) {
  other.ForEachNonZero([this](DropReason reason, uint64_t n) { Count(reason, n); });
}

std::string DropCounters::ToString() const {
  std::string text;
  ForEachNonZero([&](DropReason reason, uint64_t n) {
    absl::StrAppend(&text, text.empty() ? "" : " ", DropReasonName(reason), "=", n);
  });
  return text.empty() ? "none" : text;
}

}  // namespace luna::stats
