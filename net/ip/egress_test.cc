#include "luna/net/ip/egress.h"

#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "luna/mem/zbuf/testing/test_slab.h"
#include "luna/net/ip/ingress.h"
#include "luna/net/ip/testing/packets.h"
#include "luna/net/wire/byte_cursor.h"
#include "luna/net/wire/checksum.h"
#include "luna/net/wire/testing/frame_builder.h"

namespace luna::ip {
namespace {

using stats::DropReason;
using testing::BytesOfPacket;
using testing::MakeOutDatagram;
using testing::MakePacket;
using wire::IpAddress;
using wire::Ipv4Address;
using wire::Ipv4Prefix;
using wire::MacAddress;

constexpr Ipv4Address kUs(10, 0, 0, 2);
constexpr Ipv4Address kPeer(10, 0, 0, 1);
constexpr Ipv4Address kGateway(10, 0, 0, 254);
constexpr Ipv4Address kFar(203, 0, 113, 5);
constexpr MacAddress kOurMac = wire::kServerMac;
constexpr MacAddress kPeerMac = wire::kClientMac;
constexpr MacAddress kGatewayMac({2, 0, 0, 0, 0, 0xfe});

std::vector<uint8_t> Segment(size_t payload = 5) {
  return wire::TcpFrame{.source = {kUs, 61441}, .destination = {kPeer, 40000}, .payload = wire::Pattern(payload)}
      .BuildSegment();
}

EgressConfig Config() {
  EgressConfig config;
  config.capabilities.mac = kOurMac;
  config.addresses = {Ipv4Prefix(kUs, 24), Ipv4Prefix(Ipv4Address(192, 0, 2, 7), 24)};
  return config;
}

RouteTable Routes() {
  Route narrow;
  narrow.destination = *Ipv4Prefix::Parse("198.51.100.0/24");
  narrow.gateway = kGateway;
  narrow.source = Ipv4Address(192, 0, 2, 7);
  narrow.mtu = 1400;
  return RouteTable::Builder()
      .AddInterface(Ipv4Prefix(kUs, 24))
      .AddInterface(Ipv4Prefix(Ipv4Address(192, 0, 2, 7), 24))
      .Add(narrow)
      .AddDefault(kGateway)
      .Build();
}

class EgressTest : public ::testing::Test {
 protected:
  EgressTest() { routes_.Publish(Routes()); }

  // Static neighbours only, unless the test gives others.
  void Make(EgressConfig config, bool with_kernel = false, Arp* arp = nullptr) {
    egress_ = std::make_unique<Egress>(std::move(config),
                                       EgressSources{&routes_, with_kernel ? &kernel_ : nullptr, arp}, &drops_);
  }
  void MakeStatic(EgressConfig config = Config()) {
    config.static_neighbours.SetPermanent(kPeer, kPeerMac);
    config.static_neighbours.SetPermanent(kGateway, kGatewayMac);
    Make(std::move(config));
  }
  OutDatagram Datagram(IpAddress to, size_t payload = 5, size_t slice_bytes = 0) {
    OutDatagram datagram = MakeOutDatagram(memory_, kUs, to, Segment(payload), 20, slice_bytes);
    // Whoever hands datagrams down leaves the checksum field 0.
    wire::StoreBe16(reinterpret_cast<uint8_t*>(datagram.packet.data.front().data()) + 16, 0);
    return datagram;
  }
  void Send(IpAddress to, size_t payload = 5) { egress_->Encapsulate(Datagram(to, payload), now_, frames_); }
  std::vector<std::vector<uint8_t>> Sent() {
    std::vector<std::vector<uint8_t>> sent;
    for (const pmd::Packet& frame : frames_) sent.push_back(BytesOfPacket(frame));
    frames_.clear();
    return sent;
  }
  MacAddress SentTo() {
    const auto sent = Sent();
    EXPECT_EQ(sent.size(), 1u);
    return sent.empty() ? MacAddress() : MacAddress::FromBytes(sent[0].data());
  }

  zbuf::TestSlab memory_;
  stats::DropCounters drops_;
  SnapshotBox<RouteTable> routes_;
  SnapshotBox<NeighbourTable> kernel_;
  std::unique_ptr<Egress> egress_;
  std::vector<pmd::Packet> frames_;
  Time now_ = Time::FromNanoseconds(5);
};

TEST_F(EgressTest, BuildsWholeFrames) {
  MakeStatic();
  OutDatagram datagram = Datagram(kPeer, 100);
  datagram.dscp = 46;
  datagram.ecn = Ecn::kEct0;
  datagram.ttl = 9;
  egress_->Encapsulate(std::move(datagram), now_, frames_);
  const auto sent = Sent();
  ASSERT_EQ(sent.size(), 1u);
  const auto frame = wire::ParseTcpFrame(sent[0]);
  ASSERT_TRUE(frame.has_value()) << "a checksum is wrong";
  EXPECT_EQ(frame->ethernet.destination, kPeerMac);
  EXPECT_EQ(frame->ethernet.source, kOurMac);
  EXPECT_EQ(frame->ip.source, kUs);
  EXPECT_EQ(frame->ip.destination, kPeer);
  EXPECT_EQ(frame->ip.tos, 46 << 2 | 2);
  EXPECT_EQ(frame->ip.ttl, 9);
  EXPECT_TRUE(frame->ip.dont_fragment());
  EXPECT_EQ(frame->ip.identification, 0);
  EXPECT_EQ(std::vector<uint8_t>(frame->payload.begin(), frame->payload.end()), wire::Pattern(100));
  EXPECT_EQ(drops_.total(), 0u);
}

TEST_F(EgressTest, CountsIdentificationsUpWhenFragmentsAreAllowed) {
  MakeStatic();
  std::vector<uint16_t> ids;
  for (int i = 0; i < 3; ++i) {
    OutDatagram datagram = Datagram(kPeer);
    datagram.dont_fragment = false;
    egress_->Encapsulate(std::move(datagram), now_, frames_);
    const auto sent = Sent();
    const auto frame = wire::ParseTcpFrame(sent.at(0));
    ASSERT_TRUE(frame.has_value());
    EXPECT_FALSE(frame->ip.dont_fragment());
    ids.push_back(frame->ip.identification);
  }
  EXPECT_NE(ids[0], ids[1]);
  EXPECT_NE(ids[1], ids[2]);
}

TEST_F(EgressTest, LeavesChecksumsToTheDeviceThatOffers) {
  for (const bool tso : {false, true}) {
    EgressConfig config = Config();
    config.capabilities.tx_ip_checksum = true;
    config.capabilities.tx_tcp_checksum = true;
    MakeStatic(config);
    OutDatagram datagram = Datagram(kPeer, tso ? 3000 : 100);
    datagram.packet.tx.tso_segment_bytes = tso ? 1460 : 0;
    const auto l4_bytes = static_cast<uint16_t>(datagram.packet.data.bytes());
    egress_->Encapsulate(std::move(datagram), now_, frames_);
    ASSERT_EQ(frames_.size(), 1u);
    const pmd::TxMeta tx = frames_[0].tx;
    EXPECT_TRUE(tx.ip_checksum);
    EXPECT_TRUE(tx.l4_checksum);
    EXPECT_EQ(tx.l2_bytes, 14);
    EXPECT_EQ(tx.l3_bytes, 20);
    EXPECT_EQ(tx.l4_bytes, 20);
    const auto sent = Sent();
    EXPECT_EQ(wire::LoadBe16(&sent[0][14 + 10]), 0);
    EXPECT_EQ(wire::LoadBe16(&sent[0][14 + 20 + 16]), wire::Ipv4PseudoHeaderSum(kUs, kPeer, 6, tso ? 0 : l4_bytes));
    // What a device then does: sum the segment over the prefilled field.
    if (!tso) {
      const auto segment = absl::MakeConstSpan(sent[0]).subspan(34);
      std::vector<uint8_t> done(segment.begin(), segment.end());
      wire::StoreBe16(&done[16], wire::Checksum(segment));
      wire::ChecksumAccumulator sum(wire::Ipv4PseudoHeaderSum(kUs, kPeer, 6, l4_bytes));
      sum.Add(done);
      EXPECT_EQ(sum.Sum(), 0xffff);
    }
  }
}

// What is marked as like the one before it gets the same headers as if it were not.
TEST_F(EgressTest, ARowGetsTheHeadersThatEachWouldGet) {
  enum class Case { kPlain, kOffloaded, kMayFragment, kUnresolved, kTooBig };
  for (const Case c : {Case::kPlain, Case::kOffloaded, Case::kMayFragment, Case::kUnresolved, Case::kTooBig}) {
    SCOPED_TRACE(static_cast<int>(c));
    std::vector<std::vector<uint8_t>> sent[2];
    for (const bool rows : {false, true}) {
      EgressConfig config = Config();
      config.capabilities.tx_ip_checksum = config.capabilities.tx_tcp_checksum = c == Case::kOffloaded;
      MakeStatic(config);
      Arp arp({.mac = kOurMac, .addresses = {Ipv4Prefix(kUs, 24)}}, &memory_.slab(), &drops_);
      if (c == Case::kUnresolved) Make(config, false, &arp);
      OutBatch batch;
      for (size_t i = 0; i < 6; ++i) {
        batch.push_back(Datagram(i < 3 ? kPeer : kFar, c == Case::kTooBig && i < 3 ? 2000 : 100));
        batch.back().packet.data.front().data()[30] = static_cast<std::byte>(i);
        batch.back().dont_fragment = c != Case::kMayFragment;
        batch.back().ttl = static_cast<uint8_t>(i < 3 ? 9 : 10);
        batch.back().like_last = rows && i % 3 != 0;
      }
      egress_->Encapsulate(batch, now_, frames_);
      EXPECT_TRUE(batch.empty());
      for (const pmd::Packet& frame : frames_) {
        EXPECT_EQ(frame.tx.l4_checksum, c == Case::kOffloaded);
        EXPECT_EQ(frame.tx.l4_bytes, c == Case::kOffloaded ? 20 : 0);
      }
      sent[rows] = Sent();
      egress_.reset();
    }
    EXPECT_EQ(sent[0], sent[1]);
    EXPECT_EQ(sent[1].size(), c == Case::kTooBig ? 3u : c == Case::kUnresolved ? 2u : 6u);
  }
}

TEST_F(EgressTest, SendsFarDatagramsToTheGateway) {
  MakeStatic();
  Send(kFar);
  EXPECT_EQ(SentTo(), kGatewayMac);
  Send(kPeer);
  EXPECT_EQ(SentTo(), kPeerMac);
}

TEST_F(EgressTest, DropsWhatNobodyCanReceive) {
  MakeStatic();
  uint64_t count = 0;
  for (const char* to :
       {"10.0.0.2", "192.0.2.7", "127.0.0.1", "0.0.0.0", "255.255.255.255", "10.0.0.255", "224.0.0.1"}) {
    for (int i = 0; i < 2; ++i) {  // twice: nothing of it may be remembered
      Send(*IpAddress::Parse(to));
      EXPECT_EQ(drops_.value(DropReason::kNoRoute), ++count) << to;
    }
  }
  routes_.Publish(RouteTable());
  OutBatch batch;
  batch.push_back(Datagram(kPeer));
  egress_->Encapsulate(batch, now_, frames_);
  EXPECT_EQ(drops_.value(DropReason::kNoRoute), ++count);
  EXPECT_TRUE(batch.empty());
  EXPECT_TRUE(frames_.empty());
  EXPECT_EQ(memory_.outstanding(), 0u);
}

TEST_F(EgressTest, DropsWhatExceedsTheMtu) {
  MakeStatic();
  Send(kPeer, 1460);
  EXPECT_EQ(Sent().size(), 1u);
  Send(kPeer, 1461);
  EXPECT_EQ(drops_.value(DropReason::kIpPacketTooBig), 1u);
  Send(Ipv4Address(198, 51, 100, 1), 1360);
  EXPECT_EQ(Sent().size(), 1u);
  Send(Ipv4Address(198, 51, 100, 1), 1361);
  EXPECT_EQ(drops_.value(DropReason::kIpPacketTooBig), 2u);
  OutDatagram huge = Datagram(kPeer, 65'600);
  huge.packet.tx.tso_segment_bytes = 1460;
  egress_->Encapsulate(std::move(huge), now_, frames_);
  EXPECT_EQ(drops_.value(DropReason::kIpPacketTooBig), 3u);
  EXPECT_EQ(memory_.outstanding(), 0u);
}

TEST_F(EgressTest, DropsWhatLacksHeadroom) {
  MakeStatic();
  OutDatagram datagram = Datagram(kPeer);
  datagram.packet = MakePacket(memory_, Segment());
  egress_->Encapsulate(std::move(datagram), now_, frames_);
  EXPECT_EQ(drops_.value(DropReason::kTxError), 1u);
  EXPECT_TRUE(frames_.empty());
}

TEST_F(EgressTest, WithStaticNeighboursOnlyAStrangerIsUnresolved) {
  MakeStatic();
  Send(Ipv4Address(10, 0, 0, 99));
  EXPECT_EQ(drops_.value(DropReason::kNeighbourUnresolved), 1u);
  EXPECT_TRUE(egress_->TakeUnresolved().empty());
}

TEST_F(EgressTest, FollowsChangedRoutesAfterPoll) {
  MakeStatic();
  Send(kFar);
  EXPECT_EQ(SentTo(), kGatewayMac);
  routes_.Publish(RouteTable::Builder().AddDefault(kPeer).Build());
  egress_->Poll(now_, frames_);
  Send(kFar);
  EXPECT_EQ(SentTo(), kPeerMac);
}

TEST_F(EgressTest, KeepsDestinationsApartThatShareACacheSlot) {
  EgressConfig config = Config();
  for (int i = 3; i < 250; ++i) {
    config.static_neighbours.SetPermanent(Ipv4Address(10, 0, 0, static_cast<uint8_t>(i)),
                                          MacAddress({2, 0, 0, 0, 1, static_cast<uint8_t>(i)}));
  }
  for (int i = 0; i < 256; ++i) {
    config.static_neighbours.SetPermanent(Ipv4Address(192, 0, 2, static_cast<uint8_t>(i)),
                                          MacAddress({2, 0, 0, 0, 2, static_cast<uint8_t>(i)}));
  }
  Make(config);
  for (int round = 0; round < 2; ++round) {
    for (int i = 10; i < 250; ++i) {
      Send(Ipv4Address(10, 0, 0, static_cast<uint8_t>(i)));
      EXPECT_EQ(SentTo(), MacAddress({2, 0, 0, 0, 1, static_cast<uint8_t>(i)}));
      Send(Ipv4Address(192, 0, 2, static_cast<uint8_t>(i)));
      EXPECT_EQ(SentTo(), MacAddress({2, 0, 0, 0, 2, static_cast<uint8_t>(i)}));
    }
  }
}

// --- With the kernel's neighbours.

NeighbourTable KernelTable(MacAddress mac, NeighbourState state) {
  NeighbourTable table;
  table.Set(kPeer, {mac, state});
  return table;
}

TEST_F(EgressTest, WaitsForTheKernelAndSendsInOrder) {
  Make(Config(), /*with_kernel=*/true);
  for (size_t payload : {1, 2, 3}) Send(kPeer, payload);
  EXPECT_TRUE(Sent().empty());
  EXPECT_EQ(egress_->pending_frames(), 3u);
  EXPECT_EQ(egress_->TakeUnresolved(), std::vector<IpAddress>{kPeer});
  EXPECT_TRUE(egress_->TakeUnresolved().empty());
  kernel_.Publish(KernelTable(MacAddress(), NeighbourState::kIncomplete));
  egress_->Poll(now_, frames_);
  EXPECT_TRUE(Sent().empty());
  kernel_.Publish(KernelTable(kPeerMac, NeighbourState::kReachable));
  egress_->Poll(now_, frames_);
  const auto sent = Sent();
  ASSERT_EQ(sent.size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    const auto frame = wire::ParseTcpFrame(sent[i]);
    ASSERT_TRUE(frame.has_value());
    EXPECT_EQ(frame->ethernet.destination, kPeerMac);
    EXPECT_EQ(frame->payload.size(), i + 1);
  }
  EXPECT_EQ(egress_->pending_frames(), 0u);
  Send(kPeer);
  EXPECT_EQ(SentTo(), kPeerMac);
  EXPECT_TRUE(egress_->TakeUnresolved().empty());
}

TEST_F(EgressTest, AsksTheKernelAgainAndGivesUp) {
  Make(Config(), /*with_kernel=*/true);
  Send(kPeer);
  Send(kPeer);
  egress_->TakeUnresolved();
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(egress_->NextDeadline(), now_ + Duration::Seconds(1));
    now_ += Duration::Seconds(1);
    egress_->Poll(now_, frames_);
    EXPECT_EQ(egress_->TakeUnresolved(), std::vector<IpAddress>{kPeer});
  }
  now_ += Duration::Seconds(1);
  egress_->Poll(now_, frames_);
  EXPECT_EQ(drops_.value(DropReason::kNeighbourUnresolved), 2u);
  EXPECT_TRUE(egress_->TakeUnresolved().empty());
  EXPECT_TRUE(egress_->NextDeadline().is_infinite());
  EXPECT_EQ(memory_.outstanding(), 0u);
}

TEST_F(EgressTest, BoundsWhatWaitsForTheKernel) {
  EgressConfig config = Config();
  config.max_pending = 2;
  config.max_pending_total = 3;
  Make(config, /*with_kernel=*/true);
  for (size_t payload : {1, 2, 3}) Send(kPeer, payload);
  EXPECT_EQ(drops_.value(DropReason::kNeighbourQueueFull), 1u);
  Send(kGateway);
  Send(kGateway);
  EXPECT_EQ(drops_.value(DropReason::kNeighbourQueueFull), 2u);
  EXPECT_EQ(egress_->pending_frames(), 3u);
  kernel_.Publish(KernelTable(kPeerMac, NeighbourState::kReachable));
  egress_->Poll(now_, frames_);
  const auto sent = Sent();
  ASSERT_EQ(sent.size(), 2u);
  EXPECT_EQ(wire::ParseTcpFrame(sent[0])->payload.size(), 2u);
}

TEST_F(EgressTest, UsesAStaleNeighbourAndTellsTheKernelSoNowAndThen) {
  kernel_.Publish(KernelTable(kPeerMac, NeighbourState::kStale));
  Make(Config(), /*with_kernel=*/true);
  for (int i = 0; i < 3; ++i) {
    Send(kPeer);
    EXPECT_EQ(SentTo(), kPeerMac);
  }
  EXPECT_EQ(egress_->TakeUnresolved(), std::vector<IpAddress>{kPeer});
  Send(kPeer);
  EXPECT_TRUE(egress_->TakeUnresolved().empty());
  now_ += Duration::Seconds(5);
  Send(kPeer);
  EXPECT_EQ(egress_->TakeUnresolved(), std::vector<IpAddress>{kPeer});
}

TEST_F(EgressTest, FollowsANeighbourThatMovedInTheKernelsTable) {
  kernel_.Publish(KernelTable(kPeerMac, NeighbourState::kReachable));
  Make(Config(), /*with_kernel=*/true);
  Send(kPeer);
  EXPECT_EQ(SentTo(), kPeerMac);
  kernel_.Publish(KernelTable(kGatewayMac, NeighbourState::kReachable));
  OutBatch batch;
  batch.push_back(Datagram(kPeer));
  egress_->Encapsulate(batch, now_, frames_);
  EXPECT_EQ(SentTo(), kGatewayMac);
}

TEST_F(EgressTest, PrefersAStaticNeighbourToTheKernels) {
  kernel_.Publish(KernelTable(kGatewayMac, NeighbourState::kReachable));
  EgressConfig config = Config();
  config.static_neighbours.SetPermanent(kPeer, kPeerMac);
  Make(config, /*with_kernel=*/true);
  Send(kPeer);
  EXPECT_EQ(SentTo(), kPeerMac);
}

// --- For connection set-up.

TEST_F(EgressTest, SelectsSources) {
  MakeStatic();
  struct Case {
    const char* destination;
    const char* source;
  };
  for (const Case& c : std::vector<Case>{{"10.0.0.1", "10.0.0.2"},
                                         {"192.0.2.1", "192.0.2.7"},
                                         {"198.51.100.9", "192.0.2.7"},
                                         {"203.0.113.5", "10.0.0.2"}}) {
    const auto source = egress_->SelectSource(*IpAddress::Parse(c.destination));
    ASSERT_TRUE(source.ok()) << source.status();
    EXPECT_EQ(source->ToString(), c.source) << c.destination;
  }
  EXPECT_EQ(egress_->SelectSource(kUs).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(egress_->SelectSource(*IpAddress::Parse("::1")).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(egress_->SelectSource(Ipv4Address(10, 0, 0, 255)).status().code(), absl::StatusCode::kInvalidArgument);
  routes_.Publish(RouteTable());
  egress_->Poll(now_, frames_);
  EXPECT_EQ(egress_->SelectSource(kPeer).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(EgressTest, KnowsPathMtus) {
  MakeStatic();
  EXPECT_EQ(egress_->PathMtu(kPeer), 1500u);
  EXPECT_EQ(egress_->PathMtu(Ipv4Address(198, 51, 100, 1)), 1400u);
  EgressConfig small = Config();
  small.capabilities.mtu = 1280;
  MakeStatic(small);
  EXPECT_EQ(egress_->PathMtu(Ipv4Address(198, 51, 100, 1)), 1280u);
}

// Every frame that Egress builds is accepted by an Ingress on the other side, which finds the datagram in it, and its
// checksums hold: whatever the lengths, the slices (odd ones too) and the fields.
TEST_F(EgressTest, WhatItBuildsIsAcceptedOnTheOtherSide) {
  const char* text = std::getenv("LUNA_TEST_SEED");
  const uint64_t seed = text != nullptr ? std::strtoull(text, nullptr, 0) : std::random_device{}();
  std::cout << "LUNA_TEST_SEED=" << seed << std::endl;
  std::mt19937_64 random(seed);
  EgressConfig config = Config();
  config.capabilities.mtu = 9000;
  MakeStatic(config);
  Ingress ingress({.mac = kPeerMac, .addresses = {Ipv4Prefix(kPeer, 24)}}, &drops_);
  for (int round = 0; round < 2000; ++round) {
    const size_t payload = random() % (round % 10 == 0 ? 8900 : 200);
    const std::vector<uint8_t> segment = Segment(payload);
    OutDatagram out = Datagram(kPeer, payload, random() % 64);
    out.ttl = static_cast<uint8_t>(1 + random() % 255);
    out.dscp = static_cast<uint8_t>(random() % 64);
    out.ecn = static_cast<Ecn>(random() % 4);
    out.dont_fragment = random() % 2 == 0;
    const auto ttl = out.ttl;
    const auto dscp = out.dscp;
    const auto ecn = out.ecn;
    egress_->Encapsulate(std::move(out), now_, frames_);
    ASSERT_EQ(frames_.size(), 1u) << drops_.ToString();
    const std::vector<uint8_t> bytes = BytesOfPacket(frames_[0]);
    ASSERT_TRUE(wire::ParseTcpFrame(bytes).has_value()) << "checksum, payload of " << payload;
    ip::Datagram in;
    ASSERT_EQ(ingress.Accept(std::move(frames_[0]), &in), Ingress::Verdict::kDatagram) << drops_.ToString();
    frames_.clear();
    EXPECT_EQ(in.source, IpAddress(kUs));
    EXPECT_EQ(in.destination, IpAddress(kPeer));
    EXPECT_EQ(in.ttl, ttl);
    EXPECT_EQ(in.dscp, dscp);
    EXPECT_EQ(in.ecn, ecn);
    ASSERT_EQ(BytesOfPacket(in.packet), segment);  // BuildSegment's checksum is right, so ours must equal it
  }
}

}  // namespace
}  // namespace luna::ip
