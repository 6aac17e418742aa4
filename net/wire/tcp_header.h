#ifndef LUNA_NET_WIRE_TCP_HEADER_H_
#define LUNA_NET_WIRE_TCP_HEADER_H_

// TCP header (RFC 9293 §3.1) without its options, which are tcp_options.h's. A value: Parse() keeps no pointer into the
// bytes, but the spans that its methods return lie in the caller's bytes and live as long as those. Any thread.

#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"
#include "luna/net/wire/address.h"
#include "luna/net/wire/byte_cursor.h"
#include "luna/net/wire/checksum.h"
#include "luna/net/wire/ipv4.h"
#include "luna/net/wire/parse_result.h"

namespace luna::wire {

// Bits of TcpHeader::flags.
struct TcpFlags {
  static constexpr uint16_t kFin = 0x001;
  static constexpr uint16_t kSyn = 0x002;
  static constexpr uint16_t kRst = 0x004;
  static constexpr uint16_t kPsh = 0x008;
  static constexpr uint16_t kAck = 0x010;
  static constexpr uint16_t kUrg = 0x020;
  static constexpr uint16_t kEce = 0x040;
  static constexpr uint16_t kCwr = 0x080;
  static constexpr uint16_t kAe = 0x100;  // accurate ECN; once the nonce sum, NS
  static constexpr uint16_t kAll = 0x1ff;
};

struct TcpHeader {
  static constexpr size_t kSize = 20;         // without options
  static constexpr size_t kMaximumSize = 60;  // with options
  static constexpr size_t kSequenceAt = 4;    // where the sequence number lies

  uint16_t source_port = 0;
  uint16_t destination_port = 0;
  uint32_t sequence = 0;
  uint32_t acknowledgment = 0;    // of meaning with kAck only
  uint8_t header_length = kSize;  // bytes, options included: 20, 24, … 60
  uint16_t flags = 0;             // TcpFlags
  uint16_t window = 0;            // as on the wire, not scaled
  uint16_t checksum = 0;
  uint16_t urgent_pointer = 0;  // of meaning with kUrg only

  // Any of the bits.
  constexpr bool Has(uint16_t bits) const { return (flags & bits) != 0; }
  // The options inside the segment that Parse() accepted; 0 to 40 bytes.
  absl::Span<const uint8_t> Options(absl::Span<const uint8_t> segment) const {
    return segment.subspan(kSize, header_length - kSize);
  }
  absl::Span<const uint8_t> Payload(absl::Span<const uint8_t> segment) const { return segment.subspan(header_length); }

  friend constexpr bool operator==(const TcpHeader&, const TcpHeader&) = default;
};

// Reads a segment: an IP payload of exact length. Does not sum it: TcpChecksumIsRight(). The reserved bits are ignored
// (RFC 9293 §3.1). After kOk: 20 <= header_length <= segment.size().
// Errors: kTruncated (also for a data offset behind the end), kBadHeaderLength (a data offset below 5).
inline ParseResult Parse(absl::Span<const uint8_t> segment, TcpHeader* out) {
  if (segment.size() < TcpHeader::kSize) return ParseResult::kTruncated;
  const uint8_t* p = segment.data();
  const size_t header_length = size_t{4} * (p[12] >> 4);
  if (header_length < TcpHeader::kSize) return ParseResult::kBadHeaderLength;
  if (header_length > segment.size()) return ParseResult::kTruncated;
  out->source_port = LoadBe16(p);
  out->destination_port = LoadBe16(p + 2);
  out->sequence = LoadBe32(p + 4);
  out->acknowledgment = LoadBe32(p + 8);
  out->header_length = static_cast<uint8_t>(header_length);
  out->flags = LoadBe16(p + 12) & TcpFlags::kAll;
  out->window = LoadBe16(p + 14);
  out->checksum = LoadBe16(p + 16);
  out->urgent_pointer = LoadBe16(p + 18);
  return ParseResult::kOk;
}

// Writes the 20 bytes of the header, the checksum as it stands in `header` (0 while it is to be computed, by the NIC or
// by TcpChecksum()). Options go to out + 20; header.header_length counts them.
inline void Write(const TcpHeader& header, uint8_t* out) {
  StoreBe16(out, header.source_port);
  StoreBe16(out + 2, header.destination_port);
  StoreBe32(out + 4, header.sequence);
  StoreBe32(out + 8, header.acknowledgment);
  StoreBe16(out + 12, static_cast<uint16_t>((header.header_length / 4) << 12 | (header.flags & TcpFlags::kAll)));
  StoreBe16(out + 14, header.window);
  StoreBe16(out + 16, header.checksum);
  StoreBe16(out + 18, header.urgent_pointer);
}

// The checksum of a contiguous segment whose checksum field is zero. For one in pieces: a ChecksumAccumulator that
// starts from Ipv4PseudoHeaderSum(source, destination, IpProtocol::kTcp, length).
inline uint16_t TcpChecksum(Ipv4Address source, Ipv4Address destination, absl::Span<const uint8_t> segment) {
  const uint16_t pseudo =
      Ipv4PseudoHeaderSum(source, destination, IpProtocol::kTcp, static_cast<uint16_t>(segment.size()));
  return static_cast<uint16_t>(~AddSums(pseudo, ChecksumSum(segment)));
}

// Whether a received segment, checksum field included, sums up. There is no "no checksum" in TCP.
inline bool TcpChecksumIsRight(Ipv4Address source, Ipv4Address destination, absl::Span<const uint8_t> segment) {
  return TcpChecksum(source, destination, segment) == 0;
}

}  // namespace luna::wire

#endif  // LUNA_NET_WIRE_TCP_HEADER_H_
