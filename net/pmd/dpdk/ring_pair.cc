#include "luna/net/pmd/dpdk/ring_pair.h"

#include "rte_config.h"
// clang-format off: rte_config.h comes first.
#include <rte_errno.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_ring.h>
// clang-format on

#include <bit>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace luna::pmd::dpdk {

absl::StatusOr<std::shared_ptr<Port::RingPair>> Port::RingPair::Create(absl::string_view name, size_t queues,
                                                                       uint32_t entries) {
  const auto refuse = [&](absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat("ring pair \"", name, "\": ", why));
  };
  if (name.empty() || name.size() > 16) return refuse("choose a name of 1 to 16 characters");
  if (queues == 0 || queues > RTE_PMD_RING_MAX_RX_RINGS) {
    return refuse(absl::StrCat(queues, " queues; choose 1 to ", RTE_PMD_RING_MAX_RX_RINGS));
  }
  if (!std::has_single_bit(entries)) return refuse(absl::StrCat(entries, " ring entries; choose a power of 2"));
  std::shared_ptr<RingPair> pair(new RingPair);
  for (int side = 0; side < 2; ++side) {
    for (size_t q = 0; q < queues; ++q) {
      const std::string ring_name = absl::StrCat("lr_", name, side == 0 ? "a" : "b", q);
      rte_ring* ring = rte_ring_create(ring_name.c_str(), entries, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
      if (ring == nullptr && rte_errno == EEXIST) {
        return absl::AlreadyExistsError(
            absl::StrCat("ring pair \"", name, "\" is open in this process already; close it, or choose another name"));
      }
      if (ring == nullptr) {
        return absl::ResourceExhaustedError(absl::StrCat("ring pair \"", name, "\": DPDK cannot make a ring of ",
                                                         entries, " entries (", rte_strerror(rte_errno),
                                                         "); raise EalOptions::memory_mb"));
      }
      pair->rings_[side].push_back(ring);
    }
  }
  return pair;
}

Port::RingPair::~RingPair() {
  for (auto& side : rings_) {
    for (rte_ring* ring : side) {
      void* mbuf;
      while (rte_ring_dequeue(ring, &mbuf) == 0) rte_pktmbuf_free(static_cast<rte_mbuf*>(mbuf));
      rte_ring_free(ring);
    }
  }
}

int Port::RingPair::Attach(const std::string& device, int side) const {
  const std::vector<rte_ring*>& receive = rings_[side];
  const std::vector<rte_ring*>& transmit = rings_[1 - side];
  // The driver puts "net_ring_" in front.
  const std::string suffix(absl::StripPrefix(device, "net_ring_"));
  const int id = rte_eth_from_rings(suffix.c_str(), receive.data(), static_cast<unsigned>(receive.size()),
                                    transmit.data(), static_cast<unsigned>(transmit.size()), 0);
  uint16_t port;
  if (id < 0) return -rte_errno;
  // It reports success without a port when the name was too long.
  return rte_eth_dev_get_port_by_name(device.c_str(), &port) == 0 ? port : -EINVAL;
}

}  // namespace luna::pmd::dpdk
