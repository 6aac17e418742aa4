// Data both ways on an established connection: acknowledging, reassembly, windows, header prediction, timestamps.

#include <algorithm>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "luna/net/tcp/testing/stack_tester.h"

namespace luna::tcp {
namespace {

using stats::DropReason;
using testing::kAck;
using testing::kCwr;
using testing::kEce;
using testing::kFin;
using testing::kPsh;
using testing::kSyn;
using testing::kUrg;
using testing::StackTester;
using testing::SynOptions;

constexpr Duration Ms(int64_t n) { return Duration::Milliseconds(n); }
constexpr Duration Us(int64_t n) { return Duration::Microseconds(n); }

std::string X(size_t n) { return std::string(n, 'x'); }

StackConfig Delayed() {
  StackConfig config = StackTester::Plain();
  config.delayed_ack = Us(500);
  return config;
}

TEST(Data, BothWays) {
  StackTester t;
  t.Establish();
  t.Data("abc");
  EXPECT_EQ(t.TakeEvents(), EventBits::kReadable);
  EXPECT_EQ(t.Out(), "A 1+0 a4");
  EXPECT_EQ(t.Read(), "abc");
  t.Send("hello");
  EXPECT_EQ(t.Out(), "PA 1+5 a4");
  EXPECT_EQ(t.last().payload, "hello");
  t.In({});
  EXPECT_EQ(t.TakeEvents(), 0u);
  EXPECT_EQ(t.connection()->sender().una() - t.connection()->sender().iss(), 6);
}

TEST(Data, EveryTransportSliceLayout) {
  for (size_t slice : {1, 5, 20, 21}) {
    StackTester t;
    t.Establish();
    t.In({.payload = "0123456789", .slice_bytes = slice});
    EXPECT_EQ(t.Read(), "0123456789");
  }
}

TEST(Data, BadChecksumsAreCountedAndIgnored) {
  StackTester t;
  t.Establish();
  t.In({.payload = "abc", .bad_checksum = true});
  EXPECT_EQ(t.drops(DropReason::kTcpBadChecksum), 1u);
  EXPECT_EQ(t.Out(), "");
  EXPECT_EQ(t.TakeEvents(), 0u);
}

TEST(Data, CopyingSend) {
  StackTester t;
  t.Establish();
  const std::string text = "copied";
  EXPECT_EQ(t.connection()->Send(absl::MakeConstSpan(reinterpret_cast<const std::byte*>(text.data()), text.size())),
            6u);
  EXPECT_EQ(t.Out(), "PA 1+6 a1");
  EXPECT_EQ(t.last().payload, text);
}

TEST(Data, PartialReads) {
  StackTester t;
  t.Establish();
  t.Data("abcdef");
  EXPECT_EQ(t.connection()->Read(2).ToString(), "ab");
  EXPECT_EQ(t.connection()->readable_bytes(), 4u);
  EXPECT_EQ(t.Read(), "cdef");
  EXPECT_EQ(t.Read(), "");
}

// --- Delayed acknowledgement (RFC 9293 §3.8.6.3, RFC 5681 §4.2) ---

TEST(Data, AnAckWaitsForCompanyButNotLong) {
  StackTester t(Delayed());
  t.Establish();
  t.Data("abc");
  EXPECT_EQ(t.Out(), "");
  t.Run(Us(499));
  EXPECT_EQ(t.Out(), "");
  t.Run(Us(3));
  EXPECT_EQ(t.Out(), "A 1+0 a4");
  t.Run(Ms(10));
  EXPECT_EQ(t.Out(), "");
}

TEST(Data, AnAckRidesOnData) {
  StackTester t(Delayed());
  t.Establish();
  t.Data("abc");
  t.Send("reply");
  EXPECT_EQ(t.Out(), "PA 1+5 a4");
  t.Run(Ms(2));
  EXPECT_EQ(t.Out(), "");
}

TEST(Data, EverySecondFullSegmentIsAcknowledged) {
  StackTester t(Delayed());
  t.Establish();
  for (int i = 0; i < 6; ++i) {
    t.Data(X(1460));
    EXPECT_EQ(t.Out(), i % 2 == 0 ? "" : "A 1+0 a" + std::to_string(1 + 1460 * (i + 1))) << i;
    t.Read();
  }
}

// MUST-59: the whole burst is processed before the acknowledgement leaves.
TEST(Data, ABurstIsAcknowledgedOnce) {
  StackTester t;
  t.Establish();
  t.auto_flush = false;
  for (int i = 0; i < 8; ++i) t.Data(X(1000));
  EXPECT_EQ(t.Out(), "A 1+0 a8001");
}

// --- Order ---

TEST(Data, OutOfOrderIsKeptAndAcknowledgedAtOnce) {
  StackTester t(Delayed());
  t.Establish();
  t.In({.seq = 4, .payload = "def"});
  EXPECT_EQ(t.Out(), "A 1+0 a1");
  t.In({.seq = 7, .payload = "ghi"});
  EXPECT_EQ(t.Out(), "A 1+0 a1");
  EXPECT_EQ(t.TakeEvents(), 0u);
  t.In({.seq = 1, .payload = "abc"});
  EXPECT_EQ(t.Out(), "A 1+0 a10");  // the hole is filled: at once
  EXPECT_EQ(t.TakeEvents(), EventBits::kReadable);
  EXPECT_EQ(t.Read(), "abcdefghi");
}

TEST(Data, DuplicatesAreAcknowledgedAtOnce) {
  StackTester t(Delayed());
  t.Establish();
  t.Data("abc");
  t.Run(Ms(1));
  t.Out();
  t.In({.seq = 1, .payload = "abc"});
  EXPECT_EQ(t.Out(), "A 1+0 a4");
  EXPECT_EQ(t.drops(DropReason::kTcpDuplicate), 1u);
  EXPECT_EQ(t.Read(), "abc");
}

TEST(Data, OverlapsAreCut) {
  StackTester t;
  t.Establish();
  t.Data("abc");
  t.In({.seq = 2, .payload = "XXdef"});
  EXPECT_EQ(t.Out(), "A 1+0 a4; A 1+0 a7");
  t.In({.seq = 9, .payload = "ij"});
  t.In({.seq = 6, .payload = "YghiZZ"});
  EXPECT_EQ(t.Read(), "abcdefghiZZ");  // what is in order needs no look at what waits
}

TEST(Data, ShuffledSegmentsArriveInOrder) {
  const char* replay = std::getenv("LUNA_TEST_SEED");
  const uint64_t seed = replay != nullptr ? std::strtoull(replay, nullptr, 0) : 3;
  SCOPED_TRACE("LUNA_TEST_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  for (int round = 0; round < 30; ++round) {
    StackTester t;
    t.Establish();
    std::string stream(6000, '\0');  // past the wrap of the peer's numbers
    for (char& c : stream) c = static_cast<char>(random());
    std::string read;
    while (read.size() < stream.size()) {
      const auto at = static_cast<int64_t>(random() % stream.size());
      t.In({.seq = 1 + at, .payload = stream.substr(static_cast<size_t>(at), 1 + random() % 700)});
      read += t.Read();
    }
    EXPECT_EQ(read, stream);
    EXPECT_TRUE(t.connection()->receiver().out_of_order().empty());
  }
}

TEST(Data, OutOfOrderFinIsKept) {
  StackTester t;
  t.Establish();
  t.In({.flags = kAck | kFin, .seq = 4, .payload = "def"});
  EXPECT_EQ(t.TakeEvents(), 0u);
  t.In({.seq = 1, .payload = "abc"});
  EXPECT_EQ(t.TakeEvents(), EventBits::kReadable | EventBits::kPeerClosed);
  EXPECT_EQ(t.Read(), "abcdef");
  EXPECT_EQ(t.Out(), "A 1+0 a1; A 1+0 a8");
}

TEST(Data, UrgentDataIsOrdinaryData) {
  StackTester t;
  t.Establish();
  t.In({.flags = kAck | kUrg | kPsh, .payload = "now"});
  EXPECT_EQ(t.Read(), "now");
}

TEST(Data, WithoutAckNothingIsTaken) {
  StackTester t;
  t.Establish();
  t.In({.flags = 0, .payload = "abc"});
  EXPECT_EQ(t.TakeEvents(), 0u);
  EXPECT_EQ(t.drops(DropReason::kTcpNoAck), 1u);
}

TEST(Data, OutOfTheWindowDrawsAnAckAndNothingElse) {
  for (State state :
       {State::kEstablished, State::kFinWait1, State::kFinWait2, State::kCloseWait, State::kClosing, State::kLastAck}) {
    StackTester t;
    Connection& c = t.Reach(state);
    const int64_t far = t.peer().next + 70000;
    t.In({.seq = far, .payload = "abc"});
    t.In({.seq = far});
    const auto out = t.TakeOut();
    ASSERT_EQ(out.size(), 2u) << Name(state);
    EXPECT_EQ(out[0].ack, t.peer().next) << Name(state);
    EXPECT_EQ(out[0].payload, "");
    EXPECT_EQ(c.state(), state);
    EXPECT_EQ(t.TakeEvents(), 0u);
  }
}

TEST(Data, AnAckOfWhatWasNeverSentDrawsAnAck) {
  for (State state :
       {State::kEstablished, State::kFinWait1, State::kFinWait2, State::kCloseWait, State::kClosing, State::kLastAck}) {
    StackTester t;
    Connection& c = t.Reach(state);
    t.In({.ack = 100000, .payload = "abc"});
    EXPECT_EQ(t.drops(DropReason::kTcpUnacceptableAck), 1u);
    EXPECT_EQ(t.TakeOut().size(), 1u) << Name(state);
    EXPECT_EQ(c.state(), state);
    EXPECT_EQ(c.readable_bytes(), 0u);
    t.In({.ack = -100000, .payload = "abc"});  // RFC 5961 §5.2
    EXPECT_EQ(t.TakeOut().size(), 1u) << Name(state);
    EXPECT_EQ(c.readable_bytes(), 0u);
  }
}

// Both ends went back to old numbers after a time-out: they must still hear each other's acknowledgements.
TEST(Data, AnOldSegmentsAckCounts) {
  StackTester t;
  t.Establish();
  t.Data("abc");
  t.Send("hello");
  EXPECT_EQ(t.Out(), "A 1+0 a4; PA 1+5 a4");
  t.In({.seq = 1, .payload = "abc"});  // acknowledges "hello"
  EXPECT_EQ(t.connection()->sender().queue().bytes(), 0u);
  EXPECT_EQ(t.Out(), "A 6+0 a4");
}

// --- Flow control: receiving ---

TEST(Data, UnreadDataClosesTheWindowAndReadingReopensIt) {
  StackConfig config = StackTester::Plain();
  config.receive_buffer_bytes = 4000;
  StackTester t(config);
  t.Establish();
  t.Data(X(2000));
  EXPECT_EQ(t.last().header.window, 2000);
  t.Data(X(2000));
  EXPECT_EQ(t.last().header.window, 0);
  t.Out();
  t.In({.payload = "probe"});  // beyond the window: acknowledged, not taken
  EXPECT_EQ(t.Out(), "A 1+0 a4001");
  EXPECT_EQ(t.connection()->readable_bytes(), 4000u);
  t.connection()->Read(100);
  EXPECT_EQ(t.Out(), "");  // too little to be worth an update
  t.connection()->Read(3900);
  EXPECT_EQ(t.Out(), "A 1+0 a4001");
  EXPECT_EQ(t.last().header.window, 4000);
  t.Data("more");
  EXPECT_EQ(t.Read(), "more");
}

TEST(Data, DataIsCutAtTheRightEdge) {
  StackConfig config = StackTester::Plain();
  config.receive_buffer_bytes = 1000;
  StackTester t(config);
  t.Establish();
  t.In({.flags = kAck | kFin, .payload = X(1200)});
  EXPECT_EQ(t.connection()->readable_bytes(), 1000u);
  EXPECT_EQ(t.connection()->state(), State::kEstablished);  // the FIN was cut off with the rest
  EXPECT_EQ(t.Out(), "A 1+0 a1001");
}

// MUST-66, and a right edge where a peer's acknowledgements lie when some of its data was lost.
TEST(Data, AcknowledgementsCountAtAClosedWindowAndAtItsEdge) {
  StackConfig config = StackTester::Plain();
  config.receive_buffer_bytes = 1000;
  StackTester t(config);
  t.Establish();
  t.Send("hello");
  t.In({.seq = 1001, .ack = 6});  // 1000 octets of the peer's are lost
  EXPECT_EQ(t.connection()->sender().queue().bytes(), 0u);
  t.Data(X(1000));
  t.Send("world");
  t.In({.seq = 1001, .ack = 11});
  EXPECT_EQ(t.connection()->sender().queue().bytes(), 0u);
  t.Send("!");
  t.In({.seq = 1001, .ack = 12, .payload = "probe"});
  EXPECT_EQ(t.connection()->sender().queue().bytes(), 0u);
}

TEST(Data, TinySegmentsDoNotExhaustMemory) {
  StackConfig config = StackTester::Plain();
  config.receive_slices_limit = 50;
  StackTester t(config);
  t.Establish();
  for (int i = 0; i < 100; ++i) t.In({.seq = 1 + i, .payload = "x"});
  EXPECT_LE(t.connection()->receiver().readable_slices(), 51u);
  EXPECT_EQ(t.Read(), X(100));
  t.In({.seq = 101, .payload = "y"});
  EXPECT_EQ(t.Read(), "y");
}

// What the window has promised is taken, however small the segments: a peer that meets a slow reader must find a closed
// window, not silence.
TEST(Data, TinySegmentsFillTheWindow) {
  StackConfig config = StackTester::Plain();
  config.receive_slices_limit = 50;
  config.receive_buffer_bytes = 1000;
  StackTester t(config);
  Connection& c = t.Establish();
  std::string sent;
  for (int i = 0; i < 1000; ++i) {
    sent.push_back(static_cast<char>('a' + i % 26));
    t.In({.seq = 1 + i, .payload = sent.substr(sent.size() - 1)});
    ASSERT_LE(c.receiver().readable_slices(), 51u);
  }
  EXPECT_EQ(t.drops(DropReason::kTcpMemory), 0u);
  EXPECT_EQ(t.last().ack, 1001);
  EXPECT_EQ(t.last().header.window, 0u);
  EXPECT_EQ(t.Read(), sent);
}

TEST(Data, LargeSegmentsFillALargeBuffer) {
  StackConfig config = StackTester::Plain();
  config.window_scale = true;
  config.receive_slices_limit = 50;
  config.receive_buffer_bytes = config.receive_buffer_max_bytes = 1u << 20;
  StackTester t(config);
  t.peer().syn_options = SynOptions(1460, 7);
  t.Establish();
  std::string sent;
  for (int i = 0; i < 450; ++i) {
    const std::string segment(1460, static_cast<char>('a' + i % 26));
    sent += segment;
    t.Data(segment);
  }
  EXPECT_EQ(t.drops(DropReason::kTcpMemory), 0u);
  EXPECT_EQ(t.Read(), sent);
}

TEST(Data, TinyOutOfOrderSegmentsNeitherExhaustMemoryNorBlockTheHole) {
  StackConfig config = StackTester::Plain();
  config.receive_slices_limit = 50;
  StackTester t(config);
  t.Establish();
  for (int i = 0; i < 100; ++i) t.In({.seq = 2 + i, .payload = "x"});
  EXPECT_EQ(t.connection()->receiver().out_of_order().slices(), 50u);
  t.In({.seq = 1, .payload = "a"});
  EXPECT_EQ(t.Read(), "a" + X(50));
}

// --- Flow control: sending ---

TEST(Data, BackpressureAndWritable) {
  StackConfig config = StackTester::Plain();
  config.send_buffer_bytes = 1000;
  StackTester t(config);
  Connection& c = t.Establish();
  EXPECT_EQ(c.send_space(), 1000u);
  EXPECT_EQ(c.Send(t.Chain(X(1500))), SendResult::kOk);  // below the mark: any length
  zbuf::ZChain refused = t.Chain("more");
  EXPECT_EQ(c.Send(std::move(refused)), SendResult::kBackpressure);
  EXPECT_EQ(refused.bytes(), 4u);  // nothing was taken
  EXPECT_EQ(t.Out(), "A 1+1460 a1; PA 1461+40 a1");
  t.In({.ack = 1461});
  EXPECT_EQ(t.TakeEvents(), EventBits::kWritable);
  t.In({.ack = 1501});
  EXPECT_EQ(t.TakeEvents(), 0u);
}

TEST(Data, ACopyingSendTakesWhatFits) {
  StackConfig config = StackTester::Plain();
  config.send_buffer_bytes = 1000;
  StackTester t(config);
  Connection& c = t.Establish();
  const std::string text = X(3000);
  const auto bytes = absl::MakeConstSpan(reinterpret_cast<const std::byte*>(text.data()), text.size());
  EXPECT_EQ(c.Send(bytes), 1000u);
  EXPECT_EQ(c.Send(bytes), 0u);
  t.Poll();
  t.In({});
  EXPECT_EQ(t.TakeEvents(), EventBits::kWritable);
}

TEST(Data, WantWritableIsAnsweredEvenWhenNothingIsQueued) {
  StackTester t;
  Connection& c = t.Establish();
  c.WantWritable();
  t.Poll();
  EXPECT_EQ(t.TakeEvents(), EventBits::kWritable);
  t.Poll();
  EXPECT_EQ(t.TakeEvents(), 0u);
}

TEST(Data, ZeroWindowIsProbedWithBackOffAndReopens) {
  StackTester t;
  Connection& c = t.Establish();
  t.peer().window = 0;
  t.In({});
  t.Send("hello world");
  EXPECT_EQ(t.Out(), "");
  const Time start = t.now();
  t.Run(Ms(70));
  auto out = t.TakeOut();
  ASSERT_EQ(out.size(), 4u);
  int64_t previous = 0;
  for (size_t i = 0; i < out.size(); ++i) {
    EXPECT_EQ(out[i].ToString(), "A 1+1 a1");  // one octet
    const int64_t at = (out[i].at - start).microseconds();
    EXPECT_NEAR(static_cast<double>(at - previous), 4000.0 * (1 << i), 100.0);
    previous = at;
  }
  // The peer answers each: then it may stay closed for ever (MUST-37).
  for (int i = 0; i < 40; ++i) {
    t.Run(Duration::Seconds(1));
    t.In({.ack = 1});
  }
  EXPECT_EQ(c.state(), State::kEstablished);
  EXPECT_EQ(t.stack().counters().timeouts.value(), 0u);
  t.Out();
  t.peer().window = 5000;
  t.In({.ack = 1});
  EXPECT_EQ(t.Out(), "PA 1+11 a1");
}

TEST(Data, APeerThatRepeatsItsClosedWindowIsProbedAllTheSame) {
  StackTester t;
  t.Establish();
  t.peer().window = 0;
  t.In({});
  t.Send("hello world");
  t.TakeOut();
  std::vector<int64_t> probes;
  for (int i = 0; i < 35; ++i) {
    t.Run(Ms(1));
    for (const auto& out : t.TakeOut()) {
      EXPECT_EQ(out.ToString(), "A 1+1 a1");
      probes.push_back(i);
    }
    t.In({.ack = 1});
  }
  ASSERT_EQ(probes.size(), 3u);
  EXPECT_GT(probes[2] - probes[1], probes[1] - probes[0]);
}

TEST(Data, AnUnansweredProbeEndsInATimeOut) {
  StackConfig config = StackTester::Plain();
  config.data_retries = 4;
  StackTester t(config);
  t.Establish();
  t.peer().window = 0;
  t.In({});
  t.Send("x");
  t.Run(Duration::Seconds(5));
  EXPECT_EQ(t.TakeOut().size(), 4u);
  EXPECT_EQ(t.TakeEvents(), EventBits::kClosed);
  EXPECT_EQ(t.close_reason(), CloseReason::kTimedOut);
}

TEST(Data, AWindowThatClosesWithAnAckIsProbed) {
  StackTester t;
  t.Establish();
  t.peer().window = 5;
  t.In({});
  t.Send("12345");
  EXPECT_EQ(t.Out(), "PA 1+5 a1");
  t.Send("6789");
  EXPECT_EQ(t.Out(), "");
  t.peer().window = 0;
  t.In({});  // all acknowledged, and full
  EXPECT_EQ(t.Out(), "");
  t.Run(Ms(5));
  EXPECT_EQ(t.Out(), "A 6+1 a1");
}

TEST(Data, TheProbesOctetMayBeAccepted) {
  StackTester t;
  t.Establish();
  t.peer().window = 0;
  t.In({});
  t.Send("abc");
  t.Run(Ms(5));
  EXPECT_EQ(t.Out(), "A 1+1 a1");
  t.peer().window = 100;
  t.In({.ack = 2});
  EXPECT_EQ(t.Out(), "PA 2+2 a1");
}

TEST(Data, AShrunkenWindowIsObeyedAndProbed) {
  StackTester t;
  t.Establish();
  t.Send(X(3000));
  EXPECT_EQ(t.Out(), "A 1+1460 a1; A 1461+1460 a1; PA 2921+80 a1");
  t.peer().window = 0;
  t.In({.ack = 1461});  // it took one, and the edge went left
  t.Send(X(1000));
  EXPECT_EQ(t.Out(), "");
  t.Run(Ms(30));
  for (const auto& out : t.TakeOut()) EXPECT_EQ(out.ToString(), "A 1461+1 a1");
  t.peer().window = 20000;
  t.In({.ack = 1461});
  EXPECT_EQ(t.Out(), "A 1461+1460 a1");  // a retransmission, and slowly: there was a time-out
}

TEST(Data, SmallWindowsAreNotFilledAtOnce) {
  StackTester t;
  t.Establish();
  t.peer().window = 100;
  t.In({});
  t.Send(X(1000));
  EXPECT_EQ(t.Out(), "");
  t.Run(Ms(5));
  EXPECT_EQ(t.Out(), "A 1+100 a1");
}

void EstablishWith(StackTester& t, EcnMode ecn) {
  if (ecn == EcnMode::kOff) {
    t.Establish();
  } else {
    t.Listen();
    t.In({.flags = kSyn | kEce | kCwr});
    t.In({});
    t.TakeOut();
  }
  ASSERT_EQ(t.connection()->ecn().negotiated(), ecn != EcnMode::kOff);
}

std::vector<testing::Emitted> TakeOneByOne(StackTester& t) {
  std::vector<testing::Emitted> all;
  for (std::vector<testing::Emitted> some; !(some = (t.Poll(), t.TakeOut())).empty();) {
    all.insert(all.end(), some.begin(), some.end());
  }
  return all;
}

void ExpectTheSame(const std::vector<testing::Emitted>& got, const std::vector<testing::Emitted>& expected) {
  ASSERT_EQ(got.size(), expected.size());
  for (size_t i = 0; i < got.size(); ++i) {
    EXPECT_EQ(got[i].header, expected[i].header);
    EXPECT_EQ(got[i].options, expected[i].options);
    EXPECT_EQ(got[i].payload, expected[i].payload);
    EXPECT_EQ(got[i].dont_fragment, expected[i].dont_fragment);
    EXPECT_EQ(got[i].ecn, expected[i].ecn);
  }
}

// A row of full segments is copied from its first; one by one each is built for itself.
TEST(Data, ARowIsWhatItsSegmentsWouldBeOneByOne) {
  const char* from_environment = std::getenv("LUNA_TEST_SEED");
  const auto first =
      static_cast<unsigned>(from_environment == nullptr ? 1 : std::strtoul(from_environment, nullptr, 0));
  for (unsigned seed = first; seed < first + (from_environment == nullptr ? 60 : 1); ++seed) {
    SCOPED_TRACE("LUNA_TEST_SEED=" + std::to_string(seed));
    StackConfig config = StackTester::Plain();
    config.timestamps = seed % 2 == 0;
    config.sack = seed % 3 != 0;
    config.nagle = seed % 5 == 0;
    config.ecn = seed % 4 == 1 ? EcnMode::kAlways : EcnMode::kOff;
    StackTester rows(config), singles(config);
    singles.flush_limit = 1;
    size_t longest = 0;
    const auto compare = [&] {
      const std::vector<testing::Emitted> got = rows.TakeOut();
      longest = std::max(longest, got.size());
      ExpectTheSame(got, TakeOneByOne(singles));
    };
    std::mt19937 random(seed);
    for (StackTester* t : {&rows, &singles}) {
      t->peer().window = 40'000;
      EstablishWith(*t, config.ecn);
    }
    for (int step = 0; step < 60 && !::testing::Test::HasFatalFailure(); ++step) {
      const unsigned draw = static_cast<unsigned>(random() % 8), amount = static_cast<unsigned>(random());
      std::string text(1 + amount % (draw < 2 ? 200 : 20'000), '\0');
      for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * 7 + amount);
      for (StackTester* t : {&rows, &singles}) {
        const int64_t all = t->connection()->sender().nxt() - t->connection()->sender().iss();
        if (draw < 4) {
          if (t->connection()->send_space() < text.size()) continue;
          const SendFlags flags{.more = amount % 3 == 0, .urgent = amount % 32 == 1};
          EXPECT_EQ(t->connection()->Send(t->Chain(text), flags), SendResult::kOk);
          t->Poll();
        } else if (draw < 6) {
          // With ECN off the two flags mean nothing.
          t->In({.flags = static_cast<uint16_t>(kAck | (amount % 5 == 0 ? kEce : 0)),
                 .ack = std::max<int64_t>(1, all - amount % 4 * 1460),
                 .window = 20'000 + amount % 40'000});
        } else if (draw == 6) {
          const bool marked = config.ecn != EcnMode::kOff && amount % 2 == 0;  // until our peer says CWR, ECE is in all
          t->In({.flags = static_cast<uint16_t>(kAck | (amount % 3 == 0 ? kCwr : 0)),
                 .ack = all,
                 .payload = "x",
                 .ecn = marked ? ip::Ecn::kCe : ip::Ecn::kNotEct});
          t->peer().next += 1;
        } else if (amount % 4 == 0) {
          t->Run(Ms(300));
        }
      }
      compare();
    }
    for (StackTester* t : {&rows, &singles}) {
      t->connection()->ShutdownWrite();
      t->Poll();
    }
    compare();
    EXPECT_GT(longest, 5u);
  }
}

// Headers are what a row needs memory for. Where it ends the rest waits, and nothing is sent twice or left out.
TEST(Data, ARowThatFindsNoMoreMemoryGoesOnWhereItEnded) {
  StackConfig config = StackTester::Plain();
  config.header_reserve = 3;
  StackTester t(config);
  t.Establish();
  std::string text(10 * 1460, '\0');  // the initial window
  for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * 7 + i / 251);
  zbuf::ZChain chain = t.Chain(text);
  std::vector<std::byte*> taken;
  while (std::byte* obj = t.memory().slab().Alloc(Core::kHeaderObjBytes)) taken.push_back(obj);
  t.auto_flush = false;
  EXPECT_EQ(t.connection()->Send(std::move(chain)), SendResult::kOk);
  std::vector<size_t> segments;
  std::string got;
  for (int i = 0; i < 10 && got.size() < text.size(); ++i) {
    t.Poll();
    segments.push_back(0);
    for (const testing::Emitted& out : t.TakeOut()) {
      EXPECT_EQ(out.seq, 1 + static_cast<int64_t>(got.size()));
      got += out.payload;
      ++segments.back();
    }
  }
  ASSERT_GE(segments.size(), 2u) << "memory was not out";
  EXPECT_LT(segments.front(), 10u);
  EXPECT_TRUE(got == text);
  EXPECT_GT(t.stack().counters().send_no_memory.value(), 0u);
  for (std::byte* obj : taken) t.memory().slab().Free(obj);
}

TEST(Data, NagleWaits) {
  StackConfig config = StackTester::Plain();
  config.nagle = true;
  StackTester t(config);
  t.Establish();
  t.Send("a");
  t.Send("b");
  t.Send("c");
  EXPECT_EQ(t.Out(), "PA 1+1 a1");
  t.In({});
  EXPECT_EQ(t.Out(), "PA 2+2 a1");
}

// --- Timestamps (RFC 7323) ---

class Timestamps : public ::testing::Test {
 protected:
  static StackConfig Config() {
    StackConfig config = StackTester::Plain();
    config.timestamps = true;
    return config;
  }
  Timestamps() : t(Config()) {
    t.peer().syn_options = SynOptions(1460, absl::nullopt, 1000);
    t.Establish();
  }
  StackTester t;
};

TEST_F(Timestamps, AreEchoed) {
  t.peer().tsval = 1234;
  t.Data("abc");
  EXPECT_EQ(t.last().options.tsecr, 1234u);
  const uint32_t tsval = t.last().options.tsval;
  t.Run(Ms(50));
  t.peer().tsval = 1284;
  t.Data("def");
  EXPECT_EQ(t.last().options.tsecr, 1284u);
  EXPECT_EQ(t.last().options.tsval - tsval, 50u);  // ticks of a millisecond
}

// RFC 7323 §4.3: with a delayed ACK, the echo is of the first segment that is not acknowledged yet.
TEST_F(Timestamps, TheEchoIsOfTheEarliestUnacknowledged) {
  t.auto_flush = false;
  t.peer().tsval = 2000;
  t.Data("abc");
  t.peer().tsval = 2001;
  t.Data("def");
  t.Poll();
  EXPECT_EQ(t.last().options.tsecr, 2000u);
}

TEST_F(Timestamps, AHoleIsNotEchoed) {
  t.peer().tsval = 2000;
  t.In({.seq = 10, .payload = "late"});
  EXPECT_EQ(t.last().options.tsecr, 1000u);
}

TEST_F(Timestamps, Paws) {
  t.peer().tsval = 5000;
  t.Data("abc");
  t.TakeOut();
  t.peer().tsval = 4999;
  t.In({.payload = "old"});
  EXPECT_EQ(t.drops(DropReason::kTcpPaws), 1u);
  EXPECT_EQ(t.Out(), "A 1+0 a4");
  EXPECT_EQ(t.Read(), "abc");
  t.peer().tsval = 5000;  // equal is fine
  t.Data("def");
  EXPECT_EQ(t.Read(), "def");
  t.peer().tsval = 5000 + 0x7fffffffu;  // and so is anything ahead, modulo 2^32
  t.Data("ghi");
  EXPECT_EQ(t.Read(), "ghi");
}

TEST_F(Timestamps, PawsLetsResetsPass) {
  t.peer().tsval = 5000;
  t.Data("abc");
  wire::TcpOptions old;
  old.has_timestamp = true;
  old.tsval = 1;
  t.In({.flags = testing::kRst, .options = old});
  EXPECT_EQ(t.TakeEvents() & EventBits::kClosed, EventBits::kClosed);
}

// RFC 7323 §5.5: after 24 days the peer's clock has wrapped.
TEST_F(Timestamps, PawsForgetsAfter24Days) {
  t.peer().tsval = 5000;
  t.Data("abc");
  t.Read();
  t.Run(Duration::Seconds(25 * 24 * 3600));
  t.peer().tsval = 5000u + 0x80000010u;
  t.Data("def");
  EXPECT_EQ(t.Read(), "def");
  EXPECT_EQ(t.last().options.tsecr, 5000u + 0x80000010u);
}

TEST_F(Timestamps, ASegmentWithoutOneIsNotDropped) {
  t.In({.payload = "abc", .options = wire::TcpOptions()});
  EXPECT_EQ(t.Read(), "abc");
}

// --- Header prediction ---

TEST(Data, TheFastPathIsTakenInOrder) {
  StackTester t;
  t.Establish();
  for (int i = 0; i < 10; ++i) {
    t.Data("abc");
    t.Send("d");
    t.In({});
  }
  EXPECT_EQ(t.stack().counters().fast_path_segments.value(), 20u);
}

// Two stacks get the same segments; one of them gets each with an urgent flag, which is not predicted. All that can be
// seen of them is the same.
TEST(Data, FastAndSlowPathAgree) {
  const char* replay = std::getenv("LUNA_TEST_SEED");
  const uint64_t seed = replay != nullptr ? std::strtoull(replay, nullptr, 0) : 11;
  SCOPED_TRACE("LUNA_TEST_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  for (int round = 0; round < 40; ++round) {
    StackConfig config = random() % 2 ? Delayed() : StackTester::Plain();
    config.receive_buffer_bytes = 20000;
    config.send_buffer_bytes = 20000;
    StackTester fast(config), slow(config);
    fast.Establish();
    slow.Establish();
    for (int step = 0; step < 200; ++step) {
      const uint64_t what = random() % 8;
      const uint64_t amount = random() % 1460;
      const uint64_t window = random() % 10 == 0 ? 0 : 20000 + random() % 40000;
      for (StackTester* t : {&fast, &slow}) {
        const uint16_t more = t == &slow ? kUrg : 0;
        t->peer().window = static_cast<uint16_t>(window);
        if (what < 3) {
          t->Data(X(std::min<size_t>(amount, t->connection()->receiver().window())), more);
        } else if (what < 5) {
          t->In({.flags = static_cast<uint16_t>(kAck | more)});
        } else if (what == 5) {
          t->connection()->Read(amount);
          t->Poll();
        } else if (what == 6) {
          t->Run(Us(static_cast<int64_t>(amount)));
        } else if (t->connection()->send_space() > 0) {
          t->Send(X(amount + 1));
        }
      }
      ASSERT_EQ(fast.Out(), slow.Out()) << step;
      ASSERT_EQ(fast.TakeEvents(), slow.TakeEvents()) << step;
      ASSERT_EQ(fast.last().header.window, slow.last().header.window) << step;
      ASSERT_EQ(fast.connection()->ToString(), slow.connection()->ToString()) << step;
    }
    EXPECT_GT(fast.stack().counters().fast_path_segments.value(), 20u);
    EXPECT_EQ(slow.stack().counters().fast_path_segments.value(), 0u);
  }
}

}  // namespace
}  // namespace luna::tcp
