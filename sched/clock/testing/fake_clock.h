#ifndef LUNA_SCHED_CLOCK_TESTING_FAKE_CLOCK_H_
#define LUNA_SCHED_CLOCK_TESTING_FAKE_CLOCK_H_

#include "glog/logging.h"
#include "luna/sched/clock/clock.h"
#include "luna/sched/clock/time.h"

namespace luna {

// A Clock that moves only when told. For tests and simulators. Not thread-safe.
//
//   FakeClock clock;                        // 1 s after its epoch, so that "a second ago" is a valid Time too
//   clock.Advance(Duration::Milliseconds(3));
//   clock.AdvanceTo(wheel.NextDeadline());
class FakeClock final : public Clock {
 public:
  FakeClock() : FakeClock(Time::FromNanoseconds(1'000'000'000)) {}
  explicit FakeClock(Time start) : now_(start) {}

  Time Now() override { return now_; }

  // Moves forward by `d` >= 0.
  void Advance(Duration d) {
    CHECK_GE(d.nanoseconds(), 0) << "a clock does not go back";
    now_ += d;
  }

  // Moves forward to `t`; stays when `t` is already past. `t` must be finite.
  void AdvanceTo(Time t) {
    CHECK(!t.is_infinite()) << "AdvanceTo(Time::Infinite())";
    if (t > now_) now_ = t;
  }

 private:
  Time now_;
};

}  // namespace luna

#endif  // LUNA_SCHED_CLOCK_TESTING_FAKE_CLOCK_H_
