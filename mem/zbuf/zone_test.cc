#include "luna/mem/zbuf/zone.h"

#include "gtest/gtest.h"
#include "luna/mem/zbuf/size_class.h"

namespace luna::zbuf {
namespace {

// Exhaustive: every class, every offset of a zone.
TEST(Reciprocal, IsExactForEveryOffsetOfEveryClass) {
  for (const uint32_t obj_bytes : kClassBytes) {
    const uint64_t reciprocal = ReciprocalOf(obj_bytes);
    uint64_t wrong = 0;
    for (uint64_t offset = 0; offset < kZoneBytes; ++offset) {
      wrong += DivideByReciprocal(offset, reciprocal) != offset / obj_bytes;
    }
    EXPECT_EQ(wrong, 0u) << obj_bytes;
  }
}

// The proof in zone.h is for every size up to 2^19, not just today's classes: try the edges of each quotient.
TEST(Reciprocal, IsExactForAnySizeUpToHalfAMegabyte) {
  for (uint32_t obj_bytes = 64; obj_bytes <= 1u << 19; obj_bytes += 64) {
    const uint64_t reciprocal = ReciprocalOf(obj_bytes);
    for (uint64_t edge = obj_bytes; edge < kZoneBytes; edge += obj_bytes) {
      ASSERT_EQ(DivideByReciprocal(edge - 1, reciprocal), edge / obj_bytes - 1) << obj_bytes;
      ASSERT_EQ(DivideByReciprocal(edge, reciprocal), edge / obj_bytes) << obj_bytes;
    }
  }
}

TEST(SizeClass, EverySizeGetsTheSmallestClassThatHoldsIt) {
  for (size_t bytes = 0; bytes <= kMaxObjBytes; ++bytes) {
    const size_t k = SizeClassOf(bytes);
    ASSERT_LT(k, kClassCount) << bytes;
    ASSERT_GE(kClassBytes[k], bytes);
    ASSERT_TRUE(k == 0 || kClassBytes[k - 1] < bytes) << bytes;
  }
  EXPECT_EQ(SizeClassOf(kMaxObjBytes + 1), kClassCount);
  EXPECT_EQ(SizeClassOf(~size_t{0}), kClassCount);
}

TEST(Layout, AZoneIsFullAndNotOverfull) {
  for (size_t k = 0; k < kClassCount; ++k) {
    SCOPED_TRACE(kClassBytes[k]);
    const size_t end = FirstObjOffset(k) + size_t{ObjsPerZone(k)} * kClassBytes[k];
    EXPECT_EQ(FirstObjOffset(k) % kCacheLineBytes, 0u);
    EXPECT_GE(FirstObjOffset(k), sizeof(ZoneHeader) + ObjsPerZone(k) * sizeof(ObjContext));
    EXPECT_LE(end, kZoneBytes);
    EXPECT_LT(kZoneBytes - end, kClassBytes[k] + sizeof(ObjContext) + kCacheLineBytes) << "one more would fit";
    EXPECT_EQ(ZoneTailBytes(k), kZoneBytes - end);
    // README.md, "Size classes": what headers, ctx and the tail take.
    if (kClassBytes[k] >= 2304) {
      EXPECT_GT(size_t{ObjsPerZone(k)} * kClassBytes[k] * 100 / kZoneBytes, 91u);
    }
  }
}

}  // namespace
}  // namespace luna::zbuf
