#ifndef LUNA_NET_TCP_RACK_H_
#define LUNA_NET_TCP_RACK_H_

// Rack: the variables of RFC 8985 §5.2, and what is done to them when a segment is delivered. Which segments are lost
// by them is the Sender's to find, on its Scoreboard.

#include <algorithm>
#include <cstdint>

#include "luna/net/tcp/seq.h"
#include "luna/sched/clock/time.h"

namespace luna::tcp {

class Rack {
 public:
  // §6.2 step 2: of all delivered segments the one sent last. `repeated`: that was not its first transmission.
  void Delivered(Time sent_at, SeqNum end, bool repeated, Time now) {
    rtt_ = now - sent_at;
    if (valid_ && (!After(sent_at, end, false) || (sent_at == sent_at_ && repeated_ && !repeated))) return;
    valid_ = true;
    sent_at_ = sent_at;
    end_ = end;
    repeated_ = repeated;
  }

  // §6.2 step 4: the peer reports that it got something twice, so that the window was too short: once per round trip.
  void OnDsack(SeqNum una, SeqNum nxt) {
    if (in_dsack_round_ && una < dsack_round_) return;
    in_dsack_round_ = true;
    dsack_round_ = nxt;
    if (steps_ < UINT8_MAX) ++steps_;
    persist_ = kPersist;
  }
  // An acknowledgement moved SND.UNA: a round trip may be over.
  void OnUna(SeqNum una) {
    if (in_dsack_round_ && una >= dsack_round_) in_dsack_round_ = false;
  }
  // A recovery ended: after kPersist of them without D-SACK the window is short again.
  void OnRecoveryExit() {
    if (persist_ > 0 && --persist_ == 0) steps_ = 1;
  }
  void OnReordering() { reordering_seen_ = true; }

  // §6.2 step 4: RACK.reo_wnd when reordering has to be expected.
  Duration Window(Duration min_rtt, Duration srtt) const { return std::min(min_rtt * steps_ / 4, srtt); }

  // Whether the segment (sent_at, end) was sent after the newest delivered one (RACK_sent_after). Of what left at one
  // and the same time only first transmissions, and only repetitions, are in the order of their numbers: a repetition
  // may have left behind a first transmission that is beyond it.
  bool After(Time sent_at, SeqNum end, bool repeated) const {
    return sent_at > sent_at_ || (sent_at == sent_at_ && (end > end_ || (repeated && !repeated_)));
  }
  // How long the segment sent at `sent_at` may still be on its way. Not positive: it is lost.
  Duration Remaining(Time sent_at, Duration window, Time now) const { return sent_at + rtt_ + window - now; }

  bool valid() const { return valid_; }
  Duration rtt() const { return rtt_; }
  bool reordering_seen() const { return reordering_seen_; }
  uint32_t steps() const { return steps_; }

 private:
  static constexpr uint8_t kPersist = 16;

  Time sent_at_;
  Duration rtt_;
  SeqNum end_;
  SeqNum dsack_round_;
  bool valid_ = false;
  bool in_dsack_round_ = false;
  bool reordering_seen_ = false;
  bool repeated_ = false;  // the newest delivered one
  uint8_t steps_ = 1;      // quarters of the minimum round trip: RACK.reo_wnd_mult
  uint8_t persist_ = kPersist;
};

}  // namespace luna::tcp

#endif  // LUNA_NET_TCP_RACK_H_
