#ifndef LUNA_NET_TCP_REASSEMBLY_H_
#define LUNA_NET_TCP_REASSEMBLY_H_

// Reassembly: received data that is ahead of RCV.NXT (RFC 9293 SHLD-31), as sorted, disjoint, non-touching blocks.
//
// Of octets that wait here, those that arrived first win over later copies. (Data at RCV.NXT does not look here.)
// Bounds: the caller trims to the receive window; the number of blocks is bounded here, against floods of tiny holes.
// Cost: O(log blocks + slices touched) to insert.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "luna/mem/zbuf/zchain.h"
#include "luna/net/tcp/seq.h"

namespace luna::tcp {

class Reassembly {
 public:
  static constexpr size_t kMaxBlocks = 128;

  struct Block {
    SeqNum start;
    zbuf::ZChain data;  // never empty
    SeqNum end() const { return start + static_cast<uint32_t>(data.bytes()); }
  };

  // Stores the octets of `data`, which begins at `start`, that are not there yet. False when a new block would exceed
  // kMaxBlocks: what did not fit is released (the peer sends it again).
  bool Insert(SeqNum start, zbuf::ZChain data);

  // The block that holds `number`, or null. O(log blocks).
  const Block* Holding(SeqNum number) const;
  // The first run of octets in [start, end) that is here already: what the peer has sent twice. Empty (start == end)
  // when all of them are new. O(log blocks).
  struct Range {
    SeqNum start;
    SeqNum end;
  };
  Range FirstHeld(SeqNum start, SeqNum end) const;

  // Releases what lies at or after `end`: nothing follows a FIN.
  void TruncateAt(SeqNum end);

  // Takes the data that begins at `next`, or an empty chain. Drops what lies before `next`.
  zbuf::ZChain TakeFrom(SeqNum next);

  bool empty() const { return blocks_.empty(); }
  uint32_t bytes() const { return bytes_; }
  // Slices held, each of which pins an obj. O(blocks).
  size_t slices() const {
    size_t slices = 0;
    for (const Block& block : blocks_) slices += block.data.slice_count();
    return slices;
  }
  // Lowest first.
  const std::vector<Block>& blocks() const { return blocks_; }
  void Clear();

 private:
  // Index of the first block that ends after `number`; blocks_.size() when none does.
  size_t FirstEndingAfter(SeqNum number) const;
  // Puts one piece into the gap before blocks_[index], joining neighbours that it touches.
  bool Place(size_t index, SeqNum start, zbuf::ZChain piece);

  std::vector<Block> blocks_;
  uint32_t bytes_ = 0;
};

}  // namespace luna::tcp

#endif  // LUNA_NET_TCP_REASSEMBLY_H_
