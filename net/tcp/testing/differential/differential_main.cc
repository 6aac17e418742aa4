// The differential program: event lists against Luna and the kernel. Needs root.
//
//   differential LISTS DIFFERENCES [--seed=S] [--seeds=N] [--only=WORD] [--verbose]
//
// Runs the lists of the file (those whose name contains WORD), and N random ones from seed S on.

#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "luna/net/tcp/testing/differential/campaign.h"
#include "luna/net/tcp/testing/differential/generator.h"

namespace luna::tcp::differential {
namespace {

struct Arguments {
  std::vector<std::string> files;
  uint64_t seed = 1;
  uint64_t seeds = 0;
  std::string only;
  bool verbose = false;
};

bool ReadArguments(int argc, char** argv, Arguments* out) {
  for (int i = 1; i < argc; ++i) {
    absl::string_view word = argv[i];
    bool good = true;
    if (absl::ConsumePrefix(&word, "--seed=")) {
      good = absl::SimpleAtoi(word, &out->seed);
    } else if (absl::ConsumePrefix(&word, "--seeds=")) {
      good = absl::SimpleAtoi(word, &out->seeds);
    } else if (absl::ConsumePrefix(&word, "--only=")) {
      out->only = std::string(word);
    } else if (word == "--verbose") {
      out->verbose = true;
    } else {
      out->files.emplace_back(word);
      good = !absl::StartsWith(word, "-");
    }
    if (!good) return false;
  }
  return out->files.size() == 2;
}

std::string ReadFile(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void PrintTrace(const Trace& trace) {
  for (const Step& step : trace) std::printf("    %-40s %s\n", step.event.c_str(), step.Outcome().c_str());
}

// Returns how many failed.
int Print(const std::vector<EventList>& lists, const std::vector<Outcome>& outcomes, bool verbose) {
  int failed = 0;
  for (size_t i = 0; i < outcomes.size(); ++i) {
    const Outcome& outcome = outcomes[i];
    if (verbose) {
      std::printf("%s: luna\n", outcome.name.c_str());
      PrintTrace(outcome.luna);
      std::printf("%s: kernel\n", outcome.name.c_str());
      PrintTrace(outcome.kernel);
    }
    if (outcome.failure.empty()) continue;
    ++failed;
    std::printf("FAIL %s\n%s", outcome.name.c_str(), outcome.failure.c_str());
  }
  std::printf("%zu lists, %d failed\n", lists.size(), failed);
  return failed;
}

int Main(int argc, char** argv) {
  Arguments arguments;
  if (!ReadArguments(argc, argv, &arguments)) {
    std::fprintf(stderr, "usage: differential LISTS DIFFERENCES [--seed=S] [--seeds=N] [--only=WORD] [--verbose]\n");
    return 2;
  }
  auto committed = ParseEventLists(ReadFile(arguments.files[0]));
  auto differences = ParseDifferences(ReadFile(arguments.files[1]));
  if (!committed.ok() || !differences.ok()) {
    std::fprintf(stderr, "%s\n", (committed.ok() ? differences.status() : committed.status()).ToString().c_str());
    return 2;
  }
  std::vector<EventList> lists;
  for (const EventList& list : *committed) {
    if (absl::StrContains(list.name, arguments.only)) lists.push_back(list);
  }
  for (uint64_t i = 0; i < arguments.seeds; ++i) lists.push_back(Generate(arguments.seed + i));
  const auto outcomes = RunCampaign(lists, *differences);
  if (!outcomes.ok()) {
    std::fprintf(stderr, "%s\n", outcomes.status().ToString().c_str());
    return 2;
  }
  const int failed = Print(lists, *outcomes, arguments.verbose);
  int stale = 0;
  for (const std::string& name : FindStale(*differences, *outcomes)) {
    if (!arguments.only.empty()) break;
    ++stale;
    std::printf("STALE %s: its list no longer shows it\n", name.c_str());
  }
  return failed + stale == 0 ? 0 : 1;
}

}  // namespace
}  // namespace luna::tcp::differential

int main(int argc, char** argv) { return luna::tcp::differential::Main(argc, argv); }
