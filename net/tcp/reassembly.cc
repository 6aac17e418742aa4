#include "luna/net/tcp/reassembly.h"

#include <algorithm>
#include <utility>

namespace luna::tcp {

size_t Reassembly::FirstEndingAfter(SeqNum number) const {
  // Segments mostly come behind all the others.
  if (blocks_.empty() || blocks_.back().end() <= number) return blocks_.size();
  const auto before = [number](const Block& b) { return b.end() <= number; };
  return static_cast<size_t>(std::partition_point(blocks_.begin(), blocks_.end(), before) - blocks_.begin());
}

const Reassembly::Block* Reassembly::Holding(SeqNum number) const {
  const size_t index = FirstEndingAfter(number);
  return index < blocks_.size() && blocks_[index].start <= number ? &blocks_[index] : nullptr;
}

Reassembly::Range Reassembly::FirstHeld(SeqNum start, SeqNum end) const {
  const size_t index = FirstEndingAfter(start);
  if (index == blocks_.size() || blocks_[index].start >= end) return {end, end};
  return {Max(start, blocks_[index].start), Min(end, blocks_[index].end())};
}

void Reassembly::TruncateAt(SeqNum end) {
  while (!blocks_.empty() && blocks_.back().end() > end) {
    Block& last = blocks_.back();
    const auto cut = static_cast<uint32_t>(last.end() - Max(end, last.start));
    bytes_ -= cut;
    last.data.TrimBack(cut);
    if (last.data.empty()) blocks_.pop_back();
  }
}

bool Reassembly::Insert(SeqNum start, zbuf::ZChain data) {
  // All blocks that end before `start` are irrelevant.
  size_t index = FirstEndingAfter(start);
  while (!data.empty()) {
    const auto length = static_cast<uint32_t>(data.bytes());
    if (index == blocks_.size() || blocks_[index].start >= start + length) return Place(index, start, std::move(data));
    Block& block = blocks_[index];
    if (block.start <= start) {
      const uint32_t known = std::min(length, static_cast<uint32_t>(block.end() - start));
      data.TrimFront(known);
      start += known;
      ++index;
      continue;
    }
    const auto gap = static_cast<uint32_t>(block.start - start);
    const size_t blocks_before = blocks_.size();
    if (!Place(index, start, data.SplitFront(gap))) return false;
    start += gap;
    // Place() may have added a block, or joined two: find the block that now begins at or holds `start`.
    index = blocks_.size() > blocks_before                  ? index + 1
            : index > 0 && blocks_[index - 1].end() > start ? index - 1
                                                            : index;
  }
  return true;
}

bool Reassembly::Place(size_t index, SeqNum start, zbuf::ZChain piece) {
  const auto length = static_cast<uint32_t>(piece.bytes());
  const bool joins_left = index > 0 && blocks_[index - 1].end() == start;
  const bool joins_right = index < blocks_.size() && blocks_[index].start == start + length;
  if (!joins_left && !joins_right && blocks_.size() >= kMaxBlocks) return false;
  bytes_ += length;
  if (joins_left) {
    Block& left = blocks_[index - 1];
    left.data.Append(std::move(piece));
    if (joins_right) {
      left.data.Append(std::move(blocks_[index].data));
      blocks_.erase(blocks_.begin() + static_cast<std::ptrdiff_t>(index));
    }
  } else if (joins_right) {
    piece.Append(std::move(blocks_[index].data));
    blocks_[index].data = std::move(piece);
    blocks_[index].start = start;
  } else {
    blocks_.insert(blocks_.begin() + static_cast<std::ptrdiff_t>(index), Block{start, std::move(piece)});
  }
  return true;
}

zbuf::ZChain Reassembly::TakeFrom(SeqNum next) {
  zbuf::ZChain taken;
  size_t used = 0;
  while (used < blocks_.size() && blocks_[used].start <= next) {
    Block& block = blocks_[used++];
    bytes_ -= static_cast<uint32_t>(block.data.bytes());
    if (block.end() <= next) continue;
    block.data.TrimFront(static_cast<uint32_t>(next - block.start));
    next += static_cast<uint32_t>(block.data.bytes());
    taken.Append(std::move(block.data));
  }
  blocks_.erase(blocks_.begin(), blocks_.begin() + static_cast<std::ptrdiff_t>(used));
  return taken;
}

void Reassembly::Clear() {
  blocks_.clear();
  bytes_ = 0;
}

}  // namespace luna::tcp
