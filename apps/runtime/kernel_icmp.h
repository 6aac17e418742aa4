#ifndef LUNA_APPS_RUNTIME_KERNEL_ICMP_H_
#define LUNA_APPS_RUNTIME_KERNEL_ICMP_H_

// KernelIcmp: ICMP errors about Luna's segments, on a link that is shared with the kernel.
//
// There ICMP goes to the kernel, which knows no socket for our connections and so drops the errors about them; nor does
// it note a smaller path MTU for a connection that it does not have, or tell anybody of those it notes for its own
// (rtnetlink has no notification for them). It copies every ICMP message to raw sockets, though; this is one.
//
// Errors about the kernel's own connections come, too; they are told like the others, and the stack counts them as
// kTcpNoConnection. Thread: one, that of the poller.

#include <cstdint>
#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "luna/net/tcp/icmp.h"
#include "luna/sched/r2c/kernel_poller.h"

namespace luna::apps {

class KernelIcmp final : public r2c::FdHandler {
 public:
  using Heard = std::function<void(const tcp::IcmpError&)>;

  // Opens a raw socket in the caller's network namespace: destination unreachable, time exceeded and parameter problem
  // only. Needs CAP_NET_RAW (PermissionDenied). `poller` outlives this.
  static absl::StatusOr<std::unique_ptr<KernelIcmp>> Open(r2c::KernelPoller& poller, Heard heard);

  // On a socket that is open already: one IPv4 datagram per message. Takes `fd`.
  static absl::StatusOr<std::unique_ptr<KernelIcmp>> Watch(int fd, r2c::KernelPoller& poller, Heard heard);
  ~KernelIcmp() override;
  KernelIcmp(const KernelIcmp&) = delete;
  KernelIcmp& operator=(const KernelIcmp&) = delete;

  // Reads a bounded number of messages and tells those that are errors about TCP, in order.
  void OnFdReady(uint32_t events) override;

 private:
  KernelIcmp(int fd, r2c::KernelPoller& poller, Heard heard);

  const int fd_;
  r2c::KernelPoller& poller_;
  const Heard heard_;
};

}  // namespace luna::apps

#endif  // LUNA_APPS_RUNTIME_KERNEL_ICMP_H_
