#include "luna/net/ip/ingress.h"

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "luna/mem/zbuf/testing/test_slab.h"
#include "luna/net/ip/testing/packets.h"
#include "luna/net/wire/arp.h"
#include "luna/net/wire/testing/frame_builder.h"

namespace luna::ip {
namespace {

using stats::DropReason;
using testing::BytesOfPacket;
using testing::MakePacket;
using wire::Ipv4Address;
using wire::Ipv4Prefix;
using wire::TcpFrame;

IngressConfig ServerConfig() {
  IngressConfig config;
  config.mac = wire::kServerMac;
  config.addresses = {Ipv4Prefix(wire::kServer.address.v4(), 24), Ipv4Prefix(Ipv4Address(192, 0, 2, 7), 32)};
  return config;
}

struct Case {
  std::string name;
  TcpFrame frame;
  DropReason reason;  // kNone: accepted
};

TcpFrame From(Ipv4Address source) { return TcpFrame{.source = {source, 40000}}; }
TcpFrame To(Ipv4Address destination) { return TcpFrame{.destination = {destination, 61441}}; }

std::vector<Case> EthernetCases() {
  using F = TcpFrame;
  return {
      {"a plain segment", F{}, DropReason::kNone},
      {"padded to 60 bytes", F{.pad_to_ethernet_minimum = true}, DropReason::kNone},
      {"a priority tag", F{.vlan = 0xe000}, DropReason::kNone},
      {"a VLAN id", F{.vlan = 0x0005}, DropReason::kVlanUnsupported},
      {"two tags", F{.ether_type = 0x8100, .vlan = 0}, DropReason::kVlanUnsupported},
      {"a service tag", F{.ether_type = 0x88a8}, DropReason::kVlanUnsupported},
      {"IPv6", F{.ether_type = 0x86dd}, DropReason::kIpv6Unsupported},
      {"an 802.3 length", F{.ether_type = 46}, DropReason::kEthUnknownType},
      {"LLDP", F{.ether_type = 0x88cc}, DropReason::kEthUnknownType},
      {"somebody else's MAC", F{.destination_mac = wire::kClientMac}, DropReason::kEthNotForUs},
      {"broadcast MAC", F{.destination_mac = wire::MacAddress::Broadcast()}, DropReason::kEthNotForUs},
      {"multicast MAC", F{.destination_mac = wire::MacAddress({1, 0, 0x5e, 0, 0, 1})}, DropReason::kEthNotForUs},
      {"zero source MAC", F{.source_mac = wire::MacAddress()}, DropReason::kEthBadSource},
      {"multicast source MAC", F{.source_mac = wire::MacAddress({3, 0, 0, 0, 0, 1})}, DropReason::kEthBadSource},
      {"no bytes", F{.truncate_to = 0}, DropReason::kEthTruncated},
      {"13 bytes", F{.truncate_to = 13}, DropReason::kEthTruncated},
      {"17 bytes with a tag", F{.vlan = 0, .truncate_to = 17}, DropReason::kEthTruncated},
  };
}

std::vector<Case> IpCases() {
  using F = TcpFrame;
  return {
      {"only Ethernet", F{.truncate_to = 14}, DropReason::kIpTruncated},
      {"19 bytes of IP", F{.truncate_to = 33}, DropReason::kIpTruncated},
      {"shorter than its total length", F{.payload = wire::Text("x"), .truncate_to = 54}, DropReason::kIpTruncated},
      {"version 6", F{.ip_version = 6}, DropReason::kIpBadVersion},
      {"version 0", F{.ip_version = 0}, DropReason::kIpBadVersion},
      {"header of 16", F{.ihl = 4}, DropReason::kIpBadHeaderLength},
      {"header of 0", F{.ihl = 0}, DropReason::kIpBadHeaderLength},
      {"header longer than the total", F{.ihl = 15, .total_length = 59}, DropReason::kIpBadTotalLength},
      {"header longer than the packet", F{.ihl = 15, .total_length = 60}, DropReason::kIpTruncated},
      {"total of 0", F{.total_length = 0}, DropReason::kIpBadTotalLength},
      {"total of 65535", F{.total_length = 65535}, DropReason::kIpTruncated},
      {"bad header checksum", F{.bad_ip_checksum = true}, DropReason::kIpBadChecksum},
      {"first fragment", F{.fragment = 0x2000}, DropReason::kIpFragment},
      {"last fragment", F{.fragment = 0x0001}, DropReason::kIpFragment},
      {"DF clear", F{.fragment = 0}, DropReason::kNone},
      {"TTL 0", F{.ttl = 0}, DropReason::kIpTtlExpired},
      {"TTL 1", F{.ttl = 1}, DropReason::kNone},
      {"ICMP", F{.protocol = 1}, DropReason::kNone},
      {"UDP", F{.protocol = 17}, DropReason::kIpUnknownProtocol},
      {"bad TCP checksum is TCP's affair", F{.bad_tcp_checksum = true}, DropReason::kNone},
      {"NOPs", F{.ip_options = {1, 1, 1, 1}}, DropReason::kNone},
      {"router alert", F{.ip_options = {148, 4, 0, 0}}, DropReason::kNone},
      {"40 bytes of options", F{.ip_options = std::vector<uint8_t>(40, 1)}, DropReason::kNone},
      {"options behind the end", F{.ip_options = {0, 131, 99, 0}}, DropReason::kNone},
      {"option of length 0", F{.ip_options = {7, 0, 0, 0}}, DropReason::kIpBadOption},
      {"option of length 1", F{.ip_options = {7, 1, 0, 0}}, DropReason::kIpBadOption},
      {"option longer than the header", F{.ip_options = {7, 5, 0, 0}}, DropReason::kIpBadOption},
      {"option without its length", F{.ip_options = {1, 1, 1, 7}}, DropReason::kIpBadOption},
      {"loose source route", F{.ip_options = {131, 7, 4, 10, 0, 0, 9}}, DropReason::kIpSourceRouted},
      {"strict source route", F{.ip_options = {1, 137, 7, 4, 10, 0, 0, 9}}, DropReason::kIpSourceRouted},
  };
}

std::vector<Case> AddressCases() {
  return {
      {"our second address", To(Ipv4Address(192, 0, 2, 7)), DropReason::kNone},
      {"a neighbour", To(Ipv4Address(10, 0, 0, 3)), DropReason::kIpNotForUs},
      {"limited broadcast", To(Ipv4Address::Broadcast()), DropReason::kIpNotForUs},
      {"our network's broadcast", To(Ipv4Address(10, 0, 0, 255)), DropReason::kIpNotForUs},
      {"multicast", To(Ipv4Address(224, 0, 0, 1)), DropReason::kIpNotForUs},
      {"from 0.0.0.0", From(Ipv4Address::Any()), DropReason::kIpBadSource},
      {"from 0.1.2.3", From(Ipv4Address(0, 1, 2, 3)), DropReason::kIpBadSource},
      {"from loopback", From(Ipv4Address(127, 3, 2, 1)), DropReason::kIpBadSource},
      {"from multicast", From(Ipv4Address(239, 1, 1, 1)), DropReason::kIpBadSource},
      {"from class E", From(Ipv4Address(240, 0, 0, 1)), DropReason::kIpBadSource},
      {"from the limited broadcast", From(Ipv4Address::Broadcast()), DropReason::kIpBadSource},
      {"from our network's broadcast", From(Ipv4Address(10, 0, 0, 255)), DropReason::kIpBadSource},
      {"from ourselves", From(Ipv4Address(10, 0, 0, 2)), DropReason::kIpBadSource},
      {"from our other address", From(Ipv4Address(192, 0, 2, 7)), DropReason::kIpBadSource},
      {"from another network's .255", From(Ipv4Address(10, 0, 1, 255)), DropReason::kNone},
      {"from a link-local address", From(Ipv4Address(169, 254, 1, 1)), DropReason::kNone},
  };
}

// Slices of every size must be judged alike: 0 is one slice.
void Check(const Case& c, size_t slice_bytes) {
  SCOPED_TRACE(c.name + ", slices of " + std::to_string(slice_bytes));
  zbuf::TestSlab memory;
  stats::DropCounters drops;
  Ingress ingress(ServerConfig(), &drops);
  Datagram datagram;
  const auto verdict = ingress.Accept(MakePacket(memory, c.frame.Build(), slice_bytes), &datagram);
  if (c.reason == DropReason::kNone) {
    const auto accepted = c.frame.protocol == kProtocolIcmp ? Ingress::Verdict::kIcmp : Ingress::Verdict::kDatagram;
    ASSERT_EQ(verdict, accepted) << drops.ToString();
    EXPECT_EQ(drops.total(), 0u);
    EXPECT_EQ(datagram.source, c.frame.source.address);
    EXPECT_EQ(datagram.destination, c.frame.destination.address);
    EXPECT_EQ(datagram.protocol, c.frame.protocol);
    EXPECT_EQ(datagram.ttl, c.frame.ttl);
    EXPECT_EQ(BytesOfPacket(datagram.packet), c.frame.BuildSegment());
  } else {
    EXPECT_EQ(verdict, Ingress::Verdict::kDropped);
    EXPECT_EQ(drops.value(c.reason), 1u) << drops.ToString();
    EXPECT_EQ(drops.total(), 1u);
    EXPECT_EQ(memory.outstanding(), 0u);
  }
}

TEST(Ingress, JudgesEachPacketForOneReasonHoweverItIsCut) {
  for (const auto& cases : {EthernetCases(), IpCases(), AddressCases()}) {
    for (const Case& c : cases) {
      for (size_t slice_bytes : {0, 1, 7, 14, 33, 34, 35, 54}) Check(c, slice_bytes);
    }
  }
}

TEST(Ingress, TellsDscpEcnAndTtl) {
  zbuf::TestSlab memory;
  stats::DropCounters drops;
  Ingress ingress(ServerConfig(), &drops);
  Datagram datagram;
  const TcpFrame frame{.tos = 0xb8 | 3, .ttl = 17};
  ASSERT_EQ(ingress.Accept(MakePacket(memory, frame.Build()), &datagram), Ingress::Verdict::kDatagram);
  EXPECT_EQ(datagram.dscp, 46);
  EXPECT_EQ(datagram.ecn, Ecn::kCe);
  EXPECT_EQ(datagram.ttl, 17);
}

TEST(Ingress, KeepsWhatATrustedDeviceSaidOfTheFrame) {
  for (const bool trusted : {true, false}) {
    zbuf::TestSlab memory;
    stats::DropCounters drops;
    IngressConfig config = ServerConfig();
    config.trust_rx_checksum = trusted;
    Ingress ingress(config, &drops);
    pmd::Packet packet = MakePacket(memory, TcpFrame{}.Build());
    packet.rx.arrival = Time::FromNanoseconds(77);
    packet.rx.rss_hash = 5;
    packet.rx.l4_checksum = pmd::ChecksumStatus::kGood;
    Datagram datagram;
    ASSERT_EQ(ingress.Accept(std::move(packet), &datagram), Ingress::Verdict::kDatagram);
    EXPECT_EQ(datagram.packet.rx.arrival, Time::FromNanoseconds(77));
    EXPECT_EQ(datagram.packet.rx.rss_hash, 5u);
    EXPECT_EQ(datagram.packet.rx.l4_checksum, trusted ? pmd::ChecksumStatus::kGood : pmd::ChecksumStatus::kUnknown);
  }
}

TEST(Ingress, TakesTheLongestDatagram) {
  zbuf::TestSlab memory;
  stats::DropCounters drops;
  Ingress ingress(ServerConfig(), &drops);
  const TcpFrame frame{.payload = std::vector<uint8_t>(65'535 - 40, 7)};
  Datagram datagram;
  ASSERT_EQ(ingress.Accept(MakePacket(memory, frame.Build(), 2304), &datagram), Ingress::Verdict::kDatagram);
  EXPECT_EQ(BytesOfPacket(datagram.packet), frame.BuildSegment());
}

TEST(Ingress, BelievesTheDevicesChecksumOnlyWhenItIsTrusted) {
  struct Row {
    bool trusted;
    pmd::ChecksumStatus said;
    bool wrong;
    bool accepted;
  };
  using S = pmd::ChecksumStatus;
  for (const Row& row : std::vector<Row>{{true, S::kGood, true, true},
                                         {false, S::kGood, true, false},
                                         {true, S::kUnknown, true, false},
                                         {true, S::kBad, false, false},
                                         {false, S::kBad, false, true}}) {
    zbuf::TestSlab memory;
    stats::DropCounters drops;
    IngressConfig config = ServerConfig();
    config.trust_rx_checksum = row.trusted;
    Ingress ingress(config, &drops);
    pmd::Packet packet = MakePacket(memory, TcpFrame{.bad_ip_checksum = row.wrong}.Build());
    packet.rx.ip_checksum = row.said;
    Datagram datagram;
    const auto verdict = ingress.Accept(std::move(packet), &datagram);
    EXPECT_EQ(verdict == Ingress::Verdict::kDatagram, row.accepted);
    EXPECT_EQ(drops.value(DropReason::kIpBadChecksum), row.accepted ? 0u : 1u);
  }
}

TEST(Ingress, HandsArpBackWhole) {
  zbuf::TestSlab memory;
  stats::DropCounters drops;
  Ingress ingress(ServerConfig(), &drops);
  const std::vector<uint8_t> frame = wire::ArpFrame{}.Build();
  for (size_t slice_bytes : {0, 1}) {
    Datagram datagram;
    ASSERT_EQ(ingress.Accept(MakePacket(memory, frame, slice_bytes), &datagram), Ingress::Verdict::kArp);
    EXPECT_EQ(BytesOfPacket(datagram.packet), frame);
  }
  EXPECT_EQ(drops.total(), 0u);
}

TEST(Ingress, TakesUnicastDatagramsInGroupFramesWhenTold) {
  zbuf::TestSlab memory;
  stats::DropCounters drops;
  IngressConfig config = ServerConfig();
  config.accept_multicast = true;
  Ingress ingress(config, &drops);
  Datagram datagram;
  const TcpFrame flooded{.destination_mac = wire::MacAddress({3, 0xbf, 0, 0, 0, 1})};
  EXPECT_EQ(ingress.Accept(MakePacket(memory, flooded.Build()), &datagram), Ingress::Verdict::kDatagram);
  const TcpFrame strayed{.destination_mac = wire::kClientMac};
  EXPECT_EQ(ingress.Accept(MakePacket(memory, strayed.Build()), &datagram), Ingress::Verdict::kDropped);
}

TEST(Ingress, AcceptIpBeginsAtTheIpHeader) {
  zbuf::TestSlab memory;
  stats::DropCounters drops;
  Ingress ingress(ServerConfig(), &drops);
  for (size_t slice_bytes : {0, 1, 20}) {
    const TcpFrame frame{.payload = wire::Text("hello"), .ip_options = {148, 4, 0, 0}};
    Datagram datagram;
    ASSERT_EQ(ingress.AcceptIp(MakePacket(memory, frame.BuildPacket(), slice_bytes), &datagram),
              Ingress::Verdict::kDatagram);
    EXPECT_EQ(BytesOfPacket(datagram.packet), frame.BuildSegment());
  }
  Datagram datagram;
  EXPECT_EQ(ingress.AcceptIp(pmd::Packet{}, &datagram), Ingress::Verdict::kDropped);
  EXPECT_EQ(drops.value(DropReason::kIpTruncated), 1u);
}

}  // namespace
}  // namespace luna::ip
