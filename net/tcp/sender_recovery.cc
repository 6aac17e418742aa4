// Loss: finding it, going through recovery, and taking it back when there was none.

#include <algorithm>

#include "glog/logging.h"
#include "luna/net/tcp/sender.h"

namespace luna::tcp {

// --- The state of congestion control ---

void Sender::React(const AckInput& in, Scoreboard::Delivery* d, bool advanced, bool duplicate) {
  if (undo_armed_ && static_cast<uint32_t>(una_ - undo_marker_) > (1u << 30)) undo_armed_ = false;
  if (state_ == State::kOpen) {
    retransmitted_ = false;
  } else if (una_ >= high_seq_) {
    LeaveIfCovered(in);
  }
  switch (state_) {
    case State::kRecovery:
      return ReactInRecovery(in, d, advanced, duplicate);
    case State::kLoss:
      return ReactInLoss(in, *d, advanced, duplicate);
    default:
      return ReactOpenly(in, d, advanced, duplicate);
  }
}

// All that was in flight when the state began has been acknowledged.
void Sender::LeaveIfCovered(const AckInput& in) {
  if (state_ == State::kCwr && una_ > high_seq_) {  // beyond: so that the segment with CWR has arrived
    congestion_.OnRecoveryExit();
    state_ = State::kOpen;
  } else if (state_ == State::kRecovery) {
    SetReno(0);
    rack_.OnRecoveryExit();
    const bool undone = undo_armed_ && MayUndo(in);
    if (undone) {
      Undo(false);
    } else {
      congestion_.OnRecoveryExit();
    }
    state_ = State::kOpen;
  }
}

void Sender::ReactInRecovery(const AckInput& in, Scoreboard::Delivery* d, bool advanced, bool duplicate) {
  if (!advanced) {
    if (!sack_ && duplicate) AddDuplicate(d);
  } else if (undo_armed_ && CameBeforeRetransmission(in)) {
    // A partial acknowledgement of what was sent first: the hole was reordering. What was sent again will be, or is,
    // answered by a D-SACK.
    if (board_.retransmitted().segments > 0) return;
    Undo(true);
    Settle(in.ece && ecn_);
    return;
  }
  if (UndoByDsack()) Settle(in.ece && ecn_);
  FindLosses(in.arrived, advanced);
  if (state_ != State::kRecovery && board_.lost().segments > 0) EnterRecovery(in.ece && ecn_);
}

// Also F-RTO, RFC 5682 §3.1 (with SACK) and §2.1.
void Sender::ReactInLoss(const AckInput& in, const Scoreboard::Delivery& d, bool advanced, bool duplicate) {
  const bool covered = una_ >= high_seq_;
  const bool news = duplicate || d.sacked_segments > 0;
  frto_new_ = false;
  if (advanced && UndoLoss(in, false)) {
    // The acknowledgement was on its way when the timer expired.
  } else if (frto_ && d.original_delivered && sack_ && UndoLoss(in, true)) {
    // Step 3b: what was sent once only has arrived.
  } else if (covered) {
    if (undo_armed_ && MayUndo(in)) Undo(false);
    rack_.OnRecoveryExit();
    SetReno(0);
    state_ = State::kOpen;
    undo_armed_ = undo_armed_ && sack_;
  } else if (frto_) {
    if (nxt_ > high_seq_) {
      if (!sack_ && advanced) {
        if (d.original_delivered) UndoLoss(in, true);  // step 3b without SACK: sent once only
      } else if (news) {
        frto_ = false;  // step 3a: the loss was real
      }
    } else if (advanced) {
      high_seq_ = nxt_;
      // Step 2b, when there is something new to send; else what was thought lost goes out again.
      frto_new_ = HasUnsent() && una_ + wnd_ > nxt_;
      frto_ = frto_new_;
    }
  }
  if (state_ == State::kLoss && !sack_) {
    if (nxt_ > high_seq_ && duplicate) {
      Scoreboard::Delivery ignored = d;
      AddDuplicate(&ignored);
    } else if (advanced) {
      SetReno(0);
    }
  }
  const bool lost_again = FindLosses(in.arrived, advanced);
  if (state_ == State::kOpen) {
    if (board_.lost().segments > 0 && sack_) return EnterRecovery(in.ece && ecn_);
    return Settle(in.ece && ecn_);
  }
  // A retransmission was lost, too: the window answers for that (RFC 8985 §9.1… as for a new loss).
  if (lost_again && sack_) EnterRecovery(in.ece && ecn_);
}

void Sender::ReactOpenly(const AckInput& in, Scoreboard::Delivery* d, bool advanced, bool duplicate) {
  if (!sack_) {
    if (advanced) SetReno(0);
    if (duplicate) AddDuplicate(d);
  }
  if (state_ <= State::kDisorder) UndoByDsack();
  FindLosses(in.arrived, advanced);
  if (board_.lost().segments > 0) return EnterRecovery(in.ece && ecn_);
  Settle(in.ece && ecn_);
}

// No loss is known: kOpen, or kDisorder as long as something is out of order.
void Sender::Settle(bool ece) {
  if (board_.retransmitted().segments == 0) retransmitted_ = false;
  if (ece) EnterCwr();
  if (state_ == State::kCwr) {
    if (!ece && una_ > high_seq_) state_ = State::kOpen;
    if (state_ == State::kCwr) return;
  }
  const bool unsettled = board_.sacked().segments + board_.lost().segments + reno_segments_ > 0 || retransmitted_;
  const State next = unsettled ? State::kDisorder : State::kOpen;
  if (next == state_) return;
  state_ = next;
  high_seq_ = nxt_;
}

uint32_t Sender::ReductionBase() const {
  if (config_->reduce_from_window) return congestion_.window();
  // RFC 5681 §3.1; what limited transmit added does not count (RFC 5681 §3.2 step 2).
  return std::min(std::max(flight(), prior_flight_), congestion_.window());
}

void Sender::StartReduction() {
  high_seq_ = nxt_;
  tail_probe_out_ = tail_probe_due_ = false;
  const uint32_t base = ReductionBase();
  prr_ = Prr{.base = base};
  congestion_.OnCongestion(base);
  cwr_due_ = ecn_;
}

// RFC 3168 §6.1.2: once per window.
void Sender::EnterCwr() {
  if (state_ >= State::kCwr) return;
  undo_armed_ = false;
  StartReduction();
  congestion_.Commit();
  state_ = State::kCwr;
}

void Sender::StartUndo() {
  undo_armed_ = true;
  undo_marker_ = una_;
  // A tail probe that repeated something may be reported as needless, too: the repairs must outlast that.
  const int32_t probes = tail_probe_out_ && tail_probe_repeats_ ? 1 : 0;
  const int32_t out = static_cast<int32_t>(board_.retransmitted().segments) + probes;
  undo_retransmits_ = out > 0 ? out : -1;
}

void Sender::EnterRecovery(bool ece) {
  StartUndo();
  if (ece) undo_armed_ = false;  // the network itself says so
  if (state_ != State::kCwr && state_ != State::kRecovery) StartReduction();
  if (ece) congestion_.Commit();
  frto_ = frto_new_ = false;  // repairs come before new data from here
  recover_ = Max(recover_, nxt_);
  state_ = State::kRecovery;
  SetAux(aux_kind_ == TimerKind::kTailProbe ? TimerKind::kNone : aux_kind_,
         aux_kind_ == TimerKind::kTailProbe ? Time::Infinite() : aux_deadline_);
  tail_probe_due_ = false;
}

void Sender::EnterLoss(Time now) {
  const bool fresh = state_ < State::kRecovery;
  const uint32_t base = ReductionBase();
  // The first is SACKed and yet not acknowledged: the peer has thrown away what it had (RFC 2018 §8).
  const bool renege = board_.front().Is(Scoreboard::Record::kSacked);
  if (renege) board_.ForgetSacks();
  SetReno(0);
  const bool by_age = sack_ && config_->rack && rack_.valid() && !renege;
  for (size_t i = 0; i < board_.size(); ++i) {
    // RFC 8985 §6.3: what was sent a moment ago is not lost because something else is.
    if (i > 0 && by_age && rack_.Remaining(board_.at(i).sent_at, Duration::Zero(), now) > Duration::Zero()) continue;
    board_.MarkLost(i);
  }
  const bool reduce = state_ <= State::kDisorder || una_ >= high_seq_ || (state_ == State::kLoss && timeouts_ == 1);
  congestion_.OnTimeout(base, reduce, pipe());
  if (reduce) StartUndo();
  frto_ = config_->frto && (fresh || timeouts_ > 1);
  frto_new_ = false;
  state_ = State::kLoss;
  high_seq_ = recover_ = nxt_;
  cwr_due_ = ecn_;
  tail_probe_due_ = tail_probe_out_ = false;
  UpdateQuiet();
}

// --- Taking it back ---

// RFC 3522: the timestamp that came back is older than the first retransmission.
bool Sender::CameBeforeRetransmission(const AckInput& in) const {
  return retransmitted_ && in.has_echo && static_cast<int32_t>(in.echo - first_retransmit_tick_) < 0;
}

bool Sender::MayUndo(const AckInput& in) const {
  return undo_armed_ && (undo_retransmits_ == 0 || !retransmitted_ || CameBeforeRetransmission(in));
}

void Sender::Undo(bool forget_losses) {
  if (forget_losses) board_.ForgetLosses();
  congestion_.Undo();
  undo_armed_ = false;
  Bump(undos_);
}

// Every retransmission was reported as needless.
bool Sender::UndoByDsack() {
  if (!undo_armed_ || undo_retransmits_ != 0) return false;
  Undo(false);
  return true;
}

bool Sender::UndoLoss(const AckInput& in, bool by_frto) {
  if (!by_frto && !MayUndo(in)) return false;
  if (!by_frto && !undo_armed_) return false;
  Undo(true);
  timeouts_ = shut_timeouts_ = 0;
  frto_ = frto_new_ = false;
  state_ = State::kOpen;
  return true;
}

// --- Finding it ---

bool Sender::FindLosses(Time now, bool advanced) {
  if (board_.empty()) return false;
  const uint32_t out_before = board_.retransmitted().segments;
  if (!sack_) {
    FindReno(advanced);
  } else if (config_->rack) {
    FindByRack(now);
  } else {
    FindByCount();
  }
  return board_.retransmitted().segments < out_before;
}

// RFC 8985 §6.2 step 4.
Duration Sender::ReorderWindow() const {
  if (!rack_.reordering_seen()) {
    if (state_ >= State::kRecovery) return Duration::Zero();
    if (board_.sacked().segments >= reordering_) return Duration::Zero();
  }
  return rack_.Window(rtt_.min_rtt(), rtt_.srtt());
}

// RFC 8985 §6.2 step 5. Records are in the order of their first transmission: after one that was sent once only, and
// later than the newest delivered one, there is none to judge.
void Sender::FindByRack(Time now) {
  if (aux_kind_ == TimerKind::kReorder) SetAux(TimerKind::kNone, Time::Infinite());
  if (!rack_.valid()) return;
  const Duration window = ReorderWindow();
  Duration wait = Duration::Zero();
  for (size_t i = 0; i < board_.size(); ++i) {
    const Scoreboard::Record& record = board_.at(i);
    if (record.Is(Scoreboard::Record::kSacked) || record.waits()) continue;
    if (rack_.After(record.sent_at, record.end(), record.Is(Scoreboard::Record::kEver))) {
      if (!record.Is(Scoreboard::Record::kEver)) break;
      continue;
    }
    const Duration remaining = rack_.Remaining(record.sent_at, window, now);
    if (remaining <= Duration::Zero()) {
      board_.MarkLost(i);
    } else {
      wait = std::max(wait, remaining);
    }
  }
  if (wait > Duration::Zero()) SetAux(TimerKind::kReorder, now + wait);
}

// RFC 6675 §4 IsLost(): DupThresh SACKed segments above it, or more than DupThresh - 1 full segments' octets.
void Sender::FindByCount() {
  uint32_t segments = board_.sacked().segments;
  uint32_t bytes = board_.sacked().bytes;
  const uint32_t enough = (reordering_ - 1) * mss_;
  for (size_t i = 0; i < board_.size() && segments > 0; ++i) {
    const Scoreboard::Record& record = board_.at(i);
    if (record.Is(Scoreboard::Record::kSacked)) {
      --segments;
      bytes -= record.length();
    } else if (!record.Is(Scoreboard::Record::kLost) && (segments >= reordering_ || bytes > enough)) {
      board_.MarkLost(i);
    }
  }
}

// RFC 5681 §3.2 step 2; RFC 6582 §3.2 step 1 (not again for losses of a window that was repaired already) and step 3.
void Sender::FindReno(bool advanced) {
  const bool begins = state_ < State::kRecovery && duplicates_ >= reordering_ && una_ > recover_;
  const bool partial = state_ == State::kRecovery && advanced && una_ < high_seq_;
  if ((begins || partial) && !board_.front().Is(Scoreboard::Record::kLost)) board_.MarkLost(0);
}

// --- Duplicates without SACK: each says that one segment behind the hole arrived ---

void Sender::SetReno(uint32_t segments) {
  const size_t holes = std::max<size_t>(board_.lost().segments, 1);
  reno_segments_ = board_.size() > holes ? std::min(segments, static_cast<uint32_t>(board_.size() - holes)) : 0;
  reno_bytes_ = 0;
  for (size_t i = holes; i < holes + reno_segments_; ++i) {
    if (!board_.at(i).Is(Scoreboard::Record::kLost)) reno_bytes_ += board_.at(i).length();
  }
}

void Sender::AddDuplicate(Scoreboard::Delivery* d) {
  ++duplicates_;
  const uint32_t before = reno_bytes_;
  SetReno(reno_segments_ + 1);
  if (reno_bytes_ <= before) return;
  d->bytes += reno_bytes_ - before;
  ++d->segments;
}

// The number moved: one segment filled the hole, the others had been announced by duplicates.
void Sender::EatDuplicates(uint32_t acked_segments, Scoreboard::Delivery* d) {
  const uint32_t announced = reno_bytes_;
  d->segments -= std::min(d->segments, std::min(reno_segments_, acked_segments > 0 ? acked_segments - 1 : 0u));
  d->bytes = std::max(d->bytes - std::min(d->bytes, announced), std::min(d->bytes, mss_));
  SetReno(acked_segments > reno_segments_ ? 0 : reno_segments_ - (acked_segments > 0 ? acked_segments - 1 : 0));
}

}  // namespace luna::tcp
