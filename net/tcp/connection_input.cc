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
  segments_in_ += segment.joined;
  if (segment.payload_bytes() > 0) data_segments_in_ += segment.joined;
  const uint32_t una = sender_.una().raw();
  const uint32_t nxt = receiver_.nxt().raw();
  const uint32_t events = Process(segment, now);
  Account();
  if (sender_.una().raw() < una) [[unlikely]]
    ++tally_.rounds_acked;
  if (receiver_.nxt().raw() < nxt) [[unlikely]]
    ++tally_.rounds_received;
  return events;
}

uint32_t Connection::Process(Segment& segment, Time now) {
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
         s.payload_bytes() <= receiver_.window() && !receiver_.has_out_of_order() && !fin_pending_ && !app_closed_ &&
         !read_shut_ && s.ecn != ip::Ecn::kCe && s.ack >= sender_.una() && s.ack <= sender_.nxt() &&
         sender_.IsQuiet() && s.options.sack_count == 0 && (s.payload_bytes() > 0 || s.ack > sender_.una()) &&
         receiver_.readable_slices() < core_.config.receive_slices_limit && s.payload_bytes() <= Room() &&
         (!timestamps_ || (s.options.has_timestamp && static_cast<int32_t>(s.options.tsval - ts_recent_) >= 0));
}

uint32_t Connection::OnPredicted(Segment& s, Time now) {
  core_.counters.fast_path_segments.Increment();
  uint32_t events = 0;
  NoteTimestamp(s, now);
  const uint32_t window = static_cast<uint32_t>(s.window) << sender_.shift();
  const bool was_shut = sender_.window() == 0;
  sender_.SetWindow(window, s.seq, s.ack);  // s.seq is RCV.NXT: nothing newer has been seen
  if (was_shut) [[unlikely]] {
    if (sender_.window() > 0) persist_count_ = 0;
    if (persisting_) SetRetransmitTimer(now);
    if (waiting_for_room_ && sender_.window() > 0) events |= WritableEvent();
  }
  if (unanswered_probes_ != 0) {
    last_heard_ = s.arrival;
    NoteAnswer(now);
  }
  if (s.ack > sender_.una()) {
    last_heard_ = s.arrival;
    owed_since_ = Time::Infinite();
    sender_.OnNewAck(s.ack, s.arrival, now);
    persist_count_ = 0;
    SetRetransmitTimer(now);
    events |= WritableEvent();
    if (sender_.queued_bytes() == 0 || want_writable_ || events != 0) FollowSending(now);
  }
  if (sender_.flight() < sender_.queued_bytes() || sender_.fin_queued()) NoteOutput();
  if (s.payload_bytes() == 0) return events;
  const uint32_t payload = s.payload_bytes();
  NoteReceived(s, payload, receiver_.AcceptInOrder(std::move(s.payload)), now);
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
  if (waiting_for_room_) events |= WritableEvent();
  s.TrimBefore(s.seq + 1);
  events |= OnText(s, now);
  return events | OnFin(s, now);
}

void Connection::LearnSynOptions(const Segment& s, Time now) {
  peer_mss_ = s.options.has_mss ? std::max<uint16_t>(s.options.mss, kMinMss) : kDefaultMss;
  window_scale_ = s.options.has_window_scale && core_.config.window_scale;
  peer_shift_ = window_scale_ ? std::min(s.options.window_scale, kMaxWindowShift) : 0;
  timestamps_ = s.options.has_timestamp && core_.config.timestamps;
  sack_ = s.options.sack_permitted && core_.config.sack;
  ts_recent_ = s.options.tsval;
  ts_recent_second_ = Second(now);
  receiver_.Start(s.seq, options().receive_buffer_bytes, window_scale_ ? receiver_.shift() : 0);
  last_ack_sent_ = receiver_.nxt();
}

// --- All other states (RFC 9293 §3.10.7.4) ---

uint32_t Connection::InSynchronised(Segment& s, Time now) {
  if (state_ == State::kSynReceived && !AcknowledgesOurSyn(s, now)) return 0;
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
  return events | OnFin(s, now);                     // eighth
}

// RFC 9293 §3.5.2, second group: before we are synchronised an acknowledgement of what we have not sent is answered by
// a reset, whatever its sequence number. §3.10.7.4 would answer an unacceptable number by an ACK first; but where an
// old duplicate of a SYN has opened this connection, the peer's end is another incarnation, which answers that ACK by
// its own: neither would learn the truth until one of them gives up. Linux resets, too.
bool Connection::AcknowledgesOurSyn(const Segment& s, Time now) {
  if (!s.Has(TcpFlags::kAck) || s.Has(TcpFlags::kRst)) return true;
  if (s.ack > sender_.una() && s.ack <= sender_.nxt()) return true;
  core_.drops.Count(DropReason::kTcpUnacceptableAck);
  core_.ReplyReset(s, now);
  return false;
}

// RFC 7323 §5.3 R1. A RST is exempt; so is a segment without the option (it may come from a middlebox).
bool Connection::PassesPaws(const Segment& s, Time now) {
  if (!timestamps_ || !s.options.has_timestamp || s.Has(TcpFlags::kRst)) return true;
  if (static_cast<int32_t>(s.options.tsval - ts_recent_) >= 0) return true;
  if (TimestampIsStale(now)) return true;
  core_.drops.Count(DropReason::kTcpPaws);
  // An ACK for an ACK could go on for ever between two ends that both see old timestamps.
  if (s.length() > 0 && !s.Has(TcpFlags::kSyn)) {
    if (s.end() <= receiver_.nxt()) NoteDuplicate(s.seq, s.end());
    AckNow();
  } else {
    ChallengeAck(now);
  }
  return false;
}

bool Connection::CheckSequence(Segment& s, Time now) {
  if (state_ == State::kSynReceived && s.Has(TcpFlags::kSyn) && !s.Has(TcpFlags::kRst) && s.seq == receiver_.irs()) {
    // The peer's half of a simultaneous open: its SYN again, now with an ACK. Who only asked a listener sends none.
    if (s.Has(TcpFlags::kAck) && !passive()) {
      ecn_.OnSynAck(s.flags);
      s.TrimBefore(receiver_.nxt());
      s.window = static_cast<uint16_t>(s.window >> peer_shift_);  // that of a SYN is not scaled (RFC 7323 §2.2)
      return true;
    }
    if (s.Has(TcpFlags::kAck)) {
      core_.drops.Count(DropReason::kTcpOutOfWindow);
      ChallengeAck(now);
      return false;
    }
    ecn_.OnSyn(s.flags, core_.config.ecn);  // it may have given up the offer (RFC 3168 §6.1.1.1)
    syn_pending_ = true;                    // our SYN-ACK was lost
    NoteOutput();
    return false;
  }
  if (receiver_.IsAcceptable(s.seq, s.length())) return true;
  // The peer has filled the window and some of that was lost: its acknowledgements bear the number of the right edge.
  // Strictly they are outside; without them both directions may wait for a time-out.
  if (s.length() == 0 && s.seq == receiver_.edge() && !s.Has(TcpFlags::kRst)) return true;
  // With a closed window nothing is acceptable, but acknowledgements still count (RFC 9293 §3.10.7.4, MUST-66).
  // So does a FIN, which needs no room.
  const bool at_nxt =
      s.seq == receiver_.nxt() || (!s.Has(TcpFlags::kRst) && IsRecent(s.seq) && s.end() > receiver_.nxt());
  if (receiver_.window() == 0 && at_nxt && !s.Has(TcpFlags::kSyn)) {
    s.TrimBefore(receiver_.nxt());
    if (s.payload_bytes() > 0) {
      AckNow();
      s.TrimAfter(s.seq);
    }
    return true;
  }
  if (s.Has(TcpFlags::kRst)) {
    core_.drops.Count(DropReason::kTcpRstOutOfWindow);
    return false;
  }
  core_.drops.Count(s.end() <= receiver_.nxt() && s.length() > 0 ? DropReason::kTcpDuplicate
                                                                 : DropReason::kTcpOutOfWindow);
  // Data that was received before is acknowledged at once: our ACK was lost. So is the number before RCV.NXT: a probe
  // of the peer's keep-alive or persist timer. Anything else might be blind. A probe, too, may be the other end of an
  // endless exchange of acknowledgements.
  const bool probe = s.length() == 0 && s.seq + 1 == receiver_.nxt();
  if (probe) {
    if (probe_answers_.Allow(now, core_.config.probe_answers_per_connection)) AckNow();
  } else if (s.length() > 0 && s.end() <= receiver_.nxt() && !s.Has(TcpFlags::kSyn)) {
    NoteDuplicate(s.seq, s.end());
    acks_.OnTrouble(core_.config);
    NoteOutput();
  } else {
    ChallengeAck(now);
  }
  return false;
}

// What was received before may still carry news of our own data. Were it ignored, two ends that have both gone back to
// old numbers after a time-out would never hear each other. The RFC drops such a segment whole; BSD does as here.
uint32_t Connection::OnOldAck(const Segment& s, Time now) {
  const bool recent = s.end() <= receiver_.nxt() && IsRecent(s.seq);
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
  if (state_ == State::kSynReceived && !CompleteHandshake(s, events)) return false;
  const uint32_t window = static_cast<uint32_t>(s.window) << sender_.shift();
  const Sender::AckInput input{
      .ack = s.ack,
      .seq = s.seq,
      .window = window,
      .has_data = s.length() > 0,
      .ece = s.Has(TcpFlags::kEce) && !s.Has(TcpFlags::kSyn),
      .has_echo = timestamps_ && s.options.has_timestamp && s.options.tsecr != 0,
      .echo = s.options.tsecr - timestamp_offset_,
      .sacks = s.options.sack_blocks(),
      .arrived = s.arrival,
      .now = now,
  };
  const bool was_shut = sender_.window() == 0;
  const Sender::Ack verdict = sender_.OnAck(input);
  if (verdict == Sender::Ack::kUnsent || verdict == Sender::Ack::kAncient) {
    // No sign of life: it may be the end of another incarnation that speaks, and neither would ever give up.
    core_.drops.Count(DropReason::kTcpUnacceptableAck);
    const bool answer = core_.config.answer_unsent_acks || state_ != State::kEstablished;
    if (answer || verdict == Sender::Ack::kAncient) ChallengeAck(now);
    return false;
  }
  last_heard_ = s.arrival;
  if (unanswered_probes_ != 0) NoteAnswer(now);
  switch (verdict) {
    case Sender::Ack::kOld:
      core_.drops.Count(DropReason::kTcpOldAck);
      break;  // its data may still be new
    case Sender::Ack::kNothing:
      // A window may have opened, or closed. One that stays closed leaves the persist timer alone. A cork gets its time
      // once it is all that holds.
      if (persisting_ != NeedsProbe() || (was_shut && sender_.window() > 0 && sender_.corked())) {
        SetRetransmitTimer(now);
      }
      break;
    case Sender::Ack::kUnsent:
    case Sender::Ack::kAncient:
    case Sender::Ack::kDuplicate:
      break;
    case Sender::Ack::kNew:
      persist_count_ = 0;
      owed_since_ = Time::Infinite();
      SetRetransmitTimer(now);
      *events |= WritableEvent();
      break;
  }
  if (was_shut && sender_.window() > 0) {
    persist_count_ = 0;
    if (waiting_for_room_) *events |= WritableEvent();
  }
  FollowSender(now);
  NoteOutput();
  if (sender_.FinAcknowledged()) *events |= OnFinAcknowledged();
  return state_ != State::kClosed && state_ != State::kTimeWait;
}

bool Connection::CompleteHandshake(const Segment& s, uint32_t* events) {
  if (half_open_ && listener_->AcceptFull()) {
    core_.drops.Count(DropReason::kTcpListenBacklogFull);
    return false;
  }
  Establish(static_cast<uint32_t>(s.window) << peer_shift_, s);
  if (half_open_) {
    listener_->Accepted();
    half_open_ = false;
    listener_->HandshakeEnded();
    listener_ = nullptr;
  }
  announced_ = true;
  if (!app_closed_) *events |= passive() ? EventBits::kAccepted : EventBits::kConnected;
  if (waiting_for_room_) *events |= WritableEvent();
  return true;
}

uint32_t Connection::OnFinAcknowledged() {
  const uint32_t lingered = lingering_ ? EventBits::kLingered : 0;
  lingering_ = false;
  switch (state_) {
    case State::kFinWait1:
      Enter(State::kFinWait2);
      if (app_closed_) {
        life_deadline_ = kFromNextTimerRun;
        Rearm();
      }
      return lingered;
    case State::kClosing:
      Enter(State::kTimeWait);
      EnterClosed(CloseReason::kNormal);
      return lingered | EventBits::kClosed;
    case State::kLastAck:
      EnterClosed(CloseReason::kNormal);
      return lingered | EventBits::kClosed;
    default:
      return lingered;
  }
}

void Connection::ChallengeAck(Time now) {
  if (challenges_.Allow(now, core_.config.challenge_acks_per_connection) && core_.challenge_acks.Allow(now)) {
    AckNow();
  } else {
    core_.drops.Count(DropReason::kTcpChallengeAckRateLimited);
  }
}

void Connection::AckNow() {
  acks_.Now();
  NoteOutput();
}

uint32_t Connection::WritableEvent() {
  if (!want_writable_) return 0;
  const bool drained = sender_.queued_bytes() <= send_limit() / 2 &&
                       sender_.queue().slice_count() <= core_.config.send_slices_limit / 2 &&
                       sender_.unsent_bytes() < options().unsent_low_water;
  if (!drained) return 0;
  want_writable_ = false;
  return EventBits::kWritable;
}

}  // namespace luna::tcp
