// One deadline, three meanings: retransmission time-out (RFC 6298), reordering window and tail loss probe (RFC 8985).

#include <algorithm>

#include "glog/logging.h"
#include "luna/net/tcp/sender.h"

namespace luna::tcp {

Sender::TimerKind Sender::Due(Time now) const {
  if (aux_kind_ != TimerKind::kNone && aux_deadline_ <= now) return aux_kind_;
  return rto_deadline_ <= now ? TimerKind::kRetransmit : TimerKind::kNone;
}

// RFC 6298 §5.2 and §5.3: new data was acknowledged.
void Sender::RestartTimers(Time now) {
  tail_probe_due_ = false;  // one that has not left yet has nothing to ask any more
  if (flight() == 0) {
    rto_deadline_ = Time::Infinite();
    SetAux(TimerKind::kNone, Time::Infinite());
    return;
  }
  rto_deadline_ = now + rtt_.rto();
  ArmTailProbe(now);
}

// RFC 8985 §7.2.
void Sender::ArmTailProbe(Time now) {
  if (aux_kind_ == TimerKind::kReorder) return;
  const bool wanted = config_->tail_loss_probe && sack_ && !tail_probe_out_ && !tail_probe_due_ && timeouts_ == 0 &&
                      (state_ == State::kOpen || state_ == State::kCwr) && board_.sacked().segments == 0 &&
                      !board_.empty();
  if (!wanted) return SetAux(TimerKind::kNone, Time::Infinite());
  Duration timeout = config_->rto_initial;
  if (rtt_.has_sample()) {
    timeout = rtt_.srtt() * 2 + (board_.size() == 1 ? config_->tail_probe_ack_delay : config_->tail_probe_slack);
  }
  SetAux(TimerKind::kTailProbe, std::min(now + timeout, rto_deadline_));
}

void Sender::OnTailProbeTimer(Time now) {
  SetAux(TimerKind::kNone, Time::Infinite());
  tail_probe_due_ = !board_.empty();
  rto_deadline_ = board_.empty() ? Time::Infinite() : now + rtt_.rto();
}

void Sender::OnReorderTimer(Time now) {
  SetAux(TimerKind::kNone, Time::Infinite());
  const uint32_t before = board_.lost().segments;
  const bool lost_again = FindLosses(now, false);
  const uint32_t lost = board_.lost().segments;
  if (lost == before && !lost_again) return;
  if (state_ != State::kRecovery) {
    EnterRecovery(false);
    Reduce(std::min(mss_, std::max(board_.sacked().bytes, 1u)), false);
  }
  UpdateQuiet();
}

uint32_t Sender::OnTimeout(Time now) {
  ++timeouts_;
  rtt_.BackOff();
  SetAux(TimerKind::kNone, Time::Infinite());
  if (board_.empty()) {  // a SYN
    rto_deadline_ = Time::Infinite();
    return timeouts_;
  }
  EnterLoss(now);
  shut_probe_due_ = wnd_ == 0;
  // Also when the retransmission finds no memory and does not leave: then this is what counts on.
  rto_deadline_ = now + rtt_.rto();
  if (wnd_ == 0) ++shut_timeouts_;
  return timeouts_ - shut_timeouts_;
}

}  // namespace luna::tcp
