// The smoke set of tools/soak, and what it does when a seed fails.

#include "luna/net/tcp/testing/simulator/scenario.h"

#include <cstdlib>
#include <set>
#include <string>

#include "gtest/gtest.h"

namespace luna::tcp::simulator {
namespace {

// LUNA_TEST_SEED replays one.
TEST(Scenario, SmokeSet) {
  uint64_t first = 1;
  uint64_t count = 1500;
  if (const char* text = std::getenv("LUNA_TEST_SEED")) {
    first = std::strtoull(text, nullptr, 0);
    count = 1;
  }
  uint64_t packets = 0;
  ConnectionChecker::Transitions transitions{};
  for (uint64_t seed = first; seed < first + count; ++seed) {
    const Outcome outcome = RunScenario(DrawScenario(seed));
    ASSERT_EQ(outcome.failures, "") << "LUNA_TEST_SEED=" << seed << "\n"
                                    << DrawScenario(seed).ToString() << outcome.description;
    packets += outcome.packets;
    for (size_t from = 0; from < kStates; ++from) {
      for (size_t to = 0; to < kStates; ++to) transitions[from][to] += outcome.transitions[from][to];
    }
  }
  RecordProperty("packets", static_cast<int>(packets));
  if (count == 1) return;
  // Every successor of a state that two ends can bring about comes about.
  const auto seen = [&](State from, State to) { return transitions[Index(from)][Index(to)] > 0; };
  EXPECT_TRUE(seen(State::kSynSent, State::kEstablished));
  EXPECT_TRUE(seen(State::kSynReceived, State::kEstablished));
  EXPECT_TRUE(seen(State::kEstablished, State::kFinWait1));
  EXPECT_TRUE(seen(State::kEstablished, State::kCloseWait));
  EXPECT_TRUE(seen(State::kFinWait1, State::kFinWait2));
  EXPECT_TRUE(seen(State::kFinWait1, State::kClosing));
  EXPECT_TRUE(seen(State::kCloseWait, State::kLastAck));
}

TEST(Scenario, IsTheSameForTheSameSeed) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    EXPECT_EQ(RunScenario(DrawScenario(seed)).trace_hash, RunScenario(DrawScenario(seed)).trace_hash) << seed;
  }
}

// Four faults, of which one alone breaks a stack that gives up sooner than it repeats.
Scenario Broken() {
  Scenario scenario;
  scenario.hosts.resize(2);
  for (HostOptions& host : scenario.hosts) {
    host.config.user_timeout = Duration::Milliseconds(1);
    host.config.tail_loss_probe = false;
  }
  scenario.links.resize(2);
  scenario.connections.push_back({.active = {.send_bytes = 1'000'000}});
  scenario.faults.resize(4);
  for (Fault& fault : scenario.faults) {
    fault.until = Duration::Seconds(2);
    fault.probability = 0.01;
    fault.duration = Duration::Microseconds(10);
  }
  scenario.faults[0].kind = Fault::Kind::kSwap;
  scenario.faults[1].kind = Fault::Kind::kMark;
  scenario.faults[2].kind = Fault::Kind::kAckLoss;
  scenario.faults[2].host = 1;
  scenario.faults[2].probability = 0.199;
  scenario.faults[3].kind = Fault::Kind::kLoss;
  scenario.faults[3].probability = 0.199;
  return scenario;
}

TEST(Minimise, LeavesTheFaultThatMatters) {
  const Scenario scenario = Broken();
  ASSERT_NE(RunScenario(scenario).failures, "");
  const std::set<size_t> without = Minimise(scenario);
  EXPECT_EQ(without.count(3), 0u) << "the loss of data was taken away";
  EXPECT_EQ(without.count(0) + without.count(1), 2u);
  EXPECT_NE(RunScenario(scenario, without).failures, "");
}

}  // namespace
}  // namespace luna::tcp::simulator
