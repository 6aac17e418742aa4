#ifndef LUNA_NET_PMD_XDP_INTERFACE_FACTS_H_
#define LUNA_NET_PMD_XDP_INTERFACE_FACTS_H_

// What the kernel says of one of its interfaces, once, at set-up.

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "luna/net/wire/address.h"

namespace luna::pmd::xdp {

struct InterfaceFacts {
  int ifindex = 0;
  wire::MacAddress mac;
  uint32_t mtu = 0;
  bool up = false;
  // Queues that frames may arrive on. From the driver's channels where it reports them (also receive-only ones, as veth
  // does), else what the kernel has allocated, which is an upper bound.
  uint32_t receive_queues = 1;
};

// Of an interface in the caller's network namespace (sysfs would answer for the namespace that mounted it). NotFound:
// no such interface. InvalidArgument: it has no Ethernet address.
absl::StatusOr<InterfaceFacts> ReadInterfaceFacts(const std::string& interface);

}  // namespace luna::pmd::xdp

#endif  // LUNA_NET_PMD_XDP_INTERFACE_FACTS_H_
