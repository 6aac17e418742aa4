#include "luna/net/tcp/rate_limiter.h"

#include <set>

#include "gtest/gtest.h"

namespace luna::tcp {
namespace {

Time At(int64_t ms) { return Time::FromNanoseconds(ms * 1000 * 1000); }

uint32_t AllowedIn(SharedRateLimiter& limiter, int64_t second) {
  uint32_t allowed = 0;
  for (int i = 0; i < 4000; ++i) allowed += limiter.Allow(At(second * 1000 + i / 5));
  return allowed;
}

// The budget differs from second to second and from secret to secret, about the mean that was asked for.
TEST(SharedRateLimiter, BudgetIsSecretAboutTheMean) {
  SharedRateLimiter limiter(1000, {1, 2}, 6);
  SharedRateLimiter again(1000, {1, 2}, 6);
  SharedRateLimiter other(1000, {1, 3}, 6);
  std::set<uint32_t> seen;
  uint64_t sum = 0;
  int equal = 0;
  for (int64_t second = 0; second < 200; ++second) {
    const uint32_t allowed = AllowedIn(limiter, second);
    EXPECT_GE(allowed, 500u);
    EXPECT_LE(allowed, 1500u);
    EXPECT_EQ(allowed, AllowedIn(again, second));
    equal += allowed == AllowedIn(other, second);
    seen.insert(allowed);
    sum += allowed;
  }
  EXPECT_GT(seen.size(), 100u);
  EXPECT_LT(equal, 10);
  EXPECT_NEAR(static_cast<double>(sum) / 200, 1000, 80);
}

TEST(SharedRateLimiter, OfNoneAllowsNoneAndOfOneAllowsOne) {
  SharedRateLimiter none(0, {1, 2}, 6);
  SharedRateLimiter one(1, {1, 2}, 6);
  for (int64_t second = 0; second < 50; ++second) {
    EXPECT_EQ(AllowedIn(none, second), 0u);
    EXPECT_EQ(AllowedIn(one, second), 1u);
  }
}

TEST(OwnRateLimiter, CountsEachSecond) {
  OwnRateLimiter limiter;
  for (int64_t second = 5; second < 8; ++second) {
    int allowed = 0;
    for (int i = 0; i < 100; ++i) allowed += limiter.Allow(At(second * 1000 + i), 10);
    EXPECT_EQ(allowed, 10);
  }
}

}  // namespace
}  // namespace luna::tcp
