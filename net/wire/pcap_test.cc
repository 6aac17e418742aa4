#include "luna/net/wire/pcap.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>

#include "gtest/gtest.h"
#include "luna/net/wire/testing/frame_builder.h"

namespace luna::wire {
namespace {

// A stream in memory.
class Memory {
 public:
  explicit Memory(const std::vector<uint8_t>& bytes = {}) : stream_(std::tmpfile()) {
    if (!bytes.empty()) std::fwrite(bytes.data(), 1, bytes.size(), stream_);
    std::rewind(stream_);
  }
  ~Memory() { std::fclose(stream_); }
  std::FILE* stream() { return stream_; }
  std::vector<uint8_t> Bytes() {
    std::fflush(stream_);
    std::rewind(stream_);
    std::vector<uint8_t> bytes(1 << 20);
    bytes.resize(std::fread(bytes.data(), 1, bytes.size(), stream_));
    return bytes;
  }

 private:
  std::FILE* stream_;
};

std::string TempPath(const char* name) { return std::string(std::getenv("TEST_TMPDIR")) + "/" + name; }

// Swaps the file header's and the first record header's fields: the file as a machine of the other order writes it.
std::vector<uint8_t> Swapped(std::vector<uint8_t> file) {
  const auto reverse = [&file](size_t at, size_t size) {
    std::reverse(file.begin() + static_cast<long>(at), file.begin() + static_cast<long>(at + size));
  };
  reverse(0, 4);
  reverse(4, 2);
  reverse(6, 2);
  for (size_t at = 8; at < 40; at += 4) reverse(at, 4);
  return file;
}

std::vector<uint8_t> OnePacketFile() {
  Memory memory;
  auto writer = PcapWriter::ToStream(memory.stream(), PcapLinkType::kEthernet);
  EXPECT_TRUE(writer.ok());
  EXPECT_TRUE((*writer)->Write(5'000'000'123, Text("hello")).ok());
  return memory.Bytes();
}

TEST(Pcap, LayoutOfTheFile) {
  const std::vector<uint8_t> file = OnePacketFile();
  ASSERT_EQ(file.size(), 24u + 16 + 5);
  const uint32_t kExpected[] = {0xa1b23c4d, 0x00040002, 0, 0, 262144, 1, 5, 123, 5, 5};  // little-endian machines
  EXPECT_EQ(0, std::memcmp(file.data(), kExpected, sizeof(kExpected)));
  EXPECT_EQ(0, std::memcmp(file.data() + 40, "hello", 5));
}

TEST(Pcap, WhatIsWrittenIsRead) {
  const std::string path = TempPath("round_trip.pcap");
  const std::vector<uint8_t> frame = TcpFrame{.payload = Pattern(3000)}.Build();
  {
    auto writer = PcapWriter::Open(path, PcapLinkType::kRawIp);
    ASSERT_TRUE(writer.ok()) << writer.status();
    ASSERT_TRUE((*writer)->Write(0, {}).ok());
    ASSERT_TRUE((*writer)->Write(1'699'999'999'999'999'999, frame).ok());
    ASSERT_TRUE((*writer)->Write(-5, Text("before the epoch")).ok());
    ASSERT_TRUE((*writer)->Flush().ok());
    EXPECT_EQ((*writer)->packets(), 3u);
  }
  auto reader = PcapReader::Open(path);
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_EQ((*reader)->link_type(), static_cast<uint32_t>(PcapLinkType::kRawIp));
  auto packets = (*reader)->ReadAll();
  ASSERT_TRUE(packets.ok()) << packets.status();
  ASSERT_EQ(packets->size(), 3u);
  EXPECT_TRUE((*packets)[0].bytes.empty());
  EXPECT_EQ((*packets)[1].time, 1'699'999'999'999'999'999);
  EXPECT_EQ((*packets)[1].bytes, frame);
  EXPECT_EQ((*packets)[1].original_size, frame.size());
  EXPECT_EQ((*packets)[2].time, 0);
  PcapPacket more;
  EXPECT_EQ((*reader)->Next(&more).value(), false);
}

TEST(Pcap, PiecesAreOnePacket) {
  Memory memory;
  auto writer = PcapWriter::ToStream(memory.stream(), PcapLinkType::kEthernet);
  ASSERT_TRUE(writer.ok());
  const std::vector<uint8_t> a = Text("hel");
  const std::vector<uint8_t> b = Text("lo");
  const absl::Span<const uint8_t> pieces[] = {a, {}, b};
  ASSERT_TRUE((*writer)->WritePieces(5'000'000'123, pieces).ok());
  EXPECT_EQ(memory.Bytes(), OnePacketFile());
}

TEST(Pcap, LongPacketsAreCutAndSaySo) {
  Memory memory;
  auto writer = PcapWriter::ToStream(memory.stream(), PcapLinkType::kEthernet);
  ASSERT_TRUE(writer.ok());
  const std::vector<uint8_t> half = Pattern(PcapWriter::kSnapLength - 1);
  const absl::Span<const uint8_t> pieces[] = {half, half, half};
  ASSERT_TRUE((*writer)->WritePieces(1, pieces).ok());
  ASSERT_TRUE((*writer)->Write(2, Text("next")).ok());
  std::rewind(memory.stream());
  auto reader = PcapReader::FromStream(memory.stream());
  ASSERT_TRUE(reader.ok());
  auto packets = (*reader)->ReadAll();
  ASSERT_TRUE(packets.ok()) << packets.status();
  ASSERT_EQ(packets->size(), 2u);
  EXPECT_EQ((*packets)[0].bytes.size(), PcapWriter::kSnapLength);
  EXPECT_EQ((*packets)[0].original_size, 3 * half.size());
  EXPECT_EQ((*packets)[0].bytes.back(), half[0]);
  EXPECT_EQ((*packets)[1].bytes, Text("next"));
}

TEST(Pcap, ReadsBothByteOrdersAndBothResolutions) {
  std::vector<uint8_t> nano = OnePacketFile();
  std::vector<uint8_t> micro = nano;
  const uint32_t magic = 0xa1b2c3d4;
  std::memcpy(micro.data(), &magic, 4);
  const struct {
    std::vector<uint8_t> file;
    PcapTimeNs time;
  } kCases[] = {
      {nano, 5'000'000'123}, {Swapped(nano), 5'000'000'123}, {micro, 5'000'123'000}, {Swapped(micro), 5'000'123'000}};
  for (const auto& c : kCases) {
    Memory memory(c.file);
    auto reader = PcapReader::FromStream(memory.stream());
    ASSERT_TRUE(reader.ok()) << reader.status();
    EXPECT_EQ((*reader)->link_type(), 1u);
    auto packets = (*reader)->ReadAll();
    ASSERT_TRUE(packets.ok()) << packets.status();
    ASSERT_EQ(packets->size(), 1u);
    EXPECT_EQ((*packets)[0].time, c.time);
    EXPECT_EQ((*packets)[0].bytes, Text("hello"));
  }
}

TEST(Pcap, TimesOutsideTheFormatAreClamped) {
  const struct {
    PcapTimeNs written, read;
  } kCases[] = {
      {int64_t{0x80000000} * 1'000'000'000, int64_t{0x80000000} * 1'000'000'000},  // after 2038
      {kPcapLatestTime, kPcapLatestTime},
      {kPcapLatestTime + 1, kPcapLatestTime},
      {INT64_MAX, kPcapLatestTime},
      {-1, 0},
      {INT64_MIN, 0},
  };
  for (const auto& c : kCases) {
    Memory memory;
    auto writer = PcapWriter::ToStream(memory.stream(), PcapLinkType::kEthernet);
    ASSERT_TRUE(writer.ok());
    ASSERT_TRUE((*writer)->Write(c.written, {}).ok());
    std::rewind(memory.stream());
    auto reader = PcapReader::FromStream(memory.stream());
    PcapPacket packet;
    ASSERT_TRUE((*reader)->Next(&packet).value());
    EXPECT_EQ(packet.time, c.read);
  }
}

TEST(Pcap, EveryTruncation) {
  const std::vector<uint8_t> whole = OnePacketFile();
  for (size_t size = 0; size < whole.size(); ++size) {
    Memory memory(std::vector<uint8_t>(whole.begin(), whole.begin() + static_cast<long>(size)));
    auto reader = PcapReader::FromStream(memory.stream());
    if (size < 24) {
      EXPECT_EQ(reader.status().code(), absl::StatusCode::kInvalidArgument) << size;
      continue;
    }
    ASSERT_TRUE(reader.ok()) << size;
    PcapPacket packet;
    const absl::StatusOr<bool> more = (*reader)->Next(&packet);
    if (size == 24) {
      EXPECT_EQ(more.value(), false);
      continue;
    }
    EXPECT_EQ(more.status().code(), absl::StatusCode::kDataLoss) << size;
    EXPECT_EQ((*reader)->Next(&packet).status().code(), absl::StatusCode::kDataLoss) << size;
  }
}

TEST(Pcap, ImpossibleSizesAreNotBelieved) {
  std::vector<uint8_t> file = OnePacketFile();
  const uint32_t size = PcapReader::kMaximumPacketSize + 1;
  std::memcpy(&file[32], &size, 4);
  Memory memory(file);
  auto reader = PcapReader::FromStream(memory.stream());
  ASSERT_TRUE(reader.ok());
  PcapPacket packet;
  EXPECT_EQ((*reader)->Next(&packet).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_TRUE(packet.bytes.empty());
}

TEST(Pcap, ErrorsNameTheFile) {
  const absl::Status missing = PcapReader::Open("/nonexistent/a.pcap").status();
  EXPECT_EQ(missing.code(), absl::StatusCode::kNotFound);
  EXPECT_NE(missing.message().find("/nonexistent/a.pcap"), absl::string_view::npos);
  EXPECT_FALSE(PcapWriter::Open("/nonexistent/a.pcap", PcapLinkType::kEthernet).ok());
  Memory pcapng(Hex("0a0d0d0a 00000000 00000000 00000000 00000000 00000000"));
  const absl::Status wrong = PcapReader::FromStream(pcapng.stream()).status();
  EXPECT_EQ(wrong.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(wrong.message().find("magic"), absl::string_view::npos);
}

TEST(Pcap, AFullDiskIsAnError) {
  std::FILE* full = std::fopen("/dev/full", "w");
  if (full == nullptr) GTEST_SKIP() << "no /dev/full";
  auto writer = PcapWriter::ToStream(full, PcapLinkType::kEthernet);
  ASSERT_TRUE(writer.ok());  // still in the stream's buffer
  EXPECT_EQ((*writer)->Flush().code(), absl::StatusCode::kResourceExhausted);
  std::fclose(full);
}

}  // namespace
}  // namespace luna::wire
