#include "luna/sched/clock/clock.h"

#include <time.h>

#include "gtest/gtest.h"

namespace luna {
namespace {

// Reads the real clock, but decides nothing by how much of it passes.
TEST(MonotonicClock, SharesTheAxisOfTheKernelsClock) {
  MonotonicClock clock;
  timespec before;
  clock_gettime(CLOCK_MONOTONIC, &before);
  const Time now = clock.Now();
  timespec after;
  clock_gettime(CLOCK_MONOTONIC, &after);
  EXPECT_GE(now.nanoseconds(), before.tv_sec * 1'000'000'000 + before.tv_nsec);
  EXPECT_LE(now.nanoseconds(), after.tv_sec * 1'000'000'000 + after.tv_nsec);
}

TEST(MonotonicClock, NeverDecreases) {
  MonotonicClock clock;
  Time last = clock.Now();
  for (int i = 0; i < 100'000; ++i) {
    const Time now = clock.Now();
    ASSERT_GE(now, last);
    last = now;
  }
}

}  // namespace
}  // namespace luna
