#ifndef LUNA_SCHED_CLOCK_TIME_FORMAT_H_
#define LUNA_SCHED_CLOCK_TIME_FORMAT_H_

// Time and Duration as text, for logs, tests and tables. Not for the hot path: every call allocates a string.
// Pure functions: any thread, except that a stream is its caller's.

#include <ostream>
#include <string>

#include "luna/sched/clock/time.h"

namespace luna {

// The value in the largest unit in which it is at least 1, exact, without trailing zeros:
// "0ns", "999ns", "1.5us", "-20ms", "1.000000001s", "infinite". Units: ns, us, ms, s.
std::string ToString(Duration d);

// Seconds since the clock's epoch with nine decimals: "12.000000345", "-0.000000001"; "infinite" for Time::Infinite().
// Fixed width after the point, so that columns line up and differences can be read off.
std::string ToString(Time t);

std::ostream& operator<<(std::ostream& out, Duration d);
std::ostream& operator<<(std::ostream& out, Time t);

}  // namespace luna

#endif  // LUNA_SCHED_CLOCK_TIME_FORMAT_H_
