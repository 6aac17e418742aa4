// The data path on one end of a pair of datagram sockets: they keep messages apart and cut and refuse as packet sockets
// do. The test is the kernel on the other end. What needs a real interface is in packet_socket_root_test.
#include "luna/net/pmd/packet_socket.h"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "luna/mem/zbuf/testing/test_slab.h"
#include "luna/net/pmd/packet_util.h"
#include "luna/net/pmd/vnet_header.h"

namespace luna::pmd {
namespace {

using Frame = std::vector<uint8_t>;

Frame Octets(size_t n, uint8_t first = 0) {
  Frame frame(n);
  for (size_t i = 0; i < n; ++i) frame[i] = static_cast<uint8_t>(first + i * 7 + i / 251);
  return frame;
}

class PacketSocketTest : public testing::Test {
 protected:
  void SetUp() override { Open(/*offloads=*/true); }
  void TearDown() override {
    io_.reset();
    close(kernel_);
  }

  void Open(bool offloads, uint32_t mtu = 1500) {
    if (io_ != nullptr) TearDown();
    std::array<int, 2> fds;
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, fds.data()), 0) << strerror(errno);
    kernel_ = fds[0];
    offloads_ = offloads;
    Capabilities capabilities{.name = "pair", .mtu = mtu, .max_tx_segments = PacketSocketIo::kMaxTxSegments};
    capabilities.tx_tcp_checksum = capabilities.trust_rx_checksum = offloads;
    io_ = std::make_unique<PacketSocketIo>(fds[1], capabilities, memory_.slab());
  }

  void KernelSends(const Frame& frame, const VnetHeader& header = {}) {
    Frame message(offloads_ ? sizeof(header) : 0);
    if (offloads_) std::memcpy(message.data(), &header, sizeof(header));
    message.insert(message.end(), frame.begin(), frame.end());
    ASSERT_EQ(send(kernel_, message.data(), message.size(), 0), static_cast<ssize_t>(message.size()))
        << strerror(errno);
  }
  // The next frame that was sent, and its header. Empty when there is none.
  Frame KernelReceives(VnetHeader* header = nullptr) {
    Frame message(70'000);
    const ssize_t n = recv(kernel_, message.data(), message.size(), 0);
    if (n < 0) return {};
    const size_t prefix = offloads_ ? sizeof(VnetHeader) : 0;
    if (header != nullptr) std::memcpy(header, message.data(), sizeof(*header));
    return Frame(message.begin() + static_cast<std::ptrdiff_t>(prefix), message.begin() + n);
  }
  Packet Make(const Frame& frame, size_t slice_bytes = 1 << 20) {
    Packet packet;
    packet.data = memory_.ChainOfSlices(std::string(frame.begin(), frame.end()), slice_bytes);
    return packet;
  }
  static VnetHeader SuperPacket(uint8_t type = VnetHeader::kTcpV4) {
    VnetHeader header = {};
    header.flags = VnetHeader::kNeedsChecksum;
    header.checksum_start = 34;
    header.checksum_offset = 16;
    header.gso_type = type;
    header.gso_bytes = 1448;
    header.header_bytes = 66;
    return header;
  }

  zbuf::TestSlab memory_;
  std::unique_ptr<PacketSocketIo> io_;
  bool offloads_ = true;
  int kernel_ = -1;
  std::array<Packet, 64> out_;
};

TEST_F(PacketSocketTest, FramesArriveInOrderWithTheirFacts) {
  VnetHeader partial = SuperPacket(VnetHeader::kNoSegments);
  KernelSends(Octets(60, 1), partial);
  KernelSends(Octets(1514, 2));
  ASSERT_EQ(io_->ReceiveBurst(absl::MakeSpan(out_), Time::FromNanoseconds(5)), 2u);
  EXPECT_EQ(ToBytes(out_[0]), Octets(60, 1));
  EXPECT_EQ(out_[0].rx.l4_checksum, ChecksumStatus::kGood);
  EXPECT_EQ(out_[0].rx.ip_checksum, ChecksumStatus::kUnknown);
  EXPECT_EQ(out_[0].rx.arrival, Time::FromNanoseconds(5));
  EXPECT_EQ(ToBytes(out_[1]), Octets(1514, 2));
  EXPECT_EQ(out_[1].rx.l4_checksum, ChecksumStatus::kUnknown);
  EXPECT_EQ(out_[1].data.HeadRoom(), kTxHeadroomBytes);
  EXPECT_EQ(io_->stats().rx_packets, 2u);
  EXPECT_EQ(io_->stats().rx_bytes, 1574u);  // without headers
  EXPECT_EQ(io_->stats().bytes_copied_rx, 0u);
}

TEST_F(PacketSocketTest, SuperPacketsOf64KbArriveWhole) {
  for (const int type : {int{VnetHeader::kTcpV4}, VnetHeader::kTcpV4 | VnetHeader::kEcn}) {
    KernelSends(Octets(65'549), SuperPacket(static_cast<uint8_t>(type)));  // the longest IPv4 datagram
    ASSERT_EQ(io_->ReceiveBurst(absl::MakeSpan(out_), Time()), 1u);
    EXPECT_EQ(ToBytes(out_[0]), Octets(65'549));
    out_[0] = Packet();
  }
  EXPECT_EQ(io_->stats().rx_dropped, 0u);
}

TEST_F(PacketSocketTest, FramesThatNoLinkCarriesAreDroppedAndTheOthersArrive) {
  KernelSends(Octets(1519));                   // longer than the MTU allows, and no super-packet
  KernelSends(Octets(65'600), SuperPacket());  // longer than an IPv4 datagram can be
  KernelSends(Octets(13));
  KernelSends(Octets(1518, 3));
  ASSERT_EQ(io_->ReceiveBurst(absl::MakeSpan(out_), Time()), 1u);
  EXPECT_EQ(ToBytes(out_[0]), Octets(1518, 3));
  EXPECT_EQ(io_->stats().rx_dropped, 3u);
}

TEST_F(PacketSocketTest, WithoutOffloadsThereAreNoHeaders) {
  Open(/*offloads=*/false);
  KernelSends(Octets(1514));
  KernelSends(Octets(9000));  // cut by the kernel, which says so
  ASSERT_EQ(io_->ReceiveBurst(absl::MakeSpan(out_), Time()), 1u);
  EXPECT_EQ(ToBytes(out_[0]), Octets(1514));
  EXPECT_EQ(out_[0].rx.l4_checksum, ChecksumStatus::kUnknown);
  EXPECT_EQ(io_->stats().rx_dropped, 1u);
  Packet packet = Make(Octets(60));
  ASSERT_EQ(io_->TransmitBurst({&packet, 1}), 1u);
  EXPECT_EQ(KernelReceives(), Octets(60));
}

TEST_F(PacketSocketTest, ABurstIsBoundedAndKeepsTheRest) {
  for (uint8_t i = 0; i < 20; ++i) KernelSends(Octets(60, i));
  EXPECT_EQ(io_->ReceiveBurst(absl::MakeSpan(out_).subspan(0, 3), Time()), 3u);
  size_t n = 3;
  while (const size_t got = io_->ReceiveBurst(absl::MakeSpan(out_).subspan(n), Time())) n += got;
  ASSERT_EQ(n, 20u);
  for (uint8_t i = 0; i < 20; ++i) EXPECT_EQ(ToBytes(out_[i]), Octets(60, i));
}

TEST_F(PacketSocketTest, WithoutMemoryFramesWaitInTheKernel) {
  KernelSends(Octets(60, 1));
  ASSERT_EQ(io_->ReceiveBurst(absl::MakeSpan(out_).subspan(0, 1), Time()), 1u);
  std::vector<std::byte*> taken;
  while (std::byte* obj = memory_.slab().Alloc(zbuf::kReceiveObjBytes)) taken.push_back(obj);
  KernelSends(Octets(60, 2));
  EXPECT_EQ(io_->ReceiveBurst(absl::MakeSpan(out_).subspan(1), Time()), 0u);
  EXPECT_EQ(io_->stats().rx_no_buffer, 1u);
  memory_.slab().FreeBulk(taken);
  ASSERT_EQ(io_->ReceiveBurst(absl::MakeSpan(out_).subspan(1), Time()), 1u);
  EXPECT_EQ(ToBytes(out_[1]), Octets(60, 2));
  EXPECT_EQ(io_->stats().rx_dropped, 0u);
}

TEST_F(PacketSocketTest, SentFramesAreGatheredAndAskForTheirChecksum) {
  std::array<Packet, 2> packets;
  packets[0] = Make(Octets(1000, 1), 100);
  packets[0].tx = {.l4_checksum = true, .l2_bytes = 14, .l3_bytes = 20, .l4_bytes = 32};
  packets[1] = Make(Octets(42, 2));
  ASSERT_EQ(io_->TransmitBurst(absl::MakeSpan(packets)), 2u);
  EXPECT_TRUE(packets[0].data.empty());
  VnetHeader header;
  EXPECT_EQ(KernelReceives(&header), Octets(1000, 1));
  EXPECT_EQ(header.flags, VnetHeader::kNeedsChecksum);
  EXPECT_EQ(header.checksum_start, 34);
  EXPECT_EQ(header.checksum_offset, 16);
  EXPECT_EQ(KernelReceives(&header), Octets(42, 2));
  EXPECT_EQ(header.flags, 0);
  EXPECT_EQ(io_->stats().tx_packets, 2u);
  EXPECT_EQ(io_->stats().tx_bytes, 1042u);
  EXPECT_EQ(io_->stats().tx_linearised, 0u);
}

TEST_F(PacketSocketTest, ABurstLongerThanACallLeavesWhole) {
  std::vector<Packet> packets;
  // Few enough that the socket's queue takes them all (net.unix.max_dgram_qlen), read in between.
  Open(/*offloads=*/true);
  size_t sent = 0;
  for (uint8_t i = 0; i < 40; ++i) packets.push_back(Make(Octets(60, i)));
  uint8_t next = 0;
  while (sent < packets.size()) {
    const size_t n = io_->TransmitBurst(absl::MakeSpan(packets).subspan(sent));
    ASSERT_GT(n, 0u);
    sent += n;
    for (Frame frame = KernelReceives(); !frame.empty(); frame = KernelReceives()) {
      EXPECT_EQ(frame, Octets(60, next)) << int{next};
      ++next;
    }
  }
  EXPECT_EQ(next, 40);
  EXPECT_EQ(io_->stats().tx_packets, 40u);
  EXPECT_EQ(io_->stats().tx_dropped, 0u);
}

TEST_F(PacketSocketTest, AFullQueueKeepsTheRest) {
  std::vector<Packet> packets;
  for (size_t i = 0; i < 2000; ++i) packets.push_back(Make(Octets(60)));
  const size_t n = io_->TransmitBurst(absl::MakeSpan(packets));
  ASSERT_LT(n, 2000u);
  EXPECT_TRUE(packets[n - 1].data.empty());
  EXPECT_FALSE(packets[n].data.empty());
  EXPECT_EQ(io_->stats().tx_full, 2000 - n);
  EXPECT_EQ(io_->stats().tx_dropped, 0u);
}

TEST_F(PacketSocketTest, FramesThatCanNeverLeaveAreDroppedAndTheOthersLeave) {
  std::array<Packet, 4> packets;
  packets[0] = Make(Octets(60, 1));
  packets[1] = Make(Octets(1519));
  packets[2] = Make(Octets(13));
  packets[3] = Make(Octets(60, 2));
  EXPECT_EQ(io_->TransmitBurst(absl::MakeSpan(packets)), 4u);
  EXPECT_EQ(KernelReceives(), Octets(60, 1));
  EXPECT_EQ(KernelReceives(), Octets(60, 2));
  EXPECT_EQ(KernelReceives(), Frame());
  EXPECT_EQ(io_->stats().tx_dropped, 2u);
}

TEST_F(PacketSocketTest, MoreSlicesThanSixteenAreLinearised) {
  Packet packet = Make(Octets(1000), 50);
  EXPECT_EQ(io_->TransmitBurst({&packet, 1}), 1u);
  EXPECT_EQ(KernelReceives(), Octets(1000));
  EXPECT_EQ(io_->stats().tx_linearised, 1u);
  EXPECT_EQ(io_->stats().bytes_copied_tx, 1000u);
}

TEST_F(PacketSocketTest, AnErrorOfOneFrameDropsThatFrame) {
  close(kernel_);  // ECONNREFUSED from now on
  kernel_ = -1;
  Packet packet = Make(Octets(60));
  EXPECT_EQ(io_->TransmitBurst({&packet, 1}), 1u);
  EXPECT_EQ(io_->stats().tx_dropped, 1u);
  EXPECT_EQ(io_->stats().tx_full, 0u);
}

}  // namespace
}  // namespace luna::pmd
