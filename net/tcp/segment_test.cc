#include "luna/net/tcp/segment.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "luna/mem/zbuf/testing/test_slab.h"
#include "luna/net/wire/byte_cursor.h"

namespace luna::tcp {
namespace {

using stats::DropReason;
using wire::TcpFlags;

constexpr wire::Ipv4Address kPeer(10, 0, 0, 1);
constexpr wire::Ipv4Address kHere(10, 0, 0, 2);

class SegmentTest : public ::testing::Test {
 protected:
  // The octets of a segment with a right checksum.
  std::string Bytes(uint16_t flags, const std::string& payload, const std::string& options = "", uint16_t source = 1000,
                    uint16_t destination = 80) {
    wire::TcpHeader header{.source_port = source,
                           .destination_port = destination,
                           .sequence = 0xfffffffe,
                           .acknowledgment = 77,
                           .header_length = static_cast<uint8_t>(20 + options.size()),
                           .flags = flags,
                           .window = 512,
                           .urgent_pointer = 9};
    std::string bytes(20, '\0');
    wire::Write(header, reinterpret_cast<uint8_t*>(bytes.data()));
    bytes += options + payload;
    Sum(&bytes);
    return bytes;
  }
  static void Sum(std::string* bytes) {
    auto* data = reinterpret_cast<uint8_t*>(bytes->data());
    wire::StoreBe16(data + 16, 0);
    wire::StoreBe16(data + 16, wire::TcpChecksum(kPeer, kHere, absl::MakeConstSpan(data, bytes->size())));
  }
  DropReason Parse(const std::string& bytes, size_t slice_bytes = 0,
                   pmd::ChecksumStatus status = pmd::ChecksumStatus::kUnknown) {
    ip::Datagram datagram;
    datagram.source = kPeer;
    datagram.destination = kHere;
    datagram.ecn = ip::Ecn::kCe;
    datagram.packet.rx.l4_checksum = status;
    datagram.packet.rx.arrival = Time::FromNanoseconds(42);
    if (!bytes.empty()) {
      datagram.packet.data = slice_bytes == 0 ? memory_.Chain(bytes) : memory_.ChainOfSlices(bytes, slice_bytes);
    }
    segment_ = Segment();
    return ParseSegment(std::move(datagram), &segment_);
  }

  zbuf::TestSlab memory_;
  Segment segment_;
};

TEST_F(SegmentTest, ReadsEverythingAtAnySlicing) {
  const std::string options("\x02\x04\x05\xb4\x01\x03\x03\x07", 8);
  const std::string bytes = Bytes(TcpFlags::kSyn | TcpFlags::kAck, "payload", options);
  for (size_t slice : {0, 1, 2, 3, 7, 19, 20, 21, 27, 28, 29, 34}) {
    ASSERT_EQ(Parse(bytes, slice), DropReason::kNone) << slice;
    EXPECT_EQ(segment_.tuple.local, (wire::Endpoint{kHere, 80}));
    EXPECT_EQ(segment_.tuple.remote, (wire::Endpoint{kPeer, 1000}));
    EXPECT_EQ(segment_.seq, SeqNum(0xfffffffe));
    EXPECT_EQ(segment_.ack, SeqNum(77));
    EXPECT_EQ(segment_.flags, TcpFlags::kSyn | TcpFlags::kAck);
    EXPECT_EQ(segment_.window, 512);
    EXPECT_EQ(segment_.urgent, 9);
    EXPECT_EQ(segment_.ecn, ip::Ecn::kCe);
    EXPECT_EQ(segment_.arrival, Time::FromNanoseconds(42));
    EXPECT_TRUE(segment_.options.has_mss);
    EXPECT_EQ(segment_.options.mss, 1460);
    EXPECT_EQ(segment_.options.window_scale, 7);
    EXPECT_EQ(segment_.payload.ToString(), "payload");
    EXPECT_EQ(segment_.length(), 8u);
    EXPECT_EQ(segment_.end(), SeqNum(6));  // wraps
  }
}

TEST_F(SegmentTest, RefusesTheTruncatedAndTheCrooked) {
  const std::string good = Bytes(TcpFlags::kAck, "", std::string(8, '\1'));
  for (size_t size = 0; size < good.size(); ++size) {
    EXPECT_EQ(Parse(good.substr(0, size), 1), DropReason::kTcpTruncated) << size;
  }
  std::string offset = Bytes(TcpFlags::kAck, "");
  offset[12] = 0x40;
  EXPECT_EQ(Parse(offset), DropReason::kTcpBadOffset);
  EXPECT_EQ(Parse(Bytes(TcpFlags::kAck, "", "", 0)), DropReason::kTcpBadSource);
  EXPECT_EQ(Parse(Bytes(TcpFlags::kAck, "", "", 1, 0)), DropReason::kTcpBadSource);
}

TEST_F(SegmentTest, EveryBitIsSummed) {
  const std::string good = Bytes(TcpFlags::kAck, "some data");
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string bad = good;
    bad[bit / 8] ^= static_cast<char>(1 << bit % 8);
    EXPECT_NE(Parse(bad, bit % 5), DropReason::kNone) << bit;
  }
  std::string bad = good;
  bad[25] ^= 1;
  EXPECT_EQ(Parse(bad), DropReason::kTcpBadChecksum);
  EXPECT_EQ(Parse(bad, 0, pmd::ChecksumStatus::kGood), DropReason::kNone);  // the device has looked
  // What the device calls bad is looked at again.
  EXPECT_EQ(Parse(good, 0, pmd::ChecksumStatus::kBad), DropReason::kNone);
}

// RFC 9293 MUST-7: no option length may hurt, and what was read before the fault stands.
TEST_F(SegmentTest, SurvivesIllegalOptionLengths) {
  for (int length = 0; length < 256; ++length) {
    const std::string options = std::string("\x02\x04\x02\x18\x03", 5) + static_cast<char>(length) + "\x05\x01";
    ASSERT_EQ(Parse(Bytes(TcpFlags::kSyn, "", options)), DropReason::kNone);
    EXPECT_EQ(segment_.options.mss, 536) << length;
    EXPECT_EQ(segment_.options.has_window_scale, length == 3) << length;
  }
}

TEST_F(SegmentTest, Trims) {
  const struct {
    uint16_t flags;
    int64_t before, after;  // relative to seq; -1: no trim
    uint32_t seq;
    const char* payload;
    uint16_t flags_left;
  } kCases[] = {
      {TcpFlags::kAck, 0, -1, 0, "abcdef", TcpFlags::kAck},
      {TcpFlags::kAck, 2, -1, 2, "cdef", TcpFlags::kAck},
      {TcpFlags::kAck, 6, -1, 6, "", TcpFlags::kAck},
      {TcpFlags::kAck, -1, 4, 0, "abcd", TcpFlags::kAck},
      {TcpFlags::kAck, -1, 0, 0, "", TcpFlags::kAck},
      {TcpFlags::kAck | TcpFlags::kFin, 6, -1, 6, "", TcpFlags::kAck | TcpFlags::kFin},
      {TcpFlags::kAck | TcpFlags::kFin, -1, 7, 0, "abcdef", TcpFlags::kAck | TcpFlags::kFin},
      {TcpFlags::kAck | TcpFlags::kFin, -1, 6, 0, "abcdef", TcpFlags::kAck},
      {TcpFlags::kAck | TcpFlags::kFin, 2, 5, 2, "cde", TcpFlags::kAck},
      {TcpFlags::kSyn, 1, -1, 1, "abcdef", 0},
      {TcpFlags::kSyn, 3, -1, 3, "cdef", 0},
      {TcpFlags::kSyn | TcpFlags::kFin, 1, 3, 1, "ab", 0},
  };
  for (const auto& c : kCases) {
    ASSERT_EQ(Parse(Bytes(c.flags, "abcdef"), 2), DropReason::kNone);
    const SeqNum start = segment_.seq;
    if (c.before >= 0) segment_.TrimBefore(start + static_cast<uint32_t>(c.before));
    if (c.after >= 0) segment_.TrimAfter(start + static_cast<uint32_t>(c.after));
    EXPECT_EQ(static_cast<uint32_t>(segment_.seq - start), c.seq) << c.before << " " << c.after;
    EXPECT_EQ(segment_.payload.ToString(), c.payload) << c.before << " " << c.after;
    EXPECT_EQ(segment_.flags, c.flags_left) << c.before << " " << c.after;
  }
}

}  // namespace
}  // namespace luna::tcp
