#include "luna/net/tcp/sack_report.h"

#include <algorithm>

namespace luna::tcp {
namespace {

void Add(SeqNum start, SeqNum end, wire::TcpOptions* options) {
  options->sack[options->sack_count++] = {start.raw(), end.raw()};
}

bool IsListed(const Reassembly::Block& block, const wire::TcpOptions& options, size_t from) {
  for (size_t i = from; i < options.sack_count; ++i) {
    if (options.sack[i].left == block.start.raw()) return true;
  }
  return false;
}

}  // namespace

void SackReport::OnStored(SeqNum start, const Reassembly& queue) {
  const Reassembly::Block* block = queue.Holding(start);
  if (block == nullptr) return;  // it did not fit
  // Numbers of blocks that are one with this one now, or were taken, go.
  const auto stale = [&](SeqNum number) {
    const Reassembly::Block* other = queue.Holding(number);
    return other == nullptr || other == block;
  };
  const auto end = std::remove_if(recent_.begin(), recent_.begin() + count_, stale);
  count_ = static_cast<uint8_t>(std::min<std::ptrdiff_t>(end - recent_.begin() + 1, std::ssize(recent_)));
  std::copy_backward(recent_.begin(), recent_.begin() + count_ - 1, recent_.begin() + count_);
  recent_[0] = start;
}

void SackReport::OnDuplicate(SeqNum start, SeqNum end) {
  if (duplicate_waits()) return;
  dsack_start_ = start;
  dsack_end_ = end;
}

void SackReport::Fill(const Reassembly& queue, SeqNum rcv_nxt, size_t room, wire::TcpOptions* options) const {
  options->sack_count = 0;
  room = std::min(room, options->sack.size());
  if (room == 0) return;
  size_t first = 0;
  if (duplicate_waits()) {
    Add(dsack_start_, dsack_end_, options);
    first = 1;
    // RFC 2883 §4: the block that the duplicate lies in follows, which is what tells it from an ordinary block.
    const Reassembly::Block* around = dsack_start_ < rcv_nxt ? nullptr : queue.Holding(dsack_start_);
    if (around != nullptr && options->sack_count < room) Add(around->start, around->end(), options);
  }
  for (size_t i = 0; i < count_ && options->sack_count < room; ++i) {
    const Reassembly::Block* block = queue.Holding(recent_[i]);
    if (block != nullptr && !IsListed(*block, *options, first)) Add(block->start, block->end(), options);
  }
  for (const Reassembly::Block& block : queue.blocks()) {
    if (options->sack_count >= room) break;
    if (!IsListed(block, *options, first)) Add(block.start, block.end(), options);
  }
}

}  // namespace luna::tcp
