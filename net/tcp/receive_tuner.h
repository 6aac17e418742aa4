#ifndef LUNA_NET_TCP_RECEIVE_TUNER_H_
#define LUNA_NET_TCP_RECEIVE_TUNER_H_

// ReceiveTuner: how large the receive buffer should be ("dynamic right-sizing"), so that the window never holds up a
// peer that could send more, and no more memory is promised than the application's reading justifies.
//
// Once per round trip it looks at how many octets the application has read in that time. A sender that doubles its
// window each round trip (slow start) needs twice that, in the round trip to come; when reading has sped up since the
// last look, the buffer grows ahead of it in proportion. It never shrinks by itself.
//
// The round trip: as the handshake has measured it; else, and corrected downwards, the time in which a whole window
// came in (no octet beyond the right edge of a moment ago can have been sent less than a round trip after it);
// corrected in both directions by the peer's echo of our timestamps where those are fine enough to tell.
// Owned by Connection. Two compares per segment.

#include <algorithm>
#include <cstdint>

#include "luna/net/tcp/seq.h"
#include "luna/sched/clock/time.h"

namespace luna::tcp {

class ReceiveTuner {
 public:
  // Begins when the handshake is over. `rtt`: zero when it could not be measured. `expected_bytes`: what a peer may
  // send in the first round trip. Without this call it does nothing.
  void Start(uint32_t buffer_bytes, uint32_t limit_bytes, uint32_t mss, uint32_t expected_bytes, SeqNum edge,
             Duration rtt, Time now) {
    if (limit_bytes <= buffer_bytes) return;
    buffer_bytes_ = buffer_bytes;
    limit_bytes_ = limit_bytes;
    mss_ = static_cast<uint16_t>(mss);
    last_bytes_ = expected_bytes;
    rtt_ = rtt;
    window_edge_ = edge;
    window_began_ = now;
    look_at_ = rtt == Duration::Zero() ? Time::Infinite() : now + rtt;
    on_ = true;
  }
  // The application has chosen a size: that stands.
  void Stop() { on_ = false; }
  bool on() const { return on_; }
  Duration rtt() const { return rtt_; }

  // The application took so many octets.
  void OnRead(size_t bytes) { read_bytes_ += static_cast<uint32_t>(bytes); }

  // When something may have to be done: when RCV.NXT is beyond window_edge(), or at look_at().
  SeqNum window_edge() const { return window_edge_; }
  Time look_at() const { return look_at_; }

  // RCV.NXT has moved, past the right edge of a while ago: it is time for OnWindow().
  bool IsWindowOver(SeqNum rcv_nxt) const { return on_ && rcv_nxt > window_edge_; }
  // `edge`: the right edge now. `echo`: how long ago, by the timestamp echoed in the segment that came, we sent that;
  // zero when not known or too short for the timestamps' tick.
  void OnWindow(SeqNum edge, Duration echo, Time now) {
    const Duration window_time = std::max(now - window_began_, Duration::Microseconds(1));
    if (echo > Duration::Zero()) {
      rtt_ = rtt_ == Duration::Zero() ? echo : rtt_ + (echo - rtt_) / 8;
    } else if (rtt_ == Duration::Zero() || window_time < rtt_) {
      rtt_ = window_time;
    }
    window_edge_ = edge;
    window_began_ = now;
    look_at_ = std::min(look_at_, now + rtt_);
  }

  // It is time for NewSize().
  bool IsRoundOver(Time now) const { return on_ && now >= look_at_; }

  // Ends a round trip. The size that the buffer should have now, never less than before.
  uint32_t NewSize(Time now) {
    const uint64_t bytes = read_bytes_;
    read_bytes_ = 0;
    look_at_ = now + rtt_;
    if (bytes <= last_bytes_) return buffer_bytes_;
    // Twice for slow start, and sixteen segments for a sender that begins again.
    uint64_t wanted = 2 * bytes + uint64_t{16} * mss_;
    if (last_bytes_ > 0) wanted += 2 * (wanted * (bytes - last_bytes_) / last_bytes_);
    last_bytes_ = static_cast<uint32_t>(std::min<uint64_t>(bytes, limit_bytes_));
    buffer_bytes_ = std::max(buffer_bytes_, static_cast<uint32_t>(std::min<uint64_t>(wanted, limit_bytes_)));
    return buffer_bytes_;
  }

 private:
  bool on_ = false;
  uint16_t mss_ = 0;
  uint32_t buffer_bytes_ = 0;
  uint32_t limit_bytes_ = 0;
  uint32_t read_bytes_ = 0;  // since the last look
  uint32_t last_bytes_ = 0;  // in the round trip before
  SeqNum window_edge_;       // the right edge when window_began_ was set
  Duration rtt_;
  Time window_began_;
  Time look_at_ = Time::Infinite();
};

}  // namespace luna::tcp

#endif  // LUNA_NET_TCP_RECEIVE_TUNER_H_
