#include "luna/apps/runtime/control_plane.h"

#include <sys/epoll.h>

#include "absl/memory/memory.h"
#include "luna/ctrl/netlink/mnl_socket.h"

namespace luna::apps {

absl::StatusOr<std::unique_ptr<ControlPlane>> ControlPlane::Open(int ifindex) {
  auto socket = netlink::MnlSocket::Open(netlink::MirrorGroups());
  if (!socket.ok()) return socket.status();
  auto mirror = netlink::KernelMirror::Create(*std::move(socket), ifindex);
  if (!mirror.ok()) return mirror.status();
  return absl::WrapUnique(new ControlPlane(*std::move(mirror)));
}

absl::Status ControlPlane::Watch(r2c::KernelPoller& poller, std::function<void()> changed) {
  if (absl::Status status = poller.Add(mirror_->fd(), EPOLLIN, this); !status.ok()) return status;
  poller_ = &poller;
  changed_ = std::move(changed);
  return absl::OkStatus();
}

void ControlPlane::Unwatch() {
  if (poller_ != nullptr) poller_->Remove(mirror_->fd()).IgnoreError();
  poller_ = nullptr;
}

void ControlPlane::OnFdReady(uint32_t) {
  const uint64_t before = mirror_->stats().publications;
  mirror_->OnReadable();
  if (mirror_->stats().publications != before) changed_();
}

}  // namespace luna::apps
