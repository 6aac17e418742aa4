#include "luna/net/wire/pcap.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace luna::wire {
namespace {

constexpr uint32_t kMagicNanoseconds = 0xa1b23c4d;
constexpr uint32_t kMagicMicroseconds = 0xa1b2c3d4;
constexpr size_t kFileHeaderSize = 24;
constexpr size_t kRecordHeaderSize = 16;
constexpr int64_t kNsPerSecond = 1000 * 1000 * 1000;

struct FileHeader {
  uint32_t magic;
  uint16_t version_major;
  uint16_t version_minor;
  int32_t zone;
  uint32_t time_accuracy;
  uint32_t snap_length;
  uint32_t link_type;
};
static_assert(sizeof(FileHeader) == kFileHeaderSize);

struct RecordHeader {
  uint32_t seconds;
  uint32_t fraction;
  uint32_t captured;
  uint32_t original;
};
static_assert(sizeof(RecordHeader) == kRecordHeaderSize);

absl::Status OpenError(const std::string& path) { return absl::ErrnoToStatus(errno, absl::StrCat("pcap file ", path)); }

}  // namespace

absl::StatusOr<std::unique_ptr<PcapWriter>> PcapWriter::Open(const std::string& path, PcapLinkType link_type) {
  std::FILE* stream = std::fopen(path.c_str(), "wbe");
  if (stream == nullptr) return OpenError(path);
  auto writer = std::unique_ptr<PcapWriter>(new PcapWriter(stream, true, path));
  if (absl::Status s = writer->WriteFileHeader(link_type); !s.ok()) return s;
  return writer;
}

absl::StatusOr<std::unique_ptr<PcapWriter>> PcapWriter::ToStream(std::FILE* stream, PcapLinkType link_type) {
  auto writer = std::unique_ptr<PcapWriter>(new PcapWriter(stream, false, "stream"));
  if (absl::Status s = writer->WriteFileHeader(link_type); !s.ok()) return s;
  return writer;
}

PcapWriter::PcapWriter(std::FILE* stream, bool owned, std::string name)
    : stream_(stream), owned_(owned), name_(std::move(name)) {}

PcapWriter::~PcapWriter() {
  if (owned_) std::fclose(stream_);
}

absl::Status PcapWriter::WriteFileHeader(PcapLinkType link_type) {
  const FileHeader header = {kMagicNanoseconds, 2, 4, 0, 0, kSnapLength, static_cast<uint32_t>(link_type)};
  return Put(&header, sizeof(header));
}

absl::Status PcapWriter::WritePieces(PcapTimeNs time, absl::Span<const absl::Span<const uint8_t>> pieces) {
  size_t size = 0;
  for (absl::Span<const uint8_t> piece : pieces) size += piece.size();
  size_t left = std::min<size_t>(size, kSnapLength);
  time = std::clamp<PcapTimeNs>(time, 0, kPcapLatestTime);
  const RecordHeader header = {static_cast<uint32_t>(time / kNsPerSecond), static_cast<uint32_t>(time % kNsPerSecond),
                               static_cast<uint32_t>(left), static_cast<uint32_t>(size)};
  if (absl::Status s = Put(&header, sizeof(header)); !s.ok()) return s;
  for (absl::Span<const uint8_t> piece : pieces) {
    const size_t take = std::min(piece.size(), left);
    if (absl::Status s = Put(piece.data(), take); !s.ok()) return s;
    left -= take;
  }
  ++packets_;
  return absl::OkStatus();
}

absl::Status PcapWriter::Flush() {
  if (std::fflush(stream_) != 0) return Error("flush");
  return absl::OkStatus();
}

absl::Status PcapWriter::Put(const void* bytes, size_t size) {
  if (size != 0 && std::fwrite(bytes, 1, size, stream_) != size) return Error("write");
  return absl::OkStatus();
}

absl::Status PcapWriter::Error(const char* what) const {
  return absl::ErrnoToStatus(errno, absl::StrCat("pcap ", what, " ", name_));
}

absl::StatusOr<std::unique_ptr<PcapReader>> PcapReader::Open(const std::string& path) {
  std::FILE* stream = std::fopen(path.c_str(), "rbe");
  if (stream == nullptr) return OpenError(path);
  auto reader = std::unique_ptr<PcapReader>(new PcapReader(stream, true, path));
  if (absl::Status s = reader->ReadFileHeader(); !s.ok()) return s;
  return reader;
}

absl::StatusOr<std::unique_ptr<PcapReader>> PcapReader::FromStream(std::FILE* stream) {
  auto reader = std::unique_ptr<PcapReader>(new PcapReader(stream, false, "stream"));
  if (absl::Status s = reader->ReadFileHeader(); !s.ok()) return s;
  return reader;
}

PcapReader::PcapReader(std::FILE* stream, bool owned, std::string name)
    : stream_(stream), owned_(owned), name_(std::move(name)) {}

PcapReader::~PcapReader() {
  if (owned_) std::fclose(stream_);
}

uint32_t PcapReader::Field(const uint8_t* at) const {
  uint32_t value;
  std::memcpy(&value, at, sizeof(value));
  return swapped_ ? __builtin_bswap32(value) : value;
}

absl::Status PcapReader::ReadFileHeader() {
  uint8_t header[kFileHeaderSize];
  if (std::fread(header, 1, sizeof(header), stream_) != sizeof(header)) {
    return absl::InvalidArgumentError(absl::StrCat(name_, " is not a pcap file: shorter than its header"));
  }
  const uint32_t magic = Field(header);
  swapped_ = magic == __builtin_bswap32(kMagicNanoseconds) || magic == __builtin_bswap32(kMagicMicroseconds);
  nanoseconds_ = Field(header) == kMagicNanoseconds;
  if (!nanoseconds_ && Field(header) != kMagicMicroseconds) {
    return absl::InvalidArgumentError(
        absl::StrCat(name_, " is not a pcap file: magic 0x", absl::Hex(magic, absl::kZeroPad8)));
  }
  // The upper bits may hold an FCS length, which tells nothing about how to read a packet.
  link_type_ = Field(header + 20) & 0xffff;
  return absl::OkStatus();
}

absl::Status PcapReader::DataLoss(const char* what) {
  broken_ = true;
  return absl::DataLossError(absl::StrCat(name_, ": packet ", packets_ + 1, " ", what));
}

absl::StatusOr<bool> PcapReader::Next(PcapPacket* packet) {
  if (broken_) return DataLoss("is behind a broken one");
  uint8_t header[kRecordHeaderSize];
  const size_t got = std::fread(header, 1, sizeof(header), stream_);
  if (got == 0 && std::feof(stream_)) return false;
  if (got != sizeof(header)) return DataLoss("has its header cut short");
  const int64_t fraction = Field(header + 4);
  packet->time = int64_t{Field(header)} * kNsPerSecond + (nanoseconds_ ? fraction : fraction * 1000);
  const uint32_t size = Field(header + 8);
  packet->original_size = Field(header + 12);
  if (size > kMaximumPacketSize) return DataLoss("claims an impossible size");
  packet->bytes.resize(size);
  if (size != 0 && std::fread(packet->bytes.data(), 1, size, stream_) != size) return DataLoss("is cut short");
  ++packets_;
  return true;
}

absl::StatusOr<std::vector<PcapPacket>> PcapReader::ReadAll() {
  std::vector<PcapPacket> all;
  while (true) {
    PcapPacket packet;
    absl::StatusOr<bool> more = Next(&packet);
    if (!more.ok()) return more.status();
    if (!*more) return all;
    all.push_back(std::move(packet));
  }
}

}  // namespace luna::wire
