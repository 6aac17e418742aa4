#ifndef LUNA_NET_TCP_RATE_LIMITER_H_
#define LUNA_NET_TCP_RATE_LIMITER_H_

// Limits on what strangers can make a stack send: challenge ACKs (RFC 5961 §7) and resets. Values of one thread.

#include <algorithm>
#include <cstdint>

#include "luna/net/tcp/isn.h"
#include "luna/sched/clock/time.h"

namespace luna::tcp {

// About `per_second` permissions in each second of the stack's time. The budget of a second is drawn by keyed hash from
// half of that to one and a half: whoever counts the answers to its own segments does not learn how many answers others
// had, which a fixed budget would tell (the side channel of CVE-2016-5696). 0: none at all.
class SharedRateLimiter {
 public:
  SharedRateLimiter(uint32_t per_second, const Secret& secret, uint64_t domain)
      : per_second_(per_second), domain_(domain), secret_(secret) {}

  bool Allow(Time now) {
    const int64_t second = now.nanoseconds() / (1000 * 1000 * 1000);
    if (second != second_) {
      second_ = second;
      left_ = Budget();
    }
    if (left_ == 0) return false;
    --left_;
    return true;
  }

 private:
  uint32_t Budget() const {
    if (per_second_ == 0) return 0;
    const uint64_t words[] = {domain_, static_cast<uint64_t>(second_)};
    const uint64_t drawn = SipHash24(secret_, words, 2) % (uint64_t{per_second_} + 1);
    return std::max(1u, per_second_ / 2 + static_cast<uint32_t>(drawn));
  }

  uint32_t per_second_;
  uint32_t left_ = 0;
  int64_t second_ = -1;
  uint64_t domain_;
  Secret secret_;
};

// At most `limit` permissions in each second: for one connection, whose own peer may know. 4 octets: seconds are told
// apart for 18 hours.
class OwnRateLimiter {
 public:
  bool Allow(Time now, uint32_t limit) {
    const auto second = static_cast<uint16_t>(now.nanoseconds() / (1000 * 1000 * 1000));
    if (second != second_) {
      second_ = second;
      used_ = 0;
    }
    if (used_ >= limit || used_ == UINT16_MAX) return false;
    ++used_;
    return true;
  }

 private:
  uint16_t second_ = 0;
  uint16_t used_ = 0;
};

}  // namespace luna::tcp

#endif  // LUNA_NET_TCP_RATE_LIMITER_H_
