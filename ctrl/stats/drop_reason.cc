#include "luna/ctrl/stats/drop_reason.h"

#include <iterator>

namespace luna::stats {
namespace {

struct Entry {
  DropReason reason;
  const char* name;
  const char* help;
};

constexpr Entry kEntries[] = {
    {DropReason::kNone, "none", "not dropped"},
    {DropReason::kRxTruncated, "rx_truncated", "received frame shorter than announced or than an Ethernet header"},
    {DropReason::kRxOversized, "rx_oversized", "received frame larger than a receive buffer or the MTU"},
    {DropReason::kRxNoBuffers, "rx_no_buffers", "no free buffer to receive into"},
    {DropReason::kRxBadChecksum, "rx_bad_checksum", "the NIC found a wrong checksum"},
    {DropReason::kRxError, "rx_error", "the device reported a broken frame"},
    {DropReason::kTxRingFull, "tx_ring_full", "the device took fewer frames than offered"},
    {DropReason::kTxNoBuffers, "tx_no_buffers", "no free buffer to build a frame in"},
    {DropReason::kTxOversized, "tx_oversized", "frame larger than the device can send"},
    {DropReason::kTxTooManySegments, "tx_too_many_segments", "frame in more pieces than the device can gather"},
    {DropReason::kTxError, "tx_error", "the device refused a frame"},
    {DropReason::kLinkDown, "link_down", "the link was down"},
    {DropReason::kLinkFault, "link_fault", "lost on purpose by a fault decorator or a test's wire"},
    {DropReason::kEthTruncated, "eth_truncated", "no room for an Ethernet header"},
    {DropReason::kEthNotForUs, "eth_not_for_us", "unicast to another Ethernet address"},
    {DropReason::kEthBadSource, "eth_bad_source", "multicast or zero Ethernet source"},
    {DropReason::kEthUnknownType, "eth_unknown_type", "EtherType that nobody here handles"},
    {DropReason::kVlanUnsupported, "vlan_unsupported", "802.1Q tag"},
    {DropReason::kOtherVlan, "other_vlan", "of another VLAN than ours, or of none"},
    {DropReason::kArpTruncated, "arp_truncated", "no room for an ARP packet"},
    {DropReason::kArpMalformed, "arp_malformed", "ARP for other than Ethernet and IPv4, or unknown operation"},
    {DropReason::kArpNotForUs, "arp_not_for_us", "ARP request for another address"},
    {DropReason::kArpUnsolicited, "arp_unsolicited", "ARP answer to nothing that was asked"},
    {DropReason::kArpBadSource, "arp_bad_source", "ARP sender address that no host may have"},
    {DropReason::kArpRateLimited, "arp_rate_limited", "ARP packet beyond the rate limit"},
    {DropReason::kIpTruncated, "ip_truncated", "no room for an IPv4 header"},
    {DropReason::kIpBadVersion, "ip_bad_version", "IP version other than 4"},
    {DropReason::kIpBadHeaderLength, "ip_bad_header_length", "IPv4 header length below 20 or beyond the packet"},
    {DropReason::kIpBadTotalLength, "ip_bad_total_length", "IPv4 total length below the header or beyond the frame"},
    {DropReason::kIpBadChecksum, "ip_bad_checksum", "IPv4 header checksum wrong"},
    {DropReason::kIpBadOption, "ip_bad_option", "malformed IPv4 option"},
    {DropReason::kIpSourceRouted, "ip_source_routed", "IPv4 source route"},
    {DropReason::kIpFragment, "ip_fragment", "IPv4 fragment; reassembly is not supported"},
    {DropReason::kIpTtlExpired, "ip_ttl_expired", "IPv4 time to live used up"},
    {DropReason::kIpNotForUs, "ip_not_for_us", "IPv4 destination is not ours"},
    {DropReason::kIpBadSource, "ip_bad_source", "IPv4 source that no host may have"},
    {DropReason::kIpUnknownProtocol, "ip_unknown_protocol", "IPv4 protocol that nobody here handles"},
    {DropReason::kIpPacketTooBig, "ip_packet_too_big", "packet to send exceeds the MTU"},
    {DropReason::kIpv6Unsupported, "ipv6_unsupported", "IPv6 packet"},
    {DropReason::kIcmpMalformed, "icmp_malformed", "ICMP message truncated or with a wrong checksum"},
    {DropReason::kIcmpUnsupported, "icmp_unsupported", "ICMP message that nobody here handles"},
    {DropReason::kIcmpRateLimited, "icmp_rate_limited", "ICMP message beyond the rate limit"},
    {DropReason::kNoRoute, "no_route", "no route to the destination"},
    {DropReason::kNeighbourUnresolved, "neighbour_unresolved", "the next hop did not tell its address"},
    {DropReason::kNeighbourQueueFull, "neighbour_queue_full", "too many packets wait for the next hop's address"},
    {DropReason::kTcpTruncated, "tcp_truncated", "no room for a TCP header"},
    {DropReason::kTcpBadOffset, "tcp_bad_offset", "TCP data offset below 20 or beyond the segment"},
    {DropReason::kTcpBadChecksum, "tcp_bad_checksum", "TCP checksum wrong"},
    {DropReason::kTcpBadOption, "tcp_bad_option", "malformed TCP option"},
    {DropReason::kTcpBadFlags, "tcp_bad_flags", "TCP flags that never go together"},
    {DropReason::kTcpBadSource, "tcp_bad_source", "TCP from a broadcast or multicast peer or port zero"},
    {DropReason::kTcpNoConnection, "tcp_no_connection", "no connection and no listener there"},
    {DropReason::kTcpListenBacklogFull, "tcp_listen_backlog_full", "SYN while the listener's backlog was full"},
    {DropReason::kTcpBadCookie, "tcp_bad_cookie", "ACK with a wrong SYN cookie"},
    {DropReason::kTcpOutOfWindow, "tcp_out_of_window", "segment outside the receive window"},
    {DropReason::kTcpDuplicate, "tcp_duplicate", "all of the segment's data was received before"},
    {DropReason::kTcpOldAck, "tcp_old_ack", "acknowledges less than is acknowledged already"},
    {DropReason::kTcpUnacceptableAck, "tcp_unacceptable_ack", "acknowledges what was never sent"},
    {DropReason::kTcpNoAck, "tcp_no_ack", "ACK flag missing"},
    {DropReason::kTcpPaws, "tcp_paws", "timestamp older than the last one (RFC 7323)"},
    {DropReason::kTcpUnexpectedSyn, "tcp_unexpected_syn", "SYN on a synchronised connection"},
    {DropReason::kTcpRstOutOfWindow, "tcp_rst_out_of_window", "RST outside the receive window"},
    {DropReason::kTcpRstRateLimited, "tcp_rst_rate_limited", "an RST was owed but beyond the rate limit"},
    {DropReason::kTcpChallengeAck, "tcp_challenge_ack", "answered with a challenge ACK (RFC 5961)"},
    {DropReason::kTcpChallengeAckRateLimited, "tcp_challenge_ack_rate_limited", "challenge ACK beyond the rate limit"},
    {DropReason::kTcpMemory, "tcp_memory", "no memory for the segment or the connection"},
    {DropReason::kTcpConnectionLimit, "tcp_connection_limit", "as many connections as are allowed"},
    {DropReason::kTcpReassemblyFull, "tcp_reassembly_full", "out-of-order queue full"},
    {DropReason::kTcpClosedReceive, "tcp_closed_receive", "data after the application closed"},
    {DropReason::kTcpTimeWait, "tcp_time_wait", "segment for a connection in TIME-WAIT"},
    {DropReason::kTcpIcmpOutOfWindow, "tcp_icmp_out_of_window", "ICMP error that quotes nothing in flight"},
    {DropReason::kHandOffFull, "hand_off_full", "the queue to another thread was full"},
    {DropReason::kShuttingDown, "shutting_down", "arrived while shutting down"},
};

constexpr bool InOrder() {
  for (size_t i = 0; i < std::size(kEntries); ++i) {
    if (static_cast<size_t>(kEntries[i].reason) != i) return false;
  }
  return true;
}
static_assert(std::size(kEntries) == kDropReasonCount, "a DropReason has no entry here");
static_assert(InOrder(), "entries stand in another order than the enum");

}  // namespace

absl::string_view DropReasonName(DropReason reason) {
  return reason < DropReason::kCount ? kEntries[static_cast<size_t>(reason)].name : "invalid";
}

absl::string_view DropReasonHelp(DropReason reason) {
  return reason < DropReason::kCount ? kEntries[static_cast<size_t>(reason)].help : "";
}

}  // namespace luna::stats
