#include "luna/sched/r2c/thread_group.h"

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "luna/mem/zbuf/testing/test_slab.h"
#include "luna/mem/zbuf/zbuf.h"
#include "luna/net/pmd/steering.h"
#include "luna/net/pmd/testing/queue_pair.h"
#include "luna/net/tcp/connection.h"
#include "luna/sched/clock/clock.h"
#include "luna/sched/r2c/handler.h"
#include "luna/sched/r2c/testing/two_hosts.h"
#include "luna/sched/r2c/worker.h"

namespace luna::r2c {
namespace {

TEST(ThreadGroup, AMemberThatFailsEndsTheOthersAndIsReported) {
  std::atomic<int> ran_on{0};
  const auto group = ThreadGroup::Start({.threads = 3}, [&](ThreadGroup::Member& me) {
    if (!me.Ready(me.index() == 1 ? absl::NotFoundError("no queue") : absl::OkStatus())) return;
    ++ran_on;
  });
  EXPECT_EQ(group.status(), absl::NotFoundError("no queue"));
  EXPECT_EQ(ran_on, 0);
}

TEST(ThreadGroup, ACpuThatDoesNotExistIsRefused) {
  const auto group = ThreadGroup::Start({.threads = 2, .cpus = {0, 100000}}, [](ThreadGroup::Member& me) {
    while (me.Ready() && !me.stop_asked()) std::this_thread::yield();
  });
  EXPECT_EQ(group.status().code(), absl::StatusCode::kInvalidArgument);
}

constexpr uint16_t kPort = 7777;
constexpr size_t kConnections = 16;  // of each client's worker
constexpr size_t kOctets = 20'000;   // on each
constexpr size_t kMemory = 8u << 20;

class Echo final : public Handler {
 public:
  void OnAccepted(tcp::Connection&) override { ++accepted; }
  void OnReadable(tcp::Connection& c, zbuf::ZChain data) override { (void)c.Send(std::move(data)); }
  size_t accepted = 0;
};

class Client final : public Handler {
 public:
  void OnConnected(tcp::Connection& c) override {
    const std::string octets(kOctets, 'x');
    EXPECT_EQ(c.Send(absl::MakeConstSpan(reinterpret_cast<const std::byte*>(octets.data()), octets.size())), kOctets);
    c.ShutdownWrite();
  }
  void OnReadable(tcp::Connection&, zbuf::ZChain data) override { received += data.bytes(); }
  void OnClosed(tcp::Connection&, tcp::CloseReason reason) override {
    EXPECT_EQ(reason, tcp::CloseReason::kNormal);
    ++closed;
  }
  size_t received = 0;
  size_t closed = 0;
};

// Asks again for ever.
class Endless final : public Handler {
 public:
  void OnConnected(tcp::Connection& c) override { Ask(c); }
  void OnReadable(tcp::Connection& c, zbuf::ZChain data) override {
    received += data.bytes();
    if (c.send_space() > 0) Ask(c);
  }
  size_t received = 0;

 private:
  static void Ask(tcp::Connection& c) {
    const std::string octets(3000, 'y');
    (void)c.Send(absl::MakeConstSpan(reinterpret_cast<const std::byte*>(octets.data()), octets.size()));
  }
};

// What one thread of a machine has for itself.
struct Host {
  Host(size_t index, pmd::PacketIo& io, zbuf::TestSlab& memory, uint8_t address, size_t threads, Mailbox* mailbox)
      : host(clock, io, memory.slab(), wire::Ipv4Prefix(wire::Ipv4Address(10, 0, 0, address), 24),
             ConfigOf(index, threads), WorkerOptions(), {.mailbox = mailbox}) {}

  static tcp::StackConfig ConfigOf(size_t index, size_t threads) {
    tcp::StackConfig config;
    const pmd::SteeredRange own = pmd::SplitRange(config.ephemeral_first, config.ephemeral_last, threads)[index];
    config.ephemeral_first = own.first;
    config.ephemeral_last = own.last;
    return config;
  }

  MonotonicClock clock;
  TestHost host;
};

// Two machines of as many threads each, and one wire between them.
class Machines : public ::testing::TestWithParam<size_t> {
 protected:
  Machines() {
    for (size_t i = 0; i < 2 * threads() + 2; ++i) memory_.push_back(std::make_unique<zbuf::TestSlab>(kMemory));
    wire_ = std::make_unique<pmd::QueuePair>(memory_[2 * threads()]->slab(), memory_[2 * threads() + 1]->slab(),
                                             pmd::QueuePairOptions{.mtu = 1500});
    const tcp::StackConfig defaults;
    const pmd::SteeringOptions steering = {
        .queues = threads(),
        .client_ranges = pmd::SplitRange(defaults.ephemeral_first, defaults.ephemeral_last, threads())};
    servers_device_ = *pmd::SteeredDevice::Create(wire_->a(), steering);
    clients_device_ = *pmd::SteeredDevice::Create(wire_->b(), steering);
  }
  ~Machines() override {
    for (const auto& slab : memory_) slab->slab().BindToCurrentThread();
  }
  size_t threads() const { return GetParam(); }

  // A thread of one of the machines: a server listens, a client has kConnections to the others. `turn` is called after
  // each iteration. Then all connections are closed in order.
  void Run(ThreadGroup::Member& me, bool server, Handler& handler, const std::function<void()>& turn) {
    const size_t i = me.index();
    zbuf::TestSlab& own = *memory_[server ? i : threads() + i];
    own.slab().BindToCurrentThread();
    // The end of the wire fills what it receives from a slab of its own, in the thread that polls it.
    if (i == 0) memory_[2 * threads() + (server ? 0 : 1)]->slab().BindToCurrentThread();
    Host host(i, (server ? servers_device_ : clients_device_)->queue(i), own, server ? 1 : 2, threads(), &me.mailbox());
    Worker& worker = host.host.worker();
    if (server) {
      ASSERT_TRUE(worker.Listen({wire::IpAddress(), kPort}, handler).ok());
    }
    if (!me.Ready()) return;
    for (size_t n = 0; !server && n < kConnections; ++n) {
      ASSERT_TRUE(worker.Connect({wire::Ipv4Address(10, 0, 0, 1), kPort}, handler).ok());
    }
    while (!me.stop_asked()) {
      if (!worker.RunOnce()) std::this_thread::yield();
      turn();
    }
    worker.Drain(Duration::Seconds(5));
  }

  std::vector<std::unique_ptr<zbuf::TestSlab>> memory_;  // servers', clients', and the two of the wire
  std::unique_ptr<pmd::QueuePair> wire_;
  std::unique_ptr<pmd::SteeredDevice> servers_device_, clients_device_;
};

TEST_P(Machines, WorkersThatShareNothingServeEachTheirOwnConnections) {
  std::vector<size_t> accepted(threads()), received(threads()), messages(threads());
  std::atomic<size_t> finished{0};
  auto servers = ThreadGroup::Start({.threads = threads()}, [&](ThreadGroup::Member& me) {
    Echo echo;
    Run(me, true, echo, [] {});
    accepted[me.index()] = echo.accepted;
  });
  auto clients = ThreadGroup::Start({.threads = threads()}, [&](ThreadGroup::Member& me) {
    Client client;
    bool done = false;
    Run(me, false, client, [&] {
      if (client.closed == kConnections && !std::exchange(done, true)) finished.fetch_add(1);
    });
    received[me.index()] = client.received;
  });
  ASSERT_TRUE(servers.ok() && clients.ok());
  while (finished.load() < threads()) std::this_thread::yield();
  std::atomic<size_t> answered{0};
  for (size_t i = 0; i < threads(); ++i) {
    ASSERT_TRUE((*servers)->mailbox(i).Post([&, i](Worker& worker) {
      messages[i] = worker.stack().counters().segments_in.value();
      answered.fetch_add(1);
    }));
  }
  while (answered.load() < threads()) std::this_thread::yield();
  (*clients)->Stop();
  (*servers)->Stop();
  size_t all = 0;
  for (size_t i = 0; i < threads(); ++i) {
    EXPECT_EQ(received[i], kConnections * kOctets) << i;
    EXPECT_GT(accepted[i], 0u) << "worker " << i << " has no connection";
    EXPECT_GT(messages[i], 0u);
    all += accepted[i];
  }
  EXPECT_EQ(all, threads() * kConnections) << "each connection is one worker's";
}

// In the middle of what never ends: each thread closes its connections, and each obj is home when the test ends.
TEST_P(Machines, StopEndsWhatIsUnderWay) {
  std::vector<std::atomic<size_t>> received(threads());
  auto servers = ThreadGroup::Start({.threads = threads()}, [&](ThreadGroup::Member& me) {
    Echo echo;
    Run(me, true, echo, [] {});
  });
  auto clients = ThreadGroup::Start({.threads = threads()}, [&](ThreadGroup::Member& me) {
    Endless client;
    Run(me, false, client, [&] { received[me.index()].store(client.received, std::memory_order_relaxed); });
  });
  ASSERT_TRUE(servers.ok() && clients.ok());
  for (const std::atomic<size_t>& octets : received) {
    while (octets.load(std::memory_order_relaxed) < kOctets) std::this_thread::yield();
  }
  (*servers)->Stop();
  (*clients)->Stop();
}

INSTANTIATE_TEST_SUITE_P(Threads, Machines, ::testing::Values(1, 2, 4, 8));

}  // namespace
}  // namespace luna::r2c
