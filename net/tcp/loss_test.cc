// Loss: time-outs, back-off, giving up, fast retransmit and recovery, the round trip's measure.

#include <string>

#include "gtest/gtest.h"
#include "luna/net/tcp/testing/stack_tester.h"

namespace luna::tcp {
namespace {

using testing::kAck;
using testing::kSyn;
using testing::StackTester;

constexpr Duration Ms(int64_t n) { return Duration::Milliseconds(n); }
constexpr Duration Us(int64_t n) { return Duration::Microseconds(n); }

// Segments of 1,000 octets.
StackConfig Config() {
  StackConfig config = StackTester::Plain();
  config.mtu = 1040;
  return config;
}

std::string X(size_t n) { return std::string(n, 'x'); }

TEST(Loss, ATimeoutRetransmitsAndBacksOff) {
  StackTester t(Config());
  t.Establish();
  t.Send("hello");
  t.Run(Duration::Seconds(3));
  const auto out = t.TakeOut();
  const int64_t kAtMs[] = {0, 4, 12, 28, 60, 124, 252, 508, 1020, 2020};  // doubled up to rto_max
  ASSERT_EQ(out.size(), std::size(kAtMs));
  for (size_t i = 0; i < out.size(); ++i) {
    EXPECT_EQ(out[i].ToString(), "PA 1+5 a1");
    EXPECT_EQ(out[i].payload, "hello");
    EXPECT_NEAR(static_cast<double>((out[i].at - StackTester::kStart).microseconds()), 1000.0 * kAtMs[i], 50) << i;
  }
  EXPECT_EQ(t.stack().counters().timeouts.value(), 9u);
  EXPECT_EQ(t.stack().counters().segments_retransmitted.value(), 9u);
}

TEST(Loss, R2EndsTheConnection) {
  StackConfig config = Config();
  config.data_retries = 4;
  StackTester t(config);
  t.Establish();
  t.Send("hello");
  t.Run(Duration::Seconds(3));
  EXPECT_EQ(t.TakeOut().size(), 5u);
  EXPECT_EQ(t.TakeEvents(), EventBits::kSoftError | EventBits::kClosed);  // R1, then R2
  EXPECT_EQ(t.close_reason(), CloseReason::kTimedOut);
  EXPECT_EQ(t.stack().connections(), 0u);
  EXPECT_EQ(t.stack().Reap(), 1u);
}

// MUST-23 and SHLD-11 under the other profile.
TEST(Loss, TheRfcProfileIsPatient) {
  StackConfig config = StackConfig::Rfc();
  config.secret = {1, 2};
  StackTester t(config);
  t.Connect();
  t.Run(Duration::Seconds(1000));
  EXPECT_EQ(t.close_reason(), CloseReason::kTimedOut);
  EXPECT_GT(t.last().at - StackTester::kStart, Duration::Seconds(180));
  StackTester t2(config);
  t2.peer().syn_options = testing::SynOptions(1460);
  t2.Establish();
  t2.Send("hello");
  t2.Run(Duration::Seconds(100));
  EXPECT_EQ(t2.connection()->state(), State::kEstablished);
  t2.Run(Duration::Seconds(2000));
  EXPECT_EQ(t2.close_reason(), CloseReason::kTimedOut);
}

TEST(Loss, AnAckOfNewDataRestartsTheTimer) {
  StackTester t(Config());
  t.Establish();
  t.Send(X(3000));
  t.Run(Ms(3));
  t.Out();
  t.In({.ack = 1001});
  t.Run(Ms(3));  // 6 ms after the first, 3 after the acknowledgement
  EXPECT_EQ(t.Out(), "");
  t.Run(Ms(2));
  EXPECT_EQ(t.Out(), "A 1001+1000 a1");
}

TEST(Loss, TheTimerStopsWhenAllIsAcknowledged) {
  StackTester t(Config());
  t.Establish();
  t.Send("hello");
  t.In({});
  EXPECT_TRUE(t.stack().NextDeadline() > t.now());
  t.Out();
  t.Run(Duration::Seconds(10));
  EXPECT_EQ(t.Out(), "");
  EXPECT_EQ(t.stack().counters().timeouts.value(), 0u);
  EXPECT_TRUE(t.stack().NextDeadline().is_infinite());
}

TEST(Loss, AfterATimeoutTheRestFollowsBySlowStart) {
  StackTester t(Config());
  t.Establish();
  t.Send(X(5000));
  t.Run(Ms(5));
  EXPECT_EQ(t.Out(), "A 1+1000 a1; A 1001+1000 a1; A 2001+1000 a1; A 3001+1000 a1; PA 4001+1000 a1; A 1+1000 a1");
  t.In({.ack = 1001});
  EXPECT_EQ(t.Out(), "A 1001+1000 a1; A 2001+1000 a1");
  t.In({.ack = 3001});
  EXPECT_EQ(t.Out(), "A 3001+1000 a1; PA 4001+1000 a1");
  t.In({.ack = 5001});
  EXPECT_EQ(t.Out(), "");
}

TEST(Loss, ThreeDuplicatesRetransmitAtOnce) {
  StackTester t(Config());
  t.Establish();
  t.Send(X(5000));
  t.Out();
  t.In({.ack = 1001});
  t.In({.ack = 1001});
  t.In({.ack = 1001});
  EXPECT_EQ(t.Out(), "");
  t.In({.ack = 1001});
  EXPECT_EQ(t.Out(), "A 1001+1000 a1");
  t.In({.ack = 1001});
  EXPECT_EQ(t.Out(), "");
  t.In({.ack = 5001});
  EXPECT_FALSE(t.connection()->sender().in_recovery());
  EXPECT_EQ(t.stack().counters().timeouts.value(), 0u);
}

TEST(Loss, ADuplicateWithDataOrAnotherWindowIsNone) {
  StackTester t(Config());
  t.Establish();
  t.Send(X(5000));
  t.In({.ack = 1001});
  t.Out();
  for (int i = 0; i < 4; ++i) {
    t.In({.ack = 1001, .payload = "x"});
    t.peer().next += 1;
    t.In({.ack = 1001, .window = static_cast<uint16_t>(60000 - i)});
  }
  EXPECT_FALSE(t.connection()->sender().in_recovery());
}

TEST(Loss, PartialAcknowledgementsRetransmitTheNextHole) {
  StackTester t(Config());
  t.Establish();
  t.Send(X(8000));
  t.Out();
  for (int i = 0; i < 4; ++i) t.In({.ack = 1001});
  EXPECT_EQ(t.Out(), "A 1001+1000 a1");
  t.In({.ack = 4001});
  EXPECT_EQ(t.Out(), "A 4001+1000 a1");
  EXPECT_TRUE(t.connection()->sender().in_recovery());
  t.In({.ack = 8001});
  EXPECT_FALSE(t.connection()->sender().in_recovery());
  EXPECT_EQ(t.Out(), "");
  EXPECT_EQ(t.stack().counters().timeouts.value(), 0u);
}

TEST(Loss, LimitedTransmitKeepsTheAcksComing) {
  StackConfig config = Config();
  config.initial_window_segments = 3;
  StackTester t(config);
  t.Establish();
  t.Send(X(8000));
  EXPECT_EQ(t.Out(), "A 1+1000 a1; A 1001+1000 a1; A 2001+1000 a1");
  t.In({.ack = 1});
  EXPECT_EQ(t.Out(), "A 3001+1000 a1");
  t.In({.ack = 1});
  EXPECT_EQ(t.Out(), "A 4001+1000 a1");
  t.In({.ack = 1});
  EXPECT_EQ(t.Out(), "A 1+1000 a1");
}

TEST(Loss, CongestionWindowLimitsAndGrows) {
  StackConfig config = Config();
  config.initial_window_segments = 2;
  StackTester t(config);
  t.Establish();
  t.Send(X(50000));
  EXPECT_EQ(t.TakeOut().size(), 2u);
  t.In({.ack = 1001});
  t.In({.ack = 2001});
  EXPECT_EQ(t.TakeOut().size(), 4u);
  for (int i = 0; i < 4; ++i) t.In({.ack = 3001 + 1000 * i});
  EXPECT_EQ(t.TakeOut().size(), 8u);
}

// The measurement ends when the device took the ACK, not when a busy loop gets to it.
TEST(Loss, TheRoundTripUsesTheArrivalTime) {
  StackTester t(Config());
  t.Establish();
  t.Run(Duration::Seconds(1));
  t.Send("hello");
  const Duration before = t.connection()->sender().rtt().srtt();
  EXPECT_EQ(before, Duration::Zero());
  t.Run(Us(900));
  t.In({.arrived_before_now = Us(800)});
  EXPECT_EQ(t.connection()->sender().rtt().srtt(), Us(100) / 8);
}

TEST(Loss, KarnAcrossTheStack) {
  StackTester t(Config());
  t.Establish();
  t.Run(Duration::Seconds(1));
  t.Send("hello");
  t.Run(Ms(5));  // one retransmission
  t.In({});
  EXPECT_EQ(t.connection()->sender().rtt().srtt(), Duration::Zero());
  EXPECT_EQ(t.connection()->sender().rtt().backoff(), 1u);  // until a valid sample
  t.Send("x");
  t.Run(Ms(1));
  t.In({});
  EXPECT_EQ(t.connection()->sender().rtt().backoff(), 0u);
}

TEST(Loss, TheRtoFollowsThePath) {
  StackTester t(Config());
  t.Establish(false);
  t.Run(Duration::Seconds(1));
  for (int i = 0; i < 50; ++i) {
    t.Send("x");
    t.Run(Ms(20));
    t.In({});
  }
  const Duration rto = t.connection()->sender().rtt().rto();
  EXPECT_GT(rto, Ms(19));
  EXPECT_LT(rto, Ms(60));
}

}  // namespace
}  // namespace luna::tcp
