#include "luna/net/tcp/testing/packetscript/settings.h"

#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace luna::tcp::packetscript {
namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;

TEST(SettingsTest, SysctlsInAllTheirSpellings) {
  EXPECT_EQ(ReadCommand("../common/defaults.sh\nsysctl -q net.ipv4.tcp_ecn=1  # fully; enabled\n").settings,
            (Pairs{{"net.ipv4.tcp_ecn", "1"}}));
  EXPECT_EQ(
      ReadCommand("./common/defaults.sh\n./set_sysctls.py /proc/sys/net/ipv4/tcp_a=1 \\\n  /proc/sys/net/ipv4/b=2")
          .settings,
      (Pairs{{"net.ipv4.tcp_a", "1"}, {"net.ipv4.b", "2"}}));
  EXPECT_EQ(ReadCommand("/sbin/sysctl -w net.ipv4.tcp_rmem=\"4096 87380 1000\" net/ipv4/x=3; echo 7 > /proc/sys/net/y")
                .settings,
            (Pairs{{"net.ipv4.tcp_rmem", "4096 87380 1000"}, {"net.ipv4.x", "3"}, {"net.y", "7"}}));
  EXPECT_EQ(ReadCommand("sysctl -n net.inet.tcp.rfc1323 && sysctl net.inet.tcp.ecn.enable=0").settings,
            (Pairs{{"net.inet.tcp.ecn.enable", "0"}}));
}

TEST(SettingsTest, AQueueWithoutRoomRefusesPackets) {
  EXPECT_EQ(
      ReadCommand("tc qdisc delete dev tun0 root 2>/dev/null ; tc qdisc add dev tun0 root pfifo limit 0").settings,
      (Pairs{{"luna.refuse_packets", "0"}, {"luna.refuse_packets", "1"}}));
}

TEST(SettingsTest, OtherCommandsAreNamed) {
  const CommandReading reading = ReadCommand("/tmp/sysctl_restore_${PPID}.sh\ntc qdisc add dev tun0 root; sleep 1");
  EXPECT_TRUE(reading.settings.empty());
  EXPECT_EQ(reading.skipped, (std::vector<std::string>{"tc qdisc add dev tun0 root", "sleep 1"}));
  EXPECT_TRUE(ReadCommand("  \n ; ./defaults.sh").skipped.empty());
}

}  // namespace
}  // namespace luna::tcp::packetscript
