// Two hosts on a wire: Ingress, Arp and Egress of each over a PacketIo, on virtual time.

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "luna/ctrl/stats/drop_counters.h"
#include "luna/ctrl/stats/drop_reason.h"
#include "luna/mem/zbuf/testing/test_slab.h"
#include "luna/net/ip/arp.h"
#include "luna/net/ip/datagram.h"
#include "luna/net/ip/egress.h"
#include "luna/net/ip/ingress.h"
#include "luna/net/ip/route_table.h"
#include "luna/net/ip/snapshot.h"
#include "luna/net/ip/testing/packets.h"
#include "luna/net/pmd/packet.h"
#include "luna/net/pmd/packet_io.h"
#include "luna/net/pmd/testing/test_seed.h"
#include "luna/net/pmd/testing/wire_link.h"
#include "luna/net/wire/address.h"
#include "luna/net/wire/byte_cursor.h"
#include "luna/net/wire/checksum.h"
#include "luna/net/wire/testing/frame_builder.h"
#include "luna/sched/clock/time.h"

namespace luna::ip {
namespace {

using testing::BytesOfPacket;
using wire::Ipv4Address;
using wire::Ipv4Prefix;

constexpr Duration kSecond = Duration::Seconds(1);

struct Host {
  Host(zbuf::TestSlab& memory, pmd::PacketIo& io, Ipv4Address address)
      : memory(memory),
        io(io),
        address(address),
        ingress({.mac = io.capabilities().mac, .addresses = {Ipv4Prefix(address, 24)}}, &drops),
        arp({.mac = io.capabilities().mac, .addresses = {Ipv4Prefix(address, 24)}}, &memory.slab(), &drops) {
    routes.Publish(RouteTable::Builder().AddInterface(Ipv4Prefix(address, 24)).Build());
    EgressConfig config;
    config.capabilities = io.capabilities();
    config.addresses = {Ipv4Prefix(address, 24)};
    egress = std::make_unique<Egress>(config, EgressSources{.routes = &routes, .arp = &arp}, &drops);
  }

  // Sends a segment whose payload is `mark`.
  void Send(const Host& to, uint16_t mark, Time now) {
    std::vector<uint8_t> payload(2);
    wire::StoreBe16(payload.data(), mark);
    const std::vector<uint8_t> segment =
        wire::TcpFrame{.source = {address, 1}, .destination = {to.address, 2}, .payload = payload}.BuildSegment();
    OutDatagram datagram = testing::MakeOutDatagram(memory, address, to.address, segment);
    wire::StoreBe16(reinterpret_cast<uint8_t*>(datagram.packet.data.front().data()) + 16, 0);
    egress->Encapsulate(std::move(datagram), now, out);
  }

  // One iteration of a worker, as far as net/ip is concerned.
  void Step(Time now) {
    std::array<pmd::Packet, 8> burst;
    while (const size_t n = io.ReceiveBurst(absl::MakeSpan(burst), now)) {
      for (size_t i = 0; i < n; ++i) Receive(std::move(burst[i]), now);
    }
    egress->Poll(now, out);
    EXPECT_EQ(io.TransmitBurst(absl::MakeSpan(out)), out.size());
    out.clear();
    io.Reclaim();
  }

  void Receive(pmd::Packet&& frame, Time now) {
    Datagram datagram;
    switch (ingress.Accept(std::move(frame), &datagram)) {
      case Ingress::Verdict::kArp:
        arp.Accept(std::move(datagram.packet), now, out);
        break;
      case Ingress::Verdict::kDatagram:
        Deliver(datagram);
        break;
      case Ingress::Verdict::kIcmp:
      case Ingress::Verdict::kDropped:
        break;
    }
  }
  // What TCP would do first: the checksum.
  void Deliver(const Datagram& datagram) {
    const std::vector<uint8_t> segment = BytesOfPacket(datagram.packet);
    wire::ChecksumAccumulator sum(wire::Ipv4PseudoHeaderSum(datagram.source.v4(), datagram.destination.v4(),
                                                            datagram.protocol, static_cast<uint16_t>(segment.size())));
    sum.Add(segment);
    if (sum.Sum() != 0xffff) {
      ++damaged;
    } else {
      received.push_back(wire::LoadBe16(&segment[segment.size() - 2]));
    }
  }

  zbuf::TestSlab& memory;
  pmd::PacketIo& io;
  Ipv4Address address;
  stats::DropCounters drops;
  SnapshotBox<RouteTable> routes;
  Ingress ingress;
  Arp arp;
  std::unique_ptr<Egress> egress;
  std::vector<pmd::Packet> out;
  std::vector<uint16_t> received;  // the marks
  int damaged = 0;                 // segments with a wrong checksum
};

// Memory, wire and both hosts.
struct World {
  explicit World(const pmd::WireLinkOptions& options = {}) : link(memory.slab(), memory.slab(), options) {}

  void Step() {
    link.Advance(now);
    a.Step(now);
    b.Step(now);
  }
  // Lets everything happen that happens until `end`.
  void RunUntil(Time end) {
    for (int i = 0; i < 1'000'000; ++i) {
      Step();
      const Time next = std::min({link.NextDeadline(), a.egress->NextDeadline(), b.egress->NextDeadline()});
      if (next > end) break;
      now = std::max(now, next);
    }
    now = end;
    Step();
  }
  void Run(Duration d) { RunUntil(now + d); }

  zbuf::TestSlab memory;
  Time now;
  pmd::WireLink link;
  Host a{memory, link.a(), Ipv4Address(10, 0, 0, 1)};
  Host b{memory, link.b(), Ipv4Address(10, 0, 0, 2)};
};

TEST(TwoHosts, FindEachOtherAndTalk) {
  for (const bool offload : {false, true}) {
    World world({.checksum_offload = offload});
    for (uint16_t mark : {1, 2, 3}) world.a.Send(world.b, mark, world.now);
    world.Run(kSecond);
    EXPECT_EQ(world.b.received, (std::vector<uint16_t>{1, 2, 3}));
    world.b.Send(world.a, 4, world.now);  // b has learnt a from its question
    world.Run(kSecond);
    EXPECT_EQ(world.a.received, (std::vector<uint16_t>{4}));
    EXPECT_EQ(world.a.arp.stats().requests_sent + world.b.arp.stats().requests_sent, 1u);
    EXPECT_EQ(world.a.drops.total() + world.b.drops.total(), 0u);
    EXPECT_EQ(world.a.damaged + world.b.damaged, 0);
  }
}

TEST(TwoHosts, SurviveALostQuestion) {
  World world({.a_to_b = {.drop_nth = {0}}});
  world.a.Send(world.b, 1, world.now);
  world.Run(Duration::Milliseconds(999));
  EXPECT_TRUE(world.b.received.empty());
  EXPECT_EQ(world.a.egress->NextDeadline(), Time() + kSecond);
  world.Run(Duration::Milliseconds(2));
  EXPECT_EQ(world.b.received, (std::vector<uint16_t>{1}));
}

TEST(TwoHosts, SurviveALostAnswer) {
  World world({.b_to_a = {.drop_nth = {0, 1}}});
  world.a.Send(world.b, 1, world.now);
  world.Run(kSecond * 3);
  EXPECT_EQ(world.b.received, (std::vector<uint16_t>{1}));
  EXPECT_EQ(world.a.arp.stats().requests_sent, 3u);
}

TEST(TwoHosts, KeepTalkingWhileEntriesAreRefreshed) {
  World world;
  std::vector<uint16_t> expected;
  for (uint16_t second = 0; second < 200; ++second) {
    world.a.Send(world.b, second, world.now);
    expected.push_back(second);
    world.Run(kSecond);
  }
  EXPECT_EQ(world.b.received, expected);
  EXPECT_EQ(world.a.arp.stats().requests_sent, 4u);  // the first, and one probe a minute
  EXPECT_EQ(world.a.arp.stats().failed, 0u);
}

TEST(TwoHosts, NoticeThatTheOtherHasGone) {
  World world;
  world.a.Send(world.b, 1, world.now);
  world.Run(kSecond * 61);
  world.link.SetUp(false);
  for (int i = 0; i < 7; ++i) {
    world.a.Send(world.b, 2, world.now);
    world.Run(kSecond);
  }
  EXPECT_EQ(world.a.arp.stats().failed, 2u);  // the probes, then the resolution
  EXPECT_GT(world.a.drops.value(stats::DropReason::kNeighbourUnresolved), 0u);
  world.link.SetUp(true);
  world.a.Send(world.b, 3, world.now);
  world.Run(kSecond * 2);
  EXPECT_EQ(world.b.received.back(), 3);
}

// A wire that does everything wrong: whatever passes both checksums is what was sent, every frame is accounted for, and
// once the wire is quiet nothing is left waiting.
TEST(TwoHosts, OnABadWireNothingIsInvented) {
  const uint64_t seed = pmd::TestSeed(20240611);
  World world(pmd::WireLinkOptions::Both({.seed = seed,
                                          .loss = 0.2,
                                          .duplicate = 0.1,
                                          .corrupt = 0.2,
                                          .reorder = 0.1,
                                          .delay = Duration::Microseconds(50)}));
  SCOPED_TRACE(world.link.Describe());
  for (uint16_t mark = 0; mark < 3000; ++mark) {
    world.a.Send(world.b, mark, world.now);
    world.b.Send(world.a, mark, world.now);
    world.Run(Duration::Milliseconds(100));
  }
  world.Run(kSecond * 10);
  for (Host* host : {&world.a, &world.b}) {
    EXPECT_EQ(host->arp.pending_frames(), 0u);
    const std::set<uint16_t> distinct(host->received.begin(), host->received.end());
    EXPECT_LT(*distinct.rbegin(), 3000);
    EXPECT_GT(distinct.size(), 1500u);
    EXPECT_GT(host->damaged, 0);  // payloads that IP cannot know to be damaged
    EXPECT_GT(host->drops.value(stats::DropReason::kIpBadChecksum), 0u);
  }
  EXPECT_EQ(world.memory.outstanding(), 0u);
}

}  // namespace
}  // namespace luna::ip
