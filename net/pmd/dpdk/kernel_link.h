#ifndef LUNA_NET_PMD_DPDK_KERNEL_LINK_H_
#define LUNA_NET_PMD_DPDK_KERNEL_LINK_H_

// A network interface of the kernel, as far as drivers that share one need it. Control path; any thread. No DPDK.

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "luna/net/wire/address.h"

namespace luna::pmd::dpdk {

struct KernelLink {
  std::string name;
  int index = 0;
  uint32_t mtu = 0;
};

// NotFound when there is no such interface in this network namespace.
absl::StatusOr<KernelLink> FindKernelLink(const std::string& name);

// A random unicast address with the locally-administered bit.
wire::MacAddress RandomLocalMac();

}  // namespace luna::pmd::dpdk

#endif  // LUNA_NET_PMD_DPDK_KERNEL_LINK_H_
