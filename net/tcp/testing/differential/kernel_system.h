#ifndef LUNA_NET_TCP_TESTING_DIFFERENTIAL_KERNEL_SYSTEM_H_
#define LUNA_NET_TCP_TESTING_DIFFERENTIAL_KERNEL_SYSTEM_H_

// The kernel of this machine as a System: sockets in a network namespace, whose only link is a TUN device that is ours.
// Time is real; packets are answered while they are injected, but for what timers do.
//
// The thread that calls Create() moves into a namespace of its own and stays there; both end with it. Needs root.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "luna/net/tcp/testing/differential/system.h"
#include "luna/net/wire/address.h"
#include "luna/sched/clock/time.h"

namespace luna::tcp::differential {

class KernelSystem final : public System {
 public:
  // `host`/24 becomes the address of the link. PermissionDenied without root, Unavailable without /dev/net/tun.
  static absl::StatusOr<std::unique_ptr<KernelSystem>> Create(const wire::Ipv4Address& host);
  ~KernelSystem() override;

  absl::Status Begin(const wire::Endpoint& host, const wire::Endpoint& peer) override;
  absl::Status SetSysctl(absl::string_view name, absl::string_view value) override;
  void Inject(absl::string_view packet) override;
  std::vector<std::string> Advance(Duration duration) override;
  std::string State() override;
  std::string End() override;

  CallResult Socket(int domain, int type, int protocol) override;
  CallResult Bind(int fd, const sockaddr* address, socklen_t length) override;
  CallResult Listen(int fd, int backlog) override;
  CallResult Accept(int fd, int flags) override;
  CallResult Connect(int fd, const sockaddr* address, socklen_t length) override;
  CallResult Send(int fd, const void* buffer, size_t size, int flags) override;
  CallResult Recv(int fd, void* buffer, size_t size, int flags) override;
  CallResult Shutdown(int fd, int how) override;
  CallResult Close(int fd) override;
  CallResult SetSockOpt(int fd, int level, int name, const void* value, socklen_t length) override;
  CallResult GetSockOpt(int fd, int level, int name, void* value, socklen_t* length) override;
  CallResult Poll(int fd) override;

 private:
  explicit KernelSystem(int tun) : tun_(tun) {}

  const int tun_;
  wire::Endpoint host_;
  wire::Endpoint peer_;
  std::string trouble_;  // what the device said that it should not have
};

}  // namespace luna::tcp::differential

#endif  // LUNA_NET_TCP_TESTING_DIFFERENTIAL_KERNEL_SYSTEM_H_
