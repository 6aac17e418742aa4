#ifndef LUNA_CTRL_NETLINK_LINK_STATE_H_
#define LUNA_CTRL_NETLINK_LINK_STATE_H_

// What the kernel says of one of its network interfaces. A plain value that owns its strings; published in a
// SnapshotBox it is no longer changed, and any thread may read it.

#include <cstdint>
#include <string>
#include <vector>

#include "luna/net/wire/address.h"

namespace luna::netlink {

struct LinkState {
  int ifindex = 0;
  std::string name;
  wire::MacAddress mac;                     // zero on links that are not Ethernet
  uint32_t mtu = 0;                         // bytes of the largest IP datagram
  bool up = false;                          // administratively up, and with a carrier
  std::vector<wire::Ipv4Prefix> addresses;  // in the kernel's order

  friend bool operator==(const LinkState&, const LinkState&) = default;
};

}  // namespace luna::netlink

#endif  // LUNA_CTRL_NETLINK_LINK_STATE_H_
