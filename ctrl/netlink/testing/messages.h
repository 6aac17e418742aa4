#ifndef LUNA_CTRL_NETLINK_TESTING_MESSAGES_H_
#define LUNA_CTRL_NETLINK_TESTING_MESSAGES_H_

// rtnetlink messages as the kernel writes them, in one line each, for tests.

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "luna/ctrl/netlink/testing/fake_socket.h"

namespace luna::netlink::testing {

// Addresses are written as text and must be right.

struct Link {
  int ifindex = 3;
  std::string name = "eth0";
  std::string mac = "02:00:00:00:00:02";  // empty: none
  uint32_t mtu = 1500;
  bool up = true;
};
Message NewLink(const Link& link = {});
Message DelLink(const Link& link = {});

// `peer`: the other end of a point-to-point link; empty: none.
Message NewAddress(absl::string_view prefix, int ifindex = 3, absl::string_view peer = "");
Message DelAddress(absl::string_view prefix, int ifindex = 3);

struct KernelRoute {
  std::string destination = "0.0.0.0/0";
  std::string gateway;  // empty: none
  int ifindex = 3;
  std::string source;  // empty: none
  uint32_t metric = 0;
  uint32_t mtu = 0;
  uint32_t table = 254;  // main
  uint8_t type = 1;      // unicast
  uint8_t tos = 0;
  // When not empty: a multipath route with these (ifindex, gateway) in place of `gateway` and `ifindex`.
  std::vector<std::pair<int, std::string>> multipath;
};
Message NewRoute(const KernelRoute& route, uint16_t flags = 0);
Message DelRoute(const KernelRoute& route);

// `state`: NUD_*. An empty `mac`: none.
Message NewNeighbour(absl::string_view address, absl::string_view mac, uint16_t state, int ifindex = 3,
                     uint8_t flags = 0);
Message DelNeighbour(absl::string_view address, int ifindex = 3);

}  // namespace luna::netlink::testing

#endif  // LUNA_CTRL_NETLINK_TESTING_MESSAGES_H_
