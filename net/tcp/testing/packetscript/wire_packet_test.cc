#include "luna/net/tcp/testing/packetscript/wire_packet.h"

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "luna/net/tcp/testing/packetscript/parser.h"
#include "luna/net/wire/address.h"
#include "luna/net/wire/icmpv4.h"
#include "luna/net/wire/ipv4.h"
#include "luna/net/wire/tcp_header.h"

namespace luna::tcp::packetscript {
namespace {

PacketSpec Spec(const std::string& text) {
  absl::StatusOr<Script> script = ParseScript(absl::StrCat("0 ", text), "t");
  EXPECT_TRUE(script.ok()) << script.status();
  return script.ok() ? script->events[0].packet : PacketSpec();
}

Segment Addressed(const std::string& text) {
  Segment segment = FromScript(Spec(text));
  segment.source = {wire::Ipv4Address(192, 0, 2, 1), 40000};
  segment.destination = {wire::Ipv4Address(192, 168, 0, 1), 8080};
  return segment;
}

TEST(WirePacketTest, WhatIsAssembledIsDissected) {
  for (const char* text : {
           "S 0:0(0) win 32792 <mss 1000,sackOK,TS val 7 ecr 0,nop,wscale 7>",
           "P. 1:1001(1000) ack 4294967295 win 257",
           "[ect0] PEW. 5:6(1) ack 1 win 0 urg 9 <nop,nop,sack 1:2 4294967000:3>",
           "[ce] FR. 1:1(0) ack 1 win 1 <nop,nop,TS val 4294967295 ecr 1>",
           "- 0:0(0) win 1",
           "SA 0:0(0) win 1 <FO 0a0b>",
           "UA. 0:0(0) ack 3 win 1 <eol,eol,eol,eol>",
       }) {
    const Segment segment = Addressed(absl::StrCat("< ", text));
    const absl::StatusOr<Segment> again = Dissect(Assemble(segment), Time::FromNanoseconds(5));
    ASSERT_TRUE(again.ok()) << text << again.status();
    EXPECT_EQ(ToString(*again), ToString(segment));
    EXPECT_EQ(again->source, segment.source);
    EXPECT_EQ(again->destination, segment.destination);
    EXPECT_EQ(again->options, segment.options);
    EXPECT_EQ(again->payload, segment.payload);
    EXPECT_EQ(again->HeaderBytes(), segment.HeaderBytes());
    EXPECT_EQ(again->tos, segment.tos);
    EXPECT_EQ(again->at, Time::FromNanoseconds(5));
  }
}

TEST(WirePacketTest, TextIsTheScriptsNotation) {
  EXPECT_EQ(ToString(Addressed("< [ect0] PEW. 5:6(1) ack 1 win 0 urg 9 <nop,nop,sack 1:2 3:4>")),
            "[ect0] PEW. 5:6(1) ack 1 win 0 urg 9 <nop,nop,sack 1:2 3:4>");
  EXPECT_EQ(ToString(Addressed("< S 0:0(0) win 5 <mss 9,sackOK,TS val 1 ecr 2,nop,wscale 3,eol>")),
            "S 0:0(0) win 5 <mss 9,sackOK,TS val 1 ecr 2,nop,wscale 3,eol,eol,eol,eol>");
}

TEST(WirePacketTest, BrokenPacketsAreNamed) {
  const std::vector<uint8_t> good = Assemble(Addressed("< P. 1:11(10) ack 1 win 5 <nop,nop,TS val 1 ecr 2>"));
  const auto why = [&good](size_t at, uint8_t change) {
    std::vector<uint8_t> bytes = good;
    bytes[at] ^= change;
    return std::string(Dissect(bytes, Time()).status().message());
  };
  EXPECT_EQ(why(good.size() - 1, 1), "the TCP checksum is wrong");
  EXPECT_EQ(why(8, 1), "IPv4 header: bad checksum");
  EXPECT_EQ(why(32, 0x70), "TCP header: truncated");
  EXPECT_FALSE(Dissect({}, Time()).ok());
  Segment option = Addressed("< . 1:1(0) ack 1 win 5");
  option.options.push_back({8, std::vector<uint8_t>(8)});
  std::vector<uint8_t> bytes = Assemble(option);
  EXPECT_TRUE(Dissect(bytes, Time()).ok());
}

TEST(WirePacketTest, TimestampsAndSackBlocksCanBeMoved) {
  Segment segment = Addressed("< . 1:1(0) ack 1 win 5 <nop,nop,TS val 1 ecr 2,nop,nop,sack 10:20 4294967295:0>");
  EXPECT_EQ(FindTimestamp(segment)->value, 1u);
  EXPECT_EQ(FindTimestamp(segment)->echo, 2u);
  SetTimestamp(&segment, {77, 88});
  ShiftSackBlocks(&segment, 5);
  EXPECT_EQ(ToString(segment), ". 1:1(0) ack 1 win 5 <nop,nop,TS val 77 ecr 88,nop,nop,sack 15:25 4:5>");
  EXPECT_FALSE(FindTimestamp(Addressed("< . 1:1(0) ack 1 win 5")).has_value());
}

TEST(WirePacketTest, IcmpComplainsAboutADatagram) {
  const IcmpSpec spec = *Spec("< icmp unreachable frag_needed mtu 1300 [1:1461(1460)]").icmp;
  const absl::StatusOr<IcmpName> name = FindIcmp(spec);
  ASSERT_TRUE(name.ok());
  const Segment about = Addressed("> . 1:1(0) ack 1");
  const std::vector<uint8_t> packet = AssembleIcmp(spec, *name, about, 1460);
  wire::Ipv4Header ip;
  ASSERT_EQ(wire::Parse(packet, &ip), wire::ParseResult::kOk);
  EXPECT_EQ(ip.source, about.destination.address.v4());
  EXPECT_EQ(ip.destination, about.source.address.v4());
  wire::Icmpv4Header icmp;
  const absl::Span<const uint8_t> message = ip.Payload(packet);
  ASSERT_EQ(wire::Parse(message, &icmp), wire::ParseResult::kOk);
  EXPECT_TRUE(icmp.IsFragmentationNeeded());
  EXPECT_EQ(icmp.next_hop_mtu(), 1300);
  wire::Ipv4Header echoed;
  ASSERT_EQ(wire::ParseFront(message.subspan(8), 1500, &echoed), wire::ParseResult::kOk);
  EXPECT_EQ(echoed.total_length, 1500);
  EXPECT_EQ(message.size(), 8u + 20 + 8);
  const absl::StatusOr<Segment> dissected = Dissect(packet, Time());
  ASSERT_TRUE(dissected.ok());
  EXPECT_TRUE(dissected->is_icmp);
  EXPECT_EQ(dissected->icmp_code, 4);
}

TEST(WirePacketTest, IcmpNames) {
  const auto find = [](const char* type, const char* code) {
    IcmpSpec spec;
    spec.type = type;
    spec.code = code;
    const absl::StatusOr<IcmpName> name = FindIcmp(spec);
    return name.ok() ? name->type * 100 + name->code : -1;
  };
  EXPECT_EQ(find("unreachable", "port"), 303);
  EXPECT_EQ(find("unreachable", "host_unreachable"), 301);
  EXPECT_EQ(find("source_quench", ""), 400);
  EXPECT_EQ(find("time_exceeded", "ttl"), 1100);
  EXPECT_EQ(find("3", "13"), 313);
  EXPECT_EQ(find("bogus", ""), -1);
  EXPECT_EQ(find("unreachable", "bogus"), -1);
}

}  // namespace
}  // namespace luna::tcp::packetscript
