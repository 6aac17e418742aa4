// One timer entry per connection serves three deadlines (retransmission or persist, delayed ACK, end of life).
// Deadlines that move later leave the entry where it is: the early wake-up looks at them again ("lazy re-arm").

#include <algorithm>

#include "luna/net/tcp/connection.h"

namespace luna::tcp {

void Connection::Rearm() {
  const Time earliest = std::min({retransmit_deadline_, acks_.deadline(), life_deadline_});
  if (!earliest.is_infinite()) Rearm(earliest);
}

void Connection::Rearm(Time time) {
  if (!armed() || time < deadline()) core_.wheel.Arm(*this, time);
}

void Connection::ClearTimers() {
  retransmit_deadline_ = life_deadline_ = owed_since_ = Time::Infinite();
  acks_.ClearDeadline();
  persisting_ = false;
  core_.wheel.Cancel(*this);
}

// With something in flight the sender's own deadline; with nothing in flight and a closed window the persist timer (RFC
// 9293 §3.8.6.1). The handshake has the sender's time-out alone.
void Connection::SetRetransmitTimer(Time now) {
  persisting_ = false;
  if (state_ == State::kSynSent || state_ == State::kSynReceived) {
    retransmit_deadline_ = now + sender_.rtt().rto();
  } else if (sender_.flight() > 0) {
    retransmit_deadline_ = sender_.deadline();
  } else if (NeedsProbe()) {
    persisting_ = true;
    Duration interval = sender_.rtt().rto();
    for (uint32_t i = 0; i < persist_count_ && interval < core_.config.rto_max; ++i) interval = interval * 2;
    interval = std::min(interval, core_.config.rto_max);
    // What only a cork holds back is no probe: it gets its time.
    if (sender_.corked() && sender_.window() > 0) interval = std::max(interval, core_.config.cork_limit);
    retransmit_deadline_ = now + interval;
  } else {
    retransmit_deadline_ = Time::Infinite();
  }
  HeedUserTimeout(now);
  Rearm();
}

// The sender's deadline may have moved. O(1); the wheel is touched only when it came nearer.
void Connection::FollowSender(Time now) {
  if (sender_.flight() == 0) return;
  persisting_ = false;
  retransmit_deadline_ = sender_.deadline();
  HeedUserTimeout(now);
  Rearm();
}

uint32_t Connection::OnTimer(Time now) {
  uint32_t events = 0;
  if (acks_.deadline() <= now) {
    acks_.OnDeadline();
    NoteOutput();
  }
  if (retransmit_deadline_ <= now) events |= OnRetransmitTimer(now);
  if (state_ != State::kClosed && life_deadline_ <= now) events |= OnLifeTimer(now);
  if (state_ == State::kClosed) return events;
  // The entry of the last flight's time-out, left where it was, has come due behind it: within a time-out all is over.
  if (sender_.flight() == 0) sender_.OnIdle();
  if (path_mtu_until_ <= Second(now)) ForgetPathMtu(now);
  Rearm();
  return events;
}

uint32_t Connection::OnPersistTimer(Time now) {
  if (!NeedsProbe()) {  // room came from elsewhere
    SetRetransmitTimer(now);
    return 0;
  }
  if (GivesUp(++unanswered_probes_)) {
    EnterClosed(CloseReason::kTimedOut);  // R2: the peer is gone, not merely full
    return EventBits::kClosed;
  }
  ++persist_count_;
  probe_pending_ = true;
  NoteOutput();
  SetRetransmitTimer(now);
  return 0;
}

uint32_t Connection::OnRetransmitTimer(Time now) {
  retransmit_deadline_ = Time::Infinite();
  if (UserTimeoutIsOver(now)) {
    EnterClosed(CloseReason::kTimedOut);
    return announced_ ? EventBits::kClosed : 0;
  }
  if (persisting_) return OnPersistTimer(now);
  const bool handshake = state_ == State::kSynSent || state_ == State::kSynReceived;
  const Sender::TimerKind due = handshake ? Sender::TimerKind::kRetransmit : sender_.Due(now);
  if (due != Sender::TimerKind::kRetransmit) {
    if (due == Sender::TimerKind::kReorder) sender_.OnReorderTimer(now);
    if (due == Sender::TimerKind::kTailProbe) sender_.OnTailProbeTimer(now);
    NoteOutput();
    FollowSender(now);
    return 0;
  }
  core_.counters.timeouts.Increment();
  uint32_t attempts = sender_.OnTimeout(now);
  // The peer shut its window behind what was sent, and answers: then the repairs are window probes, and only its
  // silence ends the connection (RFC 9293 SHLD-17).
  if (!handshake && sender_.window() == 0) attempts = ++unanswered_probes_;
  if (GivesUp(attempts)) {
    EnterClosed(CloseReason::kTimedOut);
    return announced_ ? EventBits::kClosed : 0;
  }
  if (handshake) syn_pending_ = true;
  NoteOutput();
  SetRetransmitTimer(now);
  if (attempts != core_.config.r1_retries || app_closed_) return 0;
  // R1. What the network itself has said of the path meanwhile tells more.
  return NoteSoftError(soft_error_ == NetworkError::kNone ? NetworkError::kNoAnswer : soft_error_);
}

}  // namespace luna::tcp
