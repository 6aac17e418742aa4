#ifndef LUNA_MEM_ZBUF_DEBUG_H_
#define LUNA_MEM_ZBUF_DEBUG_H_

// The one place that knows how the build is configured. Everything else tests kDebugChecks (a constexpr) and calls the
// functions below, which cost nothing in optimised builds.
//
// Debug builds (NDEBUG not defined; the sanitizer configs too) fill freed objs with kFreePattern, verify it when the
// obj is handed out again, note the allocation site of every obj and catch double frees and frees of strangers' memory.
// Under AddressSanitizer the memory of free objs is poisoned as well, so that the very access is reported.

#include <cstddef>
#include <cstdint>

namespace luna::zbuf {

#ifdef NDEBUG
inline constexpr bool kDebugChecks = false;
#else
inline constexpr bool kDebugChecks = true;
#endif

inline constexpr uint8_t kFreePattern = 0xdb;

// Where in the source an obj was allocated. A default argument `Site site = Site::Current()` names the caller's line.
struct Site {
  const char* file = "";
  uint32_t line = 0;

  static constexpr Site Current(const char* file = __builtin_FILE(), uint32_t line = __builtin_LINE()) {
    return Site{file, line};
  }
};

// AddressSanitizer: accesses to a poisoned range are errors. No-ops in other builds.
void PoisonMemory(const void* address, size_t bytes);
void UnpoisonMemory(const void* address, size_t bytes);

// Fills a freed obj with the pattern, and makes it inaccessible. Debug builds.
void MarkFree(std::byte* obj, size_t bytes);

// Makes a free obj accessible and returns the offset of the first byte that does not hold the pattern any more; `bytes`
// when nobody wrote. Debug builds.
size_t UnmarkFree(std::byte* obj, size_t bytes);

}  // namespace luna::zbuf

#endif  // LUNA_MEM_ZBUF_DEBUG_H_
