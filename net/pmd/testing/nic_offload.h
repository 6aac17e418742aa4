#ifndef LUNA_NET_PMD_TESTING_NIC_OFFLOAD_H_
#define LUNA_NET_PMD_TESTING_NIC_OFFLOAD_H_

// What a NIC with offloads does to frames, in software, so that the offload paths of the stack run against checksums
// that somebody checks. WireLink uses it; FakePacketIo does not (it shows the requests).

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "luna/net/pmd/packet.h"

namespace luna::pmd {

// The frames that leave for one frame handed to the device: the frame itself, checksums filled in where `tx` asks for
// it, or its TCP segments (TSO) with both checksums. Segments have consecutive IP identifications; PSH and FIN stay on
// the last one, CWR on the first. The l4 checksum field of `frame` holds the folded pseudo-header sum; without the
// length when segmenting (as DPDK has it). CHECK-fails when `tx` does not fit the frame: a bug in the code under test.
// With a tag in `tx`, each has it.
std::vector<std::vector<uint8_t>> ApplyTxOffload(std::vector<uint8_t> frame, const TxMeta& tx);

// Takes the 802.1Q tag off and returns its TCI; 0, and the frame unchanged, when there is none.
uint16_t StripVlan(std::vector<uint8_t>& frame);

// What a NIC says of a received frame: ip_checksum and l4_checksum, kUnknown for what is not TCP over IPv4 or is a
// fragment.
RxMeta JudgeChecksums(absl::Span<const uint8_t> frame);

}  // namespace luna::pmd

#endif  // LUNA_NET_PMD_TESTING_NIC_OFFLOAD_H_
