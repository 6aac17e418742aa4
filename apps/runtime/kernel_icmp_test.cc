#include "luna/apps/runtime/kernel_icmp.h"

#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <vector>

#include "gtest/gtest.h"
#include "luna/net/wire/icmpv4.h"
#include "luna/net/wire/testing/frame_builder.h"

namespace luna::apps {
namespace {

using wire::Icmpv4Header;
using Bytes = std::vector<uint8_t>;

// An IPv4 datagram with an ICMP message that quotes a segment from the client to the server.
Bytes Error(uint8_t type, uint8_t code, uint32_t rest = 0) {
  const Bytes quoted = wire::TcpFrame{.sequence = 77}.BuildPacket();
  Bytes message(Icmpv4Header::kSize);
  message.insert(message.end(), quoted.begin(), quoted.begin() + 28);
  wire::Write(Icmpv4Header{.type = type, .code = code, .rest = rest}, absl::MakeSpan(message));
  wire::Ipv4Frame frame;
  frame.header.protocol = wire::IpProtocol::kIcmp;
  frame.payload = message;
  const Bytes bytes = frame.Build();
  return Bytes(bytes.begin() + 14, bytes.end());
}

// A pair of datagram sockets takes the place of the raw one, which only root may open.
class KernelIcmpTest : public ::testing::Test {
 protected:
  void SetUp() override {
    int pair[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair), 0);
    kernel_ = pair[1];
    auto poller = r2c::KernelPoller::Create();
    ASSERT_TRUE(poller.ok());
    poller_ = *std::move(poller);
    auto icmp = KernelIcmp::Watch(pair[0], *poller_, [this](const tcp::IcmpError& error) { heard_.push_back(error); });
    ASSERT_TRUE(icmp.ok()) << icmp.status();
    icmp_ = *std::move(icmp);
  }
  void TearDown() override {
    icmp_.reset();
    EXPECT_EQ(poller_->size(), 0u);
    close(kernel_);
  }
  void KernelSays(const Bytes& datagram) {
    ASSERT_EQ(send(kernel_, datagram.data(), datagram.size(), 0), static_cast<ssize_t>(datagram.size()));
  }

  int kernel_ = -1;
  std::unique_ptr<r2c::KernelPoller> poller_;
  std::unique_ptr<KernelIcmp> icmp_;
  std::vector<tcp::IcmpError> heard_;
};

TEST_F(KernelIcmpTest, TellsErrorsAboutSegmentsInOrder) {
  KernelSays(Error(3, 4, 1280));
  KernelSays(Error(3, 1));
  EXPECT_EQ(poller_->PollOnce(8), 1);
  ASSERT_EQ(heard_.size(), 2u);
  EXPECT_EQ(heard_[0].error, tcp::NetworkError::kMessageTooBig);
  EXPECT_EQ(heard_[0].mtu, 1280u);
  EXPECT_EQ(heard_[0].seq, tcp::SeqNum(77));
  EXPECT_EQ(heard_[0].tuple, (wire::FourTuple{wire::kClient, wire::kServer}));
  EXPECT_EQ(heard_[1].error, tcp::NetworkError::kHostUnreachable);
}

TEST_F(KernelIcmpTest, PassesOverTheRest) {
  KernelSays(Error(8, 0));
  Bytes broken = Error(3, 3);
  broken.back() ^= 1;
  KernelSays(broken);
  Bytes cut = Error(3, 3);
  cut.resize(40);
  KernelSays(cut);
  KernelSays({1, 2, 3});
  KernelSays(Bytes(3000));
  poller_->PollOnce(8);
  EXPECT_TRUE(heard_.empty());
  KernelSays(Error(3, 3));
  poller_->PollOnce(8);
  EXPECT_EQ(heard_.size(), 1u);
}

TEST_F(KernelIcmpTest, AFloodIsReadInPortions) {
  for (int i = 0; i < 24; ++i) {
    if (i % 8 == 0) poller_->PollOnce(1);  // the pair's queue is short
    KernelSays(Error(3, 1));
  }
  for (int i = 0; i < 8; ++i) poller_->PollOnce(1);
  EXPECT_EQ(heard_.size(), 24u);
}

}  // namespace
}  // namespace luna::apps
