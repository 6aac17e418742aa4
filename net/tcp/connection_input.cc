// Segment arrival: RFC 9293 §3.10.7.3 (SYN-SENT) and §3.10.7.4 (all other states), in the RFC's order of steps.
// LISTEN and CLOSED are stack.cc's: there is no connection there.

#include <algorithm>
#include <utility>

#include "glog/logging.h"
#include "luna/net/tcp/connection.h"
#include "luna/net/tcp/listener.h"

namespace luna::tcp {

using stats::DropReason;
using wire::TcpFlags;

uint32_t Connection::OnSegment(Segment& segment, Time now) {
  if (IsPredicted(segment)) [[likely]]
    return OnPredicted(segment, now);
  if (state_ == State::kSynSent) return InSynSent(segment, now);
  return InSynchronised(segment, now);
}

// --- Header prediction: the next segment of an established connection, with nothing unusual about it ---

bool Connection::IsPredicted(const Segment& s) const {
  constexpr uint16_t kPlain = TcpFlags::kAck;
  constexpr uint16_t kIgnored = TcpFlags::kPsh;
  return (s.flags & ~kIgnored) == kPlain && state_ == State::kEstablished && s.seq == receiver_.nxt() &&
         s.payload_bytes() <= receiver_.window() && receiver_.out_of_order().empty() && !fin_pending_ && !app_closed_ &&
         !read_shut_ && s.ecn != ip::Ecn::kCe && s.ack >= sender_.una() && s.ack <= sender_.nxt() &&
         !sender_.in_recovery() && (s.payload_bytes() > 0 || s.ack > sender_.una()) &&
         receiver_.readable_slices() < core_.config.receive_slices_limit &&
         (!timestamps_ || (s.options.has_timestamp && static_cast<int32_t>(s.options.tsval - ts_recent_) >= 0));
}

uint32_t Connection::OnPredicted(Segment& s, Time now) {
  core_.counters.fast_path_segments.Increment();
  uint32_t events = 0;
  NoteTimestamp(s, now);
  const uint32_t window = static_cast<uint32_t>(s.window) << sender_.shift();
  sender_.SetWindow(window, s.seq, s.ack);  // s.seq is RCV.NXT: nothing newer has been seen
  unanswered_probes_ = 0;
  if (s.ack > sender_.una()) {
    sender_.OnNewAck(s.ack, s.arrival);
    persist_count_ = 0;
    SetRetransmitTimer(now);
    events |= WritableEvent();
  }
  if (sender_.flight() < sender_.queue().bytes() || sender_.fin_queued()) NoteOutput();
  if (s.payload_bytes() == 0) return events;
  NoteReceived(receiver_.AcceptInOrder(std::move(s.payload)), now);
  return events | EventBits::kReadable;
}

// --- SYN-SENT (RFC 9293 §3.10.7.3) ---

uint32_t Connection::InSynSent(Segment& s, Time now) {
  const bool has_ack = s.Has(TcpFlags::kAck);
  if (has_ack && (s.ack <= sender_.iss() || s.ack > sender_.max())) {  // first: check the ACK bit
    core_.drops.Count(DropReason::kTcpUnacceptableAck);
    core_.ReplyReset(s, now);
    return 0;
  }
  if (s.Has(TcpFlags::kRst)) {  // second: the RST bit; only believed with an acceptable ACK
    if (!has_ack) return 0;
    core_.counters.resets_received.Increment();
    EnterClosed(CloseReason::kRefused);
    return EventBits::kClosed;
  }
  if (!s.Has(TcpFlags::kSyn)) return 0;  // fourth and fifth
  LearnSynOptions(s, now);
  has_ack ? ecn_.OnSynAck(s.flags) : ecn_.OnSyn(s.flags, core_.config.ecn);
  if (!has_ack) {  // simultaneous open (figure 7)
    Enter(State::kSynReceived);
    syn_pending_ = true;
    sender_.SetWindow(s.window, s.seq, SeqNum());
    NoteOutput();
    return 0;
  }
  Establish(s.window, s);  // RFC 7323 §2.2: the window of a SYN is not scaled
  AckNow();
  uint32_t events = EventBits::kConnected;
  s.TrimBefore(s.seq + 1);
  events |= OnText(s, now);
  return events | OnFin(s);
}

void Connection::LearnSynOptions(const Segment& s, Time now) {
  peer_mss_ = s.options.has_mss ? std::max<uint16_t>(s.options.mss, kMinMss) : kDefaultMss;
  window_scale_ = s.options.has_window_scale && core_.config.window_scale;
  peer_shift_ = window_scale_ ? std::min(s.options.window_scale, kMaxWindowShift) : 0;
  timestamps_ = s.options.has_timestamp && core_.config.timestamps;
  sack_ = s.options.sack_permitted && core_.config.sack;
  ts_recent_ = s.options.tsval;
  ts_recent_at_ = now;
  receiver_.Start(s.seq, options_.receive_buffer_bytes, window_scale_ ? receiver_.shift() : 0);
  last_ack_sent_ = receiver_.nxt();
}

// --- All other states (RFC 9293 §3.10.7.4) ---

uint32_t Connection::InSynchronised(Segment& s, Time now) {
  if (!PassesPaws(s, now)) return 0;
  if (!CheckSequence(s, now)) return OnOldAck(s, now);        // first: the sequence number
  if (s.Has(TcpFlags::kRst)) return OnReset(s, now);          // second
  if (s.Has(TcpFlags::kSyn)) return OnUnexpectedSyn(s, now);  // fourth (third is security: not IPv4's any more)
  if (!s.Has(TcpFlags::kAck)) {                               // fifth
    core_.drops.Count(DropReason::kTcpNoAck);
    return 0;
  }
  uint32_t events = 0;
  if (!CheckAck(s, now, &events)) return events;
  NoteTimestamp(s, now);                             // after the ACK has proved that the segment is no blind one
  if (s.Has(TcpFlags::kUrg)) events |= OnUrgent(s);  // sixth
  events |= OnText(s, now);                          // seventh
  return events | OnFin(s);                          // eighth
}

// RFC 7323 §5.3 R1. A RST is exempt; so is a segment without the option (it may come from a middlebox).
bool Connection::PassesPaws(const Segment& s, Time now) {
  if (!timestamps_ || !s.options.has_timestamp || s.Has(TcpFlags::kRst)) return true;
  if (static_cast<int32_t>(s.options.tsval - ts_recent_) >= 0) return true;
  if (now - ts_recent_at_ > kTimestampLife) return true;
  core_.drops.Count(DropReason::kTcpPaws);
  // An ACK for an ACK could go on for ever between two ends that both see old timestamps.
  if (s.length() > 0) {
    AckNow();
  } else {
    ChallengeAck(now);
  }
  return false;
}

bool Connection::CheckSequence(Segment& s, Time now) {
  // The peer's half of a simultaneous open: its SYN again, now with an ACK.
  if (state_ == State::kSynReceived && s.Has(TcpFlags::kSyn) && s.seq == receiver_.irs()) {
    if (s.Has(TcpFlags::kAck)) {
      ecn_.OnSynAck(s.flags);
      s.TrimBefore(receiver_.nxt());
      s.window = static_cast<uint16_t>(s.window >> peer_shift_);  // that of a SYN is not scaled (RFC 7323 §2.2)
      return true;
    }
    ecn_.OnSyn(s.flags, core_.config.ecn);  // it may have given up the offer (RFC 3168 §6.1.1.1)
    syn_pending_ = true;                    // our SYN-ACK was lost
    NoteOutput();
    return false;
  }
  if (receiver_.IsAcceptable(s.seq, s.length())) return true;
  // The peer has filled the window and some of that was lost: its acknowledgements bear the number of the right edge.
  // Strictly they are outside; without them both directions may wait for a time-out.
  if (s.length() == 0 && s.seq == receiver_.edge()) return true;
  // With a closed window nothing is acceptable, but acknowledgements still count (RFC 9293 §3.10.7.4, MUST-66).
  if (receiver_.window() == 0 && s.seq == receiver_.nxt() && !s.Has(TcpFlags::kSyn)) {
    if (s.length() > 0) AckNow();
    s.TrimAfter(s.seq);
    return true;
  }
  core_.drops.Count(s.end() <= receiver_.nxt() && s.length() > 0 ? DropReason::kTcpDuplicate
                                                                 : DropReason::kTcpOutOfWindow);
  if (s.Has(TcpFlags::kRst)) return false;
  // Data that was received before is acknowledged at once: our ACK was lost. So is the number before RCV.NXT: a probe
  // of the peer's keep-alive or persist timer. Anything else might be blind, or the other end of an endless exchange of
  // acknowledgements.
  const bool probe = s.length() == 0 && s.seq + 1 == receiver_.nxt();
  if (probe || (s.length() > 0 && s.end() <= receiver_.nxt() && !s.Has(TcpFlags::kSyn))) {
    AckNow();
  } else {
    ChallengeAck(now);
  }
  return false;
}

// What was received before may still carry news of our own data. Were it ignored, two ends that have both gone back to
// old numbers after a time-out would never hear each other. The RFC drops such a segment whole; BSD does as here.
uint32_t Connection::OnOldAck(const Segment& s, Time now) {
  const bool recent =
      s.end() <= receiver_.nxt() && static_cast<uint32_t>(receiver_.nxt() - s.seq) <= options_.receive_buffer_bytes;
  uint32_t events = 0;
  if (IsSynchronised(state_) && recent &&
      (s.flags & (TcpFlags::kAck | TcpFlags::kSyn | TcpFlags::kRst)) == TcpFlags::kAck && s.ack > sender_.una() &&
      s.ack <= sender_.max()) {
    CheckAck(s, now, &events);
  }
  return events;
}

// RFC 5961 §3.2: only the exact number resets; elsewhere in the window a challenge ACK is the answer.
uint32_t Connection::OnReset(const Segment& s, Time now) {
  if (s.seq != receiver_.nxt()) {
    core_.drops.Count(DropReason::kTcpChallengeAck);
    ChallengeAck(now);
    return 0;
  }
  core_.counters.resets_received.Increment();
  EnterClosed(state_ == State::kSynReceived ? CloseReason::kRefused : CloseReason::kReset);
  return announced_ ? EventBits::kClosed : 0;
}

// RFC 5961 §4.2.
uint32_t Connection::OnUnexpectedSyn(const Segment&, Time now) {
  core_.drops.Count(DropReason::kTcpUnexpectedSyn);
  ChallengeAck(now);
  return 0;
}

bool Connection::CheckAck(const Segment& s, Time now, uint32_t* events) {
  if (state_ == State::kSynReceived && !CompleteHandshake(s, now, events)) return false;
  unanswered_probes_ = 0;
  const uint32_t window = static_cast<uint32_t>(s.window) << sender_.shift();
  switch (sender_.OnAck(s.ack, s.seq, window, s.length() > 0, s.arrival)) {
    case Sender::Ack::kUnsent:
    case Sender::Ack::kAncient:
      core_.drops.Count(DropReason::kTcpUnacceptableAck);
      ChallengeAck(now);
      return false;
    case Sender::Ack::kOld:
      core_.drops.Count(DropReason::kTcpOldAck);
      break;  // its data may still be new
    case Sender::Ack::kNothing:
      // A window may have opened, or closed.
      if (persisting_ || sender_.NeedsProbe()) SetRetransmitTimer(now);
      break;
    case Sender::Ack::kDuplicate:
      break;
    case Sender::Ack::kNew:
      persist_count_ = 0;
      SetRetransmitTimer(now);
      *events |= WritableEvent();
      break;
  }
  NoteOutput();
  if (sender_.FinAcknowledged()) *events |= OnFinAcknowledged();
  return state_ != State::kClosed && state_ != State::kTimeWait;
}

bool Connection::CompleteHandshake(const Segment& s, Time now, uint32_t* events) {
  if (s.ack <= sender_.una() || s.ack > sender_.nxt()) {
    core_.drops.Count(DropReason::kTcpUnacceptableAck);
    core_.ReplyReset(s, now);
    return false;
  }
  Establish(static_cast<uint32_t>(s.window) << peer_shift_, s);
  if (half_open_) {
    half_open_ = false;
    listener_->HandshakeEnded();
    listener_ = nullptr;
  }
  announced_ = true;
  if (!app_closed_) *events |= passive() ? EventBits::kAccepted : EventBits::kConnected;
  return true;
}

uint32_t Connection::OnFinAcknowledged() {
  switch (state_) {
    case State::kFinWait1:
      Enter(State::kFinWait2);
      if (app_closed_) {
        life_deadline_ = kFromNextTimerRun;
        Rearm();
      }
      return 0;
    case State::kClosing:
      Enter(State::kTimeWait);
      EnterClosed(CloseReason::kNormal);
      return EventBits::kClosed;
    case State::kLastAck:
      EnterClosed(CloseReason::kNormal);
      return EventBits::kClosed;
    default:
      return 0;
  }
}

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

uint32_t Connection::OnText(Segment& s, Time now) {
  if (s.payload_bytes() == 0 || !CanReceive(state_)) return 0;
  const SeqNum data_end = s.seq + s.payload_bytes();
  if (app_closed_ && data_end > receiver_.nxt()) {
    // Nobody will read it: say so (RFC 9293 §3.6.1, RFC 2525 §2.17).
    core_.drops.Count(DropReason::kTcpClosedReceive);
    Abort();
    return 0;
  }
  s.TrimBefore(receiver_.nxt());
  s.TrimAfter(receiver_.edge());
  if (s.payload_bytes() == 0) {
    AckNow();
    return 0;
  }
  NoteCongestionMark(s);
  const bool in_order = s.seq == receiver_.nxt();
  // Many tiny segments pin an obj each: the peer has to wait although the window has octets left. What lies ahead of a
  // hole does not count against the segment that fills it.
  const size_t held = receiver_.readable_slices() + (in_order ? 0 : receiver_.out_of_order().slices());
  if (held >= core_.config.receive_slices_limit) {
    core_.drops.Count(DropReason::kTcpMemory);
    s.TrimAfter(s.seq);
    AckNow();  // RFC 9293 §3.10.7.4: what is not taken is answered too
    return 0;
  }
  if (in_order) {
    const bool filled_hole = !receiver_.out_of_order().empty();
    const uint32_t bytes = receiver_.AcceptInOrder(std::move(s.payload));
    NoteReceived(bytes, now);
    if (filled_hole) AckNow();  // RFC 5681 §4.2
    s.seq = receiver_.nxt();    // what is left of the segment is its FIN
    if (!read_shut_) return EventBits::kReadable;
    receiver_.DropNewest(bytes);
    return 0;
  }
  const SeqNum after = s.seq + s.payload_bytes();
  if (!receiver_.AcceptOutOfOrder(s.seq, std::move(s.payload))) core_.drops.Count(DropReason::kTcpReassemblyFull);
  s.seq = after;
  if (duplicate_acks_owed_ < UINT8_MAX) ++duplicate_acks_owed_;  // at once, one for each (RFC 5681 §4.2)
  NoteOutput();
  return 0;
}

// The FIN sits at s.seq + payload, and OnText() has moved s.seq past the payload.
uint32_t Connection::OnFin(const Segment& s) {
  if (s.Has(TcpFlags::kFin) && !fin_received_ && CanReceive(state_)) {
    fin_pending_ = true;
    fin_seq_ = s.seq + s.payload_bytes();
    if (fin_seq_ != receiver_.nxt()) AckNow();
  } else if (s.Has(TcpFlags::kFin)) {
    AckNow();  // a retransmission
  }
  return fin_pending_ && fin_seq_ == receiver_.nxt() ? ReachFin() : 0;
}

uint32_t Connection::ReachFin() {
  fin_pending_ = false;
  fin_received_ = true;
  receiver_.AcceptFin();
  AckNow();
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
  if (static_cast<int32_t>(s.options.tsval - ts_recent_) >= 0 || now - ts_recent_at_ > kTimestampLife) {
    ts_recent_ = s.options.tsval;
    ts_recent_at_ = now;
  }
}

// RFC 3168 §6.1.3. Marks on anything but acceptable data prove nothing (§6.1.5): only OnText() comes here.
void Connection::NoteCongestionMark(const Segment& s) {
  const bool marked = s.ecn == ip::Ecn::kCe;
  if (marked) core_.counters.ecn_marks_in.Increment();
  if (ecn_.OnData(marked, s.flags)) AckNow();
}

void Connection::NoteReceived(uint32_t bytes, Time now) {
  duplicate_acks_owed_ = 0;
  core_.counters.bytes_in.Add(bytes);
  unacked_bytes_ += bytes;
  if (unacked_bytes_ >= core_.config.ack_every_segments * sender_.mss() ||
      core_.config.delayed_ack == Duration::Zero()) {
    AckNow();
  } else if (ack_deadline_.is_infinite()) {
    ack_deadline_ = now + core_.config.delayed_ack;
    Rearm();
  }
  if (fin_pending_ && fin_seq_ == receiver_.nxt()) AckNow();
}

void Connection::ChallengeAck(Time now) {
  if (core_.challenge_acks.Allow(now)) {
    AckNow();
  } else {
    core_.drops.Count(DropReason::kTcpChallengeAckRateLimited);
  }
}

void Connection::AckNow() {
  ack_now_ = true;
  NoteOutput();
}

uint32_t Connection::WritableEvent() {
  const bool drained = sender_.queue().bytes() <= send_limit() / 2 &&
                       sender_.queue().slice_count() <= core_.config.send_slices_limit / 2;
  if (!want_writable_ || !drained) return 0;
  want_writable_ = false;
  return EventBits::kWritable;
}

}  // namespace luna::tcp
