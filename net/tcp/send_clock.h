#ifndef LUNA_NET_TCP_SEND_CLOCK_H_
#define LUNA_NET_TCP_SEND_CLOCK_H_

// SendClock: for how long sending was under way, and what held it up meanwhile: the answer to "why is it no faster".
// As the kernel's tcpi_busy_time, tcpi_rwnd_limited and tcpi_sndbuf_limited. One state at a time; a value of its owner.

#include <array>
#include <cstddef>
#include <cstdint>

#include "luna/sched/clock/time.h"

namespace luna::tcp {

class SendClock {
 public:
  enum class State : uint8_t {
    kIdle,           // nothing is queued
    kBusy,           // something is queued or in flight, and neither of these:
    kPeerLimited,    // the peer's window holds back what is queued
    kBufferLimited,  // all that is queued has left, and the application waits for room in the send buffer
  };

  void Set(State state, Time now) {
    if (state == state_) return;
    if (state_ != State::kIdle) spent_[Index(state_)] += now - since_;
    state_ = state;
    since_ = now;
  }

  // All but idle.
  Duration Busy(Time now) const {
    return In(State::kBusy, now) + In(State::kPeerLimited, now) + In(State::kBufferLimited, now);
  }
  Duration PeerLimited(Time now) const { return In(State::kPeerLimited, now); }
  Duration BufferLimited(Time now) const { return In(State::kBufferLimited, now); }

 private:
  static size_t Index(State state) { return static_cast<size_t>(state) - 1; }
  Duration In(State state, Time now) const {
    const Duration before = spent_[Index(state)];
    return state_ == state ? before + (now - since_) : before;
  }

  Time since_;
  std::array<Duration, 3> spent_ = {};
  State state_ = State::kIdle;
};

}  // namespace luna::tcp

#endif  // LUNA_NET_TCP_SEND_CLOCK_H_
