#include "luna/ctrl/stats/histogram.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "luna/sched/clock/time.h"

namespace luna::stats {
namespace {

uint64_t Seed() {
  const char* env = std::getenv("LUNA_TEST_SEED");
  return env != nullptr ? std::strtoull(env, nullptr, 10) : std::random_device()();
}

TEST(Histogram, Empty) {
  Histogram h;
  EXPECT_TRUE(h.empty());
  EXPECT_EQ(h.count(), 0u);
  EXPECT_EQ(h.min(), 0u);
  EXPECT_EQ(h.max(), 0u);
  EXPECT_EQ(h.mean(), 0.0);
  EXPECT_EQ(h.Percentile(0.5), 0u);
  EXPECT_EQ(h.ToString(), "count=0");
}

TEST(Histogram, SmallValuesAreExact) {
  Histogram h;
  for (uint64_t v = 0; v < 256; ++v) h.Record(v);
  EXPECT_EQ(h.count(), 256u);
  for (uint64_t v = 0; v < 256; ++v) {
    EXPECT_EQ(h.Percentile(static_cast<double>(v + 1) / 256), v);
  }
}

TEST(Histogram, EveryMagnitudeIsWithinItsErrorAndNeverBelow) {
  for (int bit = 0; bit < 64; ++bit) {
    for (uint64_t offset : {uint64_t{0}, uint64_t{1}, (uint64_t{1} << bit) / 3, (uint64_t{1} << bit) - 1}) {
      const uint64_t value = (uint64_t{1} << bit) + std::min(offset, (uint64_t{1} << bit) - 1);
      auto h = std::make_unique<Histogram>();
      h->Record(value);
      // A far larger value, so that max() does not cut the bucket's end.
      h->Record(UINT64_MAX);
      const uint64_t p50 = h->Percentile(0.5);
      EXPECT_GE(p50, value);
      EXPECT_LE(static_cast<double>(p50 - value), static_cast<double>(value) / 128) << value;
      EXPECT_EQ(h->Percentile(1), UINT64_MAX);
      EXPECT_EQ(h->min(), value);
    }
  }
}

TEST(Histogram, PercentileIsAValueOfThatRank) {
  Histogram h;
  for (uint64_t v = 1; v <= 100; ++v) h.Record(v);
  const struct {
    double fraction;
    uint64_t value;
  } kCases[] = {{-1, 1},     {0, 1},     {0.001, 1},   {0.01, 1}, {0.07, 7}, {0.5, 50},
                {0.501, 51}, {0.99, 99}, {0.991, 100}, {1, 100},  {2, 100},  {std::nan(""), 1}};
  for (const auto& c : kCases) EXPECT_EQ(h.Percentile(c.fraction), c.value) << c.fraction;
}

TEST(Histogram, PercentileIsNeverAboveTheMaximum) {
  Histogram h;
  h.Record(1'000'001);
  EXPECT_EQ(h.Percentile(0.5), 1'000'001u);
  EXPECT_EQ(h.Percentile(0.999), 1'000'001u);
}

TEST(Histogram, RecordManyMeanAndDurations) {
  Histogram h;
  h.RecordMany(10, 3);
  h.RecordMany(77, 0);
  h.Record(Duration::Nanoseconds(70));
  h.Record(Duration::Nanoseconds(-5));
  EXPECT_EQ(h.count(), 5u);
  EXPECT_EQ(h.min(), 0u);
  EXPECT_EQ(h.max(), 70u);
  EXPECT_DOUBLE_EQ(h.mean(), 20.0);
  EXPECT_EQ(h.PercentileDuration(0.5), Duration::Nanoseconds(10));
}

TEST(Histogram, ToStringShowsTheTail) {
  Histogram h;
  h.RecordMany(100, 999);
  h.Record(uint64_t{200});
  EXPECT_EQ(h.ToString(), "count=1000 min=100ns mean=100ns p50=100ns p99=100ns p99.9=100ns max=200ns");
}

TEST(Histogram, ResetForgetsAll) {
  Histogram h;
  h.Record(uint64_t{5'000'000});
  h.Reset();
  EXPECT_EQ(h.count(), 0u);
  EXPECT_TRUE(h.empty());
  h.Record(uint64_t{9});
  EXPECT_EQ(h.max(), 9u);
  EXPECT_EQ(h.min(), 9u);
  EXPECT_DOUBLE_EQ(h.mean(), 9.0);
}

TEST(Histogram, MergeEqualsRecordingAll) {
  auto a = std::make_unique<Histogram>();
  auto b = std::make_unique<Histogram>();
  auto all = std::make_unique<Histogram>();
  auto empty = std::make_unique<Histogram>();
  std::mt19937_64 random(1);
  for (int i = 0; i < 2'000; ++i) {
    const uint64_t value = random() >> (random() % 64);
    (i % 3 == 0 ? a : b)->Record(value >> 12);
    all->Record(value >> 12);
  }
  a->Merge(*b);
  a->Merge(*empty);
  EXPECT_EQ(a->count(), all->count());
  EXPECT_EQ(a->min(), all->min());
  EXPECT_EQ(a->max(), all->max());
  EXPECT_DOUBLE_EQ(a->mean(), all->mean());
  for (int i = 0; i <= 100; ++i) EXPECT_EQ(a->Percentile(i / 100.0), all->Percentile(i / 100.0));
  empty->Merge(*all);
  EXPECT_EQ(empty->min(), all->min());
}

TEST(Histogram, RandomisedAgainstSortedValues) {
  const uint64_t seed = Seed();
  SCOPED_TRACE(::testing::Message() << "replay with LUNA_TEST_SEED=" << seed);
  std::mt19937_64 random(seed);
  for (int round = 0; round < 20; ++round) {
    auto h = std::make_unique<Histogram>();
    std::vector<uint64_t> values(1 + random() % 3'000);
    for (uint64_t& value : values) {
      value = random() >> (random() % 64);
      h->Record(value);
    }
    std::sort(values.begin(), values.end());
    for (double fraction : {0.001, 0.1, 0.25, 0.5, 0.9, 0.99, 0.999}) {
      const size_t rank = static_cast<size_t>(std::ceil(fraction * static_cast<double>(values.size()) - 1e-6));
      const uint64_t exact = values[std::max<size_t>(rank, 1) - 1];
      const uint64_t got = h->Percentile(fraction);
      ASSERT_GE(got, exact) << fraction;
      ASSERT_LE(static_cast<double>(got - exact), static_cast<double>(exact) * 0.01) << fraction;
    }
  }
}

// Under --config=tsan: reading while the owner records is no data race.
TEST(Histogram, AnotherThreadReadsMeanwhile) {
  auto h = std::make_unique<Histogram>();
  static constexpr uint64_t kTotal = 20'000;
  std::thread reader([&h] {
    uint64_t last = 0;
    while (last < kTotal) {
      const uint64_t count = h->count();
      ASSERT_GE(count, last);
      last = count;
      ASSERT_LE(h->Percentile(0.99), kTotal);
    }
  });
  for (uint64_t i = 1; i <= kTotal; ++i) h->Record(i);
  reader.join();
}

}  // namespace
}  // namespace luna::stats
