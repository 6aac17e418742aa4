#include "luna/ctrl/netlink/message.h"

#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

namespace luna::netlink {
namespace {

// Copies a fixed structure off the front, whatever the alignment, and drops it with its padding from `bytes`.
template <typename T>
bool TakeFixed(absl::Span<const uint8_t>& bytes, T* out) {
  if (bytes.size() < sizeof(T)) return false;
  std::memcpy(out, bytes.data(), sizeof(T));
  bytes.remove_prefix(std::min(bytes.size(), size_t{NLMSG_ALIGN(sizeof(T))}));
  return true;
}

Parsed Finish(const AttributeReader& reader) { return reader.malformed() ? Parsed::kMalformed : Parsed::kOk; }

uint32_t MtuOf(absl::Span<const uint8_t> metrics) {
  AttributeReader reader(metrics);
  Attribute attribute;
  while (reader.Next(&attribute)) {
    if (attribute.type == RTAX_MTU) return attribute.U32().value_or(0);
  }
  return 0;
}

bool IsDead(uint32_t flags) { return (flags & (RTNH_F_DEAD | RTNH_F_LINKDOWN)) != 0; }

// Applies what says where a next hop lies; shared by single routes and the members of a multipath route.
void ReadGateway(const Attribute& attribute, RouteMessage::NextHop* hop) {
  if (attribute.type == RTA_GATEWAY) {
    hop->gateway = attribute.Ipv4();
    hop->usable = hop->usable && hop->gateway.has_value();
  } else if (attribute.type == RTA_VIA) {
    hop->usable = false;
  }
}

bool ReadMultipath(absl::Span<const uint8_t> bytes, RouteMessage* out) {
  while (bytes.size() >= sizeof(rtnexthop)) {
    rtnexthop header;
    std::memcpy(&header, bytes.data(), sizeof(header));
    if (header.rtnh_len < sizeof(header) || header.rtnh_len > bytes.size()) return false;
    RouteMessage::NextHop hop;
    hop.ifindex = header.rtnh_ifindex;
    hop.usable = !IsDead(header.rtnh_flags);
    AttributeReader reader(bytes.subspan(sizeof(header), header.rtnh_len - sizeof(header)));
    Attribute attribute;
    while (reader.Next(&attribute)) ReadGateway(attribute, &hop);
    if (reader.malformed()) return false;
    out->next_hops.push_back(hop);
    bytes.remove_prefix(std::min<size_t>(bytes.size(), RTNH_ALIGN(size_t{header.rtnh_len})));
  }
  return bytes.empty();
}

std::vector<uint8_t> TakeMessage(const nlmsghdr* header) {
  const auto* begin = reinterpret_cast<const uint8_t*>(header);
  return std::vector<uint8_t>(begin, begin + header->nlmsg_len);
}

}  // namespace

bool MessageReader::Next(RawMessage* out) {
  if (rest_.empty() || malformed_) return false;
  nlmsghdr header;
  malformed_ = rest_.size() < sizeof(header);
  if (malformed_) return false;
  std::memcpy(&header, rest_.data(), sizeof(header));
  malformed_ = header.nlmsg_len < sizeof(header) || header.nlmsg_len > rest_.size();
  if (malformed_) return false;
  out->type = header.nlmsg_type;
  out->flags = header.nlmsg_flags;
  out->sequence = header.nlmsg_seq;
  out->payload = rest_.subspan(sizeof(header), header.nlmsg_len - sizeof(header));
  rest_.remove_prefix(std::min<size_t>(rest_.size(), NLMSG_ALIGN(size_t{header.nlmsg_len})));
  return true;
}

absl::optional<uint32_t> Attribute::U32() const {
  if (payload.size() != sizeof(uint32_t)) return absl::nullopt;
  uint32_t value;
  std::memcpy(&value, payload.data(), sizeof(value));
  return value;
}

absl::optional<wire::Ipv4Address> Attribute::Ipv4() const {
  if (payload.size() != wire::Ipv4Address::kSize) return absl::nullopt;
  return wire::Ipv4Address::FromBytes(payload.data());
}

absl::optional<wire::MacAddress> Attribute::Mac() const {
  if (payload.size() != wire::MacAddress::kSize) return absl::nullopt;
  return wire::MacAddress::FromBytes(payload.data());
}

bool AttributeReader::Next(Attribute* out) {
  if (rest_.empty() || malformed_) return false;
  nlattr header;
  malformed_ = rest_.size() < sizeof(header);
  if (malformed_) return false;
  std::memcpy(&header, rest_.data(), sizeof(header));
  malformed_ = header.nla_len < sizeof(header) || header.nla_len > rest_.size();
  if (malformed_) return false;
  out->type = header.nla_type & NLA_TYPE_MASK;
  out->payload = rest_.subspan(sizeof(header), header.nla_len - sizeof(header));
  rest_.remove_prefix(std::min<size_t>(rest_.size(), NLA_ALIGN(size_t{header.nla_len})));
  return true;
}

Parsed ParseLink(absl::Span<const uint8_t> payload, LinkMessage* out) {
  ifinfomsg fixed;
  if (!TakeFixed(payload, &fixed)) return Parsed::kMalformed;
  // Bridges announce their ports once more under AF_BRIDGE; those lack what we read.
  if (fixed.ifi_family != AF_UNSPEC) return Parsed::kIgnored;
  *out = LinkMessage{};
  out->ifindex = fixed.ifi_index;
  out->flags = fixed.ifi_flags;
  AttributeReader reader(payload);
  Attribute attribute;
  while (reader.Next(&attribute)) {
    if (attribute.type == IFLA_IFNAME) {
      const auto* text = reinterpret_cast<const char*>(attribute.payload.data());
      out->name.assign(text, strnlen(text, attribute.payload.size()));
    } else if (attribute.type == IFLA_ADDRESS) {
      out->mac = attribute.Mac();
    } else if (attribute.type == IFLA_MTU) {
      out->mtu = attribute.U32();
    }
  }
  return Finish(reader);
}

Parsed ParseAddress(absl::Span<const uint8_t> payload, AddressMessage* out) {
  ifaddrmsg fixed;
  if (!TakeFixed(payload, &fixed)) return Parsed::kMalformed;
  if (fixed.ifa_family != AF_INET) return Parsed::kIgnored;
  if (fixed.ifa_prefixlen > 32) return Parsed::kMalformed;
  // On point-to-point links IFA_ADDRESS is the peer's; IFA_LOCAL is always ours.
  absl::optional<wire::Ipv4Address> local, address;
  AttributeReader reader(payload);
  Attribute attribute;
  while (reader.Next(&attribute)) {
    if (attribute.type == IFA_LOCAL) local = attribute.Ipv4();
    if (attribute.type == IFA_ADDRESS) address = attribute.Ipv4();
  }
  if (!local) local = address;
  if (!local) return Parsed::kMalformed;
  out->ifindex = static_cast<int>(fixed.ifa_index);
  out->prefix = wire::Ipv4Prefix(*local, fixed.ifa_prefixlen);
  return Finish(reader);
}

Parsed ParseRoute(absl::Span<const uint8_t> payload, RouteMessage* out) {
  rtmsg fixed;
  if (!TakeFixed(payload, &fixed)) return Parsed::kMalformed;
  // Clones are the route cache's entries, not routes.
  if (fixed.rtm_family != AF_INET || (fixed.rtm_flags & RTM_F_CLONED) != 0) return Parsed::kIgnored;
  if (fixed.rtm_dst_len > 32) return Parsed::kMalformed;
  *out = RouteMessage{};
  out->table = fixed.rtm_table;
  out->type = fixed.rtm_type;
  out->tos = fixed.rtm_tos;
  out->destination = wire::Ipv4Prefix(wire::Ipv4Address(), fixed.rtm_dst_len);
  RouteMessage::NextHop single;
  single.usable = !IsDead(fixed.rtm_flags);
  AttributeReader reader(payload);
  Attribute attribute;
  while (reader.Next(&attribute)) {
    switch (attribute.type) {
      case RTA_DST:
        if (!attribute.Ipv4()) return Parsed::kMalformed;
        out->destination = wire::Ipv4Prefix(*attribute.Ipv4(), fixed.rtm_dst_len);
        break;
      case RTA_OIF:
        single.ifindex = static_cast<int>(attribute.U32().value_or(0));
        break;
      case RTA_PREFSRC:
        out->preferred_source = attribute.Ipv4();
        break;
      case RTA_PRIORITY:
        out->metric = attribute.U32().value_or(0);
        break;
      case RTA_TABLE:
        out->table = attribute.U32().value_or(out->table);
        break;
      case RTA_METRICS:
        out->mtu = MtuOf(attribute.payload);
        break;
      case RTA_MULTIPATH:
        if (!ReadMultipath(attribute.payload, out)) return Parsed::kMalformed;
        break;
      default:
        ReadGateway(attribute, &single);
    }
  }
  if (single.ifindex != 0) out->next_hops.insert(out->next_hops.begin(), single);
  return Finish(reader);
}

Parsed ParseNeighbour(absl::Span<const uint8_t> payload, NeighbourMessage* out) {
  ndmsg fixed;
  if (!TakeFixed(payload, &fixed)) return Parsed::kMalformed;
  if (fixed.ndm_family != AF_INET) return Parsed::kIgnored;
  *out = NeighbourMessage{};
  out->ifindex = fixed.ndm_ifindex;
  out->state = fixed.ndm_state;
  out->flags = fixed.ndm_flags;
  absl::optional<wire::Ipv4Address> address;
  AttributeReader reader(payload);
  Attribute attribute;
  while (reader.Next(&attribute)) {
    if (attribute.type == NDA_DST) address = attribute.Ipv4();
    if (attribute.type == NDA_LLADDR) out->mac = attribute.Mac();
  }
  if (!address) return Parsed::kMalformed;
  out->address = *address;
  return Finish(reader);
}

absl::optional<int> ParseError(absl::Span<const uint8_t> payload) {
  int32_t error;
  if (payload.size() < sizeof(error)) return absl::nullopt;
  std::memcpy(&error, payload.data(), sizeof(error));
  // Positive values never come from the kernel; INT32_MIN has no negative.
  if (error > 0 || error < -4095) return absl::nullopt;
  return -error;
}

std::vector<uint8_t> DumpRequest(uint16_t type, uint32_t sequence) {
  alignas(nlmsghdr) char buffer[256];
  nlmsghdr* header = mnl_nlmsg_put_header(buffer);
  header->nlmsg_type = type;
  header->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  header->nlmsg_seq = sequence;
  switch (type) {
    case RTM_GETLINK:
      mnl_nlmsg_put_extra_header(header, sizeof(ifinfomsg));
      // Counters are most of a link's message and none of our business.
      mnl_attr_put_u32(header, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
      break;
    case RTM_GETADDR:
      static_cast<ifaddrmsg*>(mnl_nlmsg_put_extra_header(header, sizeof(ifaddrmsg)))->ifa_family = AF_INET;
      break;
    case RTM_GETROUTE:
      static_cast<rtmsg*>(mnl_nlmsg_put_extra_header(header, sizeof(rtmsg)))->rtm_family = AF_INET;
      break;
    default:
      static_cast<ndmsg*>(mnl_nlmsg_put_extra_header(header, sizeof(ndmsg)))->ndm_family = AF_INET;
  }
  return TakeMessage(header);
}

std::vector<uint8_t> ResolveRequest(int ifindex, wire::Ipv4Address address, uint32_t sequence) {
  alignas(nlmsghdr) char buffer[256];
  nlmsghdr* header = mnl_nlmsg_put_header(buffer);
  header->nlmsg_type = RTM_NEWNEIGH;
  header->nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_ACK;
  header->nlmsg_seq = sequence;
  auto* fixed = static_cast<ndmsg*>(mnl_nlmsg_put_extra_header(header, sizeof(ndmsg)));
  fixed->ndm_family = AF_INET;
  fixed->ndm_ifindex = ifindex;
  fixed->ndm_state = NUD_NONE;
  fixed->ndm_flags = NTF_USE;
  uint8_t bytes[wire::Ipv4Address::kSize];
  address.CopyTo(bytes);
  mnl_attr_put(header, NDA_DST, sizeof(bytes), bytes);
  return TakeMessage(header);
}

}  // namespace luna::netlink
