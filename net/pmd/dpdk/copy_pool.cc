#include "luna/net/pmd/dpdk/copy_pool.h"

#include "rte_config.h"
// clang-format off: rte_config.h comes first.
#include <rte_errno.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
// clang-format on

#include <memory>

#include "absl/strings/str_cat.h"

namespace luna::pmd::dpdk {

absl::StatusOr<rte_mempool*> MakeCopyPool(const std::string& name, uint32_t count, uint16_t room_bytes, int numa_node) {
  const auto exhausted = [&](absl::string_view why) {
    return absl::ResourceExhaustedError(absl::StrCat("DPDK's heap has no room for ", count, " packet buffers of ",
                                                     room_bytes, " bytes in one piece (", why,
                                                     "); raise EalOptions::memory_mb"));
  };
  // "No contiguous I/O addresses" is what makes DPDK ignore page boundaries.
  std::unique_ptr<rte_mempool, void (*)(rte_mempool*)> pool(
      rte_mempool_create_empty(name.c_str(), count, sizeof(rte_mbuf) + room_bytes, /*cache_size=*/0,
                               sizeof(rte_pktmbuf_pool_private), numa_node,
                               RTE_MEMPOOL_F_NO_SPREAD | RTE_MEMPOOL_F_NO_IOVA_CONTIG),
      rte_mempool_free);
  if (pool == nullptr) return exhausted(rte_strerror(rte_errno));
  rte_pktmbuf_pool_private data{};
  data.mbuf_data_room_size = room_bytes;
  rte_pktmbuf_pool_init(pool.get(), &data);
  if (const int got = rte_mempool_populate_default(pool.get()); got < 0) return exhausted(rte_strerror(-got));
  if (pool->nb_mem_chunks != 1) return exhausted("it is in pieces");
  rte_mempool_obj_iter(pool.get(), rte_pktmbuf_init, nullptr);
  return pool.release();
}

}  // namespace luna::pmd::dpdk
