#include "luna/net/pmd/dpdk/offloads.h"

#include "rte_config.h"
// clang-format off: rte_config.h comes first.
#include <rte_ethdev.h>
// clang-format on

namespace luna::pmd::dpdk {

Offloads ChooseOffloads(const rte_eth_dev_info& info, const OffloadWishes& wishes) {
  uint64_t tx = RTE_ETH_TX_OFFLOAD_MULTI_SEGS | RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_CKSUM |
                RTE_ETH_TX_OFFLOAD_TCP_TSO;
  uint64_t rx = RTE_ETH_RX_OFFLOAD_SCATTER;
  if (wishes.physical) {
    rx |= RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_TCP_CKSUM | RTE_ETH_RX_OFFLOAD_RSS_HASH;
    const bool scatters = (info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_SCATTER) != 0;
    if (scatters && info.max_lro_pkt_size > 0) rx |= RTE_ETH_RX_OFFLOAD_TCP_LRO;
    if (wishes.vlan) {
      rx |= RTE_ETH_RX_OFFLOAD_VLAN_STRIP;
      tx |= RTE_ETH_TX_OFFLOAD_VLAN_INSERT;
    }
  }
  Offloads chosen{.rx = rx & info.rx_offload_capa, .tx = tx & info.tx_offload_capa};
  if (chosen.rx & RTE_ETH_RX_OFFLOAD_TCP_LRO) chosen.max_lro_bytes = info.max_lro_pkt_size;
  return chosen;
}

}  // namespace luna::pmd::dpdk
