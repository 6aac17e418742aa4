#ifndef LUNA_NET_TCP_ICMP_H_
#define LUNA_NET_TCP_ICMP_H_

// ICMP errors about TCP segments of ours, for Stack::OnIcmpError(). Stack::OnIcmp() parses with this, and so does
// whoever receives ICMP that is not only Luna's (apps/runtime, where the kernel has the address, too).

#include <cstdint>
#include <optional>

#include "absl/types/span.h"
#include "luna/net/tcp/network_error.h"
#include "luna/net/tcp/seq.h"
#include "luna/net/wire/address.h"

namespace luna::tcp {

struct IcmpError {
  wire::FourTuple tuple;  // local: the quoted packet's source, remote: its destination
  SeqNum seq;             // of the quoted segment
  NetworkError error = NetworkError::kNone;
  uint32_t mtu = 0;  // with kMessageTooBig
};

// Reads an ICMPv4 message (RFC 792, RFC 1191, RFC 1812), from its type octet on, that quotes an IPv4 header and at
// least eight octets of TCP (RFC 792). Nothing for anything else: other types, other protocols, a later fragment,
// truncated, wrong checksum, and source quench, which is to be ignored (RFC 9293 MUST-55). A router that names no MTU
// gets the next lower plateau (RFC 1191 §7). Any bytes; pure; O(length).
std::optional<IcmpError> ParseIcmpError(absl::Span<const uint8_t> message);

}  // namespace luna::tcp

#endif  // LUNA_NET_TCP_ICMP_H_
