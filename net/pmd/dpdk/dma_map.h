#ifndef LUNA_NET_PMD_DPDK_DMA_MAP_H_
#define LUNA_NET_PMD_DPDK_DMA_MAP_H_

// Makes an arena's memory reachable for a physical device. Control path; the Eal must be up.

#include "absl/status/status.h"
#include "luna/mem/zbuf/arena.h"

struct rte_device;

namespace luna::pmd::dpdk {

// Nothing to do for an arena in DPDK's heap (EalPageSource). Otherwise registers the memory with DPDK and maps it for
// the device. Both last until the process ends; a second call for the same arena and device is harmless.
// FailedPrecondition when the machine has no IOMMU in use (then only EalPageSource will do); Unavailable with the
// reason otherwise.
absl::Status MapForDma(const zbuf::Arena& arena, rte_device* device);

}  // namespace luna::pmd::dpdk

#endif  // LUNA_NET_PMD_DPDK_DMA_MAP_H_
