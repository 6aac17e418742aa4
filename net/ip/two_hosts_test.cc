// Two hosts on one wire: Ingress, Arp and Egress of each, and frames carried by hand between them.

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "luna/mem/zbuf/testing/test_slab.h"
#include "luna/net/ip/arp.h"
#include "luna/net/ip/egress.h"
#include "luna/net/ip/ingress.h"
#include "luna/net/ip/testing/packets.h"
#include "luna/net/wire/byte_cursor.h"
#include "luna/net/wire/testing/frame_builder.h"

namespace luna::ip {
namespace {

using testing::BytesOfPacket;
using wire::Ipv4Address;
using wire::Ipv4Prefix;
using wire::MacAddress;

struct Host {
  Host(zbuf::TestSlab& memory, MacAddress mac, Ipv4Address address)
      : memory(memory),
        address(address),
        ingress({.mac = mac, .addresses = {Ipv4Prefix(address, 24)}}, &drops),
        arp({.mac = mac, .addresses = {Ipv4Prefix(address, 24)}}, &memory.slab(), &drops) {
    routes.Publish(RouteTable::Builder().AddInterface(Ipv4Prefix(address, 24)).Build());
    EgressConfig config;
    config.capabilities.mac = mac;
    config.addresses = {Ipv4Prefix(address, 24)};
    egress = std::make_unique<Egress>(config, EgressSources{&routes, nullptr, &arp}, &drops);
  }

  void Send(const Host& to, uint8_t mark, Time now) {
    const std::vector<uint8_t> segment =
        wire::TcpFrame{.source = {address, 1}, .destination = {to.address, 2}, .payload = {mark}}.BuildSegment();
    OutDatagram datagram = testing::MakeOutDatagram(memory, address, to.address, segment);
    wire::StoreBe16(reinterpret_cast<uint8_t*>(datagram.packet.data.front().data()) + 16, 0);
    egress->Encapsulate(std::move(datagram), now, out);
  }

  void Receive(pmd::Packet&& frame, Time now) {
    Datagram datagram;
    switch (ingress.Accept(std::move(frame), &datagram)) {
      case Ingress::Verdict::kArp:
        arp.Accept(std::move(datagram.packet), now, out);
        break;
      case Ingress::Verdict::kDatagram:
        received.push_back(BytesOfPacket(datagram.packet).back());
        break;
      case Ingress::Verdict::kDropped:
        break;
    }
  }

  zbuf::TestSlab& memory;
  Ipv4Address address;
  stats::DropCounters drops;
  SnapshotBox<RouteTable> routes;
  Ingress ingress;
  Arp arp;
  std::unique_ptr<Egress> egress;
  std::vector<pmd::Packet> out;
  std::vector<uint8_t> received;  // the marks
};

class TwoHosts : public ::testing::Test {
 protected:
  // Carries frames until none is left. `lose` of them are lost first.
  void Carry(int lose = 0) {
    while (!a_.out.empty() || !b_.out.empty()) {
      for (auto [from, to] : {std::make_pair(&a_, &b_), std::make_pair(&b_, &a_)}) {
        for (pmd::Packet& frame : std::exchange(from->out, {})) {
          if (lose-- <= 0) to->Receive(std::move(frame), now_);
        }
      }
    }
  }
  void Advance(Duration d) {
    now_ += d;
    a_.egress->Poll(now_, a_.out);
    b_.egress->Poll(now_, b_.out);
  }

  zbuf::TestSlab memory_;
  Time now_;
  Host a_{memory_, wire::kClientMac, Ipv4Address(10, 0, 0, 1)};
  Host b_{memory_, wire::kServerMac, Ipv4Address(10, 0, 0, 2)};
};

TEST_F(TwoHosts, FindEachOtherAndTalk) {
  for (uint8_t mark : {1, 2, 3}) a_.Send(b_, mark, now_);
  Carry();
  EXPECT_EQ(b_.received, (std::vector<uint8_t>{1, 2, 3}));
  b_.Send(a_, 4, now_);  // b has learnt a from its question
  Carry();
  EXPECT_EQ(a_.received, (std::vector<uint8_t>{4}));
  EXPECT_EQ(a_.arp.stats().requests_sent + b_.arp.stats().requests_sent, 1u);
  EXPECT_EQ(a_.drops.total() + b_.drops.total(), 0u);
}

TEST_F(TwoHosts, SurviveALostQuestion) {
  a_.Send(b_, 1, now_);
  Carry(/*lose=*/1);
  EXPECT_TRUE(b_.received.empty());
  EXPECT_EQ(a_.egress->NextDeadline(), now_ + Duration::Seconds(1));
  Advance(Duration::Seconds(1));
  Carry();
  EXPECT_EQ(b_.received, (std::vector<uint8_t>{1}));
}

TEST_F(TwoHosts, KeepTalkingWhileEntriesAreRefreshed) {
  uint8_t mark = 0;
  std::vector<uint8_t> expected;
  for (int second = 0; second < 200; ++second) {
    a_.Send(b_, ++mark, now_);
    expected.push_back(mark);
    Carry();
    Advance(Duration::Seconds(1));
    Carry();
  }
  EXPECT_EQ(b_.received, expected);
  EXPECT_EQ(a_.arp.stats().requests_sent, 4u);  // the first, and one probe a minute
  EXPECT_EQ(a_.arp.stats().failed, 0u);
}

TEST_F(TwoHosts, NoticeThatTheOtherHasGone) {
  a_.Send(b_, 1, now_);
  Carry();
  now_ += Duration::Seconds(61);
  for (int i = 0; i < 7; ++i) {
    a_.Send(b_, 2, now_);
    a_.out.clear();  // the wire is cut
    Advance(Duration::Seconds(1));
  }
  a_.out.clear();
  EXPECT_EQ(a_.arp.stats().failed, 2u);  // the probes, then the resolution
  EXPECT_GT(a_.drops.value(stats::DropReason::kNeighbourUnresolved), 0u);
}

}  // namespace
}  // namespace luna::ip
