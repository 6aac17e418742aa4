#include "luna/net/tcp/congestion.h"

#include <cmath>

#include "gtest/gtest.h"

namespace luna::tcp {
namespace {

constexpr uint32_t kMss = 1000;
constexpr Time kNow = Time::FromNanoseconds(1'000'000'000);
constexpr Duration kRtt = Duration::Milliseconds(10);

Congestion Started(uint32_t segments, CongestionAlgorithm algorithm = CongestionAlgorithm::kNewReno,
                   uint32_t mss = kMss) {
  Congestion c(algorithm);
  c.Start(mss, segments);
  return c;
}
void Ack(Congestion& c, uint32_t delivered, Time now = kNow) { c.OnAck(delivered, now, kRtt); }

TEST(Congestion, InitialWindowByRfc6928) {
  const struct {
    uint32_t mss, segments, window;
  } kCases[] = {{1460, 10, 14600}, {536, 10, 5360}, {8960, 10, 17920}, {1460, 1, 1460}, {1460, 3, 4380}};
  for (const auto& c : kCases) {
    EXPECT_EQ(Started(c.segments, CongestionAlgorithm::kNewReno, c.mss).window(), c.window) << c.mss;
  }
}

TEST(Congestion, SlowStartAddsWhatIsDelivered) {
  Congestion c = Started(2);
  Ack(c, kMss);
  EXPECT_EQ(c.window(), 3000u);
  Ack(c, 10 * kMss);  // one ACK for a burst counts for all of it (RFC 3465)
  EXPECT_EQ(c.window(), 13000u);
  Ack(c, 1);  // ACK division gains nothing
  EXPECT_EQ(c.window(), 13001u);
}

TEST(Congestion, SlowStartEndsAtTheThreshold) {
  Congestion c = Started(10);
  c.OnTimeout(20 * kMss, true, 0);
  for (int i = 0; i < 8; ++i) Ack(c, kMss);
  EXPECT_EQ(c.window(), 9000u);
  Ack(c, 3 * kMss);  // one for slow start, two counted in avoidance
  EXPECT_EQ(c.window(), 10000u);
  for (int i = 0; i < 7; ++i) Ack(c, kMss);
  EXPECT_EQ(c.window(), 10000u);
  Ack(c, kMss);
  EXPECT_EQ(c.window(), 11000u);
}

TEST(Congestion, AvoidanceAddsOneSegmentPerWindow) {
  Congestion c = Started(10);
  c.OnCongestion(20 * kMss);
  c.OnRecoveryExit();
  EXPECT_EQ(c.window(), 10000u);
  for (int i = 0; i < 9; ++i) Ack(c, kMss);
  EXPECT_EQ(c.window(), 10000u);
  Ack(c, kMss);
  EXPECT_EQ(c.window(), 11000u);
}

TEST(Congestion, CongestionHalvesTheThresholdAndLeavesTheWindowToPrr) {
  Congestion c = Started(20);
  c.OnCongestion(20 * kMss);
  EXPECT_EQ(c.threshold(), 10000u);
  EXPECT_EQ(c.window(), 20000u);
  c.SetWindow(12000);
  EXPECT_EQ(c.window(), 12000u);
  c.OnRecoveryExit();
  EXPECT_EQ(c.window(), 10000u);
}

TEST(Congestion, ThresholdIsAtLeastTwoSegments) {
  Congestion c = Started(10);
  c.OnCongestion(kMss);
  EXPECT_EQ(c.threshold(), 2000u);
  c.OnTimeout(kMss, true, 0);
  EXPECT_EQ(c.threshold(), 2000u);
}

TEST(Congestion, TimeoutFallsToOneSegmentAndHalvesOnce) {
  Congestion c = Started(10);
  c.OnTimeout(10 * kMss, true, 0);
  EXPECT_EQ(c.window(), kMss);
  EXPECT_EQ(c.threshold(), 5000u);
  c.OnTimeout(kMss, false, 2 * kMss);  // the same segment again, with others in flight
  EXPECT_EQ(c.threshold(), 5000u);
  EXPECT_EQ(c.window(), 3 * kMss);
}

TEST(Congestion, UndoGoesBack) {
  Congestion c = Started(20);
  c.OnTimeout(20 * kMss, true, 0);
  Ack(c, kMss);
  c.Undo();
  EXPECT_EQ(c.window(), 20000u);
  EXPECT_TRUE(c.threshold() == Congestion::kArbitrarilyHigh);
  c.OnCongestion(20 * kMss);
  c.OnRecoveryExit();
  c.OnCongestion(10 * kMss);
  c.SetWindow(3000);
  c.Undo();
  EXPECT_EQ(c.window(), 10000u);
  EXPECT_EQ(c.threshold(), 10000u);
}

TEST(Congestion, IdleRestartsFromTheInitialWindow) {
  Congestion c = Started(10);
  for (int i = 0; i < 50; ++i) Ack(c, kMss);
  c.OnTimeout(60 * kMss, true, 59 * kMss);
  c.OnIdleRestart();
  EXPECT_EQ(c.window(), 10000u);
  EXPECT_EQ(c.threshold(), 45000u);
  c.OnTimeout(kMss, true, 0);
  c.OnIdleRestart();
  EXPECT_EQ(c.window(), kMss);  // never up
}

TEST(Congestion, TheWindowDoesNotWrap) {
  Congestion c = Started(1, CongestionAlgorithm::kNewReno, 1u << 30);
  for (int i = 0; i < 100; ++i) {
    Ack(c, 1u << 30);
    ASSERT_GE(c.window(), 1u << 30);
    ASSERT_LE(c.window(), Congestion::kArbitrarilyHigh);
  }
}

TEST(Congestion, ASmallerSegmentSizeKeepsTheWindow) {
  Congestion c = Started(10);
  c.SetMss(500);
  EXPECT_EQ(c.window(), 10000u);
  c.OnTimeout(1000, true, 0);
  EXPECT_EQ(c.window(), 500u);
  c.SetMss(4000);
  EXPECT_EQ(c.window(), 4000u);
}

// RFC 9438 §4.6: to seven tenths; §4.2: back at the old maximum after K = cbrt(W_max * 0.3 / 0.4) seconds.
TEST(Congestion, CubicReducesAndComesBack) {
  Congestion c = Started(100, CongestionAlgorithm::kCubic);
  c.OnCongestion(100 * kMss);
  EXPECT_EQ(c.threshold(), 70000u);
  c.OnRecoveryExit();
  EXPECT_EQ(c.window(), 70000u);
  const double k = std::cbrt(100 * 0.3 / 0.4);
  // A round trip of 100 ms: Reno is far slower than the curve.
  Time now = kNow;
  uint32_t half_way = 0;
  for (int round = 0; round < static_cast<int>(k * 10); ++round) {
    for (int i = 0; i < 20; ++i) c.OnAck(c.window() / 20, now, Duration::Milliseconds(100));
    now += Duration::Milliseconds(100);
    if (round == static_cast<int>(k * 5)) half_way = c.window();
  }
  EXPECT_GT(half_way, 92000u);  // concave: most of it comes early
  EXPECT_NEAR(c.window(), 100000, 2500);
  const uint32_t at_maximum = c.window();
  for (int round = 0; round < 50; ++round) {
    for (int i = 0; i < 20; ++i) c.OnAck(c.window() / 20, now, Duration::Milliseconds(100));
    now += Duration::Milliseconds(100);
  }
  EXPECT_GT(c.window(), at_maximum + 25000);  // convex beyond: 0.4 * 5^3 segments
}

// §4.3: on a short path the window grows as Reno's would.
TEST(Congestion, CubicIsNeverSlowerThanReno) {
  Congestion c = Started(20, CongestionAlgorithm::kCubic);
  c.OnCongestion(20 * kMss);
  c.OnRecoveryExit();
  Time now = kNow;
  for (int round = 0; round < 100; ++round) {
    for (int i = 0; i < 10; ++i) c.OnAck(c.window() / 10, now, Duration::Microseconds(100));
    now += Duration::Microseconds(100);
  }
  // 14 -> 20 at 9/17 of a segment per round trip, then at one.
  EXPECT_NEAR(c.window(), 20000 + 1000 * (100 - 6 * 17 / 9), 6000);
}

// §4.7: a second loss below the first one's maximum.
TEST(Congestion, CubicFastConvergence) {
  Congestion c = Started(100, CongestionAlgorithm::kCubic);
  c.OnCongestion(100 * kMss);
  c.OnRecoveryExit();
  c.OnCongestion(70 * kMss);
  EXPECT_EQ(c.threshold(), 49000u);
  c.OnRecoveryExit();
  // The maximum to come back to is 70 * 0.85, three seconds from now; else it would be 70 and 3.7 seconds. Long round
  // trips keep Reno out of it.
  Time now = kNow;
  for (int round = 0; round < 6; ++round) {
    for (int i = 0; i < 20; ++i) c.OnAck(c.window() / 20, now, Duration::Milliseconds(500));
    now += Duration::Milliseconds(500);
  }
  EXPECT_NEAR(c.window(), 59500, 3500);
}

}  // namespace
}  // namespace luna::tcp
