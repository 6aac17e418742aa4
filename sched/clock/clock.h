#ifndef LUNA_SCHED_CLOCK_CLOCK_H_
#define LUNA_SCHED_CLOCK_CLOCK_H_

// Clock: the seam through which time enters the stack. A worker reads its Clock once per iteration and passes `now`
// down; no layer below the worker owns a Clock. See ARCHITECTURE.md: "Time is an argument".

#include "luna/sched/clock/time.h"

namespace luna {

// Contract of every Clock:
// - Now() never decreases, as seen by one thread. It may return the same Time twice.
// - Now() costs tens of nanoseconds at most, never blocks and never fails.
// - Times of two Clocks do not compare, unless both say that they share an axis.
// Threads: as the implementation says. A worker has a Clock of its own where sharing is not allowed.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual Time Now() = 0;
};

// The kernel's CLOCK_MONOTONIC: nanoseconds since boot, slewed by NTP but never stepped; stands still in suspend.
// All instances in all processes of one machine share one axis. Stateless: any number of threads may share one.
// About 20 to 40 ns per read through the vDSO.
class MonotonicClock final : public Clock {
 public:
  Time Now() override;
};

}  // namespace luna

#endif  // LUNA_SCHED_CLOCK_CLOCK_H_
