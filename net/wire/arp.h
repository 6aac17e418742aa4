#ifndef LUNA_NET_WIRE_ARP_H_
#define LUNA_NET_WIRE_ARP_H_

// ARP (RFC 826) for IPv4 over Ethernet. A value: no pointer into the bytes is kept. Any thread.

#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"
#include "luna/net/wire/address.h"
#include "luna/net/wire/byte_cursor.h"
#include "luna/net/wire/ethernet.h"
#include "luna/net/wire/parse_result.h"

namespace luna::wire {

struct ArpPacket {
  static constexpr size_t kSize = 28;
  static constexpr uint16_t kRequest = 1;
  static constexpr uint16_t kReply = 2;

  uint16_t operation = 0;  // kRequest, kReply or something that the caller ignores
  MacAddress sender_mac;
  Ipv4Address sender_ip;
  MacAddress target_mac;  // of no meaning in a request
  Ipv4Address target_ip;

  friend constexpr bool operator==(const ArpPacket&, const ArpPacket&) = default;
};

// Reads an Ethernet payload. Bytes behind the packet are padding. Addresses are not judged: a sender may claim
// anything. Errors: kTruncated; kUnsupported when the hardware is not Ethernet, the protocol not IPv4, or a length of
// theirs wrong.
inline ParseResult Parse(absl::Span<const uint8_t> payload, ArpPacket* out) {
  if (payload.size() < ArpPacket::kSize) return ParseResult::kTruncated;
  const uint8_t* p = payload.data();
  const bool is_ethernet_ipv4 = LoadBe16(p) == 1 && LoadBe16(p + 2) == EtherType::kIpv4 && p[4] == MacAddress::kSize &&
                                p[5] == Ipv4Address::kSize;
  if (!is_ethernet_ipv4) return ParseResult::kUnsupported;
  out->operation = LoadBe16(p + 6);
  out->sender_mac = MacAddress::FromBytes(p + 8);
  out->sender_ip = Ipv4Address::FromBytes(p + 14);
  out->target_mac = MacAddress::FromBytes(p + 18);
  out->target_ip = Ipv4Address::FromBytes(p + 24);
  return ParseResult::kOk;
}

// Writes ArpPacket::kSize bytes.
inline void Write(const ArpPacket& packet, uint8_t* out) {
  StoreBe16(out, 1);
  StoreBe16(out + 2, EtherType::kIpv4);
  out[4] = MacAddress::kSize;
  out[5] = Ipv4Address::kSize;
  StoreBe16(out + 6, packet.operation);
  packet.sender_mac.CopyTo(out + 8);
  packet.sender_ip.CopyTo(out + 14);
  packet.target_mac.CopyTo(out + 18);
  packet.target_ip.CopyTo(out + 24);
}

}  // namespace luna::wire

#endif  // LUNA_NET_WIRE_ARP_H_
