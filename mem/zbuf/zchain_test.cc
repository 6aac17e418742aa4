#include "gtest/gtest.h"
#include "luna/mem/zbuf/zbuf.h"

namespace luna::zbuf {
namespace {
TEST(Smoke, Works) {
  AnonymousPageSource pages;
  auto arena = Arena::Create(pages, {.size_bytes = 8 << 20});
  ASSERT_TRUE(arena.ok());
  Slab slab(**arena);
  auto chain = ZChain::CopyFrom(slab, absl::string_view("hello"));
  ASSERT_TRUE(chain.has_value());
  EXPECT_EQ(chain->ToString(), "hello");
}
}  // namespace
}  // namespace luna::zbuf
