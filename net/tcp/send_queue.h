#ifndef LUNA_NET_TCP_SEND_QUEUE_H_
#define LUNA_NET_TCP_SEND_QUEUE_H_

// SendQueue: octets from SND.UNA onwards, sent or not, held by reference until they are acknowledged.
//
// A ZChain with two cursors, one for what is sent first and one for what is sent again. Offsets count from the front
// (SND.UNA). A range shares references, so a segment, its retransmission and the queue point at the same octets;
// nothing is copied. Cost: Append O(1) amortised; Release O(slices released); Range O(slices in the range) when offsets
// advance, as they do in sending order and, by themselves, in a recovery: the cursors remember where the last ranges
// ended. Debug builds check that what is sent again is what was appended (sent_octets.h).

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "luna/mem/zbuf/debug.h"
#include "luna/mem/zbuf/zchain.h"
#include "luna/net/tcp/sent_octets.h"

namespace luna::tcp {

class SendQueue {
 public:
  // Takes the slices of `data` at the back.
  void Append(zbuf::ZChain data);

  // Appends references to [offset, offset + length) to `out`. Pre: offset + length <= bytes().
  void AppendRange(uint32_t offset, uint32_t length, zbuf::ZChain* out);
  zbuf::ZChain Range(uint32_t offset, uint32_t length) {
    zbuf::ZChain range;
    AppendRange(offset, length, &range);
    return range;
  }

  // Drops the first `n` octets: they were acknowledged. Pre: n <= bytes().
  void Release(uint32_t n);

  uint32_t bytes() const { return static_cast<uint32_t>(chain_.bytes()); }
  size_t slice_count() const { return chain_.slice_count(); }
  bool empty() const { return chain_.empty(); }
  void Clear();

 private:
  // A slice by its index, and the offset at which it begins.
  struct Cursor {
    uint32_t index = 0;
    uint32_t slice_start = 0;  // offset of that slice from the front of the queue
  };

  // After `gone` slices and `n` octets left the front.
  static void Follow(Cursor& cursor, uint32_t gone, uint32_t n);

  zbuf::ZChain chain_;
  Cursor first_;  // at or behind the furthest range ever asked for
  Cursor again_;  // before that
  [[no_unique_address]] std::conditional_t<zbuf::kDebugChecks, SentOctets, NoSentOctets> octets_;
};

}  // namespace luna::tcp

#endif  // LUNA_NET_TCP_SEND_QUEUE_H_
