#include "luna/sched/clock/testing/fake_clock.h"

#include "gtest/gtest.h"

namespace luna {
namespace {

TEST(FakeClock, MovesOnlyWhenTold) {
  FakeClock clock(Time::FromNanoseconds(100));
  EXPECT_EQ(clock.Now(), Time::FromNanoseconds(100));
  EXPECT_EQ(clock.Now(), Time::FromNanoseconds(100));
  clock.Advance(Duration::Nanoseconds(5));
  EXPECT_EQ(clock.Now(), Time::FromNanoseconds(105));
  clock.Advance(Duration::Zero());
  EXPECT_EQ(clock.Now(), Time::FromNanoseconds(105));
}

TEST(FakeClock, AdvanceToNeverGoesBack) {
  FakeClock clock(Time::FromNanoseconds(100));
  clock.AdvanceTo(Time::FromNanoseconds(300));
  EXPECT_EQ(clock.Now(), Time::FromNanoseconds(300));
  clock.AdvanceTo(Time::FromNanoseconds(200));
  EXPECT_EQ(clock.Now(), Time::FromNanoseconds(300));
}

TEST(FakeClockDeathTest, RefusesToGoBackOrToTheEndOfTime) {
  FakeClock clock;
  EXPECT_DEATH(clock.Advance(Duration::Nanoseconds(-1)), "does not go back");
  EXPECT_DEATH(clock.AdvanceTo(Time::Infinite()), "Infinite");
}

}  // namespace
}  // namespace luna
