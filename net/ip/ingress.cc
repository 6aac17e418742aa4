#include "luna/net/ip/ingress.h"

#include <algorithm>
#include <utility>

#include "luna/net/ip/chain_bytes.h"
#include "luna/net/wire/ethernet.h"

namespace luna::ip {
namespace {

using stats::DropReason;
using wire::EthernetHeader;
using wire::EtherType;
using wire::Ipv4Header;

constexpr uint16_t kServiceVlan = 0x88a8;  // IEEE 802.1ad

constexpr size_t kMaximumEthernetBytes = EthernetHeader::kSize + EthernetHeader::kVlanTagSize;
// Enough of nearly every packet to judge it; longer headers are fetched once they show.
constexpr size_t kUsualFrontBytes = EthernetHeader::kSize + Ipv4Header::kSize;
constexpr size_t kMaximumFrontBytes = kMaximumEthernetBytes + Ipv4Header::kMaximumSize;

DropReason ReasonOf(wire::ParseResult result) {
  switch (result) {
    case wire::ParseResult::kOk:
      return DropReason::kNone;
    case wire::ParseResult::kBadVersion:
      return DropReason::kIpBadVersion;
    case wire::ParseResult::kBadHeaderLength:
      return DropReason::kIpBadHeaderLength;
    case wire::ParseResult::kBadTotalLength:
      return DropReason::kIpBadTotalLength;
    case wire::ParseResult::kBadChecksum:
      return DropReason::kIpBadChecksum;
    default:
      return DropReason::kIpTruncated;
  }
}

// Options are skipped; only their lengths must hold, and nobody may choose our way back (RFC 7126).
DropReason CheckOptions(absl::Span<const uint8_t> options) {
  constexpr uint8_t kEnd = 0, kNop = 1, kLooseSourceRoute = 131, kStrictSourceRoute = 137;
  for (size_t at = 0; at < options.size() && options[at] != kEnd;) {
    const uint8_t kind = options[at];
    if (kind == kNop) {
      ++at;
      continue;
    }
    const size_t left = options.size() - at;
    if (left < 2 || options[at + 1] < 2 || options[at + 1] > left) return DropReason::kIpBadOption;
    if (kind == kLooseSourceRoute || kind == kStrictSourceRoute) return DropReason::kIpSourceRouted;
    at += options[at + 1];
  }
  return DropReason::kNone;
}

}  // namespace

Ingress::Ingress(IngressConfig config, stats::DropCounters* drops) : config_(std::move(config)), drops_(drops) {}

Ingress::Verdict Ingress::Drop(pmd::Packet& packet, DropReason reason) {
  drops_->Count(reason);
  packet.data.Clear();
  return Verdict::kDropped;
}

bool Ingress::IsOurs(wire::Ipv4Address address) const {
  for (const wire::Ipv4Prefix& ours : config_.addresses) {
    if (ours.address() == address) return true;
  }
  return false;
}

DropReason Ingress::CheckEthernet(absl::Span<const uint8_t> front, size_t* l2_bytes, bool* is_arp) const {
  EthernetHeader header;
  if (wire::Parse(front, &header) != wire::ParseResult::kOk) return DropReason::kEthTruncated;
  if (header.source.IsMulticast() || header.source.IsZero()) return DropReason::kEthBadSource;
  const bool to_group = header.destination.IsMulticast();
  if (!to_group && header.destination != config_.mac) return DropReason::kEthNotForUs;
  // A tag with id 0 carries only a priority: the frame belongs to the untagged network (IEEE 802.1Q §6.9).
  if (header.vlan_id() != 0) return DropReason::kVlanUnsupported;
  *l2_bytes = header.size();
  *is_arp = header.ether_type == EtherType::kArp;
  switch (header.ether_type) {
    case EtherType::kIpv4:
      return to_group && !config_.accept_multicast ? DropReason::kEthNotForUs : DropReason::kNone;
    case EtherType::kArp:
      return DropReason::kNone;
    case EtherType::kIpv6:
      return DropReason::kIpv6Unsupported;
    case EtherType::kVlan:
    case kServiceVlan:
      return DropReason::kVlanUnsupported;
    default:
      return DropReason::kEthUnknownType;
  }
}

DropReason Ingress::CheckAddresses(const Ipv4Header& header) const {
  if (!IsOurs(header.destination)) return DropReason::kIpNotForUs;
  const wire::Ipv4Address source = header.source;
  if (!source.IsUnicast() || source.IsLoopback()) return DropReason::kIpBadSource;
  for (const wire::Ipv4Prefix& ours : config_.addresses) {
    if (source == ours.address() || source == ours.broadcast()) return DropReason::kIpBadSource;
  }
  return DropReason::kNone;
}

DropReason Ingress::CheckIp(absl::Span<const uint8_t> front, size_t bytes, const pmd::RxMeta& rx,
                            Ipv4Header* out) const {
  if (config_.trust_rx_checksum && rx.ip_checksum == pmd::ChecksumStatus::kBad) return DropReason::kIpBadChecksum;
  const bool vouched = config_.trust_rx_checksum && rx.ip_checksum == pmd::ChecksumStatus::kGood;
  const auto check = vouched ? wire::ChecksumCheck::kSkip : wire::ChecksumCheck::kVerify;
  if (const auto parsed = wire::ParseFront(front, bytes, out, check); parsed != wire::ParseResult::kOk) {
    return ReasonOf(parsed);
  }
  if (const DropReason reason = CheckAddresses(*out); reason != DropReason::kNone) return reason;
  if (out->ttl == 0) return DropReason::kIpTtlExpired;
  if (out->HasOptions()) [[unlikely]] {
    const auto options = front.subspan(Ipv4Header::kSize, out->header_length - Ipv4Header::kSize);
    if (const DropReason reason = CheckOptions(options); reason != DropReason::kNone) return reason;
  }
  if (out->IsFragment()) return DropReason::kIpFragment;
  if (out->protocol != kProtocolTcp && out->protocol != kProtocolIcmp) return DropReason::kIpUnknownProtocol;
  return DropReason::kNone;
}

Ingress::Verdict Ingress::AcceptBehind(size_t l2_bytes, absl::Span<const uint8_t> frame_front, pmd::Packet& packet,
                                       Datagram* out) {
  uint8_t scratch[kMaximumFrontBytes];
  const size_t bytes = packet.data.bytes() - l2_bytes;
  absl::Span<const uint8_t> front = frame_front.subspan(l2_bytes);
  // Options, or a VLAN tag, of a packet whose first slices are short.
  const size_t claimed = front.empty() ? 0 : size_t{4} * (front[0] & 0x0f);
  const size_t wanted = l2_bytes + std::max(claimed, Ipv4Header::kSize);
  if (front.size() < bytes && frame_front.size() < wanted) [[unlikely]] {
    front = ContiguousFront(packet.data, wanted, scratch).subspan(l2_bytes);
  }
  Ipv4Header header;
  if (const DropReason reason = CheckIp(front, bytes, packet.rx, &header); reason != DropReason::kNone) {
    return Drop(packet, reason);
  }
  out->source = header.source;
  out->destination = header.destination;
  out->protocol = header.protocol;
  out->ttl = header.ttl;
  out->dscp = header.tos >> 2;
  out->ecn = static_cast<Ecn>(header.tos & 3);
  out->packet = std::move(packet);
  // TCP believes what it reads there.
  if (!config_.trust_rx_checksum) out->packet.rx.l4_checksum = pmd::ChecksumStatus::kUnknown;
  zbuf::ZChain& data = out->packet.data;
  if (const size_t padding = bytes - header.total_length; padding != 0) data.TrimBack(padding);
  data.TrimFront(l2_bytes + header.header_length);
  return header.protocol == kProtocolIcmp ? Verdict::kIcmp : Verdict::kDatagram;
}

Ingress::Verdict Ingress::Accept(pmd::Packet&& packet, Datagram* out) {
  uint8_t scratch[kUsualFrontBytes];
  const absl::Span<const uint8_t> front = ContiguousFront(packet.data, kUsualFrontBytes, scratch);
  size_t l2_bytes = 0;
  bool is_arp = false;
  if (const DropReason reason = CheckEthernet(front, &l2_bytes, &is_arp); reason != DropReason::kNone) {
    return Drop(packet, reason);
  }
  if (is_arp) {
    out->packet = std::move(packet);
    return Verdict::kArp;
  }
  return AcceptBehind(l2_bytes, front, packet, out);
}

Ingress::Verdict Ingress::AcceptIp(pmd::Packet&& packet, Datagram* out) {
  uint8_t scratch[Ipv4Header::kSize];
  return AcceptBehind(0, ContiguousFront(packet.data, sizeof(scratch), scratch), packet, out);
}

}  // namespace luna::ip
