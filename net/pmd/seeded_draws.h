#ifndef LUNA_NET_PMD_SEEDED_DRAWS_H_
#define LUNA_NET_PMD_SEEDED_DRAWS_H_

#include <cstdint>

namespace luna::pmd {

// Random decisions about numbered things (frames) that do not depend on the order in which they are asked.
//
// A draw is a pure function of (seed, index, purpose). So frame 17 meets the same fate whatever became of frame 16,
// asking twice gives the same answer (a refused frame can be retried), and turning one knob leaves the draws of the
// others as they were. The same on every machine and library. Not for cryptography.
//
// Value type, 8 bytes, no state beyond the seed. Three multiplications per draw.
class SeededDraws {
 public:
  explicit constexpr SeededDraws(uint64_t seed) : seed_(Mix(seed + kGolden)) {}

  // Uniform over all 64-bit numbers.
  constexpr uint64_t Bits(uint64_t index, uint64_t purpose) const {
    return Mix(Mix(seed_ ^ (index * kGolden)) + purpose * 0xd1342543de82ef95ull);
  }

  // True with probability `p`; never for p <= 0, always for p >= 1.
  constexpr bool Chance(double p, uint64_t index, uint64_t purpose) const {
    if (!(p > 0)) return false;
    return static_cast<double>(Bits(index, purpose) >> 11) < p * 9007199254740992.0;  // 2^53
  }

  // Uniform over [0, n); 0 for n == 0. The bias is below n / 2^64.
  constexpr uint64_t Below(uint64_t n, uint64_t index, uint64_t purpose) const {
    return static_cast<uint64_t>((static_cast<unsigned __int128>(Bits(index, purpose)) * n) >> 64);
  }

 private:
  static constexpr uint64_t kGolden = 0x9e3779b97f4a7c15ull;

  // A bijection that spreads every input bit over all output bits (xor-shift and multiply, twice).
  static constexpr uint64_t Mix(uint64_t x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
  }

  uint64_t seed_;
};

}  // namespace luna::pmd

#endif  // LUNA_NET_PMD_SEEDED_DRAWS_H_
