#ifndef LUNA_NET_PMD_DPDK_EAL_PAGE_SOURCE_H_
#define LUNA_NET_PMD_DPDK_EAL_PAGE_SOURCE_H_

// EalPageSource: Zbuf arenas in DPDK's own heap, which DPDK has already mapped for every device, physical ones
// included.
//
// Needs EalOptions::memory_mb to cover the arenas (without hugepages), or enough free hugepages. Arenas from other
// sources work with software devices as they are, and with PCI devices behind an IOMMU because Port maps them; see
// README.md. The Eal must outlive the source. Set-up and tear-down only; any thread.

#include <cstddef>
#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "luna/mem/zbuf/page_source.h"
#include "luna/net/pmd/dpdk/eal.h"

namespace luna::pmd::dpdk {

class EalPageSource : public zbuf::PageSource {
 public:
  explicit EalPageSource(const Eal& eal) : eal_(eal) {}

  absl::StatusOr<zbuf::Region> Acquire(size_t bytes) override;
  void Release(const zbuf::Region& region) override;
  // Of an address in a region of this source. A walk over DPDK's segment lists: not for the data path.
  uint64_t IoAddress(const void* address) const override;
  absl::string_view name() const override { return "DPDK's heap"; }

 private:
  const Eal& eal_;
};

}  // namespace luna::pmd::dpdk

#endif  // LUNA_NET_PMD_DPDK_EAL_PAGE_SOURCE_H_
