#include "luna/mem/zbuf/page_source.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"

#ifndef MAP_HUGE_2MB
#define MAP_HUGE_2MB (21 << 26)
#endif

namespace luna::zbuf {
namespace {

constexpr size_t kHugePageBytes = size_t{2} << 20;

// What /proc/meminfo says of a hugepage counter, or "?".
std::string MeminfoField(absl::string_view name) {
  std::ifstream meminfo("/proc/meminfo");
  for (std::string key, value, rest; meminfo >> key >> value && std::getline(meminfo, rest);) {
    if (key == absl::StrCat(name, ":")) return value;
  }
  return "?";
}

void Unmap(void* address, size_t bytes) {
  PCHECK(bytes == 0 || munmap(address, bytes) == 0) << "munmap of " << bytes << " bytes";
}

}  // namespace

absl::StatusOr<Region> AnonymousPageSource::Acquire(size_t bytes) {
  CHECK(bytes > 0 && bytes % kHugePageBytes == 0) << bytes;
  // mmap aligns to pages only: take one hugepage more and cut head and tail off.
  const size_t reserved = bytes + kHugePageBytes;
  void* const raw = mmap(nullptr, reserved, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (raw == MAP_FAILED) {
    return absl::ResourceExhaustedError(absl::StrCat("cannot map ", bytes >> 20, " MB of ordinary memory: ",
                                                     std::strerror(errno), ". Mend: ask for less, or free memory"));
  }
  auto* const start = static_cast<std::byte*>(raw);
  const size_t head = -reinterpret_cast<uintptr_t>(raw) & (kHugePageBytes - 1);
  Unmap(start, head);
  Unmap(start + head + bytes, reserved - head - bytes);
  // A hint: without transparent hugepages everything works, slower.
  (void)madvise(start + head, bytes, MADV_HUGEPAGE);
  return Region{.base = start + head, .bytes = bytes, .page_bytes = static_cast<size_t>(sysconf(_SC_PAGESIZE))};
}

void AnonymousPageSource::Release(const Region& region) { Unmap(region.base, region.bytes); }

absl::StatusOr<Region> HugePageSource::Acquire(size_t bytes) {
  CHECK(bytes > 0 && bytes % kHugePageBytes == 0) << bytes;
  void* const raw =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_HUGE_2MB, -1, 0);
  if (raw != MAP_FAILED) {
    return Region{.base = static_cast<std::byte*>(raw), .bytes = bytes, .page_bytes = kHugePageBytes};
  }
  const std::string problem =
      absl::StrCat("cannot map ", bytes / kHugePageBytes, " hugepages of 2 MB (", std::strerror(errno),
                   "; HugePages_Free is ", MeminfoField("HugePages_Free"), " of ", MeminfoField("HugePages_Total"),
                   "). Mend: as root, write a larger number to /proc/sys/vm/nr_hugepages; or use ordinary memory");
  if (when_short_ == WhenShort::kFail) return absl::ResourceExhaustedError(problem);
  VLOG(1) << problem << ". Using ordinary memory now.";
  return AnonymousPageSource().Acquire(bytes);
}

void HugePageSource::Release(const Region& region) { Unmap(region.base, region.bytes); }

}  // namespace luna::zbuf
