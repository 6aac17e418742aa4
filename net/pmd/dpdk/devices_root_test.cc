// Drivers that share a link with the kernel (af_packet, af_xdp, tap), against the kernel of this machine, in a network
// namespace of the test's own. Needs root; skipped by name without.

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "luna/net/pmd/dpdk/eal.h"
#include "luna/net/pmd/dpdk/port.h"
#include "luna/net/pmd/dpdk/testing/frames.h"
#include "luna/net/pmd/packet_io.h"
#include "luna/net/wire/address.h"
#include "luna/sched/clock/time.h"

// net_af_xdp (DPDK 22.11) never deletes its UMEM, which is also why its queue stays taken (see port.h).
extern "C" const char* __lsan_default_suppressions() { return "leak:xsk_umem__create\n"; }

namespace luna::pmd::dpdk {
namespace {

using ::testing::HasSubstr;

constexpr uint16_t kEtherType = 0x88b5;  // IEEE 802 local experimental: the kernel takes no interest
constexpr uid_t kNobody = 65534;
// Only a bound for a kernel that never answers.
constexpr std::chrono::seconds kPatience(10);

bool Shell(const std::string& command) { return system((command + " >/dev/null 2>&1").c_str()) == 0; }

// A namespace without neighbours of its own accord: no IPv6.
bool MakeNamespace() {
  if (unshare(CLONE_NEWNET) != 0) return false;
  const int fd = open("/proc/sys/net/ipv6/conf/default/disable_ipv6", O_WRONLY);
  if (fd >= 0) {
    const bool done = write(fd, "1", 1) == 1;
    close(fd);
    if (!done) return false;
  }
  return Shell("ip link show");
}

class EalEnvironment : public testing::Environment {
 public:
  void SetUp() override {
    if (geteuid() != 0 || !MakeNamespace()) return;
    // After unshare: DPDK's threads must live in the same namespace.
    absl::StatusOr<std::unique_ptr<Eal>> eal = Eal::Init({.huge = Huge::kOff, .memory_mb = 96});
    ASSERT_TRUE(eal.ok()) << eal.status();
    eal_ = *std::move(eal);
  }
  void TearDown() override { eal_.reset(); }
  Eal* eal() { return eal_.get(); }

 private:
  std::unique_ptr<Eal> eal_;
};
EalEnvironment* const environment = new EalEnvironment;
const auto* const kRegistered = testing::AddGlobalTestEnvironment(environment);

// The kernel's end of a wire.
class RawSocket {
 public:
  explicit RawSocket(const std::string& interface)
      : fd_(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(kEtherType))) {
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(kEtherType);
    address.sll_ifindex = static_cast<int>(if_nametoindex(interface.c_str()));
    good_ = fd_ >= 0 && bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
    const int bytes = 8 << 20;
    setsockopt(fd_, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
  }
  ~RawSocket() { close(fd_); }
  bool good() const { return good_; }
  bool Send(const std::string& frame) {
    return send(fd_, frame.data(), frame.size(), 0) == static_cast<ssize_t>(frame.size());
  }
  // Empty when nothing comes.
  std::string Receive() {
    pollfd p{fd_, POLLIN, 0};
    if (poll(&p, 1, static_cast<int>(std::chrono::milliseconds(kPatience).count())) != 1) return "";
    std::string frame(65536, '\0');
    const ssize_t n = recv(fd_, frame.data(), frame.size(), 0);
    frame.resize(n < 0 ? 0 : static_cast<size_t>(n));
    return frame;
  }

 private:
  int fd_;
  bool good_;
};

// To everybody, so that no address is in the way.
std::string Frame(uint32_t number, uint32_t bytes) {
  std::string frame = Pattern(number, bytes);
  memset(frame.data(), 0xff, 6);
  memcpy(frame.data() + 6, "\x02\x00\x00\x00\x00\x77\x88\xb5", 8);
  return frame;
}

// Frames of ours that come within kPatience.
Frames Await(PacketIo& io, size_t count) {
  Frames frames;
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (frames.size() < count && std::chrono::steady_clock::now() < deadline) {
    for (std::string& frame : ReceiveAll(io, 64)) {
      if (frame.size() > 14 && frame.compare(12, 2, "\x88\xb5") == 0) frames.push_back(std::move(frame));
    }
    io.Reclaim();
  }
  return frames;
}

class DevicesRootTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root: makes a network namespace, veth pairs and TAP devices";
    if (environment->eal() == nullptr) GTEST_SKIP() << "needs CAP_NET_ADMIN, network namespaces and iproute2";
  }
  void TearDown() override { Shell("ip link del lv0"); }

  // lv0 is for Luna, lv1 for the test. One queue each (net_af_xdp takes what is on queue 0 only), no offloads.
  void MakeVeth(uint32_t mtu = 1500) {
    ASSERT_TRUE(
        Shell("ip link add lv0 numtxqueues 1 numrxqueues 1 type veth peer name lv1 numtxqueues 1 numrxqueues 1"));
    ASSERT_TRUE(Shell(absl::StrCat("ip link set lv0 mtu ", mtu, " up && ip link set lv1 mtu ", mtu, " up")));
  }
  absl::StatusOr<std::unique_ptr<Port>> Open(const std::string& devargs, uint32_t mtu = 1500) {
    return Port::Open(*environment->eal(), {.devargs = devargs, .slabs = {memory_.slab.get()}, .mtu = mtu});
  }

  // Both ways, in bursts that every driver's ring holds.
  void Exchange(PacketIo& io, const std::string& kernel_end, uint32_t frames, uint32_t most_bytes) {
    RawSocket kernel(kernel_end);
    ASSERT_TRUE(kernel.good());
    const auto bytes = [&](uint32_t i) { return 60 + i * 7919 % (most_bytes - 59); };
    for (uint32_t done = 0; done < frames; done += 50) {
      Frames sent;
      for (uint32_t i = done; i < done + 50; ++i) {
        sent.push_back(Frame(i, bytes(i)));
        ASSERT_TRUE(kernel.Send(sent.back())) << strerror(errno);
      }
      const Frames got = Await(io, 50);
      ASSERT_EQ(got.size(), 50u) << done;
      ASSERT_TRUE(got == sent) << done;
    }
    for (uint32_t i = 0; i < frames; ++i) {
      const std::string frame = Frame(i, bytes(i));
      Packet packet = MakePacket(*memory_.slab, frame, 1 + i % 4);
      ASSERT_FALSE(packet.data.empty());
      while (io.TransmitBurst(absl::MakeSpan(&packet, 1)) == 0) io.Reclaim();
      ASSERT_TRUE(kernel.Receive() == frame) << i;
    }
    io.Reclaim();
  }

  Memory memory_{32};
};

wire::MacAddress MacOf(const std::string& interface) {
  const int fd = socket(AF_INET, SOCK_DGRAM, 0);
  ifreq request{};
  memcpy(request.ifr_name, interface.c_str(), interface.size());
  ioctl(fd, SIOCGIFHWADDR, &request);
  close(fd);
  return wire::MacAddress::FromBytes(reinterpret_cast<const uint8_t*>(request.ifr_hwaddr.sa_data));
}

TEST_F(DevicesRootTest, AfPacket) {
  MakeVeth();
  for (int round = 0; round < 2; ++round) {
    absl::StatusOr<std::unique_ptr<Port>> port = Open("net_af_packet0,iface=lv0");
    ASSERT_TRUE(port.ok()) << port.status();
    PacketIo& io = (*port)->queue(0);
    EXPECT_EQ(io.capabilities().mac, MacOf("lv0"));
    EXPECT_EQ(io.capabilities().kernel_ifindex, static_cast<int>(if_nametoindex("lv0")));
    EXPECT_TRUE(io.link_up());
    Exchange(io, "lv1", 1000, 1514);
    EXPECT_EQ(io.stats().bytes_copied_rx, 0u);
    EXPECT_EQ(io.stats().bytes_copied_tx, 0u);
    EXPECT_EQ(io.stats().tx_dropped, 0u);
    port->reset();
    EXPECT_EQ(memory_.outstanding(), 0u);
  }
}

TEST_F(DevicesRootTest, AfPacketWithJumboFrames) {
  MakeVeth(9000);
  absl::StatusOr<std::unique_ptr<Port>> port = Open("net_af_packet0,iface=lv0", 9000);
  ASSERT_TRUE(port.ok()) << port.status();
  Exchange((*port)->queue(0), "lv1", 500, 9014);
}

TEST_F(DevicesRootTest, MtuAboveTheInterfaces) {
  MakeVeth();
  const absl::Status status = Open("net_af_packet0,iface=lv0", 9000).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("above the interface's 1500"));
}

TEST_F(DevicesRootTest, AfXdpCopies) {
  MakeVeth();
  absl::StatusOr<std::unique_ptr<Port>> port = Open("net_af_xdp0,iface=lv0");
  ASSERT_TRUE(port.ok()) << port.status();
  PacketIo& io = (*port)->queue(0);
  EXPECT_EQ((*port)->mode(), BufferMode::kCopy);
  EXPECT_EQ(io.capabilities().mac, MacOf("lv0"));
  EXPECT_EQ(io.capabilities().kernel_ifindex, static_cast<int>(if_nametoindex("lv0")));
  // More than the buffers that DPDK's usual pool would have put into the UMEM.
  Exchange(io, "lv1", 10000, 1514);
  EXPECT_GT(io.stats().bytes_copied_rx, 10000u * 60);
  EXPECT_GT(io.stats().bytes_copied_tx, 10000u * 60);
  EXPECT_GT(io.stats().tx_linearised, 0u);
  port->reset();
  EXPECT_EQ(memory_.outstanding(), 0u);

  // The driver leaves its socket behind; the message says so.
  const absl::Status again = Open("net_af_xdp0,iface=lv0").status();
  if (!again.ok()) {
    EXPECT_THAT(std::string(again.message()), HasSubstr("hold the queue already"));
  }
  EXPECT_EQ(memory_.outstanding(), 0u);
}

TEST_F(DevicesRootTest, Tap) {
  for (int round = 0; round < 2; ++round) {
    absl::StatusOr<std::unique_ptr<Port>> port = Open("net_tap0,iface=ltap0");
    ASSERT_TRUE(port.ok()) << port.status();
    ASSERT_TRUE(Shell("ip link set ltap0 up"));
    PacketIo& io = (*port)->queue(0);
    // The kernel is our neighbour here, not our twin.
    EXPECT_NE(io.capabilities().mac, MacOf("ltap0"));
    EXPECT_EQ(io.capabilities().kernel_ifindex, 0);
    Exchange(io, "ltap0", 1000, 1514);
    EXPECT_EQ(io.stats().bytes_copied_rx, 0u);
    EXPECT_EQ(io.stats().bytes_copied_tx, 0u);
    port->reset();
    EXPECT_EQ(memory_.outstanding(), 0u);
  }
}

TEST_F(DevicesRootTest, WithoutPrivilegesTheMendIsNamed) {
  MakeVeth();
  ASSERT_EQ(seteuid(kNobody), 0);
  const absl::Status packet = Open("net_af_packet0,iface=lv0").status();
  const absl::Status xdp = Open("net_af_xdp0,iface=lv0").status();
  const absl::Status tap = Open("net_tap0,iface=ltap1").status();
  ASSERT_EQ(seteuid(0), 0);
  EXPECT_EQ(packet.code(), absl::StatusCode::kPermissionDenied) << packet;
  EXPECT_THAT(std::string(packet.message()), HasSubstr("CAP_NET_RAW"));
  EXPECT_EQ(xdp.code(), absl::StatusCode::kPermissionDenied) << xdp;
  EXPECT_THAT(std::string(xdp.message()), HasSubstr("CAP_BPF"));
  EXPECT_EQ(tap.code(), absl::StatusCode::kPermissionDenied) << tap;
  EXPECT_THAT(std::string(tap.message()), HasSubstr("CAP_NET_ADMIN"));
  EXPECT_EQ(memory_.outstanding(), 0u);
}

TEST_F(DevicesRootTest, TheInterfaceMayBeTaken) {
  MakeVeth();
  absl::StatusOr<std::unique_ptr<Port>> first = Open("net_af_xdp0,iface=lv0");
  ASSERT_TRUE(first.ok()) << first.status();
  const absl::Status second = Open("net_af_xdp1,iface=lv0").status();
  EXPECT_FALSE(second.ok());
  EXPECT_THAT(std::string(second.message()), HasSubstr("net_af_xdp1,iface=lv0"));
  EXPECT_THAT(std::string(second.message()), HasSubstr("hold the queue already"));
}

}  // namespace
}  // namespace luna::pmd::dpdk
