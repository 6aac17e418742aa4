#ifndef LUNA_NET_PMD_DPDK_COPY_POOL_H_
#define LUNA_NET_PMD_DPDK_COPY_POOL_H_

// The pool of a queue in copy mode: mbufs with their buffers, in DPDK's own layout, in one piece.
//
// net_af_xdp (22.11) takes the pool's first memory chunk for its UMEM, and reckons its length as so many elements
// without gaps. DPDK's usual pool, without hugepages, leaves gaps (no element may cross a page) and so puts half of its
// elements outside: frames in them vanish without a trace. This one is made without gaps and in one chunk, or not at
// all.
//
// Control path. Free with rte_mempool_free.

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

struct rte_mempool;

namespace luna::pmd::dpdk {

// ResourceExhausted. `room_bytes` includes DPDK's headroom.
absl::StatusOr<rte_mempool*> MakeCopyPool(const std::string& name, uint32_t count, uint16_t room_bytes, int numa_node);

}  // namespace luna::pmd::dpdk

#endif  // LUNA_NET_PMD_DPDK_COPY_POOL_H_
