#ifndef LUNA_MEM_ZBUF_SLAB_H_
#define LUNA_MEM_ZBUF_SLAB_H_

// Slab: one thread's owner of zones, and the four operations of Zbuf (LUNA paper §6.1): Alloc, Ref, Free, IoAddress.
//
// Threads. A slab is bound to the thread that constructs it (its owner). Alloc and the other member functions are for
// the owner only, unless they say otherwise. Its objs may travel: any thread that holds a reference may call Ref and
// Free (the free functions) on them. The owner's account is plain memory; other threads book into a second, atomic
// account of the obj and put it once into the owner's lock-free return queue. The owner settles that queue in
// DrainReturns() (call it once per loop iteration) and before it declares memory exhausted.
//
// Exhaustion is a state, not an error: Alloc returns null and counts it. Nothing else changes, and it works again as
// soon as objs come home.
//
// Zones. Each size class keeps a list of its zones that have room and takes from the one that last got an obj back:
// warm memory first, and sparse zones run empty. A zone that runs empty is kept by its class while it is the only one
// with room, else parked; more parked zones than SlabOptions::keep_empty_zones go back to the arena. A parked zone may
// be cut anew for another class.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "luna/ctrl/stats/counter.h"
#include "luna/mem/zbuf/arena.h"
#include "luna/mem/zbuf/debug.h"
#include "luna/mem/zbuf/size_class.h"
#include "luna/mem/zbuf/zone.h"

namespace luna::zbuf {

// Takes one more reference on the obj around `inner`. The caller must hold a reference, or be told of the address by
// somebody who does and keeps it until this returns. Any thread; O(1); never fails.
void Ref(const void* inner);

// Gives one reference back; the last one returns the obj to its zone. Any thread; O(1).
void Free(const void* inner);

// References of the obj. Exact on the owner thread, and elsewhere while nobody changes it. For tests and debugging.
int32_t RefCount(const void* inner);

struct SlabOptions {
  std::string name = "slab";
  // Most memory the slab may hold, in bytes of zones; 0: whatever the arena has.
  size_t bytes_limit = 0;
  // Empty zones kept for the next need instead of going back to the arena.
  size_t keep_empty_zones = 2;
};

// Counts since construction, by class.
struct ClassStats {
  uint32_t obj_bytes = 0;
  uint64_t allocs = 0;
  uint64_t frees = 0;      // objs that came home
  uint64_t exhausted = 0;  // requests that failed for want of memory
  uint64_t zones = 0;      // held now, parked ones not included
  // Read from another thread, the two counts are of slightly different moments.
  uint64_t outstanding() const { return allocs > frees ? allocs - frees : 0; }
};

struct SlabStats {
  std::array<ClassStats, kClassCount> classes;
  uint64_t too_large = 0;        // requests above kMaxObjBytes
  uint64_t returns_drained = 0;  // entries of the return queue that were settled
  uint64_t zones_parked = 0;     // empty, kept
  uint64_t outstanding() const;  // objs that are out
  uint64_t exhausted() const;
};

class Slab {
 public:
  // `arena` must outlive the slab. Takes no zone yet.
  explicit Slab(Arena& arena, SlabOptions options = {});

  // On any thread, once the owner has stopped using it and said so in a way that synchronises.
  // Settles returns and gives all zones back. Objs that are still out are a leak: reported (by site in debug builds,
  // where it is fatal), and their zones abandoned.
  ~Slab();
  Slab(const Slab&) = delete;
  Slab& operator=(const Slab&) = delete;

  // --- The data path.

  // An obj of at least `bytes` (any size up to kMaxObjBytes, 0 included) with one reference; contents unspecified,
  // cache-line aligned. Null when memory is exhausted or `bytes` is too large; counted. About 5 ns.
  std::byte* Alloc(size_t bytes, Site site = Site::Current());

  // Fills `out` from the front with objs of at least `bytes`; returns how many. Fewer than asked only when exhausted.
  size_t AllocBulk(size_t bytes, absl::Span<std::byte*> out, Site site = Site::Current());

  // As the free functions, for objs of this slab (checked in debug builds). Owner thread or not.
  void Ref(const void* inner);
  void Free(const void* inner);
  void FreeBulk(absl::Span<std::byte* const> inner);

  // Address arithmetic; see zone.h. Any thread that holds a reference.
  static uint64_t IoAddress(const void* inner) { return zbuf::IoAddress(inner); }
  static size_t CapacityFrom(const void* inner) { return zbuf::CapacityFrom(inner); }
  static std::byte* ObjStart(const void* inner) { return zbuf::ObjStart(inner); }

  // Settles what other threads gave back. One relaxed load when there is nothing. Returns how many objs came home.
  size_t DrainReturns() { return returns_.load(std::memory_order_relaxed) == nullptr ? 0 : DrainReturnsSlow(); }

  // --- Set-up and tear-down.

  // Takes zones until `objs` objs of at least `bytes` can be out at the same time, and holds on to them. Requests add
  // up: a second call for the same class reserves that many more. ResourceExhausted when the arena or the limit is too
  // small (nothing is reserved then); InvalidArgument when `bytes` is too large.
  absl::Status Reserve(size_t bytes, size_t objs);

  // Gives every empty zone that is not reserved back to the arena.
  void Trim();

  // Makes the calling thread the owner. The old owner must have stopped using the slab, and must have told the new one
  // so in a way that synchronises (a join, a queue). Other threads may go on freeing meanwhile.
  void BindToCurrentThread();
  bool OwnedByThisThread() const { return token_ == internal::ThreadToken(); }

  // --- What it does. Any thread.

  SlabStats Stats() const;
  // Objs that are out. 0 when every obj is home (returns not yet drained count as out). Exact on the owner thread.
  size_t outstanding() const;
  // True while of the size class that has most out less than an eighth is free, in its zones and those that are to be
  // had from the arena: time to take in no more. Owner. About 20 ns.
  bool IsScarce() const;
  const std::string& name() const { return options_.name; }
  Arena& arena() const { return arena_; }

  // One line per allocation site (debug builds) or size class (others) of what is out; empty when nothing is. Owner.
  std::string LeakReport() const;

 private:
  friend void zbuf::Ref(const void* inner);
  friend void zbuf::Free(const void* inner);
  friend class SlabTestPeer;

  // What the owner touches per obj, one cache line per class.
  struct alignas(kCacheLineBytes) ClassState {
    ZoneHeader* room = nullptr;  // zones with at least one free obj; Alloc takes from the first
    uint64_t reserved_objs = 0;  // zones for these are never given back
    stats::Counter allocs;
    stats::Counter frees;
    stats::Counter exhausted;
    stats::Counter zones;
  };

  static void LinkRoom(ClassState& state, ZoneHeader* zone);
  static void UnlinkRoom(ClassState& state, ZoneHeader* zone);

  std::byte* TakeObj(ClassState& state, ZoneHeader* zone, Site site);
  void PutBack(ZoneHeader* zone, ObjContext* ctx);
  // The owner's account of an obj fell to 0: home, unless other threads hold or are just returning references.
  void OwnerAccountIsZero(ZoneHeader* zone, ObjContext* ctx);
  // The slow path of Alloc: a zone with room for class `k`, linked; or null.
  ZoneHeader* FindZone(size_t k);
  // An empty zone, cut and linked for class `k`: parked, of the arena, or of another class. Or null.
  ZoneHeader* AddZone(size_t k);
  ZoneHeader* TakeParkedZone(size_t k);
  ZoneHeader* TakeArenaZone();
  ZoneHeader* StealEmptyZone();
  // Writes the header of a zone that has nothing out. The links of the list of all zones survive.
  void Cut(ZoneHeader* zone, size_t k);
  // The last obj of a zone came home: parks it unless its class wants to keep it.
  void ZoneIsEmpty(ClassState& state, ZoneHeader* zone);
  // Whether class `k` may lose a zone that has nothing out.
  bool CanSpareZone(size_t k) const;
  // Takes an empty zone out of its class.
  void Detach(ZoneHeader* zone);
  // Back to the arena.
  void GiveBack(ZoneHeader* zone);
  size_t DrainReturnsSlow();
  void CheckOwner() const;
  void CheckMine(const void* inner, const char* what) const;

  // Books a Ref or Free by a thread that is not the owner.
  static void BookForeign(ZoneHeader* zone, ObjContext* ctx, int32_t delta);

  Arena& arena_;
  const SlabOptions options_;
  const void* token_;  // of the owner thread
  std::array<ClassState, kClassCount> classes_;
  ZoneHeader* all_zones_ = nullptr;  // every zone held, parked ones included
  ZoneHeader* parked_ = nullptr;     // empty, cut for their last class
  size_t zones_held_ = 0;
  stats::Counter zones_parked_;
  stats::Counter too_large_;
  stats::Counter returns_drained_;

  // Written by other threads: a line of its own.
  alignas(kCacheLineBytes) std::atomic<ObjContext*> returns_{nullptr};  // stack, linked by return_next
};

}  // namespace luna::zbuf

#include "luna/mem/zbuf/slab_inline.h"  // IWYU pragma: export

#endif  // LUNA_MEM_ZBUF_SLAB_H_
