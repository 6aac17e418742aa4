#include "luna/net/tcp/ack_policy.h"

#include "gtest/gtest.h"

namespace luna::tcp {
namespace {

constexpr uint32_t kMss = 1460;
constexpr Duration kDelay = Duration::Milliseconds(40);
constexpr Duration kRto = Duration::Milliseconds(200);

class AckPolicyTest : public ::testing::Test {
 protected:
  AckPolicyTest() {
    config_.delayed_ack = kDelay;
    config_.ack_every_segments = 2;
    config_.quick_acks = 0;
    config_.ack_on_read = false;
    config_.ack_small_segments = false;
    config_.rto_initial = kRto;
    rtt_ = RttEstimator(config_);
  }
  void Start() { acks_.Start(kMss, config_); }
  // True when an acknowledgement is due; then it is sent.
  bool Receive(uint32_t bytes, bool push = false) {
    acks_.OnInOrder(bytes, bytes, push, rtt_, config_, now_);
    const bool due = acks_.due();
    if (due) acks_.OnSent();
    return due;
  }
  void Pass(Duration duration) { now_ += duration; }
  bool Read(bool all = true) { return acks_.OnRead(all, config_); }

  StackConfig config_;
  RttEstimator rtt_{config_};
  AckPolicy acks_;
  Time now_ = Time::FromNanoseconds(int64_t{100} * 1000 * 1000 * 1000);
};

TEST_F(AckPolicyTest, EverySecondFullSegment) {
  Start();
  for (int i = 0; i < 6; ++i) EXPECT_EQ(Receive(kMss), i % 2 == 1) << i;
}

// What "full-sized" is, is seen from what comes: a peer with a smaller MSS is acknowledged as often.
TEST_F(AckPolicyTest, FullSizeIsThePeers) {
  Start();
  for (int i = 0; i < 6; ++i) EXPECT_EQ(Receive(1000), i % 2 == 1) << i;
  EXPECT_EQ(acks_.segment_bytes(), 1000u);
  EXPECT_TRUE(Receive(64000)) << "segments that were joined on the way";
  EXPECT_EQ(acks_.segment_bytes(), kMss);
}

TEST_F(AckPolicyTest, SmallSegmentsWaitUnlessTheyCount) {
  Start();
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(Receive(100));
  acks_.OnSent();
  config_.ack_small_segments = true;
  for (int i = 0; i < 6; ++i) EXPECT_EQ(Receive(100), i % 2 == 1) << i;
}

TEST_F(AckPolicyTest, TheDelayCountsFromTheOldestOctet) {
  Start();
  EXPECT_TRUE(acks_.deadline().is_infinite());
  Receive(10);
  const Time deadline = now_ + kDelay;
  Pass(kDelay / 2);
  Receive(10);
  EXPECT_EQ(acks_.deadline(), deadline);
  acks_.OnDeadline();
  EXPECT_TRUE(acks_.due());
  acks_.OnSent();
  EXPECT_FALSE(acks_.due());
  EXPECT_TRUE(acks_.deadline().is_infinite());
}

TEST_F(AckPolicyTest, NoDelay) {
  config_.delayed_ack = Duration::Zero();
  Start();
  EXPECT_TRUE(Receive(1));
}

TEST_F(AckPolicyTest, QuickAtTheStartAndAfterAPause) {
  config_.quick_acks = 3;
  Start();
  for (int i = 0; i < 6; ++i) EXPECT_EQ(Receive(10), i < 3) << i;
  acks_.OnSent();
  Pass(kRto);
  EXPECT_FALSE(Receive(10));
  acks_.OnSent();
  Pass(kRto + Duration::Milliseconds(1));
  EXPECT_TRUE(Receive(10));
}

TEST_F(AckPolicyTest, QuickAcksAreSpentByNewDataOnly) {
  config_.quick_acks = 1;
  Start();
  acks_.OnSent();  // says nothing new
  EXPECT_TRUE(Receive(10));
  EXPECT_FALSE(Receive(10));
}

// An answer makes quick acknowledgements superfluous; a delay that runs out without one brings them back.
TEST_F(AckPolicyTest, AConversationNeedsNoQuickAcks) {
  config_.quick_acks = 5;
  Start();
  EXPECT_TRUE(Receive(10));
  Pass(kDelay / 2);
  acks_.OnDataSent(config_, now_);
  acks_.OnSent();
  EXPECT_FALSE(Receive(10));
  acks_.OnDeadline();
  acks_.OnSent();
  EXPECT_TRUE(Receive(10));
  Pass(kDelay);
  acks_.OnDataSent(config_, now_);
  EXPECT_TRUE(Receive(10)) << "too late to be an answer";
}

TEST_F(AckPolicyTest, OnReading) {
  Start();
  Receive(10, true);
  EXPECT_FALSE(Read());
  config_.ack_on_read = true;
  EXPECT_FALSE(Read(false)) << "more is there to be read";
  EXPECT_TRUE(Read());
  acks_.OnSent();
  EXPECT_FALSE(Read()) << "nothing new";
  Receive(kMss);
  EXPECT_FALSE(Read()) << "more is probably coming";
  acks_.OnSent();
  Receive(kMss, true);
  EXPECT_TRUE(Read());
  acks_.OnDataSent(config_, now_);
  acks_.OnSent();
  Receive(10, true);
  EXPECT_FALSE(Read()) << "an answer will come";
}

TEST_F(AckPolicyTest, TheKnob) {
  config_.quick_acks = 2;
  Start();
  EXPECT_FALSE(acks_.SetQuick(false, config_));
  EXPECT_FALSE(acks_.quick());
  EXPECT_FALSE(Receive(10));
  EXPECT_TRUE(acks_.SetQuick(true, config_)) << "what waits leaves";
  acks_.OnSent();
  EXPECT_TRUE(Receive(10));
  EXPECT_FALSE(Receive(10));
}

TEST_F(AckPolicyTest, AFinWaitsOnlyBehindData) {
  config_.delay_fin_ack = true;
  Start();
  acks_.OnFin(config_, now_);
  EXPECT_TRUE(acks_.due()) << "a peer that sent nothing";
  acks_.OnSent();
  EXPECT_FALSE(Receive(100));
  Pass(Duration::Milliseconds(10));
  acks_.OnFin(config_, now_);
  EXPECT_FALSE(acks_.due());
  EXPECT_EQ(acks_.deadline(), now_ + Duration::Milliseconds(30)) << "of the oldest octet";
  config_.delay_fin_ack = false;
  acks_.OnFin(config_, now_);
  EXPECT_TRUE(acks_.due());
}

TEST_F(AckPolicyTest, TroubleMakesItQuick) {
  config_.quick_acks = 2;
  Start();
  acks_.SetQuick(false, config_);
  acks_.OnTrouble(config_);
  EXPECT_TRUE(acks_.due());
  acks_.OnSent();
  EXPECT_TRUE(Receive(10));
}

TEST_F(AckPolicyTest, OneDuplicateForEachSegmentAheadOfAHole) {
  Start();
  for (int i = 0; i < 3; ++i) acks_.OnOutOfOrder();
  EXPECT_EQ(acks_.duplicates_owed(), 3);
  acks_.OnDuplicateSent();
  EXPECT_EQ(acks_.duplicates_owed(), 2);
  Receive(10);
  EXPECT_EQ(acks_.duplicates_owed(), 0) << "RCV.NXT has moved: no duplicates any more";
}

}  // namespace
}  // namespace luna::tcp
