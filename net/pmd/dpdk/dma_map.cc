#include "luna/net/pmd/dpdk/dma_map.h"

#include "rte_config.h"
// clang-format off: rte_config.h comes first.
#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_memory.h>
// clang-format on

#include <vector>

#include "absl/strings/str_cat.h"

namespace luna::pmd::dpdk {
namespace {

absl::Status Register(const zbuf::Arena& arena) {
  std::vector<rte_iova_t> pages;
  for (size_t offset = 0; offset < arena.bytes(); offset += arena.page_bytes()) {
    pages.push_back(reinterpret_cast<uintptr_t>(arena.base() + offset));
  }
  const int error = rte_extmem_register(arena.base(), arena.bytes(), pages.data(), static_cast<unsigned>(pages.size()),
                                        arena.page_bytes());
  if (error == 0 || rte_errno == EEXIST) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat(
      "DPDK does not take the receive memory (", rte_strerror(rte_errno),
      "); take the memory from DPDK's heap (EalPageSource; programs of apps/runtime do so for PCI devices)"));
}

}  // namespace

absl::Status MapForDma(const zbuf::Arena& arena, rte_device* device) {
  const rte_memseg_list* list = rte_mem_virt2memseg_list(arena.base());
  if (list != nullptr && !list->external) return absl::OkStatus();
  if (rte_eal_iova_mode() != RTE_IOVA_VA) {
    return absl::FailedPreconditionError(
        "without an IOMMU the device needs physical addresses; take the memory from DPDK's heap (EalPageSource; "
        "programs of apps/runtime do so for PCI devices)");
  }
  if (absl::Status s = Register(arena); !s.ok()) return s;
  const uint64_t io = reinterpret_cast<uintptr_t>(arena.base());
  if (rte_dev_dma_map(device, arena.base(), io, arena.bytes()) == 0 || rte_errno == EEXIST) return absl::OkStatus();
  // Some drivers map on demand, or see every registered memory anyway.
  if (rte_errno == ENOTSUP) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat(
      "the device cannot reach the receive memory (", rte_strerror(rte_errno),
      "); take the memory from DPDK's heap (EalPageSource; programs of apps/runtime do so for PCI devices)"));
}

}  // namespace luna::pmd::dpdk
