#ifndef LUNA_NET_WIRE_ICMPV4_H_
#define LUNA_NET_WIRE_ICMPV4_H_

// The ICMP messages (RFC 792) that concern a TCP host: a fixed header of 8 bytes and, in errors, the start of the
// datagram that they complain about. A value: no pointer into the bytes is kept. Any thread.

#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"
#include "luna/net/wire/byte_cursor.h"
#include "luna/net/wire/checksum.h"
#include "luna/net/wire/parse_result.h"

namespace luna::wire {

struct Icmpv4Header {
  static constexpr size_t kSize = 8;
  static constexpr uint8_t kEchoReply = 0;
  static constexpr uint8_t kDestinationUnreachable = 3;
  static constexpr uint8_t kEchoRequest = 8;
  static constexpr uint8_t kTimeExceeded = 11;
  // Codes of kDestinationUnreachable.
  static constexpr uint8_t kNetworkUnreachable = 0;
  static constexpr uint8_t kHostUnreachable = 1;
  static constexpr uint8_t kProtocolUnreachable = 2;
  static constexpr uint8_t kPortUnreachable = 3;
  static constexpr uint8_t kFragmentationNeeded = 4;

  uint8_t type = 0;
  uint8_t code = 0;
  uint16_t checksum = 0;  // as received; Write() computes its own
  uint32_t rest = 0;      // the second word: identifier and sequence of an echo, next-hop MTU of kFragmentationNeeded

  constexpr bool IsFragmentationNeeded() const {
    return type == kDestinationUnreachable && code == kFragmentationNeeded;
  }
  // RFC 1191 §4. 0 from an old router that does not say.
  constexpr uint16_t next_hop_mtu() const { return static_cast<uint16_t>(rest); }
};

// Reads the payload of an IPv4 packet; behind the header follows message.subspan(kSize). An embedded datagram is cut
// short by design (RFC 792: header and 8 bytes) and chosen by whoever sent the message: match it against connections
// before belief. Errors: kTruncated; kBadChecksum (which covers all of `message`) with a filled header.
inline ParseResult Parse(absl::Span<const uint8_t> message, Icmpv4Header* out) {
  if (message.size() < Icmpv4Header::kSize) return ParseResult::kTruncated;
  const uint8_t* p = message.data();
  out->type = p[0];
  out->code = p[1];
  out->checksum = LoadBe16(p + 2);
  out->rest = LoadBe32(p + 4);
  return ChecksumSum(message) == 0xffff ? ParseResult::kOk : ParseResult::kBadChecksum;
}

// Writes the header to the front of `message`, behind which the data already stands, and the checksum of all.
// Requires message.size() >= kSize.
inline void Write(const Icmpv4Header& header, absl::Span<uint8_t> message) {
  message[0] = header.type;
  message[1] = header.code;
  StoreBe16(message.data() + 2, 0);
  StoreBe32(message.data() + 4, header.rest);
  StoreBe16(message.data() + 2, Checksum(message));
}

}  // namespace luna::wire

#endif  // LUNA_NET_WIRE_ICMPV4_H_
