#ifndef LUNA_NET_TCP_TESTING_SIMULATOR_PATTERN_H_
#define LUNA_NET_TCP_TESTING_SIMULATOR_PATTERN_H_

// Pattern: an endless stream of octets in which each place is known: octet `i` of the stream `key` is always the same,
// and a stretch out of place is found. Any thread.

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "absl/types/span.h"
#include "luna/net/tcp/testing/simulator/random.h"

namespace luna::tcp::simulator {

class Pattern {
 public:
  explicit Pattern(uint64_t key) : key_(key) {}

  void Fill(uint64_t offset, absl::Span<std::byte> out) const {
    ForEachStretch(offset, out.size(), [&](size_t at, const uint8_t* from, size_t n) {
      std::memcpy(out.data() + at, from, n);
      return true;
    });
  }
  bool Matches(uint64_t offset, absl::Span<const std::byte> bytes) const {
    return ForEachStretch(offset, bytes.size(), [&](size_t at, const uint8_t* from, size_t n) {
      return std::memcmp(bytes.data() + at, from, n) == 0;
    });
  }

 private:
  static constexpr size_t kPeriod = 65521;  // a prime: no power of two, and no segment size, maps it onto itself
  using Table = std::array<uint8_t, kPeriod>;
  static const Table& Octets() {
    static const Table& table = *[] {
      auto* octets = new Table;
      Random random(0);
      for (uint8_t& octet : *octets) octet = static_cast<uint8_t>(random.Next());
      return octets;
    }();
    return table;
  }
  template <typename Visit>
  bool ForEachStretch(uint64_t offset, size_t bytes, Visit visit) const {
    for (size_t done = 0; done < bytes;) {
      const size_t begin = (key_ + offset + done) % kPeriod;
      const size_t n = bytes - done < kPeriod - begin ? bytes - done : kPeriod - begin;
      if (!visit(done, Octets().data() + begin, n)) return false;
      done += n;
    }
    return true;
  }
  uint64_t key_;
};

}  // namespace luna::tcp::simulator

#endif  // LUNA_NET_TCP_TESTING_SIMULATOR_PATTERN_H_
