#ifndef LUNA_NET_IP_DATAGRAM_H_
#define LUNA_NET_IP_DATAGRAM_H_

// What net/ip and net/tcp hand each other: IP datagrams without their IP header. Move-only: each owns its packet's objs
// (references in zbuf) and belongs to one thread, the worker's.

#include <cstdint>
#include <vector>

#include "luna/net/pmd/packet.h"
#include "luna/net/wire/address.h"

namespace luna::ip {

inline constexpr uint8_t kProtocolIcmp = 1;
inline constexpr uint8_t kProtocolTcp = 6;

// Explicit congestion notification, the low two bits of the TOS byte (RFC 3168 §5).
enum class Ecn : uint8_t { kNotEct = 0, kEct1 = 1, kEct0 = 2, kCe = 3 };

// A datagram that Ingress accepted. `packet.data` begins with the transport header and ends with the last octet that
// the IP total length covers. The IP header was checked; the transport checksum was not (see packet.rx.l4_checksum).
struct Datagram {
  wire::IpAddress source;
  wire::IpAddress destination;
  uint8_t protocol = 0;
  uint8_t ttl = 0;
  uint8_t dscp = 0;  // upper six bits of TOS, shifted down
  Ecn ecn = Ecn::kNotEct;
  pmd::Packet packet;
};

// A datagram to be sent. `packet.data` begins with the transport header, in an obj of its own with
// pmd::kTxHeadroomBytes in front. The transport checksum field holds 0: Egress fills it in, or asks the device to.
struct OutDatagram {
  wire::IpAddress source;
  wire::IpAddress destination;
  uint8_t protocol = kProtocolTcp;
  uint8_t ttl = 64;
  uint8_t dscp = 0;
  Ecn ecn = Ecn::kNotEct;
  bool dont_fragment = true;      // RFC 1191; with it set the identification may be 0 (RFC 6864)
  uint16_t checksum_offset = 16;  // where the transport checksum lies in packet.data (TCP: 16)
  bool like_last = false;         // as the one before it in the batch, and as long; only the octets differ
  pmd::Packet packet;
};

// What one Flush of the transport leaves behind for Egress, in order.
using OutBatch = std::vector<OutDatagram>;

}  // namespace luna::ip

#endif  // LUNA_NET_IP_DATAGRAM_H_
