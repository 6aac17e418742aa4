// The mirror and the real kernel, in a network namespace of the test's own: needs root (CAP_SYS_ADMIN, CAP_NET_ADMIN)
// and iproute2. The only waits are for the kernel's own notifications.

#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "glog/logging.h"
#include "gtest/gtest.h"
#include "luna/ctrl/netlink/mirror.h"
#include "luna/ctrl/netlink/mnl_socket.h"

namespace luna::netlink {
namespace {

using wire::IpAddress;
using wire::Ipv4Address;

void Shell(const std::string& command) { ASSERT_EQ(std::system(command.c_str()), 0) << command; }

// A socket of ours that stands in front of a real one and says once that notifications were lost.
class LossySocket : public Socket {
 public:
  explicit LossySocket(std::unique_ptr<Socket> inner) : inner_(std::move(inner)) {}
  // Swallows everything that waits and reports an overflow instead.
  void Lose() { lose_ = true; }

  absl::Status Send(absl::Span<const uint8_t> message) override { return inner_->Send(message); }
  absl::StatusOr<size_t> Receive(absl::Span<uint8_t> buffer) override {
    if (!std::exchange(lose_, false)) return inner_->Receive(buffer);
    for (auto n = inner_->Receive(buffer); n.ok() && *n > 0;) n = inner_->Receive(buffer);
    return absl::ResourceExhaustedError("lost on purpose");
  }
  absl::Status WaitReadable(Duration timeout) override { return inner_->WaitReadable(timeout); }
  int fd() const override { return inner_->fd(); }

 private:
  std::unique_ptr<Socket> inner_;
  bool lose_ = false;
};

// A process in a network namespace of its own, which lives until the destructor: somebody for the kernel to talk to.
class FarNamespace {
 public:
  FarNamespace() {
    int ready[2];
    PCHECK(pipe(ready) == 0);
    pid_ = fork();
    PCHECK(pid_ >= 0);
    if (pid_ == 0) {
      const char ok = unshare(CLONE_NEWNET) == 0;
      (void)!write(ready[1], &ok, 1);
      while (true) pause();
    }
    char ok = 0;
    PCHECK(read(ready[0], &ok, 1) == 1);
    CHECK(ok) << "needs root";
    close(ready[0]);
    close(ready[1]);
  }
  ~FarNamespace() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  std::string pid() const { return std::to_string(pid_); }
  void ShellThere(const std::string& command) { Shell("nsenter --target=" + pid() + " --net " + command); }

 private:
  pid_t pid_;
};

// luna0 (10.77.0.2/24, ours) -- far0 (10.77.0.1/24, in a namespace beyond).
class MirrorRootTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (geteuid() == 0) {
      PCHECK(unshare(CLONE_NEWNET) == 0);
      Shell("ip link set lo up");
    }
  }

  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root";
    far_ = std::make_unique<FarNamespace>();
    Shell("ip link add luna0 address 02:00:00:00:00:02 type veth peer name far0 address 02:00:00:00:00:01");
    Shell("ip link set far0 netns " + far_->pid());
    far_->ShellThere("ip address add 10.77.0.1/24 dev far0");
    far_->ShellThere("ip link set far0 up");
    Shell("ip link set luna0 mtu 1400 up");
    Shell("ip address add 10.77.0.2/24 dev luna0");
    const unsigned int ifindex = if_nametoindex("luna0");
    ASSERT_NE(ifindex, 0u);
    auto socket = MnlSocket::Open(MirrorGroups());
    ASSERT_TRUE(socket.ok()) << socket.status();
    auto lossy = std::make_unique<LossySocket>(std::move(*socket));
    socket_ = lossy.get();
    auto mirror = KernelMirror::Create(std::move(lossy), static_cast<int>(ifindex));
    ASSERT_TRUE(mirror.ok()) << mirror.status();
    mirror_ = std::move(*mirror);
  }
  void TearDown() override {
    if (geteuid() != 0) return;
    mirror_.reset();
    Shell("ip link del luna0");
    far_.reset();
  }

  // Lets the mirror read until `done`, at most five seconds.
  bool Until(const std::function<bool()>& done) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    while (!done()) {
      if (std::chrono::steady_clock::now() > end) return false;
      (void)socket_->WaitReadable(Duration::Milliseconds(100));
      mirror_->OnReadable();
    }
    return true;
  }
  // The state of a neighbour as text, so that failures read well.
  std::string Neighbour(const char* address) {
    const auto table = mirror_->neighbours()->Get();
    const ip::Neighbour* found = table->Find(*IpAddress::Parse(address));
    if (found == nullptr) return "unknown";
    return found->usable() ? found->mac.ToString() : "unresolved";
  }
  std::string Route(const char* destination) {
    const auto table = mirror_->routes()->Get();
    const ip::Route* route = table->Lookup(*IpAddress::Parse(destination));
    return route == nullptr ? "none" : route->ToString();
  }

  std::unique_ptr<FarNamespace> far_;
  LossySocket* socket_ = nullptr;
  std::unique_ptr<KernelMirror> mirror_;
};

TEST_F(MirrorRootTest, DescribesTheInterface) {
  const auto info = mirror_->link()->Get();
  EXPECT_EQ(info->name, "luna0");
  EXPECT_EQ(info->mac.ToString(), "02:00:00:00:00:02");
  EXPECT_EQ(info->mtu, 1400u);
  ASSERT_EQ(info->addresses.size(), 1u);
  EXPECT_EQ(info->addresses[0].ToString(), "10.77.0.2/24");
}

TEST_F(MirrorRootTest, FollowsRoutesNeighboursAddressesAndTheLink) {
  EXPECT_EQ(Route("10.77.0.9"), "10.77.0.0/24 source 10.77.0.2");
  EXPECT_EQ(Route("192.0.2.1"), "none");

  Shell("ip route add default via 10.77.0.254 dev luna0 mtu 1300");
  EXPECT_TRUE(Until([&] { return Route("192.0.2.1") == "0.0.0.0/0 via 10.77.0.254 mtu 1300"; })) << Route("192.0.2.1");
  Shell("ip route replace default via 10.77.0.253 dev luna0");
  EXPECT_TRUE(Until([&] { return Route("192.0.2.1") == "0.0.0.0/0 via 10.77.0.253"; })) << Route("192.0.2.1");
  Shell("ip route add 192.0.2.0/25 via 10.77.0.3 metric 20");
  EXPECT_TRUE(Until([&] { return Route("192.0.2.1") == "192.0.2.0/25 via 10.77.0.3 metric 20"; }));
  Shell("ip route del 192.0.2.0/25");
  EXPECT_TRUE(Until([&] { return Route("192.0.2.1") == "0.0.0.0/0 via 10.77.0.253"; }));
  Shell("ip route replace default dev lo");
  EXPECT_TRUE(Until([&] { return Route("192.0.2.1") == "none"; })) << Route("192.0.2.1");

  Shell("ip neigh add 10.77.0.5 lladdr 02:00:00:00:00:55 dev luna0");
  EXPECT_TRUE(Until([&] { return Neighbour("10.77.0.5") == "02:00:00:00:00:55"; }));
  Shell("ip neigh replace 10.77.0.5 lladdr 02:00:00:00:00:56 dev luna0");
  EXPECT_TRUE(Until([&] { return Neighbour("10.77.0.5") == "02:00:00:00:00:56"; }));
  Shell("ip neigh del 10.77.0.5 dev luna0");
  EXPECT_TRUE(Until([&] { return Neighbour("10.77.0.5") != "02:00:00:00:00:56"; })) << Neighbour("10.77.0.5");

  Shell("ip address add 10.78.0.2/24 dev luna0");
  EXPECT_TRUE(Until([&] { return mirror_->link()->Get()->addresses.size() == 2; }));
  EXPECT_TRUE(Until([&] { return Route("10.78.0.9") == "10.78.0.0/24 source 10.78.0.2"; }));
  Shell("ip address del 10.78.0.2/24 dev luna0");
  EXPECT_TRUE(Until([&] { return mirror_->link()->Get()->addresses.size() == 1; }));
  EXPECT_TRUE(Until([&] { return Route("10.78.0.9") == "none"; }));

  Shell("ip link set luna0 mtu 1350");
  EXPECT_TRUE(Until([&] { return mirror_->link()->Get()->mtu == 1350; }));
  Shell("ip link set luna0 down");
  EXPECT_TRUE(Until([&] { return !mirror_->link()->Get()->up && Route("10.77.0.9") == "none"; })) << Route("10.77.0.9");
  Shell("ip link set luna0 up");
  EXPECT_TRUE(Until([&] { return mirror_->link()->Get()->up && Route("10.77.0.9") != "none"; }));
  EXPECT_EQ(mirror_->stats().malformed, 0u);
}

TEST_F(MirrorRootTest, CatchesUpAfterAnOverflow) {
  Shell("ip neigh add 10.77.0.5 lladdr 02:00:00:00:00:55 dev luna0");
  Shell("ip route add 192.0.2.0/24 via 10.77.0.3");
  socket_->Lose();
  EXPECT_TRUE(Until([&] { return Neighbour("10.77.0.5") == "02:00:00:00:00:55" && Route("192.0.2.1") != "none"; }));
  EXPECT_EQ(mirror_->stats().overflows, 1u);
}

TEST_F(MirrorRootTest, HasTheKernelResolveANeighbour) {
  // Nobody is there: the kernel asks (the entry appears), and may fail.
  ASSERT_TRUE(mirror_->RequestResolve(Ipv4Address(10, 77, 0, 9)).ok());
  EXPECT_TRUE(Until([&] { return Neighbour("10.77.0.9") == "unresolved"; })) << Neighbour("10.77.0.9");
  EXPECT_EQ(mirror_->stats().refused, 0u);
  ASSERT_TRUE(mirror_->RequestResolve(Ipv4Address(10, 77, 0, 1)).ok());
  EXPECT_TRUE(Until([&] { return Neighbour("10.77.0.1") == "02:00:00:00:00:01"; })) << Neighbour("10.77.0.1");
}

TEST_F(MirrorRootTest, SaysThatThereIsNoSuchLink) {
  auto socket = MnlSocket::Open(MirrorGroups());
  ASSERT_TRUE(socket.ok());
  EXPECT_EQ(KernelMirror::Create(std::move(*socket), 9999).status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace luna::netlink
