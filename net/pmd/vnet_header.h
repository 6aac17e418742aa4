#ifndef LUNA_NET_PMD_VNET_HEADER_H_
#define LUNA_NET_PMD_VNET_HEADER_H_

// The virtio-net header that Linux puts in front of a frame on TAP devices (IFF_VNET_HDR) and packet sockets
// (PACKET_VNET_HDR): what the kernel left for a device to do. (Virtual I/O Device specification 1.2, §5.1.6.)
//
// Without it a frame from a local sender cannot be told from a damaged one: its TCP checksum field holds only the sum
// of the pseudo-header, and it may be as long as 64 KB. With it, both are said:
//
//   flags      NEEDS_CSUM  the checksum is left to be filled in: the bytes have not been on a wire yet, so they are
//                          right as they are;
//              DATA_VALID  somebody has verified it;
//   gso_type   not NONE    a super-packet: segments not yet cut, or put together by GRO.
//
// Legacy layout, native byte order (what both devices have unless told otherwise). Pure functions, any thread, but for
// TakeFrame().

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "luna/net/pmd/packet.h"
#include "luna/net/pmd/receive_slot.h"
#include "luna/sched/clock/time.h"

namespace luna::pmd {

// struct virtio_net_hdr; its own header, <linux/virtio_net.h>, is not C++.
struct VnetHeader {
  static constexpr uint8_t kNeedsChecksum = 1;  // flags: VIRTIO_NET_HDR_F_NEEDS_CSUM
  static constexpr uint8_t kDataValid = 2;      // VIRTIO_NET_HDR_F_DATA_VALID
  static constexpr uint8_t kNoSegments = 0;     // gso_type: VIRTIO_NET_HDR_GSO_NONE
  static constexpr uint8_t kTcpV4 = 1;          // VIRTIO_NET_HDR_GSO_TCPV4
  static constexpr uint8_t kEcn = 0x80;         // with it: VIRTIO_NET_HDR_GSO_ECN

  uint8_t flags = 0;
  uint8_t gso_type = kNoSegments;
  uint16_t header_bytes = 0;     // of all headers; a hint how much to keep in one piece
  uint16_t gso_bytes = 0;        // payload per segment
  uint16_t checksum_start = 0;   // offset of what is summed, from the frame's start
  uint16_t checksum_offset = 0;  // of the checksum field, from there
};
inline constexpr size_t kVnetHeaderBytes = sizeof(VnetHeader);
static_assert(kVnetHeaderBytes == 10);

// The longest frame that may come with such a header: an IPv4 datagram and an Ethernet header with a VLAN tag.
inline constexpr size_t kMaxSuperFrameBytes = 65535 + 18;

// Where the checksum lies in a TCP header.
inline constexpr uint16_t kTcpChecksumAt = 16;

// True when the frame stands for several segments, and so may be longer than the link's MTU allows.
inline bool IsSuperPacket(const VnetHeader& header) { return header.gso_type != VnetHeader::kNoSegments; }

// The longest frame, in octets, of a link that carries frames of `frame_limit` and, with such headers, super-packets.
inline size_t LongestFrame(size_t frame_limit, bool headers) {
  return headers ? std::max(frame_limit, kMaxSuperFrameBytes) : frame_limit;
}

// What the header says of the frame's TCP checksum. kUnknown: verify it.
inline ChecksumStatus ChecksumFrom(const VnetHeader& header) {
  // A sum that is to be stored elsewhere is not that of a TCP segment (a tunnel's, say).
  const bool partial = (header.flags & VnetHeader::kNeedsChecksum) != 0 && header.checksum_offset == kTcpChecksumAt;
  const bool verified = (header.flags & VnetHeader::kDataValid) != 0;
  return partial || verified ? ChecksumStatus::kGood : ChecksumStatus::kUnknown;
}

// The header for a frame to be sent. Neither device computes IPv4 header checksums, but of the segments that it cuts.
inline VnetHeader VnetHeaderFor(const TxMeta& tx) {
  VnetHeader header = {};
  if (!tx.l4_checksum) return header;
  header.flags = VnetHeader::kNeedsChecksum;
  header.checksum_start = static_cast<uint16_t>(tx.l2_bytes + tx.l3_bytes);
  header.checksum_offset = kTcpChecksumAt;
  header.header_bytes = static_cast<uint16_t>(header.checksum_start + tx.l4_bytes);
  if (tx.tso_segment_bytes == 0) return header;
  header.gso_type = VnetHeader::kTcpV4;
  header.gso_bytes = tx.tso_segment_bytes;
  return header;
}

// Moves the frame that a device read into `slot`, which has a header in front if the slot has a prefix, to `out`, with
// what the header says of it. `read_bytes` is of both. False, with nothing moved, for what such a link may not carry:
// too short, or longer than `frame_limit` and no super-packet. (Linux cuts what does not fit without saying so; the
// slot has room for more than fits.) Thread: the slot's.
bool TakeFrame(size_t read_bytes, size_t frame_limit, Time now, ReceiveSlot& slot, Packet& out);

}  // namespace luna::pmd

#endif  // LUNA_NET_PMD_VNET_HEADER_H_
