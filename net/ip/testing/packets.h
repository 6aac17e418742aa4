#ifndef LUNA_NET_IP_TESTING_PACKETS_H_
#define LUNA_NET_IP_TESTING_PACKETS_H_

// Bytes to packets and back, for tests of net/ip and of what stands on it.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "luna/mem/zbuf/testing/test_slab.h"
#include "luna/net/ip/datagram.h"
#include "luna/net/pmd/packet.h"
#include "luna/net/wire/address.h"

namespace luna::ip::testing {

// A packet with a copy of `bytes`, in one slice, or in slices of `slice_bytes` (> 0) in objs of their own.
pmd::Packet MakePacket(zbuf::TestSlab& memory, absl::Span<const uint8_t> bytes, size_t slice_bytes = 0);

// The bytes of a packet.
std::vector<uint8_t> BytesOfPacket(const pmd::Packet& packet);

// A datagram as the transport would hand it down: `segment` is a transport header of `header_bytes`, which goes to an
// obj of its own behind pmd::kTxHeadroomBytes, and payload, which goes to slices of `slice_bytes` (0: one slice).
OutDatagram MakeOutDatagram(zbuf::TestSlab& memory, wire::IpAddress source, wire::IpAddress destination,
                            absl::Span<const uint8_t> segment, size_t header_bytes = 20, size_t slice_bytes = 0);

}  // namespace luna::ip::testing

#endif  // LUNA_NET_IP_TESTING_PACKETS_H_
