#ifndef LUNA_NET_TCP_NEW_RENO_H_
#define LUNA_NET_TCP_NEW_RENO_H_

// NewReno congestion control: RFC 5681 (slow start, congestion avoidance), RFC 6582 (partial acknowledgements),
// RFC 6928 (initial window). All amounts in octets.
//
// A closed interface of five hooks; the sender calls them and reads window(). Loss detection is the sender's, the
// window is this class's. It knows neither packets nor time.

#include <algorithm>
#include <cstdint>
#include <limits>

namespace luna::tcp {

class NewReno {
 public:
  NewReno() = default;
  NewReno(uint32_t mss, uint32_t initial_segments) { Start(mss, initial_segments); }

  // The handshake is done and the segment size known.
  void Start(uint32_t mss, uint32_t initial_segments) {
    mss_ = mss;
    // RFC 6928 §2: min(10 * MSS, max(2 * MSS, 14600)), scaled to the configured number of segments.
    initial_ = std::min(initial_segments * mss, std::max(2 * mss, initial_segments * 1460));
    threshold_ = kArbitrarilyHigh;
    window_ = initial_;
  }

  // RFC 5681 §3.1: `acked` new octets were acknowledged outside recovery.
  void OnAck(uint32_t acked) {
    if (window_ < threshold_) {
      // Appropriate byte counting (RFC 3465): one acknowledgement may stand for a whole burst. Not after a time-out.
      const uint32_t counted = after_timeout_ ? std::min(acked, mss_) : acked;
      window_ = std::min(window_ + counted, kArbitrarilyHigh);
      if (window_ >= threshold_) after_timeout_ = false;
      return;
    }
    // Congestion avoidance by byte counting: one MSS for each window acknowledged.
    acked_in_avoidance_ += acked;
    if (acked_in_avoidance_ >= window_) {
      acked_in_avoidance_ -= window_;
      window_ += mss_;
    }
  }

  // Third duplicate acknowledgement: fast retransmit (RFC 5681 §3.2 steps 2 and 3).
  void OnFastRetransmit(uint32_t flight) {
    threshold_ = std::max(flight / 2, 2 * mss_);
    window_ = threshold_ + 3 * mss_;
    acked_in_avoidance_ = 0;
  }

  // A further duplicate acknowledgement in recovery: a segment has left the network (step 4).
  void OnDuplicateAck() { window_ = std::min(window_ + mss_, kArbitrarilyHigh); }

  // RFC 6582 §3.2 step 3, partial acknowledgement: deflate by what was acknowledged, add back one MSS.
  void OnPartialAck(uint32_t acked) {
    window_ = window_ > acked ? window_ - acked : 0;
    if (acked >= mss_) window_ += mss_;
    window_ = std::max(window_, mss_);
  }

  // Recovery ends with a full acknowledgement: RFC 6582 §3.2 step 3, option 1 (no burst).
  void OnRecoveryExit(uint32_t flight) { window_ = std::min(threshold_, std::max(flight, mss_) + mss_); }

  // Retransmission time-out (RFC 5681 §3.1). `first`: this segment had not timed out before (equation 4 applies once).
  void OnTimeout(uint32_t flight, bool first) {
    if (first) threshold_ = std::max(flight / 2, 2 * mss_);
    window_ = mss_;
    acked_in_avoidance_ = 0;
    after_timeout_ = true;
  }

  // Idle for more than one RTO: restart from the initial window (RFC 5681 §4.1).
  void OnIdleRestart() { window_ = std::min(window_, initial_); }

  uint32_t window() const { return window_; }
  uint32_t threshold() const { return threshold_; }

 private:
  static constexpr uint32_t kArbitrarilyHigh = std::numeric_limits<int32_t>::max();  // RFC 5681 §3.1

  uint32_t window_ = 0;
  uint32_t threshold_ = kArbitrarilyHigh;
  uint32_t mss_ = 0;
  uint32_t initial_ = 0;
  uint32_t acked_in_avoidance_ = 0;
  bool after_timeout_ = false;  // in the slow start that follows a retransmission time-out
};

}  // namespace luna::tcp

#endif  // LUNA_NET_TCP_NEW_RENO_H_
