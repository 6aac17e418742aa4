#ifndef LUNA_NET_TCP_RTT_H_
#define LUNA_NET_TCP_RTT_H_

// RttEstimator: smoothed round-trip time and retransmission time-out by RFC 6298, in nanoseconds.
//
// Karn's rule is the caller's: Sample() is only called for segments sent once (or timed by a timestamp echo).
// The back-off of §5.5 lasts until the next valid sample.

#include <algorithm>
#include <cstdint>

#include "luna/net/tcp/config.h"
#include "luna/sched/clock/time.h"

namespace luna::tcp {

class RttEstimator {
 public:
  // Uses rto_initial (before the first sample, §2.1), rto_min (§2.4), rto_max (§2.5) and rto_min_is_margin of `config`,
  // which must outlive it.
  explicit RttEstimator(const StackConfig& config) : config_(&config), rto_(config.rto_initial) {}

  // A measured round trip. Negative values (a clock that went back) count as zero.
  void Sample(Duration rtt) {
    rtt = std::max(rtt, Duration::Zero());
    if (!has_sample_) {
      srtt_ = rtt;
      rttvar_ = rtt / 2;
      has_sample_ = true;
    } else {
      const Duration error = rtt < srtt_ ? srtt_ - rtt : rtt - srtt_;
      rttvar_ += (error - rttvar_) / 4;
      srtt_ += (rtt - srtt_) / 8;
    }
    backoff_ = 0;
    const Duration margin = std::max(config_->rto_min_is_margin ? config_->rto_min : kGranularity, rttvar_ * 4);
    rto_ = Clamp(srtt_ + margin);
  }

  // For the minimum over the last kMinWindow to twice that (RFC 8985 §6.2 step 1): the shortest of the round trips that
  // one acknowledgement measured.
  void SampleMin(Duration rtt, Time now) {
    rtt = std::max(rtt, Duration::Zero());
    if (!has_min_ || now - min_since_ > kMinWindow) {
      before_min_ = has_min_ ? recent_min_ : rtt;
      recent_min_ = rtt;
      min_since_ = now;
      has_min_ = true;
    }
    recent_min_ = std::min(recent_min_, rtt);
  }

  // Forgets everything measured and backed off (RFC 6298 §5.7).
  void Restart(Duration initial) {
    *this = RttEstimator(*config_);
    rto_ = initial;
  }

  // §5.5: the timer expired; the next time-out is twice as long.
  void BackOff() {
    if (backoff_ < 31) ++backoff_;
  }

  // The time-out now in force, back-off included.
  Duration rto() const {
    Duration value = rto_;
    for (uint32_t i = 0; i < backoff_ && value < config_->rto_max; ++i) value = value * 2;
    return std::min(value, config_->rto_max);
  }

  bool has_sample() const { return has_sample_; }
  Duration srtt() const { return srtt_; }
  Duration rttvar() const { return rttvar_; }
  // Zero before the first sample.
  Duration min_rtt() const { return std::min(recent_min_, before_min_); }
  uint32_t backoff() const { return backoff_; }

 private:
  static constexpr Duration kMinWindow = Duration::Seconds(300);
  static constexpr Duration kGranularity = Duration::Microseconds(1);  // G of §2: the clock's tick

  Duration Clamp(Duration value) const { return std::clamp(value, config_->rto_min, config_->rto_max); }

  const StackConfig* config_;
  Duration srtt_;
  Duration rttvar_;
  Duration recent_min_;
  Duration before_min_;
  Duration rto_;
  Time min_since_;
  uint8_t backoff_ = 0;
  bool has_sample_ = false;
  bool has_min_ = false;
};

}  // namespace luna::tcp

#endif  // LUNA_NET_TCP_RTT_H_
