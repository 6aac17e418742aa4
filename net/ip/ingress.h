#ifndef LUNA_NET_IP_INGRESS_H_
#define LUNA_NET_IP_INGRESS_H_

// Ingress: frames in, checked IP datagrams out. What it lets through is IPv4, whole, for us, and TCP or ICMP.
//
// Checks, in this order (each failure is counted under the reason in brackets and ends the packet):
//   Ethernet   header complete [kEthTruncated]; source a unicast address [kEthBadSource]; destination ours or a group
//   address
//              [kEthNotForUs]; at most one 802.1Q tag, with VLAN id 0 [kVlanUnsupported]; type IPv4 or ARP
//              [kIpv6Unsupported, kEthUnknownType]; an IPv4 datagram came to our own MAC, not to a group (RFC 1122
//              §3.3.6) [kEthNotForUs].
//   IPv4       RFC 791, RFC 1122 §3.2.1: complete [kIpTruncated]; version [kIpBadVersion]; header length
//   [kIpBadHeaderLength]; total
//              length [kIpBadTotalLength]; header checksum [kIpBadChecksum], skipped when a trusted device vouches for
//              it.
//   addresses  destination one of ours, so neither broadcast nor multicast (RFC 9293 §3.9.2.3, MUST-57) [kIpNotForUs];
//   source
//              may be a host on a wire: not 0/8, loopback, multicast, 240/4, a broadcast of our networks (RFC 1122
//              §3.2.1.3) or ourselves [kIpBadSource].
//   the rest   TTL not 0 [kIpTtlExpired]; options well-formed [kIpBadOption] and no source route (RFC 7126 §4.3, §4.4)
//              [kIpSourceRouted], others are ignored; not a fragment: no reassembly [kIpFragment]; TCP
//              or ICMP [kIpUnknownProtocol].
// Whoever takes the datagram checks its TCP or ICMP checksum; a verdict on it by a device that is not trusted is taken
// back (kUnknown). Super-packets (several segments in one datagram, up to 65,535 octets) pass like any other: the MTU
// bounds what is sent.
//
// Headers may be cut into any slices: read in place when the first slice holds them, else copied to a few bytes of
// stack. Hot path: no allocation, no write outside the packet and the counters. Thread: the worker's.

#include <vector>

#include "absl/types/span.h"
#include "luna/ctrl/stats/drop_counters.h"
#include "luna/ctrl/stats/drop_reason.h"
#include "luna/net/ip/datagram.h"
#include "luna/net/pmd/packet.h"
#include "luna/net/wire/address.h"
#include "luna/net/wire/ipv4.h"

namespace luna::ip {

struct IngressConfig {
  wire::MacAddress mac;                     // ours on the link
  std::vector<wire::Ipv4Prefix> addresses;  // ours, with their networks (for the broadcast addresses)
  bool trust_rx_checksum = false;           // Capabilities::trust_rx_checksum
  // Takes datagrams to our unicast address even when the frame came to a group MAC: for clusters whose switches flood.
  bool accept_multicast = false;
};

class Ingress {
 public:
  enum class Verdict {
    kDatagram,  // *out is filled in: TCP
    kIcmp,      // *out is filled in: an ICMP message, of any type, its checksum not verified
    kArp,  // out->packet is the whole frame, Ethernet header included; nothing else of *out is set. For Arp::Accept.
    kDropped,  // counted; *out is untouched
  };

  // `drops` outlives this.
  Ingress(IngressConfig config, stats::DropCounters* drops);

  // Judges a frame that begins with its Ethernet header. Takes `packet` in every case.
  Verdict Accept(pmd::Packet&& packet, Datagram* out);

  // The same for links without Ethernet: `packet` begins with the IP header. Never kArp.
  Verdict AcceptIp(pmd::Packet&& packet, Datagram* out);

  const IngressConfig& config() const { return config_; }

 private:
  Verdict Drop(pmd::Packet& packet, stats::DropReason reason);
  // Reads the Ethernet header; on kNone, *l2_bytes is its length and *is_arp says what follows.
  stats::DropReason CheckEthernet(absl::Span<const uint8_t> front, size_t* l2_bytes, bool* is_arp) const;
  // `front` is the packet from the IP header on, as far as it is contiguous; `bytes` all that follows the link's
  // header.
  stats::DropReason CheckIp(absl::Span<const uint8_t> front, size_t bytes, const pmd::RxMeta& rx,
                            wire::Ipv4Header* out) const;
  stats::DropReason CheckAddresses(const wire::Ipv4Header& header) const;
  bool IsOurs(wire::Ipv4Address address) const;
  Verdict AcceptBehind(size_t l2_bytes, absl::Span<const uint8_t> frame_front, pmd::Packet& packet, Datagram* out);

  const IngressConfig config_;
  stats::DropCounters* const drops_;
};

}  // namespace luna::ip

#endif  // LUNA_NET_IP_INGRESS_H_
