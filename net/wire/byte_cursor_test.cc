#include "luna/net/wire/byte_cursor.h"

#include <vector>

#include "gtest/gtest.h"

namespace luna::wire {
namespace {

TEST(Load, BigEndianAtAnyAlignment) {
  const uint8_t bytes[9] = {0xff, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x88};
  EXPECT_EQ(LoadBe16(bytes + 1), 0x0102);
  EXPECT_EQ(LoadBe32(bytes + 1), 0x01020304u);
  EXPECT_EQ(LoadBe64(bytes + 1), 0x0102030405060788u);
}

TEST(Store, IsTheInverseOfLoad) {
  uint8_t bytes[9] = {};
  StoreBe16(bytes + 1, 0xa1b2);
  EXPECT_EQ(bytes[1], 0xa1);
  EXPECT_EQ(bytes[2], 0xb2);
  EXPECT_EQ(bytes[0] | bytes[3], 0);
  StoreBe32(bytes + 1, 0xa1b2c3d4);
  EXPECT_EQ(LoadBe32(bytes + 1), 0xa1b2c3d4u);
  StoreBe64(bytes + 1, 0xa1b2c3d4e5f60718);
  EXPECT_EQ(LoadBe64(bytes + 1), 0xa1b2c3d4e5f60718u);
  EXPECT_EQ(bytes[8], 0x18);
}

TEST(ByteReader, ReadsInOrder) {
  const std::vector<uint8_t> bytes = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20};
  ByteReader reader(bytes);
  EXPECT_EQ(reader.ReadU8(), 1);
  EXPECT_EQ(reader.ReadU16(), 0x0203);
  EXPECT_EQ(reader.ReadU32(), 0x04050607u);
  EXPECT_EQ(reader.ReadU64(), 0x08090a0b0c0d0e0fu);
  EXPECT_TRUE(reader.Skip(1));
  EXPECT_EQ(reader.remaining(), 4u);
  const absl::Span<const uint8_t> two = reader.ReadBytes(2);
  EXPECT_EQ(two.data(), bytes.data() + 16);
  EXPECT_EQ(two.size(), 2u);
  uint8_t last[2];
  EXPECT_TRUE(reader.CopyTo(last, 2));
  EXPECT_EQ(last[1], 20);
  EXPECT_EQ(reader.remaining(), 0u);
  EXPECT_TRUE(reader.ok());
  EXPECT_TRUE(reader.ReadBytes(0).empty());
  EXPECT_TRUE(reader.ReadRest().empty());
  EXPECT_TRUE(reader.ok());
}

// Every kind of read fails when one byte short, and then stays failed even where a smaller read would fit.
TEST(ByteReader, FailsForGoodAtTheEnd) {
  const std::vector<uint8_t> bytes(7, 0xee);
  uint8_t sink[16] = {};
  const auto read = [&sink](int kind, ByteReader& r) -> uint64_t {
    switch (kind) {
      case 0:
        return r.ReadU16();
      case 1:
        return r.ReadU32();
      case 2:
        return r.ReadU64();
      case 3:
        return r.ReadBytes(8).size();
      case 4:
        return r.Skip(8) ? 1 : 0;
      default:
        return r.CopyTo(sink, 8) ? 1 : 0;
    }
  };
  const size_t sizes[] = {2, 4, 8, 8, 8, 8};
  for (int kind = 0; kind < 6; ++kind) {
    ByteReader reader(absl::MakeConstSpan(bytes).first(sizes[kind] - 1));
    EXPECT_EQ(read(kind, reader), 0u) << kind;
    EXPECT_FALSE(reader.ok()) << kind;
    EXPECT_EQ(reader.remaining(), 0u) << kind;
    EXPECT_EQ(reader.ReadU8(), 0) << kind;
    EXPECT_FALSE(reader.Skip(0)) << kind;
    EXPECT_FALSE(reader.ok()) << kind;
  }
  EXPECT_EQ(sink[0], 0);
}

TEST(ByteReader, HugeSizesDoNotWrap) {
  const std::vector<uint8_t> bytes(4);
  ByteReader reader(bytes);
  EXPECT_EQ(reader.ReadU8(), 0);
  EXPECT_FALSE(reader.Skip(SIZE_MAX));
  EXPECT_FALSE(reader.ok());
}

TEST(ByteReader, EmptySpan) {
  ByteReader reader({});
  EXPECT_TRUE(reader.ok());
  EXPECT_EQ(reader.ReadU8(), 0);
  EXPECT_FALSE(reader.ok());
}

TEST(ByteWriter, WritesInOrder) {
  uint8_t bytes[21] = {};
  ByteWriter writer(absl::MakeSpan(bytes, 20));
  writer.WriteU8(1);
  writer.WriteU16(0x0203);
  writer.WriteU32(0x04050607);
  writer.WriteU64(0x08090a0b0c0d0e0f);
  writer.WriteBytes({16, 17});
  writer.WriteBytes({});
  writer.Fill(0xaa, 2);
  EXPECT_TRUE(writer.ok());
  EXPECT_EQ(writer.written(), 19u);
  EXPECT_EQ(writer.remaining(), 1u);
  for (int i = 0; i < 17; ++i) EXPECT_EQ(bytes[i], i + 1);
  EXPECT_EQ(bytes[17], 0xaa);
  EXPECT_EQ(bytes[18], 0xaa);
}

TEST(ByteWriter, FailsForGoodAndLeavesTheRestAlone) {
  uint8_t bytes[8];
  memset(bytes, 0x55, sizeof(bytes));
  ByteWriter writer(absl::MakeSpan(bytes, 3));
  writer.WriteU16(0x0102);
  writer.WriteU32(0xffffffff);
  EXPECT_FALSE(writer.ok());
  writer.WriteU8(9);
  writer.WriteU16(9);
  writer.WriteU64(9);
  writer.Fill(9, 1);
  writer.WriteBytes({9});
  EXPECT_EQ(writer.written(), 2u);
  EXPECT_EQ(writer.remaining(), 0u);
  EXPECT_EQ(bytes[1], 2);
  for (int i = 2; i < 8; ++i) EXPECT_EQ(bytes[i], 0x55) << i;
  ByteWriter wrap(absl::MakeSpan(bytes, 3));
  wrap.WriteU8(1);
  wrap.Fill(0, SIZE_MAX);
  EXPECT_FALSE(wrap.ok());
}

}  // namespace
}  // namespace luna::wire
