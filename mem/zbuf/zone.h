#ifndef LUNA_MEM_ZBUF_ZONE_H_
#define LUNA_MEM_ZBUF_ZONE_H_

// The layout of a zone, and address arithmetic on it (LUNA paper §6.1, figure 6).
//
//   2 MB aligned
//   +------------+---------------------------+------------------------------+-------+
//   | ZoneHeader | ObjContext[obj_count]     | obj[obj_count], equal sizes  | waste |
//   +------------+---------------------------+------------------------------+-------+
//
// Zones are aligned to their size, so an address finds its zone by a mask, its obj by a multiplication and a shift (the
// reciprocal of the obj size), its ctx by the same index. No division, no search, no load but the zone header's first
// line.
//
// An *inner address* is any address a with ObjStart <= a < ObjStart + obj_bytes. The address one past an obj's end
// belongs to its neighbour: never pass it.
//
// Threads: the first line of a header is written while the zone has no obj out and only read afterwards (owner and
// owner_token are atomics because a slab can be moved to another thread). The rest belongs to the owner thread.

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "luna/mem/zbuf/size_class.h"

namespace luna::zbuf {

class Slab;

namespace internal {

inline constinit thread_local std::byte thread_token{};

// Differs between any two living threads.
inline const void* ThreadToken() { return &thread_token; }

}  // namespace internal

// Room for a NIC driver's own packet descriptor in every ctx; 64-byte aligned. An rte_mbuf is 128 bytes.
inline constexpr size_t kDriverAreaBytes = 128;
// The bytes right in front of the driver area are the driver's too (a DPDK mempool object header is 24).
inline constexpr size_t kDriverPrefixBytes = 32;

// The bookkeeping of one obj. Three cache lines; the first is ours, with the driver's prefix at its end.
struct alignas(kCacheLineBytes) ObjContext {
  // References held by the owner thread's account. Owner only. The true count is references + foreign delta; this part
  // alone may be zero or negative while foreign threads hold references.
  int32_t references = 0;

  // Account of the foreign threads: 2 * (their Refs - their Frees) + queued. `queued` (bit 0) is set by whoever puts
  // the ctx into the owner's return queue and cleared by the owner's drain, so a ctx is in the queue at most once.
  std::atomic<int32_t> foreign{0};

  // Link of the return queue; meaningful while queued.
  ObjContext* return_next = nullptr;

  // Index of the next free obj of the zone, or one of the marks below. Owner only.
  uint32_t next_free = 0;

  // Where the obj was allocated; debug builds only.
  uint32_t site_line = 0;
  const char* site_file = nullptr;

  // The driver's. Zero when the obj is handed out for the first time after its zone was cut; from then on kept as the
  // driver left it, over Free and Alloc, until the zone goes back to the arena or changes class.
  std::byte driver_prefix[kDriverPrefixBytes] = {};
  std::byte driver_area[kDriverAreaBytes] = {};
};
static_assert(sizeof(ObjContext) == kCacheLineBytes + kDriverAreaBytes);
static_assert(offsetof(ObjContext, driver_area) == kCacheLineBytes);

// Values of ObjContext::next_free that are not an index.
inline constexpr uint32_t kEndOfFreeList = 0xffffffff;
inline constexpr uint32_t kObjInUse = 0xfffffffe;

// Division by an obj size s as a multiplication and a shift: floor(o / s) == o * ceil(2^42 / s) >> 42 for every offset
// o < 2^21 and s <= 2^19. (ceil(2^42 / s) = (2^42 + e) / s with e < s, so the excess o * e / 2^42 is below 2^-2 of 1 /
// s.)
inline constexpr unsigned kReciprocalShift = 42;
constexpr uint64_t ReciprocalOf(uint32_t obj_bytes) {
  return ((uint64_t{1} << kReciprocalShift) + obj_bytes - 1) / obj_bytes;
}
constexpr uint32_t DivideByReciprocal(uint64_t offset, uint64_t reciprocal) {
  return static_cast<uint32_t>((offset * reciprocal) >> kReciprocalShift);
}
static_assert(kMaxObjBytes <= size_t{1} << 19);

struct alignas(kCacheLineBytes) ZoneHeader {
  static constexpr uint64_t kMagic = 0x4c756e615a6f6e65;  // "LunaZone"

  // Line 0: constant while objs are out; read by every thread.
  uint64_t magic = 0;                             // kMagic while the zone is cut
  uint64_t io_address = 0;                        // what the NIC calls the first byte of the zone
  std::atomic<Slab*> owner{nullptr};              // null once abandoned (its slab died with objs out)
  std::atomic<const void*> owner_token{nullptr};  // ThreadToken() of the owner thread
  uint64_t reciprocal = 0;                        // ReciprocalOf(obj_bytes)
  uint32_t obj_bytes = 0;                         // a multiple of 128
  uint32_t obj_count = 0;                         //
  uint32_t first_obj = 0;                         // offset of obj 0 from the zone's start, cache-line aligned
  uint32_t class_index = 0;                       // into kClassBytes

  // Line 1: the owner thread's.
  alignas(kCacheLineBytes) uint32_t free_head =
      kEndOfFreeList;          // LIFO of objs that came home, by index, linked in their ctx
  uint32_t fresh = 0;          // objs [fresh, obj_count) were never handed out; their ctx is not initialised
  uint32_t used = 0;           // objs that are out
  bool linked = false;         // in its class's list of zones with room
  ZoneHeader* next = nullptr;  // list of zones with room, or the slab's list of empty zones
  ZoneHeader* previous = nullptr;
  ZoneHeader* all_next = nullptr;  // list of all zones of the slab
  ZoneHeader* all_previous = nullptr;

  std::byte* base() { return reinterpret_cast<std::byte*>(this); }
  const std::byte* base() const { return reinterpret_cast<const std::byte*>(this); }
  ObjContext* contexts() { return reinterpret_cast<ObjContext*>(this + 1); }
  ObjContext* Context(uint32_t index) { return contexts() + index; }
  std::byte* Obj(uint32_t index) { return base() + first_obj + size_t{index} * obj_bytes; }
  uint32_t IndexOfContext(const ObjContext* ctx) { return static_cast<uint32_t>(ctx - contexts()); }
  // Of an inner address.
  uint32_t IndexOf(const void* address) const {
    const uint64_t offset = static_cast<uint64_t>(static_cast<const std::byte*>(address) - base()) - first_obj;
    return DivideByReciprocal(offset, reciprocal);
  }
};
static_assert(sizeof(ZoneHeader) == 2 * kCacheLineBytes);
static_assert(offsetof(ZoneHeader, free_head) == kCacheLineBytes, "foreign threads read line 0 only");

// How many objs of class `k` a zone holds, and where the first one starts.
constexpr uint32_t ObjsPerZone(size_t k) {
  return static_cast<uint32_t>((kZoneBytes - sizeof(ZoneHeader)) / (kClassBytes[k] + sizeof(ObjContext)));
}
constexpr uint32_t FirstObjOffset(size_t k) {
  return static_cast<uint32_t>(sizeof(ZoneHeader) + ObjsPerZone(k) * sizeof(ObjContext));
}
// Bytes at the zone's end that no obj covers.
constexpr size_t ZoneTailBytes(size_t k) {
  return kZoneBytes - FirstObjOffset(k) - size_t{ObjsPerZone(k)} * kClassBytes[k];
}

// The zone of any address in an arena.
inline ZoneHeader* ZoneOf(const void* address) {
  return reinterpret_cast<ZoneHeader*>(reinterpret_cast<uintptr_t>(address) & ~(kZoneBytes - 1));
}

// The functions below take any inner address of an obj that the caller holds a reference to. Any thread; O(1).

inline ObjContext* ContextOf(const void* address) {
  ZoneHeader* zone = ZoneOf(address);
  return zone->Context(zone->IndexOf(address));
}

// First byte of the obj.
inline std::byte* ObjStart(const void* address) {
  ZoneHeader* zone = ZoneOf(address);
  return zone->Obj(zone->IndexOf(address));
}

// Bytes of the whole obj.
inline size_t ObjBytes(const void* address) { return ZoneOf(address)->obj_bytes; }

// Bytes from `address` to the obj's end.
inline size_t CapacityFrom(const void* address) {
  return ObjBytes(address) - static_cast<size_t>(static_cast<const std::byte*>(address) - ObjStart(address));
}

// What the NIC calls this address.
inline uint64_t IoAddress(const void* address) {
  const ZoneHeader* zone = ZoneOf(address);
  return zone->io_address + static_cast<uint64_t>(static_cast<const std::byte*>(address) - zone->base());
}

// The driver's kDriverAreaBytes of the obj; kDriverPrefixBytes in front of the returned address are the driver's too.
inline void* DriverArea(const void* address) { return ContextOf(address)->driver_area; }

// Inverse of DriverArea: the first byte of the obj.
inline std::byte* ObjFromDriverArea(const void* driver_area) {
  ZoneHeader* zone = ZoneOf(driver_area);
  const auto* ctx = reinterpret_cast<const ObjContext*>(static_cast<const std::byte*>(driver_area) -
                                                        offsetof(ObjContext, driver_area));
  return zone->Obj(zone->IndexOfContext(ctx));
}

}  // namespace luna::zbuf

#endif  // LUNA_MEM_ZBUF_ZONE_H_
