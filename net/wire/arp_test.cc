#include "luna/net/wire/arp.h"

#include <vector>

#include "gtest/gtest.h"
#include "luna/net/wire/testing/frame_builder.h"

namespace luna::wire {
namespace {

constexpr char kRequestHex[] = "0001 0800 06 04 0001 020000000001 0a000001 000000000000 0a000002";

TEST(Arp, ParsesARequest) {
  ArpPacket arp;
  ASSERT_EQ(Parse(Hex(kRequestHex), &arp), ParseResult::kOk);
  EXPECT_EQ(arp.operation, ArpPacket::kRequest);
  EXPECT_EQ(arp.sender_mac, kClientMac);
  EXPECT_EQ(arp.sender_ip, Ipv4Address(10, 0, 0, 1));
  EXPECT_TRUE(arp.target_mac.IsZero());
  EXPECT_EQ(arp.target_ip, Ipv4Address(10, 0, 0, 2));
}

TEST(Arp, WritesTheSameBytes) {
  const ArpPacket arp = {ArpPacket::kRequest, kClientMac, Ipv4Address(10, 0, 0, 1), MacAddress(),
                         Ipv4Address(10, 0, 0, 2)};
  std::vector<uint8_t> bytes(ArpPacket::kSize);
  Write(arp, bytes.data());
  EXPECT_EQ(bytes, Hex(kRequestHex));
}

TEST(Arp, EveryTruncation) {
  const std::vector<uint8_t> whole = Hex(kRequestHex);
  ArpPacket arp;
  for (size_t size = 0; size < ArpPacket::kSize; ++size) {
    const std::vector<uint8_t> cut(whole.begin(), whole.begin() + static_cast<long>(size));
    EXPECT_EQ(Parse(cut, &arp), ParseResult::kTruncated) << size;
  }
}

TEST(Arp, PaddingBehindIsFine) {
  std::vector<uint8_t> padded = Hex(kRequestHex);
  padded.resize(46, 0xee);
  ArpPacket arp;
  EXPECT_EQ(Parse(padded, &arp), ParseResult::kOk);
}

TEST(Arp, OtherKindsAreUnsupported) {
  for (size_t at : {0u, 1u, 2u, 3u, 4u, 5u}) {
    std::vector<uint8_t> bytes = Hex(kRequestHex);
    bytes[at] ^= 0x10;
    ArpPacket arp;
    EXPECT_EQ(Parse(bytes, &arp), ParseResult::kUnsupported) << at;
  }
}

}  // namespace
}  // namespace luna::wire
