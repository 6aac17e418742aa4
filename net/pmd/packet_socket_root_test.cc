// Against the kernel of this machine: on one end of a veth pair, in a network namespace of the test's own. Needs root;
// skipped by name without. Whole TCP connections are the matter of tools/root_tests/tcp_interop.
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "luna/mem/zbuf/testing/test_slab.h"
#include "luna/net/pmd/packet_socket.h"
#include "luna/net/pmd/packet_util.h"
#include "luna/net/pmd/vnet_header.h"
#include "luna/net/wire/checksum.h"
#include "luna/net/wire/testing/frame_builder.h"

namespace luna::pmd {
namespace {

using Frame = std::vector<uint8_t>;

constexpr int kPatienceMs = 10'000;  // only a bound for a frame that never comes
constexpr uid_t kNobody = 65534;
const wire::Ipv4Address kOurs = wire::kServer.address.v4();

bool Shell(const std::string& command) {
  return system(absl::StrCat("PATH=$PATH:/usr/sbin:/sbin; { ", command, "; } >/dev/null 2>&1").c_str()) == 0;
}

// The other end of the cable.
class RawEnd {
 public:
  explicit RawEnd(const char* interface) : fd_(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0)) {
    const int on = 1;
    EXPECT_EQ(setsockopt(fd_, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)), 0) << strerror(errno);
    sockaddr_ll address = {};
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(ETH_P_ALL);
    address.sll_ifindex = static_cast<int>(if_nametoindex(interface));
    EXPECT_EQ(setsockopt(fd_, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)), 0) << strerror(errno);
    EXPECT_EQ(bind(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0) << strerror(errno);
  }
  ~RawEnd() { close(fd_); }
  void Send(const Frame& frame, const VnetHeader& header = {}) {
    Frame message(sizeof(header));
    std::memcpy(message.data(), &header, sizeof(header));
    message.insert(message.end(), frame.begin(), frame.end());
    EXPECT_EQ(send(fd_, message.data(), message.size(), 0), static_cast<ssize_t>(message.size())) << strerror(errno);
  }
  Frame Receive(VnetHeader* header) {
    pollfd p{fd_, POLLIN, 0};
    if (poll(&p, 1, kPatienceMs) != 1) return {};
    Frame message(70'000);
    const ssize_t n = recv(fd_, message.data(), message.size(), 0);
    if (n < static_cast<ssize_t>(sizeof(*header))) return {};
    std::memcpy(header, message.data(), sizeof(*header));
    return Frame(message.begin() + sizeof(*header), message.begin() + n);
  }

 private:
  const int fd_;
};

class PacketSocketRootTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (geteuid() != 0 || unshare(CLONE_NEWNET) != 0) return;
    const int fd = open("/proc/sys/net/ipv6/conf/default/disable_ipv6", O_WRONLY);  // no frames of its own accord
    if (fd >= 0) {
      const bool done = write(fd, "1", 1) == 1;
      close(fd);
      if (!done) return;
    }
    ready_ = Shell("ip link show");
  }
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root: makes a network namespace and a veth pair";
    if (!ready_) GTEST_SKIP() << "needs CAP_NET_ADMIN, network namespaces, iproute2 and a writable /proc/sys/net";
    ASSERT_TRUE(Shell("ip link add ours0 type veth peer name far0 && ip link set ours0 up && ip link set far0 up"));
    far_ = std::make_unique<RawEnd>("far0");
  }
  void TearDown() override {
    io_.reset();
    far_.reset();
    if (ready_) Shell("ip link delete ours0");
  }

  void Open(PacketSocketOptions options = {}) {
    options.interface = "ours0";
    options.addresses = {kOurs};
    auto io = PacketSocketIo::Open(options, memory_.slab());
    ASSERT_TRUE(io.ok()) << io.status();
    io_ = *std::move(io);
  }
  absl::Status OpenError(const PacketSocketOptions& options) {
    return PacketSocketIo::Open(options, memory_.slab()).status();
  }
  wire::TcpFrame ToUs() const { return {.destination_mac = io_->capabilities().mac}; }
  // The next one; an empty packet after kPatienceMs.
  Packet Receive() {
    Packet out;
    for (pollfd p{io_->capabilities().poll_fd, POLLIN, 0}; poll(&p, 1, kPatienceMs) == 1;) {
      if (io_->ReceiveBurst({&out, 1}, Time()) == 1) return out;
    }
    ADD_FAILURE() << "no frame";
    return out;
  }
  bool Transmit(const Frame& frame, const TxMeta& tx = {}) {
    Packet packet;
    packet.data = memory_.ChainOfSlices(std::string(frame.begin(), frame.end()), 100);
    packet.tx = tx;
    return io_->TransmitBurst({&packet, 1}) == 1;
  }

  static inline bool ready_ = false;
  zbuf::TestSlab memory_;
  std::unique_ptr<RawEnd> far_;
  std::unique_ptr<PacketSocketIo> io_;
};

TEST_F(PacketSocketRootTest, OnlyWhatIsForUsArrives) {
  Open();
  wire::TcpFrame frame = ToUs();
  wire::TcpFrame tagged = ToUs();
  tagged.vlan = 5;  // another network's, and its tag is taken off before we see it
  wire::TcpFrame others = ToUs();
  others.destination.address = wire::Ipv4Address(10, 0, 0, 77);
  wire::TcpFrame strayed;  // another host's MAC, on a network that floods
  strayed.destination_mac = wire::MacAddress({2, 0, 0, 0, 0, 0x55});
  wire::TcpFrame priority = ToUs();
  priority.vlan = 5 << 13;  // a tag with no VLAN in it
  for (const wire::TcpFrame& f : {tagged, others, strayed}) far_->Send(f.Build());
  EXPECT_TRUE(Transmit(wire::ArpFrame{}.Build()));  // ours does not come back to us
  far_->Send(priority.Build());
  far_->Send(wire::ArpFrame{}.Build());
  far_->Send(frame.Build());
  EXPECT_EQ(ToBytes(Receive()), ToUs().Build());  // without the tag
  EXPECT_EQ(ToBytes(Receive()), wire::ArpFrame{}.Build());
  EXPECT_EQ(ToBytes(Receive()), frame.Build());
  EXPECT_EQ(io_->stats().rx_packets, 3u);
}

TEST_F(PacketSocketRootTest, SuperPacketsWithAnUnfinishedChecksumArriveWholeAndVouchedFor) {
  Open();
  wire::TcpFrame frame = ToUs();
  frame.payload = wire::Pattern(60'000);
  frame.bad_tcp_checksum = true;
  const VnetHeader header{.flags = VnetHeader::kNeedsChecksum,
                          .gso_type = VnetHeader::kTcpV4,
                          .header_bytes = 54,
                          .gso_bytes = 1460,
                          .checksum_start = 34,
                          .checksum_offset = 16};
  far_->Send(frame.Build(), header);
  const Packet packet = Receive();
  EXPECT_EQ(packet.rx.l4_checksum, ChecksumStatus::kGood);
  EXPECT_EQ(packet.bytes(), 60'054u);
  const Frame got = ToBytes(packet);
  EXPECT_TRUE(std::equal(got.begin() + 54, got.end(), frame.payload.begin()));
}

TEST_F(PacketSocketRootTest, WithoutOffloadsNothingIsVouchedFor) {
  Open({.offloads = false});
  far_->Send(ToUs().Build());
  EXPECT_EQ(Receive().rx.l4_checksum, ChecksumStatus::kUnknown);
  EXPECT_FALSE(io_->capabilities().tx_tcp_checksum);
  EXPECT_FALSE(io_->capabilities().trust_rx_checksum);
}

// What egress leaves in the checksum field for the device.
Frame WithPseudoHeaderSum(const wire::TcpFrame& frame) {
  Frame bytes = frame.Build();
  const size_t segment_bytes = bytes.size() - 34;
  const uint16_t sum = wire::Ipv4PseudoHeaderSum(frame.source.address.v4(), frame.destination.address.v4(), 6,
                                                 static_cast<uint16_t>(segment_bytes));
  bytes[50] = static_cast<uint8_t>(sum >> 8);
  bytes[51] = static_cast<uint8_t>(sum);
  return bytes;
}

TEST_F(PacketSocketRootTest, TheChecksumOfWhatIsSentIsFilledInOrLeftToTheOtherEnd) {
  Open();
  wire::TcpFrame frame;
  frame.payload = wire::Pattern(333);
  const TxMeta tx{.l4_checksum = true, .l2_bytes = 14, .l3_bytes = 20, .l4_bytes = 20};
  ASSERT_TRUE(Shell("ethtool -K ours0 tx off"));
  EXPECT_TRUE(Transmit(WithPseudoHeaderSum(frame), tx));
  VnetHeader header;
  EXPECT_EQ(far_->Receive(&header), frame.Build());  // with the right checksum
  EXPECT_EQ(header.flags & VnetHeader::kNeedsChecksum, 0);
  ASSERT_TRUE(Shell("ethtool -K ours0 tx on"));
  EXPECT_TRUE(Transmit(WithPseudoHeaderSum(frame), tx));
  EXPECT_EQ(far_->Receive(&header), WithPseudoHeaderSum(frame));
  EXPECT_EQ(header.flags & VnetHeader::kNeedsChecksum, VnetHeader::kNeedsChecksum);
  EXPECT_EQ(io_->stats().tx_dropped, 0u);
}

TEST_F(PacketSocketRootTest, SuperPacketsLeaveWholeWhereTheDeviceCuts) {
  Open();
  ASSERT_TRUE(io_->capabilities().tx_tso);
  ASSERT_TRUE(io_->capabilities().tso_sum_has_length);
  wire::TcpFrame frame;
  frame.payload = wire::Pattern(1448 * 5 + 7);
  const TxMeta tx{.l4_checksum = true, .l2_bytes = 14, .l3_bytes = 20, .l4_bytes = 20, .tso_segment_bytes = 1448};
  Packet packet;
  const Frame bytes = WithPseudoHeaderSum(frame);
  packet.data = memory_.ChainOfSlices(std::string(bytes.begin(), bytes.end()), 1000);
  packet.tx = tx;
  ASSERT_EQ(io_->TransmitBurst({&packet, 1}), 1u);
  VnetHeader header;
  EXPECT_EQ(far_->Receive(&header), bytes);
  EXPECT_EQ(header.gso_type, VnetHeader::kTcpV4);
  EXPECT_EQ(header.gso_bytes, 1448);
  EXPECT_EQ(io_->stats().tx_linearised, 0u);
  // Switched off behind our back: dropped, and what comes behind it leaves.
  ASSERT_TRUE(Shell("ethtool -K ours0 tso off"));
  packet.data = memory_.ChainOfSlices(std::string(bytes.begin(), bytes.end()), 1000);
  packet.tx = tx;
  EXPECT_EQ(io_->TransmitBurst({&packet, 1}), 1u);
  EXPECT_EQ(io_->stats().tx_dropped, 1u);
  EXPECT_TRUE(Transmit(wire::TcpFrame{}.Build()));
  EXPECT_EQ(far_->Receive(&header), wire::TcpFrame{}.Build());
  io_.reset();
  Open();
  EXPECT_FALSE(io_->capabilities().tx_tso) << "it is asked when the socket is opened";
  Open({.offloads = false});
  EXPECT_FALSE(io_->capabilities().tx_tso);
}

TEST_F(PacketSocketRootTest, WhatTheKernelHasNoRoomForIsCounted) {
  Open({.receive_buffer_bytes = 4096});
  constexpr uint64_t kFrames = 200;
  for (uint64_t i = 0; i < kFrames; ++i) far_->Send(ToUs().Build());
  uint64_t got = 0;
  for (uint64_t one = 1; one != 0; got += one) {
    Packet out;
    one = io_->ReceiveBurst({&out, 1}, Time());
  }
  for (int calls = 0; io_->stats().rx_dropped == 0 && calls < 10'000; ++calls) io_->Reclaim();
  EXPECT_LT(got, kFrames);
  EXPECT_EQ(got + io_->stats().rx_dropped, kFrames);
}

TEST_F(PacketSocketRootTest, ALinkTakenDownDropsAndComesBack) {
  Open();
  EXPECT_TRUE(io_->link_up());
  ASSERT_TRUE(Shell("ip link set ours0 down"));
  EXPECT_TRUE(Transmit(wire::TcpFrame{}.Build()));
  EXPECT_EQ(io_->stats().tx_dropped, 1u);
  EXPECT_FALSE(io_->link_up());
  io_->Reclaim();
  EXPECT_FALSE(io_->link_up());
  ASSERT_TRUE(Shell("ip link set ours0 up"));
  for (int calls = 0; !io_->link_up() && calls < 100'000; ++calls) io_->Reclaim();
  EXPECT_TRUE(io_->link_up());
  EXPECT_TRUE(Transmit(wire::TcpFrame{}.Build()));
  VnetHeader header;
  EXPECT_EQ(far_->Receive(&header), wire::TcpFrame{}.Build());
}

TEST_F(PacketSocketRootTest, TheFactsOfTheInterface) {
  Open();
  const Capabilities& c = io_->capabilities();
  EXPECT_EQ(c.mtu, 1500u);
  EXPECT_EQ(c.kernel_ifindex, static_cast<int>(if_nametoindex("ours0")));
  EXPECT_TRUE(c.tx_tcp_checksum);
  EXPECT_TRUE(c.trust_rx_checksum);
  EXPECT_FALSE(c.tx_ip_checksum);
  EXPECT_TRUE(c.tx_tso);
  Open({.mtu = 1000});
  EXPECT_EQ(io_->capabilities().mtu, 1000u);
  EXPECT_TRUE(Transmit(Frame(1019)));
  EXPECT_EQ(io_->stats().tx_dropped, 1u);
}

TEST_F(PacketSocketRootTest, WrongOptionsAreNamed) {
  struct Case {
    PacketSocketOptions options;
    absl::StatusCode code;
    const char* says;
  };
  for (const Case& c :
       {Case{{.interface = "absent0"}, absl::StatusCode::kNotFound, "\"absent0\": there is none"},
        Case{{.interface = ""}, absl::StatusCode::kNotFound, "ip link"},
        Case{{.interface = "much-too-long-a-name"}, absl::StatusCode::kNotFound, "ip link"},
        Case{{.interface = "lo"}, absl::StatusCode::kFailedPrecondition, "Ethernet"},
        Case{{.interface = "ours0", .mtu = 9000}, absl::StatusCode::kInvalidArgument, "ip link set ours0 mtu 9000"},
        Case{{.interface = "ours0", .addresses = std::vector<wire::Ipv4Address>(1025)},
             absl::StatusCode::kInvalidArgument,
             "1025 addresses"}}) {
    const absl::Status status = OpenError(c.options);
    EXPECT_EQ(status.code(), c.code) << status;
    EXPECT_TRUE(absl::StrContains(status.message(), c.says)) << status;
  }
  ASSERT_EQ(seteuid(kNobody), 0);
  const absl::Status status = OpenError({.interface = "ours0"});
  ASSERT_EQ(seteuid(0), 0);
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "run as root")) << status;
}

}  // namespace
}  // namespace luna::pmd
