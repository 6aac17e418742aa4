#include "luna/net/tcp/rtt.h"

#include "gtest/gtest.h"
#include "luna/net/tcp/config.h"

namespace luna::tcp {
namespace {

constexpr Duration Us(int64_t n) { return Duration::Microseconds(n); }

StackConfig Limits(Duration min = Us(1), Duration max = Duration::Seconds(60)) {
  StackConfig config;
  config.rto_initial = Duration::Seconds(1);
  config.rto_min = min;
  config.rto_max = max;
  return config;
}

TEST(Rtt, BeginsWithTheInitialTimeout) {
  const StackConfig config = Limits();
  const RttEstimator rtt(config);
  EXPECT_FALSE(rtt.has_sample());
  EXPECT_EQ(rtt.rto(), Duration::Seconds(1));
}

// RFC 6298 §2.2 and §2.3, calculated by hand.
TEST(Rtt, FollowsTheFormulas) {
  const StackConfig config = Limits();
  RttEstimator rtt(config);
  rtt.Sample(Us(800));
  EXPECT_EQ(rtt.srtt(), Us(800));
  EXPECT_EQ(rtt.rttvar(), Us(400));
  EXPECT_EQ(rtt.rto(), Us(800 + 1600));
  rtt.Sample(Us(1600));
  EXPECT_EQ(rtt.rttvar(), Us(400 * 3 / 4 + 800 / 4));  // with the old SRTT
  EXPECT_EQ(rtt.srtt(), Us(900));
  EXPECT_EQ(rtt.rto(), Us(900 + 4 * 500));
  rtt.Sample(Us(100));
  EXPECT_EQ(rtt.rttvar(), Us(500 * 3 / 4 + 800 / 4));
  EXPECT_EQ(rtt.srtt(), Us(800));
}

TEST(Rtt, TheMinimumIsThatOfTheLastMinutes) {
  const StackConfig config = Limits();
  RttEstimator rtt(config);
  const Time start = Time::FromNanoseconds(1);
  EXPECT_EQ(rtt.min_rtt(), Duration::Zero());
  rtt.SampleMin(Us(100), start);
  rtt.SampleMin(Us(800), start + Duration::Seconds(1));
  EXPECT_EQ(rtt.min_rtt(), Us(100));
  rtt.SampleMin(Us(700), start + Duration::Seconds(301));  // the path is longer now …
  EXPECT_EQ(rtt.min_rtt(), Us(100));                       // … perhaps
  rtt.SampleMin(Us(800), start + Duration::Seconds(602));
  EXPECT_EQ(rtt.min_rtt(), Us(700));
  rtt.SampleMin(Duration::Seconds(-5), start + Duration::Seconds(603));  // a clock that went back
  EXPECT_EQ(rtt.min_rtt(), Duration::Zero());
}

// Linux's reading of the lower bound.
TEST(Rtt, TheLowerBoundMayBeAMargin) {
  StackConfig config = Limits(Duration::Milliseconds(200));
  config.rto_min_is_margin = true;
  RttEstimator rtt(config);
  for (int i = 0; i < 100; ++i) rtt.Sample(Duration::Milliseconds(100));
  EXPECT_EQ(rtt.rto(), Duration::Milliseconds(300));
}

TEST(Rtt, SteadyPathsKeepAGranuleOfVariance) {
  const StackConfig config = Limits();
  RttEstimator rtt(config);
  for (int i = 0; i < 200; ++i) rtt.Sample(Us(1000));
  EXPECT_EQ(rtt.srtt(), Us(1000));
  EXPECT_EQ(rtt.rto(), Us(1001));
}

TEST(Rtt, StaysWithinItsLimits) {
  const StackConfig config = Limits(Duration::Milliseconds(4), Duration::Seconds(1));
  RttEstimator rtt(config);
  rtt.Sample(Us(50));
  EXPECT_EQ(rtt.rto(), Duration::Milliseconds(4));
  rtt.Sample(Duration::Seconds(30));
  EXPECT_EQ(rtt.rto(), Duration::Seconds(1));
  rtt.Sample(Duration::Seconds(-5));  // a clock that went back
  EXPECT_GT(rtt.srtt(), Duration::Zero());
}

// RFC 6298 §5.5 to §5.7: doubled by each time-out, up to the limit, and until the next sample.
TEST(Rtt, BacksOffUntilASampleComes) {
  const StackConfig config = Limits(Duration::Milliseconds(4), Duration::Milliseconds(100));
  RttEstimator rtt(config);
  rtt.Sample(Us(100));
  const int64_t kExpected[] = {8, 16, 32, 64, 100, 100};
  for (const int64_t ms : kExpected) {
    rtt.BackOff();
    EXPECT_EQ(rtt.rto(), Duration::Milliseconds(ms));
  }
  for (int i = 0; i < 100; ++i) rtt.BackOff();
  EXPECT_EQ(rtt.rto(), Duration::Milliseconds(100));
  rtt.Sample(Us(100));
  EXPECT_EQ(rtt.backoff(), 0u);
  EXPECT_EQ(rtt.rto(), Duration::Milliseconds(4));
}

}  // namespace
}  // namespace luna::tcp
