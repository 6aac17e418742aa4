#include "luna/mem/zbuf/arena.h"

#include <atomic>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "luna/mem/zbuf/debug.h"

namespace luna::zbuf {
namespace {

// All arenas of the process; only checks look here. The range is kept apart from the arena, so that a search never
// touches an arena that another thread is destroying.
struct Entry {
  std::atomic<uintptr_t> base{0};
  std::atomic<size_t> bytes{0};
  std::atomic<const Arena*> arena{nullptr};
};
constinit Entry all_arenas[kMaxArenas];
constinit std::mutex all_arenas_mutex;  // of writers

void Register(const Arena* arena) {
  std::lock_guard<std::mutex> lock(all_arenas_mutex);
  for (Entry& entry : all_arenas) {
    if (entry.arena.load(std::memory_order_relaxed) != nullptr) continue;
    entry.arena.store(arena, std::memory_order_relaxed);
    entry.base.store(reinterpret_cast<uintptr_t>(arena->base()), std::memory_order_relaxed);
    entry.bytes.store(arena->bytes(), std::memory_order_release);
    return;
  }
  LOG(FATAL) << "more than " << kMaxArenas << " arenas";
}

void Unregister(const Arena* arena) {
  std::lock_guard<std::mutex> lock(all_arenas_mutex);
  for (Entry& entry : all_arenas) {
    if (entry.arena.load(std::memory_order_relaxed) != arena) continue;
    entry.bytes.store(0, std::memory_order_relaxed);
    entry.arena.store(nullptr, std::memory_order_relaxed);
  }
}

// Writes, because a read of untouched memory maps the shared zero page.
void Prefault(const Region& region) {
  for (size_t at = 0; at < region.bytes; at += 4096) region.base[at] = std::byte{0};
}

}  // namespace

const Arena* FindArena(const void* address) {
  for (const Entry& entry : all_arenas) {
    const size_t bytes = entry.bytes.load(std::memory_order_acquire);
    if (reinterpret_cast<uintptr_t>(address) - entry.base.load(std::memory_order_relaxed) < bytes) {
      return entry.arena.load(std::memory_order_relaxed);
    }
  }
  return nullptr;
}

absl::StatusOr<std::unique_ptr<Arena>> Arena::Create(PageSource& source, ArenaOptions options) {
  if (options.size_bytes == 0) {
    return absl::InvalidArgumentError(absl::StrCat("arena '", options.name, "': size_bytes is 0. Mend: at least 2 MB"));
  }
  const size_t bytes = (options.size_bytes + kZoneBytes - 1) & ~(kZoneBytes - 1);
  absl::StatusOr<Region> region = source.Acquire(bytes);
  if (!region.ok()) {
    return absl::Status(region.status().code(),
                        absl::StrCat("arena '", options.name, "': ", region.status().message()));
  }
  CHECK_EQ(reinterpret_cast<uintptr_t>(region->base) % kZoneBytes, 0u) << source.name();
  CHECK_EQ(region->bytes, bytes) << source.name();
  return std::unique_ptr<Arena>(new Arena(source, std::move(options), *region));
}

Arena::Arena(PageSource& source, ArenaOptions options, Region region)
    : source_(source), options_(std::move(options)), region_(region) {
  std::lock_guard<std::mutex> lock(mutex_);
  for (size_t i = zone_count(); i > 0; --i) free_zones_.push_back(static_cast<uint32_t>(i - 1));
  free_zone_count_.store(free_zones_.size(), std::memory_order_relaxed);
  if (options_.prefault) Prefault(region_);
  PoisonMemory(region_.base, region_.bytes);
  Register(this);
}

Arena::~Arena() {
  Unregister(this);
  std::lock_guard<std::mutex> lock(mutex_);
  CHECK(slabs_.empty()) << "arena '" << options_.name << "' dies before its " << slabs_.size() << " slabs";
  CHECK_EQ(free_zones_.size() + zones_abandoned_, zone_count()) << "arena '" << options_.name << "'";
  if (zones_abandoned_ > 0) {
    LOG(ERROR) << "arena '" << options_.name << "': " << zones_abandoned_
               << " zones were lost to leaked objs; its memory stays mapped";
    return;
  }
  UnpoisonMemory(region_.base, region_.bytes);
  source_.Release(region_);
}

ArenaStats Arena::Stats() const {
  std::lock_guard<std::mutex> lock(mutex_);
  ArenaStats stats;
  stats.zones_total = zone_count();
  stats.zones_free = free_zones_.size();
  stats.zones_abandoned = zones_abandoned_;
  stats.zones_used = stats.zones_total - stats.zones_free - stats.zones_abandoned;
  stats.slabs = slabs_.size();
  for (const Member& member : slabs_) stats.objs_outstanding += member.outstanding();
  return stats;
}

std::byte* Arena::AcquireZone() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (free_zones_.empty()) return nullptr;
  std::byte* const zone = region_.base + size_t{free_zones_.back()} * kZoneBytes;
  free_zones_.pop_back();
  free_zone_count_.store(free_zones_.size(), std::memory_order_relaxed);
  UnpoisonMemory(zone, kZoneBytes);
  return zone;
}

void Arena::ReleaseZone(std::byte* zone) {
  CHECK(Contains(zone)) << "arena '" << options_.name << "'";
  PoisonMemory(zone, kZoneBytes);
  std::lock_guard<std::mutex> lock(mutex_);
  free_zones_.push_back(static_cast<uint32_t>(ZoneIndex(zone)));
  free_zone_count_.store(free_zones_.size(), std::memory_order_relaxed);
}

void Arena::AbandonZone(std::byte* zone) {
  CHECK(Contains(zone)) << "arena '" << options_.name << "'";
  std::lock_guard<std::mutex> lock(mutex_);
  ++zones_abandoned_;
}

void Arena::AddSlab(const Slab* slab, std::function<size_t()> outstanding) {
  std::lock_guard<std::mutex> lock(mutex_);
  slabs_.push_back(Member{slab, std::move(outstanding)});
}

void Arena::RemoveSlab(const Slab* slab) {
  std::lock_guard<std::mutex> lock(mutex_);
  std::erase_if(slabs_, [slab](const Member& member) { return member.slab == slab; });
}

}  // namespace luna::zbuf
