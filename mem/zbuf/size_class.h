#ifndef LUNA_MEM_ZBUF_SIZE_CLASS_H_
#define LUNA_MEM_ZBUF_SIZE_CLASS_H_

// Size classes: the obj sizes that a zone may be cut into (LUNA paper §6.1: objs of one zone are equal, zones differ).
//
// One table, here. From 1024 up, a class is a round payload plus 256 bytes: 128 in front for lower headers (or the
// NIC's own headroom) and 128 behind, so that 2 KB of payload do not fall into a 4 KB obj. The last two classes divide
// a zone by 15 and by 7 instead, because a round size would waste up to an eighth of the zone.
//
// Constants and pure functions: any thread.

#include <array>
#include <cstddef>
#include <cstdint>

namespace luna::zbuf {

// A zone is 2 MB: one hugepage, and aligned to its size.
inline constexpr size_t kZoneShift = 21;
inline constexpr size_t kZoneBytes = size_t{1} << kZoneShift;

inline constexpr size_t kCacheLineBytes = 64;

// Bytes of an obj by class, ascending.
inline constexpr std::array<uint32_t, 12> kClassBytes = {
    128,     // a header segment: Ethernet + IPv4 + TCP with all options is 134 at most, 66 + 12 as a rule
    256,     // small messages and headers with options
    512,     //
    1024,    //
    2304,    // 2048 + 256: the receive obj of a NIC at MTU 1500
    4352,    // 4096 + 256: a storage page
    9472,    // 9216 + 256: a jumbo frame
    16640,   // 16 KB + 256
    33024,   // 32 KB + 256
    65792,   // 64 KB + 256: a whole TSO segment
    139520,  // 15 to a zone
    299264,  // 7 to a zone
};
inline constexpr size_t kClassCount = kClassBytes.size();

// Alloc above this fails; longer data are chains.
inline constexpr size_t kMaxObjBytes = kClassBytes.back();

// The class that a NIC's receive ring is filled with.
inline constexpr size_t kReceiveObjBytes = 2304;

namespace internal {

inline constexpr size_t kGrainShift = 7;
inline constexpr size_t kTableBytes = 16640;

// (bytes + 127) / 128 -> class, for bytes <= kTableBytes.
inline constexpr auto kClassByGrain = [] {
  std::array<uint8_t, (kTableBytes >> kGrainShift) + 1> table{};
  for (size_t grain = 0; grain < table.size(); ++grain) {
    uint8_t k = 0;
    while (kClassBytes[k] < (grain << kGrainShift)) ++k;
    table[grain] = k;
  }
  return table;
}();

constexpr bool ClassesAreSound() {
  for (size_t k = 0; k < kClassCount; ++k) {
    if (kClassBytes[k] % (size_t{1} << kGrainShift) != 0) return false;
    if (k > 0 && kClassBytes[k] <= kClassBytes[k - 1]) return false;
  }
  return true;
}
static_assert(ClassesAreSound(), "classes ascend and are multiples of 128 bytes");

}  // namespace internal

// The smallest class that holds `bytes`; kClassCount when none does. O(1) up to 16,640 bytes, five compares at most
// above.
constexpr size_t SizeClassOf(size_t bytes) {
  if (bytes <= internal::kTableBytes) return internal::kClassByGrain[(bytes + 127) >> internal::kGrainShift];
  size_t k = internal::kClassByGrain.back() + 1;
  while (k < kClassCount && kClassBytes[k] < bytes) ++k;
  return k;
}

}  // namespace luna::zbuf

#endif  // LUNA_MEM_ZBUF_SIZE_CLASS_H_
