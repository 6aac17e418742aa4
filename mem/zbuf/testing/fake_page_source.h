#ifndef LUNA_MEM_ZBUF_TESTING_FAKE_PAGE_SOURCE_H_
#define LUNA_MEM_ZBUF_TESTING_FAKE_PAGE_SOURCE_H_

// FakePageSource: a PageSource that is small, that fails when told to, and whose I/O addresses differ from virtual
// ones.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "luna/mem/zbuf/page_source.h"

namespace luna::zbuf {

class FakePageSource : public PageSource {
 public:
  // Lends at most `limit_bytes` at a time.
  explicit FakePageSource(size_t limit_bytes) : limit_bytes_(limit_bytes) {}

  absl::StatusOr<Region> Acquire(size_t bytes) override;
  void Release(const Region& region) override;
  uint64_t IoAddress(const void* address) const override;
  absl::string_view name() const override { return "fake memory"; }

  // The next Acquire returns this instead of memory.
  void FailNextWith(absl::Status status) { failure_ = std::move(status); }
  // I/O address = virtual address + offset; a multiple of 2 MB.
  void set_io_offset(uint64_t offset) { io_offset_ = offset; }

  size_t bytes_lent() const { return bytes_lent_; }
  int acquires() const { return acquires_; }
  int releases() const { return releases_; }

 private:
  const size_t limit_bytes_;
  AnonymousPageSource memory_;
  std::optional<absl::Status> failure_;
  uint64_t io_offset_ = 0;
  size_t bytes_lent_ = 0;
  int acquires_ = 0;
  int releases_ = 0;
};

}  // namespace luna::zbuf

#endif  // LUNA_MEM_ZBUF_TESTING_FAKE_PAGE_SOURCE_H_
