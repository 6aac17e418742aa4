#include "luna/net/tcp/sender.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "luna/mem/zbuf/testing/test_slab.h"

namespace luna::tcp {
namespace {

constexpr uint32_t kMss = 100;
constexpr SeqNum kIss(0xffffff00);  // wraps after 255 octets

class SenderTest : public ::testing::Test {
 protected:
  void Start(uint32_t window = 10000, uint32_t initial_segments = 10, bool nagle = false) {
    config_.initial_window_segments = initial_segments;
    config_.nagle = nagle;
    sender_.emplace(config_);
    sender_->StartSyn(kIss);
    sender_->Establish(kMss, 0);
    sender_->SetWindow(window, kPeer, kIss + 1);
  }
  void Queue(uint32_t bytes) { sender_->Queue(memory_.Chain(std::string(bytes, 'x'))); }
  static std::string Text(const std::optional<Sender::Plan>& plan) {
    if (!plan) return "-";
    return absl::StrCat(plan->seq - kIss, "+", plan->bytes, plan->fin ? "F" : "", plan->push ? "P" : "",
                        plan->retransmit ? "R" : "");
  }
  std::string Next() { return Text(sender_->Next()); }
  // Sends all that may be sent.
  std::string SendAll() {
    std::string text;
    while (const auto plan = sender_->Next()) {
      absl::StrAppend(&text, text.empty() ? "" : " ", Text(plan));
      sender_->OnSent(*plan, now_);
    }
    return text.empty() ? "-" : text;
  }
  Sender::Ack Ack(uint32_t ack, uint32_t window = 10000, bool has_data = false) {
    return Ack({.ack = kIss + ack, .seq = kPeer, .window = window, .has_data = has_data});
  }
  Sender::Ack Ack(Sender::AckInput input) {
    input.arrived = input.now = now_;
    return sender_->OnAck(input);
  }

  static constexpr SeqNum kPeer{500};
  zbuf::TestSlab memory_;
  StackConfig config_;
  Time now_ = Time::FromNanoseconds(1000000000);
  std::optional<Sender> sender_;
};

TEST_F(SenderTest, CutsAtTheSegmentSizeAndPushesTheLast) {
  Start();
  EXPECT_EQ(Next(), "-");
  Queue(250);
  EXPECT_EQ(SendAll(), "1+100 101+100 201+50P");
  EXPECT_EQ(sender_->flight(), 250u);
  EXPECT_EQ(Ack(251), Sender::Ack::kNew);
  EXPECT_EQ(sender_->flight(), 0u);
  EXPECT_TRUE(sender_->queue().empty());
}

// A planted bug had survived here: the time in the device's ring and in a slow loop is not the path's.
TEST_F(SenderTest, RoundTripsEndWhenTheDeviceTookTheAcknowledgement) {
  for (const bool predicted : {false, true}) {
    Start();
    Queue(100);
    SendAll();
    const Time arrived = now_ + Duration::Milliseconds(3);
    now_ = arrived + Duration::Milliseconds(40);
    if (predicted) {
      ASSERT_TRUE(sender_->IsQuiet());
      sender_->OnNewAck(kIss + 101, arrived, now_);
    } else {
      EXPECT_EQ(sender_->OnAck({.ack = kIss + 101, .seq = kPeer, .window = 10000, .arrived = arrived, .now = now_}),
                Sender::Ack::kNew);
    }
    EXPECT_EQ(sender_->rtt().srtt(), Duration::Milliseconds(3)) << predicted;
  }
}

TEST_F(SenderTest, StaysWithinTheWindows) {
  Start(250, 10);
  Queue(1000);
  EXPECT_EQ(SendAll(), "1+100 101+100");  // 50 more would be silly
  EXPECT_EQ(Ack(101, 250), Sender::Ack::kNew);
  EXPECT_EQ(SendAll(), "201+100");
  Start(10000, 3);
  Queue(1000);
  EXPECT_EQ(SendAll(), "1+100 101+100 201+100");  // the congestion window
}

TEST_F(SenderTest, TheFinFollowsTheLastOctet) {
  Start();
  Queue(100);
  sender_->QueueFin();
  EXPECT_EQ(SendAll(), "1+100FP");
  EXPECT_EQ(Ack(101), Sender::Ack::kNew);
  EXPECT_FALSE(sender_->FinAcknowledged());
  EXPECT_EQ(Ack(102), Sender::Ack::kNew);
  EXPECT_TRUE(sender_->FinAcknowledged());
  EXPECT_EQ(Next(), "-");
}

TEST_F(SenderTest, AFinWaitsForTheWindow) {
  Start(100);
  Queue(100);
  sender_->QueueFin();
  EXPECT_EQ(SendAll(), "1+100P");
  Ack(101, 0);
  EXPECT_EQ(Next(), "-");
  EXPECT_TRUE(sender_->NeedsProbe());
  EXPECT_EQ(Text(sender_->Probe()), "101+0F");
}

TEST_F(SenderTest, ALostFinIsSentAgain) {
  Start();
  sender_->QueueFin();
  EXPECT_EQ(SendAll(), "1+0F");
  EXPECT_EQ(Next(), "-");
  sender_->OnTimeout(now_);
  EXPECT_EQ(SendAll(), "1+0FR");
  Queue(0);
  EXPECT_EQ(Ack(2), Sender::Ack::kNew);
  EXPECT_TRUE(sender_->FinAcknowledged());
}

TEST_F(SenderTest, NagleHoldsBackSmallSegments) {
  Start(10000, 10, true);
  Queue(30);
  EXPECT_EQ(SendAll(), "1+30P");  // nothing in flight
  Queue(30);
  EXPECT_EQ(SendAll(), "-");
  Queue(80);
  EXPECT_EQ(SendAll(), "31+100");
  EXPECT_EQ(Ack(131), Sender::Ack::kNew);
  EXPECT_EQ(SendAll(), "131+10P");
}

TEST_F(SenderTest, KindsOfAcknowledgement) {
  Start();
  Queue(500);
  SendAll();
  EXPECT_EQ(Ack(502), Sender::Ack::kUnsent);
  EXPECT_EQ(Ack(101), Sender::Ack::kNew);
  EXPECT_EQ(Ack(100), Sender::Ack::kOld);
  EXPECT_EQ(Ack({.ack = kIss + 101 - 20000, .seq = kPeer, .window = 10000, .has_data = false}), Sender::Ack::kAncient);
  EXPECT_EQ(Ack(101, 10000, true), Sender::Ack::kNothing);  // with data it is no duplicate
  EXPECT_EQ(Ack(101, 9000), Sender::Ack::kNothing);         // nor with another window
  EXPECT_EQ(Ack(101, 9000), Sender::Ack::kDuplicate);
  EXPECT_EQ(Ack(501, 9000), Sender::Ack::kNew);
  EXPECT_EQ(Ack(501, 9000), Sender::Ack::kNothing);  // nothing is in flight
}

TEST_F(SenderTest, OnlyNewSegmentsMoveTheWindow) {
  Start();
  Queue(1000);
  SendAll();
  Ack({.ack = kIss + 101, .seq = kPeer + 10, .window = 500, .has_data = true});
  EXPECT_EQ(sender_->window(), 500u);
  Ack({.ack = kIss + 101, .seq = kPeer + 5, .window = 9000, .has_data = true});  // an older segment, late
  EXPECT_EQ(sender_->window(), 500u);
  Ack({.ack = kIss + 201, .seq = kPeer + 5, .window = 9000, .has_data = true});  // which acknowledges: the edge stays
  EXPECT_EQ(sender_->window(), 400u);
  Ack({.ack = kIss + 201, .seq = kPeer + 10, .window = 700, .has_data = false});
  EXPECT_EQ(sender_->window(), 700u);
}

TEST_F(SenderTest, ThirdDuplicateRetransmitsOnce) {
  Start();
  Queue(1000);
  SendAll();
  EXPECT_EQ(Ack(1), Sender::Ack::kDuplicate);
  EXPECT_EQ(Ack(1), Sender::Ack::kDuplicate);
  EXPECT_FALSE(sender_->in_recovery());
  EXPECT_EQ(Next(), "-");
  EXPECT_EQ(Ack(1), Sender::Ack::kDuplicate);
  EXPECT_TRUE(sender_->in_recovery());
  EXPECT_EQ(SendAll(), "1+100R");
  EXPECT_EQ(sender_->congestion().threshold(), 500u);
  EXPECT_EQ(Ack(1), Sender::Ack::kDuplicate);
  EXPECT_EQ(Next(), "-");
}

// RFC 3042: the first two duplicates let one new segment out each.
TEST_F(SenderTest, LimitedTransmit) {
  Start(10000, 4);
  Queue(1000);
  EXPECT_EQ(SendAll(), "1+100 101+100 201+100 301+100");
  Ack(1);
  EXPECT_EQ(SendAll(), "401+100");
  Ack(1);
  EXPECT_EQ(SendAll(), "501+100");
  Ack(1);
  EXPECT_EQ(SendAll(), "1+100R");
}

// RFC 6582: each partial acknowledgement retransmits the next hole; the full one ends recovery.
TEST_F(SenderTest, PartialAcknowledgements) {
  Start(10000, 8);
  Queue(800);
  SendAll();
  for (int i = 0; i < 3; ++i) Ack(1);
  EXPECT_EQ(SendAll(), "1+100R");
  EXPECT_EQ(Ack(301), Sender::Ack::kNew);
  EXPECT_TRUE(sender_->in_recovery());
  EXPECT_EQ(Next(), "301+100R");
  SendAll();
  EXPECT_EQ(Ack(801), Sender::Ack::kNew);
  EXPECT_FALSE(sender_->in_recovery());
  EXPECT_LE(sender_->congestion().window(), 400u);
}

// RFC 6582 §3.2: duplicates of what a time-out has repaired start no fast retransmit.
TEST_F(SenderTest, NoFastRetransmitRightAfterATimeout) {
  Start();
  Queue(500);
  SendAll();
  EXPECT_EQ(sender_->OnTimeout(now_), 1u);
  EXPECT_EQ(SendAll(), "1+100R");
  for (int i = 0; i < 4; ++i) Ack(1);
  EXPECT_FALSE(sender_->in_recovery());
}

// The retransmission must not take along octets that were never sent: the window may not reach so far.
TEST_F(SenderTest, ARetransmissionHoldsOnlyWhatWasSent) {
  Start(300, 10);
  for (int i = 0; i < 3; ++i) {
    Queue(10);
    SendAll();
  }
  Queue(400);
  ASSERT_EQ(SendAll(), "31+100 131+100");
  Ack(201, 30);  // in the middle of a segment; and the edge is at 231
  Ack(201, 30);
  Ack(201, 30);
  Ack(201, 30);
  ASSERT_TRUE(sender_->in_recovery());
  EXPECT_EQ(Next(), "201+30R");
}

TEST_F(SenderTest, ATimeoutGoesBackToTheFirstUnacknowledged) {
  Start();
  Queue(500);
  SendAll();
  Ack(101);
  const Duration rto = sender_->rtt().rto();
  EXPECT_EQ(sender_->OnTimeout(now_), 1u);
  EXPECT_EQ(sender_->rtt().rto(), rto * 2);
  EXPECT_EQ(sender_->congestion().window(), kMss);
  EXPECT_EQ(SendAll(), "101+100R");
  EXPECT_EQ(sender_->OnTimeout(now_), 2u);
  EXPECT_EQ(SendAll(), "101+100R");
  EXPECT_EQ(Ack(501), Sender::Ack::kNew);  // the others had arrived
  EXPECT_EQ(sender_->timeouts(), 0u);
  EXPECT_EQ(sender_->flight(), 0u);
  EXPECT_EQ(Next(), "-");
}

TEST_F(SenderTest, AcknowledgementsBearTheHighestNumber) {
  Start(1000);
  Queue(300);
  SendAll();
  sender_->OnTimeout(now_);
  EXPECT_EQ(sender_->nxt(), kIss + 301);
  EXPECT_EQ(sender_->AckSequence(), kIss + 301);
  Ack(301, 0);
  Queue(1);
  sender_->OnProbeSent(*sender_->Probe(), now_);
  EXPECT_EQ(sender_->AckSequence(), kIss + 301);  // the probe is beyond the edge
}

// Karn: no measurement over a retransmission, and the back-off stays until one succeeds.
TEST_F(SenderTest, KarnsRule) {
  Start();
  Queue(100);
  SendAll();
  sender_->OnTimeout(now_);
  SendAll();
  const Duration backed_off = sender_->rtt().rto();
  now_ += Duration::Milliseconds(50);
  Ack(101);
  EXPECT_FALSE(sender_->rtt().has_sample());
  EXPECT_EQ(sender_->rtt().rto(), backed_off);
  Queue(100);
  SendAll();
  now_ += Duration::Milliseconds(1);
  Ack(201);
  EXPECT_EQ(sender_->rtt().srtt(), Duration::Milliseconds(1));
  EXPECT_EQ(sender_->rtt().rto(), Duration::Milliseconds(4));  // the floor
}

TEST_F(SenderTest, FastRetransmitStopsTheMeasurement) {
  Start();
  Queue(500);
  SendAll();
  for (int i = 0; i < 3; ++i) Ack(1);
  SendAll();
  now_ += Duration::Seconds(1);
  Ack(501);
  EXPECT_FALSE(sender_->rtt().has_sample());
}

// A segment that is timed may wait behind a hole that has to be filled first.
TEST_F(SenderTest, ARetransmissionBeforeItStopsTheMeasurement) {
  Start(10000, 8);
  Queue(2000);
  SendAll();
  for (int i = 0; i < 3; ++i) Ack(1);
  EXPECT_EQ(SendAll(), "1+100R");
  for (int i = 0; i < 4; ++i) Ack(1);
  ASSERT_NE(SendAll(), "-");  // new data: timed
  Ack(301);
  EXPECT_EQ(Next(), "301+100R");
  sender_->OnSent(*sender_->Next(), now_);
  now_ += Duration::Seconds(1);
  Ack(static_cast<uint32_t>(sender_->max() - kIss));
  EXPECT_FALSE(sender_->rtt().has_sample());
}

TEST_F(SenderTest, ProbesAClosedWindowWithOneOctet) {
  Start(0);
  EXPECT_FALSE(sender_->NeedsProbe());
  Queue(300);
  EXPECT_EQ(Next(), "-");
  EXPECT_TRUE(sender_->NeedsProbe());
  const auto probe = sender_->Probe();
  EXPECT_EQ(Text(probe), "1+1");
  sender_->OnProbeSent(*probe, now_);
  EXPECT_EQ(sender_->flight(), 0u);
  EXPECT_EQ(Text(sender_->Probe()), "1+1R");
  EXPECT_EQ(Ack(2, 0), Sender::Ack::kNew);  // the peer kept it
  EXPECT_EQ(Text(sender_->Probe()), "2+1");
  EXPECT_EQ(Ack(2, 1000), Sender::Ack::kNothing);
  EXPECT_FALSE(sender_->NeedsProbe());
  EXPECT_EQ(SendAll(), "2+100 102+100 202+99P");
}

// RFC 9293 §3.8.6.2.1: a window that stays too small for a segment is used all the same, after a while.
TEST_F(SenderTest, AProbeFillsAWindowThatIsMerelySmall) {
  Start(1000);
  Queue(500);
  SendAll();
  Ack(501, 30);
  Queue(500);
  EXPECT_EQ(Next(), "-");
  EXPECT_TRUE(sender_->NeedsProbe());
  const auto probe = sender_->Probe();
  EXPECT_EQ(Text(probe), "501+30");
  sender_->OnProbeSent(*probe, now_);
  EXPECT_EQ(sender_->flight(), 30u);
  EXPECT_EQ(Next(), "-");
  EXPECT_EQ(Ack(531, 30), Sender::Ack::kNew);
}

TEST_F(SenderTest, AShrunkenWindowStopsNewDataNotRepairs) {
  Start(1000);
  Queue(1000);
  SendAll();
  Ack(101, 200);  // the edge went from 1001 to 301; 700 octets are beyond
  EXPECT_EQ(Next(), "-");
  sender_->OnTimeout(now_);
  EXPECT_EQ(SendAll(), "101+100R");
  Ack(201, 100);
  EXPECT_EQ(SendAll(), "201+100R");
  Ack(1001, 100);  // it had accepted everything
  EXPECT_TRUE(sender_->queue().empty());
}

// SHLD-17: what times out behind a shut window does not count once the window has opened again.
TEST_F(SenderTest, TimeoutsBehindAShutWindowDoNotCount) {
  Start(1000);
  Queue(1000);
  SendAll();
  Ack(101, 0);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(sender_->OnTimeout(now_), 0u);
  Ack(101, 1000);
  EXPECT_EQ(sender_->OnTimeout(now_), 1u);
  EXPECT_EQ(sender_->OnTimeout(now_), 2u);
}

TEST_F(SenderTest, AnUnusedWindowDoesNotGrow) {
  Start(10000, 10);
  for (int i = 0; i < 20; ++i) {
    Queue(50);
    SendAll();
    Ack(static_cast<uint32_t>(51 + 50 * i));
  }
  EXPECT_EQ(sender_->congestion().window(), 1000u);
}

TEST_F(SenderTest, IdleConnectionsStartAgainFromTheInitialWindow) {
  Start(100000, 4);
  for (uint32_t i = 0; i < 4; ++i) {
    Queue(400);
    SendAll();
    Ack(401 + 400 * i, 100000);
  }
  const uint32_t grown = sender_->congestion().window();
  EXPECT_GT(grown, 400u);
  now_ += Duration::Microseconds(10);
  sender_->MaybeRestartAfterIdle(now_);
  EXPECT_EQ(sender_->congestion().window(), grown);
  now_ += Duration::Seconds(1);
  sender_->MaybeRestartAfterIdle(now_);
  EXPECT_EQ(sender_->congestion().window(), 400u);
}

// RFC 5681 §3.1, RFC 6298 §5.7: a lost SYN makes for one segment and a fresh time-out.
TEST_F(SenderTest, ALostSynStartsWithOneSegment) {
  StackConfig config = StackConfig::Rfc();
  Sender sender(config);
  sender.StartSyn(kIss);
  sender.OnTimeout(now_);
  sender.OnTimeout(now_);
  EXPECT_EQ(sender.rtt().rto(), Duration::Seconds(4));
  EXPECT_EQ(sender.nxt(), kIss + 1);
  sender.Establish(kMss, 0);
  EXPECT_EQ(sender.congestion().window(), kMss);
  EXPECT_EQ(sender.rtt().rto(), Duration::Seconds(3));
  EXPECT_EQ(sender.timeouts(), 0u);
}

}  // namespace
}  // namespace luna::tcp
