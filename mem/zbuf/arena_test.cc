#include "luna/mem/zbuf/arena.h"

#include <memory>
#include <set>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "luna/mem/zbuf/testing/fake_page_source.h"

namespace luna::zbuf {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr size_t kMegabyte = size_t{1} << 20;

TEST(Arena, RoundsUpToWholeZones) {
  const struct {
    size_t asked;
    size_t zones;
  } kCases[] = {{1, 1}, {kZoneBytes - 1, 1}, {kZoneBytes, 1}, {kZoneBytes + 1, 2}, {7 * kMegabyte, 4}};
  for (const auto& c : kCases) {
    FakePageSource pages(64 * kMegabyte);
    auto arena = Arena::Create(pages, {.size_bytes = c.asked});
    ASSERT_TRUE(arena.ok());
    EXPECT_EQ((*arena)->zone_count(), c.zones);
    EXPECT_EQ((*arena)->bytes(), c.zones * kZoneBytes);
    EXPECT_EQ(pages.bytes_lent(), c.zones * kZoneBytes);
    arena->reset();
    EXPECT_EQ(pages.bytes_lent(), 0u);
  }
}

TEST(Arena, ErrorsNameTheArena) {
  FakePageSource pages(4 * kMegabyte);
  EXPECT_EQ(Arena::Create(pages, {.size_bytes = 0}).status().code(), absl::StatusCode::kInvalidArgument);
  auto too_large = Arena::Create(pages, {.size_bytes = 6 * kMegabyte, .name = "rx"});
  EXPECT_EQ(too_large.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(too_large.status().message()), AllOf(HasSubstr("rx"), HasSubstr("fake memory")));
  pages.FailNextWith(absl::PermissionDeniedError("no"));
  EXPECT_EQ(Arena::Create(pages, {.size_bytes = 1}).status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_TRUE(Arena::Create(pages, {.size_bytes = 1}).ok());
  EXPECT_EQ(pages.acquires(), 3);
  EXPECT_EQ(pages.releases(), 1);
}

TEST(Arena, ContainsItsRangeOnly) {
  FakePageSource pages(8 * kMegabyte);
  auto arena = *Arena::Create(pages, {.size_bytes = 4 * kMegabyte});
  const std::byte* const base = arena->base();
  EXPECT_TRUE(arena->Contains(base));
  EXPECT_TRUE(arena->Contains(base + arena->bytes() - 1));
  EXPECT_FALSE(arena->Contains(base + arena->bytes()));
  EXPECT_FALSE(arena->Contains(base - 1));
  EXPECT_FALSE(arena->Contains(nullptr));
  EXPECT_EQ(arena->ZoneIndex(base + kZoneBytes - 1), 0u);
  EXPECT_EQ(arena->ZoneIndex(base + kZoneBytes), 1u);
  EXPECT_EQ(FindArena(base + 5), arena.get());
  EXPECT_EQ(FindArena(base + arena->bytes()), nullptr);
  EXPECT_EQ(FindArena(&pages), nullptr);
  arena.reset();
  EXPECT_EQ(FindArena(base), nullptr);
}

TEST(Arena, LendsEachZoneOnce) {
  FakePageSource pages(16 * kMegabyte);
  auto arena = *Arena::Create(pages, {.size_bytes = 16 * kMegabyte, .prefault = true});
  std::set<std::byte*> zones;
  while (std::byte* zone = arena->AcquireZone()) {
    EXPECT_EQ(reinterpret_cast<uintptr_t>(zone) % kZoneBytes, 0u);
    EXPECT_TRUE(arena->Contains(zone) && arena->Contains(zone + kZoneBytes - 1));
    zone[0] = zone[kZoneBytes - 1] = std::byte{1};
    EXPECT_TRUE(zones.insert(zone).second);
    ASSERT_LE(zones.size(), 8u);
  }
  EXPECT_EQ(zones.size(), 8u);
  EXPECT_EQ(arena->Stats().zones_used, 8u);
  arena->ReleaseZone(*zones.begin());
  EXPECT_EQ(arena->Stats().zones_free, 1u);
  EXPECT_EQ(arena->AcquireZone(), *zones.begin());
  for (std::byte* zone : zones) arena->ReleaseZone(zone);
  EXPECT_EQ(arena->Stats().zones_free, 8u);
}

TEST(Arena, ThreadsTakeAndGiveZones) {
  FakePageSource pages(8 * kMegabyte);
  auto arena = *Arena::Create(pages, {.size_bytes = 8 * kMegabyte});
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 2000; ++i) {
        std::byte* const zone = arena->AcquireZone();
        if (zone == nullptr) continue;
        *zone = static_cast<std::byte>(t);
        std::this_thread::yield();
        ASSERT_EQ(*zone, static_cast<std::byte>(t)) << "lent to two at once";
        arena->ReleaseZone(zone);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(arena->Stats().zones_free, 4u);
}

TEST(ArenaDeathTest, MustOutliveItsSlabsAndZones) {
  FakePageSource pages(8 * kMegabyte);
  auto arena = *Arena::Create(pages, {.size_bytes = 8 * kMegabyte, .name = "short-lived"});
  std::byte* const zone = arena->AcquireZone();
  EXPECT_DEATH(arena.reset(), "short-lived");
  arena->ReleaseZone(zone);
  const Slab* const slab = reinterpret_cast<const Slab*>(&pages);
  arena->AddSlab(slab, [] { return size_t{3}; });
  EXPECT_EQ(arena->Stats().objs_outstanding, 3u);
  EXPECT_DEATH(arena.reset(), "short-lived.*dies before its 1 slabs");
  arena->RemoveSlab(slab);
}

}  // namespace
}  // namespace luna::zbuf
