#include "luna/net/wire/tcp_header.h"

#include <vector>

#include "gtest/gtest.h"
#include "luna/net/wire/testing/frame_builder.h"

namespace luna::wire {
namespace {

constexpr char kSegmentHex[] = "9c40 f001 fffffffe 80000001 6 118 abcd 1111 0007 01 01 01 00 68 69";

TEST(Tcp, ParsesEveryField) {
  const std::vector<uint8_t> segment = Hex(kSegmentHex);
  TcpHeader h;
  ASSERT_EQ(Parse(segment, &h), ParseResult::kOk);
  EXPECT_EQ(h.source_port, 40000);
  EXPECT_EQ(h.destination_port, 61441);
  EXPECT_EQ(h.sequence, 0xfffffffeu);
  EXPECT_EQ(h.acknowledgment, 0x80000001u);
  EXPECT_EQ(h.header_length, 24);
  EXPECT_EQ(h.flags, TcpFlags::kAe | TcpFlags::kAck | TcpFlags::kPsh);
  EXPECT_TRUE(h.Has(TcpFlags::kAck));
  EXPECT_TRUE(h.Has(TcpFlags::kAck | TcpFlags::kSyn));
  EXPECT_FALSE(h.Has(TcpFlags::kSyn | TcpFlags::kFin | TcpFlags::kRst));
  EXPECT_EQ(h.window, 0xabcd);
  EXPECT_EQ(h.checksum, 0x1111);
  EXPECT_EQ(h.urgent_pointer, 7);
  EXPECT_EQ(h.Options(segment), absl::MakeConstSpan(segment).subspan(20, 4));
  EXPECT_EQ(h.Payload(segment), absl::MakeConstSpan(segment).subspan(24));
}

TEST(Tcp, WritesTheSameBytes) {
  const std::vector<uint8_t> segment = Hex(kSegmentHex);
  TcpHeader h;
  ASSERT_EQ(Parse(segment, &h), ParseResult::kOk);
  std::vector<uint8_t> again = segment;
  std::fill_n(again.begin(), 20, 0xff);
  Write(h, again.data());
  EXPECT_EQ(again, segment);
}

TEST(Tcp, EveryFlagHasItsBit) {
  const struct {
    uint16_t flag;
    uint16_t word;  // the 16 bits of the wire, offset 5
  } kCases[] = {{TcpFlags::kFin, 0x5001}, {TcpFlags::kSyn, 0x5002}, {TcpFlags::kRst, 0x5004},
                {TcpFlags::kPsh, 0x5008}, {TcpFlags::kAck, 0x5010}, {TcpFlags::kUrg, 0x5020},
                {TcpFlags::kEce, 0x5040}, {TcpFlags::kCwr, 0x5080}, {TcpFlags::kAe, 0x5100}};
  for (const auto& c : kCases) {
    std::vector<uint8_t> bytes(20);
    Write(TcpHeader{.flags = c.flag}, bytes.data());
    EXPECT_EQ(LoadBe16(&bytes[12]), c.word);
    TcpHeader h;
    ASSERT_EQ(Parse(bytes, &h), ParseResult::kOk);
    EXPECT_EQ(h.flags, c.flag);
  }
}

TEST(Tcp, ReservedBitsAreIgnoredAndNeverSent) {
  std::vector<uint8_t> segment = Hex(kSegmentHex);
  segment[12] |= 0x0e;
  TcpHeader h;
  ASSERT_EQ(Parse(segment, &h), ParseResult::kOk);
  EXPECT_EQ(h.flags, 0x118);
  EXPECT_EQ(h.header_length, 24);
  h.flags = 0xffff;
  Write(h, segment.data());
  EXPECT_EQ(LoadBe16(&segment[12]), 0x61ff);
}

TEST(Tcp, EveryDataOffset) {
  for (uint8_t offset = 0; offset < 16; ++offset) {
    for (size_t size : {20u, 24u, 59u, 60u, 61u}) {
      std::vector<uint8_t> segment(size);
      segment[12] = static_cast<uint8_t>(offset << 4);
      TcpHeader h;
      const ParseResult r = Parse(segment, &h);
      if (offset < 5) {
        EXPECT_EQ(r, ParseResult::kBadHeaderLength) << int{offset} << " " << size;
      } else if (size_t{offset} * 4 > size) {
        EXPECT_EQ(r, ParseResult::kTruncated) << int{offset} << " " << size;
      } else {
        ASSERT_EQ(r, ParseResult::kOk) << int{offset} << " " << size;
        EXPECT_EQ(h.Options(segment).size() + h.Payload(segment).size() + 20, size);
      }
    }
  }
}

TEST(Tcp, EveryTruncation) {
  const std::vector<uint8_t> whole = Hex(kSegmentHex);
  TcpHeader h;
  for (size_t size = 0; size < 24; ++size) {
    const std::vector<uint8_t> cut(whole.begin(), whole.begin() + static_cast<long>(size));
    EXPECT_EQ(Parse(cut, &h), ParseResult::kTruncated) << size;
  }
}

TEST(TcpChecksum, CoversPseudoHeaderAndEveryByte) {
  const Ipv4Address a(10, 0, 0, 1);
  const Ipv4Address b(10, 0, 0, 2);
  std::vector<uint8_t> segment = TcpFrame{.payload = Text("odd")}.BuildSegment();
  EXPECT_TRUE(TcpChecksumIsRight(a, b, segment));
  EXPECT_TRUE(TcpChecksumIsRight(b, a, segment));  // the sum is symmetric
  EXPECT_FALSE(TcpChecksumIsRight(a, Ipv4Address(10, 0, 0, 3), segment));
  for (size_t i = 0; i < segment.size(); ++i) {
    std::vector<uint8_t> broken = segment;
    broken[i] ^= 0x40;
    EXPECT_FALSE(TcpChecksumIsRight(a, b, broken)) << i;
  }
  segment.push_back(0);  // the length takes part
  EXPECT_FALSE(TcpChecksumIsRight(a, b, segment));
}

// A number worked out by hand, so that writer and reader cannot be wrong in the same way.
TEST(TcpChecksum, KnownValue) {
  // 10.0.0.1:40000 > 10.0.0.2:61441 SYN: pseudo-header 0a00+0001+0a00+0002+0006+0014 = 141d;
  // segment 9c40+f001+0000+0001+5002+faf0 = 2d734 → d736; together eb53; complement 14ac.
  const std::vector<uint8_t> segment = Hex("9c40 f001 00000001 00000000 5002 faf0 0000 0000");
  EXPECT_EQ(TcpChecksum(Ipv4Address(10, 0, 0, 1), Ipv4Address(10, 0, 0, 2), segment), 0x14ac);
}

// A checksum that comes out as 0 is sent as 0: unlike UDP, TCP has no "none" (and 0xffff is right too, as the sum's
// other zero).
TEST(TcpChecksum, ZeroIsAnOrdinaryValue) {
  const Ipv4Address a(10, 0, 0, 1);
  const Ipv4Address b(10, 0, 0, 2);
  std::vector<uint8_t> segment = TcpFrame{.window = 0}.BuildSegment();
  StoreBe16(&segment[14], LoadBe16(&segment[16]));  // the window makes up for the checksum
  StoreBe16(&segment[16], 0);
  EXPECT_EQ(TcpChecksum(a, b, segment), 0);
  EXPECT_TRUE(TcpChecksumIsRight(a, b, segment));
}

}  // namespace
}  // namespace luna::wire
