#ifndef LUNA_NET_TCP_TESTING_PACKETSCRIPT_PACKET_MATCH_H_
#define LUNA_NET_TCP_TESTING_PACKETSCRIPT_PACKET_MATCH_H_

// Whether a packet of the stack is the one that the script expects. Both in the script's numbers. Pure functions.

#include <cstdint>

#include "absl/status/status.h"
#include "luna/net/tcp/testing/packetscript/script.h"
#include "luna/net/tcp/testing/packetscript/wire_packet.h"

namespace luna::tcp::packetscript {

struct TimestampTolerance {
  int64_t tick_usecs = 0;  // of one unit of the timestamp; 0: values are not looked at
  int64_t usecs = 0;
};

// FailedPrecondition names the first field that differs, and both values.
absl::Status MatchPacket(const PacketSpec& expected, const Segment& actual, const TimestampTolerance& tolerance);

// Whether `next` goes on where `last` ended, so that both may be one packet of the script: `missing` octets are still
// to come.
absl::Status MatchPiece(const Segment& last, const Segment& next, size_t missing);
// `last` and `next` as one packet: the flags, the time and the options of the last, the number of the first.
Segment Glue(const Segment& first, const Segment& last);

}  // namespace luna::tcp::packetscript

#endif  // LUNA_NET_TCP_TESTING_PACKETSCRIPT_PACKET_MATCH_H_
