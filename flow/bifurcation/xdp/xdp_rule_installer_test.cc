#include "luna/flow/bifurcation/xdp/xdp_rule_installer.h"

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace luna::bifurcation::xdp {
namespace {

// Everything else needs privileges: see xdp_rule_installer_root_test.cc.
TEST(XdpRuleInstaller, AnUnknownInterfaceIsNamed) {
  const absl::Status status = XdpRuleInstaller::Open({.interface = "no-such-if0"}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(status.message(), ::testing::HasSubstr("no-such-if0"));
}

TEST(XdpRuleInstaller, ModesHaveNames) {
  EXPECT_EQ(ToString(AttachMode::kAuto), "auto");
  EXPECT_EQ(ToString(AttachMode::kNative), "native");
  EXPECT_EQ(ToString(AttachMode::kGeneric), "generic");
}

}  // namespace
}  // namespace luna::bifurcation::xdp
