#ifndef LUNA_NET_WIRE_PCAP_H_
#define LUNA_NET_WIRE_PCAP_H_

// Capture files in the classic pcap format, readable by tcpdump and Wireshark.
//
// Written files have nanosecond time stamps (magic 0xa1b23c4d) in the machine's byte order. Read files may have either
// order and microseconds or nanoseconds. For set-up and traces, not for the data path: it does stdio. One thread per
// object.

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace luna::wire {

// What a packet begins with. Numbers are those of the file format's LINKTYPE_ registry.
enum class PcapLinkType : uint32_t {
  kEthernet = 1,
  kRawIp = 101,  // an IPv4 or IPv6 header
};

// A time stamp of a packet: nanoseconds since any epoch of the caller's (tools show it as Unix time).
using PcapTimeNs = int64_t;
// The format has 32 bits for the seconds. Writers take a negative time for 0 and a later one for this.
inline constexpr PcapTimeNs kPcapLatestTime = (int64_t{1} << 32) * 1'000'000'000 - 1;

class PcapWriter {
 public:
  // The most bytes of a packet that are kept; longer ones are cut and say so.
  static constexpr uint32_t kSnapLength = 262144;

  // Truncates or creates `path` and writes the file header. Errors: what errno says, naming the path.
  static absl::StatusOr<std::unique_ptr<PcapWriter>> Open(const std::string& path, PcapLinkType link_type);
  // Writes to a stream of the caller's, which stays open and must outlive the writer.
  static absl::StatusOr<std::unique_ptr<PcapWriter>> ToStream(std::FILE* stream, PcapLinkType link_type);

  // Closes a file that it opened; errors are lost here: Flush() first when they matter.
  ~PcapWriter();
  PcapWriter(const PcapWriter&) = delete;
  PcapWriter& operator=(const PcapWriter&) = delete;

  absl::Status Write(PcapTimeNs time, absl::Span<const uint8_t> packet) { return WritePieces(time, {&packet, 1}); }
  // The same for a packet in pieces.
  absl::Status WritePieces(PcapTimeNs time, absl::Span<const absl::Span<const uint8_t>> pieces);
  absl::Status Flush();

  uint64_t packets() const { return packets_; }

 private:
  PcapWriter(std::FILE* stream, bool owned, std::string name);
  absl::Status WriteFileHeader(PcapLinkType link_type);
  absl::Status Put(const void* bytes, size_t size);
  absl::Status Error(const char* what) const;

  std::FILE* const stream_;
  const bool owned_;
  const std::string name_;  // for error messages
  uint64_t packets_ = 0;
};

// One packet of a file.
struct PcapPacket {
  PcapTimeNs time = 0;
  uint32_t original_size = 0;  // bytes on the wire; more than bytes.size() when the capture cut it
  std::vector<uint8_t> bytes;
};

class PcapReader {
 public:
  // The most bytes of one packet that it believes; a larger claim is a broken file.
  static constexpr uint32_t kMaximumPacketSize = 1 << 20;

  // Opens and reads the file header. Errors: what errno says; InvalidArgument for what is not a pcap file (pcapng
  // included).
  static absl::StatusOr<std::unique_ptr<PcapReader>> Open(const std::string& path);
  // Reads from a stream of the caller's, which stays open and must outlive the reader.
  static absl::StatusOr<std::unique_ptr<PcapReader>> FromStream(std::FILE* stream);

  ~PcapReader();
  PcapReader(const PcapReader&) = delete;
  PcapReader& operator=(const PcapReader&) = delete;

  // The number in the file: a PcapLinkType, or one that this package has no name for.
  uint32_t link_type() const { return link_type_; }

  // Reads the next packet into `packet`, whose memory is used again. False at the end of the file.
  // Errors: DataLoss for a record cut short or an impossible size; after an error every further call gives one.
  absl::StatusOr<bool> Next(PcapPacket* packet);
  // All packets that are left.
  absl::StatusOr<std::vector<PcapPacket>> ReadAll();

 private:
  PcapReader(std::FILE* stream, bool owned, std::string name);
  absl::Status ReadFileHeader();
  uint32_t Field(const uint8_t* at) const;
  absl::Status DataLoss(const char* what);

  std::FILE* const stream_;
  const bool owned_;
  const std::string name_;
  bool swapped_ = false;  // the file's byte order is not the machine's
  bool nanoseconds_ = false;
  bool broken_ = false;
  uint32_t link_type_ = 0;
  uint64_t packets_ = 0;
};

}  // namespace luna::wire

#endif  // LUNA_NET_WIRE_PCAP_H_
