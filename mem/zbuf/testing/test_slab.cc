#include "luna/mem/zbuf/testing/test_slab.h"

#include <algorithm>
#include <utility>

#include "glog/logging.h"
#include "gtest/gtest.h"

namespace luna::zbuf {

TestSlab::TestSlab(size_t bytes, SlabOptions options) {
  absl::StatusOr<std::unique_ptr<Arena>> arena = Arena::Create(pages_, {.size_bytes = bytes, .name = "test"});
  CHECK(arena.ok()) << arena.status();
  arena_ = *std::move(arena);
  slab_ = std::make_unique<Slab>(*arena_, std::move(options));
}

TestSlab::~TestSlab() {
  slab_->DrainReturns();
  EXPECT_EQ(slab_->LeakReport(), "") << "objs are still out";
}

ZChain TestSlab::Chain(absl::string_view bytes) {
  std::optional<ZChain> chain = ZChain::CopyFrom(*slab_, bytes);
  CHECK(chain.has_value()) << "out of memory";
  return *std::move(chain);
}

ZChain TestSlab::ChainOfSlices(absl::string_view bytes, size_t slice_bytes) {
  ZChain chain;
  for (; !bytes.empty(); bytes.remove_prefix(std::min(slice_bytes, bytes.size()))) {
    chain.Append(Chain(bytes.substr(0, slice_bytes)));
  }
  return chain;
}

}  // namespace luna::zbuf
