// What the Stack itself does: ports, listeners, memory, output limits, Reap, calls from within events.

#include "luna/net/tcp/stack.h"

#include <set>
#include <string>
#include <vector>

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

constexpr Duration Ms(int64_t n) { return Duration::Milliseconds(n); }
constexpr wire::Ipv4Address kHere(10, 0, 0, 2);
constexpr wire::Ipv4Address kPeer(10, 0, 0, 1);

std::string X(size_t n) { return std::string(n, 'x'); }

// --- Ports ---

TEST(Ports, AreOfTheRangeDistinctAndExhaustible) {
  StackConfig config = StackTester::Plain();
  config.ephemeral_first = 61440;
  config.ephemeral_last = 61449;
  StackTester t(config);
  std::set<uint16_t> ports;
  for (int i = 0; i < 10; ++i) {
    const auto c = t.stack().Connect({kHere, 0}, {kPeer, 80}, nullptr, t.now());
    ASSERT_TRUE(c.ok());
    ports.insert((*c)->tuple().local.port);
  }
  EXPECT_EQ(ports.size(), 10u);
  EXPECT_GE(*ports.begin(), 61440);
  EXPECT_LE(*ports.rbegin(), 61449);
  const auto full = t.stack().Connect({kHere, 0}, {kPeer, 80}, nullptr, t.now());
  EXPECT_EQ(full.status().code(), absl::StatusCode::kResourceExhausted);
  // To another destination the same ports are free.
  EXPECT_TRUE(t.stack().Connect({kHere, 0}, {kPeer, 81}, nullptr, t.now()).ok());
}

TEST(Ports, BeginElsewhereForEachDestinationAndSecret) {
  const auto first = [](uint64_t secret, uint16_t destination) {
    StackConfig config = StackTester::Plain();
    config.secret = {secret, 5};
    StackTester t(config);
    return (*t.stack().Connect({kHere, 0}, {kPeer, destination}, nullptr, t.now()))->tuple().local.port;
  };
  EXPECT_EQ(first(1, 80), first(1, 80));
  EXPECT_NE(first(1, 80), first(1, 81));
  EXPECT_NE(first(1, 80), first(2, 80));
}

TEST(Ports, AListenersPortIsNotChosen) {
  StackConfig config = StackTester::Plain();
  config.ephemeral_first = 61440;
  config.ephemeral_last = 61441;
  StackTester t(config);
  ASSERT_TRUE(t.stack().Listen({kHere, 61441}).ok());
  for (int i = 0; i < 1; ++i) {
    const auto c = t.stack().Connect({kHere, 0}, {kPeer, 80}, nullptr, t.now());
    ASSERT_TRUE(c.ok());
    EXPECT_EQ((*c)->tuple().local.port, 61440);
  }
  EXPECT_FALSE(t.stack().Connect({kHere, 0}, {kPeer, 80}, nullptr, t.now()).ok());
}

TEST(Ports, ATupleIsUsedOnce) {
  StackTester t;
  t.Connect();
  EXPECT_EQ(t.stack().Connect(t.peer().local, t.peer().endpoint, nullptr, t.now()).status().code(),
            absl::StatusCode::kAlreadyExists);
}

// --- Listeners ---

TEST(Listeners, Conflicts) {
  StackTester t;
  Stack& stack = t.stack();
  EXPECT_EQ(stack.Listen({kHere, 0}).status().code(), absl::StatusCode::kInvalidArgument);
  const auto a = stack.Listen({kHere, 80});
  ASSERT_TRUE(a.ok());
  EXPECT_EQ(stack.Listen({kHere, 80}).status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(stack.Listen({wire::IpAddress(), 80}).status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(stack.Listen({wire::Ipv4Address::Any(), 80}).status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_TRUE(stack.Listen({wire::Ipv4Address(10, 0, 0, 3), 80}).ok());
  EXPECT_TRUE(stack.Listen({kHere, 81}).ok());
  stack.StopListening(*a);
  EXPECT_TRUE(stack.Listen({kHere, 80}).ok());
}

TEST(Listeners, AnyAddress) {
  for (const wire::IpAddress any : {wire::IpAddress(), wire::IpAddress(wire::Ipv4Address::Any())}) {
    StackTester t;
    ASSERT_TRUE(t.stack().Listen({any, t.peer().local.port}).ok());
    t.In({.flags = kSyn});
    EXPECT_EQ(t.Out(), "SA 0+0 a1");
  }
}

TEST(Listeners, StoppingResetsTheHalfOpenAndKeepsTheRest) {
  StackTester t;
  Listener* listener = t.Listen();
  t.In({.flags = kSyn});
  t.In({});
  Connection* established = t.connection();
  testing::Peer& first = t.peer();
  t.NewPeer();
  t.In({.flags = kSyn});
  t.Out();
  t.TakeEvents();
  t.stack().StopListening(listener);
  EXPECT_EQ(t.Out(), "RA 1+0 a1");
  EXPECT_EQ(t.TakeEvents(), 0u);  // the application never knew of it
  t.stack().Reap();
  EXPECT_EQ(t.stack().connections(), 1u);
  t.NewPeer();
  t.In({.flags = kSyn});
  EXPECT_EQ(t.Out(), "RA 0+0 a1");
  t.SwitchTo(first);
  t.Data("still here");
  EXPECT_EQ(established->Read().ToString(), "still here");
}

TEST(Listeners, PassiveOpenDoesNotDisturbExistingConnections) {
  StackTester t;
  t.Establish(false);
  ASSERT_TRUE(t.stack().Listen(t.peer().local).ok());
  t.Data("abc");
  EXPECT_EQ(t.Read(), "abc");
}

// --- Output ---

TEST(Output, KeepsToTheLimitAndTakesTurns) {
  StackTester t;
  t.Establish();
  t.auto_flush = false;
  t.Send(X(14600));
  for (const size_t expected : {3u, 3u, 3u, 1u, 0u}) {
    ip::OutBatch batch;
    t.stack().Flush(t.now(), 3, &batch);
    EXPECT_EQ(batch.size(), expected);
    EXPECT_EQ(t.stack().HasOutput(), expected == 3);
  }
}

size_t FlushOne(StackTester& t) {
  ip::OutBatch batch;
  t.stack().Flush(t.now(), 1, &batch);
  return batch.size();
}

TEST(Output, KeepsToTheLimitWithProbesOfBothKinds) {
  StackConfig config = StackTester::Plain();
  config.keep_alive = true;
  config.keep_alive_idle = Duration::Seconds(1);
  StackTester t(config);
  Connection& c = t.Establish();
  t.peer().window = 0;
  t.In({});
  t.auto_flush = false;
  Time due = t.now() + Duration::Milliseconds(1001);
  while (t.stack().NextEvent(due)) continue;
  ASSERT_EQ(c.Send(t.Chain("x")), SendResult::kOk);
  t.In({});
  while (t.stack().NextEvent(due += Duration::Milliseconds(100))) continue;
  EXPECT_EQ(FlushOne(t), 1u);
  EXPECT_EQ(FlushOne(t), 1u);
  EXPECT_EQ(FlushOne(t), 0u);
}

TEST(Output, RepliesGoFirstAndCount) {
  StackTester t;
  t.Establish();
  t.auto_flush = false;
  t.Send("data");
  t.NewPeer();
  t.In({.payload = "stray"});
  t.flush_limit = 1;
  EXPECT_EQ(t.Out(), "R 0+0");
  EXPECT_EQ(t.TakeOut().size(), 1u);
}

TEST(Output, OneConnectionIsListedOnce) {
  StackTester t;
  t.Establish();
  t.auto_flush = false;
  for (int i = 0; i < 5; ++i) {
    t.Data("x");
    t.Send("y");
  }
  EXPECT_EQ(t.Out(), "PA 1+5 a6");
}

// --- Memory ---

// Takes everything that the arena has, and gives it back.
class Hog {
 public:
  explicit Hog(zbuf::Slab& slab) {
    for (size_t size : {size_t{100000}, size_t{9000}, size_t{2048}, size_t{1024}, size_t{512}, size_t{256}, size_t{128},
                        size_t{64}}) {
      while (std::byte* obj = slab.Alloc(size)) taken_.push_back(zbuf::ZRef::Adopt(obj));
    }
  }
  void LetGo() { taken_.clear(); }
  // Just enough for a segment that comes in.
  void LetGoSome() {
    for (int i = 0; i < 50 && !taken_.empty(); ++i) taken_.pop_back();
  }

 private:
  std::vector<zbuf::ZRef> taken_;
};

TEST(Memory, NothingIsLostWhileThereIsNone) {
  StackTester t(StackTester::Plain(), size_t{4} << 20);
  t.Establish();
  zbuf::ZChain data = t.Chain(X(5000));
  Hog hog(t.memory().slab());
  EXPECT_EQ(t.connection()->Send(std::move(data)), SendResult::kOk);
  t.connection()->ShutdownWrite();
  t.Run(Ms(100));
  EXPECT_EQ(t.Out(), "");
  EXPECT_GT(t.stack().counters().send_no_memory.value(), 0u);
  EXPECT_TRUE(t.stack().HasOutput());
  hog.LetGo();
  EXPECT_EQ(t.Out(), "A 1+1460 a1; A 1461+1460 a1; A 2921+1460 a1; FPA 4381+620 a1");
  EXPECT_EQ(t.stack().counters().timeouts.value(), 0u);
}

TEST(Memory, ACopyingSendWaitsForMemory) {
  StackTester t(StackTester::Plain(), size_t{4} << 20);
  t.Establish();
  Hog hog(t.memory().slab());
  const std::string text = "hello";
  const auto bytes = absl::MakeConstSpan(reinterpret_cast<const std::byte*>(text.data()), text.size());
  EXPECT_EQ(t.connection()->Send(bytes), 0u);
  EXPECT_EQ(t.stack().NextDeadline(), Time::FromNanoseconds(0));
  hog.LetGo();
  t.stack().Reap();
  t.Poll();
  EXPECT_EQ(t.TakeEvents(), EventBits::kWritable);
  EXPECT_EQ(t.connection()->Send(bytes), 5u);
}

TEST(Memory, TheHandshakeWaitsToo) {
  StackTester t(StackTester::Plain(), size_t{4} << 20);
  Hog hog(t.memory().slab());
  t.Connect();
  t.Run(Ms(10));
  EXPECT_EQ(t.Out(), "");
  hog.LetGo();
  EXPECT_EQ(t.Out(), "S 0+0");
  t.In({.flags = kSyn | kAck});
  EXPECT_EQ(t.TakeEvents(), EventBits::kConnected);
}

TEST(Memory, AnEndedConnectionStaysUntilItsLastAckHasLeft) {
  StackTester t(StackTester::Plain(), size_t{4} << 20);
  t.Establish();
  t.connection()->Close();
  t.Poll();
  t.In({});
  t.Out();
  t.auto_flush = false;
  t.Fin();
  Hog hog(t.memory().slab());
  t.Poll();
  EXPECT_EQ(t.stack().Reap(), 0u);
  hog.LetGo();
  EXPECT_EQ(t.Out(), "A 2+0 a2");
  EXPECT_EQ(t.stack().Reap(), 1u);
}

// --- Life cycle ---

TEST(LifeCycle, AReferenceIsGoodUntilReap) {
  StackTester t;
  Connection& c = t.Establish();
  t.Data("unread");
  t.In({.flags = kRst});
  EXPECT_EQ(c.state(), State::kClosed);
  EXPECT_EQ(c.close_reason(), CloseReason::kReset);
  EXPECT_EQ(c.Read().ToString(), "unread");
  EXPECT_EQ(c.Send(t.Chain("x")), SendResult::kClosed);
  EXPECT_EQ(c.send_space(), 0u);
  c.Close();
  c.ShutdownWrite();
  c.Abort();
  c.WantWritable();
  t.Poll();
  EXPECT_EQ(t.Out(), "A 1+0 a7");
  EXPECT_EQ(t.stack().Reap(), 1u);
  EXPECT_EQ(t.stack().Reap(), 0u);
}

TEST(LifeCycle, NothingIsToldAfterTheEnd) {
  StackTester t(StackTester::Plain(), size_t{4} << 20);
  Connection& c = t.Establish();
  {
    Hog hog(t.memory().slab());
    const std::string text = "hello";
    c.Send(absl::MakeConstSpan(reinterpret_cast<const std::byte*>(text.data()), text.size()));
  }
  t.stack().Reap();  // kWritable is posted now
  t.auto_flush = false;
  t.In({.flags = kRst});
  EXPECT_EQ(t.TakeEvents(), EventBits::kClosed);
  t.Poll();
  EXPECT_EQ(t.TakeEvents(), 0u);
  EXPECT_EQ(t.stack().Reap(), 1u);
}

TEST(LifeCycle, CallsFromWithinEvents) {
  StackTester t;
  t.Listen();
  std::vector<std::string> log;
  Connection* second = nullptr;
  t.on_event = [&](const Event& e) {
    if (e.Has(EventBits::kAccepted)) {
      log.push_back("accepted");
      EXPECT_EQ(e.connection->Send(t.Chain("hello")), SendResult::kOk);
    }
    if (e.Has(EventBits::kReadable)) {
      log.push_back("read " + e.connection->Read().ToString());
      const auto c = t.stack().Connect({kHere, 0}, {kPeer, 99}, nullptr, t.now());
      ASSERT_TRUE(c.ok());
      second = *c;
      e.connection->Close();
    }
    if (e.Has(EventBits::kClosed)) {
      log.push_back(std::string("closed ") + Name(e.connection->close_reason()));
      e.connection->Abort();  // no effect any more
      e.connection->Close();
    }
  };
  t.In({.flags = kSyn});
  t.In({});
  t.Data("question");
  EXPECT_EQ(t.TakeOut().size(), 4u);  // SYN-ACK, hello, FIN, the second connection's SYN
  t.Fin();
  second->Abort();
  t.Poll();
  EXPECT_EQ(log, (std::vector<std::string>{"accepted", "read question", "closed closed", "closed aborted"}));
  EXPECT_EQ(t.stack().Reap(), 2u);
  EXPECT_EQ(t.stack().connections(), 0u);
}

TEST(LifeCycle, AbortFromWithinAccepted) {
  StackTester t;
  t.Listen();
  t.on_event = [&](const Event& e) {
    if (e.Has(EventBits::kAccepted)) e.connection->Abort();
  };
  t.In({.flags = kSyn});
  t.In({.payload = "never read"});
  EXPECT_EQ(t.TakeEvents(), EventBits::kAccepted | EventBits::kReadable | EventBits::kClosed);
  EXPECT_EQ(t.Out(), "SA 0+0 a1; RA 1+0 a11");
  EXPECT_EQ(t.stack().Reap(), 1u);
}

TEST(LifeCycle, APortIsFreeAgainOnceItsConnectionIsReaped) {
  StackTester t;
  Connection& c = t.Establish(false);
  c.Abort();
  t.Poll();
  t.stack().Reap();
  EXPECT_TRUE(t.stack().Connect(t.peer().local, t.peer().endpoint, nullptr, t.now()).ok());
}

TEST(LifeCycle, TheStackMayDieWithEverythingOpen) {
  StackTester t;
  t.Reach(State::kCloseWait);
  t.Send(X(5000));
  t.NewPeer();
  t.In({.flags = kSyn});
  t.NewPeer();
  t.peer().local.port = 1;
  t.Connect();
  t.Send("queued");
}  // the tester's destructor looks for what was left

// --- Accounting ---

TEST(Counters, Count) {
  StackTester t;
  t.Establish();
  t.Data("abc");
  t.Send("hello");
  t.In({.bad_checksum = true});
  const StackCounters& n = t.stack().counters();
  EXPECT_EQ(n.segments_in.value(), 4u);
  EXPECT_EQ(n.segments_out.value(), 3u);
  EXPECT_EQ(n.bytes_in.value(), 3u);
  EXPECT_EQ(n.bytes_out.value(), 5u);
  t.connection()->Read();
  t.connection()->Abort();
  t.Poll();
  EXPECT_EQ(n.resets_sent.value(), 1u);
  EXPECT_EQ(n.connections_closed.value(), 1u);
}

}  // namespace
}  // namespace luna::tcp
