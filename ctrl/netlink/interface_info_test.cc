#include "luna/ctrl/netlink/interface_info.h"

#include <linux/rtnetlink.h>

#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "luna/ctrl/netlink/testing/fake_socket.h"
#include "luna/ctrl/netlink/testing/messages.h"

namespace luna::netlink {
namespace {

using testing::FakeSocket;

class InterfaceInfoTest : public ::testing::Test {
 protected:
  InterfaceInfoTest() {
    socket_.SetDump(RTM_GETLINK, {testing::NewLink({.ifindex = 1, .name = "lo", .mac = "", .mtu = 65536}),
                                  testing::NewLink({.ifindex = 4, .name = "veth1", .mtu = 9000, .up = false})});
    socket_.SetDump(RTM_GETADDR, {testing::NewAddress("127.0.0.1/8", 1), testing::NewAddress("10.0.0.2/24", 4),
                                  testing::NewAddress("192.0.2.1/32", 4)});
  }
  FakeSocket socket_;
};

TEST_F(InterfaceInfoTest, DescribesAnInterface) {
  const auto info = InterfaceInfo(socket_, "veth1");
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->ifindex, 4);
  EXPECT_EQ(info->name, "veth1");
  EXPECT_EQ(info->mac.ToString(), "02:00:00:00:00:02");
  EXPECT_EQ(info->mtu, 9000u);
  EXPECT_FALSE(info->up);
  ASSERT_EQ(info->addresses.size(), 2u);
  EXPECT_EQ(info->addresses[0].ToString(), "10.0.0.2/24");
  EXPECT_EQ(info->addresses[1].ToString(), "192.0.2.1/32");
}

TEST_F(InterfaceInfoTest, AnUnknownNameIsAnsweredWithTheKnownOnes) {
  const auto info = InterfaceInfo(socket_, "eth7");
  EXPECT_EQ(info.status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(info.status().message(), "no network interface \"eth7\"; there are: lo, veth1");
}

TEST_F(InterfaceInfoTest, PassesErrorsOn) {
  socket_.FailDump(RTM_GETADDR, 1);
  EXPECT_EQ(InterfaceInfo(socket_, "lo").status().code(), absl::StatusCode::kInternal);
  socket_.FailSends(absl::UnavailableError("no"));
  EXPECT_EQ(InterfaceInfo(socket_, "lo").status().code(), absl::StatusCode::kUnavailable);
}

// Against the real kernel: a loopback interface is everywhere, and dumps need no privilege.
TEST(InterfaceInfoKernel, KnowsLoopback) {
  const auto info = InterfaceInfo("lo");
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_GT(info->ifindex, 0);
  EXPECT_GT(info->mtu, 0u);
  EXPECT_EQ(InterfaceInfo("no such link").status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace luna::netlink
