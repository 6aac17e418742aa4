#include "luna/net/pmd/seeded_draws.h"

#include <array>
#include <cmath>
#include <set>

#include "gtest/gtest.h"

namespace luna::pmd {
namespace {

TEST(SeededDrawsTest, ADrawDependsOnSeedIndexAndPurpose) {
  std::set<uint64_t> seen;
  for (uint64_t seed : {0, 1, 2}) {
    for (uint64_t index = 0; index < 100; ++index) {
      for (uint64_t purpose = 0; purpose < 6; ++purpose) seen.insert(SeededDraws(seed).Bits(index, purpose));
    }
  }
  EXPECT_EQ(seen.size(), 3u * 100 * 6);
  EXPECT_EQ(SeededDraws(7).Bits(8, 9), SeededDraws(7).Bits(8, 9));
}

// Recorded traces stay valid only while the function does: a change must be deliberate.
TEST(SeededDrawsTest, TheFunctionIsStable) {
  EXPECT_EQ(SeededDraws(1).Bits(0, 0), 0xa385ef24fa6a992u);
  EXPECT_EQ(SeededDraws(1).Bits(17, 3), 0xae0eaf039ab5bd6du);
}

TEST(SeededDrawsTest, ChanceAtItsEdges) {
  const SeededDraws draws(3);
  for (uint64_t i = 0; i < 1000; ++i) {
    EXPECT_FALSE(draws.Chance(0, i, 0));
    EXPECT_FALSE(draws.Chance(-1, i, 0));
    EXPECT_FALSE(draws.Chance(std::nan(""), i, 0));
    EXPECT_TRUE(draws.Chance(1, i, 0));
    EXPECT_TRUE(draws.Chance(2, i, 0));
  }
}

TEST(SeededDrawsTest, ChanceHasItsRateAndPurposesAreIndependent) {
  const SeededDraws draws(4);
  constexpr int kDraws = 100'000;
  int first = 0;
  int both = 0;
  for (uint64_t i = 0; i < kDraws; ++i) {
    const bool a = draws.Chance(0.3, i, 0);
    const bool b = draws.Chance(0.3, i, 1);
    first += a;
    both += a && b;
  }
  EXPECT_NEAR(first, 30'000, 5 * std::sqrt(kDraws * 0.3 * 0.7));
  EXPECT_NEAR(both, 9'000, 5 * std::sqrt(kDraws * 0.09 * 0.91));
}

TEST(SeededDrawsTest, BelowIsUniformAndInRange) {
  const SeededDraws draws(5);
  std::array<int, 10> counts{};
  for (uint64_t i = 0; i < 100'000; ++i) {
    const uint64_t n = draws.Below(10, i, 0);
    ASSERT_LT(n, 10u);
    ++counts[n];
  }
  for (int count : counts) EXPECT_NEAR(count, 10'000, 5 * std::sqrt(100'000 * 0.1 * 0.9));
  EXPECT_EQ(draws.Below(0, 1, 2), 0u);
  EXPECT_EQ(draws.Below(1, 1, 2), 0u);
}

}  // namespace
}  // namespace luna::pmd
