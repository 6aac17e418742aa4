// Ethernet header: a header that parses, written again, gives the same bytes.

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "luna/net/wire/ethernet.h"
#include "luna/net/wire/testing/fuzz_check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace luna::wire;
  EthernetHeader h;
  const ParseResult r = Parse({data, size}, &h);
  if (r != ParseResult::kOk) {
    FUZZ_CHECK(r == ParseResult::kTruncated && size < 18);
    return 0;
  }
  FUZZ_CHECK(h.size() <= size);
  uint8_t again[18];
  Write(h, again);
  FUZZ_CHECK(std::memcmp(again, data, h.size()) == 0);
  return 0;
}
