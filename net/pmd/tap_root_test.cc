// Against the kernel of this machine, in a network namespace of the test's own. Needs root; skipped by name without.
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "luna/mem/zbuf/testing/test_slab.h"
#include "luna/net/pmd/packet_util.h"
#include "luna/net/pmd/tap.h"
#include "luna/net/wire/arp.h"
#include "luna/net/wire/byte_cursor.h"
#include "luna/net/wire/checksum.h"
#include "luna/net/wire/ethernet.h"
#include "luna/net/wire/ipv4.h"
#include "luna/net/wire/tcp_header.h"
#include "luna/net/wire/testing/frame_builder.h"

namespace luna::pmd {
namespace {

constexpr wire::Ipv4Address kKernelIp(10, 77, 0, 1);
constexpr wire::Ipv4Address kLunaIp(10, 77, 0, 2);
constexpr uint16_t kKernelPort = 4001;
constexpr uint16_t kLunaPort = 4002;
constexpr size_t kUdpHeaderBytes = 8;
constexpr uid_t kNobody = 65534;
// Only a bound for a kernel that never answers; a right one answers at once.
constexpr int kPatienceMs = 10'000;

bool HaveRoot() { return geteuid() == 0; }

// Effective rights of nobody, for a scope.
class AsNobody {
 public:
  AsNobody() { EXPECT_EQ(seteuid(kNobody), 0); }
  ~AsNobody() { EXPECT_EQ(seteuid(0), 0); }
};

class TapRootTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (HaveRoot()) ready_ = unshare(CLONE_NEWNET) == 0 && access("/dev/net/tun", F_OK) == 0 && SilenceIpv6();
  }
  // The kernel would send IPv6 frames of its own accord, at any time, between those that tests count.
  static bool SilenceIpv6() {
    const int fd = open("/proc/sys/net/ipv6/conf/default/disable_ipv6", O_WRONLY);
    if (fd < 0) return errno == ENOENT;
    const bool done = write(fd, "1", 1) == 1;
    close(fd);
    return done;
  }
  void SetUp() override {
    if (!HaveRoot()) GTEST_SKIP() << "needs root: makes a network namespace and TAP devices; run tools/test as root";
    if (!ready_) GTEST_SKIP() << "needs CAP_NET_ADMIN, network namespaces, /dev/net/tun and a writable /proc/sys/net";
  }
  void TearDown() override {
    if (socket_ >= 0) close(socket_);
  }

  std::unique_ptr<TapPacketIo> Open(TapOptions options = {}) {
    options.kernel_address = wire::Ipv4Prefix(kKernelIp, 24);
    absl::StatusOr<std::unique_ptr<TapPacketIo>> tap = TapPacketIo::Open(options, memory_.slab());
    EXPECT_TRUE(tap.ok()) << tap.status();
    return tap.ok() ? *std::move(tap) : nullptr;
  }
  absl::Status OpenError(const TapOptions& options) { return TapPacketIo::Open(options, memory_.slab()).status(); }

  // The next received frame, and of how many slices it is. Empty after kPatienceMs.
  std::vector<uint8_t> Receive(TapPacketIo& tap, size_t* slices = nullptr) {
    for (pollfd fd{tap.capabilities().poll_fd, POLLIN, 0}; poll(&fd, 1, kPatienceMs) == 1;) {
      std::array<Packet, 1> out;
      if (tap.ReceiveBurst(absl::MakeSpan(out), Time::FromNanoseconds(9)) == 0) continue;
      EXPECT_EQ(out[0].rx.arrival, Time::FromNanoseconds(9));
      std::vector<uint8_t> frame = ToBytes(out[0]);
      if (slices != nullptr) *slices = out[0].data.slice_count();
      return frame;
    }
    ADD_FAILURE() << "no frame from the kernel";
    return {};
  }
  // Throws away what the kernel sends of its own accord.
  void Discard(TapPacketIo& tap) {
    std::array<Packet, 8> out;
    while (tap.ReceiveBurst(absl::MakeSpan(out), Time()) != 0) out = {};
  }

  bool Transmit(TapPacketIo& tap, const std::vector<uint8_t>& frame, size_t slice_bytes = 1 << 20) {
    std::array<Packet, 1> packet;
    packet[0].data = memory_.ChainOfSlices(std::string(frame.begin(), frame.end()), slice_bytes);
    return tap.TransmitBurst(absl::MakeSpan(packet)) == 1;
  }

  // A UDP socket of the kernel on its end of the link.
  int KernelSocket() {
    socket_ = socket(AF_INET, SOCK_DGRAM, 0);
    const timeval patience{kPatienceMs / 1000, 0};
    setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    const sockaddr_in address = Address(kKernelIp, kKernelPort);
    EXPECT_EQ(bind(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0) << strerror(errno);
    return socket_;
  }
  void KernelSends(const std::vector<uint8_t>& payload) {
    const sockaddr_in to = Address(kLunaIp, kLunaPort);
    const ssize_t sent =
        sendto(socket_, payload.data(), payload.size(), 0, reinterpret_cast<const sockaddr*>(&to), sizeof(to));
    EXPECT_EQ(sent, static_cast<ssize_t>(payload.size())) << strerror(errno);
  }
  static sockaddr_in Address(wire::Ipv4Address ip, uint16_t port) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(ip.value());
    return address;
  }

  // Tells the kernel our MAC, and learns its.
  wire::MacAddress MeetKernel(TapPacketIo& tap) {
    const wire::MacAddress mac = tap.capabilities().mac;
    EXPECT_TRUE(Transmit(
        tap,
        wire::ArpFrame{.sender_mac = mac, .sender_ip = kLunaIp, .target_ip = kKernelIp, .source_mac = mac}.Build()));
    const std::vector<uint8_t> frame = Receive(tap);
    wire::EthernetHeader ethernet;
    wire::ArpPacket arp;
    EXPECT_EQ(Parse(frame, &ethernet), wire::ParseResult::kOk);
    EXPECT_EQ(Parse(absl::MakeConstSpan(frame).subspan(ethernet.size()), &arp), wire::ParseResult::kOk);
    EXPECT_EQ(arp.operation, wire::ArpPacket::kReply);
    EXPECT_EQ(arp.sender_ip, kKernelIp);
    EXPECT_EQ(ethernet.destination, mac);
    return arp.sender_mac;
  }

  // A datagram to the kernel's socket.
  std::vector<uint8_t> UdpFrame(TapPacketIo& tap, const wire::MacAddress& kernel_mac,
                                const std::vector<uint8_t>& data) {
    std::vector<uint8_t> payload(kUdpHeaderBytes);
    wire::StoreBe16(&payload[0], kLunaPort);
    wire::StoreBe16(&payload[2], kKernelPort);
    wire::StoreBe16(&payload[4], static_cast<uint16_t>(kUdpHeaderBytes + data.size()));
    payload.insert(payload.end(), data.begin(), data.end());  // UDP checksum 0: none
    return wire::Ipv4Frame{.header = {.protocol = IPPROTO_UDP, .source = kLunaIp, .destination = kKernelIp},
                           .payload = payload,
                           .source_mac = tap.capabilities().mac,
                           .destination_mac = kernel_mac}
        .Build();
  }
  std::vector<uint8_t> KernelReceives() {
    std::vector<uint8_t> data(70'000);
    const ssize_t n = recv(socket_, data.data(), data.size(), 0);
    EXPECT_GE(n, 0) << strerror(errno);
    data.resize(static_cast<size_t>(std::max<ssize_t>(n, 0)));
    return data;
  }

  static int Ioctl(unsigned long code, const std::string& name, ifreq& request) {
    std::strncpy(request.ifr_name, name.c_str(), IFNAMSIZ - 1);
    const int fd = socket(AF_INET, SOCK_DGRAM, 0);
    const int result = ioctl(fd, code, &request);
    close(fd);
    return result;
  }
  static void SetLink(const std::string& name, bool up) {
    ifreq request = {};
    ASSERT_EQ(Ioctl(SIOCGIFFLAGS, name, request), 0);
    request.ifr_flags = static_cast<short>(up ? request.ifr_flags | IFF_UP : request.ifr_flags & ~IFF_UP);
    ASSERT_EQ(Ioctl(SIOCSIFFLAGS, name, request), 0);
  }

  static inline bool ready_ = false;
  zbuf::TestSlab memory_;
  int socket_ = -1;
};

TEST_F(TapRootTest, OpensWithDefaults) {
  auto tap = Open();
  ASSERT_NE(tap, nullptr);
  EXPECT_EQ(tap->interface_name(), "luna0");
  const Capabilities& capabilities = tap->capabilities();
  EXPECT_EQ(capabilities.name, "tap luna0");
  EXPECT_EQ(capabilities.mtu, 1500u);
  EXPECT_EQ(capabilities.kernel_ifindex, 0);
  EXPECT_TRUE(capabilities.mac.IsLocal());
  EXPECT_FALSE(capabilities.mac.IsMulticast());
  EXPECT_TRUE(tap->link_up());
  ifreq request = {};
  ASSERT_EQ(Ioctl(SIOCGIFHWADDR, "luna0", request), 0);
  EXPECT_NE(capabilities.mac, wire::MacAddress::FromBytes(reinterpret_cast<uint8_t*>(request.ifr_hwaddr.sa_data)));
  ASSERT_EQ(Ioctl(SIOCGIFFLAGS, "luna0", request), 0);
  EXPECT_NE(request.ifr_flags & IFF_UP, 0);
  tap.reset();
  EXPECT_EQ(if_nametoindex("luna0"), 0u);  // gone with its owner: a second start works at once
  EXPECT_NE(Open(), nullptr);
}

TEST_F(TapRootTest, OptionsAreApplied) {
  const wire::MacAddress mac({0x02, 1, 2, 3, 4, 5});
  auto tap = Open({.name = "tapped", .mtu = 9000, .mac = mac});
  ASSERT_NE(tap, nullptr);
  EXPECT_EQ(tap->interface_name(), "tapped");
  EXPECT_EQ(tap->capabilities().mac, mac);
  ifreq request = {};
  ASSERT_EQ(Ioctl(SIOCGIFMTU, "tapped", request), 0);
  EXPECT_EQ(request.ifr_mtu, 9000);
  request = {};
  ASSERT_EQ(Ioctl(SIOCGIFADDR, "tapped", request), 0);
  EXPECT_EQ(reinterpret_cast<sockaddr_in*>(&request.ifr_addr)->sin_addr.s_addr, htonl(kKernelIp.value()));
  request = {};
  ASSERT_EQ(Ioctl(SIOCGIFNETMASK, "tapped", request), 0);
  EXPECT_EQ(reinterpret_cast<sockaddr_in*>(&request.ifr_addr)->sin_addr.s_addr, htonl(0xffffff00));
}

TEST_F(TapRootTest, TheKernelAnswersOurArp) {
  auto tap = Open();
  ASSERT_NE(tap, nullptr);
  const wire::MacAddress kernels = MeetKernel(*tap);
  EXPECT_NE(kernels, tap->capabilities().mac);
  EXPECT_EQ(tap->stats().tx_packets, 1u);
  EXPECT_EQ(tap->stats().bytes_copied_tx, 0u);
}

struct SizeCase {
  uint32_t mtu;
  size_t payload;
  size_t slices;  // of the received frame
};
std::ostream& operator<<(std::ostream& out, const SizeCase& c) { return out << c.payload << " bytes at MTU " << c.mtu; }

class TapSizesTest : public TapRootTest, public testing::WithParamInterface<SizeCase> {};

INSTANTIATE_TEST_SUITE_P(Sizes, TapSizesTest,
                         testing::Values(SizeCase{1500, 1, 1}, SizeCase{1500, 1472, 1}, SizeCase{9000, 1, 1},
                                         // 2240 bytes of the frame fit the first obj, 2304 each of the others.
                                         SizeCase{9000, 2198, 1}, SizeCase{9000, 2199, 2}, SizeCase{9000, 4502, 2},
                                         SizeCase{9000, 4503, 3}, SizeCase{9000, 8972, 4}, SizeCase{65521, 65000, 29}));

TEST_P(TapSizesTest, DatagramsOfTheKernelArriveWhole) {
  auto tap = Open({.mtu = GetParam().mtu});
  ASSERT_NE(tap, nullptr);
  KernelSocket();
  const wire::MacAddress kernels = MeetKernel(*tap);
  for (size_t seed = 0; seed < 3; ++seed) {
    const std::vector<uint8_t> data = wire::Pattern(GetParam().payload, seed);
    KernelSends(data);
    size_t slices = 0;
    const std::vector<uint8_t> frame = Receive(*tap, &slices);
    EXPECT_EQ(slices, GetParam().slices);
    wire::EthernetHeader ethernet;
    wire::Ipv4Header ip;
    ASSERT_EQ(Parse(frame, &ethernet), wire::ParseResult::kOk);
    EXPECT_EQ(ethernet.source, kernels);
    const auto packet = absl::MakeConstSpan(frame).subspan(ethernet.size());
    ASSERT_EQ(Parse(packet, &ip), wire::ParseResult::kOk);
    EXPECT_EQ(ip.source, kKernelIp);
    const auto payload = ip.Payload(packet);
    ASSERT_EQ(payload.size(), kUdpHeaderBytes + data.size());
    EXPECT_TRUE(std::equal(data.begin(), data.end(), payload.begin() + kUdpHeaderBytes));
  }
  EXPECT_EQ(tap->stats().bytes_copied_rx, 0u);
  EXPECT_EQ(tap->stats().rx_dropped, 0u);
}

TEST_P(TapSizesTest, OurDatagramsReachTheKernelWhole) {
  auto tap = Open({.mtu = GetParam().mtu});
  ASSERT_NE(tap, nullptr);
  KernelSocket();
  const wire::MacAddress kernels = MeetKernel(*tap);
  const std::vector<uint8_t> data = wire::Pattern(GetParam().payload, 7);
  const std::vector<uint8_t> frame = UdpFrame(*tap, kernels, data);
  for (size_t slices : {1, 2, 3, 16}) {
    EXPECT_TRUE(Transmit(*tap, frame, (frame.size() + slices - 1) / slices));
    EXPECT_EQ(KernelReceives(), data) << slices << " slices";
  }
  EXPECT_EQ(tap->stats().tx_linearised, 0u);
  tap.reset();
  EXPECT_EQ(memory_.outstanding(), 0u);
}

TEST_F(TapRootTest, MoreSlicesThanSixteenAreLinearised) {
  auto tap = Open();
  ASSERT_NE(tap, nullptr);
  KernelSocket();
  const wire::MacAddress kernels = MeetKernel(*tap);
  const std::vector<uint8_t> data = wire::Pattern(1000);
  EXPECT_TRUE(Transmit(*tap, UdpFrame(*tap, kernels, data), 50));
  EXPECT_EQ(KernelReceives(), data);
  EXPECT_EQ(tap->stats().tx_linearised, 1u);
}

TEST_F(TapRootTest, AReceivedFrameHasHeadroomForAnAnswerInPlace) {
  auto tap = Open();
  ASSERT_NE(tap, nullptr);
  KernelSocket();
  MeetKernel(*tap);
  Discard(*tap);
  KernelSends({1, 2, 3});
  std::array<Packet, 1> out;
  while (tap->ReceiveBurst(absl::MakeSpan(out), Time()) == 0) {
  }
  EXPECT_EQ(out[0].data.HeadRoom(), kTxHeadroomBytes);
}

TEST_F(TapRootTest, FramesThatNoLinkCarriesAreDropped) {
  auto tap = Open();
  ASSERT_NE(tap, nullptr);
  EXPECT_TRUE(Transmit(*tap, std::vector<uint8_t>(13)));
  EXPECT_TRUE(Transmit(*tap, std::vector<uint8_t>(1519)));
  EXPECT_EQ(tap->stats().tx_dropped, 2u);
  EXPECT_EQ(tap->stats().tx_packets, 0u);
}

TEST_F(TapRootTest, FramesAboveOurMtuAreDroppedNotCut) {
  auto tap = Open();
  ASSERT_NE(tap, nullptr);
  KernelSocket();
  MeetKernel(*tap);
  ifreq request = {};
  request.ifr_mtu = 3000;  // behind our back
  ASSERT_EQ(Ioctl(SIOCSIFMTU, tap->interface_name(), request), 0);
  Discard(*tap);
  KernelSends(wire::Pattern(2900));
  KernelSends({42});
  EXPECT_EQ(Receive(*tap).back(), 42);
  EXPECT_EQ(tap->stats().rx_dropped, 1u);
}

TEST_F(TapRootTest, ABurstIsBoundedAndKeepsTheRest) {
  auto tap = Open();
  ASSERT_NE(tap, nullptr);
  KernelSocket();
  MeetKernel(*tap);
  Discard(*tap);
  for (uint8_t i = 0; i < 5; ++i) KernelSends({i});
  std::array<Packet, 8> out;
  EXPECT_EQ(tap->ReceiveBurst(absl::MakeSpan(out).subspan(0, 2), Time()), 2u);
  EXPECT_EQ(tap->ReceiveBurst(absl::MakeSpan(out).subspan(2), Time()), 3u);
  for (uint8_t i = 0; i < 5; ++i) EXPECT_EQ(ToBytes(out[i]).back(), i);
}

TEST_F(TapRootTest, WithoutMemoryFramesWaitInTheKernel) {
  auto tap = Open();
  ASSERT_NE(tap, nullptr);
  KernelSocket();
  MeetKernel(*tap);
  Discard(*tap);
  std::vector<std::byte*> taken;
  while (std::byte* obj = memory_.slab().Alloc(zbuf::kReceiveObjBytes)) taken.push_back(obj);
  for (uint8_t i = 0; i < 3; ++i) KernelSends({i});
  std::array<Packet, 4> out;
  EXPECT_EQ(tap->ReceiveBurst(absl::MakeSpan(out), Time()), 1u);  // into the obj that waited from before
  EXPECT_EQ(tap->stats().rx_no_buffer, 1u);
  memory_.slab().FreeBulk(taken);
  EXPECT_EQ(tap->ReceiveBurst(absl::MakeSpan(out).subspan(1), Time()), 2u);
  EXPECT_EQ(ToBytes(out[2]).back(), 2);
  EXPECT_EQ(tap->stats().rx_dropped, 0u);
}

TEST_F(TapRootTest, ALinkTakenDownDropsAndComesBack) {
  auto tap = Open();
  ASSERT_NE(tap, nullptr);
  KernelSocket();
  const wire::MacAddress kernels = MeetKernel(*tap);
  SetLink(tap->interface_name(), false);
  EXPECT_TRUE(Transmit(*tap, UdpFrame(*tap, kernels, {1})));
  EXPECT_EQ(tap->stats().tx_dropped, 1u);
  EXPECT_FALSE(tap->link_up());
  tap->Reclaim();
  EXPECT_FALSE(tap->link_up());
  SetLink(tap->interface_name(), true);
  tap->Reclaim();
  EXPECT_TRUE(tap->link_up());
  EXPECT_TRUE(Transmit(*tap, UdpFrame(*tap, kernels, {2})));
  EXPECT_EQ(KernelReceives(), (std::vector<uint8_t>{2}));
}

TEST_F(TapRootTest, ALinkTakenDownIsNoticedWithoutTraffic) {
  auto tap = Open();
  ASSERT_NE(tap, nullptr);
  SetLink(tap->interface_name(), false);
  int calls = 0;
  while (tap->link_up() && calls < 10'000) calls += tap->Reclaim() == 0;
  EXPECT_FALSE(tap->link_up());
}

// Starts a connection of the kernel's, and returns its SYN as it came.
class KernelSyn {
 public:
  explicit KernelSyn(TapPacketIo& tap) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)) {
    sockaddr_in to = {};
    to.sin_family = AF_INET;
    to.sin_port = htons(kLunaPort);
    to.sin_addr.s_addr = htonl(kLunaIp.value());
    EXPECT_EQ(connect(fd_, reinterpret_cast<const sockaddr*>(&to), sizeof(to)), -1);
    EXPECT_EQ(errno, EINPROGRESS);
    for (pollfd p{tap.capabilities().poll_fd, POLLIN, 0}; poll(&p, 1, kPatienceMs) == 1;) {
      if (tap.ReceiveBurst({&packet, 1}, Time()) == 1) return;
    }
  }
  ~KernelSyn() { close(fd_); }
  bool ChecksumIsRight() const {
    const std::vector<uint8_t> frame = ToBytes(packet);
    return wire::TcpChecksumIsRight(kKernelIp, kLunaIp, absl::MakeConstSpan(frame).subspan(34));
  }

  Packet packet;

 private:
  const int fd_;
};

TEST_F(TapRootTest, WithOffloadsTheKernelLeavesChecksumsUnfinishedAndSaysSo) {
  auto tap = Open();
  ASSERT_NE(tap, nullptr);
  EXPECT_TRUE(tap->capabilities().tx_tcp_checksum);
  EXPECT_TRUE(tap->capabilities().trust_rx_checksum);
  MeetKernel(*tap);
  Discard(*tap);
  const KernelSyn syn(*tap);
  ASSERT_GE(syn.packet.bytes(), 54u);
  EXPECT_EQ(syn.packet.rx.l4_checksum, ChecksumStatus::kGood);
  EXPECT_FALSE(syn.ChecksumIsRight());
  EXPECT_EQ(syn.packet.data.HeadRoom(), kTxHeadroomBytes);
}

// A SYN to a port where nobody listens: the kernel answers with RST when it believes the checksum, else not at all.
TEST_F(TapRootTest, TheKernelTakesWhatWeLeaveUnfinished) {
  auto tap = Open();
  ASSERT_NE(tap, nullptr);
  const wire::MacAddress kernels = MeetKernel(*tap);
  Discard(*tap);
  std::vector<uint8_t> frame = wire::TcpFrame{.source = {kLunaIp, kLunaPort},
                                              .destination = {kKernelIp, kKernelPort},
                                              .flags = wire::TcpFlags::kSyn,
                                              .source_mac = tap->capabilities().mac,
                                              .destination_mac = kernels}
                                   .Build();
  wire::StoreBe16(&frame[50], wire::Ipv4PseudoHeaderSum(kLunaIp, kKernelIp, IPPROTO_TCP, 20));
  Packet packet;
  packet.data = memory_.Chain(std::string(frame.begin(), frame.end()));
  packet.tx = {.l4_checksum = true, .l2_bytes = 14, .l3_bytes = 20, .l4_bytes = 20};
  ASSERT_EQ(tap->TransmitBurst({&packet, 1}), 1u);
  const std::vector<uint8_t> answer = Receive(*tap);
  ASSERT_GE(answer.size(), 54u);
  EXPECT_EQ(answer[47] & wire::TcpFlags::kRst, wire::TcpFlags::kRst);
}

TEST_F(TapRootTest, WithoutOffloadsTheKernelFinishesThem) {
  // With first: what an interface's last user could do must not stay.
  ASSERT_NE(Open({.name = "stays", .persist = true}), nullptr);
  auto tap = Open({.name = "stays", .offloads = false});
  ASSERT_NE(tap, nullptr);
  EXPECT_FALSE(tap->capabilities().tx_tcp_checksum);
  EXPECT_FALSE(tap->capabilities().trust_rx_checksum);
  MeetKernel(*tap);
  Discard(*tap);
  const KernelSyn syn(*tap);
  ASSERT_GE(syn.packet.bytes(), 54u);
  EXPECT_EQ(syn.packet.rx.l4_checksum, ChecksumStatus::kUnknown);
  EXPECT_TRUE(syn.ChecksumIsRight());
}

TEST_F(TapRootTest, APersistentInterfaceStaysAndIsAttachedAgain) {
  ASSERT_NE(Open({.name = "stays", .persist = true}), nullptr);
  EXPECT_NE(if_nametoindex("stays"), 0u);
  auto tap = Open({.name = "stays"});
  ASSERT_NE(tap, nullptr);
  MeetKernel(*tap);
}

TEST_F(TapRootTest, SeveralQueuesOfOneInterface) {
  auto first = Open({.name = "queues", .multi_queue = true});
  auto second = Open({.name = "queues", .multi_queue = true});
  ASSERT_NE(first, nullptr);
  ASSERT_NE(second, nullptr);
  EXPECT_EQ(first->capabilities().mac, second->capabilities().mac);
}

// Segmentation offload, as `ethtool -k` shows it.
bool KernelSendsSuperPackets(const std::string& interface) {
  ethtool_value value = {.cmd = ETHTOOL_GTSO, .data = 0};
  ifreq request = {};
  std::strncpy(request.ifr_name, interface.c_str(), IFNAMSIZ - 1);
  request.ifr_data = reinterpret_cast<char*>(&value);
  const int fd = socket(AF_INET, SOCK_DGRAM, 0);
  EXPECT_EQ(ioctl(fd, SIOCETHTOOL, &request), 0) << strerror(errno);
  close(fd);
  return value.data != 0;
}

TEST_F(TapRootTest, OffloadsEndWithTheirUser) {
  auto tap = Open({.name = "stays", .persist = true});
  ASSERT_NE(tap, nullptr);
  EXPECT_TRUE(KernelSendsSuperPackets("stays"));
  tap.reset();
  EXPECT_FALSE(KernelSendsSuperPackets("stays"));
}

struct ErrorCase {
  const char* what;
  TapOptions options;
  absl::StatusCode code;
  const char* says;
};

TEST_F(TapRootTest, WrongOptionsAreNamed) {
  const std::vector<ErrorCase> cases = {
      {"no name", {.name = ""}, absl::StatusCode::kInvalidArgument, "1 to 15 characters"},
      {"long name", {.name = "sixteen_chars_xx"}, absl::StatusCode::kInvalidArgument, "1 to 15 characters"},
      {"slash", {.name = "a/b"}, absl::StatusCode::kInvalidArgument, "no slash"},
      {"small mtu", {.mtu = 67}, absl::StatusCode::kInvalidArgument, "mtu 67 is not in 68 to 65521"},
      {"large mtu", {.mtu = 65522}, absl::StatusCode::kInvalidArgument, "mtu 65522"},
      {"group mac", {.mac = wire::MacAddress::Broadcast()}, absl::StatusCode::kInvalidArgument, "group address"},
      {"not a tap", {.name = "lo"}, absl::StatusCode::kAlreadyExists, "is no TAP device"},
  };
  for (const ErrorCase& c : cases) {
    const absl::Status status = OpenError(c.options);
    EXPECT_EQ(status.code(), c.code) << c.what << ": " << status;
    EXPECT_TRUE(absl::StrContains(status.message(), c.says)) << c.what << ": " << status;
  }
}

TEST_F(TapRootTest, ANameInUseIsNamed) {
  auto tap = Open({.name = "busy"});
  ASSERT_NE(tap, nullptr);
  const absl::Status status = OpenError({.name = "busy"});
  EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_TRUE(absl::StrContains(status.message(), "\"busy\": in use")) << status;
  const absl::Status mixed = OpenError({.name = "busy", .multi_queue = true});
  EXPECT_EQ(mixed.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_TRUE(absl::StrContains(mixed.message(), "multi_queue")) << mixed;
}

TEST_F(TapRootTest, TheKernelsOwnMacIsRefused) {
  auto tap = Open({.name = "mine", .persist = true});
  ASSERT_NE(tap, nullptr);
  ifreq request = {};
  ASSERT_EQ(Ioctl(SIOCGIFHWADDR, "mine", request), 0);
  const auto kernels = wire::MacAddress::FromBytes(reinterpret_cast<uint8_t*>(request.ifr_hwaddr.sa_data));
  tap.reset();
  const absl::Status status = OpenError({.name = "mine", .mac = kernels});
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(absl::StrContains(status.message(), "the kernel's own")) << status;
}

TEST_F(TapRootTest, WithoutRightsTheMendIsNamed) {
  AsNobody nobody;
  const absl::Status status = OpenError({});
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "run as root")) << status;
}

TEST_F(TapRootTest, AnOrdinaryUserAttachesToWhatRootMadeForHim) {
  // ip tuntap add dev his mode tap user nobody; ip link set his up
  const int fd = open("/dev/net/tun", O_RDWR);
  ifreq request = {};
  std::strcpy(request.ifr_name, "his");
  request.ifr_flags = IFF_TAP | IFF_NO_PI;
  ASSERT_EQ(ioctl(fd, TUNSETIFF, &request), 0);
  ASSERT_EQ(ioctl(fd, TUNSETOWNER, kNobody), 0);
  ASSERT_EQ(ioctl(fd, TUNSETPERSIST, 1), 0);
  close(fd);

  AsNobody nobody;
  if (eaccess("/dev/net/tun", R_OK | W_OK) != 0) {
    GTEST_SKIP() << "/dev/net/tun is root's alone here";
  }
  const absl::Status down = OpenError({.name = "his"});
  EXPECT_EQ(down.code(), absl::StatusCode::kPermissionDenied) << down;
  EXPECT_TRUE(absl::StrContains(down.message(), "sudo ip link set his up")) << down;
  ASSERT_EQ(seteuid(0), 0);
  SetLink("his", true);
  ASSERT_EQ(seteuid(kNobody), 0);
  EXPECT_TRUE(OpenError({.name = "his"}).ok());
  const absl::Status mtu = OpenError({.name = "his", .mtu = 9000});
  EXPECT_EQ(mtu.code(), absl::StatusCode::kPermissionDenied) << mtu;
  EXPECT_TRUE(absl::StrContains(mtu.message(), "sudo ip link set his mtu 9000")) << mtu;
  const absl::Status address = OpenError({.name = "his", .kernel_address = wire::Ipv4Prefix(kKernelIp, 24)});
  EXPECT_EQ(address.code(), absl::StatusCode::kPermissionDenied) << address;
  EXPECT_TRUE(absl::StrContains(address.message(), "sudo ip addr add 10.77.0.1/24 dev his")) << address;
}

TEST_F(TapRootTest, AMachineWithoutTheDriverIsNamed) {
  // In a child with a /dev/net of its own, which is empty.
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    if (unshare(CLONE_NEWNS) != 0 || mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        mount("none", "/dev/net", "tmpfs", 0, nullptr) != 0) {
      _exit(77);
    }
    const absl::Status status = OpenError({});
    const bool right =
        status.code() == absl::StatusCode::kNotFound && absl::StrContains(status.message(), "modprobe tun");
    _exit(right ? 0 : 1);
  }
  int result = 0;
  ASSERT_EQ(waitpid(child, &result, 0), child);
  if (WEXITSTATUS(result) == 77) GTEST_SKIP() << "no mount namespace here";
  EXPECT_EQ(WEXITSTATUS(result), 0);
}

}  // namespace
}  // namespace luna::pmd
