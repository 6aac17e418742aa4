#ifndef LUNA_NET_TCP_TIMESTAMP_CLOCK_H_
#define LUNA_NET_TCP_TIMESTAMP_CLOCK_H_

// TimestampClock: the clock of RFC 7323's timestamps, in ticks of the stack's choice (§5.4), by multiplication instead
// of division. A value; any thread.

#include <cstdint>

#include "luna/sched/clock/time.h"

namespace luna::tcp {

class TimestampClock {
 public:
  // Pre: tick > 0.
  explicit constexpr TimestampClock(Duration tick)
      : tick_(tick), inverse_(~uint64_t{0} / static_cast<uint64_t>(tick.nanoseconds()) + 1) {}

  // Ticks until `now`, modulo 2^32. Monotonic. The reciprocal is rounded up, so a tick may begin early, by less than
  // 2^-64 ticks for each nanosecond of `now`.
  constexpr uint32_t Ticks(Time now) const {
    __extension__ using Wide = unsigned __int128;
    return static_cast<uint32_t>((Wide{static_cast<uint64_t>(now.nanoseconds())} * inverse_) >> 64);
  }
  constexpr Duration tick() const { return tick_; }

 private:
  Duration tick_;
  uint64_t inverse_;  // 2^64 / tick, rounded up
};

}  // namespace luna::tcp

#endif  // LUNA_NET_TCP_TIMESTAMP_CLOCK_H_
