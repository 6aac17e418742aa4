#include "luna/flow/bifurcation/testing/fake_rule_installer.h"

#include "gtest/gtest.h"

namespace luna::bifurcation {
namespace {

const wire::Ipv4Address kAddress(10, 0, 0, 2);

PortPlan PlanOf(uint16_t port) {
  PortPlanSpec spec;
  spec.listen_ports = {port};
  return PortPlan::Create(spec).value();
}

TEST(FakeRuleInstaller, TrafficFollowsThePlanInForce) {
  FakeRuleInstaller fake;
  EXPECT_FALSE(fake.IsForLuna(kAddress, 8080));
  ASSERT_TRUE(fake.Install(PlanOf(8080)).ok());
  EXPECT_TRUE(fake.IsForLuna(kAddress, 8080));
  ASSERT_TRUE(fake.Install(PlanOf(9090)).ok());
  EXPECT_FALSE(fake.IsForLuna(kAddress, 8080));
  EXPECT_TRUE(fake.IsForLuna(kAddress, 9090));
  ASSERT_TRUE(fake.Remove().ok());
  EXPECT_FALSE(fake.IsForLuna(kAddress, 9090));
  EXPECT_EQ(fake.installs(), 2u);
}

TEST(FakeRuleInstaller, RemoveTwiceIsOneRemoval) {
  FakeRuleInstaller fake;
  ASSERT_TRUE(fake.Install(PlanOf(8080)).ok());
  EXPECT_TRUE(fake.Remove().ok());
  EXPECT_TRUE(fake.Remove().ok());
  EXPECT_EQ(fake.removals(), 1u);
}

TEST(FakeRuleInstaller, AFailureLeavesTheEarlierPlan) {
  FakeRuleInstaller fake;
  ASSERT_TRUE(fake.Install(PlanOf(8080)).ok());
  fake.FailNext(absl::UnavailableError("gone"));
  EXPECT_EQ(fake.Install(PlanOf(9090)).code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(fake.IsForLuna(kAddress, 8080));
  EXPECT_TRUE(fake.Install(PlanOf(9090)).ok()) << "one failure only";
}

TEST(FakeRuleInstaller, ATableThatIsTooSmallRefuses) {
  PortPlanSpec spec;
  spec.listen_ports = {8080, 8081};
  FakeRuleInstaller fake(1);
  EXPECT_EQ(fake.Install(PortPlan::Create(spec).value()).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_FALSE(fake.installed().has_value());
}

}  // namespace
}  // namespace luna::bifurcation
