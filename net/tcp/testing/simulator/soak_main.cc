// The worker of tools/soak: runs the scenarios of a range of seeds, one after the other, a line of output each.
//
//   soak_worker --seed=7 --seeds=100                 "seed 7 ok hash=… packets=…", or "seed 7 FAILED …" and a report
//   soak_worker --seed=7 --seeds=1 --without=0,3     leaves out faults 0 and 3; --minimise looks for those itself

#include <cstdint>
#include <iostream>
#include <set>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "luna/net/tcp/testing/simulator/scenario.h"

namespace {

using luna::tcp::simulator::DrawScenario;
using luna::tcp::simulator::Minimise;
using luna::tcp::simulator::Outcome;
using luna::tcp::simulator::RunScenario;
using luna::tcp::simulator::Scenario;

struct Options {
  uint64_t seed = 1;
  uint64_t seeds = 1;
  std::set<size_t> without;  // faults to leave out
  bool minimise = false;     // look for the fewest faults with which a failing seed still fails
  bool describe = false;     // print each scenario before it runs
};

bool ParseWithout(absl::string_view text, std::set<size_t>* out) {
  for (const auto part : absl::StrSplit(text, ',', absl::SkipEmpty())) {
    uint64_t number = 0;
    if (!absl::SimpleAtoi(part, &number)) return false;
    out->insert(number);
  }
  return true;
}

bool Parse(absl::string_view argument, Options* out) {
  if (argument == "--minimise") return out->minimise = true;
  if (argument == "--describe") return out->describe = true;
  if (absl::ConsumePrefix(&argument, "--seed=")) return absl::SimpleAtoi(argument, &out->seed);
  if (absl::ConsumePrefix(&argument, "--seeds=")) return absl::SimpleAtoi(argument, &out->seeds);
  return absl::ConsumePrefix(&argument, "--without=") && ParseWithout(argument, &out->without);
}

bool RunSeed(uint64_t seed, const Options& options) {
  const Scenario scenario = DrawScenario(seed);
  std::cout << "begin " << seed << std::endl;
  if (options.describe) std::cout << scenario.ToString();
  std::set<size_t> without = options.without;
  Outcome outcome = RunScenario(scenario, without);
  if (outcome.failures.empty()) {
    std::cout << "ok " << seed << " hash=" << std::hex << outcome.trace_hash << std::dec
              << " packets=" << outcome.packets << std::endl;
    return true;
  }
  if (options.minimise) {
    without = Minimise(scenario);
    outcome = RunScenario(scenario, without);
  }
  std::cout << "failed " << seed << "\n"
            << outcome.failures << scenario.ToString() << outcome.description
            << "\nreplay: tools/soak --seeds 1 --seed " << seed;
  if (!without.empty()) std::cout << " --without " << absl::StrJoin(without, ",");
  std::cout << std::endl;
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    if (Parse(argv[i], &options)) continue;
    std::cerr << "usage: soak_worker [--seed=N] [--seeds=N] [--without=N,N] [--minimise] [--describe]; not '" << argv[i]
              << "'\n";
    return 2;
  }
  bool all_well = true;
  for (uint64_t i = 0; i < options.seeds; ++i) all_well &= RunSeed(options.seed + i, options);
  return all_well ? 0 : 1;
}
