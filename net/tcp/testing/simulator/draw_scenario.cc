#include <algorithm>

#include "luna/net/tcp/isn.h"
#include "luna/net/tcp/testing/simulator/random.h"
#include "luna/net/tcp/testing/simulator/scenario.h"
#include "luna/net/tcp/testing/simulator/simulation.h"

namespace luna::tcp::simulator {
namespace {

constexpr uint64_t kDrawStream = 1;
constexpr uint64_t kKiB = 1024;

// A number that is 0 in most cases.
Duration Sometimes(Random& random, double chance, Duration most) {
  return random.Chance(chance) ? random.Upto(most) : Duration::Zero();
}

StackConfig DrawConfig(Random& random) {
  StackConfig config = random.Chance(0.2) ? StackConfig::Rfc() : StackConfig::DataCentre();
  config.sack = !random.Chance(0.15);
  config.dsack = config.sack && !random.Chance(0.2);
  config.rack = !random.Chance(0.2);
  config.tail_loss_probe = !random.Chance(0.2);
  config.frto = !random.Chance(0.3);
  config.timestamps = !random.Chance(0.25);
  config.window_scale = !random.Chance(0.2);
  config.nagle = random.Chance(0.3);
  if (random.Chance(0.2)) config.congestion = CongestionAlgorithm::kCubic;
  if (random.Chance(0.3)) config.ecn = EcnMode::kAlways;
  if (random.Chance(0.2)) config.syn_cookies = SynCookies::kAlways;
  if (random.Chance(0.2)) config.delayed_ack = Duration::Zero();
  if (random.Chance(0.2)) config.quick_acks = 16;
  if (random.Chance(0.2)) config.ack_on_read = true;
  if (random.Chance(0.3)) config.mtu = static_cast<uint32_t>(random.Between(300, 9000));
  if (random.Chance(0.3)) config.receive_buffer_bytes = static_cast<uint32_t>(2048 + random.Octaves(512 * kKiB));
  config.receive_buffer_max_bytes = std::max<uint32_t>(config.receive_buffer_bytes, 1024 * kKiB);
  if (random.Chance(0.3)) config.send_buffer_bytes = static_cast<uint32_t>(2048 + random.Octaves(512 * kKiB));
  if (random.Chance(0.15)) config.memory_limit_bytes = 64 * kKiB + random.Octaves(512 * kKiB);
  if (random.Chance(0.1)) config.receive_slices_limit = static_cast<uint32_t>(random.Between(8, 64));
  if (random.Chance(0.2)) config.initial_window_segments = static_cast<uint32_t>(random.Between(1, 10));
  return config;
}

HostOptions DrawHost(Random& random) {
  HostOptions options;
  options.config = DrawConfig(random);
  options.flush_in_line = !random.Chance(0.3);
  options.flush_limit = random.Chance(0.3) ? random.Between(1, 8) : 64;
  if (random.Chance(0.2)) options.ring = random.Between(4, 64);
  return options;
}

Habits DrawHabits(Random& random) {
  Habits habits;
  habits.send_bytes = random.Chance(0.1) ? 0 : random.Octaves(random.Chance(0.2) ? 1024 * kKiB : 64 * kKiB);
  habits.most_per_send = static_cast<uint32_t>(random.Octaves(64 * kKiB));
  // Many tiny sends are many packets: fewer of them.
  habits.send_bytes = std::min<uint64_t>(habits.send_bytes, uint64_t{habits.most_per_send} * 2000);
  habits.send_pause = Sometimes(random, 0.3, Duration::Milliseconds(5));
  if (random.Chance(0.2)) {
    habits.most_per_read = static_cast<uint32_t>(random.Octaves(8 * kKiB));
    habits.read_pause = random.Upto(Duration::Milliseconds(2));
  }
  habits.never_reads = random.Chance(0.08);
  constexpr Ending kOften[] = {Ending::kHalfClose, Ending::kHalfClose,  Ending::kHalfClose, Ending::kLast,
                               Ending::kLast,      Ending::kCloseEarly, Ending::kAbort};
  habits.ending = kOften[random.Below(std::size(kOften))];
  return habits;
}

Connecting DrawConnection(Random& random, size_t hosts) {
  Connecting connecting;
  connecting.from = random.Below(hosts);
  connecting.to = (connecting.from + 1 + random.Below(hosts - 1)) % hosts;
  connecting.active = DrawHabits(random);
  connecting.passive = DrawHabits(random);
  // Not both may wait for the other's end.
  if (connecting.active.ending == Ending::kLast) connecting.passive.ending = Ending::kHalfClose;
  if (random.Chance(0.3)) {
    connecting.passive.answers = true;
    connecting.passive.send_bytes = connecting.active.send_bytes;
    connecting.passive.never_reads = false;
  }
  connecting.when = Sometimes(random, 0.7, Duration::Seconds(1));
  return connecting;
}

Duration DrawSpan(Random& random, Duration most) {
  return Duration::Nanoseconds(static_cast<int64_t>(random.Octaves(static_cast<uint64_t>(most.microseconds())) * 1000));
}

Fault DrawFault(Random& random, Fault::Kind kind, size_t hosts, Duration safety) {
  using Kind = Fault::Kind;
  Fault fault;
  fault.kind = kind;
  fault.host = random.Below(hosts);
  fault.from = random.Chance(0.3) ? Duration::Zero() : random.Upto(safety);
  fault.until = random.Chance(0.3) ? safety : std::min(safety, fault.from + DrawSpan(random, safety));
  fault.probability = 1.0 / static_cast<double>(random.Octaves(1000) + 2);
  switch (kind) {
    case Kind::kDropNth:
      fault.number = random.Octaves(200) - 1;
      break;
    case Kind::kMtuHole:
    case Kind::kMtuTold:
      fault.number = random.Between(296, 1499);
      break;
    case Kind::kBurstLoss:
      fault.number = random.Octaves(50);  // packets on average
      break;
    case Kind::kDuplicate:
      fault.number = random.Between(1, 8);
      break;
    case Kind::kSlow:
      fault.number = 100'000 * random.Octaves(10'000);  // bits per second
      break;
    case Kind::kShallow:
      fault.number = random.Octaves(20);
      break;
    default:
      break;
  }
  fault.duration = DrawSpan(random, Duration::Milliseconds(100));
  return fault;
}

// A secret with which the first connection's numbers pass 2^32 soon after they begin.
void WrapSoon(Random& random, Scenario* scenario) {
  Connecting& first = scenario->connections.front();
  first.local_port = 50000;
  const uint32_t within = 1 + static_cast<uint32_t>(random.Below(32 * kKiB));
  for (const bool active : {true, false}) {
    const size_t from = active ? first.from : first.to;
    const auto address = [](size_t host) { return wire::Ipv4Address(static_cast<uint32_t>(0x0a000001 + host)); };
    wire::FourTuple tuple = {{address(first.from), first.local_port}, {address(first.to), Transfers::kPort}};
    if (!active) tuple = tuple.Reversed();
    for (int tries = 0; tries < 1 << 20; ++tries) {
      const Secret secret = {random.Next(), random.Next()};
      const uint32_t isn = InitialSequenceNumber(secret, tuple, Simulation::kStart + first.when).raw();
      if (isn > 0 - within - 64 * static_cast<uint32_t>(kKiB)) {
        scenario->hosts[from].config.secret = secret;
        break;
      }
    }
  }
}

}  // namespace

Scenario DrawScenario(uint64_t seed) {
  Random random(seed, kDrawStream);
  Scenario scenario;
  scenario.seed = seed;
  const size_t hosts = random.Chance(0.75) ? 2 : random.Between(3, 6);
  for (size_t i = 0; i < hosts; ++i) {
    scenario.hosts.push_back(DrawHost(random));
    Link link;
    link.delay = DrawSpan(random, Duration::Milliseconds(random.Chance(0.2) ? 50 : 1));
    link.bits_per_second = 1'000'000 * random.Octaves(100'000);
    link.packets = random.Chance(0.3) ? random.Between(4, 50) : 1000;
    scenario.links.push_back(link);
  }
  for (uint64_t left = random.Octaves(16); left > 0; --left) {
    scenario.connections.push_back(DrawConnection(random, hosts));
  }
  // A swarm: only some kinds of faults.
  const bool swarm = random.Chance(0.5);
  std::vector<Fault::Kind> kinds;
  for (size_t kind = 0; kind < Fault::kKinds; ++kind) {
    if (!swarm || random.Chance(0.25)) kinds.push_back(static_cast<Fault::Kind>(kind));
  }
  // What no end can tell from the truth keeps everything else from being checked: seldom.
  if (!random.Chance(0.05)) std::erase(kinds, Fault::Kind::kForge);
  if (!random.Chance(0.15)) std::erase(kinds, Fault::Kind::kReboot);
  if (!kinds.empty()) {
    for (uint64_t left = random.Below(9); left > 0; --left) {
      const Fault::Kind kind = kinds[random.Below(kinds.size())];
      scenario.faults.push_back(DrawFault(random, kind, hosts, scenario.safety));
    }
  }
  if (random.Chance(0.2)) WrapSoon(random, &scenario);
  return scenario;
}

}  // namespace luna::tcp::simulator
