// ICMP: any message is read, and a checksum that is written is right.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "luna/net/wire/icmpv4.h"
#include "luna/net/wire/testing/fuzz_check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace luna::wire;
  Icmpv4Header h;
  if (Parse({data, size}, &h) == ParseResult::kTruncated) {
    FUZZ_CHECK(size < Icmpv4Header::kSize);
    return 0;
  }
  std::vector<uint8_t> again(data, data + size);
  Write(h, absl::MakeSpan(again));
  Icmpv4Header second;
  FUZZ_CHECK(Parse(again, &second) == ParseResult::kOk);
  FUZZ_CHECK(second.type == h.type && second.code == h.code && second.rest == h.rest);
  return 0;
}
