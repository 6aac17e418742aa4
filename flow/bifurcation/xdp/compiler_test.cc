#include "luna/flow/bifurcation/xdp/compiler.h"

#include <cstdlib>
#include <random>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "luna/flow/bifurcation/xdp/testing/bpf_interpreter.h"
#include "luna/flow/bifurcation/xdp/testing/frames.h"

namespace luna::bifurcation::xdp {
namespace {

constexpr int kMapFd = 77;
const wire::Ipv4Address kA(10, 0, 0, 2);
const wire::Ipv4Address kB(192, 168, 255, 254);  // the sign bit of the 32-bit immediate is set

PortPlan Plan(PortPlanSpec spec) { return PortPlan::Create(spec).value(); }

const PortPlan& EchoPlan() {
  static const PortPlan* const kPlan =
      new PortPlan(Plan({.addresses = {kA}, .listen_ports = {8080}, .client_ranges = {{61440, 65535}}}));
  return *kPlan;
}

// XDP_REDIRECT or XDP_PASS; fails the test on a fault.
uint32_t Verdict(const std::vector<bpf_insn>& program, const std::vector<uint8_t>& frame, uint32_t queue = 0) {
  const BpfWorld world{.frame = frame, .rx_queue = queue, .xskmap_fd = kMapFd, .queue_with_socket = 0};
  const absl::StatusOr<BpfVerdict> verdict = RunXdp(program, world);
  EXPECT_TRUE(verdict.ok()) << verdict.status();
  return verdict.ok() ? verdict->action : static_cast<uint32_t>(XDP_ABORTED);
}

TEST(Compiler, Table) {
  const std::vector<bpf_insn> program = Compile(EchoPlan(), kMapFd).value();
  struct Case {
    const char* what;
    FrameSpec frame;
    uint32_t action;
  };
  const Case kCases[] = {
      {"client range", {}, XDP_REDIRECT},
      {"first of the range", {.destination_port = 61440}, XDP_REDIRECT},
      {"last of the range", {.destination_port = 65535}, XDP_REDIRECT},
      {"below the range", {.destination_port = 61439}, XDP_PASS},
      {"listening port", {.destination_port = 8080}, XDP_REDIRECT},
      {"ssh", {.destination_port = 22}, XDP_PASS},
      {"bytes swapped", {.destination_port = 0x901f}, XDP_PASS},
      {"the source port does not count", {.source_port = 61441, .destination_port = 9}, XDP_PASS},
      {"another host", {.destination = wire::Ipv4Address(10, 0, 0, 3)}, XDP_PASS},
      {"address swapped", {.destination = wire::Ipv4Address(2, 0, 0, 10)}, XDP_PASS},
      {"udp", {.protocol = 17}, XDP_PASS},
      {"icmp", {.protocol = 1}, XDP_PASS},
      {"arp", {.ether_type = 0x0806}, XDP_PASS},
      {"ipv6", {.ether_type = 0x86dd}, XDP_PASS},
      {"version 6 in an IPv4 frame", {.version = 6}, XDP_PASS},
      {"options", {.header_words = 15}, XDP_REDIRECT},
      {"header too short", {.header_words = 4}, XDP_PASS},
      {"first fragment", {.fragment = 0x2000}, XDP_PASS},
      {"later fragment", {.fragment = 0x0001}, XDP_PASS},
      {"last fragment, high offset bit", {.fragment = 0x1000}, XDP_PASS},
      {"no DF", {.fragment = 0}, XDP_REDIRECT},
      {"reserved bit", {.fragment = 0x8000}, XDP_REDIRECT},
      {"one tag", {.vlan_tags = 1}, XDP_PASS},
      {"ports whole", {.truncate_to = 38}, XDP_REDIRECT},
      {"ports cut", {.truncate_to = 37}, XDP_PASS},
      {"options cut", {.header_words = 15, .truncate_to = 60}, XDP_PASS},
      {"IP cut", {.truncate_to = 33}, XDP_PASS},
      {"Ethernet cut", {.truncate_to = 13}, XDP_PASS},
      {"empty", {.truncate_to = 0}, XDP_PASS},
  };
  for (const Case& c : kCases) EXPECT_EQ(Verdict(program, BuildFrame(c.frame)), c.action) << c.what;
}

TEST(Compiler, OneVlanTagWhenAsked) {
  const std::vector<bpf_insn> program = Compile(EchoPlan(), kMapFd, {.match_vlan_tagged = true}).value();
  EXPECT_EQ(Verdict(program, BuildFrame({.vlan_tags = 0})), XDP_REDIRECT);
  EXPECT_EQ(Verdict(program, BuildFrame({.vlan_tags = 1})), XDP_REDIRECT);
  EXPECT_EQ(Verdict(program, BuildFrame({.vlan_tags = 2})), XDP_PASS);
  EXPECT_EQ(Verdict(program, BuildFrame({.vlan_tags = 1, .destination_port = 22})), XDP_PASS);
  EXPECT_EQ(Verdict(program, BuildFrame({.vlan_tags = 1, .truncate_to = 17})), XDP_PASS);
}

TEST(Compiler, AQueueWithoutASocketIsTheKernels) {
  const std::vector<bpf_insn> program = Compile(EchoPlan(), kMapFd).value();
  EXPECT_EQ(Verdict(program, BuildFrame({}), 0), XDP_REDIRECT);
  EXPECT_EQ(Verdict(program, BuildFrame({}), 1), XDP_PASS);
}

TEST(Compiler, TheEmptyPlanPassesEverything) {
  const std::vector<bpf_insn> program = Compile(PortPlan(), kMapFd).value();
  EXPECT_EQ(Verdict(program, BuildFrame({})), XDP_PASS);
}

TEST(Compiler, AgreesWithThePlanOnRandomFrames) {
  const char* replay = std::getenv("LUNA_TEST_SEED");
  const uint32_t seed =
      replay != nullptr ? static_cast<uint32_t>(std::strtoul(replay, nullptr, 0)) : std::random_device()();
  SCOPED_TRACE(::testing::Message() << "LUNA_TEST_SEED=" << seed);
  std::mt19937 random(seed);
  for (int round = 0; round < 40; ++round) {
    PortPlanSpec spec{.allow_privileged = true};
    std::vector<uint16_t> ports;
    const uint16_t low = static_cast<uint16_t>(1 + random() % 30000), span = static_cast<uint16_t>(random() % 5000);
    spec.client_ranges = {{low, static_cast<uint16_t>(low + span)}};
    spec.listen_ports = {static_cast<uint16_t>(40000 + random() % 1000)};
    ports = {low, static_cast<uint16_t>(low + span), spec.listen_ports[0]};
    if (random() % 3 != 0) spec.addresses = {kA, kB};
    const PortPlan plan = Plan(spec);
    const bool tagged = random() % 2 == 0;
    const std::vector<bpf_insn> program = Compile(plan, kMapFd, {.match_vlan_tagged = tagged}).value();
    for (int i = 0; i < 2000; ++i) {
      const FrameSpec f = RandomFrame(random, {kA, kB}, ports);
      const bool luna = IsWholeTcp(f, tagged) && plan.Matches(f.destination, f.destination_port);
      ASSERT_EQ(Verdict(program, BuildFrame(f)), luna ? XDP_REDIRECT : XDP_PASS)
          << plan.ToString() << "\nto " << f.destination << " port " << f.destination_port << " tags " << f.vlan_tags
          << " type " << f.ether_type << " version " << int{f.version} << " ihl " << int{f.header_words} << " fragment "
          << f.fragment << " protocol " << int{f.protocol} << " bytes " << f.truncate_to;
    }
  }
}

TEST(Compiler, NeverReadsOutsideRandomBytes) {
  const std::vector<bpf_insn> program = Compile(EchoPlan(), kMapFd, {.match_vlan_tagged = true}).value();
  std::mt19937 random(1);
  for (int i = 0; i < 20000; ++i) {
    std::vector<uint8_t> frame(random() % 80);
    for (uint8_t& byte : frame) byte = static_cast<uint8_t>(random());
    if (frame.size() > 14 && i % 2 == 0)
      frame[12] = 8, frame[13] = 0, frame[14] = static_cast<uint8_t>(0x40 | (random() & 15));
    Verdict(program, frame);
  }
}

TEST(Compiler, TheLargestPlanStillJumps) {
  PortPlanSpec spec;
  for (int i = 0; i < 512; ++i) spec.listen_ports.push_back(static_cast<uint16_t>(20000 + 2 * i));
  spec.addresses = {kA, kB};
  const PortPlan plan = Plan(spec);
  ASSERT_EQ(plan.rule_count(), PortPlan::kMaxRules);
  const std::vector<bpf_insn> program = Compile(plan, kMapFd).value();
  EXPECT_EQ(Verdict(program, BuildFrame({.destination = kA, .destination_port = 20000})), XDP_REDIRECT);
  EXPECT_EQ(Verdict(program, BuildFrame({.destination = kB, .destination_port = 21022})), XDP_REDIRECT);
  EXPECT_EQ(Verdict(program, BuildFrame({.destination = kB, .destination_port = 21023})), XDP_PASS);
}

TEST(Compiler, RefusesToSpreadByTheSourcePort) {
  const PortPlan plan = Plan({.listen_ports = {8080}, .listen_hash_bits = 2});
  const absl::Status status = Compile(plan, kMapFd).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(status.message(), ::testing::HasSubstr("port 8080"));
}

}  // namespace
}  // namespace luna::bifurcation::xdp
