#ifndef LUNA_NET_TCP_CONGESTION_H_
#define LUNA_NET_TCP_CONGESTION_H_

// Congestion control: the congestion window and the slow start threshold, in octets.
//
// A small closed interface: which algorithm is in force is an enumerator of the configuration, looked at when a window
// may grow or has to shrink; there is no virtual call. The sender detects losses and echoes, paces recovery (PRR) and
// knows whether the window is used at all; this class says how much the network takes. The hooks:
//
//   Start           the handshake is over: initial window (RFC 6928)
//   OnAck           new octets were delivered while the window was what limited the sender: growth
//   OnUnused        it was not, until now: an acknowledgement came, or sending begins again with nothing in flight
//   OnCongestion    a loss was detected, or the peer echoes a congestion mark: the new threshold. The window goes there
//                   by proportional rate reduction (RFC 9937), which is the sender's, through SetWindow
//   OnTimeout       retransmission time-out: the new threshold, and a window of one segment beside what is in flight
//   OnRecoveryExit  the window is the threshold
//   Undo            the loss was none (RFC 4015, RFC 2883): back to what was before
//   OnIdleRestart   nothing was in flight for longer than a time-out (RFC 5681 §4.1)
//
// NewReno: RFC 5681 §3.1, byte counting (RFC 3465) of what is delivered, so that dividing acknowledgements gains
// nothing. CUBIC: RFC 9438; see cubic.h.

#include <algorithm>
#include <cstdint>
#include <limits>

#include "luna/net/tcp/config.h"
#include "luna/net/tcp/cubic.h"
#include "luna/sched/clock/time.h"

namespace luna::tcp {

class Congestion {
 public:
  explicit Congestion(CongestionAlgorithm algorithm = CongestionAlgorithm::kNewReno) : algorithm_(algorithm) {}

  void Start(uint32_t mss, uint32_t initial_segments) {
    mss_ = mss;
    // RFC 6928 §2: min(10 * MSS, max(2 * MSS, 14600)), scaled to the configured number of segments.
    initial_ = std::min(initial_segments * mss, std::max(2 * mss, initial_segments * 1460));
    threshold_ = kArbitrarilyHigh;
    window_ = initial_;
    cubic_.Reset();
  }

  // The segment size has changed. The window stays, but holds one segment at least.
  void SetMss(uint32_t mss) {
    mss_ = mss;
    window_ = std::max(window_, mss);
  }

  // `delivered` octets; `srtt` may be zero (unknown).
  void OnAck(uint32_t delivered, Time now, Duration srtt) {
    if (in_slow_start()) {
      const uint32_t room = threshold_ - window_;
      window_ += std::min(delivered, room);
      if (delivered <= room) return;
      delivered -= room;
    }
    if (algorithm_ == CongestionAlgorithm::kCubic) {
      window_ = std::min(cubic_.Grow(window_, mss_, delivered, now, srtt), kArbitrarilyHigh);
      return;
    }
    // One MSS for each window acknowledged.
    counted_ += delivered;
    if (counted_ < window_) return;
    counted_ -= window_;
    window_ = std::min(window_ + mss_, kArbitrarilyHigh);
  }

  void OnUnused(Time now) {
    if (algorithm_ == CongestionAlgorithm::kCubic) cubic_.Pause(now);
  }

  // `base`: what the threshold is a part of: octets in flight, no more than the window (RFC 5681 equation 4).
  void OnCongestion(uint32_t base) {
    Remember();
    threshold_ = Reduced(base);
    counted_ = 0;
  }

  // `reduce`: this window has not been reduced yet. `in_flight`: what is not thought lost.
  void OnTimeout(uint32_t base, bool reduce, uint32_t in_flight) {
    if (reduce) OnCongestion(base);
    window_ = in_flight + mss_;
    counted_ = 0;
  }

  void OnRecoveryExit() { window_ = std::max(std::min(threshold_, kArbitrarilyHigh), mss_); }

  void Undo() {
    window_ = std::max(window_, prior_window_);
    threshold_ = std::max(threshold_, prior_threshold_);
    cubic_.Undo();
  }

  // The last reduction stays: the network itself asked for it (RFC 3168 §6.1.2).
  void Commit() { prior_window_ = prior_threshold_ = 0; }

  // RFC 5681 §4.1; the threshold remembers what the path once took (RFC 2861 §3.2).
  void OnIdleRestart() {
    threshold_ = std::max(threshold_, window_ / 4 * 3);
    window_ = std::min(window_, initial_);
    cubic_.Reset();
  }

  void SetWindow(uint32_t window) { window_ = std::min(window, kArbitrarilyHigh); }

  CongestionAlgorithm algorithm() const { return algorithm_; }
  uint32_t window() const { return window_; }
  uint32_t threshold() const { return threshold_; }
  bool in_slow_start() const { return window_ < threshold_; }
  uint32_t initial_window() const { return initial_; }

  static constexpr uint32_t kArbitrarilyHigh = std::numeric_limits<int32_t>::max();  // RFC 5681 §3.1

 private:
  void Remember() {
    prior_window_ = window_;
    // 3/4 of the window: a threshold far below what was in use would undo nothing.
    prior_threshold_ = std::max(threshold_, window_ / 4 * 3);
  }
  uint32_t Reduced(uint32_t base) {
    if (algorithm_ == CongestionAlgorithm::kCubic) return std::max(cubic_.Reduce(window_, base, mss_), 2 * mss_);
    return std::max(base / 2, 2 * mss_);
  }

  uint32_t window_ = 0;
  uint32_t threshold_ = kArbitrarilyHigh;
  uint32_t mss_ = 0;
  uint32_t initial_ = 0;
  uint32_t counted_ = 0;  // octets acknowledged in congestion avoidance, not yet paid with growth
  uint32_t prior_window_ = 0;
  uint32_t prior_threshold_ = 0;
  CongestionAlgorithm algorithm_;
  Cubic cubic_;
};

}  // namespace luna::tcp

#endif  // LUNA_NET_TCP_CONGESTION_H_
