// ParseSegment and the trimming of segments: whatever the datagram and however it is cut into slices, one octet each
// among others, the judgement and what is read are those of the datagram in one piece; lengths never leave it.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "glog/logging.h"
#include "luna/ctrl/stats/drop_reason.h"
#include "luna/mem/zbuf/testing/test_slab.h"
#include "luna/net/ip/datagram.h"
#include "luna/net/tcp/segment.h"
#include "luna/net/tcp/seq.h"
#include "luna/net/wire/address.h"
#include "luna/net/wire/byte_cursor.h"
#include "luna/net/wire/tcp_header.h"
#include "luna/net/wire/tcp_options.h"

namespace luna::tcp {
namespace {

using stats::DropReason;

constexpr size_t kMostBytes = 2048;

struct Parsed {
  DropReason reason;
  Segment segment;
};

Parsed ParseOf(zbuf::TestSlab& memory, absl::string_view bytes, size_t slice_bytes) {
  ip::Datagram datagram;
  datagram.source = wire::Ipv4Address(10, 0, 0, 1);
  datagram.destination = wire::Ipv4Address(10, 0, 0, 2);
  if (!bytes.empty()) datagram.packet.data = memory.ChainOfSlices(bytes, slice_bytes);
  Parsed parsed;
  parsed.reason = ParseSegment(std::move(datagram), &parsed.segment);
  return parsed;
}

void CheckSame(const Parsed& a, const Parsed& b) {
  CHECK(a.reason == b.reason);
  if (a.reason != DropReason::kNone) return;
  const Segment& s = a.segment;
  const Segment& t = b.segment;
  CHECK(s.tuple == t.tuple && s.seq == t.seq && s.ack == t.ack && s.flags == t.flags && s.window == t.window);
  CHECK(s.urgent == t.urgent && s.options == t.options && s.payload.ToString() == t.payload.ToString());
}

void CheckWhole(const Parsed& parsed, absl::string_view bytes) {
  if (parsed.reason != DropReason::kNone) return;
  const Segment& s = parsed.segment;
  CHECK_GE(bytes.size(), wire::TcpHeader::kSize);
  const auto span = absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  wire::TcpHeader header;
  CHECK(wire::Parse(span, &header) == wire::ParseResult::kOk);
  CHECK(s.payload.ToString() == bytes.substr(header.header_length));
  CHECK(wire::TcpChecksumIsRight(wire::Ipv4Address(10, 0, 0, 1), wire::Ipv4Address(10, 0, 0, 2), span));
  // What was read can be written again, in 40 octets, and says the same.
  uint8_t written[wire::TcpOptions::kMaximumSize];
  const size_t size = wire::WriteTcpOptions(s.options, written);
  CHECK_LE(size, sizeof(written));
  wire::TcpOptions again;
  wire::ParseTcpOptions({written, size}, &again);
  CHECK(again.mss == s.options.mss && again.tsval == s.options.tsval && again.tsecr == s.options.tsecr);
}

// Cuts in front and behind: the numbers that are left are those between, and each has the octet that it had. A FIN is
// never cut in front, a SYN never behind.
void CheckTrim(Segment segment, uint32_t before, uint32_t after) {
  const SeqNum seq = segment.seq;
  const SeqNum end = segment.end();
  const uint32_t syn = segment.Has(wire::TcpFlags::kSyn) ? 1 : 0;
  const std::string payload = segment.payload.ToString();
  const SeqNum from = seq + std::min(before, syn + segment.payload_bytes());
  segment.TrimBefore(from);
  CHECK(segment.seq == from && segment.end() == end);
  const SeqNum least = segment.seq + (segment.Has(wire::TcpFlags::kSyn) ? 1 : 0);
  const SeqNum to = Max(least, end - std::min(after, static_cast<uint32_t>(end - least)));
  segment.TrimAfter(to);
  CHECK(segment.end() == to) << segment.end() - to;
  const auto skipped = static_cast<uint32_t>(segment.seq + (segment.Has(wire::TcpFlags::kSyn) ? 1 : 0) - (seq + syn));
  if (segment.payload_bytes() > 0) {
    CHECK(segment.payload.ToString() == payload.substr(skipped, segment.payload_bytes()));
  }
}

}  // namespace
}  // namespace luna::tcp

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace luna::tcp;
  static auto* memory = new luna::zbuf::TestSlab;
  if (size < 3 || size > kMostBytes) return 0;
  {
    std::string bytes(reinterpret_cast<const char*>(data + 3), size - 3);
    if (data[0] & 1 && bytes.size() >= 20) {  // nearly all would have a wrong sum
      auto* b = reinterpret_cast<uint8_t*>(bytes.data());
      luna::wire::StoreBe16(b + 16, 0);
      luna::wire::StoreBe16(
          b + 16, luna::wire::TcpChecksum(luna::wire::Ipv4Address(10, 0, 0, 1), luna::wire::Ipv4Address(10, 0, 0, 2),
                                          absl::MakeConstSpan(b, bytes.size())));
    }
    Parsed whole = ParseOf(*memory, bytes, std::max<size_t>(bytes.size(), 1));
    CheckWhole(whole, bytes);
    for (const size_t slice_bytes : {size_t{1}, size_t{2}, size_t{19}, size_t{1} + data[0] / 2}) {
      CheckSame(ParseOf(*memory, bytes, slice_bytes), whole);
    }
    if (whole.reason == luna::stats::DropReason::kNone) CheckTrim(std::move(whole.segment), data[1], data[2]);
  }
  CHECK_EQ(memory->outstanding(), 0u);
  return 0;
}
