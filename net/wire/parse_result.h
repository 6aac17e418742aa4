#ifndef LUNA_NET_WIRE_PARSE_RESULT_H_
#define LUNA_NET_WIRE_PARSE_RESULT_H_

// What every Parse(bytes, header*) of this package returns. Parsers never read outside `bytes`, never allocate and
// accept any input. On kOk and kBadChecksum the header is filled in; on anything else its content is unspecified and
// must not be used. They are pure functions: any thread, and the bytes stay the caller's.

#include <cstdint>

namespace luna::wire {

enum class [[nodiscard]] ParseResult : uint8_t{
    kOk = 0,
    kTruncated,        // fewer bytes than the header or its length field claims
    kBadVersion,       // not the version that the parser reads
    kBadHeaderLength,  // shorter than the fixed header
    kBadTotalLength,   // the total does not even hold the header
    kBadChecksum,      // all else is well
    kUnsupported,      // well-formed perhaps, but a variant that this package does not read (e.g. ARP for Token Ring)
};

// Stable lower-case name: "ok", "truncated", …
constexpr const char* ParseResultName(ParseResult result) {
  switch (result) {
    case ParseResult::kOk:
      return "ok";
    case ParseResult::kTruncated:
      return "truncated";
    case ParseResult::kBadVersion:
      return "bad version";
    case ParseResult::kBadHeaderLength:
      return "bad header length";
    case ParseResult::kBadTotalLength:
      return "bad total length";
    case ParseResult::kBadChecksum:
      return "bad checksum";
    case ParseResult::kUnsupported:
      return "unsupported";
  }
  return "?";
}

}  // namespace luna::wire

#endif  // LUNA_NET_WIRE_PARSE_RESULT_H_
