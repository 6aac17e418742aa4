#include "luna/net/pmd/dpdk/mempool_ops.h"

#include <rte_errno.h>

#include <atomic>
#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"

namespace luna::pmd::dpdk {

int RegisterMempoolOps(const MempoolOps& ops) {
  rte_mempool_ops row{};
  CHECK_LT(strlen(ops.name), sizeof(row.name));
  memcpy(row.name, ops.name, strlen(ops.name) + 1);
  row.alloc = [](rte_mempool*) { return 0; };
  row.enqueue = ops.enqueue;
  row.dequeue = ops.dequeue;
  row.get_count = ops.get_count;
  row.calc_mem_size = ops.calc_mem_size;
  row.populate = ops.populate;
  const int index = rte_mempool_register_ops(&row);
  CHECK_GE(index, 0) << "DPDK's table of mempool ops refused " << ops.name << ": " << rte_strerror(-index);
  return index;
}

absl::StatusOr<rte_mempool*> MakeEmptyPool(const char* prefix, unsigned size, int ops_index, void* self,
                                           const rte_pktmbuf_pool_private& data, int numa_node) {
  static std::atomic<uint32_t> serial{0};
  const std::string name = absl::StrCat(prefix, "_", serial.fetch_add(1));
  rte_mempool* pool = rte_mempool_create_empty(name.c_str(), size, sizeof(rte_mbuf), /*cache_size=*/0,
                                               sizeof(rte_pktmbuf_pool_private), numa_node, RTE_MEMPOOL_F_NO_SPREAD);
  if (pool == nullptr) {
    return absl::ResourceExhaustedError(
        absl::StrCat("DPDK cannot make a mempool (", rte_strerror(rte_errno), "); raise EalOptions::memory_mb"));
  }
  CHECK_EQ(rte_mempool_set_ops_byname(pool, rte_mempool_get_ops(ops_index)->name, nullptr), 0);
  rte_pktmbuf_pool_private copy = data;
  rte_pktmbuf_pool_init(pool, &copy);
  pool->pool_data = self;
  return pool;
}

void InitialiseFreeMbuf(rte_mbuf* mbuf, rte_mempool* pool) {
  rte_mempool_objhdr* header = rte_mempool_get_header(mbuf);
  memset(static_cast<void*>(header), 0, sizeof(*header));
  memset(static_cast<void*>(mbuf), 0, sizeof(*mbuf));
  header->mp = pool;
  header->iova = reinterpret_cast<uintptr_t>(mbuf);
  mbuf->pool = pool;
  mbuf->nb_segs = 1;
  mbuf->port = RTE_MBUF_PORT_INVALID;
  rte_mbuf_refcnt_set(mbuf, 1);
}

}  // namespace luna::pmd::dpdk
