#ifndef LUNA_NET_PMD_DPDK_MEMIF_H_
#define LUNA_NET_PMD_DPDK_MEMIF_H_

// What is special about net_memif (DPDK 22.11), tried unless it says otherwise:
//
// - A frame that spans two ring slots leaves the "next" flag set in the first one for good: from then on receivers join
//   unrelated frames and run past the ring's end. So a frame must fit one slot: bsize= is derived from the MTU, and
//   longer frames are never sent.
// - The driver copies segment by segment and slot by slot, with a look at the room. Its later versions also have a fast
// path on each
//   side without that look: on transmit when the first mbuf's pool claims a data room of at most bsize, on receive when
//   the receive pool claims at least bsize, and there the peer's slots may be larger than ours. TxPool claims 65,535
//   and MemifDataRoom one byte less than bsize, so that no version takes them. The careful path costs nothing
//   measurable (port_benchmark), gathers the slices of a frame into one slot, and allocates one mbuf per frame instead
//   of 32 per poll.
// - A client port does not start while no server listens, and stays down after the server went away: see starter.h.
// - When the peer goes away the driver unmaps the shared memory on DPDK's control thread without regard to a burst
// under way. A burst
//   takes well under a microsecond and the unmapping comes later than that, but nothing orders them (DPDK's own race).
// - A server can send only after the client has polled its receive queue once, which lends it the slots.
// - Both copy before they return: transmitted objs come home inside TransmitBurst.
// - Both ends must agree on bsize. The client's counts.
//
// Control path; any thread. No DPDK.

#include <cstdint>

#include "absl/status/status.h"
#include "absl/types/optional.h"
#include "luna/net/pmd/dpdk/devargs.h"
#include "luna/net/wire/address.h"

namespace luna::pmd::dpdk {

// Fills in bsize, rsize, socket-abstract=yes and mac where they are missing, and checks those that are there.
// InvalidArgument.
absl::Status ApplyMemifDefaults(uint32_t mtu, uint32_t descriptors, Devargs& devargs,
                                absl::optional<wire::MacAddress> mac);

// Of devargs that have their defaults.

// The one that connects. DPDK's default role is client.
bool IsMemifClient(const Devargs& devargs);
// Bytes of a slot.
uint32_t MemifBufferBytes(const Devargs& devargs);
// The data room that the receive pool must claim, DPDK's headroom included.
uint16_t MemifDataRoom(const Devargs& devargs);

}  // namespace luna::pmd::dpdk

#endif  // LUNA_NET_PMD_DPDK_MEMIF_H_
