#ifndef LUNA_MEM_ZBUF_ARENA_H_
#define LUNA_MEM_ZBUF_ARENA_H_

// Arena: one contiguous range of 2 MB zones, lent to slabs (LUNA paper §6.1). Usually one per process or per NIC.
//
// base()/bytes() is the whole range, for drivers that register memory once: an AF_XDP UMEM, DPDK external memory.
//
// Threads: every member function is thread-safe. Zones move rarely, under a mutex.
// Lifetime: PageSource > Arena > Slabs. Destroying an arena before its slabs is a CHECK failure. If a slab died with
// objs still out (a leak, reported by the slab), its zones are abandoned: never lent again, and the arena leaves the
// memory mapped, so that a late access reads stale data rather than a stranger's.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "luna/mem/zbuf/page_source.h"
#include "luna/mem/zbuf/zone.h"

namespace luna::zbuf {

struct ArenaOptions {
  size_t size_bytes = 0;       // rounded up to whole zones
  std::string name = "arena";  // for messages
  bool prefault = false;       // touch every page now, so that the data path takes no page fault
};

struct ArenaStats {
  size_t zones_total = 0;
  size_t zones_free = 0;        // in the arena
  size_t zones_used = 0;        // lent to slabs
  size_t zones_abandoned = 0;   // lost to leaks
  size_t slabs = 0;             // alive
  size_t objs_outstanding = 0;  // objs that are out, over all living slabs; approximate while they run
};

class Arena {
 public:
  // InvalidArgument for a size of 0; otherwise what the source says. `source` must outlive the arena.
  static absl::StatusOr<std::unique_ptr<Arena>> Create(PageSource& source, ArenaOptions options);
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  std::byte* base() const { return region_.base; }
  size_t bytes() const { return region_.bytes; }
  size_t page_bytes() const { return region_.page_bytes; }
  absl::string_view name() const { return options_.name; }
  PageSource& source() const { return source_; }

  // One subtraction and one compare.
  bool Contains(const void* address) const {
    return reinterpret_cast<uintptr_t>(address) - reinterpret_cast<uintptr_t>(region_.base) < region_.bytes;
  }
  // Of an address in the arena.
  size_t ZoneIndex(const void* address) const {
    return (reinterpret_cast<uintptr_t>(address) - reinterpret_cast<uintptr_t>(region_.base)) >> kZoneShift;
  }
  size_t zone_count() const { return region_.bytes >> kZoneShift; }
  // Zones that no slab has, as of a moment ago. Any thread, lock-free.
  size_t free_zone_count() const { return free_zone_count_.load(std::memory_order_relaxed); }

  ArenaStats Stats() const;

  // For slabs.

  // A zone's memory, its contents unspecified; null when none is free.
  std::byte* AcquireZone();
  void ReleaseZone(std::byte* zone);
  void AbandonZone(std::byte* zone);
  // `outstanding` counts the slab's objs that are out; called by Stats() on any thread.
  void AddSlab(const Slab* slab, std::function<size_t()> outstanding);
  void RemoveSlab(const Slab* slab);

 private:
  Arena(PageSource& source, ArenaOptions options, Region region);

  PageSource& source_;
  const ArenaOptions options_;
  const Region region_;
  struct Member {
    const Slab* slab;
    std::function<size_t()> outstanding;
  };

  // A std::mutex: ThreadSanitizer sees through it even where Abseil is not instrumented.
  mutable std::mutex mutex_;
  std::atomic<size_t> free_zone_count_{0};  // written under mutex_
  // Guarded by mutex_:
  std::vector<uint32_t> free_zones_;  // indices; the lowest at the back
  size_t zones_abandoned_ = 0;
  std::vector<Member> slabs_;
};

// Most arenas that a process may have at a time (CHECKed).
inline constexpr size_t kMaxArenas = 256;

// The arena of this process that holds `address`, or null. Any thread, lock-free; O(arenas): for checks, not for the
// data path. The result is valid while the caller knows by other means that the arena lives.
const Arena* FindArena(const void* address);

}  // namespace luna::zbuf

#endif  // LUNA_MEM_ZBUF_ARENA_H_
