// One timer entry per connection serves three deadlines (retransmission or persist, delayed ACK, end of life).
// Deadlines that move later leave the entry where it is: the early wake-up looks at them again ("lazy re-arm").

#include <algorithm>

#include "luna/net/tcp/connection.h"

namespace luna::tcp {

void Connection::Rearm() {
  const Time earliest = std::min({retransmit_deadline_, acks_.deadline(), life_deadline_});
  if (earliest.is_infinite()) return;
  if (!armed() || earliest < deadline()) core_.wheel.Arm(*this, earliest);
}

void Connection::ClearTimers() {
  retransmit_deadline_ = life_deadline_ = Time::Infinite();
  acks_.ClearDeadline();
  persisting_ = false;
  core_.wheel.Cancel(*this);
}

// RFC 6298 §5.1 to §5.3: runs while something is in flight, restarted by each acknowledgement of new data. With nothing
// in flight and a closed window it is the persist timer (RFC 9293 §3.8.6.1).
void Connection::SetRetransmitTimer(Time now) {
  persisting_ = false;
  if (state_ == State::kSynSent || state_ == State::kSynReceived || sender_.flight() > 0) {
    retransmit_deadline_ = now + sender_.rtt().rto();
  } else if (sender_.NeedsProbe()) {
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
  Rearm();
}

uint32_t Connection::OnTimer(Time now) {
  uint32_t events = 0;
  if (acks_.deadline() <= now) {
    acks_.OnDeadline();
    NoteOutput();
  }
  if (retransmit_deadline_ <= now) events |= OnRetransmitTimer(now);
  if (state_ != State::kClosed && life_deadline_ <= now) {
    if (life_deadline_ == kFromNextTimerRun) {
      life_deadline_ = now + options_.fin_wait_2;
    } else {
      EnterClosed(CloseReason::kNormal);
      events |= EventBits::kClosed;
    }
  }
  if (state_ != State::kClosed) Rearm();
  return events;
}

uint32_t Connection::OnRetransmitTimer(Time now) {
  retransmit_deadline_ = Time::Infinite();
  if (persisting_) {
    if (++unanswered_probes_ > (app_closed_ ? options_.closed_retries : options_.data_retries)) {
      EnterClosed(CloseReason::kTimedOut);  // R2: the peer is gone, not merely full
      return EventBits::kClosed;
    }
    ++persist_count_;
    probe_pending_ = true;
    NoteOutput();
    SetRetransmitTimer(now);
    return 0;
  }
  core_.counters.timeouts.Increment();
  const uint32_t timeouts = sender_.OnTimeout();
  const bool handshake = state_ == State::kSynSent || state_ == State::kSynReceived;
  const uint32_t allowed = handshake     ? options_.syn_retries
                           : app_closed_ ? options_.closed_retries
                                         : options_.data_retries;
  if (timeouts > allowed) {
    EnterClosed(CloseReason::kTimedOut);
    return announced_ ? EventBits::kClosed : 0;
  }
  if (handshake) syn_pending_ = true;
  NoteOutput();
  SetRetransmitTimer(now);
  if (retransmit_deadline_.is_infinite()) {
    // The retransmission may not get out (no memory, no room in the device): then this is what counts on towards R2.
    retransmit_deadline_ = now + sender_.rtt().rto();
    Rearm();
  }
  return 0;
}

}  // namespace luna::tcp
