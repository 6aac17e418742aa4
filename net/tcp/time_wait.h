#ifndef LUNA_NET_TCP_TIME_WAIT_H_
#define LUNA_NET_TCP_TIME_WAIT_H_

// TimeWaitTable: connections in TIME-WAIT, as records of one cache line without buffers or timers (RFC 9293 §3.6.1),
// and four octets of index each.
//
// All records wait equally long, so a queue in order of expiry serves as their timer. A record that is removed, or
// extended and thereby written anew, leaves its place in the queue when its turn comes. O(1) amortised throughout;
// bounded: beyond the limit the oldest goes.
//
// A SYN cookie is good for minutes, and any old duplicate of an acknowledgement has it: it would open the connection
// again, and deliver its octets again. So a connection that a cookie opened leaves a record however it ends, for as
// long as old duplicates live, which is what TIME-WAIT's length says. Where it is not TIME-WAIT, the record bars
// cookies and takes a record's room, and does nothing else.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "luna/net/tcp/seq.h"
#include "luna/net/tcp/tuple_hash.h"
#include "luna/net/wire/address.h"
#include "luna/sched/clock/time.h"

namespace luna::tcp {

// What TIME-WAIT remembers of a connection.
struct TimeWaitValues {
  SeqNum snd_nxt;  // the sequence number of our ACKs
  SeqNum rcv_nxt;
  uint32_t ts_recent = 0;
  bool timestamps = false;
};

class TimeWaitRecord {
 public:
  const wire::FourTuple& tuple() const { return tuple_; }
  SeqNum snd_nxt() const { return snd_nxt_; }
  SeqNum rcv_nxt() const { return rcv_nxt_; }
  uint32_t ts_recent() const { return ts_recent_; }
  bool timestamps() const { return (expires_ & kTimestamps) != 0; }

 private:
  friend class TimeWaitTable;
  static constexpr int64_t kTimestamps = 1;
  static constexpr int64_t kFlags = kTimestamps;

  Time expires() const { return Time::FromNanoseconds(expires_ & ~kFlags); }

  wire::FourTuple tuple_;
  int64_t expires_ = 0;  // nanoseconds; the lowest bits: kFlags
  SeqNum snd_nxt_;
  SeqNum rcv_nxt_;
  uint32_t ts_recent_ = 0;
  uint32_t next_ = 0;  // in the queue, or in the list of free ones
};
static_assert(sizeof(TimeWaitRecord) <= 64);

class TimeWaitTable {
 public:
  TimeWaitTable(Duration duration, size_t limit, const Secret& secret)
      : duration_(duration), limit_(limit), index_(0, Hash{&records_, TupleHash(secret)}, Same{&records_}) {}
  TimeWaitTable(const TimeWaitTable&) = delete;
  TimeWaitTable& operator=(const TimeWaitTable&) = delete;

  void Add(const wire::FourTuple& tuple, const TimeWaitValues& values, Time now) {
    if (limit_ == 0) return;
    Remove(tuple);
    while (queued_ >= limit_) PopFront();
    const uint32_t slot = TakeSlot();
    TimeWaitRecord& record = records_[slot];
    record.tuple_ = tuple;
    record.expires_ = ((now + duration_).nanoseconds() & ~TimeWaitRecord::kFlags) |
                      (values.timestamps ? TimeWaitRecord::kTimestamps : 0);
    record.snd_nxt_ = values.snd_nxt;
    record.rcv_nxt_ = values.rcv_nxt;
    record.ts_recent_ = values.ts_recent;
    index_.insert(slot);
    PushBack(slot);
  }

  // Valid until the next Add(), Remove() or Expire().
  TimeWaitRecord* Find(const wire::FourTuple& tuple) {
    const auto found = index_.find(tuple);
    return found == index_.end() ? nullptr : &records_[*found];
  }
  const TimeWaitRecord* Find(const wire::FourTuple& tuple) const {
    return const_cast<TimeWaitTable*>(this)->Find(tuple);
  }

  // The peer retransmitted its FIN: the wait begins again, unless most of it is still to come. (The old place in the
  // queue stays taken, so this may not happen for every segment.)
  TimeWaitRecord* Extend(TimeWaitRecord* record, Time now) {
    if (now + duration_ - record->expires() < duration_ / 8) return record;
    const wire::FourTuple tuple = record->tuple_;
    Add(tuple, {record->snd_nxt_, record->rcv_nxt_, record->ts_recent_, record->timestamps()}, now);
    return Find(tuple);
  }

  // A new connection takes the place (RFC 6191).
  void Remove(const wire::FourTuple& tuple) {
    const auto found = index_.find(tuple);
    if (found == index_.end()) return;
    records_[*found].expires_ = kRemoved;
    index_.erase(found);
    DropRemoved();
  }

  // Drops what has expired.
  void Expire(Time now) {
    while (head_ != kNone && records_[head_].expires() <= now) PopFront();
  }

  // When the first of them expires.
  Time NextDeadline() const { return head_ == kNone ? Time::Infinite() : records_[head_].expires(); }
  size_t size() const { return index_.size(); }
  // Records in memory, those of removed ones included. For tests.
  size_t queued() const { return queued_; }

 private:
  static constexpr uint32_t kNone = UINT32_MAX;
  static constexpr int64_t kRemoved = INT64_MIN;

  struct Hash {
    using is_transparent = void;
    const std::vector<TimeWaitRecord>* records;
    TupleHash hash;
    size_t operator()(uint32_t slot) const { return hash((*records)[slot].tuple()); }
    size_t operator()(const wire::FourTuple& tuple) const { return hash(tuple); }
  };
  struct Same {
    using is_transparent = void;
    const std::vector<TimeWaitRecord>* records;
    bool operator()(uint32_t a, uint32_t b) const { return a == b; }
    bool operator()(uint32_t slot, const wire::FourTuple& tuple) const { return (*records)[slot].tuple() == tuple; }
    bool operator()(const wire::FourTuple& tuple, uint32_t slot) const { return (*records)[slot].tuple() == tuple; }
  };

  uint32_t TakeSlot() {
    if (free_ == kNone) {
      records_.emplace_back();
      return static_cast<uint32_t>(records_.size() - 1);
    }
    const uint32_t slot = free_;
    free_ = records_[slot].next_;
    return slot;
  }

  void PushBack(uint32_t slot) {
    records_[slot].next_ = kNone;
    (tail_ == kNone ? head_ : records_[tail_].next_) = slot;
    tail_ = slot;
    ++queued_;
  }

  void PopFront() {
    index_.erase(index_.find(records_[head_].tuple_));
    FreeFront();
    DropRemoved();
  }

  // At the head of the queue there is never a removed one.
  void DropRemoved() {
    while (head_ != kNone && records_[head_].expires_ == kRemoved) FreeFront();
  }

  void FreeFront() {
    const uint32_t slot = head_;
    head_ = records_[slot].next_;
    if (head_ == kNone) tail_ = kNone;
    --queued_;
    records_[slot].next_ = free_;
    free_ = slot;
  }

  Duration duration_;
  size_t limit_;
  std::vector<TimeWaitRecord> records_;
  absl::flat_hash_set<uint32_t, Hash, Same> index_;
  uint32_t head_ = kNone;  // of the queue
  uint32_t tail_ = kNone;
  uint32_t free_ = kNone;
  size_t queued_ = 0;
};

}  // namespace luna::tcp

#endif  // LUNA_NET_TCP_TIME_WAIT_H_
