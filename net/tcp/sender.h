#ifndef LUNA_NET_TCP_SENDER_H_
#define LUNA_NET_TCP_SENDER_H_

// Sender: the send half of a connection: what is queued, what may be sent next, what an acknowledgement releases, loss
// detection and recovery. Sequence variables as in RFC 9293 §3.3.1; SND.NXT never goes back. SND.MAX is the highest
// number ever sent + 1: SND.NXT, or one more after a probe of a closed window.
//
// With SACK (RFC 2018): losses are found by RACK (RFC 8985), or by RFC 6675 when that is switched off; a tail loss
// probe (RFC 8985 §7) stands in front of the time-out. Without SACK: NewReno (RFC 5681, RFC 6582), counting duplicates.
// In both, each transmitted segment has a record on the Scoreboard; what is lost is sent again one by one as the pipe
// has room, never what was delivered. Recovery paces itself by PRR (RFC 9937); the window is Congestion's. Spurious
// retransmissions are found and undone by timestamps (RFC 3522, RFC 4015), by D-SACK (RFC 2883, RFC 3708) and, after a
// time-out, by F-RTO (RFC 5682). ECN by RFC 3168.
//
// It builds no packets and owns no timer: Next() says which segment to send, OnSent() that it left, and the owner keeps
// one timer for deadline().
//
// sender.cc: sending; sender_ack.cc: acknowledgements; sender_recovery.cc: loss and its undoing; sender_timers.cc.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "absl/types/span.h"
#include "luna/mem/zbuf/zchain.h"
#include "luna/net/tcp/config.h"
#include "luna/net/tcp/congestion.h"
#include "luna/net/tcp/rack.h"
#include "luna/net/tcp/rtt.h"
#include "luna/net/tcp/scoreboard.h"
#include "luna/net/tcp/send_queue.h"
#include "luna/net/tcp/seq.h"
#include "luna/net/tcp/timestamp_clock.h"
#include "luna/net/wire/tcp_options.h"
#include "luna/sched/clock/time.h"

namespace luna::tcp {

class Sender {
 public:
  // So many octets, at the front of the object, are all that data in order needs which acknowledges nothing new.
  static constexpr size_t kReceiveHotBytes = 36;

  // One segment to be sent.
  struct Plan {
    SeqNum seq;
    uint32_t bytes = 0;  // payload
    bool fin = false;
    bool push = false;        // the last octet of what the application gave (RFC 9293 §3.9.1.2)
    bool retransmit = false;  // (also) octets that were sent before
    bool tail_probe = false;  // RFC 8985 §7
    bool ect = false;         // bears ECT(0) (RFC 3168 §6.1.2)
    bool cwr = false;         // bears CWR
  };

  // What an acknowledgement did.
  enum class Ack : uint8_t {
    kOld,        // below SND.UNA
    kAncient,    // so far below it that it cannot be of this connection (RFC 5961 §5.2)
    kNothing,    // SND.UNA again, with news or nothing in it
    kDuplicate,  // a duplicate in the sense of RFC 5681 §2
    kNew,        // SND.UNA moved
    kUnsent,     // acknowledges what was never sent
  };

  // What a segment says of what we sent.
  struct AckInput {
    SeqNum ack;
    SeqNum seq;             // for the WL1 and WL2 test
    uint32_t window = 0;    // scaled already
    bool has_data = false;  // the segment carried payload, SYN or FIN
    bool ece = false;
    bool has_echo = false;  // a timestamp came back:
    uint32_t echo = 0;      // its ticks, without the connection's offset
    absl::Span<const wire::TcpSackBlock> sacks;
    Time arrived;  // when the device took it: ends round trips
    Time now;      // begins timers
  };

  // Linux's names of the states of congestion control.
  enum class State : uint8_t {
    kOpen,      // nothing unusual
    kDisorder,  // something is SACKed, or duplicates came: not yet a loss
    kCwr,       // the window is being reduced for an ECN echo, or a loss that a tail probe repaired
    kRecovery,  // fast retransmit and recovery
    kLoss,      // after a time-out
  };

  enum class TimerKind : uint8_t { kNone, kRetransmit, kReorder, kTailProbe };

  explicit Sender(const StackConfig& config);

  // Before the SYN: SND.UNA = ISS, SND.NXT = SND.MAX = ISS + 1 once it is sent.
  void StartSyn(SeqNum iss);
  // Our SYN was acknowledged: data begins at ISS + 1. `mss`: payload octets per segment, options taken off.
  void Establish(uint32_t mss, uint8_t shift);
  // Both SYNs had SACK-permitted. Before Establish().
  void set_sack(bool sack) { sack_ = sack; }
  bool sack() const { return sack_; }
  // RFC 3168 was negotiated.
  void set_ecn(bool ecn) { ecn_ = ecn; }
  bool ecn() const { return ecn_; }
  // The first window (unscaled in SYN segments, RFC 7323 §2.2), or any later one that passed the WL1/WL2 test.
  void SetWindow(uint32_t window, SeqNum seq, SeqNum ack);
  // Another segment size. `dropped`: the path refused what is larger (RFC 1191 §6.5): it is sent again, cut, at once
  // and without blame for congestion.
  void SetMss(uint32_t mss, bool dropped);

  // --- Application side ---
  // `more`: the application says that more will follow at once: a short segment may wait for it until the next
  // acknowledgement.
  void Queue(zbuf::ZChain data, bool more = false);
  // Appends references to `bytes` octets from `seq` on, which are in the queue.
  void AppendPayload(SeqNum seq, uint32_t bytes, zbuf::ZChain* out) {
    queue_.AppendRange(static_cast<uint32_t>(seq - una_data_), bytes, out);
  }
  const SendQueue& queue() const { return queue_; }
  // No more data will be queued: a FIN follows the last octet.
  void QueueFin() { fin_queued_ = true; }
  bool fin_queued() const { return fin_queued_; }
  // Everything queued so far is urgent: SND.UP is the number that follows (RFC 9293 §3.8.5).
  void MarkUrgent() {
    urgent_ = true;
    up_ = DataEnd();
  }
  // SND.UP is ahead of SND.UNA: segments below it carry the urgent pointer.
  bool urgent() const { return urgent_ && up_ > una_; }
  SeqNum up() const { return up_; }
  // Nagle's algorithm (RFC 9293 §3.7.4), by Minshall's rule. Switching it off lets out what is queued, once, even
  // corked (TCP_NODELAY).
  void set_nagle(bool on);
  bool nodelay() const { return nodelay_; }
  // Holds back short segments (TCP_CORK). Taking the cork off lets out what is queued.
  void set_cork(bool on);
  // What is queued goes out whatever Nagle and cork say, once.
  void LetOut() { let_out_ = HasUnsent(); }
  // Corked, or told that more follows: nothing less than a full segment leaves.
  bool corked() const { return (cork_ || more_) && !let_out_; }

  // --- Sending ---
  // What Next() gives from here on leaves together.
  void BeginBurst() { burst_ = 0; }
  // The segment to send now, if any. Pure.
  std::optional<Plan> Next() const {
    if (!HasUnsent() && !board_.AnyWaiting() && !tail_probe_due_) return std::nullopt;
    return NextOfSome();
  }
  // `plan` was built and left at `now`.
  void OnSent(const Plan& plan, Time now);
  // How many segments of `most` may leave from SND.NXT on, right behind `plan`, that differ from it in SEQ only: full
  // ones, of new data. Next() would give them one by one. Pre: OnSent(plan) was the last call. Pure.
  uint32_t RowBehind(const Plan& plan, uint32_t most) const;
  // Such a row of `segments` left at `now`.
  void OnRowSent(uint32_t segments, Time now);
  // One octet (or the FIN) past a closed window, to probe it (RFC 9293 §3.8.6.1); what fits, when the window is merely
  // too small, or what was held back. Pure.
  std::optional<Plan> Probe() const;
  // Data or a FIN waits that may not be sent, and nothing is in flight whose acknowledgement would change that.
  bool NeedsProbe() const;
  // Queued octets, or the FIN, that have not been sent yet (whether or not they may be).
  bool HasUnsent() const { return nxt_ < DataEnd() || (fin_queued_ && !fin_sent_); }
  // Octets in the queue, sent or not.
  uint32_t queued_bytes() const { return static_cast<uint32_t>(data_end_ - una_data_); }
  // The congestion window has room for what is to be sent next, the peer's window has not.
  bool IsPeerLimited() const {
    return pipe() < congestion_.window() && nxt_ + std::min(unsent_bytes(), mss_) > una_ + wnd_;
  }
  // Queued octets that have never been sent.
  uint32_t unsent_bytes() const {
    const SeqNum next = Max(nxt_, una_data_);
    return next < DataEnd() ? static_cast<uint32_t>(DataEnd() - next) : 0;
  }
  // The probe left. What is past the window is not in flight.
  void OnProbeSent(const Plan& plan, Time now);

  // --- Acknowledgement ---
  Ack OnAck(const AckInput& in);
  // Whether a plain acknowledgement may take OnNewAck().
  bool IsQuiet() const { return quiet_; }
  // The header-prediction path. Pre: IsQuiet(), una() < ack <= nxt(), no ECE, no SACK blocks.
  void OnNewAck(SeqNum ack, Time arrived, Time now);
  // The connection was idle for longer than the RTO before this send (RFC 5681 §4.1).
  void MaybeRestartAfterIdle(Time now);

  // --- Timers: one deadline, and what it is for ---
  Time deadline() const { return rto_deadline_ < aux_deadline_ ? rto_deadline_ : aux_deadline_; }
  // Which one has passed at `now`.
  TimerKind Due(Time now) const;
  // Retransmission time-out: what is in flight is thought lost, except what is SACKed or too young. Returns how often
  // this has happened in a row. Also for the SYN.
  uint32_t OnTimeout(Time now);
  // RFC 8985 §6.3: what was sent a reordering window before the newest delivered segment is lost.
  void OnReorderTimer(Time now);
  // RFC 8985 §7.3: Next() has a probe.
  void OnTailProbeTimer(Time now);

  bool FinAcknowledged() const { return fin_acknowledged_; }
  bool FinInFlight() const { return fin_sent_ && !fin_acknowledged_; }

  SeqNum iss() const { return iss_; }
  SeqNum una() const { return una_; }
  SeqNum nxt() const { return nxt_; }
  SeqNum max() const { return max_; }
  // The number of a segment without data: SND.NXT, but not beyond the right edge.
  SeqNum AckSequence() const { return max_ <= una_ + wnd_ ? max_ : una_ + wnd_; }
  uint32_t window() const { return wnd_; }
  uint32_t mss() const { return mss_; }
  uint8_t shift() const { return shift_; }
  uint32_t flight() const { return static_cast<uint32_t>(nxt_ - una_); }
  bool in_recovery() const { return state_ == State::kRecovery; }
  uint32_t timeouts() const { return timeouts_; }
  const Congestion& congestion() const { return congestion_; }
  RttEstimator& rtt() { return rtt_; }
  const RttEstimator& rtt() const { return rtt_; }

  // --- For a snapshot like TCP_INFO ---
  State state() const { return state_; }
  const Scoreboard& board() const { return board_; }
  // Octets in flight (RFC 6675's pipe).
  uint32_t pipe() const { return board_.pipe() - reno_bytes_; }
  // Segments: SACKed or, without SACK, taken for delivered because of duplicates.
  uint32_t sacked_segments() const { return sack_ ? board_.sacked().segments : reno_segments_; }
  uint32_t window_segments() const { return mss_ == 0 ? 0 : congestion_.window() / mss_; }
  // UINT32_MAX / MSS or so before the first loss: "infinite".
  uint32_t threshold_segments() const { return mss_ == 0 ? 0 : congestion_.threshold() / mss_; }
  uint32_t total_retransmissions() const { return total_retransmissions_; }
  uint32_t reordering() const { return reordering_; }
  uint32_t undos() const { return undos_; }
  uint32_t tail_probes() const { return tail_probes_; }
  uint32_t bogus_sacks() const { return bogus_sacks_; }
  uint32_t dsacks() const { return dsacks_; }
  // Segments known to be delivered, the SYN included; and those that an acknowledgement with ECE told of.
  uint32_t delivered() const { return delivered_; }
  uint32_t delivered_ce() const { return delivered_ce_; }
  const Rack& rack() const { return rack_; }
  // Of the last data or FIN; Time() before that.
  Time last_sent() const { return last_sent_; }

  // Nothing has been in flight for a while: memory that only a burst needs goes back.
  void OnIdle() { board_.GiveBack(); }
  void Clear();

 private:
  static void Bump(uint16_t& counter, uint32_t by = 1) {
    counter = static_cast<uint16_t>(std::min<uint32_t>(counter + by, UINT16_MAX));
  }

  struct Prr {
    uint32_t base = 0;       // RecoverFS: octets in flight when the reduction began
    uint32_t delivered = 0;  // since then
    uint32_t out = 0;        // sent since then
  };

  // One past the last queued octet, the FIN not counted.
  SeqNum DataEnd() const { return data_end_; }

  // --- sender.cc ---
  std::optional<Plan> NextOfSome() const;
  std::optional<Plan> NextRepair() const;
  std::optional<Plan> NextNew(bool past_window) const;
  std::optional<Plan> NextTailProbe() const;
  // Sender's silly-window avoidance, Nagle and cork (RFC 9293 §3.8.6.2.1, §3.7.4).
  bool WorthSending(uint32_t bytes, bool all) const;
  bool EndsRun(const Plan& plan, uint32_t left, uint32_t room) const;
  void NoteRepair(const Plan& plan, Time now);
  void NoteNew(const Plan& plan, Time now);
  void NoteUse();

  // --- sender_ack.cc ---
  void UpdateWindow(const AckInput& in);
  void Digest(const AckInput& in, bool duplicate);
  Scoreboard::Delivery StartDelivery(Time arrived) const;
  void Advance(SeqNum ack, Scoreboard::Delivery* delivery);
  void TakeRtt(const AckInput& in, const Scoreboard::Delivery& delivery, bool advanced);
  void NoteDsack(const Scoreboard::Delivery& delivery);
  void NoteReordering(const Scoreboard::Delivery& delivery);
  bool JudgeTailProbe(const AckInput& in, const Scoreboard::Delivery& delivery, bool advanced, bool duplicate);
  bool IsReducing() const { return state_ == State::kCwr || state_ == State::kRecovery; }
  void Grow(const AckInput& in, const Scoreboard::Delivery& delivery, bool advanced);
  void Reduce(uint32_t delivered, bool safe);
  bool WindowIsUsed() const;
  void UpdateQuiet();

  // --- sender_recovery.cc ---
  void React(const AckInput& in, Scoreboard::Delivery* delivery, bool advanced, bool duplicate);
  void ReactInRecovery(const AckInput& in, Scoreboard::Delivery* delivery, bool advanced, bool duplicate);
  void ReactInLoss(const AckInput& in, const Scoreboard::Delivery& delivery, bool advanced, bool duplicate);
  void ReactOpenly(const AckInput& in, Scoreboard::Delivery* delivery, bool advanced, bool duplicate);
  void LeaveIfCovered(const AckInput& in);
  void Settle(bool ece);
  void StartReduction();
  void EnterCwr();
  void EnterRecovery(bool ece);
  void EnterLoss(Time now);
  void StartUndo();
  bool MayUndo(const AckInput& in) const;
  bool CameBeforeRetransmission(const AckInput& in) const;
  void Undo(bool forget_losses);
  bool UndoByDsack();
  bool UndoLoss(const AckInput& in, bool by_frto);
  // True when a retransmission was found lost.
  bool FindLosses(Time now, bool advanced);
  void FindByRack(Time now);
  void FindByCount();
  void FindReno(bool advanced);
  Duration ReorderWindow() const;
  void AddDuplicate(Scoreboard::Delivery* delivery);
  void EatDuplicates(uint32_t acked_segments, Scoreboard::Delivery* delivery);
  void SetReno(uint32_t segments);
  uint32_t ReductionBase() const;
  // Of the timestamp clock. Rarely asked: where something was retransmitted.
  uint32_t Ticks(Time time) const { return TimestampClock(config_->timestamp_tick).Ticks(time); }

  // --- sender_timers.cc ---
  void RestartTimers(Time now);
  void ArmTailProbe(Time now);
  void SetAux(TimerKind kind, Time deadline) { aux_kind_ = kind, aux_deadline_ = deadline; }

  // What a predicted segment that acknowledges nothing new looks at and changes: kReceiveHotBytes, at the front.
  SeqNum una_;
  SeqNum nxt_;
  SeqNum una_data_;  // sequence number of the first octet in queue_: SND.UNA, or ISS + 1 before that
  SeqNum data_end_;  // one past the last octet in queue_
  SeqNum wl1_;
  SeqNum wl2_;
  uint32_t wnd_ = 0;
  uint32_t max_wnd_ = 0;  // largest window the peer ever offered
  State state_ = State::kOpen;
  bool quiet_ = true;  // kOpen, nothing SACKed, no probe out
  uint8_t shift_ = 0;
  bool fin_queued_ : 1 = false;
  bool fin_sent_ : 1 = false;
  bool fin_acknowledged_ : 1 = false;
  bool sack_ : 1 = false;
  bool ecn_ : 1 = false;
  bool nodelay_ : 1 = true;
  bool cork_ : 1 = false;
  bool more_ : 1 = false;  // the last Queue() said that more follows

  // What sending a segment, or its acknowledgement, takes beside that.
  SeqNum max_;
  uint32_t mss_ = kDefaultMss;
  TimerKind aux_kind_ = TimerKind::kNone;
  bool urgent_ : 1 = false;
  bool let_out_ : 1 = false;  // what is queued goes out whatever Nagle and cork say
  bool has_small_ : 1 = false;
  bool used_ : 1 = false;     // in this window the sender was limited by the congestion window
  bool cwr_due_ : 1 = false;  // the next new segment bears CWR
  bool tail_probe_due_ : 1 = false;
  bool shut_probe_due_ : 1 = false;      // the window closed behind what was sent, and the timer expired
  bool tail_probe_out_ : 1 = false;      // unanswered, sent when SND.NXT was tail_probe_end_
  bool tail_probe_repeats_ : 1 = false;  // it was a retransmission
  bool frto_ : 1 = false;                // RFC 5682: the time-out may have been spurious
  bool frto_new_ : 1 = false;            // its step 2b: new data first
  bool undo_armed_ : 1 = false;          // since undo_marker_ there is something to undo
  bool retransmitted_ : 1 = false;       // since state_ was last kOpen, first at first_retransmit_tick_
  SeqNum small_end_;                     // end of the last short segment sent (Nagle by Minshall's rule)
  SeqNum push_end_;                      // end of the last Queue() without `more`
  SeqNum use_end_;                       // una_ here: the next window of use begins
  uint32_t use_most_ = 0;                // octets in flight, the most in this window of use
  uint32_t burst_ = 0;                   // new segments since BeginBurst()
  uint32_t timeouts_ = 0;                // in a row, without an acknowledgement of new data
  uint32_t shut_timeouts_ = 0;           // of those, while the window was shut: not for R2 (SHLD-17)
  uint32_t delivered_ = 0;               // segments
  uint32_t duplicates_ = 0;              // without SACK: since SND.UNA moved (RFC 5681 §2)
  SeqNum high_seq_;                      // SND.NXT when state_ was entered ("recovery point")
  SeqNum recover_;                       // RFC 6582: SND.MAX when the last loss was detected
  Time last_sent_;
  Time rto_deadline_ = Time::Infinite();
  Time aux_deadline_ = Time::Infinite();  // reordering or tail probe
  const StackConfig* config_;
  SendQueue queue_;
  Scoreboard board_;
  Rack rack_;
  Congestion congestion_;
  RttEstimator rtt_;

  // When something was lost, seems so, or is unusual.
  uint32_t reno_segments_ = 0;  // without SACK: delivered, we know not which
  uint32_t reno_bytes_ = 0;
  uint32_t first_retransmit_tick_ = 0;
  int32_t undo_retransmits_ = -1;  // retransmissions not reported as needless; negative: none were made
  SeqNum tail_probe_end_;
  SeqNum undo_marker_;         // SND.UNA when the last loss was detected
  uint32_t prior_flight_ = 0;  // flight() before the acknowledgement that is being digested
  Prr prr_;
  SeqNum up_;  // SND.UP
  SeqNum iss_;
  uint32_t reordering_;  // segments
  uint32_t total_retransmissions_ = 0;
  // These saturate.
  uint16_t undos_ = 0;
  uint16_t tail_probes_ = 0;
  uint16_t bogus_sacks_ = 0;
  uint16_t dsacks_ = 0;
  uint32_t delivered_ce_ = 0;
};

}  // namespace luna::tcp

#endif  // LUNA_NET_TCP_SENDER_H_
