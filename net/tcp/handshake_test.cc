// Opening: active, passive, simultaneous; retransmission and giving up; what the options of the SYNs bring about.

#include <string>

#include "gtest/gtest.h"
#include "luna/net/tcp/isn.h"
#include "luna/net/tcp/testing/stack_tester.h"

namespace luna::tcp {
namespace {

using stats::DropReason;
using testing::kAck;
using testing::kFin;
using testing::kRst;
using testing::kSyn;
using testing::StackTester;
using testing::SynOptions;

constexpr Duration Ms(int64_t n) { return Duration::Milliseconds(n); }

// Options on, and everything else as in Plain().
StackConfig WithOptions() {
  StackConfig config = StackTester::Plain();
  config.timestamps = true;
  config.window_scale = true;
  config.receive_buffer_bytes = 1u << 20;
  return config;
}

TEST(Handshake, Active) {
  StackTester t;
  Connection* c = t.Connect();
  EXPECT_EQ(t.Out(), "S 0+0");
  EXPECT_EQ(t.last().options.mss, 1460);
  EXPECT_EQ(c->state(), State::kSynSent);
  t.In({.flags = kSyn | kAck});
  EXPECT_EQ(t.TakeEvents(), EventBits::kConnected);
  EXPECT_EQ(t.Out(), "A 1+0 a1");
  EXPECT_EQ(c->state(), State::kEstablished);
  EXPECT_FALSE(c->passive());
  EXPECT_EQ(t.stack().counters().connections_opened.value(), 1u);
}

TEST(Handshake, Passive) {
  StackTester t;
  Listener* listener = t.Listen({.owner = &t});
  t.In({.flags = kSyn});
  EXPECT_EQ(t.Out(), "SA 0+0 a1");
  EXPECT_EQ(t.TakeEvents(), 0u);
  EXPECT_EQ(listener->half_open(), 1u);
  t.In({});
  EXPECT_EQ(t.TakeEvents(), EventBits::kAccepted);
  EXPECT_EQ(t.Out(), "");
  EXPECT_EQ(listener->half_open(), 0u);
  EXPECT_TRUE(t.connection()->passive());
  EXPECT_EQ(t.connection()->owner(), &t);
  EXPECT_EQ(t.stack().counters().connections_accepted.value(), 1u);
}

TEST(Handshake, Simultaneous) {
  StackTester t;
  Connection* c = t.Connect();
  t.Out();
  t.In({.flags = kSyn});
  EXPECT_EQ(c->state(), State::kSynReceived);
  EXPECT_EQ(t.Out(), "SA 0+0 a1");
  EXPECT_EQ(t.TakeEvents(), 0u);
  t.In({.flags = kSyn | kAck, .seq = 0});  // the other SYN, now with an ACK
  EXPECT_EQ(t.TakeEvents(), EventBits::kConnected);
  EXPECT_EQ(c->state(), State::kEstablished);
}

// RFC 7323 §2.2: the window of a SYN is not scaled, that of a simultaneous open's SYN-ACK neither.
TEST(Handshake, SimultaneousDoesNotScaleTheSynsWindow) {
  StackTester t(WithOptions());
  t.peer().syn_options = SynOptions(1460, 7);
  Connection* c = t.Connect();
  t.In({.flags = kSyn, .window = 10000});
  t.In({.flags = kSyn | kAck, .seq = 0, .window = 10000});
  ASSERT_EQ(c->state(), State::kEstablished);
  EXPECT_LE(c->sender().window(), 10000u);
  EXPECT_GT(c->sender().window(), 9000u);
}

TEST(Handshake, SimultaneousMayBeClosedOrFilledBeforeItIsOver) {
  StackTester t;
  Connection& c = t.Reach(State::kSynReceived);
  EXPECT_GT(c.send_space(), 0u);
  t.Send("early");
  c.ShutdownWrite();
  EXPECT_EQ(t.Out(), "");
  t.In({});
  EXPECT_EQ(t.TakeEvents(), EventBits::kConnected);
  EXPECT_EQ(c.state(), State::kFinWait1);
  EXPECT_EQ(t.Out(), "FPA 1+5 a1");
  StackTester t2;
  Connection& c2 = t2.Reach(State::kSynReceived);
  c2.Close();
  t2.In({});
  EXPECT_EQ(t2.Out(), "FA 1+0 a1");
  t2.In({.flags = kAck | kFin});
  EXPECT_EQ(t2.TakeEvents() & EventBits::kClosed, EventBits::kClosed);
}

TEST(Handshake, QueuedInSynSentLeavesAfterwards) {
  StackTester t;
  t.Connect();
  t.Send("early");
  t.connection()->ShutdownWrite();
  EXPECT_EQ(t.Out(), "S 0+0");
  t.In({.flags = kSyn | kAck});
  EXPECT_EQ(t.Out(), "FPA 1+5 a1");
  EXPECT_EQ(t.connection()->state(), State::kFinWait1);
}

TEST(Handshake, DataMayComeWithTheLastAckOrTheSynAck) {
  StackTester t;
  t.Listen();
  t.In({.flags = kSyn});
  t.In({.flags = kAck | kFin, .payload = "hello"});
  EXPECT_EQ(t.TakeEvents(), EventBits::kAccepted | EventBits::kReadable | EventBits::kPeerClosed);
  EXPECT_EQ(t.connection()->state(), State::kCloseWait);
  EXPECT_EQ(t.Read(), "hello");
  EXPECT_EQ(t.Out(), "SA 0+0 a1; A 1+0 a7");
  StackTester t2;
  t2.Connect();
  t2.In({.flags = kSyn | kAck, .payload = "now"});
  EXPECT_EQ(t2.TakeEvents(), EventBits::kConnected | EventBits::kReadable);
  EXPECT_EQ(t2.Out(), "S 0+0; A 1+0 a4");
  EXPECT_EQ(t2.Read(), "now");
}

TEST(Handshake, SynIsSentAgainWithTheSameOptionsAndGivenUp) {
  StackConfig config = WithOptions();
  config.syn_retries = 3;
  StackTester t(config);
  t.Connect();
  t.Run(Duration::Seconds(10));
  const auto out = t.TakeOut();
  ASSERT_EQ(out.size(), 4u);
  const int64_t kAt[] = {0, 100, 300, 700};
  for (size_t i = 0; i < out.size(); ++i) {
    EXPECT_EQ(out[i].ToString(), "S 0+0");
    EXPECT_EQ((out[i].at - StackTester::kStart).milliseconds(), kAt[i]);
    EXPECT_EQ(out[i].options.mss, 1460);
    EXPECT_TRUE(out[i].options.has_window_scale);
    EXPECT_TRUE(out[i].options.has_timestamp);
  }
  EXPECT_EQ(t.TakeEvents(), EventBits::kSoftError | EventBits::kClosed);  // R1, then R2
  EXPECT_EQ(t.close_reason(), CloseReason::kTimedOut);
  EXPECT_EQ(t.stack().connections(), 0u);
}

TEST(Handshake, SynAckIsSentAgainAndTheHalfOpenForgotten) {
  StackConfig config = StackTester::Plain();
  config.syn_retries = 2;
  StackTester t(config);
  Listener* listener = t.Listen();
  t.In({.flags = kSyn});
  t.In({.flags = kSyn, .seq = 0});  // the peer's, again: our answer was lost
  EXPECT_EQ(t.Out(), "SA 0+0 a1; SA 0+0 a1");
  t.Run(Duration::Seconds(10));
  EXPECT_EQ(t.Out(), "SA 0+0 a1; SA 0+0 a1");
  EXPECT_EQ(t.TakeEvents(), 0u);
  EXPECT_EQ(listener->half_open(), 0u);
  EXPECT_EQ(t.stack().connections(), 0u);
  EXPECT_EQ(t.stack().Reap(), 1u);
}

TEST(Handshake, Refused) {
  StackTester t;
  t.Connect();
  t.In({.flags = kRst | kAck, .seq = 0});
  EXPECT_EQ(t.TakeEvents(), EventBits::kClosed);
  EXPECT_EQ(t.close_reason(), CloseReason::kRefused);
  EXPECT_EQ(t.Out(), "S 0+0");
}

TEST(Handshake, OnlyAResetWithAGoodAckRefuses) {
  StackTester t;
  t.Connect();
  t.Out();
  t.In({.flags = kRst, .seq = 0});
  t.In({.flags = kRst | kAck, .seq = 0, .ack = 2});
  t.In({.flags = kRst | kAck, .seq = 0, .ack = 0});
  EXPECT_EQ(t.TakeEvents(), 0u);
  EXPECT_EQ(t.connection()->state(), State::kSynSent);
  EXPECT_EQ(t.Out(), "");
}

TEST(Handshake, ABadAckInSynSentIsReset) {
  StackTester t;
  t.Connect();
  t.Out();
  t.In({.flags = kAck, .seq = 0, .ack = 5});
  EXPECT_EQ(t.Out(), "R 5+0");
  t.In({.flags = kSyn | kAck, .seq = 0, .ack = 0});
  EXPECT_EQ(t.Out(), "R 0+0");
  EXPECT_EQ(t.connection()->state(), State::kSynSent);
}

TEST(Handshake, ABadAckInSynReceivedIsReset) {
  for (int64_t ack : {int64_t{0}, int64_t{2}}) {
    StackTester t;
    t.Listen();
    t.In({.flags = kSyn});
    t.Out();
    t.In({.ack = ack});
    EXPECT_EQ(t.Out(), "R " + std::to_string(ack) + "+0");
    t.In({});  // still there
    EXPECT_EQ(t.TakeEvents(), EventBits::kAccepted);
  }
}

TEST(Handshake, AResetInSynReceivedReturnsToListen) {
  StackTester t;
  Listener* listener = t.Listen();
  t.In({.flags = kSyn});
  t.In({.flags = kRst});
  EXPECT_EQ(t.TakeEvents(), 0u);
  EXPECT_EQ(listener->half_open(), 0u);
  EXPECT_EQ(t.stack().connections(), 0u);
  StackTester t2;
  t2.Reach(State::kSynReceived);
  t2.In({.flags = kRst});
  EXPECT_EQ(t2.TakeEvents(), EventBits::kClosed);
  EXPECT_EQ(t2.close_reason(), CloseReason::kRefused);
}

// RFC 5961 §3.2: the number of a reset is exactly RCV.NXT, whatever other flags it has.
TEST(Handshake, AResetWithTheNumberOfTheSynIsDropped) {
  for (const uint16_t flags : {kRst | kSyn, kRst | kSyn | kAck}) {
    StackTester t;
    t.Listen();
    t.In({.flags = kSyn});
    t.Out();
    t.In({.flags = flags, .seq = 0});
    EXPECT_EQ(t.Out(), "");
    EXPECT_EQ(t.stack().connections(), 1u);
  }
}

// A peer that lost its state comes back with another ISN: our ACK makes it reset the old half-open connection.
TEST(Handshake, ASynOutOfTheWindowOfAHalfOpenIsAcknowledged) {
  StackTester t;
  t.Listen();
  t.In({.flags = kSyn});
  t.Out();
  t.In({.flags = kSyn, .seq = 1000000});
  EXPECT_EQ(t.Out(), "A 1+0 a1");
  t.In({.flags = kRst, .seq = 1});
  EXPECT_EQ(t.stack().connections(), 0u);
}

TEST(Handshake, AResetWithASynBeforeTheWindowIsNoSynAgain) {
  StackTester t;
  t.Listen();
  t.In({.flags = kSyn});
  EXPECT_EQ(t.Out(), "SA 0+0 a1");
  t.In({.flags = kSyn | kRst, .seq = 0});
  EXPECT_EQ(t.Out(), "");
}

TEST(Handshake, ASynAckDoesNotCompleteAPassiveOpen) {
  StackTester t;
  t.Listen();
  t.In({.flags = kSyn});
  EXPECT_EQ(t.Out(), "SA 0+0 a1");
  t.In({.flags = kSyn | kAck, .seq = 0});  // before RCV.NXT, so not acceptable
  EXPECT_EQ(t.Out(), "A 1+0 a1");
  EXPECT_EQ(t.TakeEvents(), 0u);
  t.In({});
  EXPECT_EQ(t.TakeEvents(), EventBits::kAccepted);
}

TEST(Handshake, BacklogFull) {
  StackConfig config = StackTester::Plain();
  config.syn_cookies = SynCookies::kOff;
  StackTester t(config);
  t.Listen({.backlog = 2});
  testing::Peer& first = t.peer();
  t.In({.flags = kSyn});
  t.NewPeer();
  t.In({.flags = kSyn});
  t.NewPeer();
  t.Out();
  t.In({.flags = kSyn});
  EXPECT_EQ(t.Out(), "");
  EXPECT_EQ(t.drops(DropReason::kTcpListenBacklogFull), 1u);
  testing::Peer& third = t.peer();
  t.SwitchTo(first);
  t.In({});
  EXPECT_EQ(t.TakeEvents(), EventBits::kAccepted);
  t.SwitchTo(third);
  third.next = 0;
  t.In({.flags = kSyn});
  EXPECT_EQ(t.Out(), "SA 0+0 a1");
}

TEST(Handshake, ConnectionLimit) {
  StackConfig config = StackTester::Plain();
  config.max_connections = 1;
  StackTester t(config);
  t.Listen();
  t.In({.flags = kSyn});
  t.NewPeer();
  t.Out();
  t.In({.flags = kSyn});
  EXPECT_EQ(t.Out(), "");
  EXPECT_EQ(t.drops(DropReason::kTcpConnectionLimit), 1u);
  EXPECT_EQ(t.stack().Connect(t.peer().local, t.peer().endpoint, nullptr, t.now()).status().code(),
            absl::StatusCode::kResourceExhausted);
}

// What a listener makes of each kind of segment (RFC 9293 §3.10.7.2).
TEST(Handshake, ListenerTable) {
  const struct {
    uint16_t flags;
    const char* out;
  } kCases[] = {
      {kRst, ""}, {kRst | kAck, ""}, {kAck, "R 9+0"},        {kSyn | kAck, "R 9+0"}, {kFin, ""},
      {0, ""},    {kSyn | kRst, ""}, {kFin | kAck, "R 9+0"}, {kSyn | kFin, ""},      {kSyn, "SA 0+0 a1"},
  };
  for (const auto& c : kCases) {
    StackTester t;
    t.Listen();
    t.In({.flags = c.flags, .ack = 9});
    EXPECT_EQ(t.Out(), c.out) << c.flags;
    EXPECT_EQ(t.stack().connections(), c.flags == kSyn ? 1u : 0u);
  }
}

TEST(Handshake, NoConnectionToBroadcastAndMulticast) {
  for (const wire::Ipv4Address bad :
       {wire::Ipv4Address(255, 255, 255, 255), wire::Ipv4Address(224, 0, 0, 1), wire::Ipv4Address(0, 0, 0, 0)}) {
    StackTester t;
    t.Listen();
    t.peer().endpoint.address = bad;
    t.In({.flags = kSyn});
    EXPECT_EQ(t.Out(), "");
    EXPECT_EQ(t.drops(DropReason::kTcpBadSource), 1u);
    EXPECT_EQ(t.stack().Connect({wire::Ipv4Address(10, 0, 0, 2), 0}, {bad, 80}, nullptr, t.now()).status().code(),
              absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(t.stack().Connect({bad, 0}, {wire::Ipv4Address(10, 0, 0, 1), 80}, nullptr, t.now()).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
}

// --- Options ---

// RFC 2018 §2: SACK-permitted comes from both sides or from none, also in a SYN that is sent again.
TEST(Handshake, SackPermitted) {
  for (int bits = 0; bits < 8; ++bits) {
    const bool we = (bits & 1) != 0;
    const bool peer = (bits & 2) != 0;
    const bool passive = (bits & 4) != 0;
    SCOPED_TRACE(bits);
    StackConfig config = WithOptions();
    config.sack = we;
    StackTester t(config);
    t.peer().syn_options = SynOptions(1460, 3, 500);
    t.peer().syn_options.sack_permitted = peer;
    if (passive) {
      t.Listen();
      for (int i = 0; i < 2; ++i) {
        t.In({.flags = kSyn, .seq = 0});
        EXPECT_EQ(t.Out(), "SA 0+0 a1");
        EXPECT_EQ(t.last().options.sack_permitted, we && peer);
      }
      t.In({});
    } else {
      t.Connect();
      t.Run(Ms(150));
      EXPECT_EQ(t.Out(), "S 0+0; S 0+0");
      EXPECT_EQ(t.last().options.sack_permitted, we);
      t.In({.flags = kSyn | kAck});
    }
    EXPECT_EQ(t.connection()->sack(), we && peer);
  }
}

struct OptionCase {
  bool we_scale, peer_scales, we_stamp, peer_stamps;
};

class HandshakeOptions : public ::testing::TestWithParam<int> {};

TEST_P(HandshakeOptions, AreUsedOnlyWhenBothSidesSendThem) {
  const int bits = GetParam();
  const OptionCase c{(bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0, (bits & 8) != 0};
  for (const bool passive : {false, true}) {
    StackConfig config = WithOptions();
    config.window_scale = c.we_scale;
    config.timestamps = c.we_stamp;
    StackTester t(config);
    t.peer().syn_options = SynOptions(1460, c.peer_scales ? absl::optional<uint8_t>(3) : absl::nullopt,
                                      c.peer_stamps ? absl::optional<uint32_t>(500) : absl::nullopt);
    if (passive) {
      t.Listen();
      t.In({.flags = kSyn});
      // An answer offers only what was offered.
      EXPECT_EQ(t.last().options.has_window_scale, c.we_scale && c.peer_scales);
      EXPECT_EQ(t.last().options.has_timestamp, c.we_stamp && c.peer_stamps);
      EXPECT_EQ(t.last().options.tsecr, c.we_stamp && c.peer_stamps ? 500u : 0u);
      t.In({.window = 1000});
    } else {
      t.Connect();
      EXPECT_EQ(t.last().options.has_window_scale, c.we_scale);
      EXPECT_EQ(t.last().options.has_timestamp, c.we_stamp);
      t.In({.flags = kSyn | kAck});
      t.In({.window = 1000});
    }
    Connection& connection = *t.connection();
    EXPECT_EQ(connection.sender().window(), c.we_scale && c.peer_scales ? 8000u : 1000u);
    EXPECT_EQ(connection.timestamps(), c.we_stamp && c.peer_stamps);
    EXPECT_EQ(connection.receiver().shift(), c.we_scale && c.peer_scales ? 5 : 0);
    EXPECT_EQ(connection.sender().mss(), connection.timestamps() ? 1448u : 1460u);
    t.TakeOut();
    t.Data("x");
    ASSERT_EQ(t.last().payload, "");
    EXPECT_EQ(t.last().options.has_timestamp, connection.timestamps());
    EXPECT_FALSE(t.last().options.has_mss);
    EXPECT_FALSE(t.last().options.has_window_scale);
  }
}

INSTANTIATE_TEST_SUITE_P(All, HandshakeOptions, ::testing::Range(0, 16));

TEST(Handshake, SegmentSizes) {
  const struct {
    uint32_t mtu;
    absl::optional<uint16_t> peer_mss;
    uint32_t mss;
  } kCases[] = {
      {1500, 1460, 1460},  {1500, 9000, 1460},         {9000, 1460, 1460},
      {9000, 8960, 8960},  {1500, absl::nullopt, 536},  // RFC 9293 MUST-15
      {1500, 0, kMinMss},                               // not believed
      {1500, 65535, 1460},
  };
  for (const auto& c : kCases) {
    for (const bool passive : {false, true}) {
      StackConfig config = StackTester::Plain();
      config.mtu = c.mtu;
      StackTester t(config);
      t.peer().syn_options = c.peer_mss.has_value() ? SynOptions(*c.peer_mss) : wire::TcpOptions();
      Connection& connection = t.Establish(passive);
      EXPECT_EQ(connection.sender().mss(), c.mss) << c.mtu;
      t.Send(std::string(c.mss + 1, 'x'));
      const auto out = t.TakeOut();
      ASSERT_GE(out.size(), 2u);
      EXPECT_EQ(out[0].payload.size(), c.mss);
    }
  }
}

TEST(Handshake, AScaleAbove14IsTakenAs14) {
  StackTester t(WithOptions());
  t.peer().syn_options = SynOptions(1460, 200);
  t.Establish();
  EXPECT_EQ(t.connection()->sender().shift(), 14);
}

TEST(Handshake, TheSynsWindowIsNotScaledAndAtMost64K) {
  StackTester t(WithOptions());
  t.peer().syn_options = SynOptions(1460, 7);
  t.Connect();
  EXPECT_EQ(t.last().header.window, 65535);
  t.In({.flags = kSyn | kAck, .window = 5000});
  EXPECT_EQ(t.connection()->sender().window(), 5000u);
  EXPECT_EQ(t.last().header.window, (1u << 20) >> 5);
}

// Karn for SYNs: a round trip is only measured when one SYN was sent.
TEST(Handshake, MeasuresTheRoundTripUnlessTheSynWasRepeated) {
  StackTester t;
  t.Connect();
  t.Run(Ms(30));
  t.In({.flags = kSyn | kAck});
  EXPECT_EQ(t.connection()->sender().rtt().srtt(), Ms(30));
  StackTester t2;
  t2.Connect();
  t2.Run(Ms(130));
  t2.In({.flags = kSyn | kAck});
  EXPECT_FALSE(t2.connection()->sender().rtt().has_sample());
  StackTester t3;
  t3.Listen();
  t3.In({.flags = kSyn});
  t3.Run(Ms(30));
  t3.In({.flags = kSyn, .seq = 0});
  t3.Run(Ms(1));
  t3.In({});
  EXPECT_FALSE(t3.connection()->sender().rtt().has_sample());
}

TEST(Handshake, AnIsnPerIncarnation) {
  StackTester t;
  t.Connect();
  const uint32_t isn = t.last().header.sequence;
  t.In({.flags = kRst | kAck, .seq = 0});
  t.stack().Reap();
  t.Run(Ms(4));
  t.Connect();
  EXPECT_EQ(t.last().header.sequence - isn, 1000u);
}

// The peer has not heard of the first one's end, and answers the second one's SYN for it (found by pair_fuzz): with the
// same number neither would ever learn the truth.
TEST(Handshake, TheNextConnectionOfATupleHasAnotherNumberHoweverSoonItComes) {
  StackTester t;
  const wire::FourTuple tuple{{wire::Ipv4Address(10, 0, 0, 2), 4000}, {wire::Ipv4Address(10, 0, 0, 1), 80}};
  const SeqNum by_clock = InitialSequenceNumber(t.stack().config().secret, tuple, t.now());
  for (int i = 0; i < 4; ++i) {
    const absl::StatusOr<Connection*> c = t.stack().Connect(tuple.local, tuple.remote, nullptr, t.now());
    ASSERT_TRUE(c.ok()) << c.status();
    constexpr int kStep = kIssStep + 1;  // and the SYN
    EXPECT_EQ((*c)->sender().iss() - by_clock, i < 3 ? i * kStep : 250'000) << "the clock has overtaken it";
    (*c)->Abort();
    t.Poll();
    t.stack().Reap();
    if (i == 2) t.Run(Duration::Seconds(1));
  }
}

}  // namespace
}  // namespace luna::tcp
