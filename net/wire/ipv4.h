#ifndef LUNA_NET_WIRE_IPV4_H_
#define LUNA_NET_WIRE_IPV4_H_

// IPv4 header (RFC 791). A value: Parse() keeps no pointer into the bytes, but the spans that its methods return lie in
// the caller's bytes and live as long as those. Any thread.

#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"
#include "luna/net/wire/address.h"
#include "luna/net/wire/byte_cursor.h"
#include "luna/net/wire/checksum.h"
#include "luna/net/wire/parse_result.h"

namespace luna::wire {

// Values of the protocol field.
struct IpProtocol {
  static constexpr uint8_t kIcmp = 1;
  static constexpr uint8_t kTcp = 6;
  static constexpr uint8_t kUdp = 17;
};

struct Ipv4Header {
  static constexpr size_t kSize = 20;         // without options
  static constexpr size_t kMaximumSize = 60;  // with options
  static constexpr uint16_t kDontFragment = 0x4000;
  static constexpr uint16_t kMoreFragments = 0x2000;
  static constexpr uint16_t kFragmentOffsetMask = 0x1fff;

  uint8_t header_length = kSize;  // bytes, options included: 20, 24, … 60
  uint8_t tos = 0;                // DSCP and ECN
  uint16_t total_length = 0;      // bytes, header included
  uint16_t identification = 0;
  uint16_t fragment = kDontFragment;  // flags and offset, as on the wire
  uint8_t ttl = 64;
  uint8_t protocol = IpProtocol::kTcp;
  uint16_t checksum = 0;  // as received; Write() computes its own
  Ipv4Address source;
  Ipv4Address destination;

  constexpr bool dont_fragment() const { return (fragment & kDontFragment) != 0; }
  constexpr bool more_fragments() const { return (fragment & kMoreFragments) != 0; }
  constexpr size_t fragment_offset_bytes() const { return size_t{8} * (fragment & kFragmentOffsetMask); }
  // Part of a larger datagram: its payload cannot be read on its own.
  constexpr bool IsFragment() const { return (fragment & (kMoreFragments | kFragmentOffsetMask)) != 0; }
  constexpr bool HasOptions() const { return header_length > kSize; }
  // ECN codepoint (RFC 3168): 0 Not-ECT, 1 ECT(1), 2 ECT(0), 3 CE.
  constexpr uint8_t ecn() const { return tos & 3; }

  constexpr size_t payload_length() const { return size_t{total_length} - header_length; }
  // The payload inside the packet that Parse() accepted, without the link's padding behind it.
  absl::Span<const uint8_t> Payload(absl::Span<const uint8_t> packet) const {
    return packet.subspan(header_length, payload_length());
  }
};

// Whether Parse() sums the header: not when the NIC has done so.
enum class ChecksumCheck : uint8_t { kVerify, kSkip };

// Reads a packet of `packet_size` bytes that begins with an IPv4 header. `front` is its first bytes, all of them or at
// least the IP header: the rest may lie in other buffers. Bytes behind total_length are the link's padding. After kOk:
// 20 <= header_length <= total_length <= packet_size and header_length <= front.size(). Addresses, ttl, options and
// fragments are the caller's to judge; IsFragment() tells. Errors: kTruncated (also when the header does not fit in
// `front`), kBadVersion, kBadHeaderLength, kBadTotalLength; kBadChecksum comes last and leaves a filled header.
inline ParseResult ParseFront(absl::Span<const uint8_t> front, size_t packet_size, Ipv4Header* out,
                              ChecksumCheck check = ChecksumCheck::kVerify) {
  if (front.size() < Ipv4Header::kSize) return ParseResult::kTruncated;
  const uint8_t* p = front.data();
  if (p[0] >> 4 != 4) return ParseResult::kBadVersion;
  const size_t header_length = size_t{4} * (p[0] & 0x0f);
  const size_t total_length = LoadBe16(p + 2);
  if (header_length < Ipv4Header::kSize) return ParseResult::kBadHeaderLength;
  if (total_length < header_length) return ParseResult::kBadTotalLength;
  if (total_length > packet_size || header_length > front.size()) return ParseResult::kTruncated;
  out->header_length = static_cast<uint8_t>(header_length);
  out->tos = p[1];
  out->total_length = static_cast<uint16_t>(total_length);
  out->identification = LoadBe16(p + 4);
  out->fragment = LoadBe16(p + 6);
  out->ttl = p[8];
  out->protocol = p[9];
  out->checksum = LoadBe16(p + 10);
  out->source = Ipv4Address(LoadBe32(p + 12));
  out->destination = Ipv4Address(LoadBe32(p + 16));
  if (check == ChecksumCheck::kSkip) return ParseResult::kOk;
  const uint16_t sum =
      header_length == Ipv4Header::kSize ? Ipv4BaseHeaderSum(p) : ChecksumSum(front.first(header_length));
  return sum == 0xffff ? ParseResult::kOk : ParseResult::kBadChecksum;
}

// The same for a packet in one piece: take its Payload().
inline ParseResult Parse(absl::Span<const uint8_t> packet, Ipv4Header* out,
                         ChecksumCheck check = ChecksumCheck::kVerify) {
  return ParseFront(packet, packet.size(), out, check);
}

// Writes the 20 bytes of the header, its checksum included. header.header_length says how much the checksum covers: the
// options, if any, must already stand in out[20 .. header_length). `out` must have header_length bytes.
inline void Write(const Ipv4Header& header, uint8_t* out) {
  out[0] = static_cast<uint8_t>(0x40 | header.header_length / 4);
  out[1] = header.tos;
  StoreBe16(out + 2, header.total_length);
  StoreBe16(out + 4, header.identification);
  StoreBe16(out + 6, header.fragment);
  out[8] = header.ttl;
  out[9] = header.protocol;
  StoreBe16(out + 10, 0);
  StoreBe32(out + 12, header.source.value());
  StoreBe32(out + 16, header.destination.value());
  const uint16_t sum = header.header_length == Ipv4Header::kSize
                           ? Ipv4BaseHeaderSum(out)
                           : ChecksumSum(absl::Span<const uint8_t>(out, header.header_length));
  StoreBe16(out + 10, static_cast<uint16_t>(~sum));
}

}  // namespace luna::wire

#endif  // LUNA_NET_WIRE_IPV4_H_
