// Event lists against Luna and the kernel of this machine, in network namespaces of the test's own. Needs root; skipped
// by name without.
//
// LUNA_TEST_SEED: the first of the random lists; LUNA_TEST_SEEDS: how many.

#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "gtest/gtest.h"
#include "luna/net/tcp/testing/differential/campaign.h"
#include "luna/net/tcp/testing/differential/difference.h"
#include "luna/net/tcp/testing/differential/event.h"
#include "luna/net/tcp/testing/differential/generator.h"

namespace luna::tcp::differential {
namespace {

constexpr char kFolder[] = "net/tcp/testing/differential/";

std::string ReadFile(const std::string& name) {
  std::ifstream file(kFolder + name);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  uint64_t value = 0;
  const char* text = std::getenv(name);
  return text != nullptr && absl::SimpleAtoi(text, &value) ? value : otherwise;
}

class DifferentialRootTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root: makes network namespaces and TUN devices; run tools/test as root";
    if (access("/dev/net/tun", F_OK) != 0) GTEST_SKIP() << "needs /dev/net/tun";
    auto differences = ParseDifferences(ReadFile("differences.txt"));
    ASSERT_TRUE(differences.ok()) << differences.status();
    differences_ = *std::move(differences);
  }

  // No list may differ but as is listed.
  std::vector<Outcome> RunAll(const std::vector<EventList>& lists) {
    auto outcomes = RunCampaign(lists, differences_);
    EXPECT_TRUE(outcomes.ok()) << outcomes.status();
    if (!outcomes.ok()) return {};
    for (size_t i = 0; i < lists.size(); ++i) {
      const Outcome& outcome = (*outcomes)[i];
      EXPECT_EQ(outcome.failure, "") << "a difference that differences.txt does not have:\n"
                                     << outcome.failure << "of this list:\n"
                                     << lists[i].ToString();
    }
    return *std::move(outcomes);
  }

  std::vector<Difference> differences_;
};

TEST_F(DifferentialRootTest, CommittedLists) {
  const auto lists = ParseEventLists(ReadFile("lists.txt"));
  ASSERT_TRUE(lists.ok()) << lists.status();
  const std::vector<Outcome> outcomes = RunAll(*lists);
  const std::vector<std::string> stale = FindStale(differences_, outcomes);
  EXPECT_TRUE(stale.empty()) << "no longer to be seen, take them out of differences.txt: "
                             << absl::StrJoin(stale, ", ");
}

TEST_F(DifferentialRootTest, RandomLists) {
  const uint64_t seed = FromEnvironment("LUNA_TEST_SEED", 1);
  const uint64_t seeds = FromEnvironment("LUNA_TEST_SEEDS", 500);
  std::vector<EventList> lists;
  for (uint64_t i = 0; i < seeds; ++i) lists.push_back(Generate(seed + i));
  SCOPED_TRACE("a list \"seed-N\" alone: LUNA_TEST_SEED=N LUNA_TEST_SEEDS=1");
  RunAll(lists);
}

}  // namespace
}  // namespace luna::tcp::differential
