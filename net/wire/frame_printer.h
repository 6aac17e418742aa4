#ifndef LUNA_NET_WIRE_FRAME_PRINTER_H_
#define LUNA_NET_WIRE_FRAME_PRINTER_H_

// One-line text of a frame in tcpdump's manner, for traces and test failures. Takes any bytes; what it cannot read it
// names and gives the size of. Allocates: not for the data path. The text is for people and may change.
// Pure functions: any thread, and the bytes stay the caller's.
//
//   10.0.0.1:40000 > 10.0.0.2:61441: [S] seq 1 win 64240 mss 1460 sackOK TS 1/0 wscale 7 length 0
//   arp who-has 10.0.0.2 tell 10.0.0.1 (02:00:00:00:00:01)
//   10.0.0.1 > 10.0.0.2: udp length 8
//   ethernet: truncated (9 bytes)

#include <cstdint>
#include <string>

#include "absl/types/span.h"
#include "luna/net/wire/tcp_options.h"

namespace luna::wire {

// A frame that begins with an Ethernet header.
std::string PrintFrame(absl::Span<const uint8_t> frame);
// A packet that begins with an IPv4 header.
std::string PrintIpv4Packet(absl::Span<const uint8_t> packet);

// "S", "S.", "P.", "F.", "R", "none" …: tcpdump's letters, '.' for ACK; U, E, W, e for URG, ECE, CWR, AE.
std::string PrintTcpFlags(uint16_t flags);
// " mss 1460 sackOK TS 1/0 wscale 7 sack 1 {5:9}", each with a space in front; "" for none.
std::string PrintTcpOptions(const TcpOptions& options);

}  // namespace luna::wire

#endif  // LUNA_NET_WIRE_FRAME_PRINTER_H_
