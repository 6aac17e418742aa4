#ifndef LUNA_APPS_RUNTIME_CONTROL_PLANE_H_
#define LUNA_APPS_RUNTIME_CONTROL_PLANE_H_

// ControlPlane: the kernel's side of a link that Luna shares with it: addresses, routes and neighbours by netlink.
// Thread: one, that of the first worker. The snapshots may be read by all.

#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "luna/ctrl/netlink/mirror.h"
#include "luna/sched/r2c/kernel_poller.h"
#include "luna/sched/r2c/mailbox.h"
#include "luna/sched/r2c/worker.h"

namespace luna::apps {

class ControlPlane final : public r2c::FdHandler, public r2c::NeighbourResolver {
 public:
  // Has read everything once when it returns. Errors: as netlink::KernelMirror::Create.
  static absl::StatusOr<std::unique_ptr<ControlPlane>> Open(int ifindex);
  ~ControlPlane() override { Unwatch(); }

  // Follows changes from now on; `changed` is called after each. `poller` lives until Unwatch().
  absl::Status Watch(r2c::KernelPoller& poller, std::function<void()> changed);
  void Unwatch();

  void OnFdReady(uint32_t events) override;
  // Fire and forget: what the kernel refuses is counted in the mirror's statistics.
  void Resolve(const wire::IpAddress& next_hop) override { mirror_->RequestResolve(next_hop).IgnoreError(); }
  const netlink::KernelMirror& mirror() const { return *mirror_; }

 private:
  explicit ControlPlane(std::unique_ptr<netlink::KernelMirror> mirror) : mirror_(std::move(mirror)) {}

  const std::unique_ptr<netlink::KernelMirror> mirror_;
  r2c::KernelPoller* poller_ = nullptr;
  std::function<void()> changed_;
};

// How workers on other threads reach it: by the first worker's mailbox. A full one loses the request, and Egress asks
// again.
class RemoteResolver final : public r2c::NeighbourResolver {
 public:
  // Both outlive this; messages under way keep neither.
  RemoteResolver(ControlPlane& plane, r2c::Mailbox& mailbox) : plane_(plane), mailbox_(mailbox) {}
  void Resolve(const wire::IpAddress& next_hop) override {
    (void)mailbox_.Post([&plane = plane_, next_hop](r2c::Worker&) { plane.Resolve(next_hop); });
  }

 private:
  ControlPlane& plane_;
  r2c::Mailbox& mailbox_;
};

}  // namespace luna::apps

#endif  // LUNA_APPS_RUNTIME_CONTROL_PLANE_H_
