#include "luna/net/tcp/segment.h"

#include <algorithm>
#include <array>
#include <utility>

#include "luna/net/tcp/config.h"
#include "luna/net/wire/checksum.h"

namespace luna::tcp {
namespace {

using stats::DropReason;

// The TCP header in one piece: in place when the first slice holds it, else gathered into `scratch`. At least 20 octets
// are there.
absl::Span<const uint8_t> HeaderBytes(const zbuf::ZChain& data, std::array<uint8_t, kMaxTcpHeaderBytes>* scratch) {
  const auto& first = data.slices()[0];
  constexpr size_t kOffsetAt = 12;  // the data offset: a header's length in words
  if (first.size() >= wire::TcpHeader::kSize && first.size() >= static_cast<size_t>(first.data()[kOffsetAt]) / 16 * 4)
      [[likely]] {
    return absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(first.data()), first.size());
  }
  const size_t wanted = std::min<size_t>(data.bytes(), scratch->size());
  data.CopyTo(absl::MakeSpan(reinterpret_cast<std::byte*>(scratch->data()), wanted), 0);
  return absl::MakeConstSpan(scratch->data(), wanted);
}

bool ChecksumIsGood(const ip::Datagram& d) {
  if (d.packet.rx.l4_checksum == pmd::ChecksumStatus::kGood) return true;
  const auto length = static_cast<uint16_t>(d.packet.data.bytes());
  wire::ChecksumAccumulator sum(wire::Ipv4PseudoHeaderSum(d.source.v4(), d.destination.v4(), ip::kProtocolTcp, length));
  for (const auto& slice : d.packet.data.slices()) {
    sum.Add(absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(slice.data()), slice.size()));
  }
  return sum.Fold() == 0;
}

}  // namespace

void Segment::TrimBefore(SeqNum from) {
  if (from <= seq) return;
  if (Has(wire::TcpFlags::kSyn)) {
    flags &= static_cast<uint16_t>(~wire::TcpFlags::kSyn);
    seq += 1;
  }
  const uint32_t cut = std::min(static_cast<uint32_t>(from - seq), payload_bytes());
  payload.TrimFront(cut);
  seq += cut;
}

void Segment::TrimAfter(SeqNum to) {
  if (end() <= to) return;
  flags &= static_cast<uint16_t>(~wire::TcpFlags::kFin);
  if (end() > to) payload.TrimBack(static_cast<uint32_t>(end() - to));
}

DropReason ParseSegment(ip::Datagram&& datagram, Segment* out) {
  zbuf::ZChain& data = datagram.packet.data;
  if (data.bytes() < wire::TcpHeader::kSize) return DropReason::kTcpTruncated;
  if (data.bytes() > UINT16_MAX) return DropReason::kTcpTruncated;
  std::array<uint8_t, kMaxTcpHeaderBytes> scratch;
  const absl::Span<const uint8_t> bytes = HeaderBytes(data, &scratch);

  wire::TcpHeader header;
  switch (wire::Parse(bytes, &header)) {
    case wire::ParseResult::kOk:
      break;
    case wire::ParseResult::kBadHeaderLength:
      return DropReason::kTcpBadOffset;
    default:
      return DropReason::kTcpTruncated;
  }
  if (!ChecksumIsGood(datagram)) return DropReason::kTcpBadChecksum;
  if (header.source_port == 0 || header.destination_port == 0) return DropReason::kTcpBadSource;

  out->tuple = {{datagram.destination, header.destination_port}, {datagram.source, header.source_port}};
  out->seq = SeqNum(header.sequence);
  out->ack = SeqNum(header.acknowledgment);
  out->flags = header.flags;
  out->window = header.window;
  out->urgent = header.urgent_pointer;
  out->ecn = datagram.ecn;
  out->arrival = datagram.packet.rx.arrival;
  out->joined = 1;
  out->options = wire::TcpOptions();
  wire::ParseTcpOptions(header.Options(bytes), &out->options);
  data.TrimFront(header.header_length);
  out->payload = std::move(data);
  return DropReason::kNone;
}

}  // namespace luna::tcp
