// TCP header and options: parse, write, parse gives the same meaning; sizes stay inside the header.

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "luna/net/wire/tcp_header.h"
#include "luna/net/wire/tcp_options.h"
#include "luna/net/wire/testing/fuzz_check.h"

namespace luna::wire {
namespace {

void CheckOptions(absl::Span<const uint8_t> bytes) {
  TcpOptions first;
  ParseTcpOptions(bytes, &first);
  FUZZ_CHECK(first.sack_count <= TcpOptions::kMaximumSackBlocks);
  TcpOptions slow;
  internal::ParseTcpOptionsSlow(bytes, &slow);
  FUZZ_CHECK(slow == first);

  uint8_t written[TcpOptions::kMaximumSize];
  const size_t size = TcpOptionsSize(first);
  FUZZ_CHECK(size <= sizeof(written) && size % 4 == 0);
  FUZZ_CHECK(WriteTcpOptions(first, written) == size);
  TcpOptions second;
  ParseTcpOptions({written, size}, &second);
  // What a writer cannot say: that the reader saw nonsense, and blocks without room.
  TcpOptions expected = first;
  expected.malformed = false;
  expected.sack_count = static_cast<uint8_t>(TcpOptionsSackBlocksThatFit(first));
  for (size_t i = expected.sack_count; i < TcpOptions::kMaximumSackBlocks; ++i) expected.sack[i] = {};
  FUZZ_CHECK(second == expected);
}

}  // namespace
}  // namespace luna::wire

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace luna::wire;
  const absl::Span<const uint8_t> segment(data, size);
  CheckOptions(segment.first(size < 64 ? size : 64));
  TcpHeader h;
  if (Parse(segment, &h) != ParseResult::kOk) return 0;
  FUZZ_CHECK(h.header_length >= 20 && h.header_length <= 60 && h.header_length <= size);
  FUZZ_CHECK(h.Options(segment).size() + h.Payload(segment).size() + 20 == size);
  CheckOptions(h.Options(segment));
  uint8_t again[TcpHeader::kSize];
  Write(h, again);
  again[12] |= data[12] & 0x0e;  // reserved bits are not kept
  FUZZ_CHECK(std::memcmp(again, data, sizeof(again)) == 0);
  return 0;
}
