#include "luna/net/wire/checksum.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace luna::wire {
namespace {

// Adding 32-bit words to 64-bit sums cannot overflow below 2^32 words and needs no carry, which leaves the compiler
// free to use vectors; several accumulators, so that consecutive additions do not wait for each other.
inline uint64_t SumBlocks(const uint8_t*& at, size_t& size) {
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

#if defined(__x86_64__)
// Twice as fast from some 200 bytes on. The build's baseline has no AVX2, hence one function of a higher target.
constexpr size_t kWideFrom = 256;
using Wide = uint64_t __attribute__((vector_size(32)));

__attribute__((target("avx2"))) uint64_t SumBlocksWide(const uint8_t*& at, size_t& size) {
  constexpr uint64_t kLow = 0xffffffff;
  const Wide low = {kLow, kLow, kLow, kLow};
  Wide even[2] = {};
  Wide odd[2] = {};
  const uint8_t* p = at;
  for (size_t blocks = size / 64; blocks != 0; --blocks, p += 64) {
    for (int i = 0; i < 2; ++i) {
      Wide words;
      std::memcpy(&words, p + 32 * i, sizeof(words));
      even[i] += words & low;
      odd[i] += words >> 32;
    }
  }
  at = p;
  size %= 64;
  const Wide sums = (even[0] + even[1]) + (odd[0] + odd[1]);
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

// As __builtin_cpu_supports("avx2"), which does not link with -flto (GCC 12).
bool CpuHasAvx2() {
#if defined(__AVX2__)
  return true;
#else
  constexpr unsigned kSseAndAvxState = 6;
  unsigned a, b, c, d;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0 || (c & bit_OSXSAVE) == 0) return false;
  unsigned state, high;
  asm volatile("xgetbv" : "=a"(state), "=d"(high) : "c"(0));
  if ((state & kSseAndAvxState) != kSseAndAvxState) return false;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (b & bit_AVX2) != 0;
#endif
}
const bool kHasAvx2 = CpuHasAvx2();
#endif

}  // namespace

namespace internal {

uint64_t SumLong(const uint8_t* at, size_t size) {
  uint64_t sum = 0;
#if defined(__x86_64__)
  if (size >= kWideFrom && kHasAvx2) sum = SumBlocksWide(at, size);
#endif
  sum += SumBlocks(at, size);
  sum += SumShort(at, size);
  return (sum & 0xffffffff) + (sum >> 32);
}

}  // namespace internal
}  // namespace luna::wire
