#ifndef LUNA_CTRL_STATS_DROP_REASON_H_
#define LUNA_CTRL_STATS_DROP_REASON_H_

// Why a packet, or what it asked for, was not taken. One list for the whole stack, so that one table tells where
// packets go. Whoever drops returns or counts exactly one reason per packet; nothing is ever logged per packet.

#include <array>
#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"

namespace luna::stats {

// The names in drop_reason.cc stand in the same order; a static_assert there holds the two together. To add a reason:
// one line here, one line there. The numbers are not stable between versions; the names are.
enum class DropReason : uint8_t {
  // Not dropped. Never counted.
  kNone,

  // net/pmd: the frame did not pass between the NIC and us.
  kRxTruncated,    // shorter than the device said, or than an Ethernet header
  kRxOversized,    // larger than a receive buffer or than the MTU allows
  kRxNoBuffers,    // no obj free to receive into
  kRxBadChecksum,  // the NIC found a checksum wrong and said no more
  kRxError,        // the device reported a broken frame
  kTxRingFull,     // the device took fewer frames than it was given
  kTxNoBuffers,    // no obj free to build the frame in
  kTxOversized,    // the frame exceeds what the device can send
  kTxTooManySegments,
  kTxError,
  kLinkDown,
  kLinkFault,  // a fault decorator or a wire of a test lost it on purpose

  // Ethernet.
  kEthTruncated,
  kEthNotForUs,   // unicast to another address
  kEthBadSource,  // multicast or zero source address
  kEthUnknownType,
  kVlanUnsupported,
  kOtherVlan,  // another VLAN's, or none's, on a device that was opened for one

  // ARP (RFC 826).
  kArpTruncated,
  kArpMalformed,    // hardware type, protocol type or lengths other than Ethernet and IPv4; unknown operation
  kArpNotForUs,     // asks for an address that is not ours
  kArpUnsolicited,  // an answer to nothing we asked
  kArpBadSource,    // sender addresses that no host may have
  kArpRateLimited,

  // IPv4 (RFC 791, RFC 1122 §3.2).
  kIpTruncated,
  kIpBadVersion,
  kIpBadHeaderLength,
  kIpBadTotalLength,
  kIpBadChecksum,
  kIpBadOption,
  kIpSourceRouted,
  kIpFragment,  // reassembly is not supported
  kIpTtlExpired,
  kIpNotForUs,
  kIpBadSource,  // martian: broadcast, multicast, loopback, our own address
  kIpUnknownProtocol,
  kIpPacketTooBig,  // to send: larger than the MTU of the way
  kIpv6Unsupported,
  kIcmpMalformed,
  kIcmpUnsupported,
  kIcmpRateLimited,
  kNoRoute,
  kNeighbourUnresolved,  // gave up asking for the next hop's address
  kNeighbourQueueFull,   // too many packets wait for that address

  // TCP (RFC 9293, RFC 7323, RFC 5961).
  kTcpTruncated,
  kTcpBadOffset,
  kTcpBadChecksum,
  kTcpBadOption,
  kTcpBadFlags,
  kTcpBadSource,  // broadcast or multicast peer, port zero
  kTcpNoConnection,
  kTcpListenBacklogFull,
  kTcpBadCookie,
  kTcpOutOfWindow,
  kTcpDuplicate,        // all of its data was here already
  kTcpOldAck,           // acknowledges less than is acknowledged already
  kTcpUnacceptableAck,  // acknowledges what was never sent
  kTcpNoAck,            // ACK flag missing where the RFC demands it
  kTcpPaws,
  kTcpUnexpectedSyn,
  kTcpRstOutOfWindow,
  kTcpRstRateLimited,  // a RST we owed was not sent
  kTcpChallengeAck,    // answered with a challenge ACK instead of being taken
  kTcpChallengeAckRateLimited,
  kTcpMemory,
  kTcpConnectionLimit,
  kTcpReassemblyFull,
  kTcpClosedReceive,  // data after the application closed
  kTcpTimeWait,
  kTcpIcmpOutOfWindow,  // an ICMP error that quotes nothing in flight

  // sched/r2c.
  kHandOffFull,
  kShuttingDown,

  // Not a reason; the number of them.
  kCount,
};

inline constexpr size_t kDropReasonCount = static_cast<size_t>(DropReason::kCount);

// The stable name: lower case with underscores, layer first, as in "tcp_bad_checksum". "invalid" for values out of
// range.
absl::string_view DropReasonName(DropReason reason);

// One line on what happened, for `--help`-like tables. Empty for values out of range.
absl::string_view DropReasonHelp(DropReason reason);

// Every reason except kNone, in order:  for (DropReason r : AllDropReasons()) ...
constexpr std::array<DropReason, kDropReasonCount - 1> AllDropReasons() {
  std::array<DropReason, kDropReasonCount - 1> all{};
  for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<DropReason>(i + 1);
  return all;
}

}  // namespace luna::stats

#endif  // LUNA_CTRL_STATS_DROP_REASON_H_
