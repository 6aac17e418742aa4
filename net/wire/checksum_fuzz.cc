// Checksum: any bytes, split anywhere, sum to what the definition says. The first four bytes choose the splits.

#include <cstddef>
#include <cstdint>

#include "luna/net/wire/checksum.h"
#include "luna/net/wire/testing/fuzz_check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace luna::wire;
  if (size < 4) return 0;
  const uint8_t* splits = data;
  const absl::Span<const uint8_t> bytes(data + 4, size - 4);
  uint32_t expected = 0;
  for (size_t i = 0; i < bytes.size(); ++i) {
    expected += i % 2 == 0 ? uint32_t{bytes[i]} << 8 : uint32_t{bytes[i]};
    if (expected > 0xffff) expected -= 0xffff;
  }
  FUZZ_CHECK(ChecksumSum(bytes) == expected);
  ChecksumAccumulator pieces;
  size_t at = 0;
  for (int i = 0; i < 4; ++i) {
    const size_t left = bytes.size() - at;
    const size_t take = splits[i] < left ? splits[i] : left;
    pieces.Add(bytes.subspan(at, take));
    at += take;
  }
  pieces.Add(bytes.subspan(at));
  FUZZ_CHECK(pieces.Sum() == expected);
  return 0;
}
