#ifndef LUNA_NET_PMD_PACKET_FILTER_H_
#define LUNA_NET_PMD_PACKET_FILTER_H_

// The filter of a packet socket: what the kernel hands us of the frames that pass an interface.
//
// Without one, a socket gets a copy of every frame of the machine's other traffic on that interface, and its receive
// queue overflows with them. Passed on: ARP, and IPv4 to one of `addresses`, when the frame came in for this host (its
// MAC, or a group) and belongs to no VLAN. The kernel takes a tag off before a packet socket sees the frame, so
// another VLAN's frame would look like one of ours.

#include <linux/filter.h>

#include <vector>

#include "absl/types/span.h"
#include "luna/net/wire/address.h"

namespace luna::pmd {

// A classic BPF program for SO_ATTACH_FILTER. At most kMaxFilterAddresses addresses (CHECKed).
std::vector<sock_filter> PacketFilter(absl::Span<const wire::Ipv4Address> addresses);

// The kernel takes 4096 instructions (BPF_MAXINSNS); this leaves room to spare.
inline constexpr size_t kMaxFilterAddresses = 1024;

}  // namespace luna::pmd

#endif  // LUNA_NET_PMD_PACKET_FILTER_H_
