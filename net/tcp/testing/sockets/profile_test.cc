#include "luna/net/tcp/testing/sockets/profile.h"

#include "gtest/gtest.h"

namespace luna::tcp::testing {
namespace {

TEST(Profile, ByName) {
  EXPECT_FALSE(ProfileByName("linux-test")->sockets.bsd);
  EXPECT_TRUE(ProfileByName("bsd-test")->sockets.bsd);
  EXPECT_EQ(ProfileByName("plan9").status().code(), absl::StatusCode::kNotFound);
}

TEST(Profile, SysctlsBySpelling) {
  for (const char* name :
       {"net.ipv4.tcp_sack", "net/ipv4/tcp_sack", "/proc/sys/net/ipv4/tcp_sack", "net.inet.tcp.sack.enable"}) {
    HostProfile profile = LinuxTestProfile();
    EXPECT_TRUE(ApplySysctl(name, "0", &profile).ok()) << name;
    EXPECT_FALSE(profile.stack.sack) << name;
  }
}

TEST(Profile, ValuesReachTheStack) {
  HostProfile p = LinuxTestProfile();
  EXPECT_TRUE(ApplySysctl("net.ipv4.tcp_ecn", "1", &p).ok());
  EXPECT_EQ(p.stack.ecn, EcnMode::kAlways);
  EXPECT_TRUE(ApplySysctl("net.ipv4.tcp_rmem", "4096\t20000  60000", &p).ok());
  EXPECT_EQ(p.stack.receive_buffer_bytes, 10000u);
  EXPECT_EQ(p.stack.receive_buffer_max_bytes, 60000u);
  EXPECT_EQ(p.sockets.receive_buffer_bytes, 20000u);
  EXPECT_TRUE(ApplySysctl("net.ipv4.tcp_fin_timeout", "7", &p).ok());
  EXPECT_EQ(p.stack.fin_wait_2, Duration::Seconds(7));
  EXPECT_TRUE(ApplySysctl("net.inet.tcp.keepidle", "1500", &p).ok());
  EXPECT_EQ(p.stack.keep_alive_idle, Duration::Milliseconds(1500));
  EXPECT_TRUE(ApplySysctl("net.ipv4.ip_local_port_range", "2000 3000", &p).ok());
  EXPECT_EQ(p.stack.ephemeral_last, 3000);
  EXPECT_TRUE(ApplySysctl("net.ipv4.tcp_notsent_lowat", "16384", &p).ok());
  EXPECT_EQ(p.stack.unsent_low_water, 16384u);
  EXPECT_TRUE(ApplySysctl("net.ipv4.tcp_notsent_lowat", "4294967295", &p).ok());
  EXPECT_TRUE(ApplySysctl("net.ipv4.tcp_syn_retries", "2", &p).ok());
  EXPECT_EQ(p.stack.syn_retries, 2);
  EXPECT_TRUE(ApplySysctl("net.ipv4.tcp_slow_start_after_idle", "1", &p).ok());
  EXPECT_TRUE(p.stack.idle_restart);
  EXPECT_TRUE(ApplySysctl("net.ipv4.tcp_recovery", "2", &p).ok());
  EXPECT_FALSE(p.stack.rack);
  EXPECT_TRUE(ApplySysctl("net.ipv4.tcp_early_retrans", "0", &p).ok());
  EXPECT_FALSE(p.stack.tail_loss_probe);
  EXPECT_TRUE(ApplySysctl("net.ipv4.tcp_syncookies", "2", &p).ok());
  EXPECT_EQ(p.stack.syn_cookies, SynCookies::kAlways);
  EXPECT_TRUE(ApplySysctl("net.core.somaxconn", "16", &p).ok());
  EXPECT_EQ(p.sockets.listen_backlog_limit, 16u);
  EXPECT_TRUE(ApplySysctl("net.inet.tcp.delayed_ack", "0", &p).ok());
  EXPECT_EQ(p.stack.delayed_ack, Duration::Zero());
}

TEST(Profile, CongestionControlByName) {
  HostProfile linux_host = LinuxTestProfile();
  HostProfile bsd_host = BsdTestProfile();
  EXPECT_TRUE(ApplySysctl("net.ipv4.tcp_congestion_control", "cubic", &linux_host).ok());
  EXPECT_EQ(linux_host.stack.congestion, CongestionAlgorithm::kCubic);
  EXPECT_STREQ(CongestionName(linux_host), "cubic");
  EXPECT_TRUE(ApplySysctl("net.ipv4.tcp_congestion_control", "reno", &linux_host).ok());
  EXPECT_EQ(linux_host.stack.congestion, CongestionAlgorithm::kNewReno);
  EXPECT_STREQ(CongestionName(linux_host), "reno");
  EXPECT_TRUE(ApplySysctl("net.inet.tcp.cc.algorithm", "newreno", &bsd_host).ok());
  EXPECT_STREQ(CongestionName(bsd_host), "newreno");
}

TEST(Profile, WhatIsRefused) {
  HostProfile p = LinuxTestProfile();
  EXPECT_EQ(ApplySysctl("net.ipv4.no_such", "1", &p).code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(ApplySysctl("net.ipv4.tcp_tso_win_divisor", "100", &p).ok());
  for (const auto& [name, value] : {std::pair{"net.ipv4.tcp_sack", "yes"},
                                    {"net.ipv4.tcp_ecn", "3"},
                                    {"net.ipv4.tcp_rmem", "4096"},
                                    {"net.ipv4.tcp_syncookies", "3"},
                                    {"net.core.somaxconn", "-1"},
                                    {"net.ipv4.tcp_congestion_control", "bbr"},
                                    {"net.ipv4.tcp_syn_retries", "256"},
                                    {"net.ipv4.ip_local_port_range", "3000 2000"},
                                    {"net.ipv4.tcp_sack", ""}}) {
    EXPECT_EQ(ApplySysctl(name, value, &p).code(), absl::StatusCode::kInvalidArgument) << name << "=" << value;
  }
}

}  // namespace
}  // namespace luna::tcp::testing
