#ifndef LUNA_NET_TCP_ACK_POLICY_H_
#define LUNA_NET_TCP_ACK_POLICY_H_

// AckPolicy: when a connection acknowledges what it has received (RFC 9293 §3.8.6.3, RFC 5681 §4.2).
//
//   at once   a second full-sized segment (SHLD-19); whatever is out of order, fills a hole, or was received before;
//             a FIN (unless StackConfig::delay_fin_ack); the first StackConfig::quick_acks acknowledgements with new
//             data of a connection, and again after a pause of more than an RTO (a peer in slow start lives on
//             acknowledgements); what the application has read to the end, when StackConfig::ack_on_read says so
//   later     all else: StackConfig::delayed_ack after the oldest octet (MUST-40: below 500 ms), or with the next
//   segment
//
// "At once" is at the next flush, when the whole burst has been seen (MUST-59) and the handler has had its say: data
// that leaves then carries the acknowledgement, so none is ever sent, and none waits, in front of a response.
//
// Conversations. An application that answers within the delay makes an acknowledgement of its own superfluous. Having
// seen that, quick acknowledgements and those on reading are given up ("ping-pong"), until a delay runs out without an
// answer.
//
// Segments out of order are counted: each gets a duplicate acknowledgement of its own (RFC 5681 §4.2).
// The owner keeps the timer: deadline(). Owned by Connection.

#include <algorithm>
#include <cstdint>

#include "luna/net/tcp/config.h"
#include "luna/net/tcp/rtt.h"
#include "luna/sched/clock/time.h"

namespace luna::tcp {

class AckPolicy {
 public:
  // The handshake is over; segments hold at most `mss` octets.
  void Start(uint32_t mss, const StackConfig& config) {
    mss_ = static_cast<uint16_t>(mss);
    segment_bytes_ = std::min<uint16_t>(mss_, kDefaultMss);
    quick_left_ = config.quick_acks;
  }

  // --- Receiving ---
  // RCV.NXT moved by `moved` octets because of a segment of `payload` octets. After a pause of more than the RTO of
  // `rtt` the peer is in slow start again.
  void OnInOrder(uint32_t moved, uint32_t payload, bool push, const RttEstimator& rtt, const StackConfig& config,
                 Time now) {
    duplicates_owed_ = 0;
    segment_bytes_ = static_cast<uint16_t>(std::max<uint32_t>(segment_bytes_, std::min<uint32_t>(payload, mss_)));
    // The estimator is seldom asked: no measured time-out is below rto_min.
    const Duration pause = now - last_received_;
    if (pause > config.rto_min && pause > rtt.rto()) quick_left_ = std::max(quick_left_, config.quick_acks);
    last_received_ = now;
    pushed_ |= push || payload < segment_bytes_;
    unacked_bytes_ += moved;
    if (unacked_segments_ < UINT8_MAX) ++unacked_segments_;
    if (IsDue(config)) {
      now_ = true;
    } else if (deadline_.is_infinite()) {
      deadline_ = now + config.delayed_ack;
    }
  }
  // The peer's FIN was reached, and the application may be about to close. Not before a FIN of our own. A peer that
  // never sent data is told at once: there is no delay yet that was learnt from it (Linux).
  void OnFin(const StackConfig& config, Time now) {
    if (!config.delay_fin_ack || config.delayed_ack == Duration::Zero() || last_received_ == Time()) {
      now_ = true;
      return;
    }
    conversation_ = true;
    if (!now_ && deadline_.is_infinite()) deadline_ = now + config.delayed_ack;
  }
  // So many segments ahead of RCV.NXT were seen.
  void OnOutOfOrder(uint32_t segments = 1) {
    duplicates_owed_ = static_cast<uint8_t>(std::min<uint32_t>(duplicates_owed_ + segments, UINT8_MAX));
  }
  // What was received before came again, or a congestion mark: the peer is in need of news.
  void OnTrouble(const StackConfig& config) {
    now_ = true;
    quick_left_ = std::max(quick_left_, config.quick_acks);
    conversation_ = false;
  }
  // The application took octets; `all`: there are no more.
  bool OnRead(bool all, const StackConfig& config) {
    if (!all || !pushed_ || conversation_ || !config.ack_on_read || unacked_bytes_ == 0) return false;
    return now_ = true;
  }
  // TCP_QUICKACK: on, nothing is delayed until the application answers; off, everything may be. True: something is due.
  bool SetQuick(bool on, const StackConfig& config) {
    conversation_ = !on;
    if (!on) return false;
    quick_left_ = std::max(quick_left_, config.quick_acks);
    if (unacked_bytes_ > 0) now_ = true;
    return now_;
  }
  bool quick() const { return !conversation_; }

  void Now() { now_ = true; }

  // --- Sending ---
  bool due() const { return now_; }
  uint8_t duplicates_owed() const { return duplicates_owed_; }
  // A segment with an acknowledgement has left. `duplicate`: one of duplicates_owed().
  void OnSent() {
    if (unacked_bytes_ > 0 && quick_left_ > 0) --quick_left_;
    now_ = pushed_ = false;
    unacked_bytes_ = 0;
    unacked_segments_ = 0;
    deadline_ = Time::Infinite();
  }
  void OnDuplicateSent() { --duplicates_owed_; }
  // New data has left. Call before OnSent().
  void OnDataSent(const StackConfig& config, Time now) {
    if (now - last_received_ < config.delayed_ack) conversation_ = true;
  }

  // --- Time ---
  Time deadline() const { return deadline_; }
  void OnDeadline() {
    deadline_ = Time::Infinite();
    conversation_ = false;
    now_ = true;
  }
  void ClearDeadline() { deadline_ = Time::Infinite(); }

  // Received in order since the last acknowledgement.
  uint32_t unacked_bytes() const { return unacked_bytes_; }
  // When octets came in order the last time; Time() before that.
  Time last_received() const { return last_received_; }
  // Size of the peer's full segments, as far as it has been seen.
  uint32_t segment_bytes() const { return segment_bytes_; }

 private:
  bool IsDue(const StackConfig& config) const {
    if (unacked_bytes_ > (config.ack_every_segments - 1) * segment_bytes_ || config.delayed_ack == Duration::Zero())
      return true;
    if (config.ack_small_segments && unacked_segments_ >= config.ack_every_segments) return true;
    return quick_left_ > 0 && !conversation_;
  }

  bool now_ : 1 = false;           // an acknowledgement is due at the next flush
  bool pushed_ : 1 = false;        // the peer had no more to say, for now
  bool conversation_ : 1 = false;  // the application answers
  uint8_t duplicates_owed_ = 0;
  uint8_t quick_left_ = 0;
  uint8_t unacked_segments_ = 0;  // saturates
  uint32_t unacked_bytes_ = 0;
  Time deadline_ = Time::Infinite();
  Time last_received_;
  uint16_t segment_bytes_ = kDefaultMss;
  uint16_t mss_ = kDefaultMss;
};

}  // namespace luna::tcp

#endif  // LUNA_NET_TCP_ACK_POLICY_H_
