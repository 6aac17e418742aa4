#include "luna/sched/clock/time.h"

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace luna {
namespace {

TEST(Duration, UnitsConvert) {
  EXPECT_EQ(Duration::Seconds(1), Duration::Milliseconds(1000));
  EXPECT_EQ(Duration::Milliseconds(1), Duration::Microseconds(1000));
  EXPECT_EQ(Duration::Microseconds(1), Duration::Nanoseconds(1000));
  EXPECT_EQ(Duration::Nanoseconds(-1999).microseconds(), -1);
  EXPECT_EQ(Duration::Milliseconds(1500).milliseconds(), 1500);
  EXPECT_DOUBLE_EQ(Duration::Milliseconds(1500).seconds(), 1.5);
}

TEST(Duration, Arithmetic) {
  constexpr Duration kTen = Duration::Microseconds(10);
  EXPECT_EQ(kTen * 3 - kTen, Duration::Microseconds(20));
  EXPECT_EQ(kTen / 4, Duration::Nanoseconds(2500));
  EXPECT_EQ(Duration::Seconds(1) / kTen, 100000);
  EXPECT_LT(-kTen, Duration::Zero());
}

TEST(Time, DifferencesAndOrder) {
  const Time start = Time::FromNanoseconds(5);
  EXPECT_EQ(start + Duration::Nanoseconds(7) - start, Duration::Nanoseconds(7));
  EXPECT_LT(start, Time::Infinite());
  EXPECT_TRUE(Time::Infinite().is_infinite());
  EXPECT_FALSE(start.is_infinite());
}

}  // namespace
}  // namespace luna
