#include "luna/net/tcp/sender.h"

#include <algorithm>

#include "glog/logging.h"

namespace luna::tcp {

Sender::Sender(const StackConfig& config)
    : nodelay_(!config.nagle),
      rtt_({config.rto_initial, config.rto_min, config.rto_max}),
      rto_after_syn_loss_(config.rto_after_syn_loss),
      initial_segments_(config.initial_window_segments) {}

void Sender::StartSyn(SeqNum iss) {
  iss_ = una_ = iss;
  nxt_ = max_ = iss + 1;
  una_data_ = iss + 1;
  recover_ = iss;
}

void Sender::Establish(uint32_t mss, uint8_t shift) {
  una_ = una_data_;
  mss_ = mss;
  shift_ = shift;
  // RFC 5681 §3.1 and RFC 6298 §5.7: after a lost SYN, start with one segment and without the SYN's back-off.
  if (timeouts_ > 0) rtt_ = RttEstimator({rto_after_syn_loss_, rtt_.limits().min, rtt_.limits().max});
  congestion_.Start(mss, timeouts_ > 0 ? 1 : initial_segments_);
  timeouts_ = 0;
}

void Sender::SetWindow(uint32_t window, SeqNum seq, SeqNum ack) {
  wnd_ = window;
  max_wnd_ = std::max(max_wnd_, window);
  wl1_ = seq;
  wl2_ = ack;
}

bool Sender::WorthSending(uint32_t bytes, bool all) const {
  if (bytes >= mss_ || nxt_ < max_) return true;
  if (all && fin_queued_) return true;
  if (corked()) return false;
  if (all && (nodelay_ || nxt_ == una_)) return true;
  return bytes >= max_wnd_ / 2 && bytes > 0;
}

std::optional<Sender::Plan> Sender::Next() const {
  if (retransmit_una_) {
    Plan plan{.seq = una_, .retransmit = true};
    // Never more than was sent before: the rest may lie beyond the peer's window.
    const auto sent = std::min(static_cast<uint32_t>(max_ - una_data_), queue_.bytes());
    plan.bytes = std::min(mss_, sent);
    plan.fin = fin_sent_ && plan.bytes == queue_.bytes();
    plan.push = plan.bytes == queue_.bytes();
    if (plan.bytes > 0 || plan.fin) return plan;
  }
  const auto offset = static_cast<uint32_t>(nxt_ - una_data_);
  if (offset > queue_.bytes()) return std::nullopt;  // the FIN was sent
  const uint32_t left = queue_.bytes() - offset;
  if (left == 0 && !fin_queued_) return std::nullopt;

  // RFC 3042: the first two duplicate acknowledgements each let one new segment out.
  const uint32_t limited = in_recovery_ ? 0 : std::min<uint32_t>(dup_acks_, kDupAckThreshold - 1) * mss_;
  const SeqNum limit = una_ + std::min(wnd_, congestion_.window() + limited);
  const uint32_t room = limit > nxt_ ? static_cast<uint32_t>(limit - nxt_) : 0;
  Plan plan{.seq = nxt_, .bytes = std::min({left, room, mss_})};
  const bool all = plan.bytes == left;
  plan.fin = fin_queued_ && all && room > plan.bytes;
  if (plan.bytes == 0 && !plan.fin) return std::nullopt;
  if (!plan.fin && !WorthSending(plan.bytes, all)) return std::nullopt;
  plan.push = all;
  plan.retransmit = nxt_ < max_;
  return plan;
}

void Sender::OnSent(const Plan& plan, Time now) {
  const SeqNum end = plan.seq + plan.bytes + (plan.fin ? 1u : 0u);
  last_sent_ = now;
  if (plan.fin) fin_sent_ = true;
  if (plan.retransmit) {
    timing_ = false;  // Karn: an acknowledgement could now be of either copy
  } else if (!timing_) {
    timing_ = true;
    timed_seq_ = end;
    timed_at_ = now;
  }
  if (retransmit_una_ && plan.seq == una_) {
    retransmit_una_ = false;
    nxt_ = Max(nxt_, end);
  } else {
    nxt_ = end;
  }
  max_ = Max(max_, nxt_);
}

std::optional<Sender::Plan> Sender::Probe() const {
  if (!NeedsProbe()) return std::nullopt;
  // A window too small to be worth sending to (silly-window avoidance) is filled now (RFC 9293 §3.8.6.2.1).
  Plan plan{.seq = nxt_, .bytes = std::min({queue_.bytes(), std::max(wnd_, 1u), mss_})};
  plan.fin = plan.bytes == 0;
  plan.retransmit = nxt_ < max_;
  return plan;
}

void Sender::OnProbeSent(const Plan& plan, Time now) {
  if (plan.bytes <= wnd_ && wnd_ > 0) return OnSent(plan, now);
  // SND.NXT stays: the octet is not in flight, but its acknowledgement has to be acceptable.
  max_ = Max(max_, plan.seq + std::max(plan.bytes, 1u));
  if (plan.fin) fin_sent_ = true;
  timing_ = false;
}

bool Sender::NeedsProbe() const {
  if (nxt_ != una_ || fin_acknowledged_) return false;
  const bool waiting = !queue_.empty() || fin_queued_;
  return waiting && !Next().has_value();
}

Sender::Ack Sender::OnAck(SeqNum ack, SeqNum seq, uint32_t window, bool has_data, Time now) {
  if (ack > max_) return Ack::kUnsent;
  if (ack < una_) return static_cast<uint32_t>(una_ - ack) > max_wnd_ ? Ack::kAncient : Ack::kOld;
  const bool duplicate = ack == una_ && flight() > 0 && !has_data && window == wnd_;
  // RFC 9293 §3.10.7.4: only segments at least as new as the last update may change the window.
  if (wl1_ < seq || (wl1_ == seq && wl2_ <= ack)) {
    SetWindow(window, seq, ack);
  } else if (ack > una_) {
    wnd_ -= std::min(wnd_, static_cast<uint32_t>(ack - una_));  // the edge stays where it was promised
  }
  if (ack > una_) {
    OnNewAck(ack, now);
    return Ack::kNew;
  }
  if (!duplicate) return Ack::kNothing;
  OnDuplicate();
  return Ack::kDuplicate;
}

void Sender::OnNewAck(SeqNum ack, Time now) {
  DCHECK(ack > una_ && ack <= max_);
  const auto acked = static_cast<uint32_t>(ack - una_);
  // A window that the application does not fill says nothing of the path: do not let it grow (RFC 7661 §4.1).
  const bool window_used = flight() >= congestion_.window() / 2;
  TakeRttSample(ack, now);
  ReleaseUpTo(ack);
  timeouts_ = 0;
  if (in_recovery_) {
    OnAckInRecovery(ack, acked);
  } else {
    dup_acks_ = 0;
    if (window_used) congestion_.OnAck(acked);
  }
}

void Sender::ReleaseUpTo(SeqNum ack) {
  const uint32_t released = std::min(static_cast<uint32_t>(ack - una_data_), queue_.bytes());
  queue_.Release(released);
  una_data_ += released;
  una_ = ack;
  nxt_ = Max(nxt_, una_);
  retransmit_una_ = false;
  // RFC 6582's "recover" must not fall 2^31 behind, where it would look as if it lay ahead.
  if (!in_recovery_ && una_ > recover_) recover_ = una_ - 1;
  if (fin_sent_ && queue_.empty() && una_ > una_data_) fin_acknowledged_ = true;
}

void Sender::TakeRttSample(SeqNum ack, Time now) {
  if (!timing_ || ack < timed_seq_) return;
  timing_ = false;
  rtt_.Sample(now - timed_at_);
}

void Sender::OnDuplicate() {
  if (in_recovery_) {
    congestion_.OnDuplicateAck();
    return;
  }
  if (dup_acks_ < UINT8_MAX) ++dup_acks_;
  // RFC 6582 §3.2 step 1: not again for losses of a window that already timed out.
  if (dup_acks_ != kDupAckThreshold || una_ <= recover_) return;
  in_recovery_ = true;
  recover_ = max_;
  retransmit_una_ = true;
  timing_ = false;
  congestion_.OnFastRetransmit(flight());
}

void Sender::OnAckInRecovery(SeqNum ack, uint32_t acked) {
  if (ack >= recover_) {
    in_recovery_ = false;
    dup_acks_ = 0;
    congestion_.OnRecoveryExit(flight());
    return;
  }
  // A partial acknowledgement: the next hole begins at SND.UNA.
  congestion_.OnPartialAck(acked);
  retransmit_una_ = true;
}

uint32_t Sender::OnTimeout() {
  ++timeouts_;
  congestion_.OnTimeout(flight(), timeouts_ == 1);
  rtt_.BackOff();
  nxt_ = Max(una_, una_data_);  // the SYN is not data
  recover_ = max_;
  in_recovery_ = false;
  retransmit_una_ = false;
  timing_ = false;
  dup_acks_ = 0;
  return timeouts_;
}

void Sender::MaybeRestartAfterIdle(Time now) {
  if (flight() == 0 && now - last_sent_ > rtt_.rto()) congestion_.OnIdleRestart();
}

}  // namespace luna::tcp
