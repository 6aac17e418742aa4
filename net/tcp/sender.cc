#include "luna/net/tcp/sender.h"

#include <algorithm>
#include <utility>

#include "glog/logging.h"

namespace luna::tcp {

Sender::Sender(const StackConfig& config)
    : nodelay_(!config.nagle),
      config_(&config),
      congestion_(config.congestion),
      rtt_(config),
      reordering_(config.reordering_segments) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Winvalid-offsetof"
  static_assert(offsetof(Sender, max_) == kReceiveHotBytes);
#pragma GCC diagnostic pop
}

void Sender::StartSyn(SeqNum iss) {
  iss_ = una_ = iss;
  nxt_ = max_ = iss + 1;
  una_data_ = data_end_ = iss + 1;
  recover_ = high_seq_ = iss;
  push_end_ = small_end_ = use_end_ = iss + 1;
}

void Sender::Establish(uint32_t mss, uint8_t shift) {
  una_ = una_data_;
  mss_ = mss;
  shift_ = shift;
  // RFC 5681 §3.1 and RFC 6298 §5.7: after a lost SYN, start with one segment and without the SYN's back-off.
  if (timeouts_ > 0) rtt_.Restart(config_->rto_after_syn_loss);
  congestion_.Start(mss, timeouts_ > 0 ? 1 : config_->initial_window_segments);
  timeouts_ = shut_timeouts_ = 0;
  delivered_ = 1;
}

void Sender::SetWindow(uint32_t window, SeqNum seq, SeqNum ack) {
  wnd_ = window;
  more_ = false;
  max_wnd_ = std::max(max_wnd_, window);
  wl1_ = seq;
  wl2_ = ack;
}

void Sender::SetMss(uint32_t mss, bool dropped) {
  mss_ = mss;
  congestion_.SetMss(mss);
  if (!dropped || board_.empty()) return;
  bool lost = false;
  for (size_t i = 0; i < board_.size(); ++i) lost |= board_.at(i).bytes > mss && board_.MarkLost(i);
  if (!lost) return;
  // As after a time-out, but the window stays: no congestion was met.
  SetReno(0);
  if (state_ != State::kLoss) {
    state_ = State::kLoss;
    high_seq_ = recover_ = nxt_;
    undo_armed_ = frto_ = frto_new_ = false;
    // The window has room: what is lost is no longer in flight.
  }
  UpdateQuiet();
}

void Sender::Queue(zbuf::ZChain data, bool more) {
  data_end_ += static_cast<uint32_t>(data.bytes());
  queue_.Append(std::move(data));
  more_ = more;
  let_out_ = false;
  if (!more) push_end_ = DataEnd();
}

void Sender::set_nagle(bool on) {
  nodelay_ = !on;
  if (nodelay_) let_out_ = true;
}

void Sender::set_cork(bool on) {
  if (cork_ && !on) let_out_ = true;
  cork_ = on;
}

bool Sender::WorthSending(uint32_t bytes, bool all) const {
  if (bytes >= mss_ || nxt_ < max_) return true;
  if (all) {
    if (fin_queued_ || let_out_) return true;
    // Minshall: only a short segment that is unacknowledged holds back the next one.
    const bool held = cork_ || more_ || (!nodelay_ && has_small_ && small_end_ > una_);
    if (!held) return true;
    if (cork_ || more_) return false;
  }
  return bytes >= max_wnd_ / 2 && bytes > 0;
}

std::optional<Sender::Plan> Sender::NextOfSome() const {
  if (tail_probe_due_) return NextTailProbe();
  if (frto_new_) {
    // RFC 5682 §2.1 step 2b: new data shows whether the old is still on its way.
    const auto plan = NextNew(false);
    if (plan || nxt_ > high_seq_) return plan;
  }
  if (board_.AnyWaiting() && pipe() < congestion_.window()) {
    // Step 1: one segment. Without SACK an acknowledgement could else be of any of those that were sent again.
    if (frto_ && !sack_ && board_.retransmitted().segments > 0) return std::nullopt;
    return NextRepair();
  }
  return NextNew(false);
}

std::optional<Sender::Plan> Sender::NextRepair() const {
  const Scoreboard::Record& record = board_.at(board_.FirstWaiting());
  // RFC 9293 §3.8.6: where the peer has shrunk its window, only what lies inside is sent again (SHLD-16) …
  const SeqNum edge = una_ + wnd_;
  uint32_t room = edge > record.seq ? static_cast<uint32_t>(edge - record.seq) : 0;
  // … and a closed one is probed with an octet, each time the timer expires.
  if (room == 0 && shut_probe_due_) room = 1;
  if (room == 0) return std::nullopt;
  Plan plan{.seq = record.seq, .bytes = std::min({uint32_t{record.bytes}, mss_, room}), .retransmit = true};
  const bool whole = plan.bytes == record.bytes;
  plan.fin = whole && record.Is(Scoreboard::Record::kFin) && room > plan.bytes;
  plan.push = whole && record.Is(Scoreboard::Record::kPush);
  return plan;
}

// `past_window`: the congestion window does not count (a tail probe).
std::optional<Sender::Plan> Sender::NextNew(bool past_window) const {
  const auto offset = static_cast<uint32_t>(nxt_ - una_data_);
  if (offset > queued_bytes()) return std::nullopt;  // the FIN was sent
  const uint32_t left = queued_bytes() - offset;
  if (left == 0 && (!fin_queued_ || fin_sent_)) return std::nullopt;

  const SeqNum edge = una_ + wnd_;
  uint32_t room = edge > nxt_ ? static_cast<uint32_t>(edge - nxt_) : 0;
  if (!past_window) {
    // Duplicates and SACKs take octets out of the pipe: this is limited transmit (RFC 3042), too.
    const uint32_t in_flight = pipe();
    room = std::min(room, congestion_.window() > in_flight ? congestion_.window() - in_flight : 0);
  }
  Plan plan{.seq = nxt_, .bytes = std::min({left, room, mss_})};
  const bool all = plan.bytes == left;
  plan.fin = fin_queued_ && all && room > plan.bytes;
  if (plan.bytes == 0 && !plan.fin) return std::nullopt;
  if (!plan.fin && !past_window && !WorthSending(plan.bytes, all)) return std::nullopt;
  const SeqNum end = nxt_ + plan.bytes;
  plan.push = plan.bytes > 0 && push_end_ > nxt_ && push_end_ <= end;
  if (config_->push_every_segments > 0 && plan.bytes == mss_) plan.push |= EndsRun(plan, left, room);
  plan.retransmit = nxt_ < max_;
  plan.ect = ecn_ && !plan.retransmit && plan.bytes > 0;
  plan.cwr = plan.ect && cwr_due_;
  return plan;
}

bool Sender::EndsRun(const Plan& plan, uint32_t left, uint32_t room) const {
  const uint32_t run = std::max(std::min(config_->push_every_segments, window_segments() / 2), 1u);
  const uint32_t place = burst_ % run;
  if (place == 0) return false;
  if (place + 1 == run) return true;
  const uint32_t next = std::min({left - plan.bytes, room - plan.bytes, mss_});
  return next == 0 || !WorthSending(next, next == left - plan.bytes);
}

uint32_t Sender::RowBehind(const Plan& plan, uint32_t most) const {
  const bool plain = plan.bytes == mss_ && !plan.retransmit && !plan.push && !plan.tail_probe && !plan.cwr;
  if (!plain || !quiet_ || nxt_ < max_ || urgent_ || config_->push_every_segments > 0) return 0;
  // The last octet of all, or of what the application gave, bears a flag.
  const uint32_t left = std::max(unsent_bytes(), 1u) - 1;
  const uint32_t unpushed = push_end_ > nxt_ ? static_cast<uint32_t>(push_end_ - nxt_) - 1 : left;
  const SeqNum edge = una_ + wnd_;
  const uint32_t room = edge > nxt_ ? static_cast<uint32_t>(edge - nxt_) : 0;
  const uint32_t in_flight = pipe();
  const uint32_t allowed = congestion_.window() > in_flight ? congestion_.window() - in_flight : 0;
  const uint32_t octets = std::min({left, unpushed, room, allowed});
  return octets < mss_ ? 0 : std::min(octets / mss_, most);
}

void Sender::OnRowSent(uint32_t segments, Time now) {
  for (uint32_t i = 0; i < segments; ++i) {
    board_.Push(nxt_, mss_, false, false, false, now);
    nxt_ += mss_;
  }
  burst_ += segments;
  max_ = Max(max_, nxt_);
  ArmTailProbe(now);
  NoteUse();
}

// RFC 8985 §7.3: new data when there is some and the peer's window takes it, else the last segment again.
std::optional<Sender::Plan> Sender::NextTailProbe() const {
  auto plan = NextNew(true);
  if (!plan) {
    if (board_.empty()) return std::nullopt;
    const Scoreboard::Record& last = board_.back();
    plan = Plan{.bytes = std::min<uint32_t>(last.bytes, mss_), .retransmit = true};
    plan->seq = last.seq + (last.bytes - plan->bytes);
    plan->fin = last.Is(Scoreboard::Record::kFin);
    plan->push = last.Is(Scoreboard::Record::kPush);
  }
  plan->tail_probe = true;
  return plan;
}

void Sender::OnSent(const Plan& plan, Time now) {
  last_sent_ = now;
  if (IsReducing()) prr_.out += plan.bytes + (plan.fin ? 1u : 0u);
  const bool old = plan.seq < nxt_;
  if (old) {
    NoteRepair(plan, now);
  } else {
    NoteNew(plan, now);
  }
  if (plan.retransmit) ++total_retransmissions_;
  if (plan.tail_probe) {
    tail_probe_due_ = false;
    tail_probe_out_ = true;
    tail_probe_repeats_ = old;
    tail_probe_end_ = nxt_;
    Bump(tail_probes_);
    rto_deadline_ = now + rtt_.rto();
    SetAux(TimerKind::kNone, Time::Infinite());
    UpdateQuiet();
    return;
  }
  if (rto_deadline_.is_infinite()) rto_deadline_ = now + rtt_.rto();
  if (!old) ArmTailProbe(now);
  NoteUse();
}

void Sender::NoteRepair(const Plan& plan, Time now) {
  if (!retransmitted_) {
    retransmitted_ = true;
    first_retransmit_tick_ = Ticks(now);
  }
  size_t i = board_.Find(plan.seq);
  const uint32_t length = plan.bytes + (plan.fin ? 1u : 0u);
  if (plan.tail_probe) {
    const auto ahead = static_cast<uint32_t>(plan.seq - board_.at(i).seq);
    if (ahead > 0) board_.Split(i++, ahead);
    board_.Probed(i, now);
    return;
  }
  if (shut_probe_due_) {
    shut_probe_due_ = false;
    if (wnd_ == 0) return board_.Probed(i, now);  // it still waits for the window
  }
  frto_ = frto_ && !frto_new_;  // there was no new data to send: conventional recovery
  frto_new_ = false;
  if (length < board_.at(i).length()) board_.Split(i, length);
  board_.Retransmitted(i, now);
  undo_retransmits_ = std::max(undo_retransmits_, 0) + 1;
  // The oldest segment's second life begins, and its time-out with it.
  if (i == 0) rto_deadline_ = now + rtt_.rto();
}

void Sender::NoteNew(const Plan& plan, Time now) {
  ++burst_;
  if (plan.fin) fin_sent_ = true;
  if (plan.cwr) cwr_due_ = false;
  nxt_ = plan.seq + plan.bytes + (plan.fin ? 1u : 0u);
  // A run's PSH is of this transmission; the application's is the segment's.
  const bool push = plan.push && push_end_ > plan.seq && push_end_ <= nxt_;
  if (board_.empty()) congestion_.OnUnused(now);
  board_.Push(plan.seq, plan.bytes, plan.fin, push, plan.retransmit, now);
  max_ = Max(max_, nxt_);
  if (plan.bytes < mss_ && !plan.fin) {
    has_small_ = true;
    small_end_ = nxt_;
  }
  if (nxt_ >= DataEnd()) let_out_ = false;
}

// How far the congestion window is what limits us. Where it does not, it must not grow (RFC 7661 §4.1): the strongest
// sign of each window counts.
void Sender::NoteUse() {
  const bool limited = pipe() + mss_ > congestion_.window();
  if (una_ < use_end_ && !limited && (used_ || flight() <= use_most_)) return;
  used_ = limited;
  use_most_ = flight();
  use_end_ = nxt_;
}

std::optional<Sender::Plan> Sender::Probe() const {
  if (!NeedsProbe()) return std::nullopt;
  // A window too small to be worth sending to (silly-window avoidance) is filled now (RFC 9293 §3.8.6.2.1).
  Plan plan{.seq = nxt_, .bytes = std::min({queued_bytes(), std::max(wnd_, 1u), mss_})};
  plan.fin = plan.bytes == 0;
  plan.push = plan.bytes == queued_bytes() && !plan.fin;
  plan.retransmit = nxt_ < max_;
  return plan;
}

void Sender::OnProbeSent(const Plan& plan, Time now) {
  if (plan.bytes <= wnd_ && wnd_ > 0) return OnSent(plan, now);
  // SND.NXT stays: the octet is not in flight, but its acknowledgement has to be acceptable.
  max_ = Max(max_, plan.seq + std::max(plan.bytes, 1u));
}

bool Sender::NeedsProbe() const {
  if (nxt_ != una_ || fin_acknowledged_) return false;
  const bool waiting = queued_bytes() > 0 || fin_queued_;
  return waiting && !Next().has_value();
}

void Sender::MaybeRestartAfterIdle(Time now) {
  if (config_->idle_restart && flight() == 0 && now - last_sent_ > rtt_.rto()) congestion_.OnIdleRestart();
}

void Sender::Clear() {
  queue_.Clear();
  data_end_ = una_data_;
  board_.Clear();
  rto_deadline_ = aux_deadline_ = Time::Infinite();
  aux_kind_ = TimerKind::kNone;
}

}  // namespace luna::tcp
