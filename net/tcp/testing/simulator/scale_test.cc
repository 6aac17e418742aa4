// Many connections, many octets, a long time: afterwards everything is as it was before.

#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "luna/net/tcp/connection.h"
#include "luna/net/tcp/testing/simulator/network.h"
#include "luna/net/tcp/testing/simulator/simulation.h"
#include "luna/net/tcp/testing/simulator/transfer.h"

namespace luna::tcp::simulator {
namespace {

constexpr size_t kMessageBytes = 100;

// A server that echoes, and a client whose connections each send one message, get it back, and close.
class Echo {
 public:
  // `ports`: of the server's; each takes as many connections of one client at a time as there are ephemeral ports.
  explicit Echo(uint16_t ports, const StackConfig& config = {}) : ports_(ports), simulation_(1) {
    for (Host** host : {&client_, &server_}) {
      *host = &simulation_.AddHost({.config = config, .memory_bytes = size_t{64} << 20});
      (*host)->egress().Add<Delay>(Duration::Microseconds(50));
    }
    for (uint16_t i = 0; i < ports; ++i) {
      EXPECT_TRUE(server_->stack().Listen({server_->address(), static_cast<uint16_t>(kFirstPort + i)}).ok());
    }
    server_->on_event = [](const Event& event) {
      Connection& connection = *event.connection;
      if (event.Has(EventBits::kReadable)) {
        EXPECT_EQ(connection.Send(connection.Read()), SendResult::kOk);
      }
      if (event.Has(EventBits::kPeerClosed) && !event.Has(EventBits::kClosed)) connection.Close();
    };
    client_->on_event = [this](const Event& event) {
      Connection& connection = *event.connection;
      if (event.Has(EventBits::kConnected)) connected_.push_back(&connection);
      if (event.Has(EventBits::kConnected) && asks_at_once) Ask(connection);
      if (event.Has(EventBits::kReadable)) {
        EXPECT_EQ(connection.Read().bytes(), kMessageBytes);
        ++answered_;
        connection.Close();
      }
      if (event.Has(EventBits::kClosed)) {
        EXPECT_EQ(connection.close_reason(), CloseReason::kNormal);
        ++closed_;
      }
    };
  }

  void OpenAt(Time when) {
    client_->At(when, [this] {
      const auto port = static_cast<uint16_t>(kFirstPort + opened_++ % ports_);
      EXPECT_TRUE(client_->stack()
                      .Connect({client_->address(), 0}, {server_->address(), port}, nullptr, client_->clock())
                      .ok());
    });
  }
  void Ask(Connection& connection) {
    static const std::vector<std::byte> kMessage(kMessageBytes, std::byte{'m'});
    EXPECT_EQ(connection.Send(absl::MakeConstSpan(kMessage)), kMessageBytes);
  }
  void AskAll() {
    client_->After(Duration::Zero(), [this] {
      for (Connection* connection : connected_) Ask(*connection);
    });
  }
  // Everything has gone well, and nothing is left.
  void ExpectAllIsOver(size_t connections) {
    EXPECT_TRUE(simulation_.RunUntil([this] { return simulation_.IsQuiet(); }, Duration::Seconds(30)))
        << client_->stack().connections() << " " << server_->stack().connections();
    EXPECT_EQ(simulation_.failures(), "");
    EXPECT_EQ(answered_, connections);
    EXPECT_EQ(closed_, connections);
    for (Host* host : {client_, server_}) {
      EXPECT_EQ(host->stack().held_bytes(), 0u);
      EXPECT_TRUE(host->stack().NextDeadline().is_infinite());
      EXPECT_EQ(host->stack().counters().resets_sent.value(), 0u);
      EXPECT_EQ(host->stack().counters().timeouts.value(), 0u);
    }
  }

  bool asks_at_once = true;
  Simulation& simulation() { return simulation_; }
  Host& client() { return *client_; }
  Host& server() { return *server_; }
  size_t connected() const { return connected_.size(); }

 private:
  static constexpr uint16_t kFirstPort = 10000;
  const uint16_t ports_;
  Simulation simulation_;
  Host* client_ = nullptr;
  Host* server_ = nullptr;
  std::vector<Connection*> connected_;
  size_t opened_ = 0;
  size_t answered_ = 0;
  size_t closed_ = 0;
};

TEST(Scale, AHundredThousandConnectionsAtOnce) {
  constexpr size_t kConnections = 100'000;
  StackConfig config;
  config.max_orphans = 2 * kConnections;  // all close at once
  Echo echo(32, config);
  echo.asks_at_once = false;
  for (size_t i = 0; i < kConnections; ++i) {
    echo.OpenAt(Simulation::kStart + Duration::Microseconds(static_cast<int64_t>(10 * i)));
  }
  ASSERT_TRUE(echo.simulation().RunUntil([&] { return echo.connected() == kConnections; }, Duration::Seconds(10)));
  EXPECT_EQ(echo.client().stack().connections(), kConnections);
  EXPECT_EQ(echo.server().stack().connections(), kConnections);
  // With nothing to say, nobody holds memory of the slab.
  EXPECT_EQ(echo.client().slab().outstanding(), echo.client().stack().reserved_objs());
  echo.AskAll();
  echo.ExpectAllIsOver(kConnections);
}

TEST(Scale, TenThousandConnectionsASecondForAMinute) {
  constexpr size_t kConnections = 600'000;
  Echo echo(8);
  for (size_t i = 0; i < kConnections; ++i) {
    echo.OpenAt(Simulation::kStart + Duration::Microseconds(static_cast<int64_t>(100 * i)));
  }
  echo.simulation().RunFor(Duration::Seconds(30));
  // What is there at a time is TIME-WAIT's second, and what is under way.
  EXPECT_LE(echo.client().stack().time_wait(), 10'100u);
  EXPECT_LE(echo.client().stack().connections(), 100u);
  echo.simulation().RunFor(Duration::Seconds(31));
  echo.ExpectAllIsOver(kConnections);
}

TEST(Scale, SequenceNumbersGoRound) {
  HostOptions options;
  options.config.mtu = 9000;
  Simulation simulation(1);
  for (int i = 0; i < 2; ++i) simulation.AddHost(options).egress().Add<Delay>(Duration::Microseconds(20));
  Transfers transfers(simulation, {});
  constexpr uint64_t kBytes = uint64_t{5} << 30;
  transfers.Add(0, 1, {.send_bytes = kBytes, .most_per_send = 65536}, {.send_bytes = 1}, Duration::Zero());
  EXPECT_TRUE(simulation.RunUntil([&] { return transfers.AllOver(); }, Duration::Seconds(600)));
  EXPECT_EQ(simulation.failures(), "");
  EXPECT_EQ(transfers.ends()[1]->received(), kBytes);
  EXPECT_EQ(transfers.ends()[1]->reason(), CloseReason::kNormal);
}

TEST(Scale, AWeekOfKeepAlives) {
  StackConfig config;
  config.keep_alive = true;
  Echo echo(1, config);
  echo.asks_at_once = false;
  constexpr size_t kConnections = 200;
  for (size_t i = 0; i < kConnections; ++i) echo.OpenAt(Simulation::kStart);
  echo.simulation().RunFor(Duration::Seconds(7 * 24 * 3600));
  EXPECT_EQ(echo.client().stack().connections(), kConnections);
  EXPECT_EQ(echo.server().stack().connections(), kConnections);
  // Each two hours, from one end or the other.
  const uint64_t probes = echo.client().stack().counters().keep_alive_probes.value() +
                          echo.server().stack().counters().keep_alive_probes.value();
  EXPECT_GE(probes, 83 * kConnections);
  echo.AskAll();
  echo.ExpectAllIsOver(kConnections);
}

}  // namespace
}  // namespace luna::tcp::simulator
