#ifndef LUNA_NET_PMD_DPDK_MEMPOOL_OPS_H_
#define LUNA_NET_PMD_DPDK_MEMPOOL_OPS_H_

// What the two mempools of this room (ZbufMempool, TxPool) share: ops of ours, and pools whose elements we make
// ourselves. Private to the room; includes DPDK headers. Set-up only.

#include "rte_config.h"
// clang-format off: rte_config.h comes first.
#include <rte_mbuf.h>
#include <rte_mempool.h>
// clang-format on
#include <sys/types.h>

#include <cstdint>

#include "absl/status/statusor.h"

namespace luna::pmd::dpdk {

struct MempoolOps {
  const char* name;
  rte_mempool_enqueue_t enqueue;
  rte_mempool_dequeue_t dequeue;
  rte_mempool_get_count get_count;
  rte_mempool_calc_mem_size_t calc_mem_size = nullptr;
  rte_mempool_populate_t populate = nullptr;
};

// Returns the index of the ops in DPDK's table. CHECKs that the table (16 rows) has room. Call once per name.
int RegisterMempoolOps(const MempoolOps& ops);

// A pool named "PREFIX_N" of `size` mbufs that do not exist yet, with pool_data `self`. No per-core cache: its elements
// belong to one thread. ResourceExhausted when DPDK's heap is. Free with rte_mempool_free.
absl::StatusOr<rte_mempool*> MakeEmptyPool(const char* prefix, unsigned size, int ops_index, void* self,
                                           const rte_pktmbuf_pool_private& data, int numa_node);

// Zeroes the mbuf and the object header in front of it, and gives it DPDK's free state: pool, refcnt 1, one segment.
void InitialiseFreeMbuf(rte_mbuf* mbuf, rte_mempool* pool);

}  // namespace luna::pmd::dpdk

#endif  // LUNA_NET_PMD_DPDK_MEMPOOL_OPS_H_
