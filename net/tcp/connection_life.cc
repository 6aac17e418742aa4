// How a connection's life ends other than by the exchange of FINs: keep-alive, lingering, FIN-WAIT-2, the user timeout,
// orphans, and what the network says.

#include <algorithm>
#include <utility>

#include "luna/net/tcp/connection.h"

namespace luna::tcp {

using wire::TcpFlags;

// life_deadline_ serves one purpose at a time: keep-alive until the application closes; then the lingering, while
// something is not acknowledged; then FIN-WAIT-2.
uint32_t Connection::OnLifeTimer(Time now) {
  const bool begin = life_deadline_ == kFromNextTimerRun;
  life_deadline_ = Time::Infinite();
  if (!app_closed_) return options().keep_alive && IsSynchronised(state_) ? OnKeepAlive(now) : 0;
  if (state_ == State::kFinWait2) {
    if (begin && options().fin_wait_2 > Duration::Zero()) {
      life_deadline_ = now + options().fin_wait_2;
      return 0;
    }
    EnterClosed(CloseReason::kNoFin);
    return EventBits::kClosed;
  }
  if (!lingering_) return 0;
  if (begin) {
    life_deadline_ = now + options().linger_time;
    return 0;
  }
  lingering_ = false;
  return EventBits::kLingered;
}

// RFC 9293 §3.8.4: only when idle (MUST-26), without data (SHLD-12), and one unanswered probe means nothing (MUST-29).
uint32_t Connection::OnKeepAlive(Time now) {
  if (sender_.flight() > 0 || sender_.HasUnsent() || WaitsForWindow()) {  // retransmission, or probing, has an opinion
    life_deadline_ = now + options().keep_alive_idle;
    return 0;
  }
  const Duration idle = now - last_heard();
  if (idle < options().keep_alive_idle) {
    life_deadline_ = last_heard() + options().keep_alive_idle;
    return 0;
  }
  const Duration patience = options().user_timeout;
  const bool dead = patience > Duration::Zero() ? idle >= patience && unanswered_probes_ > 0
                                                : unanswered_probes_ >= options().keep_alive_probes;
  if (dead) {
    SendReset();
    EnterClosed(CloseReason::kKeepAlive);
    return EventBits::kClosed;
  }
  ++unanswered_probes_;
  core_.counters.keep_alive_probes.Increment();
  keep_probe_pending_ = true;
  NoteOutput();
  life_deadline_ = now + options().keep_alive_interval;
  if (patience > idle) life_deadline_ = std::min(life_deadline_, last_heard() + patience);
  return 0;
}

// Of an established connection that the application has not closed.
void Connection::SetKeepAlive(Time now) {
  if (app_closed_ || !IsSynchronised(state_)) return;
  life_deadline_ = options().keep_alive ? std::max(now, last_heard() + options().keep_alive_idle) : Time::Infinite();
  Rearm();
}

// The peer lives: a probe, of its window or of itself, has an answer.
void Connection::NoteAnswer(Time now) {
  unanswered_probes_ = 0;
  if (options().keep_alive) SetKeepAlive(now);
}

// The application has closed: it holds the connection no longer, and their number is bounded. False: one too many, the
// connection is gone.
bool Connection::BecomeOrphan() {
  app_closed_ = true;
  life_deadline_ = Time::Infinite();
  keep_probe_pending_ = false;
  if (state_ == State::kClosed || state_ == State::kTimeWait) return true;
  if (core_.orphans >= core_.config.max_orphans) {
    core_.counters.orphans_refused.Increment();
    SendReset();
    EnterClosed(CloseReason::kOutOfOrphans);
    if (announced_) Post(EventBits::kClosed);
    return false;
  }
  orphan_ = true;
  ++core_.orphans;
  return true;
}

// The user timeout (RFC 9293 §3.9.1.1, RFC 5482) counts from the first transmission, or the last progress, of what is
// owed. The timer comes no later than that.
void Connection::HeedUserTimeout(Time now) {
  if (retransmit_deadline_.is_infinite()) return;
  if (WaitsForWindow()) return;                                         // nothing is owed
  if (persisting_ && sender_.corked() && sender_.window() > 0) return;  // held back here: nothing has been sent
  if (owed_since_.is_infinite()) owed_since_ = now;
  if (options().user_timeout > Duration::Zero()) {
    retransmit_deadline_ = std::min(retransmit_deadline_, std::max(now, owed_since_ + options().user_timeout));
  }
}

bool Connection::UserTimeoutIsOver(Time now) const {
  return options().user_timeout > Duration::Zero() && !owed_since_.is_infinite() &&
         now - owed_since_ >= options().user_timeout;
}

// R2: RFC 9293 §3.8.3. The user timeout, where there is one, stands for the count while the application is there.
bool Connection::GivesUp(uint32_t attempts) const {
  if (state_ == State::kSynSent || state_ == State::kSynReceived) return attempts > options().syn_retries;
  if (app_closed_) return attempts > options().closed_retries;
  const bool times_out = options().user_timeout > Duration::Zero() && !WaitsForWindow();
  return !times_out && attempts > options().data_retries;
}

void Connection::Account() {
  const uint32_t held = sender_.queued_bytes() + receiver_.held_bytes();
  core_.held_bytes += held;
  core_.held_bytes -= std::exchange(held_bytes_, held);
  if (!core_.waiting_for_room.empty() || !core_.waiting_empty.empty() || !core_.held_down.empty()) [[unlikely]]
    WakeWaiting(core_);
}

// The reserve, the last quarter below the bound, is for connections that move: nobody holds more by it than four times
// what is left, and than some windows that the peer takes. Peers that do not read, or do not
// acknowledge, would have it all otherwise, and nobody else a window.
uint64_t Connection::Share() const {
  if (core_.held_bytes >= core_.held_limit) return 0;
  const uint64_t taken_at_a_time = std::min(sender_.window(), sender_.congestion().window());
  return std::min(4 * (core_.held_limit - core_.held_bytes), 8 * taken_at_a_time);
}

// Half a reserve is room worth waking for, and all of it for those that can be woken otherwise.
void Connection::WakeWaiting(Core& core) {
  const auto wake = [](Connection* connection) {
    connection->waiting_for_room_ = connection->waiting_empty_ = connection->want_writable_ = false;
    connection->Post(EventBits::kWritable);
  };
  // Below the bound one, who has waited longest: nothing else need come that would wake it. Further below it all.
  const bool all = core.held_bytes < core.held_limit - (core.held_limit - core.held_pressure) / 2;
  while (core.held_bytes < core.held_limit && !core.waiting_empty.empty()) {
    wake(core.waiting_empty.front());
    core.waiting_empty.pop_front();
    if (!all) return;
  }
  if (core.held_bytes >= core.held_pressure) return;
  for (Connection* connection : core.waiting_for_room) wake(connection);
  core.waiting_for_room.clear();
  if (core.memory_short) return;
  for (Connection* connection : core.held_down) {
    connection->held_down_ = false;
    if (connection->receiver_.NeedsWindowUpdate(connection->mss_)) connection->AckNow();
  }
  core.held_down.clear();
}

uint32_t Connection::RoomUnderPressure() const {
  const uint64_t held = receiver_.held_bytes();
  const bool may_overshoot = held == 0 && core_.held_bytes < core_.held_overshoot + core_.held_limit / 8;
  const uint64_t share = may_overshoot ? std::max<uint64_t>(Share(), mss_) : Share();
  return share > held ? static_cast<uint32_t>(std::min<uint64_t>(share - held, UINT32_MAX)) : 0;
}

// What is offered will be taken.
uint16_t Connection::WindowUnderPressure() {
  const uint16_t window = receiver_.Advertise(mss_, RoomToOffer());
  NoteHeldDown();
  return window;
}

void Connection::NoteHeldDown() {
  if (held_down_ || !CanReceive(state_) || !receiver_.NeedsWindowUpdate(mss_)) return;
  held_down_ = true;
  core_.held_down.push_back(this);
}

// No acknowledgement of its own may be under way that would raise kWritable: others have taken the memory.
void Connection::WaitForRoom() {
  if (MayHold(sender_.queued_bytes() + 1)) return;
  core_.counters.memory_waits.Increment();
  if (sender_.queued_bytes() == 0 && sender_.window() == 0) NoteOutput();  // the persist timer: its update may be lost
  // Who waits for the peer first is told by its next segment.
  const bool empty = sender_.queued_bytes() == 0 && sender_.window() > 0;
  if (waiting_for_room_ && (!empty || waiting_empty_)) return;
  if (waiting_for_room_) std::erase(core_.waiting_for_room, this);
  waiting_for_room_ = true;
  waiting_empty_ = empty;
  if (empty) {
    core_.waiting_empty.push_back(this);
  } else {
    core_.waiting_for_room.push_back(this);
  }
}

void Connection::SendReset() {
  core_.counters.resets_sent.Increment();
  core_.Reply({.tuple = tuple(),
               .seq = state_ == State::kSynReceived ? sender_.max() : sender_.AckSequence(),
               .ack = receiver_.nxt(),
               .flags = TcpFlags::kRst | TcpFlags::kAck,
               .ttl = options().ttl,
               .dscp = options().dscp});
}

uint32_t Connection::NoteSoftError(NetworkError error) {
  soft_error_ = error;
  return announced_ && options().report_soft_errors ? EventBits::kSoftError : 0;
}

// RFC 9293 §3.9.2.2, RFC 5461, RFC 5927 §4: believed only when it quotes a number that is in flight.
uint32_t Connection::OnNetworkError(NetworkError error, SeqNum seq, uint32_t mtu, Time now) {
  if (state_ == State::kClosed || seq < sender_.una() || seq >= sender_.max()) {
    core_.drops.Count(stats::DropReason::kTcpIcmpOutOfWindow);
    return 0;
  }
  core_.counters.icmp_errors.Increment();
  if (error == NetworkError::kMessageTooBig) {
    LowerPathMtu(mtu, now);
    return 0;
  }
  const bool hard = error == NetworkError::kProtocolUnreachable || error == NetworkError::kPortUnreachable ||
                    error == NetworkError::kProhibited || core_.config.soft_errors_end_handshake;
  if (IsSynchronised(state_) || !hard) return NoteSoftError(error);
  soft_error_ = error;
  EnterClosed(CloseReason::kUnreachable);
  return announced_ ? EventBits::kClosed : 0;
}

// Never raises: whoever can forge the message gains at most smaller segments for a while, and not below the floor. What
// the path then still does not take may be cut up by routers (RFC 1191 §3, RFC 1122 §3.3.3).
void Connection::LowerPathMtu(uint32_t mtu, Time now) {
  if (mtu >= path_mtu_) return;
  if (mtu < core_.config.min_path_mtu) may_fragment_ = true;
  path_mtu_until_ = Second(now + core_.config.path_mtu_life) + 1;
  SetPathMtu(std::max(mtu, std::min<uint32_t>(path_mtu_, core_.config.min_path_mtu)), now);
}

void Connection::SetRouteMtu(uint32_t mtu, Time now) {
  route_mtu_ = static_cast<uint16_t>(std::min(mtu, core_.config.mtu));
  path_mtu_until_ = UINT32_MAX;
  may_fragment_ = false;
  SetPathMtu(mtu, now);
  if (state_ == State::kSynSent && syns_sent_ == 0) ChooseSynValues();
}

void Connection::SetPathMtu(uint32_t mtu, Time now) {
  mtu = std::min(mtu, core_.config.mtu);
  const bool smaller = mtu < path_mtu_;
  path_mtu_ = static_cast<uint16_t>(mtu);
  if (!IsSynchronised(state_) || state_ == State::kTimeWait) return;
  const uint32_t mss = SendMss();
  if (mss == sender_.mss()) return;
  sender_.SetMss(mss, smaller);
  if (smaller) core_.counters.path_mtu_lowered.Increment();
  SetRetransmitTimer(now);
  NoteOutput();
}

// RFC 9293 §3.7.1 MUST-16: what the peer takes, what the path takes, what the application wants; options come off.
uint32_t Connection::SendMss() const {
  uint32_t mss = std::min<uint32_t>(peer_mss_, path_mtu_ - kIpv4TcpHeaderBytes);
  if (options().mss_clamp != 0) mss = std::min<uint32_t>(mss, options().mss_clamp);
  return mss - (timestamps_ ? kTimestampOptionBytes : 0);
}

}  // namespace luna::tcp
