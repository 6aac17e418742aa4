// The parts of a network, one by one: what goes in, what comes out, and when.

#include "luna/net/tcp/testing/simulator/network.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "luna/net/wire/parse_result.h"
#include "luna/net/wire/tcp_header.h"

namespace luna::tcp::simulator {
namespace {

// A path, what was put into it and what came out.
class Bench : public Sink {
 public:
  explicit Bench(uint64_t seed = 1) : path(environment_, *this) { environment_.seed = seed; }

  void Take(Packet&& packet) override {
    packets.push_back(std::move(packet));
    times.push_back(environment_.now);
  }
  // A segment of `payload` octets with this number.
  void Send(uint32_t number, size_t payload = 100, uint16_t flags = wire::TcpFlags::kAck, uint16_t port = 1) {
    Packet packet;
    packet.source = wire::Ipv4Address(10, 0, 0, 1);
    packet.destination = wire::Ipv4Address(10, 0, 0, 2);
    packet.ecn = ip::Ecn::kEct0;
    packet.bytes.assign(wire::TcpHeader::kSize + payload, 'x');
    wire::TcpHeader header;
    header.source_port = port;
    header.sequence = number;
    header.flags = flags;
    wire::Write(header, reinterpret_cast<uint8_t*>(packet.bytes.data()));
    header.checksum = wire::TcpChecksum(packet.source, packet.destination, packet.octets());
    wire::Write(header, reinterpret_cast<uint8_t*>(packet.bytes.data()));
    path.Take(std::move(packet));
  }
  void Run(Duration duration) {
    const Time end = environment_.now + duration;
    while (!environment_.events.empty() && environment_.events.next() <= end) {
      environment_.now = environment_.events.next();
      environment_.events.Step();
    }
    environment_.now = end;
  }
  void SendMany(uint32_t count, Duration gap = Duration::Microseconds(10)) {
    for (uint32_t i = 0; i < count; ++i) {
      Send(i);
      Run(gap);
    }
  }
  std::vector<uint32_t> numbers() const {
    std::vector<uint32_t> result;
    for (const Packet& packet : packets) {
      wire::TcpHeader header;
      EXPECT_EQ(wire::Parse(packet.octets(), &header), wire::ParseResult::kOk);
      result.push_back(header.sequence);
    }
    return result;
  }
  bool ChecksumIsRight(size_t i) const {
    return wire::TcpChecksumIsRight(packets[i].source, packets[i].destination, packets[i].octets());
  }

 private:
  Environment environment_;

 public:
  Path path;
  std::vector<Packet> packets;
  std::vector<Time> times;
};

using Numbers = std::vector<uint32_t>;

TEST(Loss, LosesItsShare) {
  Bench bench;
  bench.path.Add<Loss>(0.1);
  bench.SendMany(10000);
  EXPECT_NEAR(static_cast<double>(bench.packets.size()), 9000, 150);
  EXPECT_EQ(bench.path.dropped() + bench.packets.size(), 10000u);
}

TEST(Loss, MayBeAboutAcknowledgementsAlone) {
  Bench bench;
  bench.path.Add<Loss>(1, Which::kAcks);
  bench.Send(1, 0);
  bench.Send(2, 1);
  bench.Send(3, 0, wire::TcpFlags::kSyn);
  bench.Send(4, 0, wire::TcpFlags::kFin | wire::TcpFlags::kAck);
  EXPECT_EQ(bench.numbers(), (Numbers{2, 3, 4}));
}

TEST(Loss, IsTheSameForTheSameSeedAndPlace) {
  const auto run = [](uint64_t seed, bool another) {
    Bench bench(seed);
    bench.path.Add<Loss>(0.5);
    if (another) bench.path.Add<Delay>(Duration::Zero(), Duration::Microseconds(1));
    bench.SendMany(200);
    return bench.numbers();
  };
  EXPECT_EQ(run(1, false), run(1, false));
  EXPECT_EQ(run(1, false), run(1, true));
  EXPECT_NE(run(1, false), run(2, false));
}

TEST(BurstLoss, LosesInRuns) {
  Bench bench;
  bench.path.Add<BurstLoss>(0.01, 0.1);
  bench.SendMany(20000);
  // 0.01 / (0.01 + 0.1) of the time it is bad, ten packets long on average.
  const double lost = 20000 - static_cast<double>(bench.packets.size());
  EXPECT_NEAR(lost / 20000, 0.0909, 0.03);
  const Numbers numbers = bench.numbers();
  int runs = 0;
  for (size_t i = 1; i < numbers.size(); ++i) runs += numbers[i] != numbers[i - 1] + 1;
  EXPECT_NEAR(lost / runs, 10, 3);
}

TEST(DropNth, DropsExactlyThese) {
  Bench bench;
  bench.path.Add<DropNth>(std::vector<uint64_t>{0, 3});
  bench.SendMany(5);
  EXPECT_EQ(bench.numbers(), (Numbers{1, 2, 4}));
}

TEST(Black, IsAWireWhenOff) {
  Bench bench;
  Black& black = bench.path.Add<Black>();
  bench.Send(1);
  black.set_on(false);
  bench.Send(2);
  EXPECT_EQ(bench.numbers(), (Numbers{2}));
}

TEST(Flap, IsUpAndDownInTurn) {
  Bench bench;
  bench.path.Add<Flap>(Duration::Microseconds(30), Duration::Microseconds(20));
  bench.SendMany(10);
  EXPECT_EQ(bench.numbers(), (Numbers{0, 1, 2, 5, 6, 7}));
}

TEST(DeadPath, TakesAFixedPartOfTheConnections) {
  Bench bench;
  bench.path.Add<DeadPath>(4, 1);
  for (uint16_t port = 1; port <= 1000; ++port) {
    bench.Send(port, 0, wire::TcpFlags::kAck, port);
    bench.Send(port, 0, wire::TcpFlags::kAck, port);
  }
  EXPECT_NEAR(static_cast<double>(bench.packets.size()), 1500, 80);
  // A connection lives or dies as a whole.
  const Numbers numbers = bench.numbers();
  for (size_t i = 0; i + 1 < numbers.size(); i += 2) EXPECT_EQ(numbers[i], numbers[i + 1]);
}

TEST(DropLarger, TellsWhatFits) {
  Bench bench;
  std::vector<std::string> told;
  bench.path.Add<DropLarger>(140, [&](const Packet&, const std::string& icmp) { told.push_back(icmp); });
  bench.Send(1, 100);
  bench.Send(2, 101);
  EXPECT_EQ(bench.numbers(), (Numbers{1}));
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0][0], 3);
  EXPECT_EQ(told[0][1], 4);
  EXPECT_EQ(static_cast<uint8_t>(told[0][7]), 140);
}

TEST(Reorder, HoldsSomeBack) {
  Bench bench;
  bench.path.Add<Reorder>(0.1, Duration::Microseconds(100));
  bench.SendMany(1000);
  Numbers numbers = bench.numbers();
  EXPECT_EQ(numbers.size(), 1000u);
  EXPECT_FALSE(std::is_sorted(numbers.begin(), numbers.end()));
  std::sort(numbers.begin(), numbers.end());
  for (uint32_t i = 0; i < 1000; ++i) EXPECT_EQ(numbers[i], i);
}

TEST(Swap, ChangesPlacesOrLetsGo) {
  Bench bench;
  bench.path.Add<Swap>(1, Duration::Microseconds(50));
  bench.Send(0);
  bench.Send(1);
  bench.Send(2);
  bench.Run(Duration::Microseconds(50));
  EXPECT_EQ(bench.numbers(), (Numbers{1, 0, 2}));
}

TEST(Duplicate, ComesAgain) {
  Bench bench;
  bench.path.Add<Duplicate>(1, 3, Duration::Microseconds(5));
  bench.SendMany(300);
  EXPECT_NEAR(static_cast<double>(bench.packets.size()), 900, 60);
}

TEST(Corrupt, IsFoundByTheChecksum) {
  Bench bench;
  bench.path.Add<Corrupt>(1);
  bench.SendMany(100);
  for (size_t i = 0; i < 100; ++i) EXPECT_FALSE(bench.ChecksumIsRight(i)) << i;
}

TEST(Forge, IsNotFoundByTheChecksum) {
  Bench bench;
  bench.path.Add<Forge>(1);
  bench.SendMany(1000);
  Bench original;
  original.SendMany(1000);
  int changed = 0;
  for (size_t i = 0; i < 1000; ++i) {
    EXPECT_TRUE(bench.ChecksumIsRight(i)) << i;
    changed += bench.packets[i].bytes != original.packets[i].bytes;
    EXPECT_EQ(bench.packets[i].bytes.substr(0, 4), original.packets[i].bytes.substr(0, 4));
  }
  EXPECT_GT(changed, 900);
}

TEST(Mark, MarksWhoCanUnderstand) {
  Bench bench;
  bench.path.Add<Mark>(1);
  bench.Send(1);
  EXPECT_EQ(bench.packets[0].ecn, ip::Ecn::kCe);
}

TEST(Delay, KeepsTheOrder) {
  Bench bench;
  bench.path.Add<Delay>(Duration::Microseconds(100), Duration::Microseconds(100));
  bench.SendMany(100, Duration::Microseconds(1));
  bench.Run(Duration::Milliseconds(1));
  const Numbers numbers = bench.numbers();
  EXPECT_EQ(numbers.size(), 100u);
  EXPECT_TRUE(std::is_sorted(numbers.begin(), numbers.end()));
  EXPECT_GE((bench.times.front() - Time()).microseconds(), 100);
  EXPECT_LE((bench.times.back() - Time()).microseconds(), 300);
}

TEST(Delay, WithATailIsRarelyLong) {
  Bench bench;
  bench.path.Add<Delay>(Duration::Zero(), Duration::Microseconds(10), 1.5);
  Duration longest;
  for (int i = 0; i < 2000; ++i) {
    const Time sent = bench.times.empty() ? Time() : bench.times.back();
    bench.Send(1);
    bench.Run(Duration::Milliseconds(2));
    longest = std::max(longest, (bench.times.back() - sent) - Duration::Milliseconds(2));
  }
  EXPECT_GT(longest, Duration::Microseconds(200));
  EXPECT_LE(longest, Duration::Microseconds(1000));
}

TEST(Queue, SendsAtItsRateAndDropsWhenFull) {
  Bench bench;
  // 1,000 octets with all that is around them: 1 us each.
  Queue& queue = bench.path.Add<Queue>(8'000'000'000, 10);
  for (uint32_t i = 0; i < 12; ++i) bench.Send(i, 1000 - 20 - 20 - 38);
  bench.Run(Duration::Milliseconds(1));
  ASSERT_EQ(bench.packets.size(), 10u);
  EXPECT_EQ(bench.path.dropped(), 2u);
  EXPECT_EQ(queue.most(), 10u);
  for (size_t i = 0; i < 10; ++i) EXPECT_EQ((bench.times[i] - Time()).microseconds(), static_cast<int64_t>(i) + 1);
  // Empty again.
  bench.Send(99);
  bench.Run(Duration::Milliseconds(1));
  EXPECT_EQ(bench.packets.size(), 11u);
}

TEST(Queue, MarksFromItsThresholdOn) {
  Bench bench;
  bench.path.Add<Queue>(8'000'000'000, 10, 2);
  for (uint32_t i = 0; i < 4; ++i) bench.Send(i);
  bench.Run(Duration::Milliseconds(1));
  EXPECT_EQ(bench.packets[1].ecn, ip::Ecn::kEct0);
  EXPECT_EQ(bench.packets[2].ecn, ip::Ecn::kCe);
}

}  // namespace
}  // namespace luna::tcp::simulator
