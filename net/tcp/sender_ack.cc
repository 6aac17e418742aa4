// What an acknowledgement does: window, release, round trip, and the congestion window's answer.

#include <algorithm>

#include "glog/logging.h"
#include "luna/net/tcp/sender.h"

namespace luna::tcp {

Sender::Ack Sender::OnAck(const AckInput& in) {
  if (in.ack > max_) return Ack::kUnsent;
  if (in.ack < una_) {
    if (static_cast<uint32_t>(una_ - in.ack) > max_wnd_) return Ack::kAncient;
    // Overtaken by a later one: its blocks may still be news.
    if (sack_ && !in.sacks.empty()) Digest(in, false);
    return Ack::kOld;
  }
  const bool duplicate = in.ack == una_ && flight() > 0 && !in.has_data && in.window == wnd_;
  const bool advances = in.ack > una_;
  UpdateWindow(in);
  if (advances || flight() > 0 || !in.sacks.empty()) Digest(in, duplicate);
  return advances ? Ack::kNew : duplicate ? Ack::kDuplicate : Ack::kNothing;
}

// RFC 9293 §3.10.7.4: only segments at least as new as the last update may change the window.
void Sender::UpdateWindow(const AckInput& in) {
  if (wl1_ < in.seq || (wl1_ == in.seq && wl2_ <= in.ack)) {
    SetWindow(in.window, in.seq, in.ack);
  } else if (in.ack > una_) {
    wnd_ -= std::min(wnd_, static_cast<uint32_t>(in.ack - una_));  // the edge stays where it was promised
  }
}

Scoreboard::Delivery Sender::StartDelivery(Time arrived) const {
  Scoreboard::Delivery delivery;
  delivery.now = arrived;
  delivery.min_rtt = rtt_.min_rtt();
  delivery.check_high = state_ == State::kLoss;
  delivery.high_seq = high_seq_;
  delivery.window = max_wnd_;
  board_.Start(&delivery);
  return delivery;
}

void Sender::OnNewAck(SeqNum ack, Time arrived, Time now) {
  DCHECK(quiet_ && ack > una_ && ack <= nxt_);
  Scoreboard::Delivery delivery = StartDelivery(arrived);
  Advance(ack, &delivery);
  delivered_ += delivery.segments;
  if (delivery.has_rtt && !delivery.retransmission_acked) {
    rtt_.Sample(arrived - delivery.oldest_sent);
    rtt_.SampleMin(arrived - delivery.newest_sent, arrived);
  }
  if (delivery.has_newest) rack_.Delivered(delivery.rack_sent, delivery.rack_end, delivery.rack_repeated, arrived);
  if (WindowIsUsed()) {
    congestion_.OnAck(delivery.bytes, arrived, rtt_.srtt());
  } else {
    congestion_.OnUnused(arrived);
  }
  RestartTimers(now);
}

void Sender::Digest(const AckInput& in, bool duplicate) {
  const bool advanced = in.ack > una_;
  const uint32_t losses_before = board_.losses();
  bool was_reducing = IsReducing();
  prior_flight_ = flight();
  Scoreboard::Delivery delivery = StartDelivery(in.arrived);
  if (sack_) {
    board_.ApplySack(in.sacks, Max(in.ack, una_), mss_, &delivery);
    Bump(bogus_sacks_, delivery.bogus_blocks);
  }
  if (advanced) {
    const uint32_t duplicates_before = reno_segments_;
    Advance(in.ack, &delivery);
    if (duplicates_before > 0) EatDuplicates(delivery.acked_segments, &delivery);
  }
  TakeRtt(in, delivery, advanced);
  if (delivery.has_newest) rack_.Delivered(delivery.rack_sent, delivery.rack_end, delivery.rack_repeated, in.arrived);
  if (delivery.dsack) NoteDsack(delivery);
  if (delivery.reordered) NoteReordering(delivery);
  if (tail_probe_out_) was_reducing |= JudgeTailProbe(in, delivery, advanced, duplicate);
  const bool ece = in.ece && ecn_;
  if (duplicate || ece || delivery.dsack || delivery.sacked_segments > 0 || state_ != State::kOpen) {
    React(in, &delivery, advanced, duplicate);
  }
  delivered_ += delivery.segments;
  if (ece) delivered_ce_ += delivery.segments;
  if (IsReducing()) {
    Reduce(delivery.bytes, advanced && board_.losses() == losses_before);
  } else if (!was_reducing) {
    Grow(in, delivery, advanced);
  }
  if (advanced) {
    RestartTimers(in.now);
  } else if (aux_kind_ == TimerKind::kTailProbe && (board_.sacked().segments > 0 || state_ > State::kCwr)) {
    SetAux(TimerKind::kNone, Time::Infinite());
  }
  prior_flight_ = 0;
  UpdateQuiet();
  DCHECK(board_.size() > 64 || board_.IsConsistent());
}

void Sender::Advance(SeqNum ack, Scoreboard::Delivery* delivery) {
  board_.AckTo(Min(ack, nxt_), delivery);
  const uint32_t released = std::min(static_cast<uint32_t>(ack - una_data_), queued_bytes());
  queue_.Release(released);
  una_data_ += released;
  una_ = ack;
  nxt_ = Max(nxt_, una_);
  timeouts_ = shut_timeouts_ = 0;
  duplicates_ = 0;
  rack_.OnUna(una_);
  // Numbers to compare with must not fall 2^31 behind, where they would look as if they lay ahead.
  if (una_ > recover_) recover_ = una_ - 1;
  if (una_ > push_end_) push_end_ = una_;
  if (una_ > use_end_) use_end_ = una_;
  if (has_small_ && small_end_ <= una_) has_small_ = false;
  if (urgent_ && up_ <= una_) urgent_ = false;
  if (state_ == State::kOpen || high_seq_ < una_ - max_wnd_) high_seq_ = una_;
  const bool fin_covered = fin_sent_ || max_ == una_;
  if (fin_queued_ && fin_covered && queued_bytes() == 0 && una_ > una_data_) fin_sent_ = fin_acknowledged_ = true;
}

// Karn's rule, by record. When a repair is among what was acknowledged, what came after it waited for it: no sample,
// but by the timestamp that came back (RFC 7323 §4.1), which says which copy it answers.
void Sender::TakeRtt(const AckInput& in, const Scoreboard::Delivery& d, bool advanced) {
  if (d.has_rtt && !d.retransmission_acked) {
    rtt_.Sample(in.arrived - d.oldest_sent);
    rtt_.SampleMin(in.arrived - d.newest_sent, in.arrived);
  } else if (d.has_sack_rtt) {
    rtt_.Sample(in.arrived - d.sack_oldest_sent);
    rtt_.SampleMin(in.arrived - d.sack_newest_sent, in.arrived);
  } else if (advanced && d.bytes > 0 && in.has_echo) {
    const auto ticks = static_cast<int32_t>(Ticks(in.arrived) - in.echo);
    if (ticks >= 0 && ticks < 600'000) rtt_.Sample(config_->timestamp_tick * std::max(ticks, 1));
  }
}

void Sender::NoteDsack(const Scoreboard::Delivery& d) {
  Bump(dsacks_);
  rack_.OnDsack(una_, nxt_);
  if (!undo_armed_ || undo_retransmits_ <= 0 || d.dsack_right <= undo_marker_) return;
  const auto bytes = static_cast<uint32_t>(d.dsack_right - d.dsack_left);
  const auto segments = static_cast<int32_t>(std::max<uint32_t>(1, bytes / std::max(mss_, 1u)));
  undo_retransmits_ = std::max(0, undo_retransmits_ - segments);
}

// RFC 4653's idea, Linux's measure: how many segments the latecomer was overtaken by.
void Sender::NoteReordering(const Scoreboard::Delivery& d) {
  if (state_ == State::kLoss && !undo_armed_) return;
  const SeqNum fack = board_.sacked().segments > 0 ? Max(board_.highest_sacked(), d.fack) : d.fack;
  if (d.reordered_low >= fack) return;
  rack_.OnReordering();
  const auto distance = static_cast<uint32_t>(fack - d.reordered_low);
  const uint32_t segments = (distance + mss_ - 1) / std::max(mss_, 1u);
  reordering_ = std::min(std::max(reordering_, segments), config_->reordering_limit);
}

// RFC 8985 §7.4.2. A probe that repaired a loss hides it from everyone else: the window answers for it. True: it did.
bool Sender::JudgeTailProbe(const AckInput& in, const Scoreboard::Delivery& d, bool advanced, bool duplicate) {
  if (in.ack < tail_probe_end_) return false;
  const bool came_twice = d.dsack && d.dsack_right == tail_probe_end_;
  if (!tail_probe_repeats_ || came_twice) {
    tail_probe_out_ = false;
  } else if (in.ack > tail_probe_end_) {
    tail_probe_out_ = false;
    if (state_ >= State::kCwr) return false;
    StartReduction();
    congestion_.OnRecoveryExit();
    Settle(false);
    return true;
  } else if (!advanced && duplicate && d.sacked_segments == 0) {
    tail_probe_out_ = false;  // the peer had it
  }
  return false;
}

bool Sender::WindowIsUsed() const {
  if (used_) return true;
  // In slow start a window is used as long as half of it is.
  return congestion_.in_slow_start() && congestion_.window() / 2 < use_most_;
}

void Sender::Grow(const AckInput& in, const Scoreboard::Delivery& d, bool advanced) {
  if (!WindowIsUsed()) return congestion_.OnUnused(in.arrived);
  // SACKed octets alone do not let the window grow, unless reordering is common on this path.
  const bool may_grow = reordering_ > config_->reordering_segments ? d.bytes > 0 : advanced;
  if (!may_grow) return;
  // RFC 3465 §2.3: after a time-out an acknowledgement may cover what had arrived long before. With SACK it is known.
  const uint32_t counted = state_ == State::kLoss && !sack_ ? std::min(d.bytes, mss_) : d.bytes;
  congestion_.OnAck(counted, in.arrived, rtt_.srtt());
}

// Proportional rate reduction (RFC 9937 §6.2): from what was in flight to the threshold within one round trip, as
// acknowledgements come in; slow start up to it when more was lost than that.
void Sender::Reduce(uint32_t delivered, bool safe) {
  if (delivered == 0) return;
  prr_.delivered += delivered;
  const uint32_t in_flight = pipe();
  const int64_t threshold = congestion_.threshold();
  int64_t send = 0;
  if (in_flight > threshold) {
    const int64_t base = std::max(prr_.base, 1u);
    send = (prr_.delivered * threshold + base - 1) / base - prr_.out;
  } else {
    send = std::max<int64_t>(int64_t{prr_.delivered} - prr_.out, delivered);
    if (safe) send += mss_;
    send = std::min(threshold - in_flight, send);
  }
  if (prr_.out == 0) send = std::max<int64_t>(send, mss_);  // the fast retransmission itself
  congestion_.SetWindow(in_flight + static_cast<uint32_t>(std::max<int64_t>(send, 0)));
}

void Sender::UpdateQuiet() {
  quiet_ = state_ == State::kOpen && !tail_probe_out_ && reno_segments_ == 0 && board_.sacked().segments == 0;
}

}  // namespace luna::tcp
