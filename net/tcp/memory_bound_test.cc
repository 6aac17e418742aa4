// The bound on the payload that all connections of a stack hold together.

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "luna/net/tcp/testing/stack_tester.h"

namespace luna::tcp {
namespace {

using stats::DropReason;
using testing::kAck;
using testing::kRst;
using testing::kSyn;
using testing::Peer;
using testing::StackTester;
using testing::SynOptions;

StackConfig Bounded(uint64_t bytes) {
  StackConfig config = StackTester::Plain();
  config.memory_limit_bytes = bytes;
  return config;
}

// To 20,000, and whatever is queued leaves at once.
StackConfig BoundedWithBuffer(uint32_t receive_buffer_bytes) {
  StackConfig config = Bounded(20000);
  config.receive_buffer_bytes = receive_buffer_bytes;
  config.initial_window_segments = 20;
  return config;
}

TEST(MemoryBound, CountsWhatIsHeldAndLetsGo) {
  StackTester t(Bounded(0));
  Connection& c = t.Establish();
  t.Send(std::string(1000, 'x'));
  EXPECT_EQ(t.stack().held_bytes(), 1000u);
  t.In({});
  EXPECT_EQ(t.stack().held_bytes(), 0u);
  t.Data("12345");
  t.In({.seq = 10, .payload = "ahead"});
  EXPECT_EQ(t.stack().held_bytes(), 10u);
  EXPECT_EQ(c.Read(2).bytes(), 2u);
  EXPECT_EQ(t.stack().held_bytes(), 8u);
  t.In({.flags = kRst});
  EXPECT_EQ(t.Read(), "345");  // still there
  t.stack().Reap();
  EXPECT_EQ(t.stack().held_bytes(), 0u);
}

TEST(MemoryBound, SendGivesBackPressureAndWakesWhenOthersLetGo) {
  StackTester t(Bounded(10000));
  Connection& a = t.Establish();
  Peer& first = t.peer();
  t.NewPeer();
  Connection& b = t.Establish();
  EXPECT_EQ(a.Send(t.Chain(std::string(10000, 'a'))), SendResult::kOk);
  t.Poll();
  EXPECT_EQ(b.Send(t.Chain("b")), SendResult::kBackpressure);
  EXPECT_EQ(b.send_space(), 0u);
  EXPECT_EQ(t.stack().counters().memory_waits.value(), 1u);
  t.TakeEvents();
  t.SwitchTo(first);
  // Below the bound, however little: nothing else need come that would wake one that has nothing under way.
  t.In({.ack = 1001});
  EXPECT_EQ(t.TakeEvents(), EventBits::kWritable);
  EXPECT_EQ(t.connection(), &b);
  EXPECT_EQ(b.Send(t.Chain("b")), SendResult::kOk);
}

TEST(MemoryBound, OneThatEndsWhileItWaitsIsForgotten) {
  StackTester t(Bounded(1000));
  Connection& a = t.Establish();
  Peer& first = t.peer();
  t.NewPeer();
  Connection& b = t.Establish();
  EXPECT_EQ(a.Send(t.Chain(std::string(1000, 'a'))), SendResult::kOk);
  EXPECT_EQ(b.Send(t.Chain("b")), SendResult::kBackpressure);
  b.Abort();
  t.Poll();
  EXPECT_EQ(t.stack().Reap(), 1u);
  t.SwitchTo(first);
  t.TakeEvents();
  t.In({});
  EXPECT_EQ(t.TakeEvents(), 0u);
}

// The records of what was in flight are not payload, and no limit counts them: an idle connection has few.
TEST(MemoryBound, ABurstOfLongAgoCostsNothing) {
  StackConfig config = StackTester::Plain();
  config.initial_window_segments = 400;
  StackTester t(config);
  t.peer().syn_options = SynOptions(100);
  Connection& c = t.Establish();
  t.Send(std::string(30000, 'x'));
  EXPECT_GE(c.sender().board().capacity(), 300u);
  t.In({});
  t.Run(Duration::Seconds(2));
  EXPECT_LE(c.sender().board().capacity(), 64u);
  t.Send(std::string(30000, 'y'));
  t.TakeOut();
  t.In({});
  EXPECT_EQ(t.stack().held_bytes(), 0u);
}

// A Send() after the end takes nothing and waits for nothing: what waits must not be reaped.
TEST(MemoryBound, OneThatHasEndedDoesNotWait) {
  StackTester t(Bounded(1000));
  Connection& a = t.Establish();
  Peer& first = t.peer();
  t.NewPeer();
  Connection& b = t.Establish();
  EXPECT_EQ(a.Send(t.Chain(std::string(1000, 'a'))), SendResult::kOk);
  b.Abort();
  const char byte = 'b';
  EXPECT_EQ(b.Send(absl::MakeConstSpan(reinterpret_cast<const std::byte*>(&byte), 1)), 0u);
  t.Poll();
  EXPECT_EQ(t.stack().counters().memory_waits.value(), 0u);
  EXPECT_EQ(t.stack().Reap(), 1u);
  t.SwitchTo(first);
  t.TakeEvents();
  t.In({});
  EXPECT_EQ(t.TakeEvents(), 0u);
}

// Near the bound the promised octets are still taken, as long as each holds little of what is left, and at it no more.
TEST(MemoryBound, PayloadIsRefused) {
  StackConfig config = Bounded(20000);
  config.receive_buffer_bytes = 10000;
  StackTester t(config);
  std::vector<Peer*> peers;
  for (int i = 0; i < 3; ++i) {
    if (i > 0) t.NewPeer();
    t.Establish();
    peers.push_back(&t.peer());
  }
  for (Peer* peer : peers) {
    t.SwitchTo(*peer);
    for (int i = 0; i < 10; ++i) t.Data(std::string(1000, 'x'));
  }
  EXPECT_LE(t.stack().held_bytes(), 20000u);
  EXPECT_EQ(t.stack().counters().memory_refused.value(), 10u);
  EXPECT_EQ(t.drops(DropReason::kTcpMemory), 10u);
  EXPECT_EQ(t.last().ack, 2001);  // what the second left of the reserve
  // The first reads a little: its window opens by no more than that.
  t.SwitchTo(*peers[0]);
  t.In({});
  Connection* reader = nullptr;
  t.stack().ForEachConnection([&](Connection& c) {
    if (c.tuple().remote == peers[0]->endpoint) reader = &c;
  });
  EXPECT_EQ(reader->Read(4000).bytes(), 4000u);
  t.Poll();
  EXPECT_EQ(t.last().header.window, 4000u);
  EXPECT_EQ(reader->Read().bytes(), 6000u);
  t.Poll();
  EXPECT_EQ(t.last().header.window, 10000u);
}

// Whose window was held down hears of it when others have let go.
TEST(MemoryBound, WindowsOpenWhenItIsOver) {
  StackTester t(BoundedWithBuffer(8000));
  Connection& reader = t.Establish();
  Peer& first = t.peer();
  Peer& second = t.NewPeer();
  Connection& hog = t.Establish();
  t.SwitchTo(first);
  for (int i = 0; i < 4; ++i) t.Data(std::string(1000, 'x'));
  EXPECT_EQ(hog.Send(t.Chain(std::string(20000, 'h'))), SendResult::kOk);
  t.Poll();
  for (int i = 0; i < 4; ++i) t.Data(std::string(1000, 'x'));
  EXPECT_EQ(t.drops(DropReason::kTcpMemory), 4u);
  EXPECT_EQ(reader.Read().bytes(), 4000u);
  t.Poll();
  EXPECT_EQ(t.last().header.window, 4000u);  // as before
  t.TakeOut();
  t.SwitchTo(second);
  t.In({.ack = 501});  // still too much
  EXPECT_EQ(t.Out(), "");
  t.In({.ack = 20001});
  const auto out = t.TakeOut();
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].tuple.remote, first.endpoint);
  EXPECT_EQ(out[0].header.window, 8000u);
}

// An application that keeps what it gets has its peers' windows close: what is offered is taken, no more is offered.
TEST(MemoryBound, WindowsDoNotOpenWhileTheSlabIsNearlyUsedUp) {
  StackConfig config = StackTester::Plain();
  config.receive_buffer_bytes = 8000;
  StackTester t(config);
  Connection& reader = t.Establish();
  const uint32_t offered = t.last().header.window;
  t.stack().SetMemoryShort(true);
  for (uint32_t got = 1000; got <= offered; got += 1000) {
    t.Data(std::string(1000, 'x'));
    EXPECT_EQ(t.last().header.window, offered - got);
    EXPECT_EQ(reader.Read().bytes(), 1000u);
  }
  t.Poll();
  t.TakeOut();
  EXPECT_EQ(t.last().header.window, 0u);
  t.Run(Duration::Seconds(5));
  EXPECT_EQ(t.Out(), "") << "reading opens nothing";
  t.In({.payload = "p"});  // the peer's probe is answered, and not taken
  EXPECT_EQ(t.TakeOut().size(), 1u);
  EXPECT_EQ(t.last().header.window, 0u);
  // The other way all goes on.
  EXPECT_EQ(reader.Send(t.Chain("answer")), SendResult::kOk);
  t.Poll();
  EXPECT_EQ(t.last().payload, "answer");
  EXPECT_EQ(t.last().header.window, 0u);
  t.In({});
  t.TakeOut();
  t.stack().SetMemoryShort(true);
  EXPECT_EQ(t.stack().counters().memory_short.value(), 1u);
  t.stack().SetMemoryShort(false);
  EXPECT_EQ(t.TakeOut().size(), 1u) << "the peer hears of it by itself";
  EXPECT_EQ(t.last().header.window, 8000u);
}

TEST(MemoryBound, OneThatEndsWithItsWindowHeldDownIsForgotten) {
  StackTester t(BoundedWithBuffer(4000));
  Connection& reader = t.Establish();
  Peer& first = t.peer();
  Peer& second = t.NewPeer();
  Connection& hog = t.Establish();
  t.SwitchTo(first);
  for (int i = 0; i < 4; ++i) t.Data(std::string(1000, 'x'));
  EXPECT_EQ(hog.Send(t.Chain(std::string(20000, 'h'))), SendResult::kOk);
  t.Poll();
  EXPECT_EQ(reader.Read().bytes(), 4000u);
  t.In({.flags = kRst});
  EXPECT_EQ(t.stack().Reap(), 1u);
  t.TakeOut();
  t.SwitchTo(second);
  t.In({.ack = 20001});
  EXPECT_EQ(t.Out(), "");
}

// Peers that never read have three quarters of it and no more: others go on, in both directions.
TEST(MemoryBound, TheRestIsForThoseThatMove) {
  StackConfig config = Bounded(400000);
  config.receive_buffer_bytes = 40000;
  StackTester t(config);
  for (int i = 0; i < 30; ++i) {
    if (i > 0) t.NewPeer();
    Connection& hog = t.Establish();
    t.peer().window = 0;
    t.In({});
    while (hog.Send(t.Chain(std::string(1000, 'h'))) == SendResult::kOk) {
    }
    for (int j = 0; j < 40; ++j) t.Data(std::string(1000, 'x'));
  }
  EXPECT_LE(t.stack().held_bytes(), 300000u + 30 * 1000 + 1000) << "a segment each, beyond three quarters";
  t.NewPeer().window = 0xffff;
  Connection& c = t.Establish();
  for (int i = 0; i < 20; ++i) {
    const uint64_t refused = t.drops(DropReason::kTcpMemory);
    t.Data(std::string(500, 'y'));
    EXPECT_EQ(t.drops(DropReason::kTcpMemory), refused);
    EXPECT_EQ(t.Read(), std::string(500, 'y'));
    EXPECT_EQ(c.Send(t.Chain(std::string(500, 'z'))), SendResult::kOk);
    t.Poll();
    EXPECT_GE(t.last().header.window, 2000u) << "held down";
    t.In({});
  }
}

// Who asks to be told of room is told when there is some. (An application that is told at once asks again at once.)
TEST(MemoryBound, WhoAsksToBeToldIsNotToldAtTheBound) {
  StackTester t(Bounded(10000));
  Connection& a = t.Establish();
  Peer& first = t.peer();
  t.NewPeer();
  Connection& b = t.Establish();
  EXPECT_EQ(a.Send(t.Chain(std::string(10000, 'a'))), SendResult::kOk);
  t.Poll();
  t.TakeEvents();
  b.WantWritable();
  t.Poll();
  EXPECT_EQ(t.TakeEvents(), 0u);
  t.SwitchTo(first);
  t.In({.ack = 5001});
  EXPECT_EQ(t.TakeEvents(), EventBits::kWritable);
  EXPECT_EQ(t.connection(), &b);
}

// Before the handshake is over there is no window to have a share by: its end says that there is.
TEST(MemoryBound, OneThatWaitsInSynSentIsWoken) {
  StackTester t(Bounded(10000));
  Connection& a = t.Establish();
  EXPECT_EQ(a.Send(t.Chain(std::string(8000, 'a'))), SendResult::kOk);
  t.Poll();
  t.NewPeer();
  Connection& b = *t.Connect();
  EXPECT_EQ(b.Send(t.Chain("b")), SendResult::kBackpressure);
  t.Out();
  t.In({.flags = kSyn | kAck});
  EXPECT_EQ(t.TakeEvents(), EventBits::kConnected | EventBits::kWritable);
  EXPECT_EQ(b.Send(t.Chain("b")), SendResult::kOk);
}

// Found by simulation: what lay ahead of the hole had all the memory, and what would have filled it was refused.
TEST(MemoryBound, WhatFillsAHoleIsTakenInTheStead) {
  StackConfig config = Bounded(10000);
  config.sack = true;
  StackTester t(config);
  t.peer().syn_options.sack_permitted = true;
  Connection& c = t.Establish();
  for (int i = 1; i <= 6; ++i) t.In({.seq = 1 + i * 1460, .payload = std::string(1460, 'a')});
  ASSERT_EQ(t.stack().held_bytes(), 6u * 1460);
  t.In({.seq = 1, .payload = std::string(1460, 'h')});
  EXPECT_EQ(c.readable_bytes(), 1460u);
  EXPECT_LE(t.stack().held_bytes(), 10000u);
  EXPECT_EQ(t.last().ack, 1461);
  EXPECT_EQ(t.last().options.sack_count, 0);
  // It comes again.
  EXPECT_EQ(t.Read().size(), 1460u);
  t.In({.seq = 1461, .payload = std::string(1460, 'a')});
  EXPECT_EQ(c.readable_bytes(), 1460u);
}

TEST(MemoryBound, NothingAheadOfAHoleIsKeptNearIt) {
  StackTester t(Bounded(2000));
  t.Establish();
  t.Data(std::string(1500, 'x'));
  t.In({.seq = 2000, .payload = "ahead"});
  EXPECT_EQ(t.stack().held_bytes(), 1500u);
  EXPECT_EQ(t.stack().counters().memory_refused.value(), 1u);
  t.Data("in order");
  EXPECT_EQ(t.stack().held_bytes(), 1508u);
}

// Of a stack Bounded(10000): another holds most of the memory, and the peer's window is shut.
Connection& EstablishWithoutRoom(StackTester& t) {
  t.Establish();
  for (int i = 0; i < 9; ++i) t.Data(std::string(1000, 'h'));
  t.NewPeer().window = 0;
  Connection& c = t.Establish();
  t.In({});
  return c;
}

void Wait(StackTester& t, Connection& c) {
  EXPECT_EQ(c.Send(t.Chain("c")), SendResult::kBackpressure);
  t.Poll();
}

// With nothing queued there is no octet to probe the window with, and its update may be lost.
TEST(MemoryBound, OneThatWaitsForAWindowAsksForIt) {
  StackTester t(Bounded(10000));
  Connection& c = EstablishWithoutRoom(t);
  Wait(t, c);
  t.TakeOut();
  t.TakeEvents();
  for (const uint64_t probes : {1u, 2u}) {
    t.Run(c.sender().rtt().rto() * 2);
    const auto out = t.TakeOut();
    ASSERT_EQ(out.size(), 1u);
    EXPECT_EQ(out[0].seq, 0);
    EXPECT_EQ(out[0].payload, "");
    EXPECT_EQ(t.stack().counters().window_probes.value(), probes);
    t.In({});  // still shut
  }
  t.peer().window = 5000;
  t.In({});
  EXPECT_EQ(t.TakeEvents(), EventBits::kWritable);
  EXPECT_EQ(c.Send(t.Chain("c")), SendResult::kOk);
  t.Poll();
  t.In({});
  t.TakeOut();
  t.Run(Duration::Seconds(10));
  EXPECT_EQ(t.stack().counters().window_probes.value(), 2u);
}

// Room that came from elsewhere, or that the application has used, ends the asking: nobody gives up on an idle peer.
TEST(MemoryBound, OneThatHasRoomAgainDoesNotAsk) {
  for (const bool window_opens : {false, true}) {
    StackTester t(Bounded(10000));
    t.Establish();
    Connection& hog = *t.connection();
    Peer& first = t.peer();
    for (int i = 0; i < 9; ++i) t.Data(std::string(1000, 'h'));
    t.NewPeer().window = 0;
    Connection& c = t.Establish();
    Peer& second = t.peer();
    t.In({});
    EXPECT_EQ(c.Send(t.Chain("c")), SendResult::kBackpressure);
    t.Poll();
    if (window_opens) {
      t.In({.window = 5000});
      EXPECT_EQ(c.Send(t.Chain("c")), SendResult::kOk);
      t.Poll();
      t.In({.window = 0});  // acknowledged
    } else {
      t.SwitchTo(first);
      EXPECT_GE(hog.Read().bytes(), 8000u);
      t.Poll();
      t.SwitchTo(second);
    }
    const uint64_t probes = t.stack().counters().window_probes.value();
    t.Run(Duration::Seconds(3600));
    EXPECT_EQ(c.state(), State::kEstablished) << window_opens;
    EXPECT_LE(t.stack().counters().window_probes.value(), probes);
  }
}

// What it waits for is no fault of its own, and its peer may be gone all the same.
TEST(MemoryBound, OneThatWaitsForAWindowGivesUpWithAUserTimeoutToo) {
  StackTester t(Bounded(10000));
  Connection& c = EstablishWithoutRoom(t);
  ConnectionOptions options = c.options();
  options.user_timeout = Duration::Seconds(5);
  ASSERT_TRUE(c.SetOptions(options, t.now()).ok());
  Wait(t, c);
  t.Run(Duration::Seconds(3600));
  EXPECT_EQ(c.close_reason(), CloseReason::kTimedOut);
}

// Its window probes are no keep-alive probes, of which a few unanswered ones end a connection.
TEST(MemoryBound, OneThatWaitsForAWindowIsNotIdle) {
  StackTester t(Bounded(10000));
  Connection& c = EstablishWithoutRoom(t);
  ConnectionOptions options = c.options();
  options.keep_alive = true;
  options.keep_alive_idle = Duration::Milliseconds(100);
  options.keep_alive_interval = Duration::Milliseconds(100);
  options.keep_alive_probes = 1;
  ASSERT_TRUE(c.SetOptions(options, t.now()).ok());
  Wait(t, c);
  t.Run(Duration::Seconds(3600));
  EXPECT_EQ(c.close_reason(), CloseReason::kTimedOut) << "after all its probes";
  EXPECT_EQ(t.stack().counters().keep_alive_probes.value(), 0u);
}

// A peer that is gone, and not merely full, does not answer: R2.
TEST(MemoryBound, OneThatWaitsForAWindowGivesUp) {
  StackTester t(Bounded(10000));
  Connection& c = EstablishWithoutRoom(t);
  Wait(t, c);
  t.Run(Duration::Seconds(3600));
  EXPECT_EQ(c.state(), State::kClosed);
  EXPECT_EQ(c.close_reason(), CloseReason::kTimedOut);
}

// What is offered near the bound will be taken.
TEST(MemoryBound, AWindowOpensByTheShareAlone) {
  StackTester t(BoundedWithBuffer(12000));
  Connection& reader = t.Establish();
  Peer& first = t.peer();
  t.NewPeer();
  Connection& hog = t.Establish();
  EXPECT_EQ(hog.Send(t.Chain(std::string(18000, 'h'))), SendResult::kOk);
  t.Poll();
  t.SwitchTo(first);
  for (int i = 0; i < 7; ++i) {
    t.Data(std::string(1000, 'x'));
    EXPECT_EQ(reader.Read().bytes(), 1000u);
    t.Poll();
  }
  // Four times what is left. Without the pressure it would be the whole buffer.
  EXPECT_LE(t.last().header.window, 8000u);
  EXPECT_GE(t.last().header.window, 8000u - 2 * 1460);
}

// An application that reads a little at a time need not tell of a window that does not move.
TEST(MemoryBound, ReadingUnderPressureSaysNothingThatIsNotNew) {
  StackTester t(BoundedWithBuffer(12000));
  Connection& reader = t.Establish();
  Peer& first = t.peer();
  for (int i = 0; i < 12; ++i) t.Data(std::string(1000, 'x'));
  t.NewPeer();
  Connection& hog = t.Establish();
  EXPECT_EQ(hog.Send(t.Chain(std::string(7900, 'h'))), SendResult::kOk);
  t.Poll();
  t.SwitchTo(first);
  t.TakeOut();
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(reader.Read(500).bytes(), 500u);
    t.Poll();
  }
  EXPECT_EQ(t.Out(), "");
}

}  // namespace
}  // namespace luna::tcp
