// Runs the program in the kernel: filters of datagram sockets see the datagram as a packet socket's sees the frame.
// What they cannot show is the kind of the frame (here: for this host) and VLAN tags; packet_socket_root_test does.
#include "luna/net/pmd/packet_filter.h"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include "gtest/gtest.h"
#include "luna/net/wire/testing/frame_builder.h"

namespace luna::pmd {
namespace {

class PacketFilterTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, sockets_.data()), 0); }
  void TearDown() override {
    for (const int fd : sockets_) close(fd);
  }
  void Attach(const std::vector<wire::Ipv4Address>& addresses) {
    std::vector<sock_filter> filter = PacketFilter(addresses);
    const sock_fprog program = {.len = static_cast<uint16_t>(filter.size()), .filter = filter.data()};
    ASSERT_EQ(setsockopt(sockets_[1], SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)), 0) << strerror(errno);
  }
  bool Passes(const std::vector<uint8_t>& frame) {
    (void)send(sockets_[0], frame.data(), frame.size(), 0);  // EPERM when it is refused
    std::vector<uint8_t> out(70'000);
    const ssize_t n = recv(sockets_[1], out.data(), out.size(), 0);
    if (n < 0) return false;
    out.resize(static_cast<size_t>(n));
    EXPECT_EQ(out, frame);  // whole
    return true;
  }

 private:
  std::array<int, 2> sockets_;
};

std::vector<uint8_t> To(wire::Ipv4Address destination, size_t bytes = 20) {
  return wire::Ipv4Frame{
      .header = {.protocol = 6, .source = wire::Ipv4Address(10, 0, 0, 9), .destination = destination},
      .payload = std::vector<uint8_t>(bytes)}
      .Build();
}

constexpr wire::Ipv4Address kFirst(10, 0, 0, 1);
constexpr wire::Ipv4Address kSecond(192, 168, 255, 254);

TEST_F(PacketFilterTest, PassesArpAndOurAddresses) {
  Attach({kFirst, kSecond});
  EXPECT_TRUE(Passes(wire::ArpFrame{}.Build()));
  EXPECT_TRUE(Passes(To(kFirst)));
  EXPECT_TRUE(Passes(To(kSecond)));
  EXPECT_TRUE(Passes(To(kSecond, 65'000)));
  EXPECT_FALSE(Passes(To(wire::Ipv4Address(10, 0, 0, 2))));
  EXPECT_FALSE(Passes(To(wire::Ipv4Address(255, 255, 255, 255))));
}

TEST_F(PacketFilterTest, RefusesOtherProtocolsAndStumps) {
  Attach({kFirst});
  std::vector<uint8_t> frame = To(kFirst);
  frame[12] = 0x86;  // IPv6
  frame[13] = 0xdd;
  EXPECT_FALSE(Passes(frame));
  frame = To(kFirst);
  frame.resize(33);  // ends within the destination
  EXPECT_FALSE(Passes(frame));
  EXPECT_FALSE(Passes(std::vector<uint8_t>(13)));
}

TEST_F(PacketFilterTest, WithoutAddressesOnlyArp) {
  Attach({});
  EXPECT_TRUE(Passes(wire::ArpFrame{}.Build()));
  EXPECT_FALSE(Passes(To(kFirst)));
}

TEST_F(PacketFilterTest, TheKernelTakesAsManyAddressesAsThereMayBe) {
  std::vector<wire::Ipv4Address> addresses;
  for (uint32_t i = 0; i < kMaxFilterAddresses; ++i) addresses.emplace_back(0x0a010000 + i);
  Attach(addresses);
  EXPECT_TRUE(Passes(To(addresses.front())));
  EXPECT_TRUE(Passes(To(addresses.back())));
  EXPECT_FALSE(Passes(To(kFirst)));
}

}  // namespace
}  // namespace luna::pmd
