#include "luna/net/tcp/receive_tuner.h"

#include <algorithm>

#include "gtest/gtest.h"

namespace luna::tcp {
namespace {

constexpr Duration kRtt = Duration::Milliseconds(10);
constexpr uint32_t kMss = 1000;

class ReceiveTunerTest : public ::testing::Test {
 protected:
  void Start(uint32_t buffer, uint32_t limit, Duration rtt = kRtt) {
    buffer_ = buffer;
    tuner_.Start(buffer, limit, kMss, 10 * kMss, nxt_ + buffer, rtt, now_);
  }
  bool Arrive(Duration echo = Duration::Zero()) {
    if (tuner_.IsWindowOver(nxt_)) tuner_.OnWindow(nxt_ + buffer_, echo, now_);
    return tuner_.IsRoundOver(now_);
  }
  // Octets arrive and are read.
  bool Data(uint32_t bytes, Duration echo = Duration::Zero()) {
    nxt_ += bytes;
    tuner_.OnRead(bytes);
    return Arrive(echo);
  }
  // `bytes` in one round trip; the size afterwards.
  uint32_t Round(uint32_t bytes) {
    for (int i = 0; i < 10; ++i) {
      now_ += kRtt / 10;
      if (Data(bytes / 10)) buffer_ = tuner_.NewSize(now_);
    }
    return buffer_;
  }

  ReceiveTuner tuner_;
  SeqNum nxt_{0xfffff000};
  Time now_ = Time::FromNanoseconds(1000 * 1000 * 1000);
  uint32_t buffer_ = 0;
};

// A sender that doubles each round trip never meets the window, up to the limit.
TEST_F(ReceiveTunerTest, KeepsAheadOfSlowStart) {
  Start(64 << 10, 8 << 20);
  uint32_t flight = 10 * kMss;
  for (int round = 0; round < 12; ++round) {
    ASSERT_GE(buffer_, std::min(flight, 8u << 20)) << round;
    Round(std::min(flight, buffer_));
    flight *= 2;
  }
  EXPECT_EQ(buffer_, 8u << 20);
}

TEST_F(ReceiveTunerTest, DoesNotGrowForASteadyTrickle) {
  Start(64 << 10, 8 << 20);
  for (int round = 0; round < 1000; ++round) Round(5 * kMss);
  EXPECT_EQ(buffer_, 64u << 10);
}

// Octets that nobody reads do not justify more memory.
TEST_F(ReceiveTunerTest, CountsWhatIsRead) {
  Start(64 << 10, 8 << 20);
  for (int round = 0; round < 10; ++round) {
    now_ += kRtt;
    nxt_ += 60000;
    if (Arrive()) buffer_ = tuner_.NewSize(now_);
  }
  EXPECT_EQ(buffer_, 64u << 10);
}

TEST_F(ReceiveTunerTest, NeverShrinks) {
  Start(64 << 10, 8 << 20);
  Round(60000);
  Round(60000);
  const uint32_t grown = buffer_;
  EXPECT_GT(grown, 64u << 10);
  for (int i = 0; i < 10; ++i) Round(100);
  EXPECT_EQ(buffer_, grown);
}

TEST_F(ReceiveTunerTest, OffWhenThereIsNoRoomOrTheApplicationChose) {
  Start(64 << 10, 64 << 10);
  EXPECT_FALSE(tuner_.on());
  now_ += kRtt * 2;
  EXPECT_FALSE(Data(60000));
  Start(64 << 10, 1 << 20);
  tuner_.Stop();
  now_ += kRtt * 2;
  EXPECT_FALSE(Data(60000));
}

// Without a measured round trip, the time of a window bounds it; it is only ever corrected downwards.
TEST_F(ReceiveTunerTest, TheTimeOfAWindowBoundsTheRoundTrip) {
  Start(10000, 1 << 20, Duration::Zero());
  now_ += Duration::Milliseconds(5);
  EXPECT_FALSE(Data(10000));
  EXPECT_EQ(tuner_.rtt(), Duration::Zero());
  Data(1);
  EXPECT_EQ(tuner_.rtt(), Duration::Milliseconds(5));
  now_ += Duration::Milliseconds(3);
  Data(10001);
  EXPECT_EQ(tuner_.rtt(), Duration::Milliseconds(3));
  now_ += Duration::Milliseconds(30);
  Data(10001);
  EXPECT_EQ(tuner_.rtt(), Duration::Milliseconds(3));
}

// The echo of a timestamp also tells that the path has become longer.
TEST_F(ReceiveTunerTest, EchoesCorrectInBothDirections) {
  Start(10000, 1 << 20, kRtt);
  for (int i = 0; i < 100; ++i) {
    now_ += Duration::Milliseconds(50);
    Data(10001, Duration::Milliseconds(50));
  }
  EXPECT_GT(tuner_.rtt(), Duration::Milliseconds(45));
}

}  // namespace
}  // namespace luna::tcp
