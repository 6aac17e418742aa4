// Closing, in every variant; resets; TIME-WAIT.

#include <string>

#include "gtest/gtest.h"
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

const State kSynchronised[] = {State::kEstablished, State::kFinWait1, State::kFinWait2,
                               State::kCloseWait,   State::kClosing,  State::kLastAck};

// Closes actively, all the way to TIME-WAIT. Nothing is left in Out() and TakeEvents().
void ToTimeWait(StackTester& t) {
  t.Establish();
  t.connection()->Close();
  t.Poll();
  t.In({});
  t.Fin();
  EXPECT_EQ(t.TakeEvents(), EventBits::kPeerClosed | EventBits::kClosed);
  EXPECT_EQ(t.close_reason(), CloseReason::kNormal);
  EXPECT_EQ(t.stack().time_wait(), 1u);
  EXPECT_EQ(t.Out(), "FA 1+0 a1; A 2+0 a2");
  t.stack().Reap();
}

TEST(Close, Active) {
  StackTester t;
  Connection& c = t.Establish();
  c.Close();
  EXPECT_EQ(t.Out(), "FA 1+0 a1");
  EXPECT_EQ(c.state(), State::kFinWait1);
  t.In({});
  EXPECT_EQ(c.state(), State::kFinWait2);
  EXPECT_EQ(t.TakeEvents(), 0u);
  t.Fin();
  EXPECT_EQ(t.TakeEvents(), EventBits::kPeerClosed | EventBits::kClosed);
  EXPECT_EQ(t.close_reason(), CloseReason::kNormal);
  EXPECT_EQ(t.Out(), "A 2+0 a2");
  EXPECT_EQ(t.stack().connections(), 0u);
  EXPECT_EQ(t.stack().time_wait(), 1u);
  EXPECT_EQ(t.stack().Reap(), 1u);
  t.Run(Duration::Seconds(2));
  EXPECT_EQ(t.stack().time_wait(), 0u);
}

TEST(Close, ActiveWithFinAndAckInOne) {
  StackTester t;
  t.Establish();
  t.connection()->Close();
  t.Poll();
  t.Fin();
  EXPECT_EQ(t.TakeEvents(), EventBits::kPeerClosed | EventBits::kClosed);
  EXPECT_EQ(t.stack().time_wait(), 1u);
}

TEST(Close, Passive) {
  StackTester t;
  Connection& c = t.Establish();
  t.Fin();
  EXPECT_EQ(t.TakeEvents(), EventBits::kPeerClosed);
  EXPECT_TRUE(c.peer_closed());
  EXPECT_EQ(t.Out(), "A 1+0 a2");
  EXPECT_EQ(c.state(), State::kCloseWait);
  t.Send("last words");  // the other direction is open
  EXPECT_EQ(t.Out(), "PA 1+10 a2");
  c.Close();
  EXPECT_EQ(t.Out(), "FA 11+0 a2");
  EXPECT_EQ(c.state(), State::kLastAck);
  t.In({});
  EXPECT_EQ(t.TakeEvents(), EventBits::kClosed);
  EXPECT_EQ(t.close_reason(), CloseReason::kNormal);
  EXPECT_EQ(t.stack().time_wait(), 0u);
  EXPECT_EQ(t.stack().Reap(), 1u);
}

TEST(Close, Simultaneous) {
  StackTester t;
  Connection& c = t.Reach(State::kClosing);
  c.Close();
  t.In({.ack = 2});
  EXPECT_EQ(t.TakeEvents(), EventBits::kClosed);
  EXPECT_EQ(t.stack().time_wait(), 1u);
  EXPECT_EQ(t.stack().Reap(), 1u);
}

TEST(Close, HalfClose) {
  StackTester t;
  Connection& c = t.Establish();
  t.Send("request");
  c.ShutdownWrite();
  EXPECT_EQ(c.Send(t.Chain("x")), SendResult::kClosed);
  EXPECT_EQ(t.Out(), "PA 1+7 a1; FA 8+0 a1");
  t.In({});
  t.Data("response");
  EXPECT_EQ(t.TakeEvents(), EventBits::kReadable);
  EXPECT_EQ(t.Read(), "response");
  t.Run(Duration::Seconds(100));  // as long as the peer likes
  EXPECT_EQ(c.state(), State::kFinWait2);
  t.Fin();
  EXPECT_EQ(t.TakeEvents(), EventBits::kPeerClosed | EventBits::kClosed);
}

TEST(Close, QueuedDataGoesFirst) {
  StackTester t;
  Connection& c = t.Establish();
  t.peer().window = 4;
  t.In({});
  t.Send("12345678");
  c.Close();
  EXPECT_EQ(t.TakeEvents(), 0u);
  t.Run(Ms(5));
  EXPECT_EQ(t.Out(), "A 1+4 a1");
  t.peer().window = 100;
  t.In({});
  EXPECT_EQ(t.Out(), "FPA 5+4 a1");
}

TEST(Close, FinIsSentAgain) {
  for (State state : {State::kFinWait1, State::kClosing, State::kLastAck}) {
    StackTester t;
    t.Reach(state);
    t.Run(Ms(30));
    const auto out = t.TakeOut();
    ASSERT_EQ(out.size(), 3u) << Name(state);  // 4, 12, 28 ms
    for (const auto& segment : out) {
      EXPECT_TRUE(segment.header.Has(kFin));
      EXPECT_EQ(segment.seq, 1);
    }
    t.In({.ack = 2});
    t.Run(Ms(100));
    EXPECT_EQ(t.Out(), "");
  }
}

TEST(Close, WithUnreadDataResets) {
  StackTester t;
  Connection& c = t.Establish();
  t.Data("unread");
  t.Out();
  t.TakeEvents();
  c.Close();
  EXPECT_EQ(t.Out(), "RA 1+0 a7");
  EXPECT_EQ(t.TakeEvents(), EventBits::kClosed);
  EXPECT_EQ(t.close_reason(), CloseReason::kAborted);
  EXPECT_EQ(t.stack().Reap(), 1u);
  t.In({.payload = "more"});
  EXPECT_EQ(t.Out(), "R 1+0");
}

TEST(Close, DataAfterCloseResets) {
  for (const bool acknowledged : {false, true}) {
    StackTester t;
    Connection& c = t.Establish();
    c.Close();
    t.Poll();
    if (acknowledged) t.In({});
    t.Out();
    t.In({.payload = "nobody reads this"});
    EXPECT_EQ(t.Out(), "RA 2+0 a1");
    EXPECT_EQ(t.TakeEvents(), EventBits::kClosed);
    EXPECT_EQ(t.close_reason(), CloseReason::kAborted);
    EXPECT_EQ(t.drops(DropReason::kTcpClosedReceive), 1u);
  }
}

TEST(Close, DataAfterHalfCloseDoesNotReset) {
  StackTester t;
  t.Reach(State::kFinWait1);
  t.In({.ack = 1, .payload = "late"});
  EXPECT_EQ(t.Read(), "late");
}

TEST(Close, TwiceIsOnce) {
  StackTester t;
  Connection& c = t.Establish();
  c.Close();
  c.Close();
  c.ShutdownWrite();
  EXPECT_EQ(t.Out(), "FA 1+0 a1");
}

TEST(Close, InSynSentIsSilent) {
  StackTester t;
  t.Connect()->Close();
  EXPECT_EQ(t.Out(), "S 0+0");
  EXPECT_EQ(t.TakeEvents(), EventBits::kClosed);
  EXPECT_EQ(t.stack().Reap(), 1u);
  EXPECT_EQ(t.stack().connections(), 0u);
}

TEST(Close, FinWait2EndsByItselfOnlyWhenClosed) {
  StackTester t;
  Connection& c = t.Establish();
  c.ShutdownWrite();
  t.Poll();
  t.In({});
  t.Run(Duration::Seconds(60));
  EXPECT_EQ(c.state(), State::kFinWait2);
  c.Close();
  t.Run(Ms(4999));
  EXPECT_EQ(t.TakeEvents(), 0u);
  t.Run(Ms(2));
  EXPECT_EQ(t.TakeEvents(), EventBits::kClosed);
  t.Out();
  t.stack().Reap();
  t.Fin();  // too late
  EXPECT_EQ(t.Out(), "R 2+0");
}

TEST(Close, FinWait2OfAClosedConnectionEnds) {
  StackTester t;
  t.Establish();
  t.connection()->Close();
  t.Poll();
  t.In({});
  t.Run(Duration::Seconds(6));
  EXPECT_EQ(t.TakeEvents(), EventBits::kClosed);
  EXPECT_EQ(t.stack().Reap(), 1u);
}

TEST(Close, AnUnreachablePeerIsGivenUpSoonerOnceClosed) {
  StackConfig config = StackTester::Plain();
  config.data_retries = 10;
  config.closed_retries = 2;
  StackTester t(config);
  t.Establish();
  t.connection()->Close();
  t.Run(Duration::Seconds(5));
  EXPECT_EQ(t.TakeOut().size(), 3u);
  EXPECT_EQ(t.close_reason(), CloseReason::kTimedOut);
}

TEST(Close, ReadingGoesOnUntilTheEventOfTheEndIsHandled) {
  StackTester t;
  t.Establish();
  t.connection()->ShutdownWrite();
  t.Poll();
  t.In({.flags = kAck | kFin, .payload = "last"});
  EXPECT_EQ(t.TakeEvents(), EventBits::kReadable | EventBits::kPeerClosed | EventBits::kClosed);
  EXPECT_EQ(t.Read(), "last");
}

// --- Abort ---

TEST(Abort, InEveryState) {
  const struct {
    State state;
    const char* out;
  } kCases[] = {
      {State::kSynSent, ""},           {State::kSynReceived, "RA 1+0 a1"}, {State::kEstablished, "RA 1+0 a1"},
      {State::kFinWait1, "RA 2+0 a1"}, {State::kFinWait2, "RA 2+0 a1"},    {State::kCloseWait, "RA 1+0 a2"},
      {State::kClosing, "RA 2+0 a2"},  {State::kLastAck, "RA 2+0 a2"},
  };
  for (const auto& c : kCases) {
    StackTester t;
    Connection& connection = t.Reach(c.state);
    connection.Abort();
    EXPECT_EQ(t.Out(), c.out) << Name(c.state);
    EXPECT_EQ(t.TakeEvents(), EventBits::kClosed) << Name(c.state);
    EXPECT_EQ(t.close_reason(), CloseReason::kAborted);
    connection.Abort();
    EXPECT_EQ(connection.Send(t.Chain("x")), SendResult::kClosed);
    EXPECT_EQ(t.TakeEvents(), 0u);
    EXPECT_EQ(t.stack().Reap(), 1u);
    EXPECT_EQ(t.stack().connections(), 0u);
    t.Run(Duration::Seconds(10));
    EXPECT_EQ(t.Out(), "");
  }
}

TEST(Abort, DropsWhatWasQueued) {
  StackTester t;
  t.Establish();
  t.auto_flush = false;
  t.Send(std::string(5000, 'x'));
  t.connection()->Abort();
  EXPECT_EQ(t.Out(), "RA 1+0 a1");
}

// --- Resets (RFC 5961 §3.2): exact resets, in the window is challenged, elsewhere nothing ---

TEST(Reset, InEverySynchronisedState) {
  for (State state : kSynchronised) {
    StackTester t;
    Connection& c = t.Reach(state);
    const int64_t next = t.peer().next;
    t.In({.flags = kRst, .seq = next - 1});
    t.In({.flags = kRst, .seq = next + c.receiver().window()});  // the right edge is outside
    t.In({.flags = kRst, .seq = next + c.receiver().window() + 1});
    EXPECT_EQ(t.Out(), "") << Name(state);
    t.In({.flags = kRst, .seq = next + 1});
    t.In({.flags = kRst, .seq = next + (state == State::kEstablished ? 65534 : 60000)});
    const auto challenges = t.TakeOut();
    EXPECT_EQ(challenges.size(), 2u) << Name(state);
    for (const auto& out : challenges) EXPECT_EQ(out.ack, next);
    EXPECT_EQ(c.state(), state);
    EXPECT_EQ(t.TakeEvents(), 0u);
    t.In({.flags = kRst, .seq = next});
    EXPECT_EQ(t.TakeEvents(), EventBits::kClosed) << Name(state);
    EXPECT_EQ(t.close_reason(), CloseReason::kReset);
    EXPECT_EQ(t.Out(), "");
    EXPECT_EQ(t.stack().connections(), 0u);
    EXPECT_EQ(t.stack().Reap(), 1u);
  }
}

TEST(Reset, AtAClosedWindow) {
  StackConfig config = StackTester::Plain();
  config.receive_buffer_bytes = 100;
  StackTester t(config);
  t.Establish();
  t.Data(std::string(100, 'x'));
  EXPECT_EQ(t.last().header.window, 0);
  t.In({.flags = kRst, .seq = 102});
  EXPECT_EQ(t.connection()->state(), State::kEstablished);
  t.In({.flags = kRst});
  EXPECT_EQ(t.close_reason(), CloseReason::kReset);
  EXPECT_EQ(t.Read(), std::string(100, 'x'));  // what came before may be read until Reap()
}

TEST(Reset, ASynOnAnOpenConnectionIsChallenged) {
  for (State state : kSynchronised) {
    for (const int64_t offset : {int64_t{0}, int64_t{1000}, int64_t{-5}, int64_t{1000000}}) {
      for (const uint16_t flags : {kSyn, static_cast<uint16_t>(kSyn | kAck)}) {
        StackTester t;
        Connection& c = t.Reach(state);
        const int64_t next = t.peer().next;
        t.In({.flags = flags, .seq = next + offset});
        const auto out = t.TakeOut();
        ASSERT_EQ(out.size(), 1u) << Name(state) << offset;
        EXPECT_EQ(out[0].header.flags, kAck);
        EXPECT_EQ(out[0].ack, next);
        EXPECT_EQ(c.state(), state);
        EXPECT_EQ(t.TakeEvents(), 0u);
      }
    }
  }
}

TEST(Reset, ChallengesAreLimited) {
  StackConfig config = StackTester::Plain();
  config.challenge_acks_per_second = 4;  // each second's budget is secret: two to six
  StackTester t(config);
  t.Establish();
  for (int i = 0; i < 10; ++i) {
    t.In({.flags = kRst, .seq = 5});
    t.In({.flags = kSyn, .seq = 5});
    t.In({.seq = 100000});
  }
  const size_t answers = t.TakeOut().size();
  EXPECT_GE(answers, 2u);
  EXPECT_LE(answers, 6u);
  EXPECT_EQ(t.drops(DropReason::kTcpChallengeAckRateLimited), 30 - answers);
  t.Run(Duration::Seconds(1));
  t.In({.flags = kRst, .seq = 5});
  EXPECT_EQ(t.TakeOut().size(), 1u);
}

// Nor may one connection use up what others need (CVE-2016-5696).
TEST(Reset, ChallengesOfOneConnectionAreLimited) {
  StackConfig config = StackTester::Plain();
  config.challenge_acks_per_connection = 3;
  StackTester t(config);
  t.Establish();
  for (int i = 0; i < 10; ++i) t.In({.flags = kRst, .seq = 5});
  EXPECT_EQ(t.TakeOut().size(), 3u);
  t.NewPeer();
  t.Establish();
  for (int i = 0; i < 10; ++i) t.In({.flags = kRst, .seq = 5});
  EXPECT_EQ(t.TakeOut().size(), 3u);
  t.Run(Duration::Seconds(1));
  t.In({.flags = kRst, .seq = 5});
  EXPECT_EQ(t.TakeOut().size(), 1u);
}

// The number before RCV.NXT is that of a probe, which is answered; but two ends that each take the other's answers for
// probes (somebody has injected an octet on both sides) must not go on for ever.
TEST(Reset, AnswersToProbesAreLimitedAndNoChallengeUsesThemUp) {
  StackTester t;
  t.Establish();
  for (int i = 0; i < 100; ++i) t.In({.flags = kRst, .seq = 5});
  t.TakeOut();
  for (int i = 0; i < 100; ++i) t.In({.seq = 0});
  EXPECT_EQ(t.TakeOut().size(), StackConfig().probe_answers_per_connection);
  for (int i = 0; i < 5; ++i) {
    t.Run(Duration::Seconds(1));
    t.In({.seq = 0});
    EXPECT_EQ(t.Out(), "A 1+0 a1");
  }
}

TEST(Reset, ToSegmentsWithoutConnection) {
  const struct {
    uint16_t flags;
    const char* payload;
    const char* out;
  } kCases[] = {
      {kAck, "", "R 9+0"},     {kAck, "abc", "R 9+0"},     {kAck | kFin, "", "R 9+0"},
      {kSyn, "", "RA 0+0 a1"}, {kSyn, "abc", "RA 0+0 a4"}, {kFin, "", "RA 0+0 a1"},
      {0, "abc", "RA 0+0 a3"}, {kSyn | kAck, "", "R 9+0"}, {kRst, "", ""},
      {kRst | kAck, "", ""},   {kRst | kSyn, "", ""},
  };
  for (const auto& c : kCases) {
    StackTester t;
    t.In({.flags = c.flags, .seq = 0, .ack = 9, .payload = c.payload});
    EXPECT_EQ(t.Out(), c.out) << c.flags << " " << c.payload;
    EXPECT_EQ(t.drops(DropReason::kTcpNoConnection), 1u);
  }
}

TEST(Reset, RepliesAreLimited) {
  StackConfig config = StackTester::Plain();
  config.resets_per_second = 6;  // three to nine
  StackTester t(config);
  for (int i = 0; i < 20; ++i) t.In({.payload = "x"});
  const size_t answers = t.TakeOut().size();
  EXPECT_GE(answers, 3u);
  EXPECT_LE(answers, 9u);
  EXPECT_EQ(t.drops(DropReason::kTcpRstRateLimited), 20 - answers);
  t.Run(Duration::Seconds(1));
  t.In({});
  EXPECT_EQ(t.TakeOut().size(), 1u);
}

// --- TIME-WAIT ---

TEST(TimeWaitState, ResetsAreIgnored) {
  StackTester t;
  ToTimeWait(t);
  for (int64_t seq : {2, 1, 3, 100}) t.In({.flags = kRst, .seq = seq});
  EXPECT_EQ(t.Out(), "");
  EXPECT_EQ(t.stack().time_wait(), 1u);
}

TEST(TimeWaitState, TheFinAgainIsAcknowledgedAndExtends) {
  StackTester t;
  ToTimeWait(t);
  t.Run(Ms(900));
  t.In({.flags = kAck | kFin, .seq = 1});
  EXPECT_EQ(t.Out(), "A 2+0 a2");
  EXPECT_EQ(t.last().header.window, 0xffff);  // the right edge does not move left (SHLD-14)
  t.Run(Ms(900));
  EXPECT_EQ(t.stack().time_wait(), 1u);
  t.Run(Ms(150));
  EXPECT_EQ(t.stack().time_wait(), 0u);
}

TEST(TimeWaitState, StrayDataIsAcknowledgedAndDoesNotExtend) {
  StackTester t;
  ToTimeWait(t);
  t.Run(Ms(900));
  t.In({.seq = 1, .payload = "x"});
  t.In({.flags = kAck | kFin, .seq = 5000});
  EXPECT_EQ(t.Out(), "A 2+0 a2; A 2+0 a2");
  t.In({.seq = 2});  // a plain acknowledgement: nothing to say
  EXPECT_EQ(t.Out(), "");
  t.Run(Ms(150));
  EXPECT_EQ(t.stack().time_wait(), 0u);
}

TEST(TimeWaitState, ASynWithALaterNumberReopens) {
  StackTester t;
  ToTimeWait(t);
  const uint32_t last = t.peer().stack_isn + 2;
  t.peer().next = 3;
  t.In({.flags = kSyn});
  EXPECT_EQ(t.stack().time_wait(), 0u);
  EXPECT_EQ(t.last().header.flags, kSyn | kAck);
  EXPECT_GT(static_cast<int32_t>(t.last().header.sequence - last), 0);  // beyond the predecessor's numbers
  t.In({.seq = 4});
  EXPECT_EQ(t.TakeEvents(), EventBits::kAccepted);
}

TEST(TimeWaitState, AnOldSynDoesNot) {
  StackTester t;
  ToTimeWait(t);
  t.In({.flags = kSyn, .seq = 2});  // RCV.NXT itself
  t.In({.flags = kSyn, .seq = 0});
  EXPECT_EQ(t.Out(), "A 2+0 a2; A 2+0 a2");
  EXPECT_EQ(t.stack().time_wait(), 1u);
}

TEST(TimeWaitState, WithTimestampsTheTimestampDecides) {
  for (const bool later : {false, true}) {
    StackConfig config = StackTester::Plain();
    config.timestamps = true;
    StackTester t(config);
    t.peer().syn_options = SynOptions(1460, absl::nullopt, 1000);
    ToTimeWait(t);
    t.peer().syn_options.tsval = later ? 1001 : 999;
    t.In({.flags = kSyn, .seq = later ? -50000 : 50000});  // the numbers say the opposite
    EXPECT_EQ(t.stack().time_wait(), later ? 0u : 1u);
  }
}

TEST(TimeWaitState, ReopensBeyondTheNumbersOfAFastPredecessor) {
  StackConfig config = StackTester::Plain();
  config.send_buffer_bytes = 4u << 20;
  StackTester t(config);
  t.Establish();
  // A megabyte in no time: the ISN clock has not moved meanwhile.
  for (int i = 0; i < 1000; ++i) {
    t.Send(std::string(1000, 'x'));
    t.In({});
  }
  t.connection()->Close();
  t.Poll();
  t.In({});
  t.Fin();
  t.stack().Reap();
  const uint32_t end = t.last().header.sequence;
  t.In({.flags = kSyn, .seq = 100});
  EXPECT_EQ(t.last().header.flags, kSyn | kAck);
  EXPECT_GT(static_cast<int32_t>(t.last().header.sequence - end), 0);
}

// In batch mode the successor may exist before the predecessor is reaped.
TEST(TimeWaitState, ReapingThePredecessorLeavesTheSuccessor) {
  StackTester t;
  t.Establish();
  t.connection()->Close();
  t.Poll();
  t.In({});
  t.Fin();
  EXPECT_EQ(t.stack().time_wait(), 1u);
  t.In({.flags = kSyn, .seq = 100});
  EXPECT_EQ(t.stack().connections(), 1u);
  EXPECT_EQ(t.stack().Reap(), 1u);
  EXPECT_EQ(t.stack().connections(), 1u);
  EXPECT_EQ(t.stack().time_wait(), 0u);
  t.peer().next = 101;
  t.In({});
  EXPECT_TRUE(t.TakeEvents() & EventBits::kAccepted);
}

TEST(TimeWaitState, WithoutAListenerASynIsAnsweredAsBefore) {
  StackTester t;
  t.Establish(false);
  t.connection()->Close();
  t.Poll();
  t.In({});
  t.Fin();
  t.Out();
  t.In({.flags = kSyn, .seq = 100});
  EXPECT_EQ(t.Out(), "A 2+0 a2");
  EXPECT_EQ(t.stack().time_wait(), 1u);
}

TEST(TimeWaitState, ThePortsAreTaken) {
  StackTester t;
  t.Establish(false);
  t.connection()->Close();
  t.Poll();
  t.In({});
  t.Fin();
  t.stack().Reap();
  const auto again = t.stack().Connect(t.peer().local, t.peer().endpoint, nullptr, t.now());
  EXPECT_EQ(again.status().code(), absl::StatusCode::kAlreadyExists);
  t.Run(Duration::Seconds(2));
  EXPECT_TRUE(t.stack().Connect(t.peer().local, t.peer().endpoint, nullptr, t.now()).ok());
}

}  // namespace
}  // namespace luna::tcp
