#include "luna/net/pmd/testing/wire_lane.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "luna/net/pmd/packet_util.h"

namespace luna::pmd {
namespace {

enum Purpose : uint64_t { kLoss, kDuplicate, kCorrupt, kCorruptBit, kReorder, kJitter };

constexpr uint64_t kNanosecondsPerSecond = 1'000'000'000;

std::string Seconds(Time t) {
  if (t.is_infinite()) return "never";
  return absl::StrFormat("%d.%09d", t.nanoseconds() / 1'000'000'000, t.nanoseconds() % 1'000'000'000);
}

}  // namespace

const char* WireFateName(WireFate fate) {
  switch (fate) {
    case WireFate::kCarried:
      return "carried";
    case WireFate::kLost:
      return "lost";
    case WireFate::kDropNth:
      return "drop_nth";
    case WireFate::kQueueFull:
      return "queue_full";
    case WireFate::kCut:
      return "cut";
  }
  return "?";
}

std::string WireEvent::ToString() const {
  return absl::StrCat("#", index, " ", bytes, " B sent ", Seconds(sent), " left ", Seconds(left), " due ", Seconds(due),
                      " ", WireFateName(fate), duplicated ? " duplicated" : "", corrupted ? " corrupted" : "",
                      reordered ? " reordered" : "");
}

WireLane::WireLane(WireOptions options, uint64_t lane)
    : options_(std::move(options)), draws_(options_.seed + lane * 0x5851f42d4c957f2dull) {}

WireEvent WireLane::Queued::Event(WireFate fate) const {
  return {.index = index, .bytes = size, .fate = fate, .sent = sent, .left = leaves, .due = Time::Infinite()};
}

void WireLane::Send(Packet packet, Time now) {
  const uint32_t size = packet.bytes();
  Enqueue({stats_.sent++, now, now, size, std::move(packet), {}}, now);
}

void WireLane::SendBytes(std::vector<uint8_t> bytes, Time now) {
  const auto size = static_cast<uint32_t>(bytes.size());
  Enqueue({stats_.sent++, now, now, size, Packet(), std::move(bytes)}, now);
}

void WireLane::Enqueue(Queued frame, Time now) {
  Advance(now);
  if (!up_) return CutFrame(frame, now);
  if (options_.queue_frames != 0 && queue_.size() >= options_.queue_frames) {
    ++stats_.queue_full;
    return Record(frame.Event(WireFate::kQueueFull));
  }
  frame.leaves = LeaveTime(frame.size, now);
  queue_.push_back(std::move(frame));
  Advance(now);
}

Time WireLane::LeaveTime(uint64_t frame_bytes, Time now) {
  if (line_free_ < now) {
    line_free_ = now;
    line_remainder_ = 0;
  }
  if (options_.bits_per_second == 0) return line_free_;
  // A changed rate may leave a remainder above the new rate; it is below a nanosecond's worth either way.
  const unsigned __int128 work =
      static_cast<unsigned __int128>(frame_bytes) * 8 * kNanosecondsPerSecond + line_remainder_;
  line_remainder_ = static_cast<uint64_t>(work % options_.bits_per_second);
  line_free_ += Duration::Nanoseconds(static_cast<int64_t>(work / options_.bits_per_second));
  return line_free_;
}

void WireLane::Advance(Time now) {
  while (!queue_.empty() && queue_.front().leaves <= now) {
    Queued frame = std::move(queue_.front());
    queue_.pop_front();
    Leave(std::move(frame));
  }
}

void WireLane::Leave(Queued frame) {
  WireEvent event = frame.Event(WireFate::kCarried);
  if (options_.drop_nth.contains(frame.index)) {
    event.fate = WireFate::kDropNth;
  } else if (draws_.Chance(options_.loss, frame.index, kLoss)) {
    event.fate = WireFate::kLost;
  }
  if (event.fate != WireFate::kCarried) {
    ++stats_.lost;
    return Record(event);
  }
  event.reordered = draws_.Chance(options_.reorder, frame.index, kReorder);
  event.duplicated = draws_.Chance(options_.duplicate, frame.index, kDuplicate);
  event.corrupted = draws_.Chance(options_.corrupt, frame.index, kCorrupt) && event.bytes != 0;
  event.due = DueTime(frame, event.reordered);

  std::vector<uint8_t> bytes = frame.bytes.empty() ? ToBytes(frame.packet) : std::move(frame.bytes);
  if (event.corrupted) {
    const uint64_t bit = draws_.Below(uint64_t{event.bytes} * 8, frame.index, kCorruptBit);
    bytes[bit / 8] ^= static_cast<uint8_t>(0x80u >> (bit % 8));
  }
  if (event.duplicated) wire_.emplace(std::make_pair(event.due, next_order_++), bytes);
  wire_.emplace(std::make_pair(event.due, next_order_++), std::move(bytes));
  ++stats_.carried;
  stats_.duplicated += event.duplicated;
  stats_.corrupted += event.corrupted;
  stats_.reordered += event.reordered;
  Record(event);
}

Time WireLane::DueTime(const Queued& frame, bool reordered) {
  Time due = frame.leaves + options_.delay;
  if (options_.jitter > Duration::Zero()) {
    const auto range = static_cast<uint64_t>(options_.jitter.nanoseconds()) + 1;
    due += Duration::Nanoseconds(static_cast<int64_t>(draws_.Below(range, frame.index, kJitter)));
  }
  due = std::max(due, last_due_);
  if (reordered) return due + options_.reorder_delay;
  last_due_ = due;
  return due;
}

Time WireLane::NextDeadline() const {
  Time next = Time::Infinite();
  if (!queue_.empty()) next = queue_.front().leaves;
  if (!wire_.empty()) next = std::min(next, wire_.begin()->first.first);
  return next;
}

const std::vector<uint8_t>* WireLane::Peek(Time now) const {
  if (wire_.empty() || wire_.begin()->first.first > now) return nullptr;
  return &wire_.begin()->second;
}

void WireLane::Take() {
  wire_.erase(wire_.begin());
  ++stats_.taken;
}

void WireLane::SetUp(bool up, Time now) {
  Advance(now);
  up_ = up;
  if (up) return;
  for (const Queued& frame : queue_) CutFrame(frame, now);
  queue_.clear();
  stats_.cut += wire_.size();
  wire_.clear();
  line_free_ = now;
}

void WireLane::CutFrame(const Queued& frame, Time now) {
  ++stats_.cut;
  WireEvent event = frame.Event(WireFate::kCut);
  event.left = now;
  Record(event);
}

void WireLane::Record(const WireEvent& event) {
  if (record_events_) events_.push_back(event);
}

}  // namespace luna::pmd
