// ARP: a packet that parses, written again, gives the same bytes.

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "luna/net/wire/arp.h"
#include "luna/net/wire/testing/fuzz_check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace luna::wire;
  ArpPacket arp;
  const ParseResult r = Parse({data, size}, &arp);
  if (r != ParseResult::kOk) {
    FUZZ_CHECK(r == (size < ArpPacket::kSize ? ParseResult::kTruncated : ParseResult::kUnsupported));
    return 0;
  }
  uint8_t again[ArpPacket::kSize];
  Write(arp, again);
  FUZZ_CHECK(std::memcmp(again, data, sizeof(again)) == 0);
  return 0;
}
