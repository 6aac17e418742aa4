#include "luna/net/wire/ethernet.h"

#include <vector>

#include "gtest/gtest.h"
#include "luna/net/wire/testing/frame_builder.h"

namespace luna::wire {
namespace {

TEST(Ethernet, ParsesAnUntaggedFrame) {
  const std::vector<uint8_t> frame = Hex("ffffffffffff 020000000001 0806 aa");
  EthernetHeader h;
  ASSERT_EQ(Parse(frame, &h), ParseResult::kOk);
  EXPECT_EQ(h.destination, MacAddress::Broadcast());
  EXPECT_EQ(h.source, kClientMac);
  EXPECT_EQ(h.ether_type, EtherType::kArp);
  EXPECT_FALSE(h.has_vlan);
  EXPECT_EQ(h.vlan_tci, 0);
  EXPECT_EQ(h.size(), 14u);
}

TEST(Ethernet, ParsesOneTag) {
  const std::vector<uint8_t> frame = Hex("020000000002 020000000001 8100 a064 0800 45");
  EthernetHeader h;
  ASSERT_EQ(Parse(frame, &h), ParseResult::kOk);
  EXPECT_EQ(h.ether_type, EtherType::kIpv4);
  EXPECT_TRUE(h.has_vlan);
  EXPECT_EQ(h.vlan_tci, 0xa064);
  EXPECT_EQ(h.vlan_id(), 0x064);
  EXPECT_EQ(h.size(), 18u);
}

TEST(Ethernet, LeavesASecondTagToTheCaller) {
  const std::vector<uint8_t> frame = Hex("020000000002 020000000001 8100 0001 8100 0002 0800");
  EthernetHeader h;
  ASSERT_EQ(Parse(frame, &h), ParseResult::kOk);
  EXPECT_EQ(h.ether_type, EtherType::kVlan);
  EXPECT_EQ(h.vlan_id(), 1);
}

// A header used twice must not keep the first frame's tag.
TEST(Ethernet, ParsingResetsTheTag) {
  EthernetHeader h;
  ASSERT_EQ(Parse(Hex("020000000002 020000000001 8100 0001 0800"), &h), ParseResult::kOk);
  ASSERT_EQ(Parse(Hex("020000000002 020000000001 0800"), &h), ParseResult::kOk);
  EXPECT_FALSE(h.has_vlan);
  EXPECT_EQ(h.vlan_tci, 0);
}

TEST(Ethernet, EveryTruncation) {
  const std::vector<uint8_t> plain = Hex("020000000002 020000000001 0800");
  const std::vector<uint8_t> tagged = Hex("020000000002 020000000001 8100 0001 0800");
  EthernetHeader h;
  for (size_t size = 0; size < 14; ++size) {
    // A copy of exact size, so that the address sanitizer sees a read past the end.
    const std::vector<uint8_t> cut(plain.begin(), plain.begin() + static_cast<long>(size));
    EXPECT_EQ(Parse(cut, &h), ParseResult::kTruncated) << size;
  }
  for (size_t size = 14; size < 18; ++size) {
    const std::vector<uint8_t> cut(tagged.begin(), tagged.begin() + static_cast<long>(size));
    EXPECT_EQ(Parse(cut, &h), ParseResult::kTruncated) << size;
  }
  EXPECT_EQ(Parse(plain, &h), ParseResult::kOk);
  EXPECT_EQ(Parse(tagged, &h), ParseResult::kOk);
}

TEST(Ethernet, WritesWhatItParses) {
  for (const char* hex : {"020000000002 0200000000ab 0800", "020000000002 0200000000ab 8100 e001 86dd"}) {
    const std::vector<uint8_t> frame = Hex(hex);
    EthernetHeader h;
    ASSERT_EQ(Parse(frame, &h), ParseResult::kOk);
    std::vector<uint8_t> again(h.size() + 1, 0x77);
    Write(h, again.data());
    EXPECT_EQ(again.back(), 0x77);
    again.pop_back();
    EXPECT_EQ(again, frame);
  }
}

}  // namespace
}  // namespace luna::wire
