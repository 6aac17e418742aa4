#include "luna/mem/zbuf/slab.h"

#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"

namespace luna::zbuf {

namespace internal {
namespace {

// "obj of 2304 bytes of slab 'worker 0', allocated at foo.cc:12"
std::string Describe(ZoneHeader* zone, uint32_t index) {
  const Slab* owner = zone->owner.load(std::memory_order_relaxed);
  const ObjContext* ctx = zone->Context(index);
  std::string text =
      absl::StrCat("obj of ", zone->obj_bytes, " bytes of ",
                   owner == nullptr ? "a slab that is gone" : absl::StrCat("slab '", owner->name(), "'"));
  if (ctx->site_file != nullptr) absl::StrAppend(&text, ", last allocated at ", ctx->site_file, ":", ctx->site_line);
  return text;
}

}  // namespace

void CheckLive(const void* inner, const char* what) {
  const Arena* const arena = FindArena(inner);
  CHECK(arena != nullptr) << what << " of " << inner << ", which is in no Zbuf arena";
  ZoneHeader* const zone = ZoneOf(inner);
  CHECK_EQ(zone->magic, ZoneHeader::kMagic)
      << what << " of " << inner << " in arena '" << arena->name() << "', in a zone that is not in use";
  const auto offset = static_cast<size_t>(static_cast<const std::byte*>(inner) - zone->base());
  const size_t end = zone->first_obj + size_t{zone->obj_count} * zone->obj_bytes;
  CHECK(offset >= zone->first_obj && offset < end)
      << what << " of " << inner << " in arena '" << arena->name() << "', which is in no obj";
  const uint32_t index = zone->IndexOf(inner);
  // Only the owner may read `fresh`.
  CHECK(!OwnedByThisThread(zone) || index < zone->fresh)
      << what << " of " << inner << " in arena '" << arena->name() << "': that obj was never allocated";
  CHECK_EQ(zone->Context(index)->next_free, kObjInUse)
      << what << " of " << inner << ", which is free already: double free? " << Describe(zone, index);
}

void CheckUntouched(ZoneHeader* zone, uint32_t index) {
  std::byte* const obj = zone->Obj(index);
  const size_t at = UnmarkFree(obj, zone->obj_bytes);
  CHECK_EQ(at, zone->obj_bytes) << "write after free, " << at << " bytes into an " << Describe(zone, index);
}

}  // namespace internal

uint64_t SlabStats::outstanding() const {
  uint64_t sum = 0;
  for (const ClassStats& c : classes) sum += c.outstanding();
  return sum;
}

uint64_t SlabStats::exhausted() const {
  uint64_t sum = 0;
  for (const ClassStats& c : classes) sum += c.exhausted;
  return sum;
}

Slab::Slab(Arena& arena, SlabOptions options)
    : arena_(arena), options_(std::move(options)), token_(internal::ThreadToken()) {
  arena_.AddSlab(this, [this] { return outstanding(); });
}

Slab::~Slab() {
  BindToCurrentThread();
  DrainReturnsSlow();
  const std::string leaks = LeakReport();
  while (all_zones_ != nullptr) {
    ZoneHeader* const zone = all_zones_;
    if (zone->used == 0) {
      GiveBack(zone);
      continue;
    }
    all_zones_ = zone->all_next;
    zone->owner.store(nullptr, std::memory_order_relaxed);
    zone->owner_token.store(nullptr, std::memory_order_relaxed);
    arena_.AbandonZone(zone->base());
  }
  arena_.RemoveSlab(this);
  if (leaks.empty()) return;
  const std::string message = absl::StrCat("slab '", options_.name, "' dies with objs out:\n", leaks);
  if constexpr (kDebugChecks) LOG(FATAL) << message;
  LOG(ERROR) << message;
}

void Slab::CheckOwner() const {
  CHECK(OwnedByThisThread()) << "slab '" << options_.name << "' is used by a thread that is not its owner";
}

void Slab::CheckMine(const void* inner, const char* what) const {
  internal::CheckLive(inner, what);
  const Slab* const owner = ZoneOf(inner)->owner.load(std::memory_order_relaxed);
  CHECK(owner == this) << what << " through slab '" << options_.name << "' of an obj of "
                       << (owner == nullptr
                               ? "a slab that is gone"
                               : absl::StrCat("slab '", owner->name(), "', arena '", owner->arena().name(), "'"));
}

size_t Slab::AllocBulk(size_t bytes, absl::Span<std::byte*> out, Site site) {
  if constexpr (kDebugChecks) CheckOwner();
  const size_t k = SizeClassOf(bytes);
  if (k == kClassCount) {
    too_large_.Increment();
    return 0;
  }
  ClassState& state = classes_[k];
  size_t n = 0;
  while (n < out.size()) {
    ZoneHeader* const zone = state.room != nullptr ? state.room : FindZone(k);
    if (zone == nullptr) {
      state.exhausted.Add(out.size() - n);
      break;
    }
    while (n < out.size() && state.room == zone) out[n++] = TakeObj(state, zone, site);
  }
  state.allocs.Add(n);
  return n;
}

void Slab::FreeBulk(absl::Span<std::byte* const> inner) {
  for (const std::byte* address : inner) Free(address);
}

ZoneHeader* Slab::FindZone(size_t k) {
  DrainReturns();
  if (ZoneHeader* zone = classes_[k].room; zone != nullptr) return zone;
  return AddZone(k);
}

ZoneHeader* Slab::AddZone(size_t k) {
  ZoneHeader* zone = TakeParkedZone(k);
  if (zone == nullptr) zone = TakeArenaZone();
  if (zone == nullptr) zone = StealEmptyZone();
  if (zone == nullptr) return nullptr;
  // A zone parked by this very class keeps its cut, and with it the driver areas.
  if (zone->magic != ZoneHeader::kMagic || zone->class_index != k) Cut(zone, k);
  classes_[k].zones.Increment();
  LinkRoom(classes_[k], zone);
  return zone;
}

ZoneHeader* Slab::TakeParkedZone(size_t k) {
  ZoneHeader** best = &parked_;
  for (ZoneHeader** at = &parked_; *at != nullptr; at = &(*at)->next) {
    if ((*at)->class_index == k) {
      best = at;
      break;
    }
  }
  ZoneHeader* const zone = *best;
  if (zone == nullptr) return nullptr;
  *best = zone->next;
  zones_parked_.Set(zones_parked_.value() - 1);
  return zone;
}

ZoneHeader* Slab::TakeArenaZone() {
  if (options_.bytes_limit != 0 && (zones_held_ + 1) * kZoneBytes > options_.bytes_limit) return nullptr;
  std::byte* const memory = arena_.AcquireZone();
  if (memory == nullptr) return nullptr;
  auto* const zone = new (memory) ZoneHeader;
  zone->all_next = all_zones_;
  if (all_zones_ != nullptr) all_zones_->all_previous = zone;
  all_zones_ = zone;
  ++zones_held_;
  return zone;
}

ZoneHeader* Slab::StealEmptyZone() {
  for (size_t k = 0; k < kClassCount; ++k) {
    if (!CanSpareZone(k)) continue;
    for (ZoneHeader* zone = classes_[k].room; zone != nullptr; zone = zone->next) {
      if (zone->used != 0) continue;
      Detach(zone);
      return zone;
    }
  }
  return nullptr;
}

void Slab::Cut(ZoneHeader* zone, size_t k) {
  ZoneHeader* const all_next = zone->all_next;
  ZoneHeader* const all_previous = zone->all_previous;
  new (zone) ZoneHeader;
  zone->all_next = all_next;
  zone->all_previous = all_previous;
  zone->magic = ZoneHeader::kMagic;
  zone->io_address = arena_.source().IoAddress(zone);
  zone->owner.store(this, std::memory_order_relaxed);
  zone->owner_token.store(token_, std::memory_order_relaxed);
  zone->obj_bytes = kClassBytes[k];
  zone->reciprocal = ReciprocalOf(kClassBytes[k]);
  zone->obj_count = ObjsPerZone(k);
  zone->first_obj = FirstObjOffset(k);
  zone->class_index = static_cast<uint32_t>(k);
  UnpoisonMemory(zone, zone->first_obj);
  PoisonMemory(zone->base() + zone->first_obj, kZoneBytes - zone->first_obj);
}

bool Slab::CanSpareZone(size_t k) const {
  const uint64_t zones = classes_[k].zones.value();
  return zones > 0 && (zones - 1) * ObjsPerZone(k) >= classes_[k].reserved_objs;
}

void Slab::ZoneIsEmpty(ClassState& state, ZoneHeader* zone) {
  const bool only_one_with_room = state.room == zone && zone->next == nullptr;
  if (only_one_with_room || !CanSpareZone(zone->class_index)) return;
  Detach(zone);
  if (zones_parked_.value() >= options_.keep_empty_zones) {
    GiveBack(zone);
    return;
  }
  zone->next = parked_;
  parked_ = zone;
  zones_parked_.Increment();
}

void Slab::Detach(ZoneHeader* zone) {
  ClassState& state = classes_[zone->class_index];
  UnlinkRoom(state, zone);
  state.zones.Set(state.zones.value() - 1);
}

void Slab::GiveBack(ZoneHeader* zone) {
  if (zone->all_previous != nullptr) {
    zone->all_previous->all_next = zone->all_next;
  } else {
    all_zones_ = zone->all_next;
  }
  if (zone->all_next != nullptr) zone->all_next->all_previous = zone->all_previous;
  --zones_held_;
  zone->magic = 0;
  arena_.ReleaseZone(zone->base());
}

absl::Status Slab::Reserve(size_t bytes, size_t objs) {
  CheckOwner();
  const size_t k = SizeClassOf(bytes);
  if (k == kClassCount) {
    return absl::InvalidArgumentError(absl::StrCat("slab '", options_.name, "': cannot reserve objs of ", bytes,
                                                   " bytes; the largest are ", kMaxObjBytes));
  }
  const uint64_t before = classes_[k].reserved_objs;
  const uint64_t total = before + objs;
  // First, so that AddZone does not count the class's own empty zones as spare.
  classes_[k].reserved_objs = total;
  const uint64_t zones = (total + ObjsPerZone(k) - 1) / ObjsPerZone(k);
  while (classes_[k].zones.value() < zones) {
    if (AddZone(k) != nullptr) continue;
    const uint64_t missing = zones - classes_[k].zones.value();
    classes_[k].reserved_objs = before;
    Trim();
    const ArenaStats arena = arena_.Stats();
    return absl::ResourceExhaustedError(
        absl::StrCat("slab '", options_.name, "': ", objs, " objs of ", kClassBytes[k], " bytes need ", missing,
                     " zones of 2 MB more than there are (arena '", arena_.name(), "' has ", arena.zones_free, " of ",
                     arena.zones_total, " free; this slab's limit is ", options_.bytes_limit >> 20,
                     " MB, 0 for none). Mend: a larger arena, or fewer objs"));
  }
  return absl::OkStatus();
}

void Slab::Trim() {
  CheckOwner();
  while (ZoneHeader* zone = parked_) {
    parked_ = zone->next;
    zones_parked_.Set(zones_parked_.value() - 1);
    GiveBack(zone);
  }
  while (ZoneHeader* zone = StealEmptyZone()) GiveBack(zone);
}

void Slab::BindToCurrentThread() {
  token_ = internal::ThreadToken();
  for (ZoneHeader* zone = all_zones_; zone != nullptr; zone = zone->all_next) {
    zone->owner_token.store(token_, std::memory_order_relaxed);
  }
}

void Slab::BookForeign(ZoneHeader* zone, ObjContext* ctx, int32_t delta) {
  Slab* const owner = zone->owner.load(std::memory_order_relaxed);
  if (owner == nullptr) return;  // Abandoned: the leak has been reported.
  int32_t old = ctx->foreign.load(std::memory_order_relaxed);
  while (!ctx->foreign.compare_exchange_weak(old, (old + 2 * delta) | 1, std::memory_order_acq_rel,
                                             std::memory_order_relaxed)) {
  }
  if ((old & 1) != 0) return;
  // `queued` was clear and we set it, so the link is ours, and the owner will not reuse the obj before it has drained
  // it.
  ObjContext* head = owner->returns_.load(std::memory_order_relaxed);
  do {
    ctx->return_next = head;
  } while (!owner->returns_.compare_exchange_weak(head, ctx, std::memory_order_release, std::memory_order_relaxed));
}

size_t Slab::DrainReturnsSlow() {
  if constexpr (kDebugChecks) CheckOwner();
  size_t drained = 0;
  size_t home = 0;
  ObjContext* ctx = returns_.exchange(nullptr, std::memory_order_acquire);
  while (ctx != nullptr) {
    // Before the exchange: afterwards somebody may queue it anew and write the link.
    ObjContext* const next = ctx->return_next;
    ctx->references += ctx->foreign.exchange(0, std::memory_order_acq_rel) >> 1;
    ++drained;
    if (ctx->references == 0) {
      PutBack(ZoneOf(ctx), ctx);
      ++home;
    } else if constexpr (kDebugChecks) {
      // 0 is right: the last reference may have been given back since the exchange, and the ctx be queued again.
      CHECK_GE(ctx->references + (ctx->foreign.load(std::memory_order_relaxed) >> 1), 0)
          << "freed more often than referenced: " << internal::Describe(ZoneOf(ctx), ZoneOf(ctx)->IndexOfContext(ctx));
    }
    ctx = next;
  }
  returns_drained_.Add(drained);
  return home;
}

SlabStats Slab::Stats() const {
  SlabStats stats;
  for (size_t k = 0; k < kClassCount; ++k) {
    const ClassState& state = classes_[k];
    // Frees first: a reader on another thread then never sees more frees than allocs.
    stats.classes[k].frees = state.frees.value();
    stats.classes[k].obj_bytes = kClassBytes[k];
    stats.classes[k].allocs = state.allocs.value();
    stats.classes[k].exhausted = state.exhausted.value();
    stats.classes[k].zones = state.zones.value();
  }
  stats.too_large = too_large_.value();
  stats.returns_drained = returns_drained_.value();
  stats.zones_parked = zones_parked_.value();
  return stats;
}

size_t Slab::outstanding() const { return Stats().outstanding(); }

bool Slab::IsScarce() const {
  size_t obtainable = arena_.free_zone_count();
  if (options_.bytes_limit != 0) {
    const size_t most = options_.bytes_limit / kZoneBytes;
    obtainable = std::min(obtainable, most > zones_held_ ? most - zones_held_ : 0);
  }
  if (obtainable * 8 >= zones_held_ + obtainable) return false;
  // What is free in other classes' zones is of no use to the one that has most: it would have to be the whole zone.
  size_t most_out = 0, room = 0;
  for (size_t k = 0; k < kClassCount; ++k) {
    const ClassState& state = classes_[k];
    const size_t out = static_cast<size_t>(state.allocs.value() - state.frees.value()) * kClassBytes[k];
    if (out < most_out) continue;
    most_out = out;
    room = (static_cast<size_t>(state.zones.value()) + obtainable) * kZoneBytes;
  }
  return most_out > room - room / 8;
}

std::string Slab::LeakReport() const {
  std::map<std::string, size_t> count_by_site;
  for (ZoneHeader* zone = all_zones_; zone != nullptr; zone = zone->all_next) {
    for (uint32_t i = 0; zone->used > 0 && i < zone->fresh; ++i) {
      if (zone->Context(i)->next_free == kObjInUse) ++count_by_site[internal::Describe(zone, i)];
    }
  }
  std::string report;
  for (const auto& [site, count] : count_by_site) absl::StrAppend(&report, "  ", count, " x ", site, "\n");
  return report;
}

}  // namespace luna::zbuf
