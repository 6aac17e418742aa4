#include "luna/net/tcp/ecn.h"

#include "gtest/gtest.h"
#include "luna/net/tcp/testing/stack_tester.h"

namespace luna::tcp {
namespace {

using testing::kAck;
using testing::kCwr;
using testing::kEce;
using testing::kFin;
using testing::kSyn;
using testing::StackTester;

StackConfig WithEcn(EcnMode mode) {
  StackConfig config = StackTester::Plain();
  config.ecn = mode;
  return config;
}

// RFC 3168 §6.1.1, both ends of it: our SYN or SYN-ACK, and whether ECN is on afterwards.
TEST(Ecn, NegotiationTable) {
  constexpr uint16_t kSetup = kEce | kCwr;
  const struct {
    EcnMode mode;
    bool passive;
    uint16_t peer_flags;  // of its SYN or SYN-ACK
    uint16_t our_flags;
    bool on;
  } kCases[] = {
      {EcnMode::kOff, true, kSetup, 0, false},         {EcnMode::kOff, false, kEce, 0, false},
      {EcnMode::kOnRequest, true, kSetup, kEce, true}, {EcnMode::kOnRequest, true, kEce, 0, false},
      {EcnMode::kOnRequest, true, kCwr, 0, false},     {EcnMode::kOnRequest, true, 0, 0, false},
      {EcnMode::kOnRequest, false, kEce, 0, false},    {EcnMode::kAlways, true, kSetup, kEce, true},
      {EcnMode::kAlways, true, 0, 0, false},           {EcnMode::kAlways, false, kEce, kSetup, true},
      {EcnMode::kAlways, false, 0, kSetup, false},     {EcnMode::kAlways, false, kSetup, kSetup, false},
      {EcnMode::kAlways, false, kCwr, kSetup, false},
  };
  for (const auto& c : kCases) {
    SCOPED_TRACE(static_cast<int>(&c - kCases));
    StackTester t(WithEcn(c.mode));
    if (c.passive) {
      t.Listen();
      t.In({.flags = static_cast<uint16_t>(kSyn | c.peer_flags)});
      EXPECT_EQ(t.last().header.flags, kSyn | kAck | c.our_flags);
      t.In({});
    } else {
      t.Connect();
      EXPECT_EQ(t.last().header.flags, kSyn | c.our_flags);
      t.In({.flags = static_cast<uint16_t>(kSyn | kAck | c.peer_flags)});
    }
    EXPECT_EQ(t.last().ecn, ip::Ecn::kNotEct) << "never in a SYN";
    ASSERT_EQ(t.connection()->state(), State::kEstablished) << "never a reset";
    EXPECT_EQ(t.connection()->ecn().negotiated(), c.on);
    EXPECT_EQ(t.stack().counters().ecn_connections.value(), c.on ? 1u : 0u);
    t.Send("x");
    EXPECT_EQ(t.last().ecn, c.on ? ip::Ecn::kEct0 : ip::Ecn::kNotEct);
  }
}

// §6.1.1.1: networks that drop ECN-setup SYNs must not keep us out. What the peer marks is echoed all the same.
TEST(Ecn, ASynSentAgainDoesNotAsk) {
  StackTester t(WithEcn(EcnMode::kAlways));
  t.Connect();
  t.Run(Duration::Milliseconds(150));
  EXPECT_EQ(t.Out(), "SEW 0+0; S 0+0");
  t.In({.flags = kSyn | kAck | kEce});
  t.Send("x");
  EXPECT_EQ(t.last().ecn, ip::Ecn::kNotEct);
  t.In({.payload = "y", .ecn = ip::Ecn::kCe});
  EXPECT_TRUE(t.last().header.flags & kEce);
}

TEST(Ecn, APeersSynSentAgainMayGiveUpTheOffer) {
  StackTester t(WithEcn(EcnMode::kOnRequest));
  t.Listen();
  t.In({.flags = kSyn | kEce | kCwr});
  t.In({.flags = kSyn, .seq = 0});
  EXPECT_EQ(t.Out(), "SAE 0+0 a1; SA 0+0 a1");
  t.In({});
  EXPECT_FALSE(t.connection()->ecn().negotiated());
}

TEST(Ecn, SimultaneousOpen) {
  StackTester t(WithEcn(EcnMode::kAlways));
  t.Connect();
  t.In({.flags = kSyn | kEce | kCwr});
  EXPECT_EQ(t.Out(), "SEW 0+0; SAE 0+0 a1");
  t.In({.flags = kSyn | kAck | kEce, .seq = 0});
  EXPECT_EQ(t.connection()->state(), State::kEstablished);
  EXPECT_TRUE(t.connection()->ecn().negotiated());
}

TEST(Ecn, AnEcnSetupSynToAClosedPortIsRefusedLikeAnyOther) {
  StackTester t(WithEcn(EcnMode::kOff));
  t.In({.flags = kSyn | kEce | kCwr});
  EXPECT_EQ(t.Out(), "RA 0+0 a1");
}

class EcnData : public ::testing::Test {
 protected:
  explicit EcnData(const StackConfig& config = WithEcn(EcnMode::kOnRequest)) : t(config) {
    t.Listen();
    t.In({.flags = kSyn | kEce | kCwr});
    t.In({});
    t.TakeOut();
  }
  void Data(ip::Ecn ecn, uint16_t flags = 0) {
    t.In({.flags = static_cast<uint16_t>(kAck | flags), .payload = "abc", .ecn = ecn});
    t.peer().next += 3;
  }
  StackTester t;
};

// §6.1.3: ECE from the first mark until the peer's CWR, in acknowledgements and in data.
TEST_F(EcnData, EchoesUntilCwr) {
  Data(ip::Ecn::kEct0);
  EXPECT_EQ(t.Out(), "A 1+0 a4");
  Data(ip::Ecn::kCe);
  EXPECT_EQ(t.Out(), "AE 1+0 a7");
  Data(ip::Ecn::kEct0);
  EXPECT_EQ(t.Out(), "AE 1+0 a10");
  t.Send("x");
  EXPECT_EQ(t.Out(), "PAE 1+1 a10");
  Data(ip::Ecn::kEct0, kCwr);
  EXPECT_EQ(t.Out(), "A 2+0 a13");
  Data(ip::Ecn::kCe, kCwr);
  EXPECT_EQ(t.Out(), "AE 2+0 a16") << "the mark is younger than the reduction";
  EXPECT_EQ(t.stack().counters().ecn_marks_in.value(), 2u);
}

// §6.1.5: what a blind sender could forge, and what carries no data, is no sign of congestion.
TEST_F(EcnData, MarksOnOtherSegmentsDoNotCount) {
  t.In({.ecn = ip::Ecn::kCe});  // no data
  t.In({.seq = 70000, .payload = "out of window", .ecn = ip::Ecn::kCe});
  t.In({.seq = 1 - 3, .payload = "old", .ecn = ip::Ecn::kCe});
  t.TakeOut();
  Data(ip::Ecn::kEct0);
  EXPECT_EQ(t.Out(), "A 1+0 a4");
}

TEST_F(EcnData, OnlyNewDataIsEct) {
  t.Data("abc");
  EXPECT_EQ(t.last().ecn, ip::Ecn::kNotEct) << "an acknowledgement";
  t.Send("xyz");
  EXPECT_EQ(t.last().ecn, ip::Ecn::kEct0);
  t.Run(Duration::Seconds(1));
  EXPECT_EQ(t.last().payload, "xyz");
  EXPECT_EQ(t.last().ecn, ip::Ecn::kNotEct) << "a retransmission";
  t.In({.window = uint16_t{0}});
  t.Send("w");
  t.Run(Duration::Seconds(1));
  EXPECT_EQ(t.last().payload, "w");
  EXPECT_EQ(t.last().ecn, ip::Ecn::kNotEct) << "a window probe";
  t.In({.ack = 5});
  t.connection()->ShutdownWrite();
  t.Poll();
  EXPECT_TRUE(t.last().header.flags & kFin);
  EXPECT_EQ(t.last().ecn, ip::Ecn::kNotEct) << "a FIN without data";
}

class EcnDelayed : public EcnData {
 protected:
  EcnDelayed() : EcnData(Config()) {}
  static StackConfig Config() {
    StackConfig config = WithEcn(EcnMode::kOnRequest);
    config.delayed_ack = Duration::Milliseconds(40);
    return config;
  }
};

TEST_F(EcnDelayed, TheFirstMarkIsAnsweredAtOnce) {
  Data(ip::Ecn::kEct0);
  EXPECT_EQ(t.Out(), "");
  Data(ip::Ecn::kCe);
  EXPECT_EQ(t.Out(), "AE 1+0 a7");
  Data(ip::Ecn::kCe);
  EXPECT_EQ(t.Out(), "");
}

}  // namespace
}  // namespace luna::tcp
