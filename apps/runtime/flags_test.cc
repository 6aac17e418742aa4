#include "luna/apps/runtime/flags.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "gflags/gflags.h"
#include "gtest/gtest.h"

namespace luna::apps {
namespace {

// Flags set for one test, and set back after it.
class Flags {
 public:
  using Values = std::vector<std::pair<std::string, std::string>>;
  explicit Flags(const Values& values) {
    for (const auto& [name, value] : values) {
      EXPECT_FALSE(gflags::SetCommandLineOption(name.c_str(), value.c_str()).empty()) << name;
    }
  }

 private:
  gflags::FlagSaver saver_;
};

TEST(Flags, BecomeOptions) {
  const Flags flags(
      Flags::Values{{"device", "tap:x"},     {"address", "10.1.2.3/16"},
                    {"gateway", "10.1.0.1"}, {"neighbour", "10.1.0.7=02:00:00:00:00:07,10.1.0.8=02:00:00:00:00:08"},
                    {"mtu", "9000"},         {"vlan", "4094"},
                    {"memory_mb", "64"},     {"huge", "off"},
                    {"tcp_profile", "rfc"},  {"ecn", "always"},
                    {"send_buffer", "4096"}, {"receive_buffer", "1073741824"},
                    {"tcp_memory_mb", "64"}, {"max_connections", "1000"},
                    {"stats", "100ms"},      {"faults", "loss=0.25,corrupt=1,seed=7"},
                    {"pcap", "/x.pcap"},     {"cpu", "1,3"},
                    {"workers", "2"},        {"model", "batch"},
                    {"idle", "50us"},        {"stall", "10ms"},
                    {"drain", "250ms"}});
  const auto options = RuntimeOptionsFromFlags();
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->device, "tap:x");
  ASSERT_EQ(options->addresses.size(), 1u);
  EXPECT_EQ(options->addresses[0].ToString(), "10.1.2.3/16");
  ASSERT_EQ(options->gateways.size(), 1u);
  EXPECT_EQ(options->gateways[0].ToString(), "10.1.0.1");
  ASSERT_EQ(options->neighbours.size(), 2u);
  EXPECT_EQ(options->neighbours[1].first.ToString(), "10.1.0.8");
  EXPECT_EQ(options->neighbours[1].second.ToString(), "02:00:00:00:00:08");
  EXPECT_EQ(options->mtu, 9000u);
  EXPECT_EQ(options->vlan, 4094);
  EXPECT_EQ(options->memory_mb, 64u);
  EXPECT_EQ(options->huge, HugePages::kOff);
  EXPECT_EQ(options->tcp_profile, TcpProfile::kRfc);
  EXPECT_EQ(options->ecn, Ecn::kAlways);
  EXPECT_EQ(options->send_buffer_bytes, 4096u);
  EXPECT_EQ(options->receive_buffer_bytes, 1u << 30);
  EXPECT_EQ(options->tcp_memory_mb, 64u);
  EXPECT_EQ(options->max_connections, 1000u);
  EXPECT_EQ(options->stats_interval, Duration::Milliseconds(100));
  ASSERT_TRUE(options->faults.has_value());
  EXPECT_EQ(options->faults->seed, 7u);
  for (const pmd::FaultRates& rates : {options->faults->receive, options->faults->transmit}) {
    EXPECT_EQ(rates.drop, 0.25);
    EXPECT_EQ(rates.corrupt, 1);
    EXPECT_EQ(rates.duplicate, 0);
  }
  EXPECT_EQ(options->pcap, "/x.pcap");
  EXPECT_EQ(options->workers, 2u);
  EXPECT_EQ(options->cpus, (std::vector<int>{1, 3}));
  EXPECT_EQ(options->model, Model::kBatch);
  EXPECT_EQ(options->idle_spin, Duration::Microseconds(50));
  EXPECT_EQ(options->stall_limit, Duration::Milliseconds(10));
  EXPECT_EQ(options->drain_limit, Duration::Milliseconds(250));
}

TEST(Flags, DefaultsNeedOnlyADevice) {
  const Flags flags(Flags::Values{{"device", "xdp:eth1"}});
  const auto options = RuntimeOptionsFromFlags();
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_TRUE(options->addresses.empty());
  EXPECT_FALSE(options->faults.has_value());
  EXPECT_EQ(options->ecn, Ecn::kProfile);
  EXPECT_EQ(options->huge, HugePages::kAuto);
  EXPECT_EQ(options->tcp_profile, TcpProfile::kDataCentre);
}

TEST(Flags, ErrorsNameFlagValueAndMend) {
  struct Case {
    const char* flag;
    const char* value;
    const char* mend;
  };
  for (const Case& c : std::vector<Case>{{"address", "10.0.0.300/24", "10.0.0.2/24"},
                                         {"address", "10.0.0.2", "10.0.0.2/24"},
                                         {"address", "255.255.255.255/24", "not an address"},
                                         {"address", "127.0.0.1/8", "not an address"},
                                         {"gateway", "router", "10.0.0.254"},
                                         {"neighbour", "10.0.0.1=zz", "ADDRESS=MAC"},
                                         {"mtu", "9001", "9000"},
                                         {"vlan", "4095", "1 to 4094"},
                                         {"ecn", "on", "on_request"},
                                         {"send_buffer", "2047", "2048"},
                                         {"receive_buffer", "1073741825", "1073741824"},
                                         {"faults", "loss=1.5", "0 to 1"},
                                         {"faults", "loss=nan", "0 to 1"},
                                         {"faults", "gremlins=1", "loss="},
                                         {"faults", "seed=x", "seed=NUMBER"},
                                         {"memory_mb", "7", "8 or more"},
                                         {"tcp_memory_mb", "129", "--memory_mb=128"},
                                         {"max_connections", "16777217", "16777216"},
                                         {"stats", "often", "250ms"},
                                         {"huge", "yes", "auto, on or off"},
                                         {"tcp_profile", "DC", "dc or rfc"},
                                         {"model", "r2c", "inline or batch"},
                                         {"idle", "never", "spin"},
                                         {"idle", "0us", "spin"},
                                         {"stall", "long", "250ms"},
                                         {"drain", "0s", "5s"}}) {
    const Flags flags(Flags::Values{{"device", "tap:x"}, {c.flag, c.value}});
    const auto options = RuntimeOptionsFromFlags();
    ASSERT_EQ(options.status().code(), absl::StatusCode::kInvalidArgument) << c.flag << "=" << c.value;
    const std::string message(options.status().message());
    EXPECT_TRUE(absl::StrContains(message, std::string("--") + c.flag + "=" + c.value)) << message;
    EXPECT_TRUE(absl::StrContains(message, c.mend)) << message;
  }
}

TEST(Flags, Durations) {
  const std::vector<std::pair<const char*, Duration>> good = {
      {"5s", Duration::Seconds(5)},          {"5", Duration::Seconds(5)},
      {"0.5s", Duration::Milliseconds(500)}, {"250ms", Duration::Milliseconds(250)},
      {"10us", Duration::Microseconds(10)},  {"2m", Duration::Seconds(120)},
      {"1h", Duration::Seconds(3600)}};
  for (const auto& [text, wanted] : good) {
    const auto parsed = ParseDurationFlag("duration", text);
    ASSERT_TRUE(parsed.ok()) << text;
    EXPECT_EQ(*parsed, wanted) << text;
  }
  for (const char* text : {"", "s", "-1s", "0", "soon", "1e30s", "nan", "inf", "5 apples", "1d"}) {
    EXPECT_FALSE(ParseDurationFlag("duration", text).ok()) << text;
  }
}

TEST(Flags, Endpoints) {
  const auto good = ParseEndpointFlag("connect", "10.0.0.2:61441");
  ASSERT_TRUE(good.ok());
  EXPECT_EQ(good->ToString(), "10.0.0.2:61441");
  for (const char* text : {"", "10.0.0.2", "10.0.0.2:0", "10.0.0.2:65536", ":80", "host:80", "[::1]:80"}) {
    const auto bad = ParseEndpointFlag("connect", text);
    ASSERT_FALSE(bad.ok()) << text;
    EXPECT_TRUE(absl::StrContains(bad.status().message(), "--connect=")) << bad.status();
  }
}

TEST(Flags, ExitCodes) {
  EXPECT_EQ(ExitWith(absl::InvalidArgumentError("x")), 2);
  EXPECT_EQ(ExitWith(absl::UnavailableError("x")), 1);
}

}  // namespace
}  // namespace luna::apps
