#include "luna/net/tcp/new_reno.h"

#include "gtest/gtest.h"

namespace luna::tcp {
namespace {

constexpr uint32_t kMss = 1000;

TEST(NewReno, InitialWindowByRfc6928) {
  const struct {
    uint32_t mss, segments, window;
  } kCases[] = {{1460, 10, 14600}, {536, 10, 5360}, {8960, 10, 17920}, {1460, 1, 1460}, {1460, 3, 4380}};
  for (const auto& c : kCases) EXPECT_EQ(NewReno(c.mss, c.segments).window(), c.window) << c.mss;
}

TEST(NewReno, SlowStartAddsWhatIsAcknowledged) {
  NewReno reno(kMss, 2);
  reno.OnAck(kMss);
  EXPECT_EQ(reno.window(), 3000u);
  reno.OnAck(10 * kMss);  // one ACK for a burst counts for all of it (RFC 3465)
  EXPECT_EQ(reno.window(), 13000u);
  reno.OnAck(1);  // ACK division gains nothing
  EXPECT_EQ(reno.window(), 13001u);
}

TEST(NewReno, SlowStartAfterATimeoutAddsAtMostOneSegmentPerAck) {
  NewReno reno(kMss, 10);
  reno.OnTimeout(20 * kMss, true);
  reno.OnAck(10 * kMss);
  EXPECT_EQ(reno.window(), 2000u);
  while (reno.window() < reno.threshold()) reno.OnAck(kMss);
  const uint32_t at_threshold = reno.window();
  reno.OnAck(at_threshold);
  EXPECT_EQ(reno.window(), at_threshold + kMss);  // avoidance
}

TEST(NewReno, AvoidanceAddsOneSegmentPerWindow) {
  NewReno reno(kMss, 10);
  reno.OnTimeout(20 * kMss, true);  // threshold 10 segments
  while (reno.window() < reno.threshold()) reno.OnAck(kMss);
  EXPECT_EQ(reno.window(), 10000u);
  for (int i = 0; i < 9; ++i) reno.OnAck(kMss);
  EXPECT_EQ(reno.window(), 10000u);
  reno.OnAck(kMss);
  EXPECT_EQ(reno.window(), 11000u);
}

TEST(NewReno, FastRetransmitHalvesAndInflates) {
  NewReno reno(kMss, 20);
  reno.OnFastRetransmit(20 * kMss);
  EXPECT_EQ(reno.threshold(), 10000u);
  EXPECT_EQ(reno.window(), 13000u);
  reno.OnDuplicateAck();
  EXPECT_EQ(reno.window(), 14000u);
  reno.OnPartialAck(5000);
  EXPECT_EQ(reno.window(), 10000u);  // 14 - 5 + 1
  reno.OnPartialAck(50);             // less than a segment: nothing is added back
  EXPECT_EQ(reno.window(), 9950u);
  reno.OnRecoveryExit(20000);
  EXPECT_EQ(reno.window(), 10000u);
  reno.OnRecoveryExit(1500);  // little in flight: no burst
  EXPECT_EQ(reno.window(), 2500u);
}

TEST(NewReno, ThresholdIsAtLeastTwoSegments) {
  NewReno reno(kMss, 10);
  reno.OnFastRetransmit(kMss);
  EXPECT_EQ(reno.threshold(), 2000u);
  reno.OnTimeout(kMss, true);
  EXPECT_EQ(reno.threshold(), 2000u);
}

TEST(NewReno, TimeoutFallsToOneSegmentAndHalvesOnce) {
  NewReno reno(kMss, 10);
  reno.OnTimeout(10 * kMss, true);
  EXPECT_EQ(reno.window(), kMss);
  EXPECT_EQ(reno.threshold(), 5000u);
  reno.OnTimeout(kMss, false);  // the same segment again
  EXPECT_EQ(reno.threshold(), 5000u);
}

TEST(NewReno, IdleRestartsFromTheInitialWindow) {
  NewReno reno(kMss, 10);
  for (int i = 0; i < 50; ++i) reno.OnAck(kMss);
  reno.OnIdleRestart();
  EXPECT_EQ(reno.window(), 10000u);
  reno.OnTimeout(kMss, true);
  reno.OnIdleRestart();
  EXPECT_EQ(reno.window(), kMss);  // never up
}

TEST(NewReno, EndlessDuplicatesDoNotWrapTheWindow) {
  NewReno reno(1u << 30, 1);
  reno.OnFastRetransmit(0);
  for (int i = 0; i < 100; ++i) {
    reno.OnDuplicateAck();
    ASSERT_GE(reno.window(), 1u << 30);
  }
}

}  // namespace
}  // namespace luna::tcp
