#include "luna/apps/runtime/port_reservation.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace luna::apps {
namespace {

// A kernel listener on a port of the kernel's choice.
class KernelListener {
 public:
  KernelListener() : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in name{};
    name.sin_family = AF_INET;
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&name), sizeof(name)), 0);
    EXPECT_EQ(listen(fd_, 1), 0);
    socklen_t size = sizeof(name);
    EXPECT_EQ(getsockname(fd_, reinterpret_cast<sockaddr*>(&name), &size), 0);
    port_ = ntohs(name.sin_port);
  }
  ~KernelListener() { Stop(); }
  void Stop() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }
  uint16_t port() const { return port_; }

 private:
  int fd_;
  uint16_t port_ = 0;
};

bifurcation::PortPlan PlanFor(uint16_t port) {
  bifurcation::PortPlanSpec spec;
  spec.addresses = {wire::Ipv4Address::Loopback()};
  spec.listen_ports = {port};
  spec.client_ranges = {{61440, 65535}};
  spec.allow_listen_in_client_range = true;
  auto plan = bifurcation::PortPlan::Create(spec);
  EXPECT_TRUE(plan.ok()) << plan.status();
  return *plan;
}

TEST(PortReservation, FindsAPortThatAKernelProgramHas) {
  KernelListener listener;
  PortReservation ports;
  const absl::Status status = ports.Reserve(PlanFor(listener.port()));
  EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_TRUE(absl::StrContains(status.message(), absl::StrCat("127.0.0.1:", listener.port()))) << status;
}

TEST(PortReservation, KeepsAPortUntilItGoes) {
  KernelListener listener;
  const uint16_t port = listener.port();
  listener.Stop();
  {
    PortReservation ports;
    ASSERT_TRUE(ports.Reserve(PlanFor(port)).ok());
    ASSERT_TRUE(ports.Reserve(PlanFor(port)).ok());  // again, as each Listen() installs the whole plan
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in name{};
    name.sin_family = AF_INET;
    name.sin_port = htons(port);
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_NE(bind(fd, reinterpret_cast<sockaddr*>(&name), sizeof(name)), 0) << "somebody else could listen there";
    close(fd);
  }
  PortReservation again;
  EXPECT_TRUE(again.Reserve(PlanFor(port)).ok());
}

}  // namespace
}  // namespace luna::apps
