// What must go on when something is scarce: memory, the device's room, the peer's goodwill. Each test is a bug that a
// review found.

#include <string>
#include <vector>

#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "luna/net/tcp/sender.h"
#include "luna/net/tcp/testing/stack_tester.h"

namespace luna::tcp {
namespace {

using stats::DropReason;
using testing::Incoming;
using testing::kAck;
using testing::kFin;
using testing::kRst;
using testing::kSyn;
using testing::StackTester;
using testing::SynOptions;

// Takes every obj of one size, and gives them back when it goes.
class Hoard {
 public:
  Hoard(StackTester& tester, size_t bytes) : slab_(tester.memory().slab()) {
    while (std::byte* obj = slab_.Alloc(bytes)) objs_.push_back(obj);
  }
  ~Hoard() {
    for (std::byte* obj : objs_) slab_.Free(obj);
  }

 private:
  zbuf::Slab& slab_;
  std::vector<std::byte*> objs_;
};

// Makes every later allocation fail, whatever its size.
std::vector<std::unique_ptr<Hoard>> TakeAllMemory(StackTester& tester) {
  std::vector<std::unique_ptr<Hoard>> all;
  for (size_t bytes : {65000, 16000, 4000, 2000, 1000, 500, 200, 100})
    all.push_back(std::make_unique<Hoard>(tester, bytes));
  return all;
}

TEST(Scarcity, APeerThatReadsNothingCannotPinTheSlabWithTinySegments) {
  StackConfig config = StackTester::Plain();
  StackTester t(config);
  Connection& c = t.Establish();
  t.on_event = [&](const Event& e) {
    if (!e.Has(EventBits::kReadable)) return;
    if (c.send_space() == 0) return;
    ASSERT_EQ(c.Send(c.Read()), SendResult::kOk);
  };
  t.peer().window = 0;
  for (uint32_t i = 0; i < config.send_slices_limit + config.receive_slices_limit + 100; ++i) t.Data("x");
  EXPECT_EQ(c.send_space(), 0u);
  EXPECT_LE(t.memory().outstanding(), config.send_slices_limit + config.receive_slices_limit + 8u);
  EXPECT_EQ(t.drops(DropReason::kTcpMemory), 0u);  // copied together instead
  c.Abort();
}

// Found by fuzzing: with no header to send it with, what was queued had all the slab for ever.
TEST(Scarcity, PayloadThatHasAllTheSlabStillLeaves) {
  StackConfig config = StackTester::Plain();
  config.header_reserve = 4;
  StackTester t(config);
  Connection& c = t.Establish();
  EXPECT_EQ(t.stack().reserved_objs(), 4u);
  t.auto_flush = false;
  t.Send(std::string(20 * 1460, 'x'));
  auto taken = TakeAllMemory(t);
  t.auto_flush = true;
  size_t bytes = 0;
  for (int i = 0; i < 20 && bytes < 20 * 1460; ++i) {
    t.Poll();
    const auto out = t.TakeOut();
    ASSERT_FALSE(out.empty()) << bytes;
    for (const auto& segment : out) bytes += segment.payload.size();
    t.In({});
  }
  EXPECT_EQ(c.sender().queued_bytes(), 0u);
  taken.clear();
  t.Data("x");
  EXPECT_EQ(t.stack().reserved_objs(), 4u);
}

// An application that waits for memory does not get what headers have used, or nothing that it queued would ever leave.
TEST(Scarcity, NorDoesWhoWaitsForMemory) {
  StackConfig config = StackTester::Plain();
  config.header_reserve = 4;
  StackTester t(config);
  Connection& c = t.Establish();
  t.Send(std::string(3000, 'x'));
  t.TakeOut();
  auto taken = TakeAllMemory(t);
  for (int i = 0; i < 20; ++i) {
    t.Run(c.sender().rtt().rto());
    const std::string message(100, 'm');  // of a header's size class
    EXPECT_EQ(c.Send(absl::MakeConstSpan(reinterpret_cast<const std::byte*>(message.data()), message.size())), 0u) << i;
    t.stack().Reap();
    EXPECT_EQ(t.stack().reserved_objs(), 4u) << i;
    if (c.state() == State::kClosed) break;
  }
  c.Abort();
}

TEST(Scarcity, StrangersDoNotGetTheReserve) {
  StackConfig config = StackTester::Plain();
  config.header_reserve = 4;
  config.syn_cookies = SynCookies::kAlways;
  StackTester t(config);
  t.Listen();
  const zbuf::ZChain large = t.Chain(std::string(200, 'x'));  // of this size there is memory left, for what comes in
  const Hoard all(t, Core::kHeaderObjBytes);
  t.In({.flags = kAck, .seq = 1, .ack = 1, .payload = std::string(200, 'x')});
  t.In({.flags = kSyn, .payload = std::string(200, 'x')});
  EXPECT_EQ(t.Out(), "");
  EXPECT_EQ(t.stack().counters().send_no_memory.value(), 2u);
  EXPECT_EQ(t.stack().reserved_objs(), 4u);
}

TEST(Scarcity, ARetransmissionThatFindsNoMemoryStillCountsTowardsTheEnd) {
  StackTester t;
  t.Establish();
  t.Send("hello");
  {
    const auto taken = TakeAllMemory(t);
    t.Run(Duration::Seconds(60));
    EXPECT_EQ(t.TakeEvents() & EventBits::kClosed, EventBits::kClosed);
    EXPECT_EQ(t.close_reason(), CloseReason::kTimedOut);
  }
}

TEST(Scarcity, ARetransmissionLeavesWhenMemoryIsBack) {
  StackTester t;
  t.Establish();
  t.Send("hello");
  t.TakeOut();
  {
    const auto taken = TakeAllMemory(t);
    t.Run(Duration::Milliseconds(300));
    EXPECT_EQ(t.Out(), "");
  }
  t.Run(Duration::Seconds(2));
  const auto out = t.TakeOut();
  ASSERT_FALSE(out.empty());
  EXPECT_EQ(out[0].payload, "hello");
}

TEST(Scarcity, WhatIsInFlightHasATimerAlsoWhenTheDeviceTookOnlySome) {
  StackTester t;
  Connection& c = t.Establish();
  t.auto_flush = false;
  t.flush_limit = 2;
  const std::string text(10 * 1460, 'x');
  ASSERT_EQ(c.Send(absl::MakeConstSpan(reinterpret_cast<const std::byte*>(text.data()), text.size())), text.size());
  t.Poll();
  ASSERT_EQ(c.sender().flight(), 2u * 1460);
  // Now the peer shrinks its window to less than is in flight: nothing more may be sent.
  t.flush_limit = 1024;
  t.In({.ack = 1, .window = 100});
  EXPECT_FALSE(t.stack().NextDeadline().is_infinite());
  t.TakeOut();
  t.auto_flush = true;
  t.Run(Duration::Seconds(2));
  EXPECT_FALSE(t.TakeOut().empty()) << "neither retransmission nor probe";
  c.Abort();
}

TEST(Scarcity, FastRetransmitWorksAfterMoreThanTwoGibibytesWithoutLoss) {
  zbuf::TestSlab memory;
  StackConfig config;
  Sender sender(config);
  const SeqNum peer(500);
  Time now = Time::FromNanoseconds(1'000'000'000);
  sender.StartSyn(SeqNum(7));
  sender.Establish(60000, 14);
  sender.SetWindow(1u << 30, peer, SeqNum(8));
  const auto acknowledge = [&](SeqNum ack) {
    return sender.OnAck({.ack = ack, .seq = peer, .window = 1u << 30, .arrived = now, .now = now});
  };
  const zbuf::ZChain block = memory.Chain(std::string(60000, 'x'));
  sender.Queue(block.Share());
  sender.MarkUrgent();  // is past, and must not come back when the numbers have gone half round
  EXPECT_TRUE(sender.urgent());
  const auto send_one = [&] {
    sender.Queue(block.Share());
    const auto plan = sender.Next();
    ASSERT_TRUE(plan.has_value());
    sender.OnSent(*plan, now);
  };
  for (uint64_t sent = 0; sent < uint64_t{2300} << 20; sent += 120000) {
    send_one();
    send_one();
    ASSERT_EQ(acknowledge(sender.max()), Sender::Ack::kNew);
    ASSERT_FALSE(sent > 240000 && sender.urgent());
  }
  for (int i = 0; i < 3; ++i) send_one();  // as much as the congestion window takes
  for (int i = 0; i < 3; ++i) acknowledge(sender.una());
  EXPECT_TRUE(sender.in_recovery());
  sender.Clear();
}

TEST(Scarcity, EverySegmentBehindAHoleIsAnsweredAlsoInOneBurst) {
  StackTester t;
  t.Establish();
  t.auto_flush = false;
  const int64_t next = t.peer().next;
  for (int i = 1; i <= 9; ++i) t.In({.seq = next + 10 * i, .payload = "0123456789"});
  t.Poll();
  EXPECT_EQ(t.TakeOut().size(), 9u);  // a sender without SACK needs three to retransmit at once
  t.In({.seq = next, .payload = "0123456789"});
  t.Poll();
  EXPECT_EQ(t.TakeOut().size(), 1u);
  t.Read();
}

TEST(Scarcity, TimersRunHoweverManyConnectionsWaitForMemory) {
  StackTester t;
  Connection& lossy = t.Establish();
  t.Send("lost");
  t.TakeOut();
  // Connections that try to send again at each kWritable, and never can.
  std::vector<Connection*> starving;
  for (int i = 0; i < 40; ++i) {
    t.NewPeer();
    starving.push_back(&t.Establish());
  }
  const std::string text(100, 'y');
  const auto bytes = absl::MakeConstSpan(reinterpret_cast<const std::byte*>(text.data()), text.size());
  t.on_event = [&](const Event& e) {
    if (e.Has(EventBits::kWritable)) (void)e.connection->Send(bytes);
  };
  {
    const auto taken = TakeAllMemory(t);
    for (Connection* c : starving) EXPECT_EQ(c->Send(bytes), 0u);
    t.stack().Reap();
    // A worker takes a bounded number of events per round: fewer than there are starving connections.
    const uint32_t before = lossy.sender().timeouts();
    const Time later = t.now() + Duration::Seconds(1);
    for (int i = 0; i < 4; ++i) {
      const Event e = t.stack().NextEvent(later);
      if (e.Has(EventBits::kWritable)) (void)e.connection->Send(bytes);
    }
    EXPECT_GT(lossy.sender().timeouts(), before);
  }
  t.on_event = nullptr;
  lossy.Abort();
  for (Connection* c : starving) c->Abort();
}

TEST(Scarcity, ABlindSegmentWithABadAckDoesNotPoisonTheTimestamp) {
  StackConfig config = StackTester::Plain();
  config.timestamps = true;
  StackTester t(config);
  t.Listen();
  t.In({.flags = kSyn, .options = SynOptions(1460, {}, 1000)});
  t.In({});
  t.TakeEvents();
  t.TakeOut();
  wire::TcpOptions forged;
  forged.has_timestamp = true;
  forged.tsval = 0x40000000;
  t.In({.seq = t.peer().next, .ack = 100'000'000, .payload = "!", .options = forged});
  t.Data("genuine");
  EXPECT_EQ(t.Read(), "genuine");
  EXPECT_EQ(t.drops(DropReason::kTcpPaws), 0u);
}

TEST(Scarcity, RepliesAreBoundedWhileTheDeviceTakesNothing) {
  StackConfig config = StackTester::Plain();
  config.resets_per_second = 1'000'000;
  StackTester t(config);
  t.auto_flush = false;
  for (int i = 0; i < 5000; ++i) t.In({.flags = kAck, .seq = 1, .ack = 1});
  EXPECT_LE(t.memory().outstanding(), Core::kMaxReplies + 1);
  EXPECT_EQ(t.drops(DropReason::kTxRingFull), 5000 - Core::kMaxReplies);
}

TEST(Scarcity, AbortTowardsAClosedWindowIsExact) {
  StackTester t;
  Connection& c = t.Establish();
  t.In({.window = 0});
  t.peer().window = 0;
  t.Send("more than the window");
  t.Run(Duration::Seconds(1));  // probes went one octet past the edge
  t.TakeOut();
  c.Abort();
  EXPECT_EQ(t.Out(), "RA 1+0 a1");  // what the peer expects next: anything later it would ignore
}

TEST(Scarcity, ACopyingSendTakesWhatThereIsRoomFor) {
  StackTester t;
  Connection& c = t.Establish();
  t.peer().window = 0;
  t.In({.window = 0});
  const std::string text(1 << 20, 'z');
  const auto bytes = absl::MakeConstSpan(reinterpret_cast<const std::byte*>(text.data()), text.size());
  size_t taken = 0;
  {
    const auto hoard = TakeAllMemory(t);
    EXPECT_EQ(c.Send(bytes), 0u);
  }
  taken = c.Send(bytes);
  EXPECT_EQ(taken, text.size());
  c.Abort();
}

TEST(Scarcity, AnswersAKeepAliveProbeBeyondTheChallengeLimit) {
  StackConfig config = StackTester::Plain();
  config.challenge_acks_per_second = 0;
  StackTester t(config);
  t.Establish();
  t.In({.seq = t.peer().next - 1});
  EXPECT_EQ(t.Out(), "A 1+0 a1");
}

}  // namespace
}  // namespace luna::tcp
