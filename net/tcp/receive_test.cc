// The receive half on the wire: SACK and D-SACK, when acknowledgements leave, FIN and RST in odd places, buffers that
// change, the timestamp clock. (Order, windows and PAWS: data_test.cc. ECN: ecn_test.cc.)

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "luna/net/tcp/testing/stack_tester.h"

namespace luna::tcp {
namespace {

using stats::DropReason;
using testing::Emitted;
using testing::kAck;
using testing::kFin;
using testing::kPsh;
using testing::kRst;
using testing::kSyn;
using testing::StackTester;
using testing::SynOptions;

constexpr Duration Ms(int64_t n) { return Duration::Milliseconds(n); }

std::string X(size_t n) { return std::string(n, 'x'); }

// "A 1+0 a1 sack 4-7 10-13": of each segment that was emitted.
std::string OutWithSack(StackTester* t) {
  std::string text;
  for (const Emitted& out : t->TakeOut()) {
    absl::StrAppend(&text, text.empty() ? "" : "; ", out.ToString(), out.options.sack_count > 0 ? " sack" : "");
    for (const wire::TcpSackBlock& block : out.options.sack_blocks()) {
      absl::StrAppend(&text, " ", block.left - t->peer().isn, "-", block.right - t->peer().isn);
    }
  }
  return text;
}

class Sack : public ::testing::TestWithParam<bool> {
 protected:
  Sack() : t(Config()) {
    t.peer().syn_options = SynOptions(1460, {}, GetParam() ? absl::optional<uint32_t>(1) : absl::nullopt);
    t.peer().syn_options.sack_permitted = true;
    t.Establish();
  }
  static StackConfig Config() {
    StackConfig config = StackTester::Plain();
    config.timestamps = GetParam();
    return config;
  }
  std::string At(int64_t seq, const std::string& payload, uint16_t flags = 0) {
    t.In({.flags = static_cast<uint16_t>(kAck | flags), .seq = seq, .payload = payload});
    return OutWithSack(&t);
  }

  StackTester t;
};
INSTANTIATE_TEST_SUITE_P(Timestamps, Sack, ::testing::Bool());

TEST_P(Sack, BlocksMostRecentFirstAsManyAsFit) {
  EXPECT_EQ(At(4, "xyz"), "A 1+0 a1 sack 4-7");
  EXPECT_EQ(At(10, "xyz"), "A 1+0 a1 sack 10-13 4-7");
  EXPECT_EQ(At(7, "x"), "A 1+0 a1 sack 4-8 10-13");
  EXPECT_EQ(At(20, "x"), "A 1+0 a1 sack 20-21 4-8 10-13");
  EXPECT_EQ(At(30, "x"), absl::StrCat("A 1+0 a1 sack 30-31 20-21 4-8", GetParam() ? "" : " 10-13"));
  EXPECT_EQ(t.last().options.has_timestamp, GetParam());
  EXPECT_EQ(At(1, "xyz"), absl::StrCat("A 1+0 a8 sack 30-31 20-21 10-13")) << "a filled hole is told at once";
  EXPECT_EQ(At(8, X(30)), "A 1+0 a38 sack 10-13") << "a duplicate among what filled the rest";
  EXPECT_EQ(At(38, "x"), "A 1+0 a39");
}

TEST_P(Sack, DuplicateBelowRcvNxt) {
  EXPECT_EQ(At(1, "abc"), "A 1+0 a4");
  EXPECT_EQ(At(1, "abc"), "A 1+0 a4 sack 1-4");
  EXPECT_EQ(At(2, "b"), "A 1+0 a4 sack 2-3");
  EXPECT_EQ(At(2, "bcde"), "A 1+0 a6 sack 2-4") << "partly";
  EXPECT_EQ(At(8, "x"), "A 1+0 a6 sack 8-9");
  EXPECT_EQ(At(1, "abc"), "A 1+0 a6 sack 1-4 8-9");
  t.In({.seq = 5});
  EXPECT_EQ(OutWithSack(&t), "A 1+0 a6 sack 8-9") << "a probe without octets is no duplicate";
}

TEST_P(Sack, DuplicateAheadOfAHole) {
  At(10, "abcdef");
  EXPECT_EQ(At(12, "cd"), "A 1+0 a1 sack 12-14 10-16");
  EXPECT_EQ(At(14, "efgh"), "A 1+0 a1 sack 14-16 10-18");
  EXPECT_EQ(At(20, "x"), "A 1+0 a1 sack 20-21 10-18");
}

// Several segments in one burst: an acknowledgement for each, and none loses what the burst brought.
TEST_P(Sack, ABurstAheadOfAHole) {
  t.auto_flush = false;
  At(4, "x");
  for (int64_t seq : {10, 20, 30}) t.In({.seq = seq, .payload = "x"});
  EXPECT_EQ(OutWithSack(&t), absl::StrCat("A 1+0 a1 sack 30-31 20-21 10-11", GetParam() ? "" : " 4-5",
                                          "; A 1+0 a1 sack ", "30-31 20-21 10-11", GetParam() ? "" : " 4-5",
                                          "; A 1+0 a1 sack 30-31 20-21 10-11", GetParam() ? "" : " 4-5"));
}

// RFC 2018 §3, RFC 9293 §3.7.1: options count against the segment's size, so full-sized data carries no blocks.
TEST_P(Sack, DataCarriesBlocksWhenTheyFit) {
  At(10, "x");
  t.Send("answer");
  EXPECT_EQ(OutWithSack(&t), "PA 1+6 a1 sack 10-11");
  t.auto_flush = false;
  t.In({.seq = 1, .ack = 7, .payload = "y"});
  EXPECT_EQ(t.connection()->Send(t.Chain(X(GetParam() ? 1448 : 1460))), SendResult::kOk);
  EXPECT_EQ(OutWithSack(&t),
            absl::StrCat("PA 7+", GetParam() ? 1448 : 1460, " a2; A ", GetParam() ? 1455 : 1467, "+0 a2 sack 10-11"));
}

// What the data had no room for waits for the next flush when this one is full.
TEST_P(Sack, BlocksThatDidNotFitKeepToTheLimit) {
  At(10, "x");
  t.auto_flush = false;
  t.flush_limit = 1;
  t.In({.seq = 1, .payload = "y"});
  EXPECT_EQ(t.connection()->Send(t.Chain(X(GetParam() ? 1448 : 1460))), SendResult::kOk);
  EXPECT_EQ(OutWithSack(&t), absl::StrCat("PA 1+", GetParam() ? 1448 : 1460, " a2"));
  EXPECT_EQ(OutWithSack(&t), absl::StrCat("A ", GetParam() ? 1449 : 1461, "+0 a2 sack 10-11"));
  EXPECT_EQ(OutWithSack(&t), "");
}

// RFC 7323 §5.3: what PAWS drops is acknowledged, and the duplicate in it is told.
TEST_P(Sack, WithPaws) {
  if (!GetParam()) GTEST_SKIP() << "needs timestamps";
  t.peer().tsval = 1000;
  At(1, "abc");
  t.peer().tsval = 1001;
  At(4, "d");
  t.peer().tsval = 999;
  EXPECT_EQ(At(1, "abc"), "A 1+0 a5 sack 1-4");
  EXPECT_EQ(At(8, "new"), "A 1+0 a5") << "dropped: neither stored nor told";
  EXPECT_EQ(t.drops(DropReason::kTcpPaws), 2u);
  // A SYN is no data: no D-SACK tells of it.
  t.In({.flags = kSyn, .seq = 0, .options = SynOptions(1460, {}, 999)});
  EXPECT_EQ(OutWithSack(&t), "A 1+0 a5");
}

TEST_P(Sack, FarBehindIsNotReported) { EXPECT_EQ(At(1 - 70000, "abc"), "A 1+0 a1"); }

TEST_P(Sack, TheReassemblyIsBounded) {
  for (uint32_t i = 0; i < 2 * Reassembly::kMaxBlocks; ++i) At(3 + 2 * i, "x");
  EXPECT_EQ(t.connection()->receiver().out_of_order().blocks().size(), Reassembly::kMaxBlocks);
  EXPECT_EQ(t.drops(DropReason::kTcpReassemblyFull), Reassembly::kMaxBlocks);
  EXPECT_EQ(t.last().options.sack_count, GetParam() ? 3 : 4);
}

TEST(SackOff, NothingWithoutNegotiation) {
  StackTester t;
  t.Establish();
  t.In({.seq = 4, .payload = "x"});
  t.In({.seq = 4, .payload = "x"});
  EXPECT_EQ(OutWithSack(&t), "A 1+0 a1; A 1+0 a1");
}

TEST(SackOff, NoDsackWhenSwitchedOff) {
  StackConfig config = StackTester::Plain();
  config.dsack = false;
  StackTester t(config);
  t.peer().syn_options.sack_permitted = true;
  t.Establish();
  t.Data("abc");
  t.In({.seq = 1, .payload = "abc"});
  t.In({.seq = 10, .payload = "x"});
  EXPECT_EQ(OutWithSack(&t), "A 1+0 a4; A 1+0 a4; A 1+0 a4 sack 10-11");
}

// --- When acknowledgements leave ---

StackConfig Linux() {
  StackConfig config = StackTester::Plain();
  config.delayed_ack = Ms(40);
  config.quick_acks = 16;
  config.ack_on_read = true;
  config.delay_fin_ack = true;
  return config;
}

TEST(Acks, TheFirstSixteenAreQuick) {
  StackTester t(Linux());
  t.Establish();
  for (int i = 1; i <= 16; ++i) {
    t.Data("x");
    EXPECT_EQ(t.Out(), absl::StrCat("A 1+0 a", i + 1));
  }
  t.Data("x");
  EXPECT_EQ(t.Out(), "");
  t.Run(Ms(41));
  EXPECT_EQ(t.Out(), "A 1+0 a18");
}

// The answer carries the acknowledgement, and the next request waits for its answer.
TEST(Acks, AConversation) {
  StackTester t(Linux());
  t.Establish();
  t.auto_flush = false;
  for (int i = 0; i < 3; ++i) {
    t.Data("x", kPsh);
    EXPECT_EQ(t.Read(), "x");
    t.Send("y");
    EXPECT_EQ(t.Out(), absl::StrCat("PA ", i + 1, "+1 a", i + 2));
  }
  t.auto_flush = true;
  t.Data("x", kPsh);
  t.Read();
  EXPECT_EQ(t.Out(), "");
  t.Run(Ms(41));
  EXPECT_EQ(t.Out(), "A 4+0 a5");
}

TEST(Acks, OnReadingAfterTheQuickOnesAreSpent) {
  StackConfig config = Linux();
  config.quick_acks = 0;
  StackTester t(config);
  t.Establish();
  t.Data("x", kPsh);
  EXPECT_EQ(t.Out(), "");
  t.Read();
  EXPECT_EQ(t.Out(), "A 1+0 a2");
}

TEST(Acks, TheKnob) {
  StackTester t(Linux());
  t.Establish();
  t.connection()->SetQuickAck(false);
  EXPECT_FALSE(t.connection()->quick_ack());
  t.Data("x");
  EXPECT_EQ(t.Out(), "");
  t.connection()->SetQuickAck(true);
  EXPECT_EQ(t.Out(), "A 1+0 a2");
}

// The default adds no acknowledgement before an answer, and none of its own after it.
TEST(Acks, TheDefaultNeverDelaysAnAnswer) {
  StackConfig config = StackTester::Plain();
  config.delayed_ack = StackConfig::DataCentre().delayed_ack;
  StackTester t(config);
  t.Establish();
  for (int i = 0; i < 20; ++i) {
    t.auto_flush = false;
    t.Data("x", kPsh);
    t.Read();
    t.Send("y");
    EXPECT_EQ(t.Out(), absl::StrCat("PA ", i + 1, "+1 a", i + 2));
    t.auto_flush = true;
    t.Run(Ms(1));
    EXPECT_EQ(t.Out(), "");
    t.In({});
  }
}

// --- FIN (RFC 9293 §3.10.7.4, eighth) ---

TEST(Fin, WithDataAheadOfAHole) {
  StackTester t;
  t.Establish();
  t.In({.flags = kAck | kFin, .seq = 4, .payload = "def"});
  EXPECT_EQ(t.TakeEvents(), 0u);
  EXPECT_EQ(t.Out(), "A 1+0 a1");
  t.In({.seq = 1, .payload = "abc"});
  EXPECT_EQ(t.TakeEvents(), EventBits::kReadable | EventBits::kPeerClosed);
  EXPECT_EQ(t.Out(), "A 1+0 a8");
  EXPECT_EQ(t.Read(), "abcdef");
}

// Nothing comes after a FIN, whichever arrives first, and the FIN is always reached.
TEST(Fin, DataBeyondItIsIgnored) {
  for (int order = 0; order < 3; ++order) {
    SCOPED_TRACE(order);
    StackTester t;
    t.Establish();
    if (order == 0) t.In({.seq = 6, .payload = "evil"});  // before the FIN at 7
    t.In({.flags = kAck | kFin, .seq = 4, .payload = "def"});
    if (order == 1) t.In({.seq = 6, .payload = "evil"});
    if (order == 2) t.In({.seq = 100, .payload = "evil"});
    t.In({.seq = 1, .payload = "abc"});
    EXPECT_EQ(t.connection()->state(), State::kCloseWait);
    EXPECT_EQ(t.Read(), order == 0 ? "abcdee" : "abcdef");
    EXPECT_EQ(t.last().ack, 8);
  }
}

TEST(Fin, InOrderWithDataWaitingBeyondIt) {
  StackTester t;
  t.Establish();
  t.In({.seq = 4, .payload = "evil"});
  t.In({.flags = kAck | kFin, .seq = 1, .payload = "ab"});
  EXPECT_EQ(t.connection()->state(), State::kCloseWait);
  EXPECT_EQ(t.Read(), "ab");
  EXPECT_EQ(t.last().ack, 4);
}

TEST(Fin, ASecondOneElsewhereIsIgnored) {
  StackTester t;
  t.Establish();
  t.In({.flags = kAck | kFin, .seq = 4});
  t.In({.flags = kAck | kFin, .seq = 2});
  EXPECT_EQ(t.connection()->state(), State::kEstablished);
  t.In({.seq = 1, .payload = "abc"});
  EXPECT_EQ(t.connection()->state(), State::kCloseWait);
}

TEST(Fin, ItsAcknowledgementMayWaitForOurs) {
  for (bool closes : {true, false}) {
    StackTester t(Linux());
    t.Establish();
    t.Data("x");
    EXPECT_EQ(t.Read(), "x");
    EXPECT_EQ(t.Out(), "A 1+0 a2");
    t.Fin();
    EXPECT_EQ(t.Out(), "");
    if (closes) {
      t.connection()->Close();
      EXPECT_EQ(t.Out(), "FA 1+0 a3");
    }
    t.Run(Ms(41));
    EXPECT_EQ(t.Out().substr(0, 8), closes ? "FA 1+0 a" : "A 1+0 a3") << "a retransmission, or what was delayed";
  }
  StackTester t;
  t.Establish();
  t.Fin();
  EXPECT_EQ(t.Out(), "A 1+0 a2");
}

// It needs no room: neither behind data that fills the window, nor when that is closed.
TEST(Fin, NeedsNoWindow) {
  StackConfig config = StackTester::Plain();
  config.receive_buffer_bytes = 100;
  for (bool together : {true, false}) {
    StackTester t(config);
    t.Establish();
    t.In({.flags = static_cast<uint16_t>(kAck | (together ? kFin : 0)), .payload = X(100)});
    if (!together) t.In({.flags = kAck | kFin, .seq = 101});
    EXPECT_EQ(t.connection()->state(), State::kCloseWait) << together;
    EXPECT_EQ(t.last().ack, 102);
    EXPECT_EQ(t.last().header.window, 0);
  }
}

TEST(Fin, BeyondTheWindowIsNotTaken) {
  StackConfig config = StackTester::Plain();
  config.receive_buffer_bytes = 100;
  StackTester t(config);
  t.Establish();
  t.In({.flags = kAck | kFin, .payload = X(101)});
  EXPECT_EQ(t.connection()->state(), State::kEstablished);
  EXPECT_EQ(t.last().ack, 101);
}

// --- RST ---

TEST(Rst, MayCarryData) {  // SHLD-2
  StackTester t;
  t.Establish();
  t.In({.flags = kRst | kAck, .payload = "because"});
  EXPECT_TRUE(t.TakeEvents() & EventBits::kClosed);
  EXPECT_EQ(t.close_reason(), CloseReason::kReset);
  EXPECT_EQ(t.Out(), "");
}

TEST(Rst, AtAZeroWindowOnlyTheExactOneCounts) {  // MUST-66, RFC 5961 §3.2
  StackConfig config = StackTester::Plain();
  config.receive_buffer_bytes = 10;
  StackTester t(config);
  t.Establish();
  t.Data(X(10));
  t.In({.flags = kRst | kAck, .seq = 5, .payload = X(20)});
  EXPECT_EQ(t.connection()->state(), State::kEstablished) << "it only overlaps RCV.NXT";
  t.In({.flags = kRst | kAck, .seq = 11, .payload = "because"});
  EXPECT_EQ(t.close_reason(), CloseReason::kReset);
}

// --- Windows and buffers ---

// A zero window takes the acknowledgement of a segment that begins before RCV.NXT, too.
TEST(Buffers, AnOverlappingSegmentAtAZeroWindowIsReadForItsAck) {
  StackConfig config = StackTester::Plain();
  config.receive_buffer_bytes = 10;
  StackTester t(config);
  t.Establish();
  t.Data(X(10));
  t.Send("abc");
  t.In({.seq = 5, .ack = 4, .payload = X(20)});
  EXPECT_EQ(t.connection()->sender().flight(), 0u);
  EXPECT_EQ(t.connection()->readable_bytes(), 10u);
}

TEST(Buffers, AsLargeAsSegmentsCome) {
  StackTester t;
  t.Establish();
  t.Data(X(64000));  // joined on the way
  EXPECT_EQ(t.Out(), "A 1+0 a64001");
  EXPECT_EQ(t.Read().size(), 64000u);
}

// ReduceRecvBuf: what was promised is still taken; afterwards the window is as small as was asked for.
TEST(Buffers, ASmallerOneTakesNoPromiseBack) {
  StackTester t;
  Connection& c = t.Establish();
  ConnectionOptions options = c.options();
  options.receive_buffer_bytes = 1000;
  ASSERT_TRUE(c.SetOptions(options, t.now()).ok());
  t.Data(X(1000));
  EXPECT_EQ(t.last().header.window, 64535);
  t.Read();
  for (int i = 0; i < 64; ++i) t.Data(X(1000));
  EXPECT_EQ(c.readable_bytes(), 64000u) << "within the promise";
  t.Data(X(535));
  EXPECT_EQ(t.last().header.window, 0);
  t.Read();
  t.Poll();
  EXPECT_EQ(t.last().header.window, 1000);
}

TEST(Buffers, ALargerOneOpensTheWindow) {
  StackConfig config = StackTester::Plain();
  config.window_scale = true;
  config.receive_buffer_bytes = 100000;
  StackTester t(config);
  t.peer().syn_options = SynOptions(1460, 7);
  Connection& c = t.Establish();
  ConnectionOptions options = c.options();
  options.receive_buffer_bytes = 1u << 30;
  ASSERT_TRUE(c.SetOptions(options, t.now()).ok());
  t.Data("x");
  EXPECT_EQ(t.last().header.window, 0xfffe) << "unread octets apart, as much as the scale of the SYN can say";
}

TEST(Buffers, TheClampLimitsWhatIsOffered) {
  StackConfig config = StackTester::Plain();
  config.window_clamp = 500;
  StackTester t(config);
  Connection& c = t.Establish();
  EXPECT_EQ(t.last().header.window, 500);
  t.Data(X(300));
  EXPECT_EQ(t.last().header.window, 500);
  EXPECT_EQ(c.readable_bytes(), 300u);
  for (int i = 0; i < 1000; ++i) t.Data(X(500));
  EXPECT_LE(c.readable_bytes(), 65535u);
  EXPECT_EQ(t.last().header.window, 0);
  t.Read();
  t.Poll();
  EXPECT_EQ(t.last().header.window, 500) << "smaller than a segment, and opened all the same";
}

// The window grows with what is read in a round trip, and not without reading.
TEST(Buffers, AutoTuning) {
  for (bool reads : {true, false}) {
    SCOPED_TRACE(reads);
    StackConfig config = StackTester::Plain();
    config.window_scale = true;
    config.receive_buffer_bytes = 65535;
    config.receive_buffer_max_bytes = 4u << 20;
    StackTester t(config);
    t.peer().syn_options = SynOptions(1460, 7);
    t.Listen();
    t.In({.flags = kSyn});
    EXPECT_EQ(t.last().header.window, 65535) << "a SYN says at most 64 KB";
    EXPECT_EQ(t.last().options.window_scale, 7) << "by the largest buffer there may be";
    t.Run(Ms(10));
    t.In({});
    int64_t largest = 0;
    size_t flight = 10;
    for (int round = 0; round < 12; ++round) {
      t.Run(Ms(10));
      for (size_t i = 0; i < flight && t.connection()->receiver().window() >= 1460; ++i) {
        t.Data(X(1460));
        if (reads) t.Read();
      }
      flight = std::min<size_t>(2 * flight, 1500);
      t.Poll();
      largest = std::max<int64_t>(largest, t.last().header.window << 7);
    }
    if (reads) {
      EXPECT_GT(largest, 3 << 20);
    } else {
      EXPECT_LE(largest, 65536 + 127);
    }
  }
}

// Octets that trickle in are no reason to grow, however long the connection was silent before.
TEST(Buffers, ASilenceDoesNotGrowThem) {
  for (int minutes : {1, 40, 75, 115}) {
    SCOPED_TRACE(minutes);
    StackConfig config = StackTester::Plain();
    config.window_scale = true;
    config.receive_buffer_bytes = 65535;
    config.receive_buffer_max_bytes = 4u << 20;
    StackTester t(config);
    t.peer().syn_options = SynOptions(1460, 7);
    t.Listen();
    t.In({.flags = kSyn});
    t.Run(Ms(10));
    t.In({});
    t.Run(Duration::Seconds(60) * minutes);
    for (int i = 0; i < 100; ++i) {
      t.Data(X(1000));
      t.Read();
      t.Run(Duration::Seconds(1));
    }
    EXPECT_EQ(t.connection()->receiver().buffer_bytes(), 65535u);
  }
}

TEST(Buffers, AChosenSizeIsNotTuned) {
  StackConfig config = StackTester::Plain();
  config.window_scale = true;
  config.receive_buffer_max_bytes = 4u << 20;
  StackTester t(config);
  t.peer().syn_options = SynOptions(1460, 7);
  Connection& c = t.Establish();
  ConnectionOptions options = c.options();
  options.receive_buffer_bytes = 30000;
  ASSERT_TRUE(c.SetOptions(options, t.now()).ok());
  EXPECT_EQ(c.receiver().buffer_bytes(), 30000u);
  for (int i = 0; i < 200; ++i) {
    t.Run(Ms(1));
    t.Data(X(1460));
    t.Read();
  }
  EXPECT_EQ(c.receiver().buffer_bytes(), 30000u);
}

// --- Timestamps ---

// RFC 7323 §5.4.
TEST(TimestampTick, IsTheStacksChoice) {
  for (const Duration tick : {Ms(1), Ms(10), Ms(1000), Duration::Nanoseconds(1000003)}) {
    StackConfig config = StackTester::Plain();
    config.timestamps = true;
    config.timestamp_tick = tick;
    StackTester t(config);
    t.peer().syn_options = SynOptions(1460, {}, 5);
    t.Establish();
    t.Data("x");
    const uint32_t before = t.last().options.tsval;
    t.Run(Duration::Seconds(1000));
    t.Data("x");
    const auto expected = Duration::Seconds(1000) / tick;
    EXPECT_NEAR(t.last().options.tsval - before, static_cast<double>(expected), 1.0);
  }
}

}  // namespace
}  // namespace luna::tcp
