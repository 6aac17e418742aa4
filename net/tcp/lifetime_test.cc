// How connections end other than by the exchange of FINs: keep-alive, user timeout, lingering, FIN-WAIT-2, orphans.

#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "luna/net/ip/finish_checksum.h"
#include "luna/net/tcp/testing/stack_tester.h"

namespace luna::tcp {
namespace {

using testing::kAck;
using testing::kFin;
using testing::kRst;
using testing::kSyn;
using testing::StackTester;

constexpr Duration Ms(int64_t n) { return Duration::Milliseconds(n); }
constexpr Duration Sec(int64_t n) { return Duration::Seconds(n); }

// Idle 10 s, then a probe each second, three of them.
StackConfig KeepsAlive() {
  StackConfig config = StackTester::Plain();
  config.keep_alive = true;
  config.keep_alive_idle = Sec(10);
  config.keep_alive_interval = Sec(1);
  config.keep_alive_probes = 3;
  return config;
}

// --- Keep-alive ---

TEST(KeepAlive, IsOffByDefault) {  // RFC 9293 MUST-25
  EXPECT_FALSE(StackConfig::DataCentre().keep_alive);
  EXPECT_FALSE(StackConfig::Rfc().keep_alive);
  StackTester t;
  Connection& c = t.Establish();
  t.Run(Sec(100000));
  EXPECT_EQ(t.Out(), "");
  EXPECT_EQ(c.state(), State::kEstablished);
}

TEST(KeepAlive, IdlesTwoHoursByDefault) {  // MUST-28
  EXPECT_GE(StackConfig::DataCentre().keep_alive_idle, Sec(7200));
  EXPECT_GE(StackConfig::Rfc().keep_alive_idle, Sec(7200));
}

// MUST-24, MUST-26, MUST-27, SHLD-12: per connection, when idle, as often as was said, without data.
TEST(KeepAlive, ProbesWhenIdle) {
  for (const bool passive : {true, false}) {
    StackTester t;
    Connection& c = t.Establish(passive);
    ConnectionOptions options = c.options();
    options.keep_alive = true;
    options.keep_alive_idle = Sec(5);
    ASSERT_TRUE(c.SetOptions(options, t.now()).ok());
    t.Run(Ms(4999));
    EXPECT_EQ(t.Out(), "");
    t.Run(Ms(2));
    EXPECT_EQ(t.Out(), "A 0+0 a1");  // SEG.SEQ = SND.NXT - 1
    t.In({});
    EXPECT_EQ(t.TakeEvents(), 0u);
    t.Run(Ms(4990));
    EXPECT_EQ(t.Out(), "");
    t.Run(Ms(20));
    EXPECT_EQ(t.Out(), "A 0+0 a1");
    EXPECT_EQ(t.stack().counters().keep_alive_probes.value(), 2u);
  }
}

TEST(KeepAlive, EverySegmentOfThePeerIsASignOfLife) {
  StackTester t(KeepsAlive());
  t.Establish();
  for (int i = 0; i < 5; ++i) {
    t.Run(Sec(9));
    t.Data("x");
    EXPECT_EQ(t.Read(), "x");
  }
  t.TakeOut();
  t.Run(Ms(9999));
  EXPECT_EQ(t.Out(), "");
  t.Run(Ms(2));
  EXPECT_EQ(t.Out(), "A 0+0 a6");
}

// The number before SND.NXT is not acceptable, and a peer may ignore all else that the probe says.
TEST(KeepAlive, AProbeStandsForNoAcknowledgement) {
  StackConfig config = KeepsAlive();
  config.keep_alive_idle = Duration::Microseconds(400);
  config.delayed_ack = Duration::Microseconds(500);
  StackTester t(config);
  t.Establish();
  t.In({});
  t.Data("x");
  t.Run(Duration::Microseconds(450));
  EXPECT_EQ(t.Out(), "A 0+0 a2");
  t.Run(Duration::Microseconds(100));
  EXPECT_EQ(t.Out(), "A 1+0 a2");
}

// MUST-29: one unanswered probe, or two, is not death; a late answer begins it all again.
TEST(KeepAlive, OneMissingAnswerIsNotDeath) {
  StackTester t(KeepsAlive());
  Connection& c = t.Establish();
  t.Run(Ms(12500));
  EXPECT_EQ(t.Out(), "A 0+0 a1; A 0+0 a1; A 0+0 a1");
  EXPECT_EQ(c.state(), State::kEstablished);
  EXPECT_EQ(c.Info(t.now()).probes, 3);
  t.In({});
  EXPECT_EQ(c.Info(t.now()).probes, 0);
  t.Run(Ms(9900));
  EXPECT_EQ(t.Out(), "");
  EXPECT_EQ(c.state(), State::kEstablished);
}

TEST(KeepAlive, GivesUpAfterAllProbesAndResets) {
  StackTester t(KeepsAlive());
  t.Establish();
  t.Run(Ms(12999));
  EXPECT_EQ(t.TakeEvents(), 0u);
  t.TakeOut();
  t.Run(Ms(2));
  EXPECT_EQ(t.TakeEvents(), EventBits::kClosed);
  EXPECT_EQ(t.close_reason(), CloseReason::kKeepAlive);
  EXPECT_EQ(t.Out(), "RA 1+0 a1");
}

TEST(KeepAlive, WaitsWhileSomethingIsUnderWay) {
  StackConfig config = KeepsAlive();
  config.rto_initial = config.rto_min = config.rto_max = Sec(60);
  StackTester t(config);
  t.Establish();
  t.Send("x");
  EXPECT_EQ(t.Out(), "PA 1+1 a1");
  t.Run(Sec(50));
  EXPECT_EQ(t.Out(), "");
}

TEST(KeepAlive, WorksHalfClosedAndStopsWhenOff) {
  StackTester t(KeepsAlive());
  Connection& c = t.Reach(State::kFinWait2);
  t.Run(Ms(10001));
  EXPECT_EQ(t.Out(), "A 1+0 a1");
  t.In({});
  ConnectionOptions options = c.options();
  options.keep_alive = false;
  ASSERT_TRUE(c.SetOptions(options, t.now()).ok());
  t.Run(Sec(1000));
  EXPECT_EQ(t.Out(), "");
}

// The user timeout takes the place of the number of probes (Linux and RFC 5482 §4.2 alike).
TEST(KeepAlive, UserTimeoutDecidesInsteadOfTheCount) {
  StackConfig config = KeepsAlive();
  config.user_timeout = Sec(25);
  StackTester t(config);
  Connection& c = t.Establish();
  t.Run(Ms(24900));
  EXPECT_EQ(c.state(), State::kEstablished);
  EXPECT_GT(t.TakeOut().size(), 10u);
  t.Run(Ms(200));
  EXPECT_EQ(t.TakeEvents(), EventBits::kClosed);
  EXPECT_EQ(t.close_reason(), CloseReason::kKeepAlive);
}

// --- User timeout (RFC 9293 §3.9.1.1, RFC 5482) ---

TEST(UserTimeout, EndsUnacknowledgedDataInTime) {
  for (const int64_t seconds : {3, 40}) {  // less and more than data_retries would give it
    StackTester t;
    Connection& c = t.Establish();
    ConnectionOptions options = c.options();
    options.user_timeout = Sec(seconds);
    ASSERT_TRUE(c.SetOptions(options, t.now()).ok());
    t.Run(Sec(100));  // idle time does not count
    t.Send("x");
    t.Run(Sec(seconds) - Ms(1));
    EXPECT_EQ(t.TakeEvents() & EventBits::kClosed, 0u) << seconds;
    t.Run(Ms(2));
    EXPECT_TRUE(t.TakeEvents() & EventBits::kClosed) << seconds;
    EXPECT_EQ(t.close_reason(), CloseReason::kTimedOut);
  }
}

TEST(UserTimeout, ProgressBeginsItAgain) {
  StackConfig config = StackTester::Plain();
  config.user_timeout = Sec(3);
  StackTester t(config);
  Connection& c = t.Establish();
  t.Send("abcdef");
  for (int i = 1; i <= 5; ++i) {
    t.Run(Ms(2900));
    t.In({.ack = 1 + i});
  }
  EXPECT_EQ(c.state(), State::kEstablished);
  t.Run(Ms(3100));
  EXPECT_EQ(c.state(), State::kClosed);
}

TEST(UserTimeout, EndsTheHandshake) {
  StackConfig config = StackTester::Plain();
  config.user_timeout = Ms(350);
  StackTester t(config);
  t.Connect();
  t.Run(Ms(349));
  EXPECT_EQ(t.TakeEvents(), 0u);
  t.Run(Ms(2));
  EXPECT_EQ(t.TakeEvents(), EventBits::kClosed);
  EXPECT_EQ(t.close_reason(), CloseReason::kTimedOut);
}

// MUST-37: a peer that answers probes of its closed window is not given up; with a user timeout it is.
TEST(UserTimeout, EndsTheProbingOfAClosedWindow) {
  for (const bool limited : {false, true}) {
    StackConfig config = StackTester::Plain();
    if (limited) config.user_timeout = Sec(20);
    StackTester t(config);
    Connection& c = t.Establish();
    t.peer().window = 0;
    t.In({});
    t.Send("x");
    for (int i = 0; i < 60; ++i) {
      t.Run(Ms(500));
      if (c.state() == State::kClosed) break;
      t.In({.ack = 1});
    }
    EXPECT_EQ(c.state(), limited ? State::kClosed : State::kEstablished);
  }
}

// --- R2 by count ---

TEST(Retries, AreThoseOfTheConnection) {  // MUST-21: the application can set R2
  StackTester t;
  Connection& c = t.Establish();
  ConnectionOptions options = c.options();
  options.data_retries = 2;
  ASSERT_TRUE(c.SetOptions(options, t.now()).ok());
  t.Send("x");
  t.Run(Sec(100));
  EXPECT_TRUE(t.TakeEvents() & EventBits::kClosed);
  EXPECT_EQ(t.close_reason(), CloseReason::kTimedOut);
  EXPECT_LE(t.TakeOut().size(), 4u);
}

// An old SYN-ACK's acknowledgement has opened the peer, and a newer one this connection: each finds what the other
// sends out of its window and answers with its own numbers (RFC 9293 §3.10.7.4). Neither resets; so such answers must
// be none.
TEST(Retries, CountThoughTheEndOfAnotherConnectionAnswers) {
  constexpr int64_t kStrange[] = {int64_t{1} << 30, -(int64_t{1} << 30), 1000};  // the last: within the window
  for (const int64_t seq : kStrange) {
    for (const bool shut : {false, true}) {
      SCOPED_TRACE(absl::StrCat(seq, shut ? " shut" : " open"));
      StackConfig config = StackTester::Plain();
      config.data_retries = 5;
      StackTester t(config);
      Connection& c = t.Establish();
      if (shut) {
        t.peer().window = 0;
        t.In({});
      }
      t.Send("x");
      for (int i = 0; i < 3000 && c.state() != State::kClosed; ++i) {
        t.Run(Ms(1));
        t.In({.seq = seq, .ack = 700000, .window = 1000});
        t.In({.seq = seq, .ack = 700000, .payload = "of another connection", .window = 1000});
      }
      EXPECT_EQ(c.state(), State::kClosed);
      EXPECT_EQ(t.close_reason(), CloseReason::kTimedOut);
    }
  }
}

TEST(Retries, OfTheSynAreThoseOfTheConnection) {
  StackTester t;
  ConnectionOptions options = t.stack().config();
  options.syn_retries = 1;
  ASSERT_TRUE(t.stack().Connect(t.peer().local, t.peer().endpoint, nullptr, t.now(), options).ok());
  t.Run(Sec(100));
  EXPECT_EQ(t.TakeOut().size(), 2u);
  EXPECT_EQ(t.close_reason(), CloseReason::kTimedOut);
}

// What only a cork holds back is owed from when it leaves.
TEST(UserTimeout, DoesNotCountWhileACorkHolds) {
  StackTester t;
  Connection& c = t.Establish();
  ConnectionOptions options = c.options();
  options.user_timeout = Ms(150);
  options.cork = true;
  ASSERT_TRUE(c.SetOptions(options, t.now()).ok());
  t.Send("x");
  t.Run(Ms(190));
  EXPECT_EQ(t.TakeEvents(), 0u);
  t.Run(Ms(20));  // StackConfig::cork_limit
  EXPECT_GE(t.TakeOut().size(), 1u);
  t.In({});
  t.Run(Sec(1));
  EXPECT_EQ(t.TakeEvents(), 0u);
}

// A connection in TIME-WAIT that the application still holds: no option arms its timer again.
TEST(KeepAlive, DoesNothingAfterTheEnd) {
  StackTester t;
  Connection& c = t.Reach(State::kFinWait2);
  t.on_event = [&](const Event& event) {
    if (!event.Has(EventBits::kClosed)) return;
    ConnectionOptions options = c.options();
    options.keep_alive = true;
    EXPECT_TRUE(c.SetOptions(options, t.now()).ok());
  };
  t.Fin();
  EXPECT_TRUE(t.TakeEvents() & EventBits::kClosed);
  EXPECT_EQ(t.stack().Reap(), 1u);
}

// MUST-20, MUST-22, SHLD-9, SHLD-10: R1 is told, once, and nothing has ended.
TEST(Retries, R1IsReported) {
  for (const bool handshake : {true, false}) {
    for (const bool report : {true, false}) {
      StackTester t;
      ASSERT_EQ(t.stack().config().r1_retries, 3u);
      Connection& c = handshake ? *t.Connect() : t.Establish();
      ConnectionOptions options = c.options();
      options.report_soft_errors = report;
      ASSERT_TRUE(c.SetOptions(options, t.now()).ok());
      if (!handshake) t.Send("x");
      t.TakeOut();
      while (t.stack().counters().timeouts.value() < 2) t.Run(Duration::Milliseconds(1));
      EXPECT_EQ(c.soft_error(), NetworkError::kNone);
      EXPECT_EQ(t.TakeEvents(), 0u);
      while (t.stack().counters().timeouts.value() < 3) t.Run(Duration::Milliseconds(1));
      EXPECT_EQ(c.TakeSoftError(), NetworkError::kNoAnswer);
      EXPECT_EQ(t.TakeEvents(), report ? EventBits::kSoftError : 0u);
      while (t.stack().counters().timeouts.value() < 5) t.Run(Duration::Milliseconds(1));
      EXPECT_EQ(c.soft_error(), NetworkError::kNone);
      EXPECT_EQ(t.TakeEvents(), 0u);
    }
  }
}

// --- Linger ---

Connection& Lingering(StackTester& t, Duration time) {
  Connection& c = t.Establish();
  ConnectionOptions options = c.options();
  options.linger = true;
  options.linger_time = time;
  EXPECT_TRUE(c.SetOptions(options, t.now()).ok());
  return c;
}

TEST(Linger, WithoutTimeCloseIsReset) {
  StackTester t;
  Connection& c = Lingering(t, Duration::Zero());
  t.Send("lost");
  c.Close();
  EXPECT_EQ(t.Out(), "PA 1+4 a1; RA 5+0 a1");
  EXPECT_EQ(t.TakeEvents(), EventBits::kClosed);
  EXPECT_EQ(t.close_reason(), CloseReason::kAborted);
}

TEST(Linger, WithoutTimeInSynSentSaysNothing) {
  StackTester t;
  Connection& c = t.Reach(State::kSynSent);
  ConnectionOptions options = c.options();
  options.linger = true;
  ASSERT_TRUE(c.SetOptions(options, t.now()).ok());
  c.Close();
  EXPECT_EQ(t.Out(), "");
  EXPECT_EQ(t.TakeEvents(), EventBits::kClosed);
}

TEST(Linger, OffCloseIsFinAndNoEventTellsOfIt) {
  StackTester t;
  Connection& c = t.Establish();
  t.Send("x");
  c.Close();
  EXPECT_EQ(t.Out(), "PA 1+1 a1; FA 2+0 a1");
  t.In({});
  EXPECT_EQ(t.TakeEvents(), 0u);
}

TEST(Linger, TellsWhenAllIsAcknowledged) {
  StackTester t;
  Connection& c = Lingering(t, Sec(1));
  t.Send("data");
  c.Close();
  EXPECT_EQ(t.Out(), "PA 1+4 a1; FA 5+0 a1");
  t.In({.ack = 5});
  EXPECT_EQ(t.TakeEvents(), 0u);
  t.In({.ack = 6});
  EXPECT_EQ(t.TakeEvents(), EventBits::kLingered);
  EXPECT_EQ(c.state(), State::kFinWait2);
  t.Fin();
  EXPECT_TRUE(t.TakeEvents() & EventBits::kClosed);
}

TEST(Linger, TellsWhenTheTimeIsUpAndGoesOnAlone) {
  StackConfig config = StackTester::Plain();
  config.closed_retries = 20;
  StackTester t(config);
  Connection& c = Lingering(t, Sec(1));
  t.Send("data");
  c.Close();
  t.Run(Ms(990));
  EXPECT_EQ(t.TakeEvents(), 0u);
  t.Run(Ms(20));
  EXPECT_EQ(t.TakeEvents(), EventBits::kLingered);
  EXPECT_EQ(c.state(), State::kFinWait1);
  t.In({.ack = 6});
  EXPECT_EQ(t.TakeEvents(), 0u);
  EXPECT_EQ(c.state(), State::kFinWait2);
}

TEST(Linger, InASimultaneousOpenHasItsTimeToo) {
  StackConfig config = StackTester::Plain();
  config.linger = true;
  config.linger_time = Sec(1);
  StackTester t(config);
  Connection& c = t.Reach(State::kSynReceived);
  c.Close();
  t.Run(Ms(10));
  t.In({});
  EXPECT_EQ(c.state(), State::kFinWait1);
  t.Run(Ms(980));
  EXPECT_EQ(t.TakeEvents(), 0u);
  t.Run(Ms(20));
  EXPECT_EQ(t.TakeEvents(), EventBits::kLingered);
}

TEST(Linger, AfterShutdownThatIsAcknowledgedIsOverAtOnce) {
  StackTester t;
  Connection& c = Lingering(t, Sec(1));
  c.ShutdownWrite();
  t.Poll();
  t.In({});
  c.Close();
  t.Poll();
  EXPECT_EQ(t.TakeEvents(), EventBits::kLingered);
}

TEST(Linger, InLastAckEndsWithTheConnection) {
  StackTester t;
  Connection& c = Lingering(t, Sec(1));
  t.Fin();
  c.Close();
  t.Poll();
  t.TakeEvents();
  t.In({});
  EXPECT_EQ(t.TakeEvents(), EventBits::kLingered | EventBits::kClosed);
}

// --- FIN-WAIT-2 (TCP_LINGER2) ---

TEST(FinWait2, ClosedConnectionWaitsForItsOwnTimeThenStrangersAreReset) {
  StackTester t;
  Connection& c = t.Establish();
  ConnectionOptions options = c.options();
  options.fin_wait_2 = Sec(1);
  ASSERT_TRUE(c.SetOptions(options, t.now()).ok());
  c.Close();
  t.Poll();
  t.In({});
  t.TakeOut();
  t.Run(Ms(999));
  EXPECT_EQ(t.TakeEvents(), 0u);
  t.Run(Ms(2));
  EXPECT_EQ(t.TakeEvents(), EventBits::kClosed);
  EXPECT_EQ(t.close_reason(), CloseReason::kNoFin);
  EXPECT_EQ(t.stack().Reap(), 1u);
  t.In({});
  EXPECT_EQ(t.Out(), "R 2+0");
}

TEST(FinWait2, OfZeroEndsAtOnce) {
  StackConfig config = StackTester::Plain();
  config.fin_wait_2 = Duration::Zero();
  StackTester t(config);
  t.Establish().Close();
  t.Poll();
  t.In({});
  EXPECT_EQ(t.TakeEvents(), EventBits::kClosed);
}

TEST(FinWait2, OfAnOpenConnectionHasNoEnd) {
  StackTester t;
  Connection& c = t.Reach(State::kFinWait2);
  t.Run(Sec(100000));
  EXPECT_EQ(c.state(), State::kFinWait2);
}

// --- Orphans ---

TEST(Orphans, AreBounded) {
  StackConfig config = StackTester::Plain();
  config.max_orphans = 2;
  StackTester t(config);
  t.Listen();
  for (int i = 0; i < 3; ++i) {
    if (i > 0) t.NewPeer();
    t.In({.flags = kSyn});
    t.In({});
    t.TakeOut();
    t.connection()->Close();
    EXPECT_EQ(t.Out(), i < 2 ? "FA 1+0 a1" : "RA 1+0 a1");
  }
  EXPECT_EQ(t.close_reason(), CloseReason::kOutOfOrphans);
  EXPECT_EQ(t.stack().counters().orphans_refused.value(), 1u);
  t.In({.flags = kRst});  // a stranger by now
  t.SwitchTo(t.peer());
}

TEST(Orphans, ThatEndMakeRoom) {
  StackConfig config = StackTester::Plain();
  config.max_orphans = 1;
  StackTester t(config);
  t.Listen();
  for (int i = 0; i < 3; ++i) {
    if (i > 0) t.NewPeer();
    t.In({.flags = kSyn});
    t.In({});
    t.connection()->Close();
    t.Poll();
    t.Fin();
    EXPECT_EQ(t.close_reason(), CloseReason::kNormal);
    t.stack().Reap();
  }
  EXPECT_EQ(t.stack().counters().orphans_refused.value(), 0u);
}

// --- Half-close for reading ---

TEST(ShutdownRead, WhatComesIsAcknowledgedAndDropped) {
  StackTester t;
  Connection& c = t.Establish();
  t.Data("read me");
  t.TakeEvents();
  c.ShutdownRead();
  const uint32_t window = t.last().header.window;
  t.Data(std::string(1000, 'x'));
  EXPECT_EQ(t.TakeEvents(), 0u);
  EXPECT_EQ(t.Read(), "read me");
  for (int i = 0; i < 100; ++i) t.Data(std::string(1000, 'y'));
  EXPECT_EQ(c.readable_bytes(), 0u);
  EXPECT_GE(t.last().header.window + 2000u, window);
  t.TakeOut();
  t.Send("writing goes on");
  EXPECT_EQ(t.Out(), "PA 1+15 a101008");
  t.Fin();
  EXPECT_EQ(t.TakeEvents(), EventBits::kPeerClosed);
  c.Close();
  EXPECT_EQ(t.Out(), "A 16+0 a101009; FA 16+0 a101009");
}

TEST(ShutdownRead, OfBothWaysIsNoReset) {
  StackTester t;
  Connection& c = t.Establish();
  c.ShutdownRead();
  c.ShutdownWrite();
  EXPECT_EQ(t.Out(), "FA 1+0 a1");
  t.In({});
  t.Data("late");
  EXPECT_EQ(t.Out(), "A 2+0 a5");
  EXPECT_EQ(c.state(), State::kFinWait2);
}

// --- Self connect ---

TEST(SelfConnect, OpensSimultaneouslyWithItself) {
  StackTester t;
  t.auto_flush = false;
  const wire::Endpoint self = t.peer().local;
  const auto connection = t.stack().Connect(self, self, nullptr, t.now());
  ASSERT_TRUE(connection.ok()) << connection.status();
  for (int i = 0; i < 8; ++i) {
    ip::OutBatch batch;
    t.stack().Flush(t.now(), 64, &batch);
    for (ip::OutDatagram& out : batch) {
      ip::FinishChecksum(out);
      ip::Datagram in;
      in.source = out.source;
      in.destination = out.destination;
      in.packet.data = std::move(out.packet.data);
      t.stack().Ingest(std::move(in), t.now());
    }
  }
  EXPECT_EQ((*connection)->state(), State::kEstablished);
  EXPECT_EQ((*connection)->Send(t.Chain("to myself")), SendResult::kOk);
  for (int i = 0; i < 4; ++i) {
    ip::OutBatch batch;
    t.stack().Flush(t.now(), 64, &batch);
    for (ip::OutDatagram& out : batch) {
      ip::FinishChecksum(out);
      ip::Datagram in;
      in.source = out.source;
      in.destination = out.destination;
      in.packet.data = std::move(out.packet.data);
      t.stack().Ingest(std::move(in), t.now());
    }
  }
  EXPECT_EQ((*connection)->Read().ToString(), "to myself");
}

}  // namespace
}  // namespace luna::tcp
