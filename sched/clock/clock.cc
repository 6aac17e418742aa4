#include "luna/sched/clock/clock.h"

#include <time.h>

namespace luna {

Time MonotonicClock::Now() {
  timespec ts;
  // Cannot fail: the clock id is one that every Linux has, and the pointer is valid.
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return Time::FromNanoseconds(static_cast<int64_t>(ts.tv_sec) * 1'000'000'000 + ts.tv_nsec);
}

}  // namespace luna
