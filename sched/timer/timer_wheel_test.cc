#include "luna/sched/timer/timer_wheel.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "luna/sched/clock/time.h"
#include "luna/sched/timer/timer_wheel_model.h"

namespace luna::timer {
namespace {

constexpr int64_t kGranule = TimerWheel::kGranule.nanoseconds();
// A multiple of the granule, far from zero, so that rounding in both directions has room.
constexpr Time kStart = Time::FromNanoseconds(int64_t{1} << 40);

Time After(int64_t ns) { return kStart + Duration::Nanoseconds(ns); }

class TimerWheelTest : public ::testing::Test {
 protected:
  TimerWheel wheel_{kStart};
};

TEST_F(TimerWheelTest, EmptyWheel) {
  EXPECT_TRUE(wheel_.empty());
  EXPECT_EQ(wheel_.size(), 0u);
  EXPECT_EQ(wheel_.NextDeadline(), Time::Infinite());
  EXPECT_EQ(wheel_.PopExpired(kStart), nullptr);
  EXPECT_EQ(wheel_.PopExpired(Time::Infinite()), nullptr);
}

TEST_F(TimerWheelTest, TimerKnowsItsStateAndDeadline) {
  Timer timer(7);
  EXPECT_EQ(timer.kind(), 7);
  EXPECT_FALSE(timer.armed());
  EXPECT_EQ(timer.deadline(), Time::Infinite());
  wheel_.Arm(timer, After(12345));
  EXPECT_TRUE(timer.armed());
  EXPECT_EQ(timer.deadline(), After(12345));
  EXPECT_EQ(wheel_.size(), 1u);
  wheel_.Cancel(timer);
  EXPECT_FALSE(timer.armed());
  EXPECT_EQ(timer.deadline(), Time::Infinite());
  EXPECT_TRUE(wheel_.empty());
  wheel_.Cancel(timer);
  EXPECT_EQ(wheel_.size(), 0u);
}

TEST_F(TimerWheelTest, NeverEarlyAndAtMostOneGranuleLate) {
  // One delay for each side of every border between granules, slots and levels.
  std::vector<int64_t> delays = {1, kGranule - 1, kGranule, kGranule + 1};
  for (int shift = 16; shift < 60; shift += 6) {
    for (int64_t d : {-kGranule - 1, -kGranule, int64_t{-1}, int64_t{0}, int64_t{1}, kGranule}) {
      delays.push_back((int64_t{1} << shift) + d);
    }
  }
  for (int64_t delay : delays) {
    for (int64_t start_offset : {int64_t{0}, int64_t{1}, kGranule * 63, kGranule * 4095 + 17}) {
      TimerWheel wheel(After(start_offset));
      Timer timer;
      const Time deadline = After(start_offset) + Duration::Nanoseconds(delay);
      wheel.Arm(timer, deadline);
      EXPECT_EQ(wheel.PopExpired(deadline - Duration::Nanoseconds(1)), nullptr) << delay;
      EXPECT_EQ(wheel.PopExpired(TimerWheel::RoundUp(deadline) - Duration::Nanoseconds(1)), nullptr) << delay;
      EXPECT_EQ(wheel.PopExpired(deadline + TimerWheel::kGranule - Duration::Nanoseconds(1)), &timer) << delay;
      EXPECT_FALSE(timer.armed());
    }
  }
}

TEST_F(TimerWheelTest, RoundUp) {
  const struct {
    int64_t ns;
    int64_t rounded;
  } kCases[] = {
      {0, 0},
      {1, 1024},
      {1024, 1024},
      {1025, 2048},
      {-1, 0},
      {-1023, 0},
      {-1024, -1024},
      {std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::min()},
      {INT64_MAX - 1023, INT64_MAX - 1023},
      {INT64_MAX - 1022, INT64_MAX},
      {INT64_MAX, INT64_MAX},
  };
  for (const auto& c : kCases) {
    EXPECT_EQ(TimerWheel::RoundUp(Time::FromNanoseconds(c.ns)).nanoseconds(), c.rounded) << c.ns;
  }
}

TEST_F(TimerWheelTest, PastDeadlinesAreDueAtOnce) {
  Timer past;
  Timer now;
  wheel_.Arm(past, After(-1'000'000'000));
  wheel_.Arm(now, kStart);
  EXPECT_EQ(wheel_.NextDeadline(), kStart);
  EXPECT_EQ(wheel_.PopExpired(kStart), &past);
  EXPECT_EQ(wheel_.PopExpired(kStart), &now);
  EXPECT_EQ(wheel_.PopExpired(kStart), nullptr);
}

TEST_F(TimerWheelTest, NeverIsNotArmed) {
  for (int64_t ns : {INT64_MAX, INT64_MAX - 1, INT64_MAX - 1022}) {
    Timer timer;
    wheel_.Arm(timer, Time::FromNanoseconds(ns));
    EXPECT_FALSE(timer.armed());
    wheel_.Arm(timer, After(5));
    wheel_.Arm(timer, Time::FromNanoseconds(ns));
    EXPECT_FALSE(timer.armed()) << "arming for never cancels";
    EXPECT_TRUE(wheel_.empty());
  }
}

TEST_F(TimerWheelTest, TheWholeOfTimeIsInRange) {
  const int64_t kDeadlines[] = {INT64_MIN, INT64_MIN + 1, -1, 0, 1, INT64_MAX - 1023};
  TimerWheel wheel(Time::FromNanoseconds(INT64_MIN));
  std::vector<std::unique_ptr<Timer>> timers;
  for (int64_t ns : kDeadlines) {
    timers.push_back(std::make_unique<Timer>());
    wheel.Arm(*timers.back(), Time::FromNanoseconds(ns));
  }
  for (auto& timer : timers) EXPECT_EQ(wheel.PopExpired(Time::Infinite()), timer.get());
  EXPECT_EQ(wheel.PopExpired(Time::Infinite()), nullptr);
}

TEST_F(TimerWheelTest, DeadlineOrder) {
  std::vector<std::unique_ptr<Timer>> timers;
  // Descending granules, over all levels up to days.
  for (int shift = 47; shift >= 11; --shift) {
    timers.push_back(std::make_unique<Timer>());
    wheel_.Arm(*timers.back(), After((int64_t{1} << shift) + 1));
  }
  const Time far = After(int64_t{1} << 50);
  for (size_t i = timers.size(); i-- > 0;) EXPECT_EQ(wheel_.PopExpired(far), timers[i].get());
  EXPECT_EQ(wheel_.PopExpired(far), nullptr);
}

// A timer on a high level, armed long ago, and one on a low level, armed just now, for a granule shortly before or
// after it.
TEST_F(TimerWheelTest, DeadlineOrderAcrossLevels) {
  for (int64_t difference : {-kGranule, kGranule}) {
    for (int64_t far : {int64_t{300'000}, int64_t{9'000'000}, int64_t{600'000'000}, int64_t{40'000'000'000}}) {
      TimerWheel wheel(kStart);
      Timer old_timer;
      Timer new_timer;
      wheel.Arm(old_timer, After(far));
      const Time shortly_before = After(far - 3 * kGranule);
      EXPECT_EQ(wheel.PopExpired(shortly_before), nullptr);
      wheel.Arm(new_timer, After(far + difference));
      Timer* const first = wheel.PopExpired(After(2 * far));
      EXPECT_EQ(first, difference < 0 ? &new_timer : &old_timer) << far;
      EXPECT_NE(wheel.PopExpired(After(2 * far)), nullptr);
    }
  }
}

// Many timers due in one slot of each level: a loop that polls once per granule never moves more than a few at a time.
TEST_F(TimerWheelTest, BusyLoopNeverStallsInACascade) {
  const struct {
    int timers;
    Duration delay;
    Duration spread;
  } kCases[] = {
      {400, Duration::Microseconds(200), Duration::Microseconds(50)},
      {20'000, Duration::Milliseconds(10), Duration::Milliseconds(4)},
      {50'000, Duration::Milliseconds(300), Duration::Milliseconds(100)},
  };
  for (const auto& c : kCases) {
    TimerWheel wheel(kStart);
    const auto timers = std::make_unique<Timer[]>(c.timers);
    for (int i = 0; i < c.timers; ++i) {
      wheel.Arm(timers[i], kStart + c.delay + Duration::Nanoseconds(c.spread.nanoseconds() * i / c.timers));
    }
    uint64_t most_moves = 0;
    for (Time now = kStart; !wheel.empty(); now += TimerWheel::kGranule) {
      Timer* popped;
      do {
        const uint64_t before = wheel.moves();
        popped = wheel.PopExpired(now);
        most_moves = std::max(most_moves, wheel.moves() - before);
        if (popped != nullptr) {
          ASSERT_EQ(popped->deadline(), Time::Infinite());
        }
      } while (popped != nullptr);
    }
    EXPECT_GE(wheel.moves(), static_cast<uint64_t>(c.timers)) << "the case shows nothing";
    EXPECT_LE(most_moves, uint64_t{TimerWheel::kAheadTimers}) << c.timers;
  }
}

TEST_F(TimerWheelTest, MovesEachTimerAtMostEightTimes) {
  TimerWheel wheel(Time::FromNanoseconds(INT64_MIN));
  Timer timer;
  wheel.Arm(timer, Time::FromNanoseconds(INT64_MAX - 1023));
  EXPECT_EQ(wheel.PopExpired(Time::Infinite()), &timer);
  EXPECT_LE(wheel.moves(), 8u);
}

TEST_F(TimerWheelTest, ReArmMovesBothWays) {
  Timer a;
  Timer b;
  wheel_.Arm(a, After(1'000'000));
  wheel_.Arm(b, After(2'000'000));
  wheel_.Arm(a, After(3'000'000'000));
  EXPECT_EQ(wheel_.size(), 2u);
  EXPECT_EQ(wheel_.PopExpired(After(1'500'000)), nullptr);
  wheel_.Arm(b, After(1'600'000));
  EXPECT_EQ(wheel_.PopExpired(After(1'700'000)), &b);
  EXPECT_EQ(wheel_.PopExpired(After(2'500'000'000)), nullptr);
  EXPECT_EQ(wheel_.PopExpired(After(3'000'001'024)), &a);
}

TEST_F(TimerWheelTest, ArmingWhileDraining) {
  Timer a;
  Timer b;
  wheel_.Arm(a, After(10 * kGranule));
  const Time now = After(100 * kGranule);
  EXPECT_EQ(wheel_.PopExpired(now), &a);
  wheel_.Arm(b, After(50 * kGranule));
  wheel_.Arm(a, After(101 * kGranule));
  EXPECT_EQ(wheel_.PopExpired(now), &b) << "due within the same drain";
  EXPECT_EQ(wheel_.PopExpired(now), nullptr);
  EXPECT_EQ(wheel_.NextDeadline(), After(101 * kGranule));
  EXPECT_EQ(wheel_.PopExpired(After(101 * kGranule)), &a);
}

TEST_F(TimerWheelTest, TimeGoingBackMakesTimersWaitAndNoneEarly) {
  Timer past;
  Timer timer;
  EXPECT_EQ(wheel_.PopExpired(After(1000 * kGranule)), nullptr);
  wheel_.Arm(past, After(500 * kGranule));
  wheel_.Arm(timer, After(1001 * kGranule));
  EXPECT_EQ(wheel_.PopExpired(After(400 * kGranule)), nullptr);
  EXPECT_EQ(wheel_.PopExpired(After(1000 * kGranule)), &past);
  EXPECT_EQ(wheel_.PopExpired(After(1000 * kGranule)), nullptr);
  EXPECT_EQ(wheel_.PopExpired(After(1001 * kGranule)), &timer);
}

// A loop that sleeps until NextDeadline() reaches the timer in at most one wake-up per level, never past its granule.
TEST_F(TimerWheelTest, SleepingLoopMakesProgress) {
  for (int64_t delay : {int64_t{1}, int64_t{70'000}, int64_t{5'000'000}, int64_t{200'000'000}, int64_t{3'000'000'000},
                        int64_t{7'200'000'000'000}, int64_t{60} * 86'400'000'000'000}) {
    TimerWheel wheel(kStart);
    Timer timer;
    wheel.Arm(timer, After(delay));
    Time now = kStart;
    int wakes = 0;
    Timer* popped = nullptr;
    while ((popped = wheel.PopExpired(now)) == nullptr) {
      const Time next = wheel.NextDeadline();
      ASSERT_GT(next, now);
      ASSERT_LE(next, TimerWheel::RoundUp(After(delay)));
      now = next;
      ASSERT_LE(++wakes, 9) << delay;
    }
    EXPECT_EQ(popped, &timer);
    EXPECT_EQ(now, TimerWheel::RoundUp(After(delay)));
  }
}

TEST_F(TimerWheelTest, NextDeadlineIsExactWithinTheBlock) {
  Timer a;
  Timer b;
  wheel_.Arm(a, After(63 * kGranule));
  EXPECT_EQ(wheel_.NextDeadline(), After(63 * kGranule));
  wheel_.Arm(b, After(5 * kGranule - 3));
  EXPECT_EQ(wheel_.NextDeadline(), After(5 * kGranule));
  wheel_.Cancel(b);
  EXPECT_EQ(wheel_.NextDeadline(), After(63 * kGranule));
  wheel_.Cancel(a);
  EXPECT_EQ(wheel_.NextDeadline(), Time::Infinite());
}

TEST_F(TimerWheelTest, AJumpOfCenturiesIsOneStepPerTimerAndLevel) {
  // Were the work per granule, this would not end.
  Timer timer;
  const Time far = Time::FromNanoseconds(INT64_MAX - 100'000);
  wheel_.Arm(timer, far);
  EXPECT_EQ(wheel_.PopExpired(far - Duration::Microseconds(10)), nullptr);
  EXPECT_EQ(wheel_.PopExpired(far + TimerWheel::kGranule), &timer);
}

TEST_F(TimerWheelTest, DestroyedWheelDisarmsItsTimers) {
  Timer a;
  Timer b;
  Timer c;
  {
    TimerWheel wheel(kStart);
    wheel.Arm(a, After(1));
    wheel.Arm(b, After(1));
    wheel.Arm(c, After(int64_t{1} << 50));
  }
  EXPECT_FALSE(a.armed());
  EXPECT_FALSE(b.armed());
  EXPECT_FALSE(c.armed());
}

#ifndef NDEBUG
TEST(TimerDeathTest, DestroyedWhileArmed) {
  EXPECT_DEATH(
      {
        TimerWheel wheel(kStart);
        Timer timer;
        wheel.Arm(timer, After(1));
      },
      "armed Timer was destroyed");
}
#endif

// The pattern of timer_wheel.h, "Lazy re-arm": a deadline pushed out by every packet costs one wheel operation per old
// deadline.
TEST_F(TimerWheelTest, LazyReArmFiresAtTheTrueDeadline) {
  Timer timer;
  Time rto_deadline;
  int arms = 0;
  const auto set_rto = [&](Time deadline) {
    rto_deadline = deadline;
    if (timer.armed() && timer.deadline() <= deadline) return;
    wheel_.Arm(timer, deadline);
    ++arms;
  };
  Time now = kStart;
  Time fired = Time::Infinite();
  const auto drain = [&] {
    while (Timer* t = wheel_.PopExpired(now)) {
      if (rto_deadline <= now) {
        fired = now;
      } else {
        wheel_.Arm(*t, rto_deadline);
        ++arms;
      }
    }
  };
  // A packet every 10 us for 10 ms, each pushing the timeout of 1 ms out; then silence.
  for (int packet = 0; packet < 1000; ++packet) {
    drain();
    set_rto(now + Duration::Milliseconds(1));
    now += Duration::Microseconds(10);
  }
  EXPECT_LE(arms, 12);
  const Time want = TimerWheel::RoundUp(rto_deadline);
  while (fired.is_infinite()) {
    now = wheel_.NextDeadline();
    drain();
  }
  EXPECT_EQ(fired, want);
}

uint64_t Seed() {
  const char* env = std::getenv("LUNA_TEST_SEED");
  return env != nullptr ? std::strtoull(env, nullptr, 10) : std::random_device()();
}

// Delays of all magnitudes, sometimes negative, often on a border.
Duration RandomDelay(std::mt19937_64& random) {
  int64_t ns = static_cast<int64_t>(random() >> (1 + random() % 63)) >> 1;
  if (random() % 4 == 0) ns &= -kGranule;
  if (random() % 8 == 0) ns = -(ns >> 20);
  return Duration::Nanoseconds(ns);
}

std::string RandomStep(WheelAndModel& both, std::mt19937_64& random, int timers, Time* now) {
  const int i = static_cast<int>(random() % static_cast<uint64_t>(timers));
  switch (random() % 16) {
    case 0:
    case 1:
    case 2:
      return both.Cancel(i);
    case 3:
      return both.PopOne(*now);
    case 4:
    case 5:
      *now += Duration::Nanoseconds(static_cast<int64_t>(random() >> (20 + random() % 44)));
      return both.PopAll(*now);
    case 6:
      // As a sleeping loop does.
      if (!both.empty()) *now = std::max(*now, both.wheel().NextDeadline());
      return both.PopAll(*now);
    case 7:
      return both.Arm(i, Time::Infinite());
    case 8:
      // As a busy loop does: timers move down ahead of time.
      for (uint64_t polls = random() % 200; polls > 0; --polls) {
        *now += Duration::Nanoseconds(static_cast<int64_t>(random() % 2'000));
        if (std::string problem = both.PopAll(*now); !problem.empty()) return problem;
      }
      return "";
    default:
      return both.Arm(i, *now + RandomDelay(random));
  }
}

TEST(TimerWheelRandomised, AgreesWithTheModel) {
  const uint64_t seed = Seed();
  SCOPED_TRACE(::testing::Message() << "replay with LUNA_TEST_SEED=" << seed);
  std::mt19937_64 random(seed);
  for (int round = 0; round < 60; ++round) {
    const int timers = 1 + static_cast<int>(random() % 64);
    Time now = Time::FromNanoseconds(static_cast<int64_t>(random() >> (2 + random() % 60)) - 1'000'000);
    WheelAndModel both(timers, now);
    for (int step = 0; step < 2'000; ++step) {
      if (now.nanoseconds() > INT64_MAX / 2) break;
      ASSERT_EQ(RandomStep(both, random, timers, &now), "") << "round " << round << " step " << step;
    }
    ASSERT_EQ(both.PopAll(Time::FromNanoseconds(INT64_MAX - 1023)), "");
    ASSERT_TRUE(both.empty());
  }
}

}  // namespace
}  // namespace luna::timer
