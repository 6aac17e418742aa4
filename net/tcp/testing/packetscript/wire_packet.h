#ifndef LUNA_NET_TCP_TESTING_PACKETSCRIPT_WIRE_PACKET_H_
#define LUNA_NET_TCP_TESTING_PACKETSCRIPT_WIRE_PACKET_H_

// Between packets as a script has them and packets as bytes: IPv4 with TCP or ICMP inside.
//
// A Segment is one packet taken apart, its numbers either as on the wire ("live") or as in the script; which of the two
// is the caller's to know. Pure functions and values; any thread.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/optional.h"
#include "absl/types/span.h"
#include "luna/net/tcp/testing/packetscript/script.h"
#include "luna/net/wire/address.h"
#include "luna/sched/clock/time.h"

namespace luna::tcp::packetscript {

// A TCP option as it lies on the wire; `data` is what stands behind kind and length.
struct RawOption {
  uint8_t kind = 0;
  std::vector<uint8_t> data;
  friend bool operator==(const RawOption&, const RawOption&) = default;
};

struct Segment {
  Time at;
  wire::Endpoint source;
  wire::Endpoint destination;
  uint8_t tos = 0;
  uint8_t ttl = 64;
  uint16_t flags = 0;  // wire::TcpFlags
  uint8_t reserved = 0;
  uint32_t sequence = 0;
  uint32_t ack = 0;
  uint16_t window = 0;
  uint16_t urgent_pointer = 0;
  std::vector<RawOption> options;
  std::string payload;
  // An ICMP message instead; then only `at`, the addresses, `tos` and `ttl` of the above mean something.
  bool is_icmp = false;
  uint8_t icmp_type = 0;
  uint8_t icmp_code = 0;

  bool Has(uint16_t bits) const { return (flags & bits) != 0; }
  // Of the data offset: options and their padding included.
  size_t HeaderBytes() const;
};

// The value and the echo of a timestamp option.
struct Timestamp {
  uint32_t value = 0;
  uint32_t echo = 0;
};
absl::optional<Timestamp> FindTimestamp(const Segment& segment);
// Replaces the numbers of the option, which must be there.
void SetTimestamp(Segment* segment, Timestamp timestamp);
// Adds `offset` to both edges of every SACK block.
void ShiftSackBlocks(Segment* segment, uint32_t offset);

// Takes `packet` apart. InvalidArgument with the reason: not IPv4, not TCP or ICMP, lengths or checksums that are
// wrong, options that cannot be told apart.
absl::StatusOr<Segment> Dissect(absl::Span<const uint8_t> packet, Time at);

// The script's packet: its own numbers, addresses zero, a payload of zeros.
Segment FromScript(const PacketSpec& packet);
// The bytes, checksums included. Options are padded with zeros to a multiple of four.
std::vector<uint8_t> Assemble(const Segment& segment);

// The type and code of an ICMP message by their names in scripts ("unreachable", "port"; a number is a name, too).
// NotFound for an unknown one.
struct IcmpName {
  uint8_t type = 0;
  uint8_t code = 0;
};
absl::StatusOr<IcmpName> FindIcmp(const IcmpSpec& icmp);
// An ICMP message from `source` about a datagram that was sent with the addresses, ports and live `sequence` of
// `about` and had `about_payload` octets of TCP payload.
std::vector<uint8_t> AssembleIcmp(const IcmpSpec& icmp, IcmpName name, const Segment& about, size_t about_payload);

// In the script's notation: "P. 1:1001(1000) ack 1 win 256 <nop,nop,TS val 1 ecr 2>".
std::string ToString(const Segment& segment);

}  // namespace luna::tcp::packetscript

#endif  // LUNA_NET_TCP_TESTING_PACKETSCRIPT_WIRE_PACKET_H_
