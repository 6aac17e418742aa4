#ifndef LUNA_NET_TCP_SENDER_H_
#define LUNA_NET_TCP_SENDER_H_

// Sender: the send half of a connection: what is queued, what may be sent next, what an acknowledgement releases, and
// loss recovery by NewReno (RFC 5681, RFC 6582, RFC 3042). Sequence variables as in RFC 9293 §3.3.1; SND.MAX is the
// highest number ever sent + 1 (SND.NXT goes back to SND.UNA at a time-out).
//
// It builds no packets and owns no timer: Next() says which segment to send, OnSent() that it left, and the owner keeps
// the deadline that NeedsTimer() asks for.

#include <cstdint>
#include <optional>

#include "luna/mem/zbuf/zchain.h"
#include "luna/net/tcp/config.h"
#include "luna/net/tcp/new_reno.h"
#include "luna/net/tcp/rtt.h"
#include "luna/net/tcp/send_queue.h"
#include "luna/net/tcp/seq.h"
#include "luna/sched/clock/time.h"

namespace luna::tcp {

class Sender {
 public:
  // One segment to be sent.
  struct Plan {
    SeqNum seq;
    uint32_t bytes = 0;  // payload
    bool fin = false;
    bool push = false;  // the last octet that is queued (RFC 9293 §3.9.1.2)
    bool retransmit = false;
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

  explicit Sender(const StackConfig& config);

  // Before the SYN: SND.UNA = ISS, SND.NXT = SND.MAX = ISS + 1 once it is sent.
  void StartSyn(SeqNum iss);
  // Our SYN was acknowledged: data begins at ISS + 1. `mss`: payload octets per segment, options taken off.
  void Establish(uint32_t mss, uint8_t shift);
  // The first window (unscaled in SYN segments, RFC 7323 §2.2), or any later one that passed the WL1/WL2 test.
  void SetWindow(uint32_t window, SeqNum seq, SeqNum ack);

  // --- Application side ---
  void Queue(zbuf::ZChain data) { queue_.Append(std::move(data)); }
  SendQueue& queue() { return queue_; }
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
  void set_nagle(bool on) { nodelay_ = !on; }
  // Corked, or told that more follows: nothing less than a full segment leaves.
  void set_cork(bool on) { cork_ = on; }
  void set_more(bool on) { more_ = on; }
  bool corked() const { return cork_ || more_; }

  // --- Sending ---
  // The segment to send now, if any. Pure.
  std::optional<Plan> Next() const;
  // `plan` was built and left at `now`.
  void OnSent(const Plan& plan, Time now);
  // One octet (or the FIN) past a closed window, to probe it (RFC 9293 §3.8.6.1); what fits, when the window is merely
  // too small. Pure.
  std::optional<Plan> Probe() const;
  // Data or a FIN waits that may not be sent, and nothing is in flight whose acknowledgement would change that.
  bool NeedsProbe() const;
  // Queued octets, or the FIN, that have not been sent yet (whether or not they may be).
  bool HasUnsent() const { return nxt_ < DataEnd() || (fin_queued_ && !fin_sent_); }
  // The probe left. What is past the window is not in flight.
  void OnProbeSent(const Plan& plan, Time now);

  // --- Acknowledgement ---
  // `window` is scaled already; `has_data`: the segment carried payload, SYN or FIN.
  Ack OnAck(SeqNum ack, SeqNum seq, uint32_t window, bool has_data, Time now);
  // The header-prediction path: a new acknowledgement outside recovery. Pre: una() < ack <= max().
  void OnNewAck(SeqNum ack, Time now);
  // Retransmission time-out: go back to SND.UNA and back off. Returns how often this has happened in a row.
  uint32_t OnTimeout();
  // The connection was idle for longer than the RTO before this send (RFC 5681 §4.1).
  void MaybeRestartAfterIdle(Time now);

  bool FinAcknowledged() const { return fin_acknowledged_; }

  SeqNum iss() const { return iss_; }
  SeqNum una() const { return una_; }
  SeqNum nxt() const { return nxt_; }
  SeqNum max() const { return max_; }
  // The number of a segment without data. SND.MAX, since after a time-out the peer may long have what lies below it,
  // and would ignore an acknowledgement with an old number; but not beyond the right edge, where a probe may have gone.
  SeqNum AckSequence() const { return max_ <= una_ + wnd_ ? max_ : una_ + wnd_; }
  uint32_t window() const { return wnd_; }
  uint32_t mss() const { return mss_; }
  uint8_t shift() const { return shift_; }
  uint32_t flight() const { return static_cast<uint32_t>(nxt_ - una_); }
  bool in_recovery() const { return in_recovery_; }
  uint32_t timeouts() const { return timeouts_; }
  const NewReno& congestion() const { return congestion_; }
  RttEstimator& rtt() { return rtt_; }
  const RttEstimator& rtt() const { return rtt_; }

  void Clear() { queue_.Clear(); }

 private:
  // One past the last queued octet, the FIN not counted.
  SeqNum DataEnd() const { return una_data_ + queue_.bytes(); }
  void ReleaseUpTo(SeqNum ack);
  void TakeRttSample(SeqNum ack, Time now);
  void OnDuplicate();
  void OnAckInRecovery(SeqNum ack, uint32_t acked);
  // Sender's silly-window avoidance and Nagle (RFC 9293 §3.8.6.2.1).
  bool WorthSending(uint32_t bytes, bool all) const;

  // Per packet.
  SeqNum una_;
  SeqNum nxt_;
  SeqNum max_;
  SeqNum una_data_;  // sequence number of the first octet in queue_: SND.UNA, or ISS + 1 before that
  SeqNum wl1_;
  SeqNum wl2_;
  uint32_t wnd_ = 0;
  uint32_t max_wnd_ = 0;  // largest window the peer ever offered
  uint32_t mss_ = kDefaultMss;
  uint8_t shift_ = 0;
  bool fin_queued_ = false;
  bool fin_sent_ = false;
  bool fin_acknowledged_ = false;
  bool nodelay_ = true;
  bool cork_ = false;
  bool more_ = false;
  bool urgent_ = false;
  bool in_recovery_ = false;
  bool retransmit_una_ = false;  // the segment at SND.UNA is to be sent again, once
  bool timing_ = false;          // an RTT measurement runs (Karn: never over a retransmission)
  uint8_t dup_acks_ = 0;
  uint32_t timeouts_ = 0;  // in a row, without an acknowledgement of new data
  SeqNum recover_;         // RFC 6582: SND.MAX when the last loss was detected
  SeqNum timed_seq_;       // acknowledged past this: the measurement ends
  Time timed_at_;
  Time last_sent_;
  NewReno congestion_;
  RttEstimator rtt_;
  SendQueue queue_;
  // Rare.
  SeqNum up_;  // SND.UP
  SeqNum iss_;
  Duration rto_after_syn_loss_;
  uint32_t initial_segments_;
};

}  // namespace luna::tcp

#endif  // LUNA_NET_TCP_SENDER_H_
