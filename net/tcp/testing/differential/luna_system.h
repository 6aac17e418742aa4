#ifndef LUNA_NET_TCP_TESTING_DIFFERENTIAL_LUNA_SYSTEM_H_
#define LUNA_NET_TCP_TESTING_DIFFERENTIAL_LUNA_SYSTEM_H_

// Luna as a System: a VirtualHost of the "linux-test" profile, made anew for each list. One thread.

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "luna/net/tcp/testing/differential/system.h"
#include "luna/net/tcp/testing/sockets/virtual_host.h"
#include "luna/net/wire/address.h"
#include "luna/sched/clock/time.h"

namespace luna::tcp::differential {

class LunaSystem final : public System {
 public:
  absl::Status Begin(const wire::Endpoint& host, const wire::Endpoint& peer) override;
  absl::Status SetSysctl(absl::string_view name, absl::string_view value) override;
  void Inject(absl::string_view packet) override { host_->Inject(packet); }
  std::vector<std::string> Advance(Duration duration) override;
  std::string State() override;
  std::string End() override;

  CallResult Socket(int domain, int type, int protocol) override { return host_->Socket(domain, type, protocol); }
  CallResult Bind(int fd, const sockaddr* address, socklen_t length) override {
    return host_->Bind(fd, address, length);
  }
  CallResult Listen(int fd, int backlog) override { return host_->Listen(fd, backlog); }
  CallResult Accept(int fd, int flags) override { return host_->Accept(fd, nullptr, nullptr, flags); }
  CallResult Connect(int fd, const sockaddr* address, socklen_t length) override {
    return host_->Connect(fd, address, length);
  }
  CallResult Send(int fd, const void* buffer, size_t size, int flags) override {
    return host_->Send(fd, buffer, size, flags);
  }
  CallResult Recv(int fd, void* buffer, size_t size, int flags) override {
    return host_->Recv(fd, buffer, size, flags);
  }
  CallResult Shutdown(int fd, int how) override { return host_->Shutdown(fd, how); }
  CallResult Close(int fd) override { return host_->Close(fd); }
  CallResult SetSockOpt(int fd, int level, int name, const void* value, socklen_t length) override {
    return host_->SetSockOpt(fd, level, name, value, length);
  }
  CallResult GetSockOpt(int fd, int level, int name, void* value, socklen_t* length) override {
    return host_->GetSockOpt(fd, level, name, value, length);
  }
  CallResult Poll(int fd) override;

 private:
  std::unique_ptr<testing::VirtualHost> host_;
  wire::FourTuple tuple_;
};

}  // namespace luna::tcp::differential

#endif  // LUNA_NET_TCP_TESTING_DIFFERENTIAL_LUNA_SYSTEM_H_
