#ifndef LUNA_SCHED_CLOCK_TIME_H_
#define LUNA_SCHED_CLOCK_TIME_H_

// Time and Duration: the house's vocabulary types for time. 64-bit signed nanoseconds, trivially copyable, constexpr.
//
// A Time is a point on one Clock's axis (since that clock's arbitrary epoch); Times of different clocks do not compare.
// Arithmetic does not saturate: 2^63 ns are 292 years. Time::Infinite() is "never" and only compares. Plain values: any
// thread.

#include <compare>
#include <cstdint>
#include <limits>

namespace luna {

// A signed span of time.
class Duration {
 public:
  constexpr Duration() = default;
  static constexpr Duration Nanoseconds(int64_t n) { return Duration(n); }
  static constexpr Duration Microseconds(int64_t n) { return Duration(n * 1000); }
  static constexpr Duration Milliseconds(int64_t n) { return Duration(n * 1000 * 1000); }
  static constexpr Duration Seconds(int64_t n) { return Duration(n * 1000 * 1000 * 1000); }
  static constexpr Duration Zero() { return Duration(0); }
  static constexpr Duration Infinite() { return Duration(std::numeric_limits<int64_t>::max()); }

  constexpr int64_t nanoseconds() const { return ns_; }
  // Truncates towards zero.
  constexpr int64_t microseconds() const { return ns_ / 1000; }
  constexpr int64_t milliseconds() const { return ns_ / (1000 * 1000); }
  constexpr double seconds() const { return static_cast<double>(ns_) * 1e-9; }

  constexpr auto operator<=>(const Duration&) const = default;
  constexpr Duration operator+(Duration d) const { return Duration(ns_ + d.ns_); }
  constexpr Duration operator-(Duration d) const { return Duration(ns_ - d.ns_); }
  constexpr Duration operator-() const { return Duration(-ns_); }
  constexpr Duration operator*(int64_t n) const { return Duration(ns_ * n); }
  constexpr Duration operator/(int64_t n) const { return Duration(ns_ / n); }
  constexpr int64_t operator/(Duration d) const { return ns_ / d.ns_; }
  constexpr Duration& operator+=(Duration d) { return *this = *this + d; }
  constexpr Duration& operator-=(Duration d) { return *this = *this - d; }

 private:
  explicit constexpr Duration(int64_t ns) : ns_(ns) {}
  int64_t ns_ = 0;
};

// A point in time, in nanoseconds since the epoch of the Clock that made it.
class Time {
 public:
  constexpr Time() = default;
  static constexpr Time FromNanoseconds(int64_t ns) { return Time(ns); }
  // Later than every other Time: "no deadline".
  static constexpr Time Infinite() { return Time(std::numeric_limits<int64_t>::max()); }

  constexpr int64_t nanoseconds() const { return ns_; }
  constexpr bool is_infinite() const { return *this == Infinite(); }

  constexpr auto operator<=>(const Time&) const = default;
  constexpr Time operator+(Duration d) const { return Time(ns_ + d.nanoseconds()); }
  constexpr Time operator-(Duration d) const { return Time(ns_ - d.nanoseconds()); }
  constexpr Duration operator-(Time t) const { return Duration::Nanoseconds(ns_ - t.ns_); }
  constexpr Time& operator+=(Duration d) { return *this = *this + d; }

 private:
  explicit constexpr Time(int64_t ns) : ns_(ns) {}
  int64_t ns_ = 0;
};

}  // namespace luna

#endif  // LUNA_SCHED_CLOCK_TIME_H_
