// The simulation as a user has it: ten lines, the same run for the same seed; and every single and double loss of an
// exchange of 200 segments.

#include "luna/net/tcp/testing/simulator/simulation.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "luna/net/tcp/connection.h"
#include "luna/net/tcp/testing/simulator/network.h"
#include "luna/net/tcp/testing/simulator/transfer.h"

namespace luna::tcp::simulator {
namespace {

absl::Span<const std::byte> AsBytes(const std::string& text) {
  return absl::MakeConstSpan(reinterpret_cast<const std::byte*>(text.data()), text.size());
}

TEST(Simulation, TakesTenLines) {
  Simulation simulation(7);
  Host& client = simulation.AddHost({});
  Host& server = simulation.AddHost({});
  client.egress().Add<Loss>(0.1);
  client.egress().Add<Delay>(Duration::Microseconds(50));
  server.egress().Add<Queue>(1'000'000'000, 10);
  server.egress().Add<Delay>(Duration::Microseconds(50));
  ASSERT_TRUE(server.stack().Listen({server.address(), 80}).ok());
  std::string answer;
  server.on_event = [](const Event& event) {
    if (event.Has(EventBits::kReadable)) event.connection->Send(AsBytes("re: " + event.connection->Read().ToString()));
  };
  client.on_event = [&](const Event& event) {
    if (event.Has(EventBits::kConnected)) event.connection->Send(AsBytes("hello"));
    if (event.Has(EventBits::kReadable)) answer += event.connection->Read().ToString();
  };
  client.After(Duration::Zero(), [&] {
    ASSERT_TRUE(client.stack().Connect({client.address(), 0}, {server.address(), 80}, nullptr, client.clock()).ok());
  });
  EXPECT_TRUE(simulation.RunUntil([&] { return answer == "re: hello"; }, Duration::Seconds(20)));
  EXPECT_EQ(simulation.failures(), "");
}

// A transfer over a bad network.
uint64_t TraceHash(uint64_t seed) {
  Simulation simulation(seed);
  for (int i = 0; i < 2; ++i) {
    Host& host = simulation.AddHost({});
    host.egress().Add<Loss>(0.02);
    host.egress().Add<Reorder>(0.02, Duration::Milliseconds(1));
    host.egress().Add<Delay>(Duration::Microseconds(100), Duration::Microseconds(20), 1.5);
  }
  Transfers transfers(simulation, {});
  transfers.Add(0, 1, {.send_bytes = 300000}, {.send_bytes = 100000}, Duration::Zero());
  EXPECT_TRUE(simulation.RunUntil([&] { return transfers.AllOver(); }, Duration::Seconds(60)));
  EXPECT_EQ(simulation.failures(), "");
  return simulation.trace_hash();
}

TEST(Simulation, IsTheSameForTheSameSeed) {
  EXPECT_EQ(TraceHash(3), TraceHash(3));
  EXPECT_NE(TraceHash(3), TraceHash(4));
}

TEST(Simulation, AHostThatRebootsHasForgotten) {
  Simulation simulation(1);
  for (int i = 0; i < 2; ++i) simulation.AddHost({}).egress().Add<Delay>(Duration::Microseconds(50));
  Transfers transfers(simulation, {.may_break = true});
  transfers.Add(0, 1, {.send_bytes = 10'000'000}, {}, Duration::Zero());
  simulation.RunFor(Duration::Milliseconds(1));
  EXPECT_EQ(simulation.host(1).stack().connections(), 1u);
  simulation.host(1).Reboot();
  EXPECT_EQ(simulation.host(1).stack().connections(), 0u);
  EXPECT_TRUE(simulation.RunUntil([&] { return transfers.AllOver(); }, Duration::Seconds(5)));
  EXPECT_EQ(transfers.ends()[0]->reason(), CloseReason::kReset);
  EXPECT_EQ(simulation.failures(), "");
}

TEST(Simulation, AStalledHostTakesWhatItsRingHolds) {
  Simulation simulation(1);
  for (int i = 0; i < 2; ++i) simulation.AddHost({.ring = 4}).egress().Add<Delay>(Duration::Microseconds(50));
  Transfers transfers(simulation, {});
  transfers.Add(0, 1, {.send_bytes = 1'000'000}, {}, Duration::Zero());
  simulation.RunFor(Duration::Microseconds(300));
  simulation.host(1).Stall(Duration::Milliseconds(20));
  EXPECT_TRUE(simulation.RunUntil([&] { return transfers.AllOver(); }, Duration::Seconds(5)));
  EXPECT_GT(simulation.host(1).ring_drops(), 0u);
  EXPECT_EQ(transfers.ends()[1]->received(), 1'000'000u);
  EXPECT_EQ(simulation.failures(), "");
}

TEST(Simulation, AClockMayJump) {
  Simulation simulation(1);
  for (int i = 0; i < 2; ++i) simulation.AddHost({}).egress().Add<Delay>(Duration::Microseconds(50));
  Transfers transfers(simulation, {});
  transfers.Add(0, 1, {.send_bytes = 5'000'000}, {}, Duration::Zero());
  for (int i = 0; i < 5; ++i) {
    simulation.RunFor(Duration::Milliseconds(1));
    simulation.host(0).JumpClock(Duration::Seconds(3600));
    simulation.host(1).JumpClock(Duration::Milliseconds(30));
  }
  EXPECT_TRUE(simulation.RunUntil([&] { return transfers.AllOver(); }, Duration::Seconds(60)));
  EXPECT_EQ(transfers.ends()[1]->received(), 5'000'000u);
  EXPECT_EQ(simulation.failures(), "");
}

// One exchange of about 200 segments, data one way and a short answer, without `dropped` of the packets of either end,
// counted together. Returns how many there were.
class Exchange {
 public:
  uint64_t Run(const std::vector<uint64_t>& dropped) {
    Simulation simulation(1);
    HostOptions options;
    options.memory_bytes = size_t{8} << 20;
    // Loss in the middle, for both directions.
    uint64_t seen = 0;
    for (int i = 0; i < 2; ++i) simulation.AddHost(options).egress().Add<Delay>(Duration::Microseconds(50));
    DropNth* drops[2];
    for (size_t i = 0; i < 2; ++i) drops[i] = &simulation.host(i).ingress().Add<DropNth>(Half(dropped, i));
    Transfers transfers(simulation, {});
    transfers.Add(0, 1, {.send_bytes = 160 * 1448}, {.send_bytes = 1000, .ending = Ending::kLast}, Duration::Zero());
    const bool over = simulation.RunUntil([&] { return transfers.AllOver(); }, Duration::Seconds(10));
    EXPECT_TRUE(over) << simulation.Describe();
    transfers.CheckEnds();
    EXPECT_EQ(transfers.ends()[1]->received(), 160u * 1448);
    EXPECT_EQ(transfers.ends()[0]->received(), 1000u);
    EXPECT_EQ(transfers.ends()[0]->reason(), CloseReason::kNormal);
    EXPECT_TRUE(simulation.RunUntil([&] { return simulation.IsQuiet(); }, Duration::Seconds(10)));
    EXPECT_EQ(simulation.failures(), "");
    seen = drops[1]->seen();
    acks_ = drops[0]->seen();
    data_ = seen;
    packets_ += seen + acks_;
    return seen + acks_;
  }
  uint64_t packets() const { return packets_; }
  uint64_t data() const { return data_; }

 private:
  // Numbers below 1000 are of host 0's packets, those above of host 1's.
  static std::vector<uint64_t> Half(const std::vector<uint64_t>& dropped, size_t to) {
    std::vector<uint64_t> half;
    for (const uint64_t number : dropped) {
      if ((number < 1000) == (to == 1)) half.push_back(number % 1000);
    }
    return half;
  }
  uint64_t packets_ = 0;
  uint64_t acks_ = 0;
  uint64_t data_ = 0;
};

std::vector<uint64_t> AllPackets() {
  Exchange exchange;
  const uint64_t all = exchange.Run({});
  std::vector<uint64_t> numbers;
  for (uint64_t i = 0; i < exchange.data(); ++i) numbers.push_back(i);
  for (uint64_t i = 0; i < all - exchange.data(); ++i) numbers.push_back(1000 + i);
  return numbers;
}

TEST(EveryLoss, OfOnePacketIsRepaired) {
  const std::vector<uint64_t> numbers = AllPackets();
  EXPECT_GE(numbers.size(), 200u);
  Exchange exchange;
  for (const uint64_t k : numbers) {
    exchange.Run({k});
    if (HasFailure()) FAIL() << "without packet " << k;
  }
}

TEST(EveryLoss, OfTwoPacketsIsRepaired) {
  const std::vector<uint64_t> numbers = AllPackets();
  Exchange exchange;
  for (size_t i = 0; i < numbers.size(); ++i) {
    for (size_t j = i + 1; j < numbers.size(); ++j) {
      exchange.Run({numbers[i], numbers[j]});
      if (HasFailure()) FAIL() << "without packets " << numbers[i] << " and " << numbers[j];
    }
  }
  RecordProperty("packets", static_cast<int>(exchange.packets()));
}

}  // namespace
}  // namespace luna::tcp::simulator
