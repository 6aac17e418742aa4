#ifndef LUNA_NET_TCP_COALESCE_H_
#define LUNA_NET_TCP_COALESCE_H_

// Coalesce: software GRO. Segments of one connection that came behind each other in a burst become one, so that TCP
// works once for all of their octets. No byte is touched: the chains are joined.
//
// Two segments are joined where TCP's state after the one and then the other is that after the joint one: both plain
// data (ACK, perhaps PSH), the second begins where the first ends, its ACK and its timestamp are not older, the same
// ECN codepoint, no SACK. The joint one has the newer ACK and window, the PSH of either, and the first's TSval, which
// is the one to be echoed (RFC 7323 §4.3). What comes between them, of the same connection, parts them. Thread: any,
// one at a time. O(slices of `next`).

#include <cstdint>

#include "luna/net/tcp/segment.h"

namespace luna::tcp {

// As a datagram could hold at most: to TCP a joint segment is no longer than one that a device has put together.
inline constexpr uint32_t kMostCoalescedBytes = UINT16_MAX - 40;

// True: `next` is part of `held`, and is not to be used any more. False: nothing happened.
bool Coalesce(Segment* held, Segment* next);

}  // namespace luna::tcp

#endif  // LUNA_NET_TCP_COALESCE_H_
