#ifndef LUNA_NET_WIRE_TESTING_FRAME_BUILDER_H_
#define LUNA_NET_WIRE_TESTING_FRAME_BUILDER_H_

// Complete frames in one line, for tests of every layer; right by default, and wrong in just the way that a test asks
// for.
//
//   std::vector<uint8_t> syn = TcpFrame({.flags = TcpFlags::kSyn, .options = {.has_mss = true, .mss = 1460}}).Build();
//   std::vector<uint8_t> bad = TcpFrame({.payload = Text("hello"), .bad_tcp_checksum = true}).Build();
//
// Designated initialisers must name fields in the order of declaration. Addresses default to client → server.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "absl/types/span.h"
#include "luna/net/wire/address.h"
#include "luna/net/wire/arp.h"
#include "luna/net/wire/ethernet.h"
#include "luna/net/wire/ipv4.h"
#include "luna/net/wire/tcp_header.h"
#include "luna/net/wire/tcp_options.h"

namespace luna::wire {

// The two hosts that frames go between when a test does not care.
inline constexpr MacAddress kClientMac({0x02, 0, 0, 0, 0, 0x01});
inline constexpr MacAddress kServerMac({0x02, 0, 0, 0, 0, 0x02});
inline constexpr Endpoint kClient = {Ipv4Address(10, 0, 0, 1), 40000};
inline constexpr Endpoint kServer = {Ipv4Address(10, 0, 0, 2), 61441};

// The bytes of a text.
std::vector<uint8_t> Text(absl::string_view text);
// `size` bytes that repeat only every 251 and begin differently for each seed: byte i is (i + seed) mod 251.
std::vector<uint8_t> Pattern(size_t size, size_t seed = 0);
// Bytes written as hex digits; blanks and line ends are skipped. CHECK-fails on anything else.
std::vector<uint8_t> Hex(absl::string_view digits);

// An Ethernet frame with an IPv4 datagram with a TCP segment.
struct TcpFrame {
  // TCP
  Endpoint source = kClient;
  Endpoint destination = kServer;
  uint32_t sequence = 1;
  uint32_t acknowledgment = 0;
  uint16_t flags = TcpFlags::kAck;
  uint16_t window = 65535;
  uint16_t urgent_pointer = 0;
  TcpOptions options;
  std::vector<uint8_t> payload;
  // In place of `options`: bytes as they are, padded with zeros to a multiple of 4. At most 40.
  absl::optional<std::vector<uint8_t>> raw_options;

  // IPv4
  uint8_t tos = 0;
  uint16_t identification = 0;
  uint16_t fragment = Ipv4Header::kDontFragment;
  uint8_t ttl = 64;
  uint8_t protocol = IpProtocol::kTcp;
  std::vector<uint8_t> ip_options;  // padded with zeros to a multiple of 4; at most 40

  // Ethernet
  MacAddress source_mac = kClientMac;
  MacAddress destination_mac = kServerMac;
  uint16_t ether_type = EtherType::kIpv4;
  absl::optional<uint16_t> vlan;         // a TCI: adds an 802.1Q tag
  bool pad_to_ethernet_minimum = false;  // zeros behind the datagram up to 60 bytes, as a NIC does

  // What is wrong with it. Checksums are right for what else is wrong, unless they are the thing.
  bool bad_ip_checksum = false;
  bool bad_tcp_checksum = false;
  absl::optional<uint8_t> ip_version;
  absl::optional<uint8_t> ihl;            // the 4-bit field
  absl::optional<uint16_t> total_length;  // the field; the bytes stay
  absl::optional<uint8_t> data_offset;    // the 4-bit field
  absl::optional<size_t> truncate_to;     // the frame's bytes, at the very end

  // The whole frame.
  std::vector<uint8_t> Build() const;
  // The same without its Ethernet header.
  std::vector<uint8_t> BuildPacket() const;
  // The TCP segment alone.
  std::vector<uint8_t> BuildSegment() const;
};

// An Ethernet frame with an ARP packet.
struct ArpFrame {
  uint16_t operation = ArpPacket::kRequest;
  MacAddress sender_mac = kClientMac;
  Ipv4Address sender_ip = kClient.address.v4();
  MacAddress target_mac;
  Ipv4Address target_ip = kServer.address.v4();
  MacAddress source_mac = kClientMac;
  MacAddress destination_mac = MacAddress::Broadcast();
  bool pad_to_ethernet_minimum = true;
  absl::optional<size_t> truncate_to;

  std::vector<uint8_t> Build() const;
};

// An Ethernet frame with an IPv4 datagram of any protocol, for what is not TCP.
struct Ipv4Frame {
  Ipv4Header header = {.source = kClient.address.v4(), .destination = kServer.address.v4()};  // lengths are computed
  std::vector<uint8_t> payload;
  MacAddress source_mac = kClientMac;
  MacAddress destination_mac = kServerMac;

  std::vector<uint8_t> Build() const;
};

// A frame taken apart again, for looking at what a stack sent. Views into the frame, which must outlive it.
struct ParsedTcpFrame {
  EthernetHeader ethernet;
  Ipv4Header ip;
  TcpHeader tcp;
  TcpOptions options;
  absl::Span<const uint8_t> payload;
};
// nullopt when anything is wrong with it, a checksum included.
absl::optional<ParsedTcpFrame> ParseTcpFrame(absl::Span<const uint8_t> frame);

}  // namespace luna::wire

#endif  // LUNA_NET_WIRE_TESTING_FRAME_BUILDER_H_
