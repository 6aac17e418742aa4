#include "luna/flow/bifurcation/port_plan.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <random>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace luna::bifurcation {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const wire::Ipv4Address kA(10, 0, 0, 2);
const wire::Ipv4Address kB(10, 0, 0, 3);

uint32_t Seed() {
  const char* replay = std::getenv("LUNA_TEST_SEED");
  return replay != nullptr ? static_cast<uint32_t>(std::strtoul(replay, nullptr, 0)) : std::random_device()();
}

// An independent count of the prefixes of a range: walk the binary tree from its root.
size_t TreeCount(uint32_t low, uint32_t size, PortRange range) {
  if (range.last < low || range.first >= low + size) return 0;
  if (range.first <= low && low + size - 1 <= range.last) return 1;
  return TreeCount(low, size / 2, range) + TreeCount(low + size / 2, size / 2, range);
}

TEST(DecomposeRange, Table) {
  EXPECT_THAT(DecomposeRange({61440, 65535}), ElementsAre(PortMatch{61440, 0xf000}));
  EXPECT_THAT(DecomposeRange({61440, 63487}), ElementsAre(PortMatch{61440, 0xf800}));
  EXPECT_THAT(DecomposeRange({8080, 8080}), ElementsAre(PortMatch{8080, 0xffff}));
  EXPECT_THAT(DecomposeRange({0, 65535}), ElementsAre(PortMatch{0, 0}));
  EXPECT_THAT(DecomposeRange({65535, 65535}), ElementsAre(PortMatch{65535, 0xffff}));
  EXPECT_THAT(DecomposeRange({5, 10}),
              ElementsAre(PortMatch{5, 0xffff}, PortMatch{6, 0xfffe}, PortMatch{8, 0xfffe}, PortMatch{10, 0xffff}));
  EXPECT_TRUE(DecomposeRange({10, 5}).empty());
  EXPECT_EQ(DecomposeRange({1, 65534}).size(), 30u) << "the worst case";
}

TEST(DecomposeRange, CoversExactlyAndWithTheFewestPrefixes) {
  const uint32_t seed = Seed();
  SCOPED_TRACE(::testing::Message() << "LUNA_TEST_SEED=" << seed);
  std::mt19937 random(seed);
  for (int round = 0; round < 300; ++round) {
    uint16_t first = static_cast<uint16_t>(random()), last = static_cast<uint16_t>(random());
    if (first > last) std::swap(first, last);
    const std::vector<PortMatch> matches = DecomposeRange({first, last});
    ASSERT_EQ(matches.size(), TreeCount(0, 65536, {first, last})) << first << "-" << last;
    for (const PortMatch& m : matches) {
      ASSERT_EQ(m.value & ~m.mask, 0);
      ASSERT_EQ(std::countl_one(m.mask), std::popcount(m.mask)) << "a prefix";
    }
    for (uint32_t port = 0; port < 65536; ++port) {
      const auto hits =
          std::count_if(matches.begin(), matches.end(), [port](const PortMatch& m) { return m.Matches(port); });
      ASSERT_EQ(hits, first <= port && port <= last ? 1 : 0) << first << "-" << last << " port " << port;
    }
  }
}

TEST(PortPlan, TheEmptyPlanIsTheKernels) {
  PortPlan plan;
  EXPECT_TRUE(plan.empty());
  EXPECT_FALSE(plan.Matches(kA, 61440));
  EXPECT_EQ(plan.ToString(), "nothing");
}

TEST(PortPlan, ListenersAndRangesMatch) {
  PortPlanSpec spec;
  spec.listen_ports = {8080, 1234};
  spec.client_ranges = {{61440, 65535}};
  const PortPlan plan = PortPlan::Create(spec).value();
  EXPECT_EQ(plan.rule_count(), 3u);
  for (uint16_t port : {8080, 1234, 61440, 65535, 62000}) EXPECT_TRUE(plan.Matches(kA, port)) << port;
  for (uint16_t port : {8081, 1233, 61439, 22, 0}) EXPECT_FALSE(plan.Matches(kA, port)) << port;
  EXPECT_EQ(plan.ToString(), "tcp to any port 1234; tcp to any port 8080; tcp to any port 61440/0xf000");
}

TEST(PortPlan, AddressesNarrowEveryRule) {
  PortPlanSpec spec;
  spec.addresses = {kA, kB};
  spec.listen_ports = {8080};
  const PortPlan plan = PortPlan::Create(spec).value();
  EXPECT_EQ(plan.rule_count(), 2u);
  EXPECT_TRUE(plan.Matches(kA, 8080));
  EXPECT_TRUE(plan.Matches(kB, 8080));
  EXPECT_FALSE(plan.Matches(wire::Ipv4Address(10, 0, 0, 4), 8080));
  EXPECT_FALSE(plan.Matches(kA, 8081));
  EXPECT_EQ(plan.ToString(), "tcp to 10.0.0.2 port 8080; tcp to 10.0.0.3 port 8080");
}

TEST(PortPlan, AdjacentRangesShareRules) {
  PortPlanSpec spec;
  spec.client_ranges = {{63488, 65535}, {61440, 62463}, {62464, 63487}};
  const PortPlan plan = PortPlan::Create(spec).value();
  ASSERT_EQ(plan.rule_count(), 1u);
  EXPECT_EQ(plan.rules()[0].destination_port, (PortMatch{61440, 0xf000}));
}

TEST(PortPlan, TheListenersHashIsInTheirRulesOnly) {
  PortPlanSpec spec;
  spec.listen_ports = {1234};
  spec.client_ranges = {{61440, 65535}};
  spec.listen_hash_bits = 2;
  const PortPlan plan = PortPlan::Create(spec).value();
  ASSERT_EQ(plan.rule_count(), 2u);
  EXPECT_EQ(plan.rules()[0].source_port_hash_bits, 2);
  EXPECT_EQ(plan.rules()[1].source_port_hash_bits, 0);
  EXPECT_THAT(plan.ToString(), HasSubstr("tcp to any port 1234 by 2 low bits of the source port"));
}

TEST(PortPlan, AListenerInAClientRangeNeedsLeaveAndNoRule) {
  PortPlanSpec spec;
  spec.listen_ports = {61441};
  spec.client_ranges = {{61440, 65535}};
  EXPECT_THAT(PortPlan::Create(spec).status().message(),
              HasSubstr("listening port 61441 lies in client range 61440-65535"));
  spec.allow_listen_in_client_range = true;
  EXPECT_EQ(PortPlan::Create(spec)->rule_count(), 1u);
  spec.listen_hash_bits = 1;
  EXPECT_THAT(PortPlan::Create(spec).status().message(), HasSubstr("cannot be spread"));
}

TEST(PortPlan, Refusals) {
  struct Case {
    const char* why;
    PortPlanSpec spec;
  };
  const Case kCases[] = {
      {"needs a listening port or a client range", {}},
      {"needs a listening port or a client range", {.addresses = {kA}}},
      {"listening port 0 holds port 0", {.listen_ports = {0}}},
      {"listening port 22 holds privileged ports", {.listen_ports = {22}}},
      {"listening port 1023 holds privileged ports", {.listen_ports = {8080, 1023}}},
      {"client range 1000-2000 holds privileged ports", {.client_ranges = {{1000, 2000}}}},
      {"client range 0-2000 holds port 0", {.client_ranges = {{0, 2000}}, .allow_privileged = true}},
      {"client range 5000-4000 is empty", {.client_ranges = {{5000, 4000}}}},
      {"listening port 8080 is given twice", {.listen_ports = {8080, 9090, 8080}}},
      {"client range 4500-4600 overlaps another up to port 5000", {.client_ranges = {{4500, 4600}, {4000, 5000}}}},
      {"client range 5000-6000 overlaps", {.client_ranges = {{4000, 5000}, {5000, 6000}}}},
      {"address 224.0.0.1 is not unicast", {.addresses = {wire::Ipv4Address(224, 0, 0, 1)}, .listen_ports = {8080}}},
      {"address 10.0.0.2 is given twice", {.addresses = {kA, kB, kA}, .listen_ports = {8080}}},
      {"listen_hash_bits is 9", {.listen_ports = {8080}, .listen_hash_bits = 9}},
  };
  for (const Case& c : kCases) {
    const absl::StatusOr<PortPlan> plan = PortPlan::Create(c.spec);
    ASSERT_FALSE(plan.ok()) << c.why;
    EXPECT_EQ(plan.status().code(), absl::StatusCode::kInvalidArgument) << c.why;
    EXPECT_THAT(plan.status().message(), HasSubstr(c.why));
  }
}

TEST(PortPlan, LeaveForPrivilegedPorts) {
  PortPlanSpec spec;
  spec.listen_ports = {80};
  spec.allow_privileged = true;
  EXPECT_TRUE(PortPlan::Create(spec)->Matches(kA, 80));
}

TEST(PortPlan, TooManyRules) {
  PortPlanSpec spec;
  for (uint16_t i = 0; i < 1025; ++i) spec.listen_ports.push_back(static_cast<uint16_t>(2000 + i));
  EXPECT_EQ(PortPlan::Create(spec).status().code(), absl::StatusCode::kResourceExhausted);
  spec.listen_ports.pop_back();
  EXPECT_EQ(PortPlan::Create(spec)->rule_count(), PortPlan::kMaxRules);
  spec.addresses = {kA, kB};
  EXPECT_THAT(PortPlan::Create(spec).status().message(), HasSubstr("needs 2048 rules, at most 1024"));
}

}  // namespace
}  // namespace luna::bifurcation
