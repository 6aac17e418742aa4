#ifndef LUNA_MEM_ZBUF_SLAB_INLINE_H_
#define LUNA_MEM_ZBUF_SLAB_INLINE_H_

// The data path of slab.h, out of the way of its contract. Include slab.h.

#include <new>

#include "luna/mem/zbuf/slab.h"  // IWYU pragma: keep

namespace luna::zbuf {

namespace internal {

// Debug builds: ends the program with a message that names the obj's owner unless `inner` lies in an obj that is out.
void CheckLive(const void* inner, const char* what);
// Debug builds: makes a free obj accessible, and ends the program if somebody wrote to it while it was free.
void CheckUntouched(ZoneHeader* zone, uint32_t index);

inline bool OwnedByThisThread(const ZoneHeader* zone) {
  return zone->owner_token.load(std::memory_order_relaxed) == ThreadToken();
}

}  // namespace internal

inline void Slab::LinkRoom(ClassState& state, ZoneHeader* zone) {
  zone->previous = nullptr;
  zone->next = state.room;
  if (state.room != nullptr) state.room->previous = zone;
  state.room = zone;
  zone->linked = true;
}

inline void Slab::UnlinkRoom(ClassState& state, ZoneHeader* zone) {
  if (zone->previous != nullptr) {
    zone->previous->next = zone->next;
  } else {
    state.room = zone->next;
  }
  if (zone->next != nullptr) zone->next->previous = zone->previous;
  zone->linked = false;
}

inline std::byte* Slab::TakeObj(ClassState& state, ZoneHeader* zone, Site site) {
  uint32_t index = zone->free_head;
  ObjContext* ctx;
  if (index != kEndOfFreeList) [[likely]] {
    ctx = zone->Context(index);
    zone->free_head = ctx->next_free;
    if constexpr (kDebugChecks) internal::CheckUntouched(zone, index);
  } else {
    index = zone->fresh++;
    ctx = new (zone->Context(index)) ObjContext;
    if constexpr (kDebugChecks) UnpoisonMemory(zone->Obj(index), zone->obj_bytes);
  }
  if (++zone->used == zone->obj_count) UnlinkRoom(state, zone);
  ctx->references = 1;
  ctx->next_free = kObjInUse;
  if constexpr (kDebugChecks) {
    ctx->site_file = site.file;
    ctx->site_line = site.line;
  }
  return zone->Obj(index);
}

inline std::byte* Slab::Alloc(size_t bytes, Site site) {
  if constexpr (kDebugChecks) CheckOwner();
  const size_t k = SizeClassOf(bytes);
  if (k == kClassCount) [[unlikely]] {
    too_large_.Increment();
    return nullptr;
  }
  ClassState& state = classes_[k];
  ZoneHeader* zone = state.room;
  if (zone == nullptr) [[unlikely]] {
    zone = FindZone(k);
    if (zone == nullptr) {
      state.exhausted.Increment();
      return nullptr;
    }
  }
  state.allocs.Increment();
  return TakeObj(state, zone, site);
}

inline void Slab::PutBack(ZoneHeader* zone, ObjContext* ctx) {
  const uint32_t index = zone->IndexOfContext(ctx);
  if constexpr (kDebugChecks) MarkFree(zone->Obj(index), zone->obj_bytes);
  ctx->next_free = zone->free_head;
  zone->free_head = index;
  ClassState& state = classes_[zone->class_index];
  state.frees.Increment();
  --zone->used;
  if (!zone->linked) [[unlikely]] {
    LinkRoom(state, zone);
  }
  if (zone->used == 0) [[unlikely]] {
    ZoneIsEmpty(state, zone);
  }
}

inline void Slab::OwnerAccountIsZero(ZoneHeader* zone, ObjContext* ctx) {
  // While anything is booked by others, or the ctx is in the return queue, the drain decides. Acquire: what the others
  // did to the obj happened before we hand it out again.
  if (ctx->foreign.load(std::memory_order_acquire) != 0) [[unlikely]] {
    return;
  }
  PutBack(zone, ctx);
}

inline void Ref(const void* inner) {
  if constexpr (kDebugChecks) internal::CheckLive(inner, "Ref");
  ZoneHeader* const zone = ZoneOf(inner);
  ObjContext* const ctx = zone->Context(zone->IndexOf(inner));
  if (internal::OwnedByThisThread(zone)) [[likely]] {
    ++ctx->references;
  } else {
    Slab::BookForeign(zone, ctx, +1);
  }
}

inline void Free(const void* inner) {
  if constexpr (kDebugChecks) internal::CheckLive(inner, "Free");
  ZoneHeader* const zone = ZoneOf(inner);
  ObjContext* const ctx = zone->Context(zone->IndexOf(inner));
  if (internal::OwnedByThisThread(zone)) [[likely]] {
    if (--ctx->references == 0) zone->owner.load(std::memory_order_relaxed)->OwnerAccountIsZero(zone, ctx);
  } else {
    Slab::BookForeign(zone, ctx, -1);
  }
}

inline void Slab::Ref(const void* inner) {
  if constexpr (kDebugChecks) CheckMine(inner, "Ref");
  zbuf::Ref(inner);
}

inline void Slab::Free(const void* inner) {
  if constexpr (kDebugChecks) CheckMine(inner, "Free");
  zbuf::Free(inner);
}

inline int32_t RefCount(const void* inner) {
  const ObjContext* ctx = ContextOf(inner);
  return ctx->references + (ctx->foreign.load(std::memory_order_acquire) >> 1);
}

}  // namespace luna::zbuf

#endif  // LUNA_MEM_ZBUF_SLAB_INLINE_H_
