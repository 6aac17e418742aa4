// What a TCP has to deliver over which path (CONFORMANCE F.1: P1 to P6), in virtual time with fixed seeds: a figure
// here is a property of the algorithms, not of the machine.

#include <algorithm>
#include <cmath>
#include <functional>
#include <iostream>
#include <vector>

#include "gtest/gtest.h"
#include "luna/net/tcp/testing/simulator/network.h"
#include "luna/net/tcp/testing/simulator/simulation.h"
#include "luna/net/tcp/testing/simulator/transfer.h"

namespace luna::tcp::simulator {
namespace {

constexpr double kMss = 1448;

HostOptions Roomy() {
  HostOptions options;
  options.config.receive_buffer_bytes = options.config.receive_buffer_max_bytes = 8u << 20;
  options.config.send_buffer_bytes = 8u << 20;
  options.config.receive_slices_limit = options.config.send_slices_limit = 16384;
  options.memory_bytes = size_t{64} << 20;
  return options;
}

struct Measured {
  double goodput = 0;   // octets per second, after the warm-up
  double repairs = 0;   // retransmitted segments of all data segments
  double needless = 0;  // D-SACKs of all data segments
  uint64_t data_packets = 0;
};

// One bulk transfer from host 0 to host 1 through what `network` puts into the sender's path, for `time` after
// `warm_up`.
Measured Bulk(Duration one_way, const std::function<void(Path&)>& network, Duration warm_up, Duration time,
              const HostOptions& options = Roomy(), uint64_t seed = 1) {
  Simulation simulation(seed);
  Host& sender = simulation.AddHost(options);
  Host& receiver = simulation.AddHost(options);
  network(sender.egress());
  sender.egress().Add<Delay>(one_way);
  receiver.egress().Add<Delay>(one_way);
  Transfers transfers(simulation, {.may_break = true});
  transfers.Add(0, 1, {.send_bytes = uint64_t{1} << 40, .most_per_send = 65536}, {}, Duration::Zero());
  const auto info = [&] {
    ConnectionInfo info;
    sender.stack().ForEachConnection([&](Connection& connection) { info = connection.Info(sender.clock()); });
    return info;
  };
  simulation.RunFor(warm_up);
  const uint64_t before = transfers.ends()[1]->received();
  const ConnectionInfo first = info();
  simulation.RunFor(time);
  const ConnectionInfo last = info();
  EXPECT_EQ(simulation.failures(), "");
  Measured run;
  run.goodput = static_cast<double>(transfers.ends()[1]->received() - before) / time.seconds();
  run.data_packets = last.data_segs_out - first.data_segs_out;
  run.repairs = (last.total_retrans - first.total_retrans) / static_cast<double>(run.data_packets);
  run.needless = (last.dsack_dups - first.dsack_dups) / static_cast<double>(run.data_packets);
  return run;
}

// Of payload, behind a transmitter of so many bits per second.
double LinkRate(double bits_per_second) { return bits_per_second / 8 * kMss / (1500 + 38); }

// P1: the link, or the window per round trip, whichever is less.
TEST(Performance, WithoutLossThePathIsFull) {
  const auto link = [](uint64_t rate) { return [rate](Path& path) { path.Add<Queue>(rate, 4000); }; };
  EXPECT_GE(
      Bulk(Duration::Microseconds(500), link(1'000'000'000), Duration::Milliseconds(200), Duration::Seconds(1)).goodput,
      0.95 * LinkRate(1e9));
  HostOptions small = Roomy();
  small.config.receive_buffer_bytes = small.config.receive_buffer_max_bytes = 100'000;
  const Measured limited =
      Bulk(Duration::Milliseconds(5), link(1'000'000'000), Duration::Milliseconds(200), Duration::Seconds(1), small);
  EXPECT_GE(limited.goodput, 0.90 * 100'000 / 0.010) << "a window of 100 KB, 10 ms";
  EXPECT_EQ(limited.repairs, 0);
}

// P1: slow start reaches the bandwidth-delay product within log2(BDP / IW) + 2 round trips.
TEST(Performance, SlowStartDoublesEachRoundTrip) {
  Simulation simulation(1);
  for (int i = 0; i < 2; ++i) simulation.AddHost(Roomy());
  simulation.host(0).egress().Add<Queue>(1'000'000'000u, 4000u);
  for (size_t i = 0; i < 2; ++i) simulation.host(i).egress().Add<Delay>(Duration::Milliseconds(5));
  Transfers transfers(simulation, {.may_break = true});
  transfers.Add(0, 1, {.send_bytes = uint64_t{1} << 30, .most_per_send = 65536}, {}, Duration::Zero());
  const double bdp = 1e9 / 8 * 0.010;
  const double rounds = std::log2(bdp / (10 * kMss)) + 2;
  uint32_t window = 0;
  const auto filled = [&] {
    simulation.host(0).stack().ForEachConnection(
        [&](Connection& connection) { window = connection.sender().congestion().window(); });
    return window >= bdp;
  };
  EXPECT_TRUE(simulation.RunUntil(filled, Duration::Seconds(2)));
  // And the handshake's round trip.
  EXPECT_LE((simulation.now() - Simulation::kStart).seconds(), (rounds + 1) * 0.010 + 0.001);
}

// Padhye, Firoiu, Towsley and Kurose 1998: goodput under random loss `p` with time-outs of `t0` seconds; b = 2.
double Pftk(double rtt, double p, double t0) {
  constexpr double kB = 2;
  return kMss /
         (rtt * std::sqrt(2 * kB * p / 3) + t0 * std::min(1.0, 3 * std::sqrt(3 * kB * p / 8)) * p * (1 + 32 * p * p));
}

// P2, P6: random loss.
TEST(Performance, UnderRandomLossGoodputIsThatOfTheModel) {
  struct Case {
    Duration one_way;
    double p;
    Duration time;
  };
  for (const Case& c : {Case{Duration::Microseconds(500), 1e-2, Duration::Seconds(10)},
                        Case{Duration::Microseconds(500), 1e-3, Duration::Seconds(20)},
                        Case{Duration::Milliseconds(5), 1e-2, Duration::Seconds(60)}}) {
    const auto lossy = [&](Path& path) { path.Add<Loss>(c.p); };
    const Measured run = Bulk(c.one_way, lossy, Duration::Seconds(1), c.time);
    const double rtt = 2 * c.one_way.seconds();
    const double mathis = 1.22 * kMss / (rtt * std::sqrt(c.p));
    std::cout << "rtt " << rtt * 1e3 << " ms p " << c.p << ": " << run.goodput * 8e-6 << " Mb/s, PFTK (4 ms) "
              << Pftk(rtt, c.p, std::max(0.004, 2 * rtt)) * 8e-6 << ", Mathis " << mathis * 8e-6 << ", repairs "
              << run.repairs << ", needless " << run.needless << "\n";
    EXPECT_GE(run.goodput, 0.7 * Pftk(rtt, c.p, std::max(0.004, 2 * rtt)));
    EXPECT_LE(run.goodput, 1.15 * mathis);
    EXPECT_LE(run.repairs, 1.2 * c.p + 0.001);
  }
}

// P3: packets of which some come a little late are no loss, once that is known.
TEST(Performance, UnderReorderingGoodputStays) {
  const auto link = [](Path& path) { path.Add<Queue>(200'000'000u, 4000u); };
  const auto reordering = [&](Path& path) {
    link(path);
    path.Add<Reorder>(0.01, Duration::Microseconds(300));
  };
  const Measured in_order = Bulk(Duration::Milliseconds(1), link, Duration::Seconds(1), Duration::Seconds(4));
  const Measured reordered = Bulk(Duration::Milliseconds(1), reordering, Duration::Seconds(1), Duration::Seconds(4));
  EXPECT_GE(reordered.goodput, 0.8 * in_order.goodput);
  EXPECT_LT(reordered.needless, 0.01);
}

// P4: 64 flows through one transmitter share it.
TEST(Performance, FlowsShareABottleneck) {
  Simulation simulation(1);
  constexpr size_t kFlows = 64;
  HostOptions options;
  options.memory_bytes = size_t{32} << 20;
  for (size_t i = 0; i < kFlows + 1; ++i) simulation.AddHost(options);
  Host& sink = simulation.host(kFlows);
  sink.ingress().Add<Queue>(1'000'000'000u, 200u);
  sink.egress().Add<Delay>(Duration::Microseconds(500));
  Transfers transfers(simulation, {.may_break = true});
  Random random(1);
  for (size_t i = 0; i < kFlows; ++i) {
    simulation.host(i).egress().Add<Delay>(Duration::Microseconds(500), Duration::Microseconds(20));
    transfers.Add(i, kFlows, {.send_bytes = uint64_t{1} << 40, .most_per_send = 65536}, {},
                  random.Upto(Duration::Milliseconds(100)));
  }
  simulation.RunFor(Duration::Seconds(1));
  std::vector<double> before;
  for (size_t i = 0; i < kFlows; ++i) before.push_back(static_cast<double>(transfers.ends()[2 * i + 1]->received()));
  simulation.RunFor(Duration::Seconds(5));
  double sum = 0, squares = 0;
  for (size_t i = 0; i < kFlows; ++i) {
    const double share = static_cast<double>(transfers.ends()[2 * i + 1]->received()) - before[i];
    sum += share;
    squares += share * share;
  }
  const double jain = sum * sum / (kFlows * squares);
  std::cout << "Jain's index " << jain << ", goodput " << sum / 5 * 8e-6 << " Mb/s\n";
  EXPECT_GE(jain, 0.95);
  EXPECT_GE(sum / 5, 0.90 * LinkRate(1e9));
  EXPECT_EQ(simulation.failures(), "");
}

// P5: corruption costs what loss does, duplicates no more.
TEST(Performance, CorruptionAndDuplicatesCostNoMoreThanLoss) {
  const double kP = 3e-3;
  const auto with = [](const std::function<void(Path&)>& fault) {
    return Bulk(Duration::Microseconds(500), fault, Duration::Seconds(1), Duration::Seconds(10)).goodput;
  };
  const double loss = with([kP](Path& path) { path.Add<Loss>(kP); });
  const double corrupted = with([kP](Path& path) { path.Add<Corrupt>(kP); });
  const double duplicated = with([kP](Path& path) {
    path.Add<Duplicate>(kP);
    path.Add<Queue>(1'000'000'000u, 4000u);
  });
  std::cout << "loss " << loss * 8e-6 << " corrupted " << corrupted * 8e-6 << " duplicated " << duplicated * 8e-6
            << " Mb/s\n";
  EXPECT_GE(corrupted, 0.85 * loss);
  EXPECT_GE(duplicated, loss);
}

// P7: many answers at once through a shallow buffer: three times as long as the wire needs, and time-outs for up to
// five rounds that were lost, doubling from the floor of 4 ms; nobody waits for a second.
TEST(Performance, IncastEndsSoon) {
  for (const size_t senders : {8, 32, 120}) {
    Simulation simulation(1);
    HostOptions options;
    options.memory_bytes = size_t{8} << 20;
    for (size_t i = 0; i < senders; ++i) simulation.AddHost(options);
    options.memory_bytes = size_t{64} << 20;
    Host& sink = simulation.AddHost(options);
    sink.ingress().Add<Queue>(10'000'000'000u, 64u);
    Transfers transfers(simulation, {.may_break = true});
    for (size_t i = 0; i <= senders; ++i) {
      simulation.host(i).egress().Add<Delay>(Duration::Microseconds(10), Duration::Microseconds(2));
    }
    for (size_t i = 0; i < senders; ++i) transfers.Add(i, senders, {.send_bytes = 32768}, {}, Duration::Zero());
    const bool over = simulation.RunUntil([&] { return transfers.AllOver(); }, Duration::Seconds(5));
    EXPECT_TRUE(over);
    Duration longest;
    for (size_t i = 1; i < transfers.ends().size(); i += 2) {
      EXPECT_EQ(transfers.ends()[i]->received(), 32768u);
      longest = std::max(longest, transfers.ends()[i]->over_at() - Simulation::kStart);
    }
    const double ideal = static_cast<double>(senders) * 32768 / LinkRate(10e9);
    std::cout << senders << " senders: " << longest.microseconds() << " us, on the wire " << ideal * 1e6 << " us\n";
    EXPECT_LT(longest, Duration::Seconds(1));
    EXPECT_LE(longest.seconds(), 3 * ideal + 0.004 * 31);
    EXPECT_EQ(simulation.failures(), "");
  }
}

}  // namespace
}  // namespace luna::tcp::simulator
