#include "luna/sched/r2c/thread_group.h"

#include <atomic>
#include <memory>
#include <string>
#include <thread>
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

// Two machines of as many threads each, and one wire between them.
class Machines : public ::testing::TestWithParam<size_t> {
 protected:
  size_t threads() const { return GetParam(); }
};

// What one thread of a machine has for itself.
struct Host {
  Host(size_t index, pmd::PacketIo& io, zbuf::TestSlab& memory, uint8_t address, size_t threads, Mailbox* mailbox)
      : host(clock, io, memory.slab(), wire::Ipv4Prefix(wire::Ipv4Address(10, 0, 0, address), 24),
             ConfigOf(index, threads), WorkerOptions(), nullptr, mailbox) {}

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

TEST_P(Machines, WorkersThatShareNothingServeEachTheirOwnConnections) {
  std::vector<std::unique_ptr<zbuf::TestSlab>> memory;
  for (size_t i = 0; i < 2 * threads() + 2; ++i) memory.push_back(std::make_unique<zbuf::TestSlab>(kMemory));
  pmd::QueuePair wire(memory[2 * threads()]->slab(), memory[2 * threads() + 1]->slab(), {.mtu = 1500});
  const tcp::StackConfig defaults;
  const pmd::SteeringOptions steering = {
      .queues = threads(),
      .client_ranges = pmd::SplitRange(defaults.ephemeral_first, defaults.ephemeral_last, threads())};
  const auto a = *pmd::SteeredDevice::Create(wire.a(), steering), b = *pmd::SteeredDevice::Create(wire.b(), steering);
  std::vector<size_t> accepted(threads()), received(threads()), messages(threads());
  std::atomic<size_t> finished{0};

  const auto body = [&](ThreadGroup::Member& me, bool server) {
    const size_t i = me.index();
    const size_t slab = server ? i : threads() + i;
    memory[slab]->slab().BindToCurrentThread();
    // The end of the wire fills what it receives from a slab of its own, in the thread that polls it.
    if (i == 0) memory[2 * threads() + (server ? 0 : 1)]->slab().BindToCurrentThread();
    Host own(i, (server ? *a : *b).queue(i), *memory[slab], server ? 1 : 2, threads(), &me.mailbox());
    Worker& worker = own.host.worker();
    Echo echo;
    Client client;
    if (server) {
      ASSERT_TRUE(worker.Listen({wire::IpAddress(), kPort}, echo).ok());
    }
    if (!me.Ready()) return;
    if (!server) {
      for (size_t n = 0; n < kConnections; ++n) {
        ASSERT_TRUE(worker.Connect({wire::Ipv4Address(10, 0, 0, 1), kPort}, client).ok());
      }
    }
    bool done = false;
    while (!me.stop_asked()) {
      if (!worker.RunOnce()) std::this_thread::yield();
      if (!server && !done && client.closed == kConnections) {
        done = true;
        finished.fetch_add(1);
      }
    }
    worker.Drain(Duration::Seconds(5));
    if (server) accepted[i] = echo.accepted;
    if (!server) received[i] = client.received;
  };
  auto servers = ThreadGroup::Start({.threads = threads()}, [&](ThreadGroup::Member& me) { body(me, true); });
  auto clients = ThreadGroup::Start({.threads = threads()}, [&](ThreadGroup::Member& me) { body(me, false); });
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
  for (const auto& slab : memory) slab->slab().BindToCurrentThread();
}

INSTANTIATE_TEST_SUITE_P(Threads, Machines, ::testing::Values(1, 2, 4, 8));

}  // namespace
}  // namespace luna::r2c
