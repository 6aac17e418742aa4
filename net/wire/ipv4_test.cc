#include "luna/net/wire/ipv4.h"

#include <functional>
#include <vector>

#include "gtest/gtest.h"
#include "luna/net/wire/testing/frame_builder.h"

namespace luna::wire {
namespace {

// 20 bytes of header with a right checksum (worked out by hand), 4 of payload.
constexpr char kPacketHex[] = "45 b9 0018 1234 4000 40 06 13f1 0a000001 0a000002 01020304";

TEST(Ipv4, ParsesEveryField) {
  const std::vector<uint8_t> packet = Hex(kPacketHex);
  Ipv4Header h;
  ASSERT_EQ(Parse(packet, &h), ParseResult::kOk);
  EXPECT_EQ(h.header_length, 20);
  EXPECT_EQ(h.tos, 0xb9);
  EXPECT_EQ(h.ecn(), 1);
  EXPECT_EQ(h.total_length, 24);
  EXPECT_EQ(h.identification, 0x1234);
  EXPECT_TRUE(h.dont_fragment());
  EXPECT_FALSE(h.more_fragments());
  EXPECT_FALSE(h.IsFragment());
  EXPECT_FALSE(h.HasOptions());
  EXPECT_EQ(h.ttl, 64);
  EXPECT_EQ(h.protocol, IpProtocol::kTcp);
  EXPECT_EQ(h.checksum, 0x13f1);
  EXPECT_EQ(h.source, Ipv4Address(10, 0, 0, 1));
  EXPECT_EQ(h.destination, Ipv4Address(10, 0, 0, 2));
  EXPECT_EQ(h.Payload(packet), absl::MakeConstSpan(packet).subspan(20));
}

TEST(Ipv4, WritesTheSameBytes) {
  const std::vector<uint8_t> packet = Hex(kPacketHex);
  Ipv4Header h;
  ASSERT_EQ(Parse(packet, &h), ParseResult::kOk);
  std::vector<uint8_t> again = packet;
  std::fill_n(again.begin(), 20, 0xff);
  Write(h, again.data());
  EXPECT_EQ(again, packet);
}

TEST(Ipv4, PaddingIsTrimmedByTotalLength) {
  std::vector<uint8_t> packet = Hex(kPacketHex);
  packet.resize(46, 0xee);
  Ipv4Header h;
  ASSERT_EQ(Parse(packet, &h), ParseResult::kOk);
  EXPECT_EQ(h.Payload(packet).size(), 4u);
}

TEST(Ipv4, LengthsAreNeverTrusted) {
  const auto set = [](size_t at, uint8_t value) { return [=](std::vector<uint8_t>& p) { p[at] = value; }; };
  const auto total = [](uint16_t value) { return [=](std::vector<uint8_t>& p) { StoreBe16(&p[2], value); }; };
  const struct {
    const char* name;
    std::function<void(std::vector<uint8_t>&)> damage;
    ParseResult expected;
  } kCases[] = {
      {"version 0", set(0, 0x05), ParseResult::kBadVersion},
      {"version 6", set(0, 0x65), ParseResult::kBadVersion},
      {"version 5", set(0, 0x55), ParseResult::kBadVersion},
      {"ihl 0", set(0, 0x40), ParseResult::kBadHeaderLength},
      {"ihl 4", set(0, 0x44), ParseResult::kBadHeaderLength},
      {"ihl 7 > total length", set(0, 0x47), ParseResult::kBadTotalLength},
      {"ihl 15 > total length", set(0, 0x4f), ParseResult::kBadTotalLength},
      {"total length 0", total(0), ParseResult::kBadTotalLength},
      {"total length 19", total(19), ParseResult::kBadTotalLength},
      {"total length > buffer", total(25), ParseResult::kTruncated},
      {"total length 65535", total(65535), ParseResult::kTruncated},
      {"checksum", set(11, 0xe1), ParseResult::kBadChecksum},
      {"a flipped address bit", set(19, 0x03), ParseResult::kBadChecksum},
      {"total length 20, sum wrong", total(20), ParseResult::kBadChecksum},
      {"ihl 6, sum wrong", set(0, 0x46), ParseResult::kBadChecksum},
  };
  for (const auto& c : kCases) {
    std::vector<uint8_t> packet = Hex(kPacketHex);
    c.damage(packet);
    Ipv4Header h;
    EXPECT_EQ(Parse(packet, &h), c.expected) << c.name;
  }
}

TEST(Ipv4, EveryTruncation) {
  const std::vector<uint8_t> whole = Hex(kPacketHex);
  Ipv4Header h;
  for (size_t size = 0; size < whole.size(); ++size) {
    const std::vector<uint8_t> cut(whole.begin(), whole.begin() + static_cast<long>(size));
    EXPECT_EQ(Parse(cut, &h), ParseResult::kTruncated) << size;
  }
}

TEST(Ipv4, ABadChecksumLeavesTheHeaderReadable) {
  std::vector<uint8_t> packet = Hex(kPacketHex);
  packet[10] ^= 0xff;
  Ipv4Header h;
  ASSERT_EQ(Parse(packet, &h), ParseResult::kBadChecksum);
  EXPECT_EQ(h.source, Ipv4Address(10, 0, 0, 1));
  EXPECT_EQ(h.payload_length(), 4u);
  EXPECT_EQ(Parse(packet, &h, ChecksumCheck::kSkip), ParseResult::kOk);
}

TEST(Ipv4, FragmentsAreFlagged) {
  const struct {
    uint16_t field;
    bool is_fragment, more, dont;
    size_t offset;
  } kCases[] = {
      {0x0000, false, false, false, 0}, {0x4000, false, false, true, 0},     {0x2000, true, true, false, 0},
      {0x0001, true, false, false, 8},  {0x1fff, true, false, false, 65528}, {0x2010, true, true, false, 128},
      {0x8000, false, false, false, 0},  // the reserved bit
  };
  for (const auto& c : kCases) {
    const std::vector<uint8_t> packet = TcpFrame{.fragment = c.field}.BuildPacket();
    Ipv4Header h;
    ASSERT_EQ(Parse(packet, &h), ParseResult::kOk) << c.field;
    EXPECT_EQ(h.IsFragment(), c.is_fragment) << c.field;
    EXPECT_EQ(h.more_fragments(), c.more) << c.field;
    EXPECT_EQ(h.dont_fragment(), c.dont) << c.field;
    EXPECT_EQ(h.fragment_offset_bytes(), c.offset) << c.field;
  }
}

TEST(Ipv4, OptionsAreSteppedOverAndSummed) {
  for (size_t size : {1u, 4u, 12u, 40u}) {
    const std::vector<uint8_t> packet = TcpFrame{.payload = Text("x"), .ip_options = Pattern(size, 7)}.BuildPacket();
    Ipv4Header h;
    ASSERT_EQ(Parse(packet, &h), ParseResult::kOk) << size;
    EXPECT_TRUE(h.HasOptions());
    EXPECT_EQ(h.header_length, 20 + (size + 3) / 4 * 4);
    EXPECT_EQ(h.Payload(packet).size(), 21u);
    std::vector<uint8_t> broken = packet;
    broken[20] ^= 1;
    EXPECT_EQ(Parse(broken, &h), ParseResult::kBadChecksum) << size;
  }
}

// The header in one buffer, the rest elsewhere.
TEST(Ipv4, AFrontIsEnough) {
  const std::vector<uint8_t> packet = TcpFrame{.payload = Pattern(100), .ip_options = Pattern(8)}.BuildPacket();
  const std::vector<uint8_t> front(packet.begin(), packet.begin() + 28);
  Ipv4Header h;
  ASSERT_EQ(ParseFront(front, packet.size(), &h), ParseResult::kOk);
  EXPECT_EQ(h.total_length, 148);
  EXPECT_EQ(ParseFront(front, 147, &h), ParseResult::kTruncated);
  EXPECT_EQ(ParseFront(front, 200, &h), ParseResult::kOk);  // padding in the other buffers
  for (size_t size = 0; size < 28; ++size) {
    const std::vector<uint8_t> cut(packet.begin(), packet.begin() + static_cast<long>(size));
    EXPECT_EQ(ParseFront(cut, packet.size(), &h), ParseResult::kTruncated) << size;
  }
  std::vector<uint8_t> broken = front;
  broken[27] ^= 1;
  EXPECT_EQ(ParseFront(broken, packet.size(), &h), ParseResult::kBadChecksum);
}

}  // namespace
}  // namespace luna::wire
