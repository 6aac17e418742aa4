// IPv4 header: what parses keeps its lengths inside the packet, and written again gives the same bytes.

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "luna/net/wire/ipv4.h"
#include "luna/net/wire/testing/fuzz_check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace luna::wire;
  const absl::Span<const uint8_t> packet(data, size);
  Ipv4Header h;
  const ParseResult r = Parse(packet, &h);
  if (r != ParseResult::kOk && r != ParseResult::kBadChecksum) return 0;
  FUZZ_CHECK(h.header_length >= 20 && h.header_length <= h.total_length && h.total_length <= size);
  const absl::Span<const uint8_t> payload = h.Payload(packet);
  FUZZ_CHECK(payload.data() + payload.size() == data + h.total_length);
  uint8_t again[Ipv4Header::kMaximumSize];
  std::memcpy(again, data, h.header_length);
  Write(h, again);
  // A right sum of zero may be written with either zero; every other byte is as it was.
  const bool same_sum = LoadBe16(again + 10) == h.checksum || h.checksum == 0xffff;
  FUZZ_CHECK(same_sum == (r == ParseResult::kOk) || h.checksum == 0xffff);
  StoreBe16(again + 10, h.checksum);
  FUZZ_CHECK(std::memcmp(again, data, h.header_length) == 0);
  return 0;
}
