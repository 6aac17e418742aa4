#ifndef LUNA_NET_PMD_PACKET_H_
#define LUNA_NET_PMD_PACKET_H_

// Packet: one frame between a PacketIo and the layers above. Concrete and move-only: no virtual call per packet.
//
// Shape: `data` is a chain of Zbuf slices. At a PacketIo it begins with the Ethernet header; net/ip trims it from the
// front on the way up (`TrimFront`) and prepends on the way down into the headroom of the first slice, whose obj
// belongs to the packet alone (`ZChain::ExtendFront`). Ownership: the chain owns one reference per slice. Thread: the
// worker that received or built it.

#include <cstdint>

#include "luna/mem/zbuf/zchain.h"
#include "luna/sched/clock/time.h"

namespace luna::pmd {

// What the device says of a received checksum. Virtual devices often say nothing, and some say kGood of anything: see
// Capabilities::trust_rx_checksum. kGood does not mean that the field holds the right sum: a local sender leaves it to
// a NIC, and the bytes are good because they never left memory.
enum class ChecksumStatus : uint8_t { kUnknown, kGood, kBad };

// Facts about a received frame.
struct RxMeta {
  Time arrival;           // when the burst that held it was taken from the device
  uint32_t rss_hash = 0;  // 0 when the device computed none
  uint16_t vlan_tci = 0;  // of the tag that the device took off; 0 when it took none (Capabilities::rx_vlan_strip)
  ChecksumStatus ip_checksum = ChecksumStatus::kUnknown;  // IPv4 header
  ChecksumStatus l4_checksum = ChecksumStatus::kUnknown;  // TCP, whole segment
};

// Work that the device is asked to do on a frame to be sent. Only set what Capabilities offer.
struct TxMeta {
  bool ip_checksum : 1 = false;  // fill in the IPv4 header checksum; the field holds 0
  bool l4_checksum : 1 = false;  // fill in the TCP checksum; the field holds the folded pseudo-header sum (with TSO:
                                 // see Capabilities::tso_sum_has_length)
  uint8_t l2_bytes = 0;          // header lengths, valid when any request is set
  uint8_t l3_bytes = 0;
  uint8_t l4_bytes = 0;
  uint16_t tso_segment_bytes = 0;  // > 0: cut into segments of this payload size (TSO); PSH is the last one's
  uint16_t vlan_tci = 0;           // not 0: put an 802.1Q tag with it behind the MAC addresses of each frame
};
static_assert(sizeof(RxMeta) == 16 && sizeof(TxMeta) == 8, "packets are moved a lot");

struct Packet {
  zbuf::ZChain data;
  RxMeta rx;
  TxMeta tx;

  uint32_t bytes() const { return static_cast<uint32_t>(data.bytes()); }
};

// Room that every layer that starts a packet leaves in front of its own header in the first obj, so that the layers
// below prepend without a copy: IPv4 without options (20) + Ethernet with one VLAN tag (18), rounded up for alignment.
inline constexpr uint32_t kTxHeadroomBytes = 64;

}  // namespace luna::pmd

#endif  // LUNA_NET_PMD_PACKET_H_
