// Bounds on how long repairs take (CONFORMANCE F.1: L2, L4, L6), on a path of 1 ms each way.

#include <algorithm>
#include <functional>
#include <vector>

#include "gtest/gtest.h"
#include "luna/net/tcp/connection.h"
#include "luna/net/tcp/testing/simulator/network.h"
#include "luna/net/tcp/testing/simulator/simulation.h"
#include "luna/net/tcp/testing/simulator/transfer.h"

namespace luna::tcp::simulator {
namespace {

constexpr Duration kOneWay = Duration::Milliseconds(1);
constexpr Duration kRtt = Duration::Milliseconds(2);

// Two hosts, and one message each way after the other, so that the round trip is known.
class Path1Ms {
 public:
  explicit Path1Ms(const HostOptions& options = {}, uint64_t seed = 1) : simulation(seed) {
    for (int i = 0; i < 2; ++i) simulation.AddHost(options).egress().Add<Delay>(kOneWay);
  }
  Host& client() { return simulation.host(0); }
  Host& server() { return simulation.host(1); }
  Simulation simulation;
};

// How long a message of 20 segments takes to arrive when segment `k` of them is lost (-1: none), once the round-trip
// time is known.
Duration MessageTime(int k) {
  Path1Ms path;
  Simulation& simulation = path.simulation;
  uint64_t received = 0;
  Connection* connection = nullptr;
  DropNth* drop = nullptr;
  EXPECT_TRUE(path.server().stack().Listen({path.server().address(), 80}).ok());
  path.server().on_event = [&](const Event& event) {
    if (event.Has(EventBits::kReadable)) received += event.connection->Read().bytes();
  };
  path.client().After(Duration::Zero(), [&] {
    connection = *path.client().stack().Connect({path.client().address(), 0}, {path.server().address(), 80}, nullptr,
                                                path.client().clock());
  });
  const std::vector<std::byte> segment(1448);
  const auto send = [&](int segments) {
    path.client().After(Duration::Zero(), [&, segments] {
      for (int i = 0; i < segments; ++i) EXPECT_EQ(connection->Send(absl::MakeConstSpan(segment)), 1448u);
    });
  };
  // Slow start's first rounds, and a measured round trip.
  simulation.RunFor(kRtt * 5);
  send(20);
  EXPECT_TRUE(simulation.RunUntil([&] { return received == 20 * 1448; }, Duration::Seconds(1)));
  simulation.RunFor(Duration::Milliseconds(3));
  if (k >= 0) drop = &path.server().ingress().Add<DropNth>(std::vector<uint64_t>{static_cast<uint64_t>(k)});
  const Time begin = simulation.now();
  send(20);
  EXPECT_TRUE(simulation.RunUntil([&] { return received == 40 * 1448; }, Duration::Seconds(10)));
  EXPECT_EQ(simulation.failures(), "");
  EXPECT_TRUE(drop == nullptr || drop->dropped() == 1) << k;
  return simulation.now() - begin;
}

// L4: one loss with three later segments or more is repaired within 1.5 round trips, a lost tail within a probe
// time-out and a round trip.
TEST(Liveness, OneLossIsRepairedInBoundedTime) {
  const Duration whole = MessageTime(-1);
  const StackConfig config;
  const Duration probe_timeout = kRtt * 2 + config.tail_probe_slack + config.tail_probe_ack_delay;
  for (int k = 0; k < 20; ++k) {
    const Duration late = MessageTime(k) - whole;
    if (k < 17) {
      EXPECT_LE(late, kRtt + kOneWay + config.delayed_ack) << k;
    } else {
      EXPECT_LE(late, probe_timeout + kRtt) << k;
    }
  }
}

// L4: k time-outs in a row take no longer than floor * (2^k - 1), from an RTO at its floor on.
TEST(Liveness, TimeOutsDoubleFromTheFloor) {
  HostOptions options;
  options.config.tail_loss_probe = false;
  for (int losses = 1; losses <= 8; ++losses) {
    Path1Ms path(options);
    Simulation& simulation = path.simulation;
    Transfers transfers(simulation, {.may_break = true});
    transfers.Add(0, 1, {.send_bytes = 400 * 1000, .most_per_send = 100, .send_pause = Duration::Milliseconds(3)}, {},
                  Duration::Zero());
    simulation.RunFor(Duration::Milliseconds(200));
    Black& black = path.client().egress().Add<Black>();
    std::vector<Time> left;
    simulation.on_emitted = [&](const Host& from, const Packet&) {
      if (&from == &path.client()) left.push_back(simulation.now());
      // By now the last of them has reached the hole, which is a millisecond away.
      if (left.size() > static_cast<size_t>(losses)) black.set_on(false);
    };
    const uint64_t before = transfers.ends()[1]->received();
    const Time begin = simulation.now();
    ASSERT_TRUE(
        simulation.RunUntil([&] { return transfers.ends()[1]->received() > before + 100; }, Duration::Seconds(9)));
    const Duration floor = std::max(options.config.rto_min, kRtt * 2);
    EXPECT_LE(simulation.now() - begin, floor * ((int64_t{1} << losses) - 1) + kRtt * 4) << losses;
    EXPECT_EQ(simulation.failures(), "");
  }
}

// L2: the update that reopens a window is lost: a probe finds it open, one probe interval later at most.
TEST(Liveness, AWindowReopensThoughItsUpdateIsLost) {
  HostOptions options;
  options.config.receive_buffer_bytes = options.config.receive_buffer_max_bytes = 20000;
  Path1Ms path(options);
  Simulation& simulation = path.simulation;
  uint64_t received = 0;
  Connection* accepted = nullptr;
  ASSERT_TRUE(path.server().stack().Listen({path.server().address(), 80}).ok());
  path.server().on_event = [&](const Event& event) {
    if (event.Has(EventBits::kAccepted)) accepted = event.connection;
  };
  const std::vector<std::byte> data(40000);
  path.client().on_event = [&](const Event& event) {
    if (event.Has(EventBits::kConnected)) event.connection->Send(absl::MakeConstSpan(data));
  };
  path.client().After(Duration::Zero(), [&] {
    ASSERT_TRUE(
        path.client()
            .stack()
            .Connect({path.client().address(), 0}, {path.server().address(), 80}, nullptr, path.client().clock())
            .ok());
  });
  simulation.RunFor(Duration::Seconds(3));
  ASSERT_EQ(accepted->readable_bytes(), 20000u) << "the window is shut";
  Black& black = path.server().egress().Add<Black>();
  path.server().After(Duration::Zero(), [&] { received += accepted->Read().bytes(); });
  simulation.RunFor(kOneWay + Duration::Microseconds(10));
  black.set_on(false);
  EXPECT_GT(black.dropped(), 0u);
  const bool resumed = simulation.RunUntil([&] { return accepted->readable_bytes() > 0; }, Duration::Seconds(5));
  EXPECT_TRUE(resumed);
  EXPECT_LE(simulation.now() - Simulation::kStart - Duration::Seconds(3), options.config.rto_max + kRtt);
  EXPECT_EQ(received, 20000u);
  EXPECT_EQ(simulation.failures(), "");
}

// L6: one of four equal paths dies under the connection. The client gives up at its eighth time-out or so and tries
// another port, and so another path.
Duration Outage(uint64_t seed) {
  HostOptions options;
  options.config.data_retries = 7;
  Path1Ms path(options, seed);
  Simulation& simulation = path.simulation;
  Host& client = path.client();
  Host& server = path.server();
  uint64_t received = 0;
  Connection* connection = nullptr;
  bool connected = false;
  EXPECT_TRUE(server.stack().Listen({server.address(), 80}).ok());
  server.on_event = [&](const Event& event) {
    if (event.Has(EventBits::kReadable)) received += event.connection->Read().bytes();
  };
  // Sends a message each millisecond; a handshake that takes 20 ms is given up for another port.
  const std::vector<std::byte> message(100);
  std::function<void()> connect = [&] {
    connected = false;
    connection = *client.stack().Connect({client.address(), 0}, {server.address(), 80}, nullptr, client.clock());
    client.After(Duration::Milliseconds(20), [&, tried = connection] {
      if (connection == tried && !connected) connection->Abort();
    });
  };
  client.on_event = [&](const Event& event) {
    if (event.connection != connection) return;
    if (event.Has(EventBits::kConnected)) connected = true;
    if (event.Has(EventBits::kClosed)) connect();
  };
  std::function<void()> tick = [&] {
    if (connected) connection->Send(absl::MakeConstSpan(message));
    client.After(Duration::Milliseconds(1), tick);
  };
  client.After(Duration::Zero(), connect);
  client.After(Duration::Milliseconds(1), tick);
  simulation.RunFor(Duration::Milliseconds(100) + simulation.host(0).options().config.rto_min);
  // The path that the connection is on.
  const uint64_t before = received;
  EXPECT_GT(before, 0u);
  for (uint32_t dead = 0; dead < 4; ++dead) {
    DeadPath& path_of_four = client.egress().Add<DeadPath>(4u, dead);
    simulation.RunFor(Duration::Milliseconds(3));
    const uint64_t was = received;
    simulation.RunFor(Duration::Milliseconds(4));
    if (received == was) break;
    path_of_four.set_on(false);
  }
  const Time begin = simulation.now();
  const uint64_t was = received;
  EXPECT_TRUE(simulation.RunUntil([&] { return received > was; }, Duration::Seconds(10))) << seed;
  EXPECT_EQ(simulation.failures(), "") << seed;
  return simulation.now() - begin + Duration::Milliseconds(7);
}

TEST(Liveness, ADeadPathIsLeftBehind) {
  std::vector<Duration> outages;
  for (uint64_t seed = 1; seed <= 400; ++seed) outages.push_back(Outage(seed));
  std::sort(outages.begin(), outages.end());
  EXPECT_LT(outages.back(), Duration::Seconds(2));
  EXPECT_LT(outages[outages.size() * 99 / 100], Duration::Milliseconds(1200));
  EXPECT_GT(outages.front(), Duration::Milliseconds(100)) << "no path died";
}

}  // namespace
}  // namespace luna::tcp::simulator
