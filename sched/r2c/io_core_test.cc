#include "luna/sched/r2c/io_core.h"

#include <algorithm>
#include <atomic>
#include <deque>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "luna/mem/zbuf/testing/test_slab.h"
#include "luna/mem/zbuf/zbuf.h"
#include "luna/net/pmd/testing/queue_pair.h"
#include "luna/net/tcp/connection.h"
#include "luna/sched/clock/clock.h"
#include "luna/sched/r2c/handler.h"
#include "luna/sched/r2c/testing/two_hosts.h"
#include "luna/sched/r2c/worker.h"

namespace luna::r2c {
namespace {

constexpr uint16_t kPort = 7000;

class Peer final : public Handler {
 public:
  void OnConnected(tcp::Connection& c) override { connection = &c; }
  void OnReadable(tcp::Connection&, zbuf::ZChain data) override { received += data.ToString(); }
  void OnClosed(tcp::Connection&, tcp::CloseReason why) override {
    connection = nullptr;
    reason = why;
    ++closed;
  }
  void Send(const std::string& text) {
    ASSERT_EQ(connection->Send(absl::MakeConstSpan(reinterpret_cast<const std::byte*>(text.data()), text.size())),
              text.size());
  }
  tcp::Connection* connection = nullptr;
  std::string received;
  int closed = 0;
  tcp::CloseReason reason = tcp::CloseReason::kNone;
};

// Sends back what comes, and keeps what finds no room.
class RemoteEcho : public RemoteHandler {
 public:
  void OnAccepted(RemoteConnection& c) override {
    c.context = &waiting_.emplace_back();
    ++accepted;
  }
  void OnReadable(RemoteConnection& c, zbuf::ZChain data) override {
    Waiting(c).Append(std::move(data));
    OnWritable(c);
  }
  void OnWritable(RemoteConnection& c) override {
    if (!Waiting(c).empty() && !c.Send(std::move(Waiting(c)))) ++refused;
    if (Waiting(c).empty() && peer_closed) c.ShutdownWrite();
  }
  void OnPeerClosed(RemoteConnection& c) override {
    peer_closed = true;
    if (Waiting(c).empty()) c.Close();
  }
  void OnClosed(RemoteConnection& c) override {
    Waiting(c).Clear();
    ++closed;
  }
  static zbuf::ZChain& Waiting(RemoteConnection& c) { return *static_cast<zbuf::ZChain*>(c.context); }
  int accepted = 0, closed = 0, refused = 0;
  bool peer_closed = false;

 private:
  std::deque<zbuf::ZChain> waiting_;  // one for each connection
};

// Host b has an I/O core and application threads, all of them stepped by one thread on a virtual clock.
class IoCoreTest : public ::testing::Test {
 protected:
  void Start(const IoCoreOptions& options) {
    auto core = IoCore::Create(hosts_.b().worker(), options);
    ASSERT_TRUE(core.ok());
    core_ = *std::move(core);
    ASSERT_TRUE(hosts_.b().worker().Listen({wire::IpAddress(), kPort}, *core_, IoCore::delivery()).ok());
  }
  Peer& Connect() {
    Peer& peer = peers_.emplace_back();
    EXPECT_TRUE(hosts_.a().worker().Connect({hosts_.b().address(), kPort}, peer).ok());
    Step(20);
    EXPECT_NE(peer.connection, nullptr);
    return peer;
  }
  void Step(int steps, const std::vector<std::pair<size_t, RemoteHandler*>>& threads = {}) {
    for (int i = 0; i < steps; ++i) {
      int rounds = 0;
      hosts_.RunUntil([&rounds] { return rounds++ > 0; }, Duration::Seconds(1));
      for (const auto& [thread, handler] : threads) core_->thread(thread).RunOnce(*handler);
    }
  }
  // Whatever a test has left open: its peers go before the fixture.
  void TearDown() override {
    core_.reset();
    hosts_.RunUntilQuiet(Duration::Seconds(100));
  }

  static std::unique_ptr<Mailbox> MakeMailbox() {
    auto mailbox = Mailbox::Create();
    CHECK(mailbox.ok());
    return *std::move(mailbox);
  }

  std::deque<Peer> peers_;  // outlive the hosts
  const std::unique_ptr<Mailbox> mailbox_ = MakeMailbox();
  TwoHosts hosts_{{.mailbox_b = mailbox_.get()}};
  std::unique_ptr<IoCore> core_;
};

TEST_F(IoCoreTest, ConnectionsAreSharedOutAndEachThreadServesItsOwn) {
  Start({.threads = 2});
  RemoteEcho echoes[2];
  for (int i = 0; i < 4; ++i) Connect();
  auto& peers = peers_;
  for (int i = 0; i < 4; ++i) peers[static_cast<size_t>(i)].Send(std::string(1000, static_cast<char>('a' + i)));
  Step(40, {{0, &echoes[0]}, {1, &echoes[1]}});
  for (int i = 0; i < 4; ++i)
    EXPECT_EQ(peers[static_cast<size_t>(i)].received, std::string(1000, static_cast<char>('a' + i)));
  EXPECT_EQ(echoes[0].accepted, 2);
  EXPECT_EQ(echoes[1].accepted, 2);
  for (Peer& peer : peers) peer.connection->ShutdownWrite();
  Step(60, {{0, &echoes[0]}, {1, &echoes[1]}});
  EXPECT_EQ(echoes[0].closed + echoes[1].closed, 4);
  EXPECT_EQ(core_->connections(), 0u);
  for (const Peer& peer : peers) EXPECT_EQ(peer.closed, 1);
}

TEST_F(IoCoreTest, AThreadThatDoesNotTakeClosesThePeersWindowAndLosesNothing) {
  Start({.threads = 1, .ring_messages = 4});
  Peer& peer = Connect();
  RemoteEcho echo;
  std::string sent;
  for (int i = 0; i < 300 && peer.connection->send_space() > 0; ++i) {
    const std::string piece(std::min<size_t>(10'000, peer.connection->send_space()), static_cast<char>('a' + i % 26));
    peer.Send(piece);
    sent += piece;
    Step(3);
  }
  EXPECT_EQ(peer.connection->send_space(), 0u) << "nobody took it";
  Step(4000, {{0, &echo}});
  EXPECT_EQ(peer.received.size(), sent.size());
  EXPECT_EQ(peer.received, sent);
}

// Sends each octet by itself, so that the ring is full of messages long before any credit is used up.
class Chopper final : public RemoteHandler {
 public:
  void OnReadable(RemoteConnection& c, zbuf::ZChain data) override {
    while (!data.empty()) pieces_.push_back(data.SplitFront(1));
    OnWritable(c);
  }
  void OnWritable(RemoteConnection& c) override {
    for (; !pieces_.empty(); pieces_.pop_front()) {
      if (c.Send(std::move(pieces_.front()))) continue;
      EXPECT_EQ(pieces_.front().bytes(), 1u) << "what is refused stays";
      ++refused;
      return;
    }
  }
  int refused = 0;

 private:
  std::deque<zbuf::ZChain> pieces_;
};

TEST_F(IoCoreTest, WhatFindsAFullRingStaysWithTheThread) {
  Start({.threads = 1, .ring_messages = 4});
  Peer& peer = Connect();
  Chopper chopper;
  std::string sent;
  for (int i = 0; i < 100; ++i) sent.push_back(static_cast<char>('a' + i % 26));
  peer.Send(sent);
  Step(400, {{0, &chopper}});
  EXPECT_EQ(peer.received, sent);
  EXPECT_GT(chopper.refused, 10);
}

// In order with what is under way, once, and though the rings have no room at first.
TEST_F(IoCoreTest, EachConnectionIsAskedToFinishBehindWhatCameBefore) {
  class Finisher final : public RemoteHandler {
   public:
    void OnReadable(RemoteConnection& c, zbuf::ZChain data) override {
      EXPECT_EQ(asked.count(c.id()), 0u);
      (void)c.Send(std::move(data));
    }
    void OnFinish(RemoteConnection& c) override {
      EXPECT_TRUE(asked.insert(c.id()).second);
      c.ShutdownWrite();
    }
    std::set<uint64_t> asked;
  } finisher;
  Start({.threads = 1, .ring_messages = 2});
  for (int i = 0; i < 5; ++i) Connect();
  for (Peer& peer : peers_) peer.Send("hello");
  Step(20);  // the thread takes nothing yet
  core_->AskToFinish();
  Step(20);
  EXPECT_TRUE(finisher.asked.empty());
  Step(200, {{0, &finisher}});
  EXPECT_EQ(finisher.asked.size(), 5u);
  for (Peer& peer : peers_) {
    EXPECT_EQ(peer.received, "hello");
    EXPECT_EQ(peer.closed, 1);
    EXPECT_EQ(peer.reason, tcp::CloseReason::kNormal);
  }
  EXPECT_EQ(core_->connections(), 0u);
}

TEST_F(IoCoreTest, CreditBoundsWhatAPeerThatDoesNotReadLeavesInTheCore) {
  Start({.threads = 1, .send_bytes = 20'000});
  class Flood final : public RemoteHandler {
   public:
    explicit Flood(zbuf::Slab& slab) : slab_(slab) {}
    void OnAccepted(RemoteConnection& c) override { OnWritable(c); }
    void OnReadable(RemoteConnection&, zbuf::ZChain) override {}
    void OnWritable(RemoteConnection& c) override {
      ++writable;
      for (;;) {
        auto chain = zbuf::ZChain::CopyFrom(slab_, std::string(10'000, 'x'));
        ASSERT_TRUE(chain.has_value());
        if (!c.Send(*std::move(chain))) return;
        sent += 10'000;
      }
    }
    size_t sent = 0;
    int writable = 0;

   private:
    zbuf::Slab& slab_;
  } flood(hosts_.b().slab());
  class Deaf final : public Handler {
   public:
    void OnConnected(tcp::Connection& c) override { connection = &c; }
    void OnReadable(tcp::Connection&, zbuf::ZChain) override {}
    tcp::Connection* connection = nullptr;
  };
  static Deaf deaf;  // outlives the hosts
  ASSERT_TRUE(hosts_.a().worker().Connect({hosts_.b().address(), kPort}, deaf, {.leave_data = true}).ok());
  Step(2000, {{0, &flood}});
  const size_t stuck = flood.sent;
  EXPECT_LT(stuck, 10u << 20) << "two buffers and the credit";
  Step(500, {{0, &flood}});
  EXPECT_EQ(flood.sent, stuck);
  for (int i = 0; i < 500; ++i) {
    (void)deaf.connection->Read();
    Step(1, {{0, &flood}});
  }
  EXPECT_GT(flood.sent, stuck + 100'000) << "OnWritable came";
}

TEST_F(IoCoreTest, AResetIsTheLastThatAThreadHears) {
  Start({.threads = 1});
  Peer& peer = Connect();
  RemoteEcho echo;
  peer.Send("last words");
  Step(10);
  peer.connection->Abort();
  Step(20);
  EXPECT_EQ(echo.accepted, 0) << "it did not run";
  core_->thread(0).RunOnce(echo);
  EXPECT_EQ(echo.accepted, 1);
  EXPECT_EQ(echo.closed, 1);
  Step(5, {{0, &echo}});
  EXPECT_EQ(core_->connections(), 0u);
}

// Threads that block, and a core that wakes them. Under --config=tsan this is the proof of the hand-over; a lost
// wake-up would not end.
TEST(IoCoreThreads, BlockWithoutWorkAndAreWoken) {
  constexpr size_t kThreads = 2, kPeers = 6, kRounds = 50, kBytes = 3000;
  zbuf::TestSlab memory_a(16u << 20), memory_b(16u << 20), wire_a(16u << 20), wire_b(16u << 20);
  pmd::QueuePair wire(wire_a.slab(), wire_b.slab(), {.mtu = 1500});
  MonotonicClock clock;
  std::atomic<bool> stop{false}, listening{false};
  std::atomic<size_t> blocked{0};
  std::thread io([&] {
    memory_b.slab().BindToCurrentThread();
    wire_b.slab().BindToCurrentThread();
    auto mailbox = Mailbox::Create();
    CHECK(mailbox.ok());
    TestHost host(clock, wire.b(), memory_b.slab(), wire::Ipv4Prefix(wire::Ipv4Address(10, 0, 0, 2), 24), {}, {},
                  {.mailbox = mailbox->get()});
    auto core = IoCore::Create(host.worker(), {.threads = kThreads, .spins = 0});
    CHECK(core.ok() && host.worker().Listen({wire::IpAddress(), kPort}, **core, IoCore::delivery()).ok());
    std::vector<std::thread> threads;
    for (size_t i = 0; i < kThreads; ++i) {
      threads.emplace_back([&, i] {
        RemoteEcho echo;
        (*core)->thread(i).Run(echo);
        blocked.fetch_add((*core)->thread(i).counters().blocked.value());
        EXPECT_EQ(echo.accepted, echo.closed);
      });
    }
    listening.store(true);
    while (!stop.load()) {
      if (!host.worker().RunOnce()) std::this_thread::yield();
    }
    (*core)->Stop();
    for (std::thread& thread : threads) thread.join();
    core->reset();
    host.worker().Drain(Duration::Milliseconds(100));
  });
  while (!listening.load()) std::this_thread::yield();
  {
    TestHost host(clock, wire.a(), memory_a.slab(), wire::Ipv4Prefix(wire::Ipv4Address(10, 0, 0, 1), 24), {}, {});
    Peer peers[kPeers];
    for (Peer& peer : peers) ASSERT_TRUE(host.worker().Connect({wire::Ipv4Address(10, 0, 0, 2), kPort}, peer).ok());
    const auto run_until = [&](auto done) {
      while (!done()) {
        if (!host.worker().RunOnce()) std::this_thread::yield();
      }
    };
    for (size_t round = 1; round <= kRounds; ++round) {
      for (Peer& peer : peers) {
        run_until([&] { return peer.connection != nullptr; });
        peer.Send(std::string(kBytes, 'x'));
        run_until([&] { return peer.received.size() == round * kBytes; });
      }
    }
    for (Peer& peer : peers) peer.connection->ShutdownWrite();
    run_until([&] {
      return std::all_of(std::begin(peers), std::end(peers), [](const Peer& peer) { return peer.closed == 1; });
    });
    host.worker().Drain(Duration::Seconds(1));
  }
  stop.store(true);
  io.join();
  EXPECT_GT(blocked.load(), 0u);
  for (zbuf::TestSlab* slab : {&memory_b, &wire_b}) slab->slab().BindToCurrentThread();
}

}  // namespace
}  // namespace luna::r2c
