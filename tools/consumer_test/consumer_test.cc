// What another repository does with Luna: takes single targets by the public include spelling, and tests itself with
// Luna's fakes.

#include "gtest/gtest.h"
#include "luna/sched/clock/testing/fake_clock.h"
#include "luna/sched/clock/time.h"

namespace {

TEST(Consumer, UsesAFakeClock) {
  luna::FakeClock clock;
  const luna::Time start = clock.Now();
  clock.Advance(luna::Duration::Microseconds(3));
  EXPECT_EQ(clock.Now() - start, luna::Duration::Nanoseconds(3000));
}

}  // namespace
