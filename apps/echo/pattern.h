#ifndef LUNA_APPS_ECHO_PATTERN_H_
#define LUNA_APPS_ECHO_PATTERN_H_

// The octets that an echo client sends: a fixed pseudo-random pattern, repeated. An octet's value follows from its
// offset in the stream, so a receiver that knows the offset can verify any piece. The period is prime: a stream shifted
// by any message size, segment size or buffer size does not look right.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "absl/types/span.h"

namespace luna::apps {

inline constexpr size_t kPatternPeriod = 65521;

// Fills `out` (kPatternPeriod octets) with one period.
inline void FillPattern(absl::Span<std::byte> out) {
  uint64_t state = 0x9e3779b97f4a7c15u;
  for (std::byte& octet : out) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    octet = static_cast<std::byte>(state >> 32);
  }
}

// True when `data`, which stands at `offset` of the stream, is the pattern. `period` is one period.
inline bool MatchesPattern(absl::Span<const std::byte> period, uint64_t offset, absl::Span<const std::byte> data) {
  while (!data.empty()) {
    const size_t at = offset % kPatternPeriod;
    const size_t n = std::min(data.size(), kPatternPeriod - at);
    if (std::memcmp(period.data() + at, data.data(), n) != 0) return false;
    data.remove_prefix(n);
    offset += n;
  }
  return true;
}

}  // namespace luna::apps

#endif  // LUNA_APPS_ECHO_PATTERN_H_
