#include "luna/net/pmd/packet_util.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "luna/mem/zbuf/testing/test_slab.h"

namespace luna::pmd {
namespace {

const std::vector<uint8_t> kBytes = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};

TEST(PacketUtilTest, MakePacketCopiesBehindHeadroom) {
  zbuf::TestSlab memory;
  std::optional<Packet> packet = MakePacket(memory.slab(), absl::MakeConstSpan(kBytes));
  ASSERT_TRUE(packet.has_value());
  EXPECT_EQ(ToBytes(*packet), kBytes);
  EXPECT_EQ(packet->data.slice_count(), 1u);
  EXPECT_EQ(packet->data.HeadRoom(), kTxHeadroomBytes);
  packet->data.ExtendFront(kTxHeadroomBytes);
  EXPECT_EQ(packet->bytes(), kTxHeadroomBytes + 10);
}

TEST(PacketUtilTest, AnEmptyFrameIsAnEmptyPacket) {
  zbuf::TestSlab memory;
  std::optional<Packet> packet = MakePacket(memory.slab(), absl::Span<const uint8_t>());
  ASSERT_TRUE(packet.has_value());
  EXPECT_TRUE(packet->data.empty());
  EXPECT_EQ(memory.outstanding(), 0u);
}

TEST(PacketUtilTest, ExhaustionIsAnEmptyResult) {
  zbuf::TestSlab memory(size_t{2} << 20);
  std::vector<std::byte*> taken;
  while (std::byte* obj = memory.slab().Alloc(100)) taken.push_back(obj);
  EXPECT_FALSE(MakePacket(memory.slab(), absl::MakeConstSpan(kBytes)).has_value());
  EXPECT_EQ(MakeHeaderObj(memory.slab(), 40).data(), nullptr);
  EXPECT_FALSE(CopyPacket(memory.slab(), Packet()).has_value());
  memory.slab().FreeBulk(taken);
  const std::vector<uint8_t> huge(zbuf::kMaxObjBytes);
  EXPECT_FALSE(MakePacket(memory.slab(), absl::MakeConstSpan(huge)).has_value());
}

TEST(PacketUtilTest, MakeHeaderObjLeavesHeadroomAndRoomForTheHeader) {
  zbuf::TestSlab memory;
  for (uint32_t bytes : {20u, 40u, 60u, 64u, 65u, 200u}) {
    const zbuf::ZSlice slice = MakeHeaderObj(memory.slab(), bytes);
    ASSERT_NE(slice.data(), nullptr);
    EXPECT_EQ(slice.size(), bytes);
    EXPECT_EQ(slice.data() - zbuf::ObjStart(slice.data()), kTxHeadroomBytes);
    EXPECT_GE(zbuf::CapacityFrom(slice.data()), bytes);
  }
}

TEST(PacketUtilTest, CopyPacketSharesNothingAndKeepsTheFacts) {
  zbuf::TestSlab memory;
  Packet packet;
  packet.data = memory.ChainOfSlices("0123456789", 3);
  packet.rx.rss_hash = 5;
  packet.rx.l4_checksum = ChecksumStatus::kGood;
  packet.tx.tso_segment_bytes = 1448;
  std::optional<Packet> copy = CopyPacket(memory.slab(), packet);
  ASSERT_TRUE(copy.has_value());
  EXPECT_EQ(copy->data.slice_count(), 1u);
  packet.data.front().data()[0] = std::byte{'x'};
  EXPECT_EQ(copy->data.ToString(), "0123456789");
  EXPECT_EQ(copy->rx.rss_hash, 5u);
  EXPECT_EQ(copy->rx.l4_checksum, ChecksumStatus::kGood);
  EXPECT_EQ(copy->tx.tso_segment_bytes, 1448);
}

TEST(PacketUtilTest, FitToSegmentsLinearisesOnlyWhatIsTooLong) {
  zbuf::TestSlab memory;
  IoStats stats;
  Packet packet;
  packet.data = memory.ChainOfSlices("0123456789", 4);  // 3 slices
  EXPECT_TRUE(FitToSegments(packet, 3, memory.slab(), stats));
  EXPECT_EQ(packet.data.slice_count(), 3u);
  EXPECT_EQ(stats.tx_linearised, 0u);
  EXPECT_TRUE(FitToSegments(packet, 2, memory.slab(), stats));
  EXPECT_EQ(packet.data.slice_count(), 1u);
  EXPECT_EQ(packet.data.ToString(), "0123456789");
  EXPECT_EQ(stats.tx_linearised, 1u);
  EXPECT_EQ(stats.bytes_copied_tx, 10u);
}

TEST(PacketUtilTest, FitToSegmentsWithoutMemoryLeavesThePacket) {
  zbuf::TestSlab memory(size_t{2} << 20);
  IoStats stats;
  Packet packet;
  packet.data = memory.ChainOfSlices("0123456789", 4);
  std::vector<std::byte*> taken;
  while (std::byte* obj = memory.slab().Alloc(10)) taken.push_back(obj);
  EXPECT_FALSE(FitToSegments(packet, 2, memory.slab(), stats));
  EXPECT_EQ(packet.data.ToString(), "0123456789");
  EXPECT_EQ(stats.tx_linearised, 0u);
  EXPECT_EQ(stats.bytes_copied_tx, 0u);
  memory.slab().FreeBulk(taken);
}

TEST(PacketUtilTest, AppendBytesStopsAtItsLimit) {
  zbuf::TestSlab memory;
  const zbuf::ZChain chain = memory.ChainOfSlices("0123456789", 4);
  for (size_t limit = 0; limit <= 12; ++limit) {
    std::vector<uint8_t> out = {'*'};
    AppendBytes(chain, out, limit);
    EXPECT_EQ(std::string(out.begin(), out.end()), "*" + std::string("0123456789").substr(0, limit));
  }
}

TEST(PacketUtilTest, FlipBitCountsBitsFromTheFrontOverSlices) {
  zbuf::TestSlab memory;
  for (uint64_t bit = 0; bit < 80; ++bit) {
    Packet packet;
    packet.data = memory.ChainOfSlices(std::string(10, '\0'), 4);
    FlipBit(packet, bit);
    std::vector<uint8_t> expected(10);
    expected[bit / 8] = static_cast<uint8_t>(0x80 >> (bit % 8));
    EXPECT_EQ(ToBytes(packet), expected) << "bit " << bit;
  }
}

TEST(PacketUtilTest, MaxFrameLeavesRoomForAVlanTag) { EXPECT_EQ(MaxFrameBytes(1500), 1518u); }

}  // namespace
}  // namespace luna::pmd
