#ifndef LUNA_NET_PMD_DPDK_OFFLOADS_H_
#define LUNA_NET_PMD_DPDK_OFFLOADS_H_

// Which of a device's offloads are switched on. A pure function of what the driver says of itself.

#include <cstdint>

struct rte_eth_dev_info;

namespace luna::pmd::dpdk {

struct OffloadWishes {
  bool physical = false;  // a NIC, not software
  bool vlan = false;      // tags are put on and taken off (VlanIo)
};

// Bits of RTE_ETH_RX_OFFLOAD_* and RTE_ETH_TX_OFFLOAD_*; each is among the device's capabilities.
struct Offloads {
  uint64_t rx = 0;
  uint64_t tx = 0;
  uint32_t max_lro_bytes = 0;  // of a frame that the device makes of several; 0: it makes none
};

// Software devices are asked for gather, scatter and what they compute for the kernel's or a peer's sake only: they
// would compute in software what our own layers compute better, or mark what nobody has computed; and those that insert
// tags do it in the first mbuf, which is a reference here. LRO needs scatter.
Offloads ChooseOffloads(const rte_eth_dev_info& info, const OffloadWishes& wishes);

}  // namespace luna::pmd::dpdk

#endif  // LUNA_NET_PMD_DPDK_OFFLOADS_H_
