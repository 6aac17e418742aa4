#ifndef LUNA_NET_TCP_CUBIC_H_
#define LUNA_NET_TCP_CUBIC_H_

// Cubic: window growth and reduction by RFC 9438, in octets. Slow start, recovery and all else are Congestion's.
//
// After a reduction from W_max the window follows W(t) = C (t - K)^3 + W_max, with t in seconds and windows in
// segments, but is never below what Reno would have reached (§4.3). Floating point, once per acknowledgement of a
// sender that is limited by its window in congestion avoidance; one cube root per reduction.

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "luna/sched/clock/time.h"

namespace luna::tcp {

class Cubic {
 public:
  // §4.6: the threshold after a congestion event. `window`: cwnd; `base`: octets in flight, or cwnd.
  uint32_t Reduce(uint32_t window, uint32_t base, uint32_t mss) {
    undo_w_max_ = w_max_;
    const double segments = static_cast<double>(window) / mss;
    // §4.7 fast convergence: below the last maximum, leave room to others.
    w_max_ = static_cast<float>(segments < w_max_ ? segments * (1 + kBeta) / 2 : segments);
    running_ = false;
    return static_cast<uint32_t>(base * kBeta);
  }

  // The window after `delivered` octets in congestion avoidance.
  uint32_t Grow(uint32_t window, uint32_t mss, uint32_t delivered, Time now, Duration srtt) {
    const double segments = static_cast<double>(window) / mss;
    if (!running_) Begin(segments, now);
    last_ = now;
    const double acked = static_cast<double>(delivered) / mss;
    const double t = std::max((now - epoch_).seconds(), 0.0);
    // §4.2: aim at where the curve is one round trip from now, at most half as much again.
    const double ahead = t + srtt.seconds() - k_;
    const double target = std::clamp(kC * ahead * ahead * ahead + w_max_, segments, 1.5 * segments);
    // §4.3: the estimate of Reno's window.
    w_est_ += static_cast<float>((w_est_ < w_max_ ? kAlpha : 1.0) * acked / segments);
    const double at_t = kC * (t - k_) * (t - k_) * (t - k_) + w_max_;
    if (at_t < w_est_) return std::max(window, static_cast<uint32_t>(w_est_ * mss));
    pending_ += static_cast<float>((target - segments) / segments * acked * mss);
    const auto whole = static_cast<uint32_t>(pending_);
    pending_ -= static_cast<float>(whole);
    return window + whole;
  }

  // From the last call until `now` the window was not what limited the sender: that time does not count (§4.2, §5.8).
  void Pause(Time now) {
    if (running_ && now > last_) epoch_ += now - last_;
    last_ = now;
  }

  void Undo() { w_max_ = undo_w_max_, running_ = false; }
  // The curve begins anew at the next acknowledgement, without a maximum to come back to.
  void Reset() { w_max_ = 0, running_ = false; }

 private:
  static constexpr double kC = 0.4;                                // §5
  static constexpr double kBeta = 0.7;                             // §4.6
  static constexpr double kAlpha = 3 * (1 - kBeta) / (1 + kBeta);  // §4.3

  void Begin(double segments, Time now) {
    running_ = true;
    epoch_ = now;
    pending_ = 0;
    w_est_ = static_cast<float>(segments);
    w_max_ = std::max(w_max_, w_est_);
    k_ = static_cast<float>(std::cbrt((w_max_ - segments) / kC));
  }

  Time epoch_;            // begin of this stage of congestion avoidance, moved by what does not count
  Time last_;             // of Grow() or Pause()
  float w_max_ = 0;       // segments, before the last reduction
  float undo_w_max_ = 0;  // and before that
  float w_est_ = 0;       // segments, Reno's window
  float k_ = 0;           // seconds until W_max is reached
  float pending_ = 0;     // growth not yet worth an octet
  bool running_ = false;
};

}  // namespace luna::tcp

#endif  // LUNA_NET_TCP_CUBIC_H_
