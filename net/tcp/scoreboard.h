#ifndef LUNA_NET_TCP_SCOREBOARD_H_
#define LUNA_NET_TCP_SCOREBOARD_H_

// Scoreboard: what is known of each transmitted segment in [SND.UNA, SND.NXT) (RFC 2018 §5, RFC 6675 §3, RFC 8985
// §5.3).
//
// One record of 16 octets per segment, in the order of sequence numbers, in a ring: sending pushes at the back, a
// cumulative acknowledgement pops from the front. A few records lie inside the object; beyond that the ring lives on
// the heap and doubles, so that no packet costs an allocation, and goes back inside once it is empty and was little
// used, or the sender has fallen idle. Times are those of the last transmission.
//
// The accounts are Linux's: a segment is delivered (SACKed), or lost, or neither; a lost one may be retransmitted,
// which puts it in flight again. So, in octets and in segments,
//
//   pipe = in flight = all - sacked - lost + retransmitted      (RFC 6675 §4 SetPipe)
//
// The board judges SACK blocks (only what lies inside [SND.UNA, SND.NXT) counts) and keeps the accounts; which segment
// is lost is for others to say (Sender: RACK, RFC 6675, NewReno, time-out).
// One thread. Complexity: Push, front pops O(1); ApplySack O(log n + records in the block); Split O(n).

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/types/span.h"
#include "glog/logging.h"
#include "luna/net/tcp/seq.h"
#include "luna/net/wire/tcp_options.h"
#include "luna/sched/clock/time.h"

namespace luna::tcp {

class Scoreboard {
 public:
  // One transmitted segment.
  struct Record {
    static constexpr uint8_t kSacked = 1;         // delivered, by a SACK block
    static constexpr uint8_t kLost = 2;           // thought lost
    static constexpr uint8_t kRetransmitted = 4;  // lost, and sent again since: in flight
    static constexpr uint8_t kEver = 8;           // sent more than once: Karn's rule
    static constexpr uint8_t kFin = 16;
    static constexpr uint8_t kPush = 32;

    Time sent_at;
    SeqNum seq;
    uint16_t bytes = 0;  // payload
    uint8_t flags = 0;

    bool Is(uint8_t flag) const { return (flags & flag) != 0; }
    // Sequence numbers that it takes.
    uint32_t length() const { return bytes + (Is(kFin) ? 1u : 0u); }
    SeqNum end() const { return seq + length(); }
    // Lost, and not sent again yet.
    bool waits() const { return (flags & (kLost | kRetransmitted)) == kLost; }
  };
  static_assert(sizeof(Record) == 16);

  // Octets and segments of one kind.
  struct Account {
    uint32_t bytes = 0;
    uint32_t segments = 0;
  };

  // What one acknowledgement delivered, by its number and by its SACK blocks together.
  struct Delivery {
    // --- In: set by the caller, and by Start() ---
    Time now;          // when the acknowledgement arrived
    Duration min_rtt;  // a retransmission acknowledged sooner is not what was acknowledged (RFC 8985 §6.2 step 2)
    SeqNum high_seq;   // for original_delivered
    bool check_high = false;  // whether high_seq means anything
    uint32_t window = 0;      // the largest the peer ever offered: no D-SACK reaches back further
    bool has_fack = false;    // something was SACKed before, …
    SeqNum fack;              // … up to here

    // --- Out ---
    uint32_t bytes = 0;     // newly delivered
    uint32_t segments = 0;  // likewise
    uint32_t acked_segments = 0;
    uint32_t sacked_segments = 0;       // newly, by SACK blocks
    bool original_delivered = false;    // something sent once only, below high_seq (F-RTO, RFC 5682)
    bool retransmission_acked = false;  // the number passed something sent more than once
    bool has_rtt = false;               // something sent once only was acknowledged by number …
    Time oldest_sent;                   // … the first of it
    Time newest_sent;                   // … and the last
    bool has_sack_rtt = false;          // the same by SACK
    Time sack_oldest_sent;              //
    Time sack_newest_sent;              //
    bool has_newest = false;            // RFC 8985 §6.2: the delivered segment that was sent last
    Time rack_sent;                     //
    SeqNum rack_end;                    //
    bool rack_repeated = false;         //
    bool reordered = false;             // something sent once only came after something above it
    SeqNum reordered_low;               // the lowest of that
    bool dsack = false;                 // RFC 2883: the peer got this twice
    SeqNum dsack_left;                  //
    SeqNum dsack_right;                 //
    uint8_t bogus_blocks = 0;           // SACK blocks of what was never sent
  };

  Scoreboard() = default;
  ~Scoreboard() {
    if (on_heap()) delete[] heap_;
  }
  Scoreboard(const Scoreboard&) = delete;
  Scoreboard& operator=(const Scoreboard&) = delete;

  bool empty() const { return count_ == 0; }
  size_t size() const { return count_; }
  const Record& at(size_t i) const { return slots()[(first_ + i) & (capacity_ - 1)]; }
  const Record& front() const { return at(0); }
  const Record& back() const { return at(count_ - 1); }
  // Index of the record that holds `seq`. Pre: front().seq <= seq < back().end(). O(log n).
  size_t Find(SeqNum seq) const;

  // A segment left for the first time. Pre: it begins where the last one ends; bytes + fin > 0.
  void Push(SeqNum seq, uint32_t bytes, bool fin, bool push, bool ever, Time now);
  // Record `i` left again, as a repair: it is in flight once more. Pre: i == FirstWaiting().
  void Retransmitted(size_t i, Time now);
  // Record `i` left again as a probe of the tail (RFC 8985 §7): not a repair, the accounts stay.
  void Probed(size_t i, Time now);
  // Cuts record `i` after `bytes` octets of payload. Pre: 0 < bytes < at(i).length(). O(n).
  void Split(size_t i, uint32_t bytes);

  // Before an acknowledgement is applied: notes what was SACKed until now.
  void Start(Delivery* delivery) const {
    delivery->has_fack = sacked_.segments > 0;
    delivery->fack = highest_sacked_;
  }
  // The cumulative acknowledgement. Pre: front().seq <= ack <= back().end(), when not empty.
  void AckTo(SeqNum ack, Delivery* delivery);
  // The SACK blocks of a segment that acknowledged `una`. `mss`: records longer than that are cut where a block ends.
  void ApplySack(absl::Span<const wire::TcpSackBlock> blocks, SeqNum una, uint32_t mss, Delivery* delivery);

  // Thinks record `i` lost; once more so when it was retransmitted. No effect on what is SACKed. True: news.
  bool MarkLost(size_t i);
  // Nothing is lost (an undone loss). What was retransmitted is in flight, counted once.
  void ForgetLosses();
  // The peer has thrown away what it had SACKed (RFC 2018 §8): nothing is.
  void ForgetSacks();

  // First record that waits to be retransmitted, or size().
  size_t FirstWaiting() const;
  bool AnyWaiting() const { return waiting_ > 0; }
  // How often MarkLost() has had news, modulo 2^32.
  uint32_t losses() const { return losses_; }

  const Account& sacked() const { return sacked_; }
  const Account& lost() const { return lost_; }
  const Account& retransmitted() const { return retransmitted_; }
  // RFC 6675's pipe, in octets.
  uint32_t pipe() const { return bytes_ - sacked_.bytes - lost_.bytes + retransmitted_.bytes; }
  // One past the highest SACKed number ("fack"); SND.UNA when nothing is SACKed. Pre: !empty().
  SeqNum highest_sacked() const { return sacked_.segments > 0 ? highest_sacked_ : front().seq; }

  // The sender is idle: what a burst has left on the heap, beyond a little, goes back. No effect unless empty. O(1).
  void GiveBack();

  // Records that fit without the heap being touched.
  size_t capacity() const { return capacity_; }
  void Clear();
  // Recounts everything. For tests and DCHECKs.
  bool IsConsistent() const;

 private:
  static constexpr uint32_t kInlineRecords = 2;  // what a request, or a response of two segments, takes
  static constexpr uint32_t kKeptRecords = 64;   // a ring of this size stays on the heap however little it is used

  bool on_heap() const { return capacity_ > kInlineRecords; }
  const Record* slots() const { return on_heap() ? heap_ : inline_; }
  Record* slots() { return on_heap() ? heap_ : inline_; }
  Record& slot(size_t i) { return slots()[(first_ + i) & (capacity_ - 1)]; }
  void Grow();
  void Emptied();
  void Deliver(const Record& record, bool by_sack, Delivery* delivery);
  void TrimFront(uint32_t bytes, Delivery* delivery);
  void Sack(size_t i, Delivery* delivery);
  void SackRange(SeqNum left, SeqNum right, uint32_t mss, Delivery* delivery);
  bool IsDsack(absl::Span<const wire::TcpSackBlock> blocks, SeqNum una, Delivery* delivery) const;
  void Leave(const Record& record) {
    if (record.flags & (Record::kSacked | Record::kLost | Record::kRetransmitted)) LeaveAccounts(record);
  }
  void LeaveAccounts(const Record& record);

  static void Add(Account& account, uint32_t bytes) {
    account.bytes += bytes;
    ++account.segments;
  }
  static void Subtract(Account& account, uint32_t bytes) {
    DCHECK_GE(account.bytes, bytes);
    DCHECK_GT(account.segments, 0u);
    account.bytes -= bytes;
    --account.segments;
  }

  union {
    Record inline_[kInlineRecords] = {};
    Record* heap_;
  };
  uint32_t capacity_ = kInlineRecords;  // a power of two
  uint32_t first_ = 0;
  uint32_t count_ = 0;
  uint32_t bytes_ = 0;    // of all records
  uint32_t waiting_ = 0;  // records that wait to be retransmitted
  uint32_t losses_ = 0;
  uint32_t most_ = 0;  // records at once since the ring was last empty
  SeqNum hint_;        // no record below it waits
  SeqNum highest_sacked_;
  Account sacked_;
  Account lost_;
  Account retransmitted_;
};

}  // namespace luna::tcp

#endif  // LUNA_NET_TCP_SCOREBOARD_H_
