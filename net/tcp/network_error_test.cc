// ICMP errors and path MTUs, pushed in from outside; and the parser of ICMP.

#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "luna/net/tcp/icmp.h"
#include "luna/net/tcp/testing/stack_tester.h"
#include "luna/net/wire/byte_cursor.h"
#include "luna/net/wire/checksum.h"

namespace luna::tcp {
namespace {

using stats::DropReason;
using testing::kAck;
using testing::kSyn;
using testing::StackTester;
using testing::SynOptions;

constexpr NetworkError kSoft[] = {NetworkError::kNetUnreachable, NetworkError::kHostUnreachable,
                                  NetworkError::kSourceRouteFailed, NetworkError::kTimeExceeded,
                                  NetworkError::kParameterProblem};
constexpr NetworkError kHard[] = {NetworkError::kProtocolUnreachable, NetworkError::kPortUnreachable,
                                  NetworkError::kProhibited};

void Icmp(StackTester& t, NetworkError error, int64_t relative_seq, uint32_t mtu = 0) {
  const testing::Peer& peer = t.peer();
  t.stack().OnIcmpError({.tuple = {peer.local, peer.endpoint},
                         .seq = SeqNum(peer.stack_isn + static_cast<uint32_t>(relative_seq)),
                         .error = error,
                         .mtu = mtu},
                        t.now());
  t.Poll();
}

// RFC 9293 MUST-56, SHLD-25: reported, and nothing else, in every state.
TEST(Icmp, SoftErrorsAreReportedAndEndNothing) {
  for (const NetworkError error : kSoft) {
    for (const State state : {State::kSynSent, State::kSynReceived, State::kEstablished, State::kFinWait1}) {
      StackTester t;
      Connection& c = t.Reach(state);
      if (state == State::kEstablished) t.Send("x");
      Icmp(t, error, IsSynchronised(state) ? 1 : 0);
      EXPECT_EQ(c.state(), state) << Name(error);
      EXPECT_EQ(t.TakeEvents(), EventBits::kSoftError) << Name(error) << " in " << Name(state);
      EXPECT_EQ(c.soft_error(), error);
      EXPECT_EQ(c.TakeSoftError(), error);
      EXPECT_EQ(c.soft_error(), NetworkError::kNone);
    }
  }
}

TEST(Icmp, ReportsMayBeTurnedOff) {  // SHLD-20
  StackTester t;
  Connection& c = t.Establish();
  ConnectionOptions options = c.options();
  options.report_soft_errors = false;
  ASSERT_TRUE(c.SetOptions(options, t.now()).ok());
  t.Send("x");
  Icmp(t, NetworkError::kHostUnreachable, 1);
  EXPECT_EQ(t.TakeEvents(), 0u);
  EXPECT_EQ(c.soft_error(), NetworkError::kHostUnreachable);
}

TEST(Icmp, HardErrorsEndAHandshake) {  // SHLD-26 as RFC 5461 has it
  for (const NetworkError error : kHard) {
    StackTester t;
    t.Connect();
    Icmp(t, error, 0);
    EXPECT_EQ(t.TakeEvents(), EventBits::kClosed) << Name(error);
    EXPECT_EQ(t.close_reason(), CloseReason::kUnreachable);
    EXPECT_EQ(t.connection()->soft_error(), error);
    EXPECT_EQ(t.stack().connections(), 0u);
    StackTester t2;  // and the peer's, silently
    Listener* listener = t2.Listen();
    t2.In({.flags = kSyn});
    Icmp(t2, error, 0);
    EXPECT_EQ(t2.TakeEvents(), 0u);
    EXPECT_EQ(t2.stack().connections(), 0u);
    EXPECT_EQ(listener->half_open(), 0u);
  }
}

TEST(Icmp, HardErrorsAreSoftOnceEstablished) {
  for (const NetworkError error : kHard) {
    StackTester t;
    Connection& c = t.Establish();
    t.Send("x");
    Icmp(t, error, 1);
    EXPECT_EQ(c.state(), State::kEstablished);
    EXPECT_EQ(t.TakeEvents(), EventBits::kSoftError);
    EXPECT_EQ(c.soft_error(), error);
  }
}

TEST(Icmp, SoftErrorsEndAHandshakeWhenConfigured) {  // RFC 5461 §3.1
  StackConfig config = StackTester::Plain();
  config.soft_errors_end_handshake = true;
  StackTester t(config);
  t.Connect();
  Icmp(t, NetworkError::kHostUnreachable, 0);
  EXPECT_EQ(t.close_reason(), CloseReason::kUnreachable);
  StackTester t2(config);
  Connection& c = t2.Establish();
  t2.Send("x");
  Icmp(t2, NetworkError::kHostUnreachable, 1);
  EXPECT_EQ(c.state(), State::kEstablished);
}

// RFC 5927 §4.1: what quotes a number that is not in flight is forged or stale.
TEST(Icmp, MustQuoteWhatIsInFlight) {
  StackTester t;
  Connection& c = t.Establish();
  Icmp(t, NetworkError::kHostUnreachable, 1);  // nothing is
  t.Send("abc");
  for (const int64_t seq : {int64_t{0}, int64_t{4}, int64_t{1000000}, int64_t{-70000}}) {
    Icmp(t, NetworkError::kHostUnreachable, seq);
    Icmp(t, NetworkError::kMessageTooBig, seq, 1000);
  }
  EXPECT_EQ(t.TakeEvents(), 0u);
  EXPECT_EQ(c.soft_error(), NetworkError::kNone);
  EXPECT_EQ(c.sender().mss(), 1460u);
  EXPECT_EQ(t.drops(DropReason::kTcpIcmpOutOfWindow), 9u);
  Icmp(t, NetworkError::kHostUnreachable, 3);
  EXPECT_EQ(c.soft_error(), NetworkError::kHostUnreachable);
  StackTester t2;
  t2.Connect();
  Icmp(t2, NetworkError::kPortUnreachable, 1);
  EXPECT_EQ(t2.connection()->state(), State::kSynSent);
}

TEST(Icmp, ForNobodyIsCounted) {
  StackTester t;
  Icmp(t, NetworkError::kPortUnreachable, 0);
  EXPECT_EQ(t.drops(DropReason::kTcpNoConnection), 1u);
  EXPECT_EQ(t.Out(), "");
}

// RFC 1191 §6.5: the segment is sent again at once, in pieces, and congestion is not blamed.
TEST(PathMtu, TooBigCutsTheSegmentsAndSendsThemAgain) {
  StackTester t;
  Connection& c = t.Establish();
  t.Send(std::string(1460, 'x'));
  EXPECT_EQ(t.Out(), "PA 1+1460 a1");
  const uint32_t window = c.sender().congestion().window();
  Icmp(t, NetworkError::kMessageTooBig, 1, 1040);
  const auto out = t.TakeOut();
  ASSERT_GE(out.size(), 1u);
  EXPECT_EQ(out[0].seq, 1);
  EXPECT_EQ(out[0].payload.size(), 1000u);
  EXPECT_EQ(c.sender().mss(), 1000u);
  EXPECT_EQ(c.Info(t.now()).pmtu, 1040u);
  EXPECT_GE(c.sender().congestion().window(), std::min(window, 10000u));
  EXPECT_EQ(t.TakeEvents(), 0u);
  for (const auto& segment : out) EXPECT_TRUE(segment.dont_fragment);
}

TEST(PathMtu, TooBigNeverRaises) {
  StackTester t;
  Connection& c = t.Establish();
  t.Send(std::string(3000, 'x'));
  Icmp(t, NetworkError::kMessageTooBig, 1, 1040);
  Icmp(t, NetworkError::kMessageTooBig, 1, 1400);
  Icmp(t, NetworkError::kMessageTooBig, 1, 9000);
  EXPECT_EQ(c.sender().mss(), 1000u);
}

// RFC 1191 §6.3: the path may have become wider; after ten minutes it is tried again, at least.
TEST(PathMtu, WhatTooBigSaidIsForgottenAfterTenMinutes) {
  StackTester t;
  Connection& c = t.Establish();
  t.Send(std::string(1460, 'x'));
  Icmp(t, NetworkError::kMessageTooBig, 1, 100);  // below the floor
  t.In({});
  const auto converse = [&](int minutes) {
    for (int i = 0; i < minutes * 6; ++i) {
      t.Run(Duration::Seconds(10));
      t.Send("x");
      t.In({});
    }
    t.TakeOut();
  };
  converse(9);
  EXPECT_EQ(c.sender().mss(), 512u);
  converse(2);
  EXPECT_EQ(c.sender().mss(), 1460u);
  EXPECT_EQ(c.Info(t.now()).pmtu, 1500u);
  t.Send(std::string(1460, 'x'));
  EXPECT_TRUE(t.last().dont_fragment);
  Icmp(t, NetworkError::kMessageTooBig, c.sender().una() - c.sender().iss(), 1040);  // it has not
  EXPECT_EQ(c.sender().mss(), 1000u);
  t.In({});
  t.stack().OnPathMtu(t.peer().endpoint.address, 1200, t.now());  // a route knows better, and for good
  t.In({});
  converse(12);
  EXPECT_EQ(c.sender().mss(), 1160u);
  t.Send("x");
  Icmp(t, NetworkError::kMessageTooBig, c.sender().una() - c.sender().iss(), 1040);
  t.In({});
  converse(12);
  EXPECT_EQ(c.sender().mss(), 1160u);
}

TEST(PathMtu, BelowTheFloorSegmentsMayBeFragmented) {
  StackTester t;
  Connection& c = t.Establish();
  t.Send(std::string(1460, 'x'));
  t.TakeOut();
  Icmp(t, NetworkError::kMessageTooBig, 1, 100);
  EXPECT_EQ(c.sender().mss(), 512u);
  const auto out = t.TakeOut();
  ASSERT_FALSE(out.empty());
  for (const auto& segment : out) EXPECT_FALSE(segment.dont_fragment);
}

TEST(PathMtu, OptionsComeOffTheSegmentSize) {  // MUST-16
  StackConfig config = StackTester::Plain();
  config.timestamps = true;
  StackTester t(config);
  t.peer().syn_options = SynOptions(1460, {}, 7);
  Connection& c = t.Establish();
  t.Send(std::string(100, 'x'));
  Icmp(t, NetworkError::kMessageTooBig, 1, 1040);
  EXPECT_EQ(c.sender().mss(), 988u);
}

// A route is believed: it lowers, raises, and holds for connections to come (SHLD-6).
TEST(PathMtu, RoutesLowerAndRaise) {
  StackTester t;
  Connection& c = t.Establish();
  t.stack().OnPathMtu(t.peer().endpoint.address, 1000, t.now());
  EXPECT_EQ(c.sender().mss(), 960u);
  t.stack().OnPathMtu(t.peer().endpoint.address, 1200, t.now());
  EXPECT_EQ(c.sender().mss(), 1160u);
  t.stack().OnPathMtu(wire::Ipv4Address(1, 2, 3, 4), 600, t.now());
  EXPECT_EQ(c.sender().mss(), 1160u);
  t.stack().OnPathMtu(t.peer().endpoint.address, 9000, t.now());  // the link's is less
  EXPECT_EQ(c.sender().mss(), 1460u);
}

TEST(PathMtu, TooBigRaisesNoNarrowRoute) {
  StackTester t;
  Connection& c = t.Establish();
  t.stack().OnPathMtu(t.peer().endpoint.address, 400, t.now());  // below the floor for ICMP
  t.Send(std::string(1000, 'x'));
  Icmp(t, NetworkError::kMessageTooBig, 1, 300);
  EXPECT_EQ(c.sender().mss(), 360u);
  EXPECT_EQ(c.Info(t.now()).pmtu, 400u);
}

TEST(PathMtu, OurSynSaysWhatItsRouteTakes) {
  StackTester t;
  t.auto_flush = false;
  t.Connect();
  t.stack().OnRouteMtu(*t.connection(), 1400, t.now());
  t.Poll();
  EXPECT_EQ(t.last().options.mss, 1360);
}

TEST(PathMtu, OfARouteHoldsForLaterConnections) {
  StackTester t;
  t.stack().OnPathMtu(t.peer().endpoint.address, 1000, t.now());
  t.Listen();
  t.In({.flags = kSyn});
  EXPECT_EQ(t.last().options.mss, 1460);  // what we can receive is another matter (MUST-67)
  t.In({});
  EXPECT_EQ(t.connection()->sender().mss(), 960u);
  StackTester t2;
  t2.stack().OnPathMtu(t2.peer().endpoint.address, 1000, t2.now());
  EXPECT_EQ(t2.Establish(false).sender().mss(), 960u);
}

TEST(PathMtu, OneConnectionsRouteIsBelievedWhenItChanges) {
  StackTester t;
  Connection& c = t.Establish();
  t.stack().OnRouteMtu(c, 1400, t.now());
  EXPECT_EQ(c.sender().mss(), 1360u);
  t.Send("x");
  Icmp(t, NetworkError::kMessageTooBig, 1, 1040);
  t.stack().OnRouteMtu(c, 1400, t.now());
  EXPECT_EQ(c.sender().mss(), 1000u);
  t.stack().OnRouteMtu(c, 1300, t.now());
  EXPECT_EQ(c.sender().mss(), 1260u);
  t.stack().OnRouteMtu(c, 9000, t.now());
  EXPECT_EQ(c.sender().mss(), 1460u);
  EXPECT_EQ(c.Info(t.now()).pmtu, 1500u);
}

// Whoever says less of the two is right: the table's word does not undo what was said of the host.
TEST(PathMtu, ARouteTableDoesNotUndoWhatWasSaidOfAHost) {
  StackTester t;
  t.stack().OnPathMtu(t.peer().endpoint.address, 1000, t.now());
  Connection& c = t.Establish();
  t.stack().OnRouteMtu(c, 1500, t.now());
  EXPECT_EQ(c.sender().mss(), 960u);
  t.stack().OnRouteMtu(c, 800, t.now());
  EXPECT_EQ(c.sender().mss(), 760u);
}

// --- The parser ---

std::vector<uint8_t> Message(uint8_t type, uint8_t code, uint16_t mtu = 0, size_t quoted_tcp = 8, uint8_t protocol = 6,
                             uint16_t fragment = 0, uint8_t version = 0x45) {
  std::vector<uint8_t> m(28 + quoted_tcp);
  m[0] = type;
  m[1] = code;
  wire::StoreBe16(&m[6], mtu);
  m[8] = version;
  wire::StoreBe16(&m[10], 1500);
  wire::StoreBe16(&m[14], fragment);
  m[17] = protocol;
  wire::StoreBe32(&m[20], 0x0a000002);
  wire::StoreBe32(&m[24], 0x0a000001);
  if (quoted_tcp >= 8) {
    wire::StoreBe16(&m[28], 80);
    wire::StoreBe16(&m[30], 40000);
    wire::StoreBe32(&m[32], 0x12345678);
  }
  wire::ChecksumAccumulator sum;
  sum.Add(m);
  wire::StoreBe16(&m[2], sum.Fold());
  return m;
}

TEST(ParseIcmp, ReadsTheQuotedSegment) {
  const auto error = ParseIcmpError(Message(3, 4, 1400));
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->error, NetworkError::kMessageTooBig);
  EXPECT_EQ(error->mtu, 1400u);
  EXPECT_EQ(error->seq, SeqNum(0x12345678));
  EXPECT_EQ(error->tuple.local, (wire::Endpoint{wire::Ipv4Address(10, 0, 0, 2), 80}));
  EXPECT_EQ(error->tuple.remote, (wire::Endpoint{wire::Ipv4Address(10, 0, 0, 1), 40000}));
}

TEST(Icmp, AMessageAsItCame) {
  StackTester t;
  t.Connect();
  const testing::Peer& peer = t.peer();
  auto message = Message(3, 3);
  wire::StoreBe32(&message[20], peer.local.address.v4().value());
  wire::StoreBe32(&message[24], peer.endpoint.address.v4().value());
  wire::StoreBe16(&message[28], peer.local.port);
  wire::StoreBe16(&message[30], peer.endpoint.port);
  wire::StoreBe32(&message[32], peer.stack_isn);
  t.stack().OnIcmp(message, t.now());  // with the checksum of what it was
  EXPECT_EQ(t.drops(DropReason::kIcmpMalformed), 1u);
  t.stack().OnIcmp({}, t.now());
  EXPECT_EQ(t.drops(DropReason::kIcmpMalformed), 2u);
  t.stack().OnIcmp(Message(8, 0), t.now());
  t.stack().OnIcmp(Message(4, 0), t.now());
  EXPECT_EQ(t.drops(DropReason::kIcmpUnsupported), 2u);
  EXPECT_EQ(t.connection()->state(), State::kSynSent);
  wire::StoreBe16(&message[2], 0);
  wire::ChecksumAccumulator sum;
  sum.Add(message);
  wire::StoreBe16(&message[2], sum.Fold());
  t.stack().OnIcmp(message, t.now());
  t.Poll();
  EXPECT_EQ(t.close_reason(), CloseReason::kUnreachable);
}

TEST(ParseIcmp, NamesEveryKind) {
  struct Case {
    uint8_t type, code;
    NetworkError error;
  };
  const Case kCases[] = {{3, 0, NetworkError::kNetUnreachable},      {3, 1, NetworkError::kHostUnreachable},
                         {3, 2, NetworkError::kProtocolUnreachable}, {3, 3, NetworkError::kPortUnreachable},
                         {3, 5, NetworkError::kSourceRouteFailed},   {3, 7, NetworkError::kHostUnknown},
                         {3, 13, NetworkError::kProhibited},         {11, 0, NetworkError::kTimeExceeded},
                         {12, 0, NetworkError::kParameterProblem}};
  for (const Case& c : kCases) {
    const auto error = ParseIcmpError(Message(c.type, c.code));
    ASSERT_TRUE(error.has_value()) << int{c.type} << " " << int{c.code};
    EXPECT_EQ(error->error, c.error);
  }
  EXPECT_FALSE(ParseIcmpError(Message(4, 0)).has_value());  // source quench: MUST-55
  EXPECT_FALSE(ParseIcmpError(Message(8, 0)).has_value());
  EXPECT_FALSE(ParseIcmpError(Message(3, 16)).has_value());
}

TEST(ParseIcmp, ARouterWithoutAnMtuGetsThePlateau) {
  const auto error = ParseIcmpError(Message(3, 4, 0));
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->mtu, 1492u);
}

TEST(ParseIcmp, RefusesWhatIsNotAnErrorAboutTcp) {
  EXPECT_FALSE(ParseIcmpError({}).has_value());
  EXPECT_FALSE(ParseIcmpError(Message(3, 1, 0, 7)).has_value());
  EXPECT_FALSE(ParseIcmpError(Message(3, 1, 0, 8, 17)).has_value());
  EXPECT_FALSE(ParseIcmpError(Message(3, 1, 0, 8, 6, 1)).has_value());
  EXPECT_FALSE(ParseIcmpError(Message(3, 1, 0, 8, 6, 0, 0x65)).has_value());
  EXPECT_FALSE(ParseIcmpError(Message(3, 1, 0, 8, 6, 0, 0x4f)).has_value());
  EXPECT_FALSE(ParseIcmpError(Message(3, 1, 0, 8, 6, 0, 0x44)).has_value());
  auto bad = Message(3, 1);
  bad[30] ^= 1;
  EXPECT_FALSE(ParseIcmpError(bad).has_value());
  for (size_t i = 0; i < 36; ++i) {
    auto cut = Message(3, 1);
    cut.resize(i);
    EXPECT_FALSE(ParseIcmpError(cut).has_value());
  }
}

}  // namespace
}  // namespace luna::tcp
