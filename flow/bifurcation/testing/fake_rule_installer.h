#ifndef LUNA_FLOW_BIFURCATION_TESTING_FAKE_RULE_INSTALLER_H_
#define LUNA_FLOW_BIFURCATION_TESTING_FAKE_RULE_INSTALLER_H_

// FakeRuleInstaller: a RuleInstaller in memory. Remembers the plan in force, answers where a segment would go, and
// fails on demand.

#include <cstddef>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/types/optional.h"
#include "luna/flow/bifurcation/port_plan.h"
#include "luna/flow/bifurcation/rule_installer.h"
#include "luna/net/wire/address.h"

namespace luna::bifurcation {

class FakeRuleInstaller : public RuleInstaller {
 public:
  // A device whose table holds `capacity` rules.
  explicit FakeRuleInstaller(size_t capacity = PortPlan::kMaxRules) : capacity_(capacity) {}

  // ResourceExhausted when the plan has more rules than the table; the status of FailNext once, if set.
  absl::Status Install(const PortPlan& plan) override;
  absl::Status Remove() override;
  std::string name() const override { return "fake"; }

  // The next Install or Remove returns `status` and changes nothing.
  void FailNext(absl::Status status) { fail_next_ = std::move(status); }

  // Where a TCP segment would go now: true is Luna, false is the kernel.
  bool IsForLuna(wire::Ipv4Address address, uint16_t port) const;

  const absl::optional<PortPlan>& installed() const { return installed_; }
  size_t installs() const { return installs_; }
  size_t removals() const { return removals_; }

 private:
  size_t capacity_;
  absl::Status fail_next_;
  absl::optional<PortPlan> installed_;
  size_t installs_ = 0;
  size_t removals_ = 0;
};

}  // namespace luna::bifurcation

#endif  // LUNA_FLOW_BIFURCATION_TESTING_FAKE_RULE_INSTALLER_H_
