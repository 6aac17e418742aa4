#include "luna/ctrl/netlink/testing/messages.h"

#include <libmnl/libmnl.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "glog/logging.h"
#include "luna/net/wire/address.h"

namespace luna::netlink::testing {
namespace {

class Builder {
 public:
  Builder(uint16_t type, uint16_t flags) : header_(mnl_nlmsg_put_header(buffer_)) {
    header_->nlmsg_type = type;
    header_->nlmsg_flags = flags;
  }
  template <typename T>
  T* Fixed() {
    return static_cast<T*>(mnl_nlmsg_put_extra_header(header_, sizeof(T)));
  }
  Builder& Ipv4(uint16_t type, wire::Ipv4Address address) {
    uint8_t bytes[4];
    address.CopyTo(bytes);
    mnl_attr_put(header_, type, sizeof(bytes), bytes);
    return *this;
  }
  Builder& Ipv4Unless(uint16_t type, absl::string_view text) {
    if (text.empty()) return *this;
    const auto address = wire::Ipv4Address::Parse(text);
    CHECK(address.has_value()) << text;
    return Ipv4(type, *address);
  }
  Builder& MacUnless(uint16_t type, absl::string_view text) {
    if (text.empty()) return *this;
    const auto mac = wire::MacAddress::Parse(text);
    CHECK(mac.has_value()) << text;
    mnl_attr_put(header_, type, mac->bytes().size(), mac->bytes().data());
    return *this;
  }
  Builder& U32(uint16_t type, uint32_t value) {
    mnl_attr_put_u32(header_, type, value);
    return *this;
  }
  nlmsghdr* header() { return header_; }
  Message Take() {
    const auto* begin = reinterpret_cast<const uint8_t*>(buffer_);
    return Message(begin, begin + NLMSG_ALIGN(header_->nlmsg_len));
  }

 private:
  alignas(nlmsghdr) char buffer_[4096] = {};
  nlmsghdr* header_;
};

Message LinkMessage(uint16_t type, const Link& link) {
  Builder builder(type, 0);
  auto* fixed = builder.Fixed<ifinfomsg>();
  fixed->ifi_index = link.ifindex;
  fixed->ifi_flags = link.up ? IFF_UP | IFF_RUNNING : 0;
  mnl_attr_put_strz(builder.header(), IFLA_IFNAME, link.name.c_str());
  builder.U32(IFLA_MTU, link.mtu).MacUnless(IFLA_ADDRESS, link.mac);
  return builder.Take();
}

Message AddressMessage(uint16_t type, absl::string_view text, int ifindex, absl::string_view peer) {
  const auto prefix = wire::Ipv4Prefix::Parse(text);
  CHECK(prefix.has_value()) << text;
  Builder builder(type, 0);
  auto* fixed = builder.Fixed<ifaddrmsg>();
  fixed->ifa_family = AF_INET;
  fixed->ifa_prefixlen = static_cast<uint8_t>(prefix->length());
  fixed->ifa_index = static_cast<uint32_t>(ifindex);
  if (peer.empty()) builder.Ipv4(IFA_ADDRESS, prefix->address());
  return builder.Ipv4(IFA_LOCAL, prefix->address()).Ipv4Unless(IFA_ADDRESS, peer).Take();
}

void PutMultipath(Builder& builder, const KernelRoute& route) {
  nlattr* nest = mnl_attr_nest_start(builder.header(), RTA_MULTIPATH);
  for (const auto& [ifindex, gateway] : route.multipath) {
    nlmsghdr* header = builder.header();
    auto* hop = static_cast<rtnexthop*>(mnl_nlmsg_get_payload_tail(header));
    *hop = rtnexthop{};
    hop->rtnh_ifindex = ifindex;
    header->nlmsg_len += sizeof(rtnexthop);
    const uint32_t before = header->nlmsg_len;
    builder.Ipv4Unless(RTA_GATEWAY, gateway);
    hop->rtnh_len = static_cast<uint16_t>(sizeof(rtnexthop) + header->nlmsg_len - before);
  }
  mnl_attr_nest_end(builder.header(), nest);
}

Message RouteMessage(uint16_t type, uint16_t flags, const KernelRoute& route) {
  const auto prefix = wire::Ipv4Prefix::Parse(route.destination);
  CHECK(prefix.has_value()) << route.destination;
  Builder builder(type, flags);
  auto* fixed = builder.Fixed<rtmsg>();
  fixed->rtm_family = AF_INET;
  fixed->rtm_dst_len = static_cast<uint8_t>(prefix->length());
  fixed->rtm_tos = route.tos;
  fixed->rtm_table = static_cast<uint8_t>(route.table < 256 ? route.table : RT_TABLE_COMPAT);
  fixed->rtm_type = route.type;
  builder.U32(RTA_TABLE, route.table);
  if (prefix->length() != 0) builder.Ipv4(RTA_DST, prefix->address());
  if (route.metric != 0) builder.U32(RTA_PRIORITY, route.metric);
  if (route.mtu != 0) {
    nlattr* nest = mnl_attr_nest_start(builder.header(), RTA_METRICS);
    builder.U32(RTAX_MTU, route.mtu);
    mnl_attr_nest_end(builder.header(), nest);
  }
  builder.Ipv4Unless(RTA_PREFSRC, route.source);
  if (!route.multipath.empty()) {
    PutMultipath(builder, route);
  } else {
    builder.Ipv4Unless(RTA_GATEWAY, route.gateway).U32(RTA_OIF, static_cast<uint32_t>(route.ifindex));
  }
  return builder.Take();
}

}  // namespace

Message NewLink(const Link& link) { return LinkMessage(RTM_NEWLINK, link); }
Message DelLink(const Link& link) { return LinkMessage(RTM_DELLINK, link); }

Message NewAddress(absl::string_view prefix, int ifindex, absl::string_view peer) {
  return AddressMessage(RTM_NEWADDR, prefix, ifindex, peer);
}
Message DelAddress(absl::string_view prefix, int ifindex) { return AddressMessage(RTM_DELADDR, prefix, ifindex, ""); }

Message NewRoute(const KernelRoute& route, uint16_t flags) { return RouteMessage(RTM_NEWROUTE, flags, route); }
Message DelRoute(const KernelRoute& route) { return RouteMessage(RTM_DELROUTE, 0, route); }

Message NewNeighbour(absl::string_view address, absl::string_view mac, uint16_t state, int ifindex, uint8_t flags) {
  Builder builder(RTM_NEWNEIGH, 0);
  auto* fixed = builder.Fixed<ndmsg>();
  fixed->ndm_family = AF_INET;
  fixed->ndm_ifindex = ifindex;
  fixed->ndm_state = state;
  fixed->ndm_flags = flags;
  return builder.Ipv4Unless(NDA_DST, address).MacUnless(NDA_LLADDR, mac).Take();
}

Message DelNeighbour(absl::string_view address, int ifindex) {
  Builder builder(RTM_DELNEIGH, 0);
  auto* fixed = builder.Fixed<ndmsg>();
  fixed->ndm_family = AF_INET;
  fixed->ndm_ifindex = ifindex;
  return builder.Ipv4Unless(NDA_DST, address).Take();
}

}  // namespace luna::netlink::testing
