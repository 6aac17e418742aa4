#ifndef LUNA_NET_WIRE_ETHERNET_H_
#define LUNA_NET_WIRE_ETHERNET_H_

// Ethernet II header, with at most one 802.1Q tag. A value: no pointer into the bytes is kept. Any thread.

#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"
#include "luna/net/wire/address.h"
#include "luna/net/wire/byte_cursor.h"
#include "luna/net/wire/parse_result.h"

namespace luna::wire {

// Values of the type field. Below kMinimum it is an IEEE 802.3 length: Luna reads no such frames.
struct EtherType {
  static constexpr uint16_t kMinimum = 0x0600;
  static constexpr uint16_t kIpv4 = 0x0800;
  static constexpr uint16_t kArp = 0x0806;
  static constexpr uint16_t kVlan = 0x8100;
  static constexpr uint16_t kIpv6 = 0x86dd;
};

struct EthernetHeader {
  static constexpr size_t kSize = 14;
  static constexpr size_t kVlanTagSize = 4;
  // The least frame on a real wire, without its FCS. Writers do not pad: a NIC does.
  static constexpr size_t kMinimumFrameSize = 60;

  MacAddress destination;
  MacAddress source;
  uint16_t ether_type = 0;  // of what follows; behind the tag when there is one. Not checked: see EtherType.
  bool has_vlan = false;
  uint16_t vlan_tci = 0;  // priority, DEI and VLAN id, as on the wire; 0 without a tag

  // Bytes on the wire: where the payload begins.
  constexpr size_t size() const { return has_vlan ? kSize + kVlanTagSize : kSize; }
  constexpr uint16_t vlan_id() const { return vlan_tci & 0x0fff; }
};

// Reads the header; the payload is frame.subspan(out->size()), any padding included. A second tag is left for the
// caller to see as ether_type kVlan. Errors: kTruncated.
inline ParseResult Parse(absl::Span<const uint8_t> frame, EthernetHeader* out) {
  if (frame.size() < EthernetHeader::kSize) return ParseResult::kTruncated;
  const uint8_t* p = frame.data();
  out->destination = MacAddress::FromBytes(p);
  out->source = MacAddress::FromBytes(p + 6);
  out->ether_type = LoadBe16(p + 12);
  out->has_vlan = false;
  out->vlan_tci = 0;
  if (out->ether_type != EtherType::kVlan) [[likely]]
    return ParseResult::kOk;
  if (frame.size() < EthernetHeader::kSize + EthernetHeader::kVlanTagSize) return ParseResult::kTruncated;
  out->has_vlan = true;
  out->vlan_tci = LoadBe16(p + 14);
  out->ether_type = LoadBe16(p + 16);
  return ParseResult::kOk;
}

// Writes header.size() bytes to `out`, which must have that room.
inline void Write(const EthernetHeader& header, uint8_t* out) {
  header.destination.CopyTo(out);
  header.source.CopyTo(out + 6);
  if (header.has_vlan) {
    StoreBe16(out + 12, EtherType::kVlan);
    StoreBe16(out + 14, header.vlan_tci);
    out += EthernetHeader::kVlanTagSize;
  }
  StoreBe16(out + 12, header.ether_type);
}

}  // namespace luna::wire

#endif  // LUNA_NET_WIRE_ETHERNET_H_
