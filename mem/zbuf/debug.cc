#include "luna/mem/zbuf/debug.h"

#include <cstring>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LUNA_ZBUF_HAVE_ASAN 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define LUNA_ZBUF_HAVE_ASAN 1
#endif
#if defined(LUNA_ZBUF_HAVE_ASAN)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, bytes) (static_cast<void>(address), static_cast<void>(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(address, bytes) (static_cast<void>(address), static_cast<void>(bytes))
#endif

namespace luna::zbuf {

void PoisonMemory(const void* address, size_t bytes) { ASAN_POISON_MEMORY_REGION(address, bytes); }

void UnpoisonMemory(const void* address, size_t bytes) { ASAN_UNPOISON_MEMORY_REGION(address, bytes); }

void MarkFree(std::byte* obj, size_t bytes) {
  std::memset(obj, kFreePattern, bytes);
  PoisonMemory(obj, bytes);
}

size_t UnmarkFree(std::byte* obj, size_t bytes) {
  UnpoisonMemory(obj, bytes);
  const auto pattern = static_cast<std::byte>(kFreePattern);
  // All bytes equal the first, and the first is the pattern: one memcmp instead of a loop over large objs.
  if (obj[0] == pattern && std::memcmp(obj, obj + 1, bytes - 1) == 0) return bytes;
  size_t at = 0;
  while (obj[at] == pattern) ++at;
  return at;
}

}  // namespace luna::zbuf
