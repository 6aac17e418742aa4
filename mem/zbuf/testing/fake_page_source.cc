#include "luna/mem/zbuf/testing/fake_page_source.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace luna::zbuf {

absl::StatusOr<Region> FakePageSource::Acquire(size_t bytes) {
  ++acquires_;
  if (failure_.has_value()) return *std::exchange(failure_, std::nullopt);
  if (bytes > limit_bytes_ - bytes_lent_) {
    return absl::ResourceExhaustedError(
        absl::StrCat("fake memory: ", bytes, " bytes asked for, ", limit_bytes_ - bytes_lent_, " left"));
  }
  absl::StatusOr<Region> region = memory_.Acquire(bytes);
  if (region.ok()) bytes_lent_ += bytes;
  return region;
}

void FakePageSource::Release(const Region& region) {
  ++releases_;
  bytes_lent_ -= region.bytes;
  memory_.Release(region);
}

uint64_t FakePageSource::IoAddress(const void* address) const {
  return reinterpret_cast<uintptr_t>(address) + io_offset_;
}

}  // namespace luna::zbuf
