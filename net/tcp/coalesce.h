#ifndef LUNA_NET_TCP_COALESCE_H_
#define LUNA_NET_TCP_COALESCE_H_

// Coalesce: software GRO. Segments of one connection that came behind each other in a burst become one, so that TCP
// works once for all of their octets. No byte is touched: the chains are joined.
//
// Two segments are joined where one could have been sent for both, as Linux's GRO does it: both plain data (ACK,
// perhaps PSH), the second begins where the first ends; the same ACK, timestamps and ECN codepoint; no SACK. The joint
// one has the newer window and the PSH of either, and says how many it stands for (Segment::joined): what counts
// segments, such as duplicate acknowledgements, goes by that. What comes between them, of the same connection, parts
// them.
//
// Thread: any, one at a time. O(slices of `next`).

#include <cstdint>

#include "luna/net/tcp/segment.h"

namespace luna::tcp {

// As a datagram could hold at most: to TCP a joint segment is no longer than one that a device has put together.
inline constexpr uint32_t kMostCoalescedBytes = UINT16_MAX - 40;

// True: `next` is part of `held`, and is not to be used any more. False: nothing happened.
bool Coalesce(Segment* held, Segment* next);

}  // namespace luna::tcp

#endif  // LUNA_NET_TCP_COALESCE_H_
