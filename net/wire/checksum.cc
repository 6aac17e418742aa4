#include "luna/net/wire/checksum.h"

namespace luna::wire {
namespace {

// Two accumulators so that consecutive additions do not wait for each other. Adding 32-bit words to 64-bit sums cannot
// overflow below 2^32 words, and needs no carry, which leaves the compiler free to use vectors.
inline uint64_t SumWords(const uint8_t*& at, size_t& size) {
  uint64_t sums[4] = {};
  while (size >= 32) {
    uint32_t words[8];
    std::memcpy(words, at, sizeof(words));
    for (int i = 0; i < 4; ++i) sums[i] += uint64_t{words[i]} + words[i + 4];
    at += 32;
    size -= 32;
  }
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

}  // namespace

uint16_t ChecksumSum(absl::Span<const uint8_t> bytes) {
  const uint8_t* at = bytes.data();
  size_t size = bytes.size();
  uint64_t sum = SumWords(at, size);
  for (; size >= 4; at += 4, size -= 4) {
    uint32_t word;
    std::memcpy(&word, at, 4);
    sum += word;
  }
  if (size != 0) {
    uint8_t tail[4] = {};
    for (size_t i = 0; i < size; ++i) tail[i] = at[i];
    uint32_t word;
    std::memcpy(&word, tail, 4);
    sum += word;
  }
  return internal::SwapToBe(internal::FoldSum(sum));
}

}  // namespace luna::wire
