#include "luna/flow/bifurcation/testing/fake_rule_installer.h"

#include "absl/strings/str_cat.h"

namespace luna::bifurcation {

absl::Status FakeRuleInstaller::Install(const PortPlan& plan) {
  if (!fail_next_.ok()) return std::exchange(fail_next_, absl::OkStatus());
  if (plan.rule_count() > capacity_) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the plan has ", plan.rule_count(), " rules, the device takes ", capacity_));
  }
  installed_ = plan;
  ++installs_;
  return absl::OkStatus();
}

absl::Status FakeRuleInstaller::Remove() {
  if (!fail_next_.ok()) return std::exchange(fail_next_, absl::OkStatus());
  if (installed_.has_value()) ++removals_;
  installed_.reset();
  return absl::OkStatus();
}

bool FakeRuleInstaller::IsForLuna(wire::Ipv4Address address, uint16_t port) const {
  return installed_.has_value() && installed_->Matches(address, port);
}

}  // namespace luna::bifurcation
