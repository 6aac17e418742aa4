#include "luna/net/pmd/dpdk/offloads.h"

#include "rte_config.h"
// clang-format off: rte_config.h comes first.
#include <rte_ethdev.h>
// clang-format on

#include "gtest/gtest.h"

namespace luna::pmd::dpdk {
namespace {

rte_eth_dev_info Everything() {
  rte_eth_dev_info info{};
  info.rx_offload_capa = info.tx_offload_capa = ~uint64_t{0};
  info.max_lro_pkt_size = 65535;
  return info;
}

TEST(Offloads, OfSoftwareAreGatherScatterAndWhatIsComputedForAPeer) {
  for (const bool vlan : {false, true}) {
    const Offloads chosen = ChooseOffloads(Everything(), {.physical = false, .vlan = vlan});
    EXPECT_EQ(chosen.rx, RTE_ETH_RX_OFFLOAD_SCATTER);
    EXPECT_EQ(chosen.tx, RTE_ETH_TX_OFFLOAD_MULTI_SEGS | RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_CKSUM |
                             RTE_ETH_TX_OFFLOAD_TCP_TSO);
    EXPECT_EQ(chosen.max_lro_bytes, 0u);
  }
}

TEST(Offloads, OfANicAreAllThatItHas) {
  const Offloads chosen = ChooseOffloads(Everything(), {.physical = true});
  EXPECT_EQ(chosen.rx, RTE_ETH_RX_OFFLOAD_SCATTER | RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_TCP_CKSUM |
                           RTE_ETH_RX_OFFLOAD_RSS_HASH | RTE_ETH_RX_OFFLOAD_TCP_LRO);
  EXPECT_EQ(chosen.max_lro_bytes, 65535u);
  rte_eth_dev_info plain{};
  plain.max_lro_pkt_size = 65535;
  EXPECT_EQ(ChooseOffloads(plain, {.physical = true, .vlan = true}).rx, 0u);
  EXPECT_EQ(ChooseOffloads(plain, {.physical = true, .vlan = true}).tx, 0u);
  EXPECT_EQ(ChooseOffloads(plain, {.physical = true, .vlan = true}).max_lro_bytes, 0u);
}

TEST(Offloads, TagsAreTheDevicesOnlyWhenThereAreAny) {
  const uint64_t strip = RTE_ETH_RX_OFFLOAD_VLAN_STRIP, insert = RTE_ETH_TX_OFFLOAD_VLAN_INSERT;
  EXPECT_EQ(ChooseOffloads(Everything(), {.physical = true}).rx & strip, 0u);
  EXPECT_EQ(ChooseOffloads(Everything(), {.physical = true}).tx & insert, 0u);
  EXPECT_NE(ChooseOffloads(Everything(), {.physical = true, .vlan = true}).rx & strip, 0u);
  EXPECT_NE(ChooseOffloads(Everything(), {.physical = true, .vlan = true}).tx & insert, 0u);
}

// What it makes of several frames is longer than an obj of the receive ring.
TEST(Offloads, LroNeedsScatterAndALimit) {
  rte_eth_dev_info no_scatter = Everything();
  no_scatter.rx_offload_capa &= ~uint64_t{RTE_ETH_RX_OFFLOAD_SCATTER};
  rte_eth_dev_info no_limit = Everything();
  no_limit.max_lro_pkt_size = 0;
  for (const rte_eth_dev_info& info : {no_scatter, no_limit}) {
    const Offloads chosen = ChooseOffloads(info, {.physical = true});
    EXPECT_EQ(chosen.rx & RTE_ETH_RX_OFFLOAD_TCP_LRO, 0u);
    EXPECT_EQ(chosen.max_lro_bytes, 0u);
  }
}

}  // namespace
}  // namespace luna::pmd::dpdk
