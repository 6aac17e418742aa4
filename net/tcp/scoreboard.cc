#include "luna/net/tcp/scoreboard.h"

#include <algorithm>
#include <cstring>

namespace luna::tcp {

size_t Scoreboard::Find(SeqNum seq) const {
  DCHECK(count_ > 0 && seq >= front().seq && seq < back().end());
  size_t low = 0;
  size_t high = count_ - 1;
  while (low < high) {
    const size_t middle = (low + high + 1) / 2;
    if (at(middle).seq <= seq) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

void Scoreboard::Grow() {
  auto* bigger = new Record[size_t{capacity_} * 2];
  for (uint32_t i = 0; i < count_; ++i) bigger[i] = at(i);
  if (on_heap()) delete[] heap_;
  heap_ = bigger;
  capacity_ *= 2;
  first_ = 0;
}

// A burst of long ago must not cost a connection its memory for ever.
void Scoreboard::Emptied() {
  if (most_ < capacity_ / 4) GiveBack();
  first_ = 0;
  most_ = 0;
}

void Scoreboard::GiveBack() {
  if (count_ > 0 || capacity_ <= kKeptRecords) return;
  delete[] heap_;
  capacity_ = kInlineRecords;
  std::fill(std::begin(inline_), std::end(inline_), Record());
  first_ = 0;
}

void Scoreboard::Push(SeqNum seq, uint32_t bytes, bool fin, bool push, bool ever, Time now) {
  DCHECK(count_ == 0 || seq == back().end());
  DCHECK_LE(bytes, UINT16_MAX);
  if (count_ == capacity_) Grow();
  if (count_ == 0) hint_ = seq;
  Record& record = slot(count_++);
  record.sent_at = now;
  record.seq = seq;
  record.bytes = static_cast<uint16_t>(bytes);
  record.flags =
      static_cast<uint8_t>((fin ? Record::kFin : 0) | (push ? Record::kPush : 0) | (ever ? Record::kEver : 0));
  bytes_ += record.length();
  most_ = std::max(most_, count_);
}

void Scoreboard::Retransmitted(size_t i, Time now) {
  Record& record = slot(i);
  DCHECK(record.waits());
  record.flags |= Record::kRetransmitted | Record::kEver;
  record.sent_at = now;
  Add(retransmitted_, record.length());
  --waiting_;
  hint_ = record.end();
}

void Scoreboard::Probed(size_t i, Time now) {
  Record& record = slot(i);
  record.flags |= Record::kEver;
  record.sent_at = now;
}

void Scoreboard::Split(size_t i, uint32_t bytes) {
  DCHECK(bytes > 0 && bytes < at(i).length());
  if (count_ == capacity_) Grow();
  ++count_;
  most_ = std::max(most_, count_);
  for (size_t to = count_ - 1; to > i + 1; --to) slot(to) = at(to - 1);
  Record& head = slot(i);
  Record& tail = slot(i + 1);
  tail = head;
  tail.seq = head.seq + bytes;
  tail.bytes = static_cast<uint16_t>(head.bytes - bytes);
  head.bytes = static_cast<uint16_t>(bytes);
  head.flags &= static_cast<uint8_t>(~(Record::kFin | Record::kPush));
  if (head.Is(Record::kSacked)) ++sacked_.segments;
  if (head.Is(Record::kLost)) ++lost_.segments;
  if (head.Is(Record::kRetransmitted)) ++retransmitted_.segments;
  if (head.waits()) ++waiting_;
}

// RFC 8985 §6.2: the newest transmission that was delivered, except a retransmission answered sooner than any round
// trip.
void Scoreboard::Deliver(const Record& record, bool by_sack, Delivery* d) {
  d->bytes += record.length();
  ++d->segments;
  if (by_sack) ++d->sacked_segments;
  const bool once = !record.Is(Record::kEver);
  if (once) {
    bool& has = by_sack ? d->has_sack_rtt : d->has_rtt;
    Time& oldest = by_sack ? d->sack_oldest_sent : d->oldest_sent;
    Time& newest = by_sack ? d->sack_newest_sent : d->newest_sent;
    oldest = has ? std::min(oldest, record.sent_at) : record.sent_at;
    newest = has ? std::max(newest, record.sent_at) : record.sent_at;
    has = true;
    if (d->check_high && record.end() <= d->high_seq) d->original_delivered = true;
    // What one acknowledgement reports together has no order: only what was SACKed before counts.
    if (d->has_fack && record.end() < d->fack) {
      if (!d->reordered || record.seq < d->reordered_low) d->reordered_low = record.seq;
      d->reordered = true;
    }
  }
  if (!once && d->now - record.sent_at < d->min_rtt) return;
  if (!d->has_newest || record.sent_at > d->rack_sent ||
      (record.sent_at == d->rack_sent && record.end() > d->rack_end)) {
    d->has_newest = true;
    d->rack_sent = record.sent_at;
    d->rack_end = record.end();
    d->rack_repeated = record.Is(Record::kEver);
  }
}

// Takes a record out of all accounts but bytes_.
void Scoreboard::LeaveAccounts(const Record& record) {
  if (record.Is(Record::kSacked)) Subtract(sacked_, record.length());
  if (record.waits()) --waiting_;
  if (record.Is(Record::kLost)) Subtract(lost_, record.length());
  if (record.Is(Record::kRetransmitted)) Subtract(retransmitted_, record.length());
}

// A part of the first record was acknowledged: no sample of anything, but octets.
void Scoreboard::TrimFront(uint32_t bytes, Delivery* d) {
  Record& record = slot(0);
  record.seq += bytes;
  record.bytes = static_cast<uint16_t>(record.bytes - bytes);
  bytes_ -= bytes;
  if (record.Is(Record::kSacked)) {
    sacked_.bytes -= bytes;
  } else {
    d->bytes += bytes;
  }
  if (record.Is(Record::kLost)) lost_.bytes -= bytes;
  if (record.Is(Record::kRetransmitted)) retransmitted_.bytes -= bytes;
}

void Scoreboard::AckTo(SeqNum ack, Delivery* d) {
  while (count_ > 0) {
    Record& record = slot(0);
    if (record.seq >= ack) break;
    if (record.end() > ack) {
      TrimFront(static_cast<uint32_t>(ack - record.seq), d);
      break;
    }
    ++d->acked_segments;
    if (record.Is(Record::kEver)) d->retransmission_acked = true;
    if (!record.Is(Record::kSacked)) Deliver(record, false, d);
    Leave(record);
    bytes_ -= record.length();
    first_ = (first_ + 1) & (capacity_ - 1);
    --count_;
  }
  if (hint_ < ack) hint_ = ack;
  if (count_ == 0) Emptied();
}

void Scoreboard::Sack(size_t i, Delivery* d) {
  Record& record = slot(i);
  if (record.Is(Record::kSacked)) return;
  Deliver(record, true, d);
  Leave(record);
  record.flags &= static_cast<uint8_t>(~(Record::kLost | Record::kRetransmitted));
  record.flags |= Record::kSacked;
  if (sacked_.segments == 0 || record.end() > highest_sacked_) highest_sacked_ = record.end();
  Add(sacked_, record.length());
}

void Scoreboard::SackRange(SeqNum left, SeqNum right, uint32_t mss, Delivery* d) {
  for (size_t i = Find(left); i < count_ && at(i).seq < right; ++i) {
    const Record& record = at(i);
    if (record.Is(Record::kSacked)) continue;
    if (record.seq < left) {
      // A part of a segment is no segment, and believing it would let the peer cut the queue into crumbs: only what the
      // new, smaller segment size has cut or will cut counts.
      const auto before = static_cast<uint32_t>(left - record.seq);
      const uint32_t cut = (before + mss - 1) / mss * mss;
      if (record.bytes > mss && cut < record.bytes) Split(i, cut);
      continue;
    }
    if (record.end() > right) {
      const uint32_t whole = static_cast<uint32_t>(right - record.seq) / mss * mss;
      if (whole == 0 || record.bytes <= mss) continue;
      Split(i, whole);
    }
    Sack(i, d);
  }
}

// RFC 2883 §4: the first block, when the number or the second block covers it.
bool Scoreboard::IsDsack(absl::Span<const wire::TcpSackBlock> blocks, SeqNum una, Delivery* d) const {
  const SeqNum left(blocks[0].left);
  const SeqNum right(blocks[0].right);
  if (left >= right) return false;
  const bool below = right <= una && static_cast<uint32_t>(una - left) <= d->window;
  const bool within =
      blocks.size() > 1 && SeqNum(blocks[1].left) <= left && right <= SeqNum(blocks[1].right) && left >= una;
  if (!below && !within) return false;
  d->dsack = true;
  d->dsack_left = left;
  d->dsack_right = right;
  return true;
}

void Scoreboard::ApplySack(absl::Span<const wire::TcpSackBlock> blocks, SeqNum una, uint32_t mss, Delivery* d) {
  if (blocks.empty()) return;
  if (IsDsack(blocks, una, d)) blocks.remove_prefix(1);
  for (const wire::TcpSackBlock& block : blocks) {
    const SeqNum left(block.left);
    const SeqNum right(block.right);
    if (left < right && right <= una) continue;  // old news, on a segment that was overtaken
    if (count_ == 0 || left >= right || left < una || left < front().seq || right > back().end()) {
      if (d->bogus_blocks < UINT8_MAX) ++d->bogus_blocks;
      continue;
    }
    SackRange(left, right, mss, d);
  }
}

bool Scoreboard::MarkLost(size_t i) {
  Record& record = slot(i);
  if (record.Is(Record::kSacked) || record.waits()) return false;
  if (record.Is(Record::kRetransmitted)) {
    record.flags &= static_cast<uint8_t>(~Record::kRetransmitted);
    Subtract(retransmitted_, record.length());
  } else {
    record.flags |= Record::kLost;
    Add(lost_, record.length());
  }
  ++waiting_;
  ++losses_;
  hint_ = Min(hint_, record.seq);
  return true;
}

void Scoreboard::ForgetLosses() {
  if (lost_.segments == 0) return;
  for (size_t i = 0; i < count_; ++i) slot(i).flags &= static_cast<uint8_t>(~(Record::kLost | Record::kRetransmitted));
  lost_ = retransmitted_ = Account();
  waiting_ = 0;
}

void Scoreboard::ForgetSacks() {
  for (size_t i = 0; i < count_; ++i) slot(i).flags &= static_cast<uint8_t>(~Record::kSacked);
  sacked_ = Account();
}

size_t Scoreboard::FirstWaiting() const {
  if (waiting_ == 0) return count_;
  for (size_t i = hint_ <= front().seq ? 0 : Find(hint_); i < count_; ++i) {
    if (at(i).waits()) return i;
  }
  DCHECK(false) << "the hint is beyond what waits";
  return count_;
}

void Scoreboard::Clear() {
  if (on_heap()) delete[] heap_;
  capacity_ = kInlineRecords;
  std::fill(std::begin(inline_), std::end(inline_), Record());
  first_ = count_ = bytes_ = waiting_ = most_ = 0;
  sacked_ = lost_ = retransmitted_ = Account();
}

bool Scoreboard::IsConsistent() const {
  Account sacked, lost, retransmitted;
  uint32_t bytes = 0;
  uint32_t waiting = 0;
  for (size_t i = 0; i < count_; ++i) {
    const Record& r = at(i);
    if (r.length() == 0 || (i > 0 && at(i - 1).end() != r.seq)) return false;
    if (r.Is(Record::kSacked) && r.Is(Record::kLost)) return false;
    bytes += r.length();
    if (r.Is(Record::kSacked)) Add(sacked, r.length());
    if (r.Is(Record::kLost)) Add(lost, r.length());
    if (r.Is(Record::kRetransmitted)) Add(retransmitted, r.length());
    if (r.waits()) {
      ++waiting;
      if (r.seq < hint_) return false;
    }
  }
  const auto same = [](const Account& a, const Account& b) { return a.bytes == b.bytes && a.segments == b.segments; };
  return same(sacked, sacked_) && same(lost, lost_) && same(retransmitted, retransmitted_) && bytes == bytes_ &&
         waiting == waiting_;
}

}  // namespace luna::tcp
