#include "luna/net/pmd/testing/nic_offload.h"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <utility>

#include "glog/logging.h"
#include "luna/net/wire/byte_cursor.h"
#include "luna/net/wire/checksum.h"
#include "luna/net/wire/ethernet.h"
#include "luna/net/wire/ipv4.h"
#include "luna/net/wire/tcp_header.h"

namespace luna::pmd {
namespace {

// Offsets into the IPv4 and TCP headers.
constexpr std::ptrdiff_t kTagAt = 12;  // behind the MAC addresses
constexpr size_t kIpTotalLength = 2;
constexpr size_t kIpIdentification = 4;
constexpr size_t kIpChecksum = 10;
constexpr size_t kTcpSequence = 4;
constexpr size_t kTcpFlags = 13;
constexpr size_t kTcpChecksum = 16;

void FillIpChecksum(std::vector<uint8_t>& frame, const TxMeta& tx) {
  uint8_t* ip = frame.data() + tx.l2_bytes;
  wire::StoreBe16(ip + kIpChecksum, 0);
  wire::StoreBe16(ip + kIpChecksum, wire::Checksum(absl::MakeConstSpan(ip, tx.l3_bytes)));
}

// The field holds the pseudo-header's sum, so the sum over the segment is that of both.
void FillTcpChecksum(std::vector<uint8_t>& frame, const TxMeta& tx) {
  const size_t datagram_bytes = wire::LoadBe16(frame.data() + tx.l2_bytes + kIpTotalLength);
  const size_t end = tx.l2_bytes + datagram_bytes;
  const size_t begin = size_t{tx.l2_bytes} + tx.l3_bytes;
  CHECK(begin + wire::TcpHeader::kSize <= end && end <= frame.size()) << "total length " << datagram_bytes;
  const auto segment = absl::MakeConstSpan(frame).subspan(begin, end - begin);
  wire::StoreBe16(frame.data() + begin + kTcpChecksum, wire::Checksum(segment));
}

// The segment with payload [offset, offset + size) of `whole`.
std::vector<uint8_t> CutSegment(const std::vector<uint8_t>& whole, const TxMeta& tx, size_t number, size_t offset,
                                size_t size) {
  const size_t header_bytes = size_t{tx.l2_bytes} + tx.l3_bytes + tx.l4_bytes;
  const bool last = header_bytes + offset + size == whole.size();
  std::vector<uint8_t> frame(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(header_bytes));
  const auto payload = absl::MakeConstSpan(whole).subspan(header_bytes + offset, size);
  frame.insert(frame.end(), payload.begin(), payload.end());

  uint8_t* ip = frame.data() + tx.l2_bytes;
  wire::StoreBe16(ip + kIpTotalLength, static_cast<uint16_t>(tx.l3_bytes + tx.l4_bytes + size));
  const uint16_t identification = wire::LoadBe16(ip + kIpIdentification);
  wire::StoreBe16(ip + kIpIdentification, static_cast<uint16_t>(identification + number));

  uint8_t* tcp = ip + tx.l3_bytes;
  wire::StoreBe32(tcp + kTcpSequence, wire::LoadBe32(tcp + kTcpSequence) + static_cast<uint32_t>(offset));
  if (!last) tcp[kTcpFlags] &= static_cast<uint8_t>(~(wire::TcpFlags::kFin | wire::TcpFlags::kPsh));
  if (number != 0) tcp[kTcpFlags] &= static_cast<uint8_t>(~wire::TcpFlags::kCwr);
  const auto segment_bytes = static_cast<uint16_t>(tx.l4_bytes + size);
  wire::StoreBe16(tcp + kTcpChecksum, wire::AddSums(wire::LoadBe16(tcp + kTcpChecksum), segment_bytes));
  FillIpChecksum(frame, tx);
  FillTcpChecksum(frame, tx);
  return frame;
}

std::vector<std::vector<uint8_t>> Segment(const std::vector<uint8_t>& whole, const TxMeta& tx) {
  const size_t header_bytes = size_t{tx.l2_bytes} + tx.l3_bytes + tx.l4_bytes;
  const size_t payload_bytes = whole.size() - header_bytes;
  std::vector<std::vector<uint8_t>> segments;
  size_t offset = 0;
  do {
    const size_t size = std::min<size_t>(tx.tso_segment_bytes, payload_bytes - offset);
    segments.push_back(CutSegment(whole, tx, segments.size(), offset, size));
    offset += size;
  } while (offset < payload_bytes);
  return segments;
}

// Without regard to the tag.
std::vector<std::vector<uint8_t>> Finish(std::vector<uint8_t> frame, const TxMeta& tx) {
  const bool tcp = tx.l4_checksum || tx.tso_segment_bytes > 0;
  if (tcp || tx.ip_checksum) {
    CHECK_GE(tx.l2_bytes, wire::EthernetHeader::kSize);
    CHECK_GE(tx.l3_bytes, wire::Ipv4Header::kSize);
    if (tcp) CHECK_GE(tx.l4_bytes, wire::TcpHeader::kSize);
    CHECK_LE(size_t{tx.l2_bytes} + tx.l3_bytes + tx.l4_bytes, frame.size());
  }
  if (tx.tso_segment_bytes > 0) return Segment(frame, tx);
  if (tx.ip_checksum) FillIpChecksum(frame, tx);
  if (tx.l4_checksum) FillTcpChecksum(frame, tx);
  std::vector<std::vector<uint8_t>> frames;
  frames.push_back(std::move(frame));
  return frames;
}

}  // namespace

std::vector<std::vector<uint8_t>> ApplyTxOffload(std::vector<uint8_t> frame, const TxMeta& tx) {
  std::vector<std::vector<uint8_t>> frames = Finish(std::move(frame), tx);
  if (tx.vlan_tci == 0) return frames;
  const uint8_t tag[] = {0x81, 0x00, static_cast<uint8_t>(tx.vlan_tci >> 8), static_cast<uint8_t>(tx.vlan_tci)};
  for (std::vector<uint8_t>& out : frames) out.insert(out.begin() + kTagAt, std::begin(tag), std::end(tag));
  return frames;
}

uint16_t StripVlan(std::vector<uint8_t>& frame) {
  wire::EthernetHeader header;
  if (Parse(frame, &header) != wire::ParseResult::kOk || !header.has_vlan) return 0;
  frame.erase(frame.begin() + kTagAt, frame.begin() + kTagAt + wire::EthernetHeader::kVlanTagSize);
  return header.vlan_tci;
}

RxMeta JudgeChecksums(absl::Span<const uint8_t> frame) {
  RxMeta meta;
  wire::EthernetHeader ethernet;
  if (Parse(frame, &ethernet) != wire::ParseResult::kOk || ethernet.ether_type != wire::EtherType::kIpv4) return meta;
  const absl::Span<const uint8_t> packet = frame.subspan(ethernet.size());
  wire::Ipv4Header ip;
  const wire::ParseResult result = Parse(packet, &ip);
  if (result == wire::ParseResult::kBadChecksum) meta.ip_checksum = ChecksumStatus::kBad;
  if (result != wire::ParseResult::kOk) return meta;
  meta.ip_checksum = ChecksumStatus::kGood;
  if (ip.protocol != wire::IpProtocol::kTcp || ip.IsFragment()) return meta;
  const bool right = wire::TcpChecksumIsRight(ip.source, ip.destination, ip.Payload(packet));
  meta.l4_checksum = right ? ChecksumStatus::kGood : ChecksumStatus::kBad;
  return meta;
}

}  // namespace luna::pmd
