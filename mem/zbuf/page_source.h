#ifndef LUNA_MEM_ZBUF_PAGE_SOURCE_H_
#define LUNA_MEM_ZBUF_PAGE_SOURCE_H_

// PageSource: where an arena's memory comes from. The seam between Zbuf and the machine (a driver room adds its own,
// for memory that its NIC can reach).

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace luna::zbuf {

// One contiguous range of readable and writable memory, zero-filled.
struct Region {
  std::byte* base = nullptr;  // 2 MB aligned
  size_t bytes = 0;           // a multiple of 2 MB
  size_t page_bytes = 0;      // of the pages behind it: 4096 or 2 MB
};

// Called at set-up and tear-down only, by one thread at a time; IoAddress() also when a slab takes a zone, by that
// slab's thread. A source must outlive the arenas that were made of it; what an arena acquired is the arena's until it
// releases it.
class PageSource {
 public:
  virtual ~PageSource() = default;

  // `bytes` is a multiple of 2 MB and not 0. Errors: ResourceExhausted when the machine has not enough, with one line
  // that says how to mend it.
  virtual absl::StatusOr<Region> Acquire(size_t bytes) = 0;

  // Gives back a whole region of Acquire.
  virtual void Release(const Region& region) = 0;

  // The address a NIC must use for `address`. Consecutive within 2 MB-aligned 2 MB. By default I/O addresses are
  // virtual ones (an IOMMU, or a software device).
  virtual uint64_t IoAddress(const void* address) const { return reinterpret_cast<uintptr_t>(address); }

  // For messages: "hugepages", "ordinary memory".
  virtual absl::string_view name() const = 0;
};

// Ordinary memory, for machines and tests without hugepages. Asks for transparent hugepages (a hint). No privileges.
class AnonymousPageSource : public PageSource {
 public:
  absl::StatusOr<Region> Acquire(size_t bytes) override;
  void Release(const Region& region) override;
  absl::string_view name() const override { return "ordinary memory"; }
};

// Reserved 2 MB hugepages (hugetlbfs pages, /proc/sys/vm/nr_hugepages).
class HugePageSource : public PageSource {
 public:
  enum class WhenShort {
    kFail,               // Acquire returns ResourceExhausted
    kUseOrdinaryMemory,  // Acquire returns ordinary memory; says so at --v=1
  };
  explicit HugePageSource(WhenShort when_short = WhenShort::kFail) : when_short_(when_short) {}

  absl::StatusOr<Region> Acquire(size_t bytes) override;
  void Release(const Region& region) override;
  absl::string_view name() const override { return "hugepages"; }

 private:
  const WhenShort when_short_;
};

}  // namespace luna::zbuf

#endif  // LUNA_MEM_ZBUF_PAGE_SOURCE_H_
