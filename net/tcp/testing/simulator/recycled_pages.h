#ifndef LUNA_NET_TCP_TESTING_SIMULATOR_RECYCLED_PAGES_H_
#define LUNA_NET_TCP_TESTING_SIMULATOR_RECYCLED_PAGES_H_

// RecycledPages: memory for the hosts of one simulation after the other. The kernel would zero each page for each of
// them, which takes longer than a short run. So, unlike another PageSource's, its memory is full of what was there
// before, but for the first time: nothing may depend on it.
// Each thread has its own, for as long as it lives.

#include <cstddef>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "luna/mem/zbuf/page_source.h"

namespace luna::tcp::simulator {

class RecycledPages : public zbuf::PageSource {
 public:
  static RecycledPages& OfThisThread() {
    static thread_local RecycledPages pages;
    return pages;
  }
  ~RecycledPages() override {
    for (const zbuf::Region& region : free_) source_.Release(region);
  }

  absl::StatusOr<zbuf::Region> Acquire(size_t bytes) override {
    for (size_t i = 0; i < free_.size(); ++i) {
      if (free_[i].bytes != bytes) continue;
      const zbuf::Region region = free_[i];
      free_[i] = free_.back();
      free_.pop_back();
      return region;
    }
    return source_.Acquire(bytes);
  }
  void Release(const zbuf::Region& region) override { free_.push_back(region); }
  absl::string_view name() const override { return "recycled memory"; }

 private:
  RecycledPages() = default;
  zbuf::AnonymousPageSource source_;
  std::vector<zbuf::Region> free_;
};

}  // namespace luna::tcp::simulator

#endif  // LUNA_NET_TCP_TESTING_SIMULATOR_RECYCLED_PAGES_H_
