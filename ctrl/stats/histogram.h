#ifndef LUNA_CTRL_STATS_HISTOGRAM_H_
#define LUNA_CTRL_STATS_HISTOGRAM_H_

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>

#include "luna/ctrl/stats/counter.h"
#include "luna/sched/clock/time.h"

namespace luna::stats {

// A log-linear histogram of 64-bit values, in nanoseconds when they are latencies.
//
// Shape. Values below 256 have a bucket each. Above, every power of two is cut into 128 equal buckets, so a bucket is
// narrower than 1/128 of the values in it: percentiles are off by less than 0.8 %, and always upwards, over the whole
// range of uint64_t. Nothing saturates, nothing allocates. 59 KB, of which only the recorded buckets become cache-warm.
//
// Threads: one writer (Record, Merge into it, Reset); any thread may read meanwhile and sees each bucket as some value
// it really had, not all of them at one instant. For a consistent picture merge into a histogram of the reader's own.
class Histogram {
 public:
  Histogram() = default;
  Histogram(const Histogram&) = delete;
  Histogram& operator=(const Histogram&) = delete;

  // Writer thread. A few nanoseconds: one bucket, the sum, and seldom min or max.
  void Record(uint64_t value) { RecordMany(value, 1); }
  // Negative durations count as zero.
  void Record(Duration d) { Record(d < Duration::Zero() ? uint64_t{0} : static_cast<uint64_t>(d.nanoseconds())); }
  // As if Record(value) were called `times` times.
  void RecordMany(uint64_t value, uint64_t times) {
    if (times == 0) return;
    buckets_[BucketOf(value)].Add(times);
    sum_.Add(value * times);
    if (value < min_.value()) min_.Set(value);
    if (value > max_.value()) max_.Set(value);
  }

  // Adds all of the other's values. Writer thread of this one.
  void Merge(const Histogram& other);
  void Reset();

  // Any thread. O(buckets): about 2 us.
  uint64_t count() const;
  bool empty() const { return max_.value() < min_.value(); }
  // Exact. 0 when empty.
  uint64_t min() const { return empty() ? 0 : min_.value(); }
  uint64_t max() const { return max_.value(); }
  // Exact up to rounding, as long as the sum of all values stays below 2^64 (nanoseconds: 584 years). 0 when empty.
  double mean() const;

  // The smallest bucket end that at least `fraction` of the values do not exceed, and not more than max(): within 0.8 %
  // above the value of that rank. Percentile(0) is min(), Percentile(1) is max(). Fractions outside [0, 1] are clamped.
  // 0 when empty. O(buckets).
  uint64_t Percentile(double fraction) const;
  Duration PercentileDuration(double fraction) const;

  // "count=3 min=1us mean=2us p50=2us p99=3us p99.9=3us max=3us": values taken as nanoseconds. "count=0" when empty.
  std::string ToString() const;

 private:
  static constexpr int kSubBucketBits = 7;
  // Exponents 0 to 56, each with 128 buckets, and another 128 below the first.
  static constexpr size_t kBuckets = (64 - kSubBucketBits + 1) << kSubBucketBits;

  static constexpr size_t BucketOf(uint64_t value) {
    const int exponent = std::bit_width(value | 0xFF) - (kSubBucketBits + 1);
    return (static_cast<size_t>(exponent) << kSubBucketBits) + static_cast<size_t>(value >> exponent);
  }
  // The largest value of a bucket.
  static constexpr uint64_t BucketEnd(size_t bucket) {
    if (bucket < (size_t{2} << kSubBucketBits)) return bucket;
    const size_t exponent = (bucket >> kSubBucketBits) - 1;
    const uint64_t leading = bucket - (exponent << kSubBucketBits);
    // Wraps to the largest uint64_t in the last bucket.
    return ((leading + 1) << exponent) - 1;
  }

  // Starts at the largest value, so that empty() is max < min.
  struct StartsAtMax : Counter {
    StartsAtMax() { Set(UINT64_MAX); }
  };
  StartsAtMax min_;
  Counter max_;
  Counter sum_;
  std::array<Counter, kBuckets> buckets_;
};

}  // namespace luna::stats

#endif  // LUNA_CTRL_STATS_HISTOGRAM_H_
