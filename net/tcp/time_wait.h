#ifndef LUNA_NET_TCP_TIME_WAIT_H_
#define LUNA_NET_TCP_TIME_WAIT_H_

// TimeWaitTable: connections in TIME-WAIT, as compact records without buffers or timers (RFC 9293 §3.6.1).
//
// All records wait equally long, so a queue in order of expiry serves as their timer. A record that is extended stays
// where it is in the queue and is put at the back when its turn comes. O(1) amortised throughout; bounded: beyond the
// limit the oldest record goes.

#include <cstddef>
#include <cstdint>
#include <deque>

#include "absl/container/flat_hash_map.h"
#include "luna/net/tcp/seq.h"
#include "luna/net/wire/address.h"
#include "luna/sched/clock/time.h"

namespace luna::tcp {

struct TimeWaitRecord {
  Time expires;
  SeqNum snd_nxt;  // the sequence number of our ACKs
  SeqNum rcv_nxt;
  uint32_t ts_recent = 0;
  uint32_t timestamp_offset = 0;
  uint32_t entry = 0;  // which entry of the queue is the record's
  bool timestamps = false;
};
static_assert(sizeof(TimeWaitRecord) + sizeof(wire::FourTuple) <= 72);

class TimeWaitTable {
 public:
  TimeWaitTable(Duration duration, size_t limit) : duration_(duration), limit_(limit) {}

  void Add(const wire::FourTuple& tuple, TimeWaitRecord record, Time now) {
    if (records_.size() >= limit_) DropOldest();
    record.expires = now + duration_;
    record.entry = ++last_entry_;
    records_.insert_or_assign(tuple, record);
    queue_.push_back({record.expires, tuple, record.entry});
  }

  TimeWaitRecord* Find(const wire::FourTuple& tuple) {
    const auto found = records_.find(tuple);
    return found == records_.end() ? nullptr : &found->second;
  }
  const TimeWaitRecord* Find(const wire::FourTuple& tuple) const {
    return const_cast<TimeWaitTable*>(this)->Find(tuple);
  }

  // The peer retransmitted its FIN: the wait begins again.
  void Extend(TimeWaitRecord* record, Time now) { record->expires = now + duration_; }

  // A new connection takes the place (RFC 6191). The queue entry is dropped when its turn comes.
  void Remove(const wire::FourTuple& tuple) { records_.erase(tuple); }

  // Drops what has expired.
  void Expire(Time now) {
    while (!queue_.empty() && queue_.front().expires <= now) {
      const Entry entry = queue_.front();
      queue_.pop_front();
      const auto found = records_.find(entry.tuple);
      if (found == records_.end() || found->second.entry != entry.id) continue;
      if (found->second.expires <= now) {
        records_.erase(found);
      } else {
        queue_.push_back({found->second.expires, entry.tuple, entry.id});
      }
    }
  }

  // A lower bound of the next expiry.
  Time NextDeadline() const { return queue_.empty() ? Time::Infinite() : queue_.front().expires; }
  size_t size() const { return records_.size(); }
  // Entries of the queue, those of removed records included. For tests.
  size_t queued() const { return queue_.size(); }

 private:
  struct Entry {
    Time expires;
    wire::FourTuple tuple;
    uint32_t id;
  };

  void DropOldest() {
    while (!queue_.empty()) {
      const Entry entry = queue_.front();
      queue_.pop_front();
      const auto found = records_.find(entry.tuple);
      if (found == records_.end() || found->second.entry != entry.id) continue;
      records_.erase(found);
      return;
    }
  }

  Duration duration_;
  size_t limit_;
  uint32_t last_entry_ = 0;
  absl::flat_hash_map<wire::FourTuple, TimeWaitRecord> records_;
  std::deque<Entry> queue_;
};

}  // namespace luna::tcp

#endif  // LUNA_NET_TCP_TIME_WAIT_H_
