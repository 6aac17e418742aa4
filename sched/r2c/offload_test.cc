// Offload on is offload off, frame by frame: what two whole hosts put on the wire does not depend on who computes
// checksums, who cuts segments and who puts VLAN tags on and off, nor does what they deliver.

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/types/optional.h"
#include "gtest/gtest.h"
#include "luna/mem/zbuf/testing/test_slab.h"
#include "luna/net/pmd/observer_io.h"
#include "luna/net/pmd/testing/wire_link.h"
#include "luna/net/pmd/vlan_io.h"
#include "luna/net/wire/byte_cursor.h"
#include "luna/net/wire/checksum.h"
#include "luna/net/wire/ethernet.h"
#include "luna/sched/clock/testing/fake_clock.h"
#include "luna/sched/r2c/testing/two_hosts.h"

namespace luna::r2c {
namespace {

using tcp::Connection;
using Frame = std::vector<uint8_t>;

struct Offloads {
  bool checksums = false;
  bool tso = false;
  uint32_t slices = 64;
  bool vlan_insert = false;
  bool vlan_strip = false;
};

struct Scenario {
  uint32_t mtu = 1500;
  bool timestamps = true;
  uint16_t vlan = 0;
  std::set<uint64_t> lost;  // of a's frames
};

// Keeps what arrives. Devices that cut count the IPv4 identification up, which says nothing where fragments are
// forbidden (RFC 6864 §4.1): it is judged, and blotted out with the sum it belongs to.
class Wiretap final : public pmd::ObserverPacketIo {
 public:
  using ObserverPacketIo::ObserverPacketIo;
  std::vector<Frame> frames;

 private:
  void Observe(pmd::FrameDirection direction, absl::Span<const uint8_t> bytes, uint32_t, Time) override {
    if (direction == pmd::FrameDirection::kSent) return;
    Frame frame(bytes.begin(), bytes.end());
    constexpr size_t kType = 12, kIpHeader = 20, kIdentification = 4, kFragment = 6, kSum = 10;
    const size_t ip = wire::LoadBe16(&frame[kType]) == wire::EtherType::kVlan ? 18 : 14;
    if (wire::LoadBe16(&frame[ip - 2]) == wire::EtherType::kIpv4) {
      EXPECT_EQ(wire::ChecksumSum(bytes.subspan(ip, kIpHeader)), 0xffff);
      EXPECT_EQ(wire::LoadBe16(&frame[ip + kFragment]), 0x4000) << "DF";
      wire::StoreBe16(&frame[ip + kIdentification], 0);
      wire::StoreBe16(&frame[ip + kSum], 0);
    }
    frames.push_back(std::move(frame));
  }
};

class Echo final : public Handler {
 public:
  void OnReadable(Connection& c, zbuf::ZChain data) override {
    EXPECT_EQ(c.Send(std::move(data)), tcp::SendResult::kOk);
  }
  void OnPeerClosed(Connection& c) override { c.Close(); }
};

// Writes pieces of many sizes, reads them all back, closes.
class Client final : public Handler {
 public:
  explicit Client(zbuf::TestSlab& slab) : slab_(slab) {}
  void OnConnected(Connection& c) override {
    for (const size_t bytes : {1, 100, 5000, 30'000, 1448, 2896, 8948, 60'000, 70'000, 3}) {
      std::string text(bytes, '\0');
      for (size_t i = 0; i < bytes; ++i) text[i] = static_cast<char>((sent.size() + i) * 31 + (sent.size() + i) / 251);
      sent += text;
      EXPECT_EQ(c.Send(slab_.ChainOfSlices(text, 4000)), tcp::SendResult::kOk);
    }
  }
  void OnReadable(Connection& c, zbuf::ZChain data) override {
    received += data.ToString();
    if (received.size() == sent.size()) c.ShutdownWrite();
  }
  void OnPeerClosed(Connection& c) override { c.Close(); }
  std::string sent, received;

 private:
  zbuf::TestSlab& slab_;
};

struct Outcome {
  std::vector<Frame> to_a, to_b;
  uint64_t handed_over = 0;  // frames that a gave to its device
  uint64_t retransmitted = 0;
  uint64_t bad_checksums = 0;
  uint64_t linearised = 0;
};

Outcome Exchange(const Scenario& scenario, const Offloads& offloads) {
  FakeClock clock;
  zbuf::TestSlab slab_a(16u << 20), slab_b(16u << 20);
  pmd::WireLinkOptions options = pmd::WireLinkOptions::Both({.delay = Duration::Microseconds(20)});
  options.mtu = scenario.mtu;
  options.max_tx_segments = offloads.slices;
  options.checksum_offload = offloads.checksums;
  options.tso = offloads.tso;
  options.vlan_insert = offloads.vlan_insert;
  options.vlan_strip = offloads.vlan_strip;
  options.a_to_b.drop_nth = scenario.lost;
  pmd::WireLink link(slab_a.slab(), slab_b.slab(), options);
  Wiretap tap_a(link.a()), tap_b(link.b());
  tcp::StackConfig config;
  config.mtu = scenario.mtu;
  config.timestamps = scenario.timestamps;
  stats::DropCounters other_vlans;
  absl::optional<pmd::VlanIo> vlan_a, vlan_b;
  if (scenario.vlan != 0) {
    vlan_a.emplace(tap_a, pmd::VlanOptions{.id = scenario.vlan}, slab_a.slab(), other_vlans);
    vlan_b.emplace(tap_b, pmd::VlanOptions{.id = scenario.vlan}, slab_b.slab(), other_vlans);
  }
  pmd::PacketIo& io_a = vlan_a ? static_cast<pmd::PacketIo&>(*vlan_a) : tap_a;
  pmd::PacketIo& io_b = vlan_b ? static_cast<pmd::PacketIo&>(*vlan_b) : tap_b;
  TestHost a(clock, io_a, slab_a.slab(), {wire::Ipv4Address(10, 0, 0, 1), 24}, config, {});
  TestHost b(clock, io_b, slab_b.slab(), {wire::Ipv4Address(10, 0, 0, 2), 24}, config, {});
  Echo echo;
  Client client(slab_a);
  EXPECT_TRUE(b.worker().Listen({wire::IpAddress(), 80}, echo).ok());
  EXPECT_TRUE(a.worker().Connect({b.address(), 80}, client).ok());
  const Time end = clock.Now() + Duration::Seconds(30);
  const auto quiet = [](TestHost& host) { return host.stack().connections() + host.stack().time_wait() == 0; };
  while (clock.Now() < end && !(quiet(a) && quiet(b) && link.Idle())) {
    link.Advance(clock.Now());
    const bool busy = a.worker().RunOnce() | b.worker().RunOnce();
    const Time next = std::min({link.NextDeadline(), a.worker().NextDeadline(), b.worker().NextDeadline(), end});
    clock.AdvanceTo(std::max(busy ? clock.Now() : next, clock.Now() + Duration::Nanoseconds(100)));
  }
  EXPECT_EQ(other_vlans.value(stats::DropReason::kOtherVlan), 0u);
  EXPECT_EQ(client.received, client.sent);
  EXPECT_EQ(client.sent.size(), 178'396u);
  return {.to_a = std::move(tap_a.frames),
          .to_b = std::move(tap_b.frames),
          .handed_over = link.a().stats().tx_packets,
          .retransmitted = a.stack().counters().segments_retransmitted.value(),
          .bad_checksums =
              a.drops().value(stats::DropReason::kTcpBadChecksum) + b.drops().value(stats::DropReason::kTcpBadChecksum),
          .linearised = link.a().stats().tx_linearised};
}

TEST(Offload, WhatIsOnTheWireDoesNotDependOnWhoMadeIt) {
  const Scenario kScenarios[] = {{}, {.timestamps = false}, {.mtu = 9000}, {.mtu = 576}, {.lost = {30, 31, 60, 99}}};
  for (const Scenario& scenario : kScenarios) {
    SCOPED_TRACE("MTU " + std::to_string(scenario.mtu) + (scenario.lost.empty() ? "" : ", with losses"));
    const Outcome plain = Exchange(scenario, {});
    EXPECT_EQ(plain.bad_checksums, 0u);
    EXPECT_EQ(plain.retransmitted > 0, !scenario.lost.empty());
    for (const Offloads& offloads : {Offloads{.checksums = true}, Offloads{.checksums = true, .tso = true},
                                     Offloads{.checksums = true, .tso = true, .slices = 8}}) {
      SCOPED_TRACE(offloads.tso ? "TSO, slices " + std::to_string(offloads.slices) : "checksums");
      const Outcome got = Exchange(scenario, offloads);
      EXPECT_EQ(got.bad_checksums, 0u);
      EXPECT_EQ(got.linearised, 0u);
      EXPECT_EQ(got.retransmitted, plain.retransmitted);
      EXPECT_EQ(got.to_b.size(), plain.to_b.size());
      EXPECT_TRUE(got.to_b == plain.to_b);
      EXPECT_TRUE(got.to_a == plain.to_a);
      if (!offloads.tso) {
        EXPECT_EQ(got.handed_over, plain.handed_over);
      } else if (scenario.mtu < 9000 && scenario.lost.empty()) {
        EXPECT_LT(got.handed_over, plain.handed_over * 2 / 3) << "the device cut little";
      }
    }
  }
}

std::vector<Frame> WithTag(std::vector<Frame> frames, uint8_t id) {
  const uint8_t tag[] = {0x81, 0x00, 0x00, id};
  for (Frame& frame : frames) frame.insert(frame.begin() + 12, std::begin(tag), std::end(tag));
  return frames;
}

TEST(Offload, AVlanIsTheSameFramesWithATag) {
  constexpr uint8_t kId = 5;
  for (const Scenario& scenario : {Scenario{}, Scenario{.lost = {30, 31, 60, 99}}}) {
    SCOPED_TRACE(scenario.lost.empty() ? "" : "with losses");
    const Outcome untagged = Exchange(scenario, {});
    const std::vector<Frame> to_a = WithTag(untagged.to_a, kId), to_b = WithTag(untagged.to_b, kId);
    Scenario tagged = scenario;
    tagged.vlan = kId;
    for (const Offloads& offloads :
         {Offloads{}, Offloads{.vlan_insert = true}, Offloads{.checksums = true},
          Offloads{.checksums = true, .vlan_insert = true}, Offloads{.checksums = true, .tso = true},
          Offloads{.checksums = true, .tso = true, .vlan_insert = true}, Offloads{.vlan_strip = true},
          Offloads{.checksums = true, .tso = true, .vlan_insert = true, .vlan_strip = true}}) {
      SCOPED_TRACE(std::string(offloads.checksums ? "checksums " : "") + (offloads.tso ? "TSO " : "") +
                   (offloads.vlan_insert ? "insert " : "") + (offloads.vlan_strip ? "strip" : ""));
      const Outcome got = Exchange(tagged, offloads);
      EXPECT_EQ(got.bad_checksums, 0u);
      EXPECT_EQ(got.linearised, 0u);
      // What is seen is what the device hands up.
      EXPECT_TRUE(got.to_a == (offloads.vlan_strip ? untagged.to_a : to_a));
      EXPECT_TRUE(got.to_b == (offloads.vlan_strip ? untagged.to_b : to_b));
    }
  }
}

}  // namespace
}  // namespace luna::r2c
