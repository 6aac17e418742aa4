#include "luna/ctrl/netlink/message.h"

#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include <cstdint>
#include <cstring>
#include <vector>

#include "gtest/gtest.h"
#include "luna/ctrl/netlink/testing/messages.h"

namespace luna::netlink {
namespace {

using testing::KernelRoute;
using testing::Message;
using wire::Ipv4Address;
using wire::Ipv4Prefix;
using wire::MacAddress;

// The payload of the first message in `bytes`.
absl::Span<const uint8_t> PayloadOf(const Message& bytes) {
  MessageReader reader(bytes);
  RawMessage message;
  EXPECT_TRUE(reader.Next(&message));
  return message.payload;
}

TEST(MessageReader, WalksADatagram) {
  Message bytes = testing::NewLink();
  const Message second = testing::NewAddress("10.0.0.2/24");
  bytes.insert(bytes.end(), second.begin(), second.end());
  MessageReader reader(bytes);
  RawMessage message;
  ASSERT_TRUE(reader.Next(&message));
  EXPECT_EQ(message.type, RTM_NEWLINK);
  ASSERT_TRUE(reader.Next(&message));
  EXPECT_EQ(message.type, RTM_NEWADDR);
  EXPECT_FALSE(reader.Next(&message));
  EXPECT_FALSE(reader.malformed());
}

TEST(MessageReader, StopsWhereLengthsLie) {
  for (const uint32_t length : {0u, 1u, 15u, 17u, 64u, 0xffffffffu, 0xfffffffcu}) {
    std::vector<uint8_t> bytes(16);
    std::memcpy(bytes.data(), &length, sizeof(length));
    MessageReader reader(bytes);
    RawMessage message;
    EXPECT_FALSE(reader.Next(&message)) << length;
    EXPECT_TRUE(reader.malformed()) << length;
    EXPECT_FALSE(reader.Next(&message));
  }
  MessageReader shorter(absl::MakeConstSpan(std::vector<uint8_t>(7)));
  RawMessage message;
  EXPECT_FALSE(shorter.Next(&message));
  EXPECT_TRUE(shorter.malformed());
}

TEST(MessageReader, AcceptsALastMessageWithoutPadding) {
  std::vector<uint8_t> bytes(17);
  const uint32_t length = 17;
  std::memcpy(bytes.data(), &length, sizeof(length));
  MessageReader reader(bytes);
  RawMessage message;
  ASSERT_TRUE(reader.Next(&message));
  EXPECT_EQ(message.payload.size(), 1u);
  EXPECT_FALSE(reader.Next(&message));
  EXPECT_FALSE(reader.malformed());
}

TEST(AttributeReader, StopsWhereLengthsLie) {
  for (const uint16_t length : {0, 3, 5, 0xffff}) {
    std::vector<uint8_t> bytes(4);
    std::memcpy(bytes.data(), &length, sizeof(length));
    AttributeReader reader(bytes);
    Attribute attribute;
    EXPECT_FALSE(reader.Next(&attribute)) << length;
    EXPECT_TRUE(reader.malformed()) << length;
  }
}

TEST(Attribute, ConvertsOnlyWhatHasTheRightLength) {
  const std::vector<uint8_t> bytes(8, 1);
  for (size_t n = 0; n <= bytes.size(); ++n) {
    const Attribute attribute{1, absl::MakeConstSpan(bytes).first(n)};
    EXPECT_EQ(attribute.U32().has_value(), n == 4);
    EXPECT_EQ(attribute.Ipv4().has_value(), n == 4);
    EXPECT_EQ(attribute.Mac().has_value(), n == 6);
  }
}

TEST(ParseLink, ReadsALink) {
  LinkMessage link;
  ASSERT_EQ(ParseLink(PayloadOf(testing::NewLink({.ifindex = 7, .name = "veth1", .mtu = 9000})), &link), Parsed::kOk);
  EXPECT_EQ(link.ifindex, 7);
  EXPECT_EQ(link.name, "veth1");
  EXPECT_EQ(link.mac, MacAddress({2, 0, 0, 0, 0, 2}));
  EXPECT_EQ(link.mtu, 9000u);
}

TEST(ParseLink, ALinkNeedsNoMac) {
  LinkMessage link;
  ASSERT_EQ(ParseLink(PayloadOf(testing::NewLink({.mac = ""})), &link), Parsed::kOk);
  EXPECT_FALSE(link.mac.has_value());
}

TEST(ParseAddress, ReadsAnAddress) {
  AddressMessage address;
  ASSERT_EQ(ParseAddress(PayloadOf(testing::NewAddress("10.0.0.2/24", 9)), &address), Parsed::kOk);
  EXPECT_EQ(address.ifindex, 9);
  EXPECT_EQ(address.prefix, Ipv4Prefix(Ipv4Address(10, 0, 0, 2), 24));
}

TEST(ParseAddress, OnAPointToPointLinkOursIsTheLocalOne) {
  AddressMessage address;
  ASSERT_EQ(ParseAddress(PayloadOf(testing::NewAddress("10.0.0.2/32", 9, "10.0.0.1")), &address), Parsed::kOk);
  EXPECT_EQ(address.prefix, Ipv4Prefix(Ipv4Address(10, 0, 0, 2), 32));
}

TEST(ParseRoute, ReadsARoute) {
  RouteMessage route;
  const KernelRoute kernel_route = {.destination = "192.0.2.0/24",
                                    .gateway = "10.0.0.1",
                                    .ifindex = 5,
                                    .source = "10.0.0.2",
                                    .metric = 100,
                                    .mtu = 1400,
                                    .table = 1000};
  ASSERT_EQ(ParseRoute(PayloadOf(testing::NewRoute(kernel_route)), &route), Parsed::kOk);
  EXPECT_EQ(route.table, 1000u);
  EXPECT_EQ(route.destination, *Ipv4Prefix::Parse("192.0.2.0/24"));
  EXPECT_EQ(route.preferred_source, Ipv4Address(10, 0, 0, 2));
  EXPECT_EQ(route.metric, 100u);
  EXPECT_EQ(route.mtu, 1400u);
  ASSERT_EQ(route.next_hops.size(), 1u);
  EXPECT_EQ(route.next_hops[0].ifindex, 5);
  EXPECT_EQ(route.next_hops[0].gateway, Ipv4Address(10, 0, 0, 1));
}

TEST(ParseRoute, ReadsMultipath) {
  RouteMessage route;
  const KernelRoute kernel_route = {.multipath = {{5, "10.0.0.1"}, {6, ""}}};
  ASSERT_EQ(ParseRoute(PayloadOf(testing::NewRoute(kernel_route)), &route), Parsed::kOk);
  ASSERT_EQ(route.next_hops.size(), 2u);
  EXPECT_EQ(route.next_hops[0].ifindex, 5);
  EXPECT_EQ(route.next_hops[0].gateway, Ipv4Address(10, 0, 0, 1));
  EXPECT_EQ(route.next_hops[1].ifindex, 6);
  EXPECT_FALSE(route.next_hops[1].gateway.has_value());
}

TEST(ParseNeighbour, ReadsANeighbour) {
  NeighbourMessage neighbour;
  const Message message = testing::NewNeighbour("10.0.0.1", "02:00:00:00:00:01", NUD_REACHABLE, 4);
  ASSERT_EQ(ParseNeighbour(PayloadOf(message), &neighbour), Parsed::kOk);
  EXPECT_EQ(neighbour.ifindex, 4);
  EXPECT_EQ(neighbour.address, Ipv4Address(10, 0, 0, 1));
  EXPECT_EQ(neighbour.mac, MacAddress({2, 0, 0, 0, 0, 1}));
  EXPECT_EQ(neighbour.state, NUD_REACHABLE);
}

// Every parser, every prefix of every message: no crash, nothing without the fixed part, no half attribute.
TEST(Parsers, SurviveTruncationAtEveryByte) {
  const std::vector<Message> messages = {
      testing::NewLink(), testing::NewAddress("10.0.0.2/24"),
      testing::NewRoute({.destination = "10.1.0.0/16", .mtu = 9, .multipath = {{5, "10.0.0.1"}, {6, "10.0.0.3"}}}),
      testing::NewNeighbour("10.0.0.1", "02:00:00:00:00:01", NUD_STALE)};
  for (const Message& message : messages) {
    const auto payload = PayloadOf(message);
    for (size_t n = 0; n < payload.size(); ++n) {
      const std::vector<uint8_t> copy(payload.begin(), payload.begin() + static_cast<std::ptrdiff_t>(n));
      LinkMessage link;
      AddressMessage address;
      RouteMessage route;
      NeighbourMessage neighbour;
      const Parsed parsed[] = {ParseLink(copy, &link), ParseAddress(copy, &address), ParseRoute(copy, &route),
                               ParseNeighbour(copy, &neighbour)};
      if (n >= 8) continue;
      for (const Parsed p : parsed) EXPECT_EQ(p, Parsed::kMalformed) << n;
    }
  }
  const Message message = testing::NewAddress("10.0.0.2/24");  // 8 fixed, then two attributes of 8
  AddressMessage address;
  for (size_t n = 9; n < 24; ++n) {
    const Parsed parsed = ParseAddress(PayloadOf(message).first(n), &address);
    EXPECT_EQ(parsed, n == 16 ? Parsed::kOk : Parsed::kMalformed) << n;
  }
}

TEST(Parsers, RejectPrefixesLongerThanAnAddress) {
  Message message = testing::NewAddress("10.0.0.2/24");
  message[NLMSG_HDRLEN + 1] = 33;  // ifa_prefixlen
  AddressMessage address;
  EXPECT_EQ(ParseAddress(PayloadOf(message), &address), Parsed::kMalformed);
  message = testing::NewRoute({.destination = "10.0.0.0/8"});
  message[NLMSG_HDRLEN + 1] = 200;  // rtm_dst_len
  RouteMessage route;
  EXPECT_EQ(ParseRoute(PayloadOf(message), &route), Parsed::kMalformed);
}

TEST(Parsers, PassOverOtherFamilies) {
  Message message = testing::NewAddress("10.0.0.2/24");
  message[NLMSG_HDRLEN] = 10;  // AF_INET6
  AddressMessage address;
  EXPECT_EQ(ParseAddress(PayloadOf(message), &address), Parsed::kIgnored);
  RouteMessage route;
  message = testing::NewRoute({});
  message[NLMSG_HDRLEN] = 10;
  EXPECT_EQ(ParseRoute(PayloadOf(message), &route), Parsed::kIgnored);
  NeighbourMessage neighbour;
  message = testing::NewNeighbour("10.0.0.1", "", NUD_FAILED);
  message[NLMSG_HDRLEN] = 7;  // AF_BRIDGE
  EXPECT_EQ(ParseNeighbour(PayloadOf(message), &neighbour), Parsed::kIgnored);
}

TEST(ParseError, ReadsErrnos) {
  const auto parse = [](int32_t value) {
    std::vector<uint8_t> bytes(4);
    std::memcpy(bytes.data(), &value, sizeof(value));
    return ParseError(bytes);
  };
  EXPECT_EQ(parse(0), 0);
  EXPECT_EQ(parse(-16), 16);
  EXPECT_FALSE(parse(1).has_value());
  EXPECT_FALSE(parse(INT32_MIN).has_value());
  EXPECT_FALSE(ParseError({}).has_value());
}

TEST(Requests, AreWhatTheKernelReads) {
  const std::vector<uint8_t> dump = DumpRequest(RTM_GETNEIGH, 5);
  MessageReader reader(dump);
  RawMessage message;
  ASSERT_TRUE(reader.Next(&message));
  EXPECT_EQ(message.type, RTM_GETNEIGH);
  EXPECT_EQ(message.flags, NLM_F_REQUEST | NLM_F_DUMP);
  EXPECT_EQ(message.sequence, 5u);

  const std::vector<uint8_t> resolve = ResolveRequest(3, Ipv4Address(10, 0, 0, 1), 6);
  MessageReader resolve_reader(resolve);
  ASSERT_TRUE(resolve_reader.Next(&message));
  EXPECT_EQ(message.type, RTM_NEWNEIGH);
  NeighbourMessage neighbour;
  ASSERT_EQ(ParseNeighbour(message.payload, &neighbour), Parsed::kOk);
  EXPECT_EQ(neighbour.ifindex, 3);
  EXPECT_EQ(neighbour.address, Ipv4Address(10, 0, 0, 1));
  EXPECT_EQ(neighbour.state, NUD_NONE);
  EXPECT_EQ(neighbour.flags, NTF_USE);
}

}  // namespace
}  // namespace luna::netlink
