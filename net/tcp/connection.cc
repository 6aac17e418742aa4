#include "luna/net/tcp/connection.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "luna/net/tcp/listener.h"

namespace luna::tcp {

Connection::Connection(Core& core, const ConnectionOptions& options)
    : core_(core),
      sender_(core.config),
      path_mtu_(static_cast<uint16_t>(std::min(core.config.mtu, 0xffffu))),
      route_mtu_(path_mtu_) {
  static_assert(zbuf::kDebugChecks || sizeof(Connection) <= kMostBytes);
// The standard leaves it open for a class with a base; the compilers know.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Winvalid-offsetof"
  static_assert(zbuf::kDebugChecks || offsetof(Connection, sender_) + Sender::kReceiveHotBytes <= kMostHotBytes);
#pragma GCC diagnostic pop
  StoreOptions(options);
  sender_.set_nagle(options.nagle);
  sender_.set_cork(options.cork);
  receiver_.SetClamp(options.window_clamp);
  ChooseSynValues();
}

void Connection::StartActive(const wire::FourTuple& tuple, SeqNum iss, uint32_t timestamp_offset, Time now) {
  tuple_ = Ipv4Tuple(tuple);
  timestamp_offset_ = timestamp_offset;
  announced_ = true;
  sender_.StartSyn(iss);
  Enter(State::kSynSent);
  syn_pending_ = true;
  SetRetransmitTimer(now);
  NoteOutput();
}

void Connection::BeginPassive(const Segment& syn, const Listener& listener, SeqNum iss, uint32_t timestamp_offset,
                              Time now) {
  tuple_ = Ipv4Tuple(syn.tuple);
  timestamp_offset_ = timestamp_offset;
  passive_ = true;
  segments_in_ = 1;
  owner_ = listener.options().owner;
  context_ = listener.options().context;
  sender_.StartSyn(iss);
  LearnSynOptions(syn, now);
  ecn_.OnSyn(syn.flags, core_.config.ecn);
  Enter(State::kSynReceived);
}

void Connection::StartPassive(const Segment& syn, Listener* listener, SeqNum iss, uint32_t timestamp_offset, Time now) {
  BeginPassive(syn, *listener, iss, timestamp_offset, now);
  listener_ = listener;
  listener->HandshakeStarted();
  half_open_ = true;
  syn_pending_ = true;
  SetRetransmitTimer(now);
  NoteOutput();
}

// The SYN-ACK was sent before there was a connection: its time is unknown.
void Connection::ComeFromCookie() {
  syn_pending_ = false;
  bars_cookie_ = true;
  syns_sent_ = 2;
}

void Connection::Enter(State next) {
  DCHECK(IsLegalTransition(state_, next)) << Name(state_) << " -> " << Name(next);
  state_ = next;
}

void Connection::EnterClosed(CloseReason reason) {
  if (state_ != State::kClosed && state_ != State::kTimeWait) Enter(State::kClosed);
  close_reason_ = reason;
  if (half_open_) {
    half_open_ = false;
    listener_->HandshakeEnded();
    listener_ = nullptr;
  }
  if (orphan_) {
    orphan_ = false;
    --core_.orphans;
  }
  ClearTimers();
  sender_.Clear();
  if (app_closed_) receiver_.Clear();
  if (waiting_for_room_)
    waiting_empty_ ? std::erase(core_.waiting_empty, this) : std::erase(core_.waiting_for_room, this);
  waiting_for_room_ = waiting_empty_ = false;
  if (held_down_) std::erase(core_.held_down, this);
  held_down_ = false;
  Account();
  if (!finished_) {
    finished_ = true;
    core_.finished.push_back(this);
    core_.counters.connections_closed.Increment();
  }
}

void Connection::NoteOutput() {
  if (in_output_) return;
  in_output_ = true;
  core_.output.push_back(this);
}

void Connection::Post(uint32_t event_bits) {
  posted_ |= event_bits;
  if (in_posted_) return;
  in_posted_ = true;
  core_.posted.push_back(this);
}

uint32_t Connection::TakePosted() {
  in_posted_ = false;
  const uint32_t events = std::exchange(posted_, 0);
  if (told_closed_) return 0;
  NoteTold(events);
  return events;
}

// No acknowledgement may be under way that would free memory or raise kWritable: the stack tries again each round.
void Connection::NoteStarved() {
  if (in_starved_) return;
  in_starved_ = true;
  core_.starved.push_back(this);
}

void Connection::Establish(uint32_t window, const Segment& segment) {
  Enter(State::kEstablished);
  const Time life = life_deadline_;  // of a Close() that lingers
  ClearTimers();
  life_deadline_ = life;
  Rearm();
  const Duration rtt = syns_sent_ == 1 ? segment.arrival - handshake_at_ : Duration::Zero();
  handshake_at_ = segment.arrival;
  if (syns_sent_ == 1) {
    sender_.rtt().Sample(rtt);
    sender_.rtt().SampleMin(rtt, segment.arrival);
  }
  const uint32_t option_bytes = timestamps_ ? kTimestampOptionBytes : 0;
  sender_.set_sack(sack_);
  sender_.set_ecn(ecn_.negotiated());
  sender_.Establish(SendMss(), peer_shift_);
  sender_.SetWindow(window, segment.seq, segment.ack);
  if (ecn_.negotiated()) core_.counters.ecn_connections.Increment();
  acks_.Start(mss_ - option_bytes, core_.config);
  tuner_.Start(options().receive_buffer_bytes, receive_limit(), mss_, core_.config.initial_window_segments * mss_,
               receiver_.edge(), rtt, segment.arrival);
  FollowTuner(segment.arrival);
  syn_pending_ = false;
  if (sender_.fin_queued()) Enter(State::kFinWait1);  // closed during the handshake
  last_heard_ = segment.arrival;
  if (options().keep_alive) SetKeepAlive(segment.arrival);
}

// Data may be queued before the handshake is over (RFC 9293 §3.10.2).
bool Connection::CanQueue() const {
  return !app_closed_ && !sender_.fin_queued() &&
         (CanSend(state_) || state_ == State::kSynSent || state_ == State::kSynReceived);
}

void Connection::WantWritable() {
  want_writable_ = true;
  if (!CanQueue()) return;
  // With nothing more to be acknowledged there would be no other occasion. Told while all memory is taken, the
  // application could only ask again at once.
  if (!MayHold(sender_.queued_bytes() + 1)) {
    WaitForRoom();
  } else if (const uint32_t events = WritableEvent()) {
    Post(events);
  }
}

SendResult Connection::Send(zbuf::ZChain&& data, SendFlags flags) {
  if (!CanQueue()) return SendResult::kClosed;
  if (SendQueueFull()) {
    want_writable_ = true;
    WaitForRoom();
    return SendResult::kBackpressure;
  }
  if (data.empty()) return SendResult::kOk;
  sender_.Queue(std::move(data), flags.more);
  if (flags.urgent) sender_.MarkUrgent();
  Account();
  core_.held_overshoot = std::max(core_.held_limit, core_.held_bytes);
  NoteOutput();
  return SendResult::kOk;
}

size_t Connection::Send(absl::Span<const std::byte> bytes, SendFlags flags) {
  constexpr size_t kPieceBytes = 16 * 1024;  // an obj at a time: what memory there is is taken
  size_t taken = 0;
  if (!CanQueue()) return 0;
  while (taken < bytes.size()) {
    const size_t piece = std::min({bytes.size() - taken, size_t{send_space()}, kPieceBytes});
    if (piece == 0) {
      want_writable_ = true;
      WaitForRoom();
      break;
    }
    // Not what headers would need: then nothing that is queued would ever be sent.
    auto copy = core_.headers.Fill() ? zbuf::ZChain::CopyFrom(core_.slab, bytes.subspan(taken, piece)) : std::nullopt;
    if (!copy.has_value()) {
      NoteStarved();
      break;
    }
    if (Send(std::move(*copy), flags) != SendResult::kOk) break;
    taken += piece;
  }
  return taken;
}

bool Connection::SendQueueFull() const {
  return sender_.queued_bytes() >= send_limit() || !MayHold(sender_.queued_bytes() + 1) ||
         sender_.queue().slice_count() >= core_.config.send_slices_limit;
}

uint32_t Connection::send_space() const {
  if (!CanQueue()) return 0;
  return SendQueueFull() ? 0 : send_limit() - sender_.queued_bytes();
}

zbuf::ZChain Connection::Read(size_t limit) {
  zbuf::ZChain taken = receiver_.Take(limit);
  Account();
  tuner_.OnRead(taken.bytes());
  if (has_urgent_ && urgent_bytes() == 0)
    has_urgent_ = false;  // read past: 2^31 later it would look as if it lay ahead
  if (!CanReceive(state_)) return taken;
  const bool all = receiver_.readable_bytes() == 0;
  const uint32_t room = RoomToOffer();
  if (receiver_.NeedsWindowUpdate(mss_, room) || acks_.OnRead(all, core_.config)) AckNow();
  if (room != UINT32_MAX) [[unlikely]]
    NoteHeldDown();
  return taken;
}

void Connection::SendFin() {
  sender_.QueueFin();
  if (!CanSend(state_)) return;  // Establish() goes on from here
  Enter(state_ == State::kCloseWait ? State::kLastAck : State::kFinWait1);
  NoteOutput();
}

void Connection::ShutdownWrite() {
  if (CanQueue()) SendFin();
}

void Connection::ShutdownRead() { read_shut_ = true; }

void Connection::Push() {
  sender_.LetOut();
  NoteOutput();
}

void Connection::Close() {
  if (app_closed_ || state_ == State::kClosed) return;
  const bool may_send_fin = CanQueue();
  if (state_ == State::kSynSent) {
    app_closed_ = true;
    EnterClosed(CloseReason::kNormal);
    Post(EventBits::kClosed);
    return;
  }
  const bool no_time = options().linger && options().linger_time == Duration::Zero();
  if ((receiver_.readable_bytes() > 0 || no_time) && state_ != State::kTimeWait) {
    Abort();
    return;
  }
  if (!BecomeOrphan()) return;
  if (may_send_fin) SendFin();
  lingering_ = options().linger && state_ != State::kFinWait2 && state_ != State::kTimeWait;
  if (options().linger && !lingering_) Post(EventBits::kLingered);
  if (lingering_ || state_ == State::kFinWait2) {
    life_deadline_ = kFromNextTimerRun;
    Rearm();
  }
}

void Connection::Abort() {
  if (state_ == State::kClosed || state_ == State::kTimeWait) return;
  if (state_ != State::kSynSent) SendReset();
  app_closed_ = true;
  EnterClosed(CloseReason::kAborted);
  if (announced_) Post(EventBits::kClosed);
}

uint32_t Connection::urgent_bytes() const {
  if (!has_urgent_) return 0;
  const SeqNum next_read = receiver_.nxt() - receiver_.readable_bytes() - (fin_received_ ? 1u : 0u);
  return urgent_ > next_read ? static_cast<uint32_t>(urgent_ - next_read) : 0;
}

std::string Connection::ToString() const {
  return absl::StrCat(tuple().local.ToString(), " ", tuple().remote.ToString(), " ", Name(state_),
                      " una=", sender_.una() - sender_.iss(), " nxt=", sender_.nxt() - sender_.iss(),
                      " queued=", sender_.queued_bytes(), " cwnd=", sender_.congestion().window(),
                      " wnd=", sender_.window(), " rcv=", receiver_.nxt() - receiver_.irs(),
                      " unread=", receiver_.readable_bytes());
}

}  // namespace luna::tcp
