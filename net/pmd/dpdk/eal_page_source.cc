#include "luna/net/pmd/dpdk/eal_page_source.h"

#include "rte_config.h"
// clang-format off: rte_config.h comes first.
#include <rte_malloc.h>
#include <rte_memory.h>
// clang-format on

#include "absl/strings/str_cat.h"
#include "luna/mem/zbuf/size_class.h"

namespace luna::pmd::dpdk {

absl::StatusOr<zbuf::Region> EalPageSource::Acquire(size_t bytes) {
  void* base = rte_zmalloc("luna_arena", bytes, zbuf::kZoneBytes);
  if (base == nullptr) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "DPDK's heap has no ", bytes >> 20, " MB in one piece; ",
        eal_.hugepages() ? "reserve more hugepages (/proc/sys/vm/nr_hugepages)" : "raise EalOptions::memory_mb"));
  }
  const rte_memseg_list* list = rte_mem_virt2memseg_list(base);
  return zbuf::Region{static_cast<std::byte*>(base), bytes,
                      list == nullptr ? 4096 : static_cast<size_t>(list->page_sz)};
}

void EalPageSource::Release(const zbuf::Region& region) { rte_free(region.base); }

uint64_t EalPageSource::IoAddress(const void* address) const { return rte_mem_virt2iova(address); }

}  // namespace luna::pmd::dpdk
