#include "luna/apps/echo/core_distance.h"

#include <sched.h>

#include <vector>

#include "absl/strings/match.h"
#include "gtest/gtest.h"

namespace luna::apps {
namespace {

std::vector<int> AllowedCpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  EXPECT_EQ(sched_getaffinity(0, sizeof(set), &set), 0);
  std::vector<int> cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(static_cast<size_t>(cpu), &set)) cpus.push_back(cpu);
  }
  return cpus;
}

TEST(CoreDistance, BetweenTwoCpus) {
  const std::vector<int> cpus = AllowedCpus();
  if (cpus.size() < 2) GTEST_SKIP() << "this process may run on one CPU only";
  const auto distance = CoreDistanceNs(cpus.front(), cpus.back(), 100);
  ASSERT_TRUE(distance.ok()) << distance.status();
  EXPECT_GT(*distance, 1.0) << "no two cores are that near";
}

TEST(CoreDistance, NeedsTwoCpusThatThereAre) {
  const int cpu = AllowedCpus().front();
  EXPECT_TRUE(absl::StrContains(CoreDistanceNs(cpu, cpu).status().message(), "twice the same CPU"));
  for (const int none : {-1, CPU_SETSIZE - 1, CPU_SETSIZE}) {
    const auto distance = CoreDistanceNs(cpu, none);
    EXPECT_EQ(distance.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_TRUE(absl::StrContains(distance.status().message(), std::to_string(none))) << distance.status();
  }
}

}  // namespace
}  // namespace luna::apps
