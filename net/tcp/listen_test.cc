// LISTEN: backlogs, SYN cookies, addresses that cannot have a connection; and the choice of ports.

#include <set>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "luna/net/tcp/syn_cookie.h"
#include "luna/net/tcp/testing/stack_tester.h"

namespace luna::tcp {
namespace {

using stats::DropReason;
using testing::kAck;
using testing::kFin;
using testing::kRst;
using testing::kSyn;
using testing::Peer;
using testing::StackTester;
using testing::SynOptions;

StackConfig With(SynCookies cookies) {
  StackConfig config = StackTester::Plain();
  config.syn_cookies = cookies;
  return config;
}

wire::TcpOptions AllOptions() {
  wire::TcpOptions options = SynOptions(1400, 7, 5000);
  options.sack_permitted = true;
  return options;
}

StackConfig WithOptions(SynCookies cookies) {
  StackConfig config = With(cookies);
  config.timestamps = config.window_scale = config.sack = true;
  config.ecn = EcnMode::kOnRequest;
  config.receive_buffer_bytes = 1u << 20;
  return config;
}

// --- Backlog of handshakes ---

TEST(Backlog, WithoutCookiesDropsFurtherSyns) {
  StackTester t(With(SynCookies::kOff));
  Listener* listener = t.Listen({.backlog = 2});
  for (int i = 0; i < 3; ++i) {
    if (i > 0) t.NewPeer();
    t.In({.flags = kSyn});
    EXPECT_EQ(t.Out(), i < 2 ? "SA 0+0 a1" : "");
  }
  EXPECT_EQ(listener->half_open(), 2u);
  EXPECT_EQ(t.drops(DropReason::kTcpListenBacklogFull), 1u);
}

TEST(Backlog, MayChange) {
  StackTester t(With(SynCookies::kOff));
  Listener* listener = t.Listen({.backlog = 0});
  t.In({.flags = kSyn});
  EXPECT_EQ(t.Out(), "");
  listener->SetBacklog(1, 1);
  t.In({.flags = kSyn, .seq = 0});
  EXPECT_EQ(t.Out(), "SA 0+0 a1");
}

// ListenBacklog: SYNs are answered while there is room for handshakes; the acknowledgement that would be one connection
// too many is ignored, and tried again.
TEST(Backlog, FinalAcksAreIgnoredWhenNobodyAccepts) {
  StackTester t(With(SynCookies::kOff));
  Listener* listener = t.Listen({.backlog = 10, .accept_backlog = 1});
  t.In({.flags = kSyn});
  Peer& first = t.peer();
  Peer& second = t.NewPeer();
  t.In({.flags = kSyn});
  EXPECT_EQ(t.Out(), "SA 0+0 a1; SA 0+0 a1");
  t.SwitchTo(first);
  t.In({});
  EXPECT_EQ(t.TakeEvents(), EventBits::kAccepted);
  EXPECT_EQ(listener->waiting(), 1u);
  t.SwitchTo(second);
  t.In({});
  t.In({.payload = "early"});
  EXPECT_EQ(t.TakeEvents(), 0u);
  EXPECT_EQ(t.Out(), "");
  EXPECT_EQ(listener->half_open(), 1u);
  EXPECT_EQ(t.drops(DropReason::kTcpListenBacklogFull), 2u);
  t.NewPeer();
  t.In({.flags = kSyn});  // no room for another handshake's end: not answered either
  EXPECT_EQ(t.Out(), "");
  t.SwitchTo(second);
  t.Run(Duration::Milliseconds(150));
  EXPECT_EQ(t.Out(), "SA 0+0 a1");  // the handshake goes on
  listener->Taken();
  t.In({.payload = "early"});
  EXPECT_EQ(t.TakeEvents(), EventBits::kAccepted | EventBits::kReadable);
}

TEST(Backlog, OfAListenerWithoutOneIsBoundless) {
  StackTester t;
  t.Listen();
  for (int i = 0; i < 50; ++i) {
    if (i > 0) t.NewPeer();
    t.In({.flags = kSyn});
    t.In({});
    EXPECT_EQ(t.TakeEvents(), EventBits::kAccepted);
  }
}

// --- Cookies (RFC 4987) ---

TEST(Cookies, AreSentWhenTheBacklogIsFullAndTakeNoMemory) {
  StackTester t(With(SynCookies::kWhenFull));
  Listener* listener = t.Listen({.backlog = 0});
  t.In({.flags = kSyn});
  EXPECT_EQ(t.Out(), "SA 0+0 a1");
  EXPECT_EQ(t.last().options.mss, 1460);
  EXPECT_EQ(t.stack().connections(), 0u);
  EXPECT_EQ(listener->half_open(), 0u);
  EXPECT_EQ(t.stack().counters().syn_cookies_sent.value(), 1u);
  t.Run(Duration::Seconds(30));
  EXPECT_EQ(t.Out(), "");  // nothing is there that would repeat it
  t.In({});
  EXPECT_EQ(t.TakeEvents(), EventBits::kAccepted);
  EXPECT_EQ(t.stack().counters().syn_cookies_accepted.value(), 1u);
  EXPECT_EQ(t.connection()->sender().mss(), 1460u);
  t.Data("hello");
  EXPECT_EQ(t.Read(), "hello");
  t.Out();
  t.Send("world");
  EXPECT_EQ(t.Out(), "PA 1+5 a6");
  t.connection()->Close();
  EXPECT_EQ(t.Out(), "FA 6+0 a6");
  t.Fin();
  EXPECT_EQ(t.close_reason(), CloseReason::kNormal);
}

// A connection that a cookie has opened, and that has sent data.
void OpenByCookie(StackTester& t) {
  t.Listen();
  t.In({.flags = kSyn});
  t.Out();
  t.Data("pay 100");
}

// Its first segment again: an old duplicate, which has the cookie. Nothing comes of it.
void ExpectCookieIsBarred(StackTester& t) {
  t.In({.seq = 1, .ack = 1, .payload = "pay 100"});
  EXPECT_EQ(t.stack().connections(), 0u);
  EXPECT_EQ(t.TakeEvents(), 0u);
}

// From the same port, later.
void BeginAnotherIncarnation(Peer& peer) {
  peer.isn += 1u << 20;
  peer.next = peer.received = 0;
  peer.has_edge = false;
  peer.last_ack = 0;
}

// Found by simulation: the end that closes last leaves no TIME-WAIT, and an old duplicate has the cookie.
TEST(Cookies, DoNotOpenAConnectionAgainThatHasEnded) {
  StackTester t(With(SynCookies::kAlways));
  OpenByCookie(t);
  EXPECT_TRUE(t.TakeEvents() & EventBits::kAccepted);
  EXPECT_EQ(t.Read(), "pay 100");
  t.Fin();
  t.connection()->Close();
  t.Out();
  t.In({});
  EXPECT_TRUE(t.TakeEvents() & EventBits::kClosed);
  ASSERT_EQ(t.close_reason(), CloseReason::kNormal);
  ExpectCookieIsBarred(t);
  EXPECT_EQ(t.stack().counters().syn_cookies_accepted.value(), 1u);
  // For as long as a duplicate may live.
  t.Run(t.stack().config().time_wait);
  EXPECT_EQ(t.stack().time_wait(), 0u);
}

TEST(Cookies, DoNotOpenAConnectionAgainThatWasReset) {
  StackTester t(With(SynCookies::kAlways));
  OpenByCookie(t);
  t.In({.flags = kRst});
  EXPECT_TRUE(t.TakeEvents() & EventBits::kClosed);
  ASSERT_EQ(t.close_reason(), CloseReason::kReset);
  ExpectCookieIsBarred(t);
}

// Nor when an old duplicate of its SYN has taken the place in between.
TEST(Cookies, StayBarredBehindAnotherHandshake) {
  StackTester t(With(SynCookies::kAlways));
  OpenByCookie(t);
  t.In({.flags = kRst});
  t.In({.flags = kSyn, .seq = 0});
  ASSERT_EQ(t.stack().connections(), 1u);
  t.In({.flags = kRst, .seq = 1});
  ASSERT_EQ(t.stack().connections(), 0u);
  t.TakeEvents();
  ExpectCookieIsBarred(t);
}

// Nor when another connection has come after it, and ended without TIME-WAIT.
TEST(Cookies, StayBarredBehindTimeWaitAndASuccessor) {
  StackTester t(With(SynCookies::kAlways));
  t.Listen();
  t.In({.flags = kSyn});
  t.Out();
  t.In({});
  t.connection()->Close();
  t.Out();
  t.Fin();
  ASSERT_EQ(t.stack().time_wait(), 1u);
  t.TakeOut();
  const uint32_t first_isn = t.peer().isn;
  const uint32_t first_stack_isn = t.peer().stack_isn;
  BeginAnotherIncarnation(t.peer());
  t.In({.flags = kSyn});
  t.Out();
  t.In({});
  ASSERT_EQ(t.stack().connections(), 1u);
  t.In({.flags = kRst});
  ASSERT_EQ(t.stack().connections(), 0u);
  t.TakeEvents();
  t.peer().isn = first_isn;
  t.peer().stack_isn = first_stack_isn;
  ExpectCookieIsBarred(t);
}

// The record of TIME-WAIT would answer in the place of the cookie.
TEST(Cookies, AreNotSentWhereATimeWaitIsReopened) {
  StackTester t(With(SynCookies::kWhenFull));
  t.Listen({.backlog = 0});
  t.In({.flags = kSyn});
  t.In({});
  t.connection()->Close();
  t.Out();
  t.Fin();
  ASSERT_EQ(t.stack().time_wait(), 1u);
  t.TakeOut();
  t.TakeEvents();
  const uint64_t cookies = t.stack().counters().syn_cookies_sent.value();
  BeginAnotherIncarnation(t.peer());
  t.In({.flags = kSyn});
  EXPECT_EQ(t.stack().counters().syn_cookies_sent.value(), cookies);
  EXPECT_EQ(t.stack().connections(), 1u);
  EXPECT_EQ(t.stack().time_wait(), 0u);
  t.In({});
  EXPECT_TRUE(t.TakeEvents() & EventBits::kAccepted);
}

TEST(Cookies, DataMayComeWithTheCookie) {
  StackTester t(With(SynCookies::kAlways));
  t.Listen();
  t.In({.flags = kSyn});
  t.In({.flags = kAck | kFin, .payload = "all"});
  EXPECT_EQ(t.TakeEvents(), EventBits::kAccepted | EventBits::kReadable | EventBits::kPeerClosed);
  EXPECT_EQ(t.Read(), "all");
}

TEST(Cookies, TimestampsCarryTheOtherOptions) {
  StackTester t(WithOptions(SynCookies::kAlways));
  t.peer().syn_options = AllOptions();
  t.Listen();
  t.In({.flags = kSyn | wire::TcpFlags::kEce | wire::TcpFlags::kCwr});
  EXPECT_TRUE(t.last().options.has_timestamp);
  EXPECT_TRUE(t.last().options.has_window_scale);
  EXPECT_TRUE(t.last().options.sack_permitted);
  EXPECT_TRUE(t.last().header.Has(wire::TcpFlags::kEce));
  t.peer().tsval += 3;
  t.In({});
  EXPECT_EQ(t.TakeEvents(), EventBits::kAccepted);
  const ConnectionInfo info = t.connection()->Info(t.now());
  EXPECT_TRUE(info.timestamps);
  EXPECT_TRUE(info.window_scale);
  EXPECT_TRUE(info.sack);
  EXPECT_TRUE(info.ecn);
  EXPECT_EQ(info.snd_wscale, 7);
  EXPECT_EQ(info.snd_mss, 1360u - 12);  // the table's next
  const uint32_t first = t.peer().tsecr;
  t.Run(Duration::Milliseconds(1));
  t.Send("x");
  EXPECT_GT(static_cast<int32_t>(t.last().options.tsval - first), 0);
}

TEST(Cookies, WithoutTimestampsOfferNothingElse) {
  StackTester t(WithOptions(SynCookies::kAlways));
  t.peer().syn_options = SynOptions(1460, 7);
  t.peer().syn_options.sack_permitted = true;
  t.Listen();
  t.In({.flags = kSyn | wire::TcpFlags::kEce | wire::TcpFlags::kCwr});
  EXPECT_FALSE(t.last().options.has_window_scale);
  EXPECT_FALSE(t.last().options.sack_permitted);
  EXPECT_FALSE(t.last().options.has_timestamp);
  EXPECT_FALSE(t.last().header.Has(wire::TcpFlags::kEce));
  t.In({});
  const ConnectionInfo info = t.connection()->Info(t.now());
  EXPECT_FALSE(info.window_scale || info.sack || info.timestamps || info.ecn);
}

TEST(Cookies, ThatAreWrongOldOrUnaskedForAreReset) {
  StackTester t(With(SynCookies::kAlways));
  t.Listen();
  t.In({.ack = 1});  // none was ever sent: not even looked at
  EXPECT_EQ(t.Out(), "R 1+0");
  EXPECT_EQ(t.drops(DropReason::kTcpBadCookie), 0u);
  t.In({.flags = kSyn});
  t.TakeOut();
  t.In({.ack = 1 << 24});
  EXPECT_EQ(t.Out(), "R 16777216+0");
  t.In({.seq = 5});  // another ISN of the peer, or what has overtaken the acknowledgement
  EXPECT_EQ(t.Out(), "");
  t.In({.flags = kAck | kSyn, .seq = 0});
  EXPECT_EQ(t.Out(), "R 1+0");
  EXPECT_EQ(t.drops(DropReason::kTcpBadCookie), 2u);
  t.Run(Duration::Seconds(129));
  t.In({});
  EXPECT_EQ(t.Out(), "R 1+0");
  EXPECT_EQ(t.stack().connections(), 0u);
}

// Found by the fuzzer of two stacks: the RST that answered the first to come ended the peer's connection.
TEST(Cookies, DataThatOvertakesTheAcknowledgementIsNoReasonForAReset) {
  StackTester t(With(SynCookies::kAlways));
  t.Listen();
  t.In({.flags = kSyn});
  t.TakeOut();
  t.In({.seq = 6, .payload = "second"});
  t.In({.flags = kAck | kFin, .seq = 12});
  EXPECT_EQ(t.Out(), "");
  EXPECT_EQ(t.stack().connections(), 0u);
  t.In({.seq = 1, .payload = "first"});
  EXPECT_EQ(t.TakeEvents(), EventBits::kAccepted | EventBits::kReadable);
  t.In({.seq = 6, .payload = "second"});
  EXPECT_EQ(t.Read(), "firstsecond");
}

// Found by the same fuzzer: whose connection a cookie had opened, and whose end's reset was lost, was not told again.
TEST(Cookies, AConnectionThatHasEndedIsResetForAsLongAsTheCookieLives) {
  StackTester t(With(SynCookies::kAlways));
  t.Listen();
  t.In({.flags = kSyn});
  t.Data("first");
  EXPECT_EQ(t.Read(), "first");
  t.connection()->Abort();
  t.Poll();
  t.stack().Reap();
  t.TakeOut();
  for (int i = 0; i < 3; ++i) {
    t.Run(Duration::Seconds(20));
    t.Data("still there?");
    EXPECT_EQ(t.Out(), "R 1+0");
    t.In({.seq = 1, .payload = "first"});  // an old duplicate
    EXPECT_EQ(t.Out(), "R 1+0");
    EXPECT_EQ(t.stack().connections() + t.stack().time_wait(), 0u);
  }
}

TEST(Cookies, AreIgnoredWhileNobodyAccepts) {
  StackTester t(With(SynCookies::kAlways));
  Listener* listener = t.Listen({.accept_backlog = 1});
  t.In({.flags = kSyn});
  Peer& second = t.NewPeer();
  t.In({.flags = kSyn});
  t.In({});
  EXPECT_EQ(t.TakeEvents(), EventBits::kAccepted);
  t.SwitchTo(second);
  t.TakeOut();
  Peer& third = t.NewPeer();
  t.In({.flags = kSyn});
  EXPECT_EQ(t.Out(), "");
  EXPECT_EQ(t.drops(DropReason::kTcpListenBacklogFull), 1u);
  listener->Taken();
  t.SwitchTo(third);
  t.In({.flags = kSyn, .seq = 0});
  listener->Accepted();  // in the meantime another one came
  t.TakeOut();
  t.In({});
  EXPECT_EQ(t.Out(), "");
  EXPECT_EQ(t.TakeEvents(), 0u);
  listener->Taken();
  t.In({});
  EXPECT_EQ(t.TakeEvents(), EventBits::kAccepted);
}

TEST(Cookies, BoundWhatAFloodOfSynsQueues) {
  StackTester t(With(SynCookies::kWhenFull));
  t.Listen({.backlog = 0});
  t.auto_flush = false;
  for (int i = 0; i < 1200; ++i) {
    if (i > 0) t.NewPeer();
    t.In({.flags = kSyn});
  }
  EXPECT_EQ(t.stack().counters().syn_cookies_sent.value(), 1024u);
  EXPECT_EQ(t.drops(DropReason::kTcpListenBacklogFull), 176u);
  t.flush_limit = 4096;
  EXPECT_EQ(t.TakeOut().size(), 1024u);
}

// NoAcceptCloseReset: a listener that goes takes its handshakes along.
TEST(Listen, StoppingResetsHandshakes) {
  StackTester t;
  Listener* listener = t.Listen();
  t.In({.flags = kSyn});
  t.TakeOut();
  t.stack().StopListening(listener);
  EXPECT_EQ(t.Out(), "RA 1+0 a1");
  t.In({});
  EXPECT_EQ(t.Out(), "R 1+0");
}

// --- RFC 9293 §3.9.2.3: MUST-57, MUST-63 ---

TEST(BadAddress, NothingIsAnswered) {
  const wire::Ipv4Address kBad[] = {wire::Ipv4Address(255, 255, 255, 255), wire::Ipv4Address(224, 0, 0, 1),
                                    wire::Ipv4Address(0, 0, 0, 0)};
  for (const wire::Ipv4Address bad : kBad) {
    for (const bool listening : {true, false}) {
      for (const bool source : {true, false}) {
        for (const uint16_t flags : {kSyn, kAck, static_cast<uint16_t>(kSyn | kAck)}) {
          StackTester t;
          const bool ok = !listening || t.stack().Listen({wire::Ipv4Address(), t.peer().local.port}).ok();
          ASSERT_TRUE(ok);
          (source ? t.peer().endpoint : t.peer().local).address = bad;
          t.In({.flags = flags, .ack = 5});
          EXPECT_EQ(t.Out(), "") << bad.ToString();
          EXPECT_EQ(t.drops(DropReason::kTcpBadSource), 1u);
          EXPECT_EQ(t.stack().connections(), 0u);
        }
      }
    }
  }
}

// --- Ports (RFC 6056) ---

TEST(Ports, AreInTheRangeAllUsableAndHardToForesee) {
  StackConfig config = StackTester::Plain();
  config.ephemeral_first = 50000;
  config.ephemeral_last = 50099;
  StackTester t(config);
  const wire::Endpoint remote = t.peer().endpoint;
  std::vector<uint16_t> ports;
  std::set<uint16_t> different;
  int followed = 0;
  for (int i = 0; i < 100; ++i) {
    const auto connection = t.stack().Connect({t.peer().local.address, 0}, remote, nullptr, t.now());
    ASSERT_TRUE(connection.ok()) << i << " " << connection.status();
    const uint16_t port = (*connection)->tuple().local.port;
    EXPECT_GE(port, 50000);
    EXPECT_LE(port, 50099);
    followed += i > 0 && i < 50 && port == ports.back() + 1;
    ports.push_back(port);
    different.insert(port);
  }
  EXPECT_EQ(different.size(), 100u);
  EXPECT_LT(followed, 25);
  EXPECT_EQ(t.stack().Connect({t.peer().local.address, 0}, remote, nullptr, t.now()).status().code(),
            absl::StatusCode::kResourceExhausted);
  // Another peer has them all again, in another order.
  const wire::Endpoint other{wire::Ipv4Address(10, 0, 0, 9), 7};
  int same = 0;
  for (int i = 0; i < 50; ++i) {
    const auto connection = t.stack().Connect({t.peer().local.address, 0}, other, nullptr, t.now());
    ASSERT_TRUE(connection.ok());
    same += (*connection)->tuple().local.port == ports[static_cast<size_t>(i)];
  }
  EXPECT_LT(same, 25);
}

TEST(Ports, InTimeWaitOrListeningAreNotChosen) {
  StackConfig config = StackTester::Plain();
  config.ephemeral_first = 61441;
  config.ephemeral_last = 61443;
  config.time_wait = Duration::Seconds(10);
  StackTester t(config);
  ASSERT_TRUE(t.stack().Listen({wire::Ipv4Address(), 61442}).ok());
  t.Establish(false);  // from 61441
  t.connection()->Close();
  t.Poll();
  t.Fin();
  ASSERT_EQ(t.stack().time_wait(), 1u);
  const wire::Endpoint any{t.peer().local.address, 0};
  const auto connection = t.stack().Connect(any, t.peer().endpoint, nullptr, t.now());
  ASSERT_TRUE(connection.ok());
  EXPECT_EQ((*connection)->tuple().local.port, 61443);
  EXPECT_FALSE(t.stack().Connect(any, t.peer().endpoint, nullptr, t.now()).ok());
}

}  // namespace
}  // namespace luna::tcp
