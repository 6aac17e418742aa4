#include "luna/mem/zbuf/slab.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "luna/mem/zbuf/testing/fake_page_source.h"

namespace luna::zbuf {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class SlabTest : public ::testing::Test {
 protected:
  void MakeArena(size_t zones) {
    pages_.set_io_offset(uint64_t{7} << 40);
    auto arena = Arena::Create(pages_, {.size_bytes = zones * kZoneBytes, .name = "test"});
    ASSERT_TRUE(arena.ok()) << arena.status();
    arena_ = *std::move(arena);
  }
  size_t FreeZones() const { return arena_->Stats().zones_free; }

  // Takes objs until the slab says no.
  static std::vector<std::byte*> TakeAll(Slab& slab, size_t bytes) {
    std::vector<std::byte*> objs;
    while (std::byte* obj = slab.Alloc(bytes)) objs.push_back(obj);
    return objs;
  }
  static void FreeAll(const std::vector<std::byte*>& objs) {
    for (std::byte* obj : objs) Free(obj);
  }

  FakePageSource pages_{size_t{64} << 20};
  std::unique_ptr<Arena> arena_;
};

TEST_F(SlabTest, AllocGivesTheSmallestClassThatFits) {
  MakeArena(kClassCount);
  Slab slab(*arena_);
  const struct {
    size_t bytes;
    size_t obj_bytes;
  } kCases[] = {{0, 128},         {1, 128},         {127, 128},       {128, 128},      {129, 256},     {256, 256},
                {257, 512},       {512, 512},       {513, 1024},      {1024, 1024},    {1025, 2304},   {2048, 2304},
                {2304, 2304},     {2305, 4352},     {4096, 4352},     {4353, 9472},    {9472, 9472},   {9473, 16640},
                {16640, 16640},   {16641, 33024},   {33024, 33024},   {33025, 65792},  {65536, 65792}, {65793, 139520},
                {139520, 139520}, {139521, 299264}, {262144, 299264}, {299264, 299264}};
  for (const auto& c : kCases) {
    SCOPED_TRACE(c.bytes);
    std::byte* const obj = slab.Alloc(c.bytes);
    ASSERT_NE(obj, nullptr);
    EXPECT_EQ(ObjBytes(obj), c.obj_bytes);
    EXPECT_EQ(ObjStart(obj), obj);
    EXPECT_EQ(RefCount(obj), 1);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(obj) % kCacheLineBytes, 0u);
    std::memset(obj, 0x11, c.obj_bytes);
    slab.Free(obj);
  }
  EXPECT_EQ(slab.outstanding(), 0u);
  EXPECT_EQ(slab.Stats().exhausted(), 0u);
}

TEST_F(SlabTest, TooLargeIsRefusedAndCounted) {
  MakeArena(1);
  Slab slab(*arena_);
  EXPECT_EQ(slab.Alloc(kMaxObjBytes + 1), nullptr);
  EXPECT_EQ(slab.Alloc(~size_t{0}), nullptr);
  std::byte* out[2];
  EXPECT_EQ(slab.AllocBulk(kMaxObjBytes + 1, absl::MakeSpan(out)), 0u);
  EXPECT_EQ(slab.Stats().too_large, 3u);
  EXPECT_EQ(slab.Stats().exhausted(), 0u);
}

TEST_F(SlabTest, EveryInnerAddressFindsItsObj) {
  MakeArena(1);
  for (const uint32_t obj_bytes : kClassBytes) {
    SCOPED_TRACE(obj_bytes);
    Slab slab(*arena_);
    const std::vector<std::byte*> objs = TakeAll(slab, obj_bytes);
    // First, middle and last of the zone; every offset.
    for (const size_t i : {size_t{0}, objs.size() / 2, objs.size() - 1}) {
      std::byte* const obj = objs[i];
      for (size_t offset = 0; offset < obj_bytes; ++offset) {
        ASSERT_EQ(ObjStart(obj + offset), obj) << offset;
        ASSERT_EQ(CapacityFrom(obj + offset), obj_bytes - offset);
        ASSERT_EQ(IoAddress(obj + offset), (uint64_t{7} << 40) + reinterpret_cast<uintptr_t>(obj + offset));
      }
      EXPECT_EQ(DriverArea(obj + obj_bytes - 1), DriverArea(obj));
      EXPECT_EQ(ObjFromDriverArea(DriverArea(obj)), obj);
      Ref(obj + obj_bytes - 1);
      EXPECT_EQ(RefCount(obj), 2);
      Free(obj + obj_bytes / 2);
      EXPECT_EQ(RefCount(obj + 1), 1);
    }
    FreeAll(objs);
    EXPECT_EQ(slab.outstanding(), 0u);
  }
}

// Fills every byte that is ours to fill, in every obj and driver area of a zone, and finds all of them intact.
TEST_F(SlabTest, ObjsAndDriverAreasOfAZoneDoNotOverlap) {
  MakeArena(1);
  for (const uint32_t obj_bytes : kClassBytes) {
    SCOPED_TRACE(obj_bytes);
    Slab slab(*arena_);
    const std::vector<std::byte*> objs = TakeAll(slab, obj_bytes);
    ASSERT_EQ(objs.size(), ObjsPerZone(SizeClassOf(obj_bytes)));
    for (size_t i = 0; i < objs.size(); ++i) {
      auto* const area = static_cast<std::byte*>(DriverArea(objs[i]));
      ASSERT_EQ(reinterpret_cast<uintptr_t>(area) % kCacheLineBytes, 0u);
      ASSERT_TRUE(arena_->Contains(objs[i]) && arena_->Contains(objs[i] + obj_bytes - 1));
      std::memset(objs[i], static_cast<int>(i % 251), obj_bytes);
      std::memset(area - kDriverPrefixBytes, static_cast<int>(i % 241), kDriverPrefixBytes + kDriverAreaBytes);
    }
    for (size_t i = 0; i < objs.size(); ++i) {
      const std::vector<std::byte> data(obj_bytes, static_cast<std::byte>(i % 251));
      const std::vector<std::byte> area(kDriverPrefixBytes + kDriverAreaBytes, static_cast<std::byte>(i % 241));
      ASSERT_EQ(std::memcmp(objs[i], data.data(), data.size()), 0) << i;
      ASSERT_EQ(
          std::memcmp(static_cast<std::byte*>(DriverArea(objs[i])) - kDriverPrefixBytes, area.data(), area.size()), 0)
          << i;
      ASSERT_EQ(RefCount(objs[i]), 1);
    }
    FreeAll(objs);
  }
}

TEST_F(SlabTest, ObjLivesUntilItsLastReference) {
  MakeArena(1);
  Slab slab(*arena_);
  std::byte* const obj = slab.Alloc(2048);
  for (int i = 1; i <= 100; ++i) {
    Ref(obj + i);
    EXPECT_EQ(RefCount(obj), 1 + i);
  }
  for (int i = 100; i >= 1; --i) {
    Free(obj + 2000 + i);
    EXPECT_EQ(RefCount(obj), i);
    EXPECT_EQ(slab.outstanding(), 1u);
  }
  Free(obj);
  EXPECT_EQ(slab.outstanding(), 0u);
}

TEST_F(SlabTest, LastObjFreedIsFirstReused) {
  MakeArena(1);
  Slab slab(*arena_);
  std::byte* const a = slab.Alloc(100);
  std::byte* const b = slab.Alloc(100);
  Free(a);
  Free(b);
  EXPECT_EQ(slab.Alloc(100), b);
  EXPECT_EQ(slab.Alloc(100), a);
  FreeAll({a, b});
}

TEST_F(SlabTest, ExhaustionIsAStateAndEnds) {
  MakeArena(1);
  Slab slab(*arena_);
  const std::vector<std::byte*> objs = TakeAll(slab, 4096);
  EXPECT_EQ(objs.size(), ObjsPerZone(SizeClassOf(4096)));
  EXPECT_EQ(slab.Alloc(4096), nullptr);
  EXPECT_EQ(slab.Alloc(64), nullptr);
  const SlabStats stats = slab.Stats();
  EXPECT_EQ(stats.classes[SizeClassOf(4096)].exhausted, 2u);
  EXPECT_EQ(stats.classes[SizeClassOf(64)].exhausted, 1u);
  EXPECT_EQ(stats.outstanding(), objs.size());

  Free(objs[5]);
  EXPECT_EQ(slab.Alloc(4096), objs[5]);
  EXPECT_EQ(slab.Alloc(4096), nullptr);
  FreeAll(objs);
  EXPECT_EQ(slab.outstanding(), 0u);
}

TEST_F(SlabTest, BytesLimitBindsOneSlabOnly) {
  MakeArena(4);
  Slab small(*arena_, {.name = "small", .bytes_limit = 2 * kZoneBytes});
  Slab other(*arena_, {.name = "other"});
  const std::vector<std::byte*> objs = TakeAll(small, 65536);
  EXPECT_EQ(objs.size(), 2 * ObjsPerZone(SizeClassOf(65536)));
  EXPECT_EQ(FreeZones(), 2u);
  std::byte* const theirs = other.Alloc(65536);
  EXPECT_NE(theirs, nullptr);
  FreeAll(objs);
  Free(theirs);
}

TEST_F(SlabTest, EmptyZonesGoBackToTheArena) {
  for (const size_t keep : {0, 1, 2, 5}) {
    SCOPED_TRACE(keep);
    MakeArena(6);
    Slab slab(*arena_, {.keep_empty_zones = keep});
    const std::vector<std::byte*> objs = TakeAll(slab, 2048);
    EXPECT_EQ(FreeZones(), 0u);
    FreeAll(objs);
    // The class keeps the one with room, the slab `keep` more.
    EXPECT_EQ(FreeZones(), 6 - 1 - keep);
    EXPECT_EQ(slab.Stats().zones_parked, keep);
    EXPECT_EQ(slab.Stats().classes[SizeClassOf(2048)].zones, 1u);
    slab.Trim();
    EXPECT_EQ(FreeZones(), 6u);
    EXPECT_EQ(slab.Stats().classes[SizeClassOf(2048)].zones, 0u);
    EXPECT_EQ(TakeAll(slab, 2048).size(), objs.size());

    FreeAll(objs);
  }
}

// A worker at the boundary of a zone must not trade with the arena for every obj.
TEST_F(SlabTest, NoZoneMovesWhenOneObjGoesBackAndForth) {
  MakeArena(2);
  Slab slab(*arena_, {.keep_empty_zones = 0});
  std::vector<std::byte*> objs(ObjsPerZone(SizeClassOf(2048)));
  ASSERT_EQ(slab.AllocBulk(2048, absl::MakeSpan(objs)), objs.size());
  EXPECT_EQ(FreeZones(), 1u);
  for (int i = 0; i < 5; ++i) {
    std::byte* const one_more = slab.Alloc(2048);
    EXPECT_EQ(FreeZones(), 0u);
    Free(one_more);
    EXPECT_EQ(FreeZones(), 0u);
  }
  FreeAll(objs);
}

TEST_F(SlabTest, AnEmptyZoneChangesItsClass) {
  MakeArena(1);
  Slab slab(*arena_);
  for (const size_t bytes : {128, 65536, 2048, 262144, 256, 4096}) {
    SCOPED_TRACE(bytes);
    const std::vector<std::byte*> objs = TakeAll(slab, bytes);
    ASSERT_EQ(objs.size(), ObjsPerZone(SizeClassOf(bytes)));
    for (std::byte* obj : objs) {
      // A driver area is zero at first, whatever the zone was before.
      const auto* area = static_cast<const std::byte*>(DriverArea(obj)) - kDriverPrefixBytes;
      ASSERT_TRUE(std::all_of(area, area + kDriverPrefixBytes + kDriverAreaBytes,
                              [](std::byte b) { return b == std::byte{0}; }));
      std::memset(obj, 0xee, ObjBytes(obj));
    }
    FreeAll(objs);
  }
}

TEST_F(SlabTest, AZoneWithOneObjOutKeepsItsClass) {
  MakeArena(1);
  Slab slab(*arena_);
  std::byte* const obj = slab.Alloc(128);
  EXPECT_EQ(slab.Alloc(2048), nullptr);
  Free(obj);
  std::byte* const other = slab.Alloc(2048);
  EXPECT_NE(other, nullptr);
  Free(other);
}

TEST_F(SlabTest, DriverAreaSurvivesFreeAndAlloc) {
  MakeArena(2);
  Slab slab(*arena_);
  std::byte* const obj = slab.Alloc(2048);
  std::memset(static_cast<std::byte*>(DriverArea(obj)) - kDriverPrefixBytes, 0x77,
              kDriverPrefixBytes + kDriverAreaBytes);
  Free(obj);
  ASSERT_EQ(slab.Alloc(2048), obj);
  const std::vector<std::byte> expected(kDriverPrefixBytes + kDriverAreaBytes, std::byte{0x77});
  EXPECT_EQ(
      std::memcmp(static_cast<std::byte*>(DriverArea(obj)) - kDriverPrefixBytes, expected.data(), expected.size()), 0);
  Free(obj);
}

TEST_F(SlabTest, ReserveHoldsItsZones) {
  MakeArena(4);
  Slab slab(*arena_, {.name = "rx", .keep_empty_zones = 0});
  const size_t per_zone = ObjsPerZone(SizeClassOf(2048));
  ASSERT_TRUE(slab.Reserve(2048, per_zone).ok());
  ASSERT_TRUE(slab.Reserve(2048, 1).ok());
  EXPECT_EQ(FreeZones(), 2u);
  slab.Trim();
  EXPECT_EQ(FreeZones(), 2u);

  // Other classes take the rest and not one zone more.
  const std::vector<std::byte*> others = TakeAll(slab, 65536);
  EXPECT_EQ(others.size(), 2 * ObjsPerZone(SizeClassOf(65536)));
  const std::vector<std::byte*> objs = TakeAll(slab, 2048);
  EXPECT_EQ(objs.size(), 2 * per_zone);
  FreeAll(objs);
  EXPECT_EQ(slab.Alloc(128), nullptr);
  FreeAll(others);
  slab.Trim();
  EXPECT_EQ(FreeZones(), 2u);
}

TEST_F(SlabTest, ReserveSaysWhatIsMissing) {
  MakeArena(2);
  Slab slab(*arena_, {.name = "worker 3"});
  const size_t per_zone = ObjsPerZone(SizeClassOf(2048));
  const absl::Status status = slab.Reserve(2048, 3 * per_zone);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("worker 3"), HasSubstr("2304"), HasSubstr("1 zones"), HasSubstr("Mend")));
  EXPECT_EQ(FreeZones(), 2u) << "a failed reservation holds nothing";
  EXPECT_TRUE(slab.Reserve(2048, 2 * per_zone).ok());
  EXPECT_EQ(slab.Reserve(kMaxObjBytes + 1, 1).code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(SlabTest, BulkCrossesZones) {
  MakeArena(2);
  Slab slab(*arena_);
  const size_t per_zone = ObjsPerZone(SizeClassOf(2048));
  std::vector<std::byte*> objs(2 * per_zone + 10, nullptr);
  EXPECT_EQ(slab.AllocBulk(2048, absl::MakeSpan(objs)), 2 * per_zone);
  EXPECT_EQ(slab.Stats().classes[SizeClassOf(2048)].exhausted, 10u);
  EXPECT_EQ(slab.outstanding(), 2 * per_zone);
  EXPECT_EQ(objs[2 * per_zone], nullptr);
  objs.resize(2 * per_zone);
  std::vector<std::byte*> sorted = objs;
  std::sort(sorted.begin(), sorted.end());
  EXPECT_EQ(std::unique(sorted.begin(), sorted.end()), sorted.end());
  slab.FreeBulk(objs);
  EXPECT_EQ(slab.outstanding(), 0u);
  EXPECT_EQ(slab.AllocBulk(2048, {}), 0u);
}

// Allocation goes on where an obj came home last, so a zone that is nearly empty is left alone and drains.
TEST_F(SlabTest, FullZoneThatGetsAnObjBackServesNext) {
  MakeArena(3);
  Slab slab(*arena_);
  std::vector<std::byte*> objs(2 * ObjsPerZone(SizeClassOf(2048)) + 1);
  ASSERT_EQ(slab.AllocBulk(2048, absl::MakeSpan(objs)), objs.size());
  Free(objs[3]);
  EXPECT_EQ(slab.Alloc(2048), objs[3]);
  FreeAll(objs);
}

TEST_F(SlabTest, ForeignThreadReturnsWaitForTheOwner) {
  MakeArena(1);
  Slab slab(*arena_);
  std::byte* const obj = slab.Alloc(2048);
  Ref(obj);
  std::thread([obj] { Free(obj + 5); }).join();
  EXPECT_EQ(RefCount(obj), 1);
  EXPECT_EQ(slab.DrainReturns(), 0u);
  std::thread([obj] {
    Ref(obj + 9);
    Free(obj + 9);
    Free(obj + 2000);
  }).join();
  EXPECT_EQ(slab.outstanding(), 1u);
  EXPECT_EQ(slab.DrainReturns(), 1u);
  EXPECT_EQ(slab.outstanding(), 0u);
  EXPECT_EQ(slab.DrainReturns(), 0u);
  EXPECT_EQ(slab.Stats().returns_drained, 2u) << "each time once into the queue, however many Refs and Frees";
}

TEST_F(SlabTest, OwnersLastFreeLeavesForeignReferencesAlone) {
  MakeArena(1);
  Slab slab(*arena_);
  std::byte* const obj = slab.Alloc(2048);
  std::thread([obj] { Ref(obj); }).join();
  Free(obj);
  EXPECT_EQ(slab.outstanding(), 1u);
  EXPECT_EQ(RefCount(obj), 1);
  EXPECT_EQ(slab.DrainReturns(), 0u);
  EXPECT_EQ(slab.outstanding(), 1u);
  std::thread([obj] { Free(obj); }).join();
  EXPECT_EQ(slab.DrainReturns(), 1u);
}

// A foreign reference that ends up with the owner drives the owner's account below zero until the drain.
TEST_F(SlabTest, OwnerMayFreeWhatAnotherThreadReferenced) {
  MakeArena(1);
  Slab slab(*arena_);
  std::byte* const obj = slab.Alloc(2048);
  std::thread([obj] { Ref(obj); }).join();
  Free(obj);
  Free(obj);
  EXPECT_EQ(RefCount(obj), 0);
  EXPECT_EQ(slab.DrainReturns(), 1u);
  EXPECT_EQ(slab.outstanding(), 0u);
}

TEST_F(SlabTest, AllocDrainsBeforeItFails) {
  MakeArena(1);
  Slab slab(*arena_);
  std::vector<std::byte*> objs = TakeAll(slab, 2048);
  std::byte* const obj = objs.back();
  std::thread([obj] { Free(obj); }).join();
  EXPECT_EQ(slab.Alloc(2048), obj);
  FreeAll(objs);
}

TEST_F(SlabTest, MovesToAnotherThread) {
  MakeArena(2);
  Slab slab(*arena_);
  std::byte* const old = slab.Alloc(2048);
  std::thread([&] {
    EXPECT_FALSE(slab.OwnedByThisThread());
    slab.BindToCurrentThread();
    EXPECT_TRUE(slab.OwnedByThisThread());
    Free(old);
    EXPECT_EQ(slab.outstanding(), 0u) << "home at once: this thread is the owner";
    std::byte* const fresh = slab.Alloc(65536);
    Free(fresh);
  }).join();
  EXPECT_FALSE(slab.OwnedByThisThread());
}

TEST_F(SlabTest, TwoSlabsOfOneThreadKeepTheirObjsApart) {
  MakeArena(2);
  Slab a(*arena_, {.name = "a"});
  Slab b(*arena_, {.name = "b"});
  std::byte* const of_a = a.Alloc(2048);
  std::byte* const of_b = b.Alloc(2048);
  Free(of_b);
  EXPECT_EQ(a.outstanding(), 1u);
  EXPECT_EQ(b.outstanding(), 0u);
  EXPECT_EQ(arena_->Stats().objs_outstanding, 1u);
  EXPECT_EQ(arena_->Stats().slabs, 2u);
  Free(of_a);
}

TEST_F(SlabTest, LeakReportCountsWhatIsOut) {
  MakeArena(2);
  Slab slab(*arena_, {.name = "leaky"});
  EXPECT_EQ(slab.LeakReport(), "");
  std::byte* objs[3] = {slab.Alloc(2048), slab.Alloc(100), nullptr};
  Free(objs[1]);
  for (std::byte*& obj : objs) {
    if (obj != objs[0]) obj = slab.Alloc(2048);
  }
  EXPECT_THAT(slab.LeakReport(), AllOf(HasSubstr("x obj of 2304 bytes of slab 'leaky'")));
  EXPECT_THAT(slab.LeakReport(), Not(HasSubstr("128 bytes")));
  for (std::byte* obj : objs) Free(obj);
  EXPECT_EQ(slab.LeakReport(), "");
}

TEST_F(SlabTest, LeaksAreReportedAndTheirMemoryIsNeverReused) {
  if (kDebugChecks) GTEST_SKIP() << "fatal in debug builds: see slab_debug_test";
  MakeArena(2);
  std::byte* leaked = nullptr;
  {
    Slab slab(*arena_);
    leaked = slab.Alloc(2048);
    Free(slab.Alloc(65536));
    std::memset(leaked, 0x5a, 2048);
  }
  EXPECT_EQ(arena_->Stats().zones_abandoned, 1u);
  EXPECT_EQ(FreeZones(), 1u);
  Free(leaked);
  EXPECT_EQ(leaked[2047], std::byte{0x5a});
  arena_.reset();
  EXPECT_EQ(leaked[2047], std::byte{0x5a}) << "still mapped";
  EXPECT_EQ(pages_.releases(), 0);
}

TEST_F(SlabTest, StatsAddUp) {
  MakeArena(2);
  Slab slab(*arena_);
  std::byte* const a = slab.Alloc(2048);
  std::byte* const b = slab.Alloc(2048);
  Free(a);
  const SlabStats stats = slab.Stats();
  const ClassStats& c = stats.classes[SizeClassOf(2048)];
  EXPECT_EQ(c.obj_bytes, 2304u);
  EXPECT_EQ(c.allocs, 2u);
  EXPECT_EQ(c.frees, 1u);
  EXPECT_EQ(c.outstanding(), 1u);
  EXPECT_EQ(c.zones, 1u);
  EXPECT_EQ(stats.outstanding(), 1u);
  Free(b);
}

// What is free in zones that the slab has counts like zones that it could have.
TEST_F(SlabTest, IsScarceBelowAnEighth) {
  MakeArena(4);
  Slab slab(*arena_, {.name = "scarce", .bytes_limit = 3 * kZoneBytes});
  EXPECT_FALSE(slab.IsScarce());
  std::vector<std::byte*> out;
  size_t bytes = 0;
  const size_t all = 3 * kZoneBytes, limit = all - all / 8;
  while (bytes + 4352 <= limit) {
    out.push_back(slab.Alloc(4352));
    ASSERT_NE(out.back(), nullptr);
    bytes += 4352;
    EXPECT_FALSE(slab.IsScarce()) << bytes;
  }
  out.push_back(slab.Alloc(4352));
  EXPECT_TRUE(slab.IsScarce());
  Free(out.back());
  out.pop_back();
  EXPECT_FALSE(slab.IsScarce());
  for (std::byte* obj : out) Free(obj);
  EXPECT_FALSE(slab.IsScarce());
}

// Zones that another slab has are not to be had.
TEST_F(SlabTest, IsScarceInAnArenaThatOthersUse) {
  MakeArena(16);
  Slab mine(*arena_, {.name = "mine"}), theirs(*arena_, {.name = "theirs"});
  ASSERT_TRUE(theirs.Reserve(2048, 1).ok());
  std::vector<std::byte*> out;
  while (std::byte* obj = theirs.Alloc(kMaxObjBytes)) out.push_back(obj);
  EXPECT_TRUE(theirs.IsScarce());
  EXPECT_FALSE(mine.IsScarce()) << "has nothing, and wants nothing";
  for (std::byte* obj : out) Free(obj);
  theirs.Trim();
  EXPECT_FALSE(theirs.IsScarce());
}

}  // namespace
}  // namespace luna::zbuf
