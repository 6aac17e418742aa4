#ifndef LUNA_NET_TCP_TESTING_SIMULATOR_SCENARIO_H_
#define LUNA_NET_TCP_TESTING_SIMULATOR_SCENARIO_H_

// Scenario: everything that makes a simulated run, as plain data: stacks and their settings, the network, its faults
// and when they are there, and what the applications do. DrawScenario() makes one from a seed; half of the seeds choose
// settings and faults from a few kinds only (swarm testing), so that each kind is also seen without the others.
//
// RunScenario() has two phases. Safety: faults come and go, and nothing wrong may happen. Liveness: all faults are
// healed, the applications read, and everything must come to its end, in time; then memory is home, no timer is armed,
// and no connection is left. Same scenario, same run, bit for bit.

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "luna/net/tcp/state.h"
#include "luna/net/tcp/testing/simulator/host.h"
#include "luna/net/tcp/testing/simulator/transfer.h"
#include "luna/sched/clock/time.h"

namespace luna::tcp::simulator {

struct Fault {
  enum class Kind : uint8_t {
    kLoss,
    kAckLoss,
    kBurstLoss,
    kDropNth,
    kBlack,
    kFlap,
    kMtuHole,  // what is too large is lost in silence
    kMtuTold,  // … and ICMP says so
    kReorder,
    kSwap,
    kDuplicate,
    kCorrupt,
    kForge,
    kMark,
    kJitter,
    kSlow,     // the rate of the link falls
    kShallow,  // … or its buffer
    kStall,    // the host's thread
    kClockJump,
    kReboot,
  };
  static constexpr size_t kKinds = 20;

  Kind kind = Kind::kLoss;
  size_t host = 0;       // whose packets, as they leave, or what happens to it
  Duration from, until;  // since the start; `until` has no meaning for what happens once
  double probability = 0;
  uint64_t number = 0;  // which, how many, or how large
  Duration duration;    // how long

  std::string ToString() const;
};

struct Connecting {
  size_t from = 0, to = 1;
  Habits active, passive;
  Duration when;
  uint16_t local_port = 0;
};

struct Link {
  Duration delay = Duration::Microseconds(50);
  uint64_t bits_per_second = 10'000'000'000;
  size_t packets = 1000;
};

struct Scenario {
  uint64_t seed = 1;
  std::vector<HostOptions> hosts;
  std::vector<Link> links;  // of each host, out of it
  std::vector<Fault> faults;
  std::vector<Connecting> connections;
  Duration safety = Duration::Seconds(2);  // then all is healed

  // For a report: hosts, faults with their numbers, connections.
  std::string ToString() const;
};

Scenario DrawScenario(uint64_t seed);

struct Outcome {
  std::string failures;     // empty: all is well
  std::string description;  // of what was left, when something failed
  uint64_t trace_hash = 0;
  uint64_t packets = 0;
  uint64_t emitted = 0;
  Duration virtual_time;
  ConnectionChecker::Transitions transitions{};
};

// `without`: numbers of faults that are left out.
Outcome RunScenario(const Scenario& scenario, const std::set<size_t>& without = {});

// The largest set of faults without which the scenario still fails, deleting one after the other. Pre: it fails.
std::set<size_t> Minimise(const Scenario& scenario);

}  // namespace luna::tcp::simulator

#endif  // LUNA_NET_TCP_TESTING_SIMULATOR_SCENARIO_H_
