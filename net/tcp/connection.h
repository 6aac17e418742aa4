#ifndef LUNA_NET_TCP_CONNECTION_H_
#define LUNA_NET_TCP_CONNECTION_H_

// Connection: one TCP connection, as the application and the stack see it.
//
// Ownership: the Stack owns it. A reference is good from the event that announced it (kAccepted, or the return of
// Connect()) until the Reap() after its kClosed event.
// Thread: the stack's. Calls only append to queues: nothing is sent before the next Stack::Flush(), nothing is
// destroyed before Stack::Reap(), so an application may call anything from within the handling of an event.
//
// Receiving: octets wait in the connection, and close the window, until Read() takes them. Taken octets are the
// application's, for as long as it likes.
// Sending: Send() takes references; the octets must not change until they are acknowledged, which is when the
// references are given back.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "luna/mem/zbuf/zchain.h"
#include "luna/net/ip/datagram.h"
#include "luna/net/tcp/ack_policy.h"
#include "luna/net/tcp/config.h"
#include "luna/net/tcp/connection_info.h"
#include "luna/net/tcp/connection_options.h"
#include "luna/net/tcp/core.h"
#include "luna/net/tcp/ecn.h"
#include "luna/net/tcp/event.h"
#include "luna/net/tcp/ipv4_tuple.h"
#include "luna/net/tcp/network_error.h"
#include "luna/net/tcp/rate_limiter.h"
#include "luna/net/tcp/receive_tuner.h"
#include "luna/net/tcp/receiver.h"
#include "luna/net/tcp/sack_report.h"
#include "luna/net/tcp/segment.h"
#include "luna/net/tcp/send_clock.h"
#include "luna/net/tcp/sender.h"
#include "luna/net/tcp/state.h"
#include "luna/net/wire/address.h"
#include "luna/sched/clock/time.h"
#include "luna/sched/timer/timer_wheel.h"

namespace luna::tcp {

class Listener;

enum class [[nodiscard]] SendResult : uint8_t{
    kOk,
    kBackpressure,  // the send queue is full: nothing was taken; a kWritable event will come
    kClosed,        // this side has closed, or the connection is gone: nothing was taken
};

// How Send() queues.
struct SendFlags {
  // More follows at once: nothing less than a full segment leaves before the next Send() without it, or cork_limit
  // (MSG_MORE).
  bool more = false;
  // All that is queued with this call, and before it, is urgent: segments carry an urgent pointer to the octet that
  // follows it (RFC 9293 §3.8.5 MUST-30, MUST-31, MUST-62). The octets stay in line.
  bool urgent = false;
};

class Connection final : private timer::Timer {
 public:
  // What a segment, and what is sent then, usually touches lies in so many octets at the front.
  static constexpr size_t kUsualBytes = 704;

  // The layout, checked in connection.cc: a connection in all (heap: what waits out of order, more than two segments in
  // flight, options that are not the stack's), and of it what a predicted segment with data takes, from the front.
  static constexpr size_t kMostBytes = 1024;
  static constexpr size_t kMostHotBytes = 4 * 64;

  // --- Data ---
  // Queues all of `data` by reference (zero copy) and leaves it empty, or takes nothing. A queue below its limit takes
  // a chain of any length, so the bound is send_buffer_bytes plus one chain. O(slices).
  SendResult Send(zbuf::ZChain&& data, SendFlags flags = {});
  // Copies `bytes` into Zbuf once and queues them. Returns how many were taken: fewer than asked when the queue is full
  // or memory is out (then a kWritable event will come), 0 when closed.
  size_t Send(absl::Span<const std::byte> bytes, SendFlags flags = {});
  // Octets until back-pressure.
  uint32_t send_space() const;
  // Asks for a kWritable event as if Send() had given back-pressure.
  void WantWritable();
  // A layer above with a send buffer of its own says whether that is full: for Info() alone.
  void set_upper_buffer_full(bool full) {
    upper_full_ = full;
    NoteOutput();
  }

  // Takes received octets, at most `limit`. Reopens the window. O(1) when all is taken.
  zbuf::ZChain Read(size_t limit = std::numeric_limits<size_t>::max());
  uint32_t readable_bytes() const { return receiver_.readable_bytes(); }
  // The peer has sent its FIN, and it has been reached in order.
  bool peer_closed() const { return fin_received_; }
  // How many of the octets to be read next are urgent, those included that have not come yet (RFC 9293 MUST-33).
  // Urgent octets are delivered in line, always; kUrgent says that this has become more than 0, or grown. O(1).
  uint32_t urgent_bytes() const;

  // --- Closing ---
  // No more will be sent or read. Queued octets are still delivered, then a FIN. Unread octets make it a reset (RFC
  // 9293 SHLD-3, RFC 2525 §2.17), so does `linger` without time. The kClosed event comes when both sides are done, at
  // once after a reset; with `linger` and time, kLingered comes when all is acknowledged or the time is up.
  void Close();
  // No more will be sent (half-close); reading goes on.
  void ShutdownWrite();
  // No more will be read. What comes all the same is acknowledged and dropped, so that the peer can finish; what is
  // unread stays readable.
  void ShutdownRead();
  // RST, now. Everything queued is dropped.
  void Abort();
  // What a cork, `more` or Nagle's algorithm holds back leaves with the next Flush().
  void Push();

  // --- Options ---
  // Good until the next SetOptions().
  const ConnectionOptions& options() const {
    const ConnectionOptions& defaults = core_.config;
    return own_options_ != nullptr ? *own_options_ : defaults;
  }
  // Takes effect at once: a cork that is taken off lets go of what it held, a smaller receive buffer closes the window
  // as data comes (its edge never moves left), TTL and DSCP are those of the next segment. The size of the receive
  // buffer at the time of the SYN decides the window scale, and mss_clamp what our SYN announces: set those by
  // ListenOptions or Connect(). InvalidArgument, and nothing changed, for values that no connection can have.
  absl::Status SetOptions(const ConnectionOptions& options, Time now);
  // Acknowledge at once, or not, until the conversation decides anew (TCP_QUICKACK; ack_policy.h).
  void SetQuickAck(bool on);
  bool quick_ack() const { return acks_.quick(); }

  // --- Facts ---
  // The last that the network said (RFC 9293 MUST-47), kNone when nothing; the reason of kUnreachable.
  NetworkError soft_error() const { return soft_error_; }
  // The same, and forgets it.
  NetworkError TakeSoftError() { return std::exchange(soft_error_, NetworkError::kNone); }
  ConnectionInfo Info(Time now) const;
  State state() const { return state_; }
  CloseReason close_reason() const { return close_reason_; }
  wire::FourTuple tuple() const { return tuple_.Wide(); }
  bool IsOf(const wire::FourTuple& tuple) const { return tuple_ == tuple; }
  bool passive() const { return passive_; }
  const Sender& sender() const { return sender_; }
  const Receiver& receiver() const { return receiver_; }
  bool timestamps() const { return timestamps_; }
  bool sack() const { return sack_; }
  const Ecn& ecn() const { return ecn_; }
  // "10.0.0.2:61441 10.0.0.1:50000 ESTABLISHED …", for logs and tests.
  std::string ToString() const;

  // A word for the layer above (sched/r2c keeps its handler here). Inherited from the listener or given to Connect().
  void* owner() const { return owner_; }
  // A word for the application.
  void* context() const { return context_; }
  void set_context(void* context) { context_ = context; }
  // Bits for the layer above.
  uint32_t owner_flags = 0;

 private:
  friend class Stack;
  friend class ConnectionPool;

  Connection(Core& core, const ConnectionOptions& options);
  ~Connection() { core_.held_bytes -= held_bytes_; }

  // --- connection.cc ---
  void StartActive(const wire::FourTuple& tuple, SeqNum iss, uint32_t timestamp_offset, Time now);
  void StartPassive(const Segment& syn, Listener* listener, SeqNum iss, uint32_t timestamp_offset, Time now);
  void BeginPassive(const Segment& syn, const Listener& listener, SeqNum iss, uint32_t timestamp_offset, Time now);
  void ComeFromCookie();
  void Enter(State next);
  void EnterClosed(CloseReason reason);
  void SendFin();
  void NoteOutput();
  void NoteStarved();
  void Establish(uint32_t window, const Segment& segment);
  void Post(uint32_t event_bits);
  // Nothing is posted any more once kClosed is.
  uint32_t TakePosted();
  // `event_bits` are being handed to the application.
  void NoteTold(uint32_t event_bits) { told_closed_ |= (event_bits & EventBits::kClosed) != 0; }
  bool CanQueue() const;
  void StoreOptions(const ConnectionOptions& options);
  void ChooseSynValues();
  void FillSendInfo(ConnectionInfo* info) const;
  bool SendQueueFull() const;
  // After anything that took in or let go of payload. O(1), but for waking who waited for room.
  void Account();
  // Whether the bound on all connections' payload lets this one take more, so that the half in question, send queue or
  // what is unread, would hold `octets`: see StackConfig::memory_limit_bytes.
  bool MayHold(uint32_t octets) const { return core_.held_bytes < core_.held_pressure || octets <= Share(); }
  // The most that each half may hold by the reserve.
  uint64_t Share() const;
  // How much more may be received.
  uint32_t Room() const { return core_.held_bytes < core_.held_pressure ? UINT32_MAX : RoomUnderPressure(); }
  // How much more may be offered: no more than that, and nothing while memory is short.
  uint32_t RoomToOffer() const {
    if (core_.held_bytes < core_.window_pressure) [[likely]]
      return UINT32_MAX;
    return core_.memory_short ? 0 : Room();
  }
  // The share, less what is held. Who has nothing unread may always take a segment, until an eighth more than the bound
  // is held, or than a Send() beyond it left: two ends that have both queued too much for each other would else wait
  // for ever.
  uint32_t RoomUnderPressure() const;
  // Where there is room again: tells those who wait for it, and whose windows were held down.
  static void WakeWaiting(Core& core);
  uint16_t WindowUnderPressure();
  // The peer has to hear of a larger window when the pressure is gone: no other occasion need come.
  void NoteHeldDown();
  void WaitForRoom();
  // The persist timer's business: something waits for the peer's window alone.
  bool NeedsProbe() const { return sender_.NeedsProbe() || WaitsForWindow(); }
  // Nothing could be queued, because the peer takes nothing: see WaitForRoom().
  bool WaitsForWindow() const {
    return want_writable_ && waiting_for_room_ && sender_.queued_bytes() == 0 && sender_.window() == 0 &&
           CanSend(state_);
  }
  // The window field of the next segment.
  uint16_t Window() {
    if (core_.held_bytes < core_.window_pressure) [[likely]]
      return receiver_.Advertise(mss_);
    return WindowUnderPressure();
  }
  uint32_t send_limit() const { return options().send_buffer_bytes; }

  // How far the receive buffer may grow.
  uint32_t receive_limit() const;

  // --- connection_input.cc: RFC 9293 §3.10.7, step by step; each returns EventBits ---
  uint32_t OnSegment(Segment& segment, Time now);
  uint32_t Process(Segment& segment, Time now);
  bool IsPredicted(const Segment& segment) const;
  uint32_t OnPredicted(Segment& segment, Time now);
  uint32_t InSynSent(Segment& segment, Time now);
  uint32_t InSynchronised(Segment& segment, Time now);
  bool AcknowledgesOurSyn(const Segment& s, Time now);
  bool PassesPaws(const Segment& segment, Time now);
  bool CheckSequence(Segment& segment, Time now);
  // Not further back than a whole window.
  bool IsRecent(SeqNum seq) const { return static_cast<uint32_t>(receiver_.nxt() - seq) <= receiver_.buffer_bytes(); }
  uint32_t OnOldAck(const Segment& segment, Time now);
  uint32_t OnReset(const Segment& segment, Time now);
  uint32_t OnUnexpectedSyn(const Segment& segment, Time now);
  bool CheckAck(const Segment& segment, Time now, uint32_t* events);
  bool CompleteHandshake(const Segment& segment, uint32_t* events);
  uint32_t OnFinAcknowledged();
  void LearnSynOptions(const Segment& segment, Time now);
  void ChallengeAck(Time now);
  void AckNow();
  uint32_t WritableEvent();

  // --- connection_receive.cc: what a segment brings, and when it is acknowledged ---
  uint32_t OnUrgent(const Segment& segment);
  void TrimToWindow(Segment* segment);
  uint32_t OnText(Segment& segment, Time now);
  // Cuts off what is more than there is room for; false when there is none.
  bool MakeRoomFor(Segment* segment);
  uint32_t OnTextInOrder(Segment& segment, Time now);
  void OnTextAhead(Segment& segment);
  uint32_t OnFin(const Segment& segment, Time now);
  uint32_t ReachFin(Time now);
  void NoteTimestamp(const Segment& segment, Time now);
  void NoteCongestionMark(const Segment& segment);
  // RCV.NXT has moved by `moved` octets because of `segment`, which held `payload` of them.
  void NoteReceived(const Segment& segment, uint32_t payload, uint32_t moved, Time now);
  void NoteDuplicate(SeqNum start, SeqNum end);
  void Tune(const Segment& segment, Time now);
  void FollowTuner(Time now);
  bool TimestampIsStale(Time now) const;
  Duration EchoAge(const Segment& segment, Time now) const;

  // --- connection_output.cc ---
  // Appends what is to be sent now to `out`, until out->size() reaches `limit`. True when nothing is left to do.
  bool Output(Time now, size_t limit, ip::OutBatch* out);
  bool OutputByState(Time now, size_t limit, ip::OutBatch* out);
  bool OutputSyn(Time now, ip::OutBatch* out);
  bool OutputData(Time now, size_t limit, ip::OutBatch* out);
  // Up to `segments` that are like the one that was output last but for their number. False: memory is out.
  bool OutputRow(uint32_t segments, Time now, ip::OutBatch* out);
  // The segment that follows `datagram` becomes part of it, for the device to cut off again. False: it has no room.
  bool JoinForTso(SeqNum seq, ip::OutDatagram* datagram);
  bool OutputSegment(const Sender::Plan& plan, Time now, ip::OutBatch* out);
  void FollowSending(Time now);
  bool OutputProbe(Time now, ip::OutBatch* out);
  bool OutputKeepAlive(Time now, ip::OutBatch* out);
  bool OutputAcks(Time now, size_t limit, ip::OutBatch* out);
  bool OutputAck(Time now, ip::OutBatch* out);
  // A segment without data. `options`: what it had, for NoteAckSent().
  bool OutputEmpty(SeqNum seq, Time now, wire::TcpOptions* options, ip::OutBatch* out);
  void PointToUrgent(SegmentHeader* header) const;
  void NoteAckSent(const wire::TcpOptions& options);
  // Timestamps, and SACK blocks in at most `room` octets. Null when there are none, else `options`.
  const wire::TcpOptions* FillOptions(Time now, uint32_t room, wire::TcpOptions* options) const;
  bool HasSackNews() const { return sack_ && (receiver_.has_out_of_order() || sacks_.duplicate_waits()); }
  uint32_t TimestampNow(Time now) const;

  // --- connection_timers.cc ---
  // As life_deadline_: the wait begins at the next timer run, which knows the time (an application's Close() does not).
  static constexpr Time kFromNextTimerRun = Time::FromNanoseconds(0);
  // The wheel's entry came due: acts on whichever deadline has passed. Returns EventBits.
  uint32_t OnTimer(Time now);
  uint32_t OnRetransmitTimer(Time now);
  void SetRetransmitTimer(Time now);
  void FollowSender(Time now);
  uint32_t OnPersistTimer(Time now);
  void Rearm();
  // Among others, now for `deadline` too.
  void Rearm(Time deadline);
  void ClearTimers();

  // --- connection_life.cc; those that return uint32_t return EventBits ---
  uint32_t OnLifeTimer(Time now);
  uint32_t OnKeepAlive(Time now);
  void SetKeepAlive(Time now);
  void NoteAnswer(Time now);
  bool BecomeOrphan();
  void HeedUserTimeout(Time now);
  bool UserTimeoutIsOver(Time now) const;
  bool GivesUp(uint32_t attempts) const;
  void SendReset();
  uint32_t NoteSoftError(NetworkError error);
  uint32_t OnNetworkError(NetworkError error, SeqNum seq, uint32_t mtu, Time now);
  void LowerPathMtu(uint32_t mtu, Time now);
  void SetPathMtu(uint32_t mtu, Time now);
  // A route says so.
  void SetRouteMtu(uint32_t mtu, Time now);
  // What ICMP has said of the path is too old.
  void ForgetPathMtu(Time now) { SetRouteMtu(route_mtu_, now); }
  uint32_t SendMss() const;

  // What Info() tells beside the halves' own numbers.
  struct Tally {
    uint64_t bytes_retransmitted = 0;
    uint32_t segments_out = 0;
    uint32_t data_segments_out = 0;
    uint32_t segments_retransmitted = 0;
    uint32_t segments_ahead = 0;  // that came out of order
    // Times that SND.UNA and RCV.NXT have passed 2^32.
    uint32_t rounds_acked = 0;
    uint32_t rounds_received = 0;
  };
  // Octets of data acknowledged, sent (each once), and received in order.
  uint64_t BytesAcked() const;
  uint64_t BytesSent() const;
  uint64_t BytesReceived() const;

  // About a microsecond each, modulo 2^32.
  static constexpr Duration kLongestLook = Duration::Seconds(60);
  static uint32_t Granule(Time time) { return static_cast<uint32_t>(time.nanoseconds() >> 10); }
  static uint32_t Second(Time time) { return static_cast<uint32_t>(time.nanoseconds() / (1000 * 1000 * 1000)); }

  // When the peer's last segment came, or was looked at.
  Time last_heard() const { return std::max(last_heard_, acks_.last_received()); }

  // --- What a segment in order looks at and changes: the first kMostHotBytes ---
  Core& core_;
  Ipv4Tuple tuple_;
  State state_ = State::kClosed;
  Ecn ecn_;
  bool timestamps_ : 1 = false;     // negotiated
  bool sack_ : 1 = false;           // negotiated: both SYNs had SACK-permitted (RFC 2018 §2)
  bool in_output_ : 1 = false;      // in core_.output
  bool want_writable_ : 1 = false;  // a kWritable event is owed
  bool app_closed_ : 1 = false;     // Close() was called: nobody will read
  bool fin_received_ : 1 = false;
  bool fin_pending_ : 1 = false;  // a FIN was seen, at fin_seq_, and not reached yet
  bool read_shut_ : 1 = false;    // ShutdownRead() was called
  bool finished_ : 1 = false;     // in core_.finished
  bool told_closed_ : 1 = false;  // kClosed was handed out: no event may follow it
  bool tunes_ : 1 = false;        // tuner_.on()
  uint32_t ts_recent_ = 0;        // RFC 7323 §4.3
  SeqNum last_ack_sent_;
  Receiver receiver_;
  [[no_unique_address]] AckPolicy acks_;  // what follows lies in its tail padding
  uint32_t tune_granule_ = 0;             // from then on tuner_ wants to know (Granule())
  uint32_t held_bytes_ = 0;               // of core_.held_bytes
  uint32_t segments_in_ = 0;
  uint32_t data_segments_in_ = 0;
  uint32_t unanswered_probes_ = 0;  // of a window or of the peer's life, since its last segment, for R2
  SeqNum tune_edge_;                // beyond it tuner_ wants to know, too
  uint32_t ts_recent_second_ = 0;   // when ts_recent_ was learnt: it grows stale (RFC 7323 §5.5)
  Sender sender_;

  // --- What an acknowledgement, or sending, takes beside that ---
  Time retransmit_deadline_ = Time::Infinite();     // also SYN and persist
  Time owed_since_ = Time::Infinite();              // since then something has gone unacknowledged, without progress
  Time last_heard_;                                 // when a segment came; predicted ones with data only: acks_ knows
  std::unique_ptr<ConnectionOptions> own_options_;  // null: those of the stack
  [[no_unique_address]] SendClock send_clock_;
  NetworkError soft_error_ = NetworkError::kNone;
  bool window_scale_ : 1 = false;   // both sides sent the option
  bool syn_pending_ : 1 = false;    // a SYN or SYN-ACK is to be sent
  bool persisting_ : 1 = false;     // retransmit_deadline_ is the persist timer
  bool probe_pending_ : 1 = false;  // the persist timer expired: a window probe is to be sent
  bool passive_ : 1 = false;        // opened by a listener (RFC 9293 MUST-11)
  bool announced_ : 1 = false;      // the application knows of it and is owed a kClosed event
  bool half_open_ : 1 = false;      // counted in the listener's backlog
  bool in_posted_ : 1 = false;
  bool in_starved_ : 1 = false;          // in core_.starved
  bool keep_probe_pending_ : 1 = false;  // a keep-alive probe is to be sent
  bool lingering_ : 1 = false;           // kLingered is owed
  bool waiting_for_room_ : 1 = false;    // in core_.waiting_for_room or, by waiting_empty_, in waiting_empty
  bool waiting_empty_ : 1 = false;
  bool held_down_ : 1 = false;     // in core_.held_down
  bool orphan_ : 1 = false;        // counted in core_.orphans
  bool may_fragment_ : 1 = false;  // the path takes less than the smallest segments we make: DF is clear
  bool has_urgent_ : 1 = false;    // urgent_ is ahead of what was read
  bool upper_full_ : 1 = false;    // set_upper_buffer_full()
  bool bars_cookie_ : 1 = false;   // a SYN cookie has opened it, or one before it (time_wait.h)
  uint32_t timestamp_offset_ = 0;
  uint32_t persist_count_ = 0;  // window probes since the window closed, for the back-off
  Tally tally_;
  Time life_deadline_ = Time::Infinite();  // keep-alive; of a closed connection lingering, then FIN-WAIT-2
  void* owner_ = nullptr;
  void* context_ = nullptr;

  // --- Rare ---
  ReceiveTuner tuner_;
  OwnRateLimiter challenges_;
  OwnRateLimiter probe_answers_;
  Listener* listener_ = nullptr;  // while half_open_
  SackReport sacks_;
  SeqNum fin_seq_;
  SeqNum urgent_;                         // RCV.UP
  uint32_t posted_ = 0;                   // EventBits waiting in core_.posted
  Time handshake_at_;                     // when our last SYN left; when the handshake was over, once it is
  uint32_t path_mtu_until_ = UINT32_MAX;  // the Second() when what ICMP has said is forgotten
  uint8_t syns_sent_ = 0;                 // saturates; more than one: Karn
  uint8_t peer_shift_ = 0;
  uint16_t peer_mss_ = kDefaultMss;
  uint16_t mss_ = 0;        // what we can receive in one segment
  uint16_t path_mtu_ = 0;   // as far as is known
  uint16_t route_mtu_ = 0;  // what the route said last; ICMP may have lowered path_mtu_ since
  CloseReason close_reason_ = CloseReason::kNone;
};

}  // namespace luna::tcp

#endif  // LUNA_NET_TCP_CONNECTION_H_
