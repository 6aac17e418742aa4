#include "luna/ctrl/stats/counter.h"

#include <cstdint>
#include <thread>

#include "gtest/gtest.h"

namespace luna::stats {
namespace {

TEST(Counter, CountsAndSets) {
  Counter counter;
  EXPECT_EQ(counter.value(), 0u);
  counter.Increment();
  counter.Add(41);
  EXPECT_EQ(counter.value(), 42u);
  counter.Set(7);
  EXPECT_EQ(counter.value(), 7u);
}

TEST(Counter, Wraps) {
  Counter counter;
  counter.Set(UINT64_MAX);
  counter.Increment();
  EXPECT_EQ(counter.value(), 0u);
}

// Under --config=tsan this also shows that reading while the owner writes is no data race.
TEST(Counter, AnotherThreadReadsARisingCount) {
  Counter counter;
  static constexpr uint64_t kTotal = 200'000;
  std::thread reader([&counter] {
    uint64_t last = 0;
    while (last < kTotal) {
      const uint64_t now = counter.value();
      ASSERT_GE(now, last);
      ASSERT_LE(now, kTotal);
      last = now;
    }
  });
  for (uint64_t i = 0; i < kTotal; ++i) counter.Increment();
  reader.join();
  EXPECT_EQ(counter.value(), kTotal);
}

}  // namespace
}  // namespace luna::stats
