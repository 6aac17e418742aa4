#include "luna/net/tcp/seq.h"

#include <cstdint>

#include "gtest/gtest.h"

namespace luna::tcp {
namespace {

TEST(SeqNum, ComparesModulo32Bits) {
  const struct {
    uint32_t a, b;
    bool less;
  } kCases[] = {
      {0, 1, true},
      {1, 0, false},
      {5, 5, false},
      {0xffffffff, 0, true},
      {0, 0xffffffff, false},
      {0xfffffff0, 0x10, true},
      {0x10, 0xfffffff0, false},
      {0, 0x7fffffff, true},
      {0x80000001, 0, true},
      {0x7fffffff, 0x80000000, true},
  };
  for (const auto& c : kCases) {
    const SeqNum a(c.a), b(c.b);
    EXPECT_EQ(a < b, c.less) << c.a << " " << c.b;
    EXPECT_EQ(b > a, c.less) << c.a << " " << c.b;
    EXPECT_EQ(a >= b, !c.less) << c.a << " " << c.b;
    EXPECT_EQ(a <= b, c.less || c.a == c.b) << c.a << " " << c.b;
    EXPECT_EQ(Max(a, b), c.less ? b : a);
    EXPECT_EQ(Min(a, b), c.less ? a : b);
  }
}

TEST(SeqNum, DistanceIsSigned) {
  EXPECT_EQ(SeqNum(3) - SeqNum(0xfffffffe), 5);
  EXPECT_EQ(SeqNum(0xfffffffe) - SeqNum(3), -5);
  SeqNum s(0xfffffffe);
  s += 4;
  EXPECT_EQ(s.raw(), 2u);
  EXPECT_EQ((s - 4).raw(), 0xfffffffeu);
}

TEST(SeqNum, WindowWraps) {
  const SeqNum start(0xfffffff0);
  EXPECT_TRUE(InWindow(start, start, 1));
  EXPECT_TRUE(InWindow(SeqNum(0xf), start, 0x20));
  EXPECT_FALSE(InWindow(SeqNum(0x10), start, 0x20));
  EXPECT_FALSE(InWindow(start - 1, start, 0x20));
  EXPECT_FALSE(InWindow(start, start, 0));
}

}  // namespace
}  // namespace luna::tcp
