// What a segment brings: urgent pointer, text and FIN (RFC 9293 §3.10.7.4, sixth to eighth), timestamps, congestion
// marks; and when that is acknowledged, and with which SACK blocks.

#include <algorithm>
#include <utility>

#include "luna/net/tcp/connection.h"

namespace luna::tcp {

using stats::DropReason;
using wire::TcpFlags;

// RFC 9293 §3.10.7.4, sixth: RCV.UP only moves forward; the application hears of it when that is ahead of what it has
// read, and once for a run of urgent data that goes on where it was announced to end.
uint32_t Connection::OnUrgent(const Segment& s) {
  if (!CanReceive(state_) || read_shut_ || app_closed_ || s.urgent == 0) return 0;
  const SeqNum pointer = s.seq + s.urgent;
  if (has_urgent_ && pointer <= urgent_) return 0;
  const uint32_t before = urgent_bytes();
  has_urgent_ = true;
  urgent_ = pointer;
  return urgent_bytes() > before ? EventBits::kUrgent : 0;
}

// Leaves what is new and acceptable. A FIN that the window just reaches passes: it needs no room. Nothing passes that
// lies beyond a FIN, whichever of the two came first.
void Connection::TrimToWindow(Segment* s) {
  if (s->payload_bytes() > 0 && s->seq < receiver_.nxt()) {
    NoteDuplicate(s->seq, Min(receiver_.nxt(), s->seq + s->payload_bytes()));
    s->TrimBefore(receiver_.nxt());
  }
  const SeqNum limit = fin_pending_ ? Min(receiver_.edge(), fin_seq_) : receiver_.edge();
  if (s->seq + s->payload_bytes() > limit) s->TrimAfter(Max(limit, s->seq));
  if (s->Has(TcpFlags::kFin) && !fin_pending_) {
    fin_pending_ = true;
    fin_seq_ = s->seq + s->payload_bytes();
    receiver_.TruncateAt(fin_seq_);
  }
}

uint32_t Connection::OnText(Segment& s, Time now) {
  if (!CanReceive(state_)) return 0;
  const uint32_t came = s.payload_bytes();
  if (came > 0 && app_closed_ && s.seq + came > receiver_.nxt()) {
    // Nobody will read it: say so (RFC 9293 §3.6.1, RFC 2525 §2.17).
    core_.drops.Count(DropReason::kTcpClosedReceive);
    Abort();
    return 0;
  }
  TrimToWindow(&s);
  if (s.payload_bytes() == 0) {
    if (came > 0) AckNow();
    return 0;
  }
  NoteCongestionMark(s);
  const bool in_order = s.seq == receiver_.nxt();
  if (!MakeRoomFor(&s)) {
    core_.drops.Count(DropReason::kTcpMemory);
    s.TrimAfter(s.seq);
    AckNow();  // RFC 9293 §3.10.7.4: what is not taken is answered too
    return 0;
  }
  if (sack_) {
    const Reassembly::Range held_already = receiver_.out_of_order().FirstHeld(s.seq, s.seq + s.payload_bytes());
    if (held_already.start != held_already.end) NoteDuplicate(held_already.start, held_already.end);
  }
  if (in_order) return OnTextInOrder(s, now);
  OnTextAhead(s);
  return 0;
}

bool Connection::MakeRoomFor(Segment* segment) {
  Segment& s = *segment;
  const bool in_order = s.seq == receiver_.nxt();
  // What fills a hole needs room, too: half the share is for that. Where it has none all the same, what lies ahead of
  // it goes, acknowledged or not (RFC 2018 §8), or both would wait for ever.
  if (in_order && receiver_.has_out_of_order() && s.payload_bytes() > Room()) {
    receiver_.DropOutOfOrder();
    Account();
  }
  if (in_order ? s.payload_bytes() > Room() : !MayHold(2 * (receiver_.held_bytes() + s.payload_bytes()))) {
    core_.counters.memory_refused.Increment();
    const uint32_t room = in_order ? Room() : 0;
    if (room == 0) return false;
    // Of a super-packet that is more than the room the beginning is taken, or nothing ever would be.
    s.TrimAfter(s.seq + room);
    AckNow();
  }
  // Many tiny segments pin an obj each. The window has promised room for their octets: they are copied together. What
  // lies ahead of a hole does not count against the segment that fills it.
  const size_t limit = core_.config.receive_slices_limit;
  const size_t ahead = in_order ? 0 : receiver_.out_of_order().slices();
  if (receiver_.readable_slices() + ahead < limit) return true;
  if (receiver_.readable_slices() >= limit / 2 && core_.headers.Fill()) receiver_.CopyTogether(core_.slab);
  return receiver_.readable_slices() + ahead < limit;
}

uint32_t Connection::OnTextInOrder(Segment& s, Time now) {
  const bool filled_hole = receiver_.has_out_of_order();
  const uint32_t payload = s.payload_bytes();
  const uint32_t moved = receiver_.AcceptInOrder(std::move(s.payload));
  NoteReceived(s, payload, moved, now);
  // RFC 5681 §4.2; RFC 2883 §4: a duplicate is told at once.
  if (filled_hole || (sack_ && sacks_.duplicate_waits())) AckNow();
  if (!read_shut_) return EventBits::kReadable;
  receiver_.DropNewest(moved);
  return 0;
}

void Connection::OnTextAhead(Segment& s) {
  const SeqNum start = s.seq;
  tally_.segments_ahead += s.joined;
  if (!receiver_.AcceptOutOfOrder(start, std::move(s.payload))) core_.drops.Count(DropReason::kTcpReassemblyFull);
  if (sack_) sacks_.OnStored(start, receiver_.out_of_order());
  acks_.OnOutOfOrder(s.joined);  // at once, one for each (RFC 5681 §4.2)
  NoteOutput();
}

uint32_t Connection::OnFin(const Segment& s, Time now) {
  if (fin_pending_ && fin_seq_ == receiver_.nxt()) return ReachFin(now);
  if (s.Has(TcpFlags::kFin)) AckNow();  // ahead of a hole, or a retransmission
  return 0;
}

uint32_t Connection::ReachFin(Time now) {
  fin_pending_ = false;
  fin_received_ = true;
  receiver_.AcceptFin();
  if (state_ == State::kEstablished) {
    acks_.OnFin(core_.config, now);
  } else {
    acks_.Now();
  }
  acks_.due() ? NoteOutput() : Rearm();
  switch (state_) {
    case State::kEstablished:
      Enter(State::kCloseWait);
      return EventBits::kPeerClosed;
    case State::kFinWait1:
      Enter(State::kClosing);
      return EventBits::kPeerClosed;
    case State::kFinWait2:
      Enter(State::kTimeWait);
      EnterClosed(CloseReason::kNormal);
      return EventBits::kPeerClosed | EventBits::kClosed;
    default:
      return 0;
  }
}

// RFC 7323 §4.3 (2): only a segment that spans the last acknowledgement may set TS.Recent.
void Connection::NoteTimestamp(const Segment& s, Time now) {
  if (!timestamps_ || !s.options.has_timestamp || s.seq > last_ack_sent_) return;
  if (static_cast<int32_t>(s.options.tsval - ts_recent_) >= 0 || TimestampIsStale(now)) {
    ts_recent_ = s.options.tsval;
    ts_recent_second_ = Second(now);
  }
}

bool Connection::TimestampIsStale(Time now) const {
  return Duration::Seconds(static_cast<int32_t>(Second(now) - ts_recent_second_)) > kTimestampLife;
}

// RFC 3168 §6.1.3. Marks on anything but acceptable data prove nothing (§6.1.5): only OnText() comes here.
void Connection::NoteCongestionMark(const Segment& s) {
  const bool marked = s.ecn == ip::Ecn::kCe;
  if (marked) core_.counters.ecn_marks_in.Add(s.joined);
  if (ecn_.OnData(marked, s.flags)) AckNow();
}

void Connection::NoteReceived(const Segment& s, uint32_t payload, uint32_t moved, Time now) {
  core_.counters.bytes_in.Add(moved);
  acks_.OnInOrder(moved, payload / s.joined, s.Has(TcpFlags::kPsh), sender_.rtt(), core_.config, now);
  if (acks_.due()) {
    NoteOutput();
  } else if (!acks_.deadline().is_infinite()) {
    Rearm(acks_.deadline());
  }
  // Ahead of tune_granule_ lie two longest looks; the rest of the circle is behind it.
  const bool ahead = tune_granule_ - Granule(now) - 1 < 2 * Granule(Time() + kLongestLook);
  if (tunes_ && (receiver_.nxt() > tune_edge_ || !ahead)) Tune(s, now);
}

void Connection::Tune(const Segment& s, Time now) {
  if (tuner_.IsWindowOver(receiver_.nxt())) tuner_.OnWindow(receiver_.edge(), EchoAge(s, now), now);
  if (tuner_.IsRoundOver(now)) receiver_.SetBuffer(tuner_.NewSize(now));
  FollowTuner(now);
}

// The tuner itself lies in a cache line that a segment need not touch.
void Connection::FollowTuner(Time now) {
  tunes_ = tuner_.on();
  tune_edge_ = tuner_.window_edge();
  tune_granule_ = Granule(std::min(tuner_.look_at(), now + kLongestLook));
}

// [start, end) has come again: ahead of RCV.NXT, inside the window, or behind it. Numbers that lie far back are not of
// this connection's recent past, and some that lie half the space away are neither: not worth a report.
void Connection::NoteDuplicate(SeqNum start, SeqNum end) {
  const bool ahead = start >= receiver_.nxt() && end > receiver_.nxt();
  if (sack_ && core_.config.dsack && (ahead || IsRecent(start))) sacks_.OnDuplicate(start, end);
}

// How long ago the timestamp that `s` echoes was sent; zero when that is not known, or too short for the clock's tick.
Duration Connection::EchoAge(const Segment& s, Time now) const {
  if (!timestamps_ || !s.options.has_timestamp || s.options.tsecr == 0) return Duration::Zero();
  const auto ticks = static_cast<int32_t>(TimestampNow(now) - s.options.tsecr);
  return ticks < 2 ? Duration::Zero() : core_.timestamp_clock.tick() * ticks;
}

}  // namespace luna::tcp
