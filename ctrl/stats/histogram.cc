#include "luna/ctrl/stats/histogram.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "luna/sched/clock/time_format.h"

namespace luna::stats {

void Histogram::Merge(const Histogram& other) {
  if (other.empty()) return;
  for (size_t i = 0; i < kBuckets; ++i) {
    // Most buckets are empty; leaving them alone leaves their cache lines clean.
    if (const uint64_t n = other.buckets_[i].value(); n != 0) buckets_[i].Add(n);
  }
  sum_.Add(other.sum_.value());
  min_.Set(std::min(min_.value(), other.min_.value()));
  max_.Set(std::max(max_.value(), other.max_.value()));
}

void Histogram::Reset() {
  for (Counter& bucket : buckets_) bucket.Set(0);
  sum_.Set(0);
  min_.Set(UINT64_MAX);
  max_.Set(0);
}

uint64_t Histogram::count() const {
  uint64_t total = 0;
  for (const Counter& bucket : buckets_) total += bucket.value();
  return total;
}

double Histogram::mean() const {
  const uint64_t n = count();
  return n == 0 ? 0.0 : static_cast<double>(sum_.value()) / static_cast<double>(n);
}

uint64_t Histogram::Percentile(double fraction) const {
  static_assert(BucketOf(UINT64_MAX) == kBuckets - 1 && BucketEnd(kBuckets - 1) == UINT64_MAX);
  const uint64_t total = count();
  if (total == 0) return 0;
  if (!(fraction > 0.0)) return min();
  if (fraction >= 1.0) return max();
  // The factor keeps 0.07 * 100 from becoming rank 8: decimal fractions are not exact in binary.
  const double exact_rank = fraction * static_cast<double>(total) * (1.0 - 1e-12);
  const uint64_t rank = std::clamp<uint64_t>(static_cast<uint64_t>(std::ceil(exact_rank)), 1, total);
  uint64_t seen = 0;
  for (size_t i = 0; i < kBuckets; ++i) {
    seen += buckets_[i].value();
    if (seen >= rank) return std::min(BucketEnd(i), max());
  }
  // Only when a writer reset the buckets between the two passes.
  return max();
}

Duration Histogram::PercentileDuration(double fraction) const {
  constexpr uint64_t kLongest = std::numeric_limits<int64_t>::max();
  return Duration::Nanoseconds(static_cast<int64_t>(std::min(Percentile(fraction), kLongest)));
}

std::string Histogram::ToString() const {
  const uint64_t n = count();
  if (n == 0) return "count=0";
  const auto ns = [](uint64_t value) {
    constexpr uint64_t kLongest = std::numeric_limits<int64_t>::max();
    return luna::ToString(Duration::Nanoseconds(static_cast<int64_t>(std::min(value, kLongest))));
  };
  return absl::StrCat("count=", n, " min=", ns(min()), " mean=", ns(static_cast<uint64_t>(mean())),
                      " p50=", ns(Percentile(0.5)), " p99=", ns(Percentile(0.99)), " p99.9=", ns(Percentile(0.999)),
                      " max=", ns(max()));
}

}  // namespace luna::stats
