#include "luna/mem/zbuf/page_source.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace luna::zbuf {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr size_t kTwoMegabytes = size_t{2} << 20;

void ExpectGoodRegion(const Region& region, size_t bytes) {
  EXPECT_EQ(reinterpret_cast<uintptr_t>(region.base) % kTwoMegabytes, 0u);
  EXPECT_EQ(region.bytes, bytes);
  for (size_t at = 0; at < bytes; at += 4096) ASSERT_EQ(region.base[at], std::byte{0});
  region.base[0] = region.base[bytes - 1] = std::byte{1};
}

TEST(AnonymousPageSource, GivesAlignedZeroedMemory) {
  AnonymousPageSource source;
  for (const size_t pages : {1, 2, 5}) {
    auto region = source.Acquire(pages * kTwoMegabytes);
    ASSERT_TRUE(region.ok()) << region.status();
    ExpectGoodRegion(*region, pages * kTwoMegabytes);
    EXPECT_EQ(source.IoAddress(region->base), reinterpret_cast<uintptr_t>(region->base));
    source.Release(*region);
  }
}

TEST(AnonymousPageSource, SaysWhenTheMachineIsTooSmall) {
  AnonymousPageSource source;
  auto region = source.Acquire(size_t{1} << 50);
  EXPECT_EQ(region.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(region.status().message()), HasSubstr("Mend"));
}

TEST(AnonymousPageSourceDeathTest, SizesAreWholeHugepages) {
  AnonymousPageSource source;
  EXPECT_DEATH((void)source.Acquire(4096), "4096");
  EXPECT_DEATH((void)source.Acquire(0), "0");
}

// The outcome depends on the machine; each is checked for what it promises. A terabyte of hugepages is nowhere.
TEST(HugePageSource, EitherWorksOrNamesTheMend) {
  HugePageSource source;
  auto region = source.Acquire(kTwoMegabytes);
  if (region.ok()) {
    ExpectGoodRegion(*region, kTwoMegabytes);
    EXPECT_EQ(region->page_bytes, kTwoMegabytes);
    source.Release(*region);
  }
  const absl::Status status = source.Acquire(size_t{1} << 40).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr("524288 hugepages"), HasSubstr("nr_hugepages")));
  EXPECT_EQ(status.message().find('\n'), absl::string_view::npos);
}

TEST(HugePageSource, FallsBackOnlyWhenTold) {
  HugePageSource source(HugePageSource::WhenShort::kUseOrdinaryMemory);
  auto region = source.Acquire(2 * kTwoMegabytes);
  ASSERT_TRUE(region.ok()) << region.status();
  ExpectGoodRegion(*region, 2 * kTwoMegabytes);
  source.Release(*region);
}

}  // namespace
}  // namespace luna::zbuf
