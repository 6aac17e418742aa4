#ifndef LUNA_MEM_ZBUF_SLAB_MODEL_H_
#define LUNA_MEM_ZBUF_SLAB_MODEL_H_

// SlabModel: random operations on a Slab, checked against a std::map. For slab_model_test and slab_fuzz only.
//
// The map holds, per obj that is out, the references and the stamp that was written into both ends of it. Every few
// steps and at the end the slab must agree in everything that it says; the stamps show that no two objs overlap and
// that no obj was handed out twice. Failures are CHECKs, so that a fuzzer sees them.

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <vector>

#include "glog/logging.h"
#include "luna/mem/zbuf/arena.h"
#include "luna/mem/zbuf/page_source.h"
#include "luna/mem/zbuf/slab.h"

namespace luna::zbuf {

// Makes the calling thread look like a stranger to a slab, so that the foreign account can be driven deterministically.
class SlabTestPeer {
 public:
  static void PretendForeign(Slab& slab, bool foreign) {
    slab.BindToCurrentThread();
    if (!foreign) return;
    static std::byte somebody;
    slab.token_ = &somebody;
    for (ZoneHeader* zone = slab.all_zones_; zone != nullptr; zone = zone->all_next) {
      zone->owner_token.store(slab.token_, std::memory_order_relaxed);
    }
  }
};

class SlabModel {
 public:
  static constexpr size_t kZones = 6;
  static constexpr size_t kEndBytes = 64;

  explicit SlabModel(size_t keep_empty_zones) : arena_(SharedArena()) {
    slab_ = std::make_unique<Slab>(*arena_, SlabOptions{.name = "model", .keep_empty_zones = keep_empty_zones});
  }

  ~SlabModel() {
    while (!objs_.empty()) FreeOne(0, false);
    slab_->DrainReturns();
    CHECK_EQ(slab_->outstanding(), 0u) << slab_->LeakReport();
    slab_.reset();
    CHECK_EQ(arena_->Stats().zones_free, kZones);
  }

  // One operation; `what` and `which` may be any numbers.
  void Step(uint8_t what, uint32_t which) {
    switch (what % 16) {
      case 0:
      case 1:
      case 2:
      case 3:
        Alloc(SizeOf(which));
        break;
      case 4:
        AllocBulk(SizeOf(which), which % 40);
        break;
      case 5:
      case 6:
      case 7:
        FreeOne(which, false);
        break;
      case 8:
        FreeOne(which, true);
        break;
      case 9:
        RefOne(which, false);
        break;
      case 10:
        RefOne(which, true);
        break;
      case 11:
        slab_->DrainReturns();
        break;
      case 12:
        FreeRun(which, 64);
        break;
      case 13:
        if (which % 4 == 0) slab_->Trim();
        break;
      case 14:
        if (!objs_.empty()) CheckObj(*Pick(which), true);
        break;
      case 15:
        CheckTotals();
        break;
    }
  }

  void CheckAll() {
    slab_->DrainReturns();
    for (const auto& obj : objs_) CheckObj(obj, true);
    CheckTotals();
    // What is out by the model's count is out by the slab's: the returns are drained.
    CHECK_EQ(slab_->outstanding(), objs_.size());
  }

  size_t live() const { return objs_.size(); }
  Slab& slab() { return *slab_; }

 private:
  struct Obj {
    size_t bytes = 0;
    int32_t references = 1;
    uint8_t stamp = 0;
  };
  using Objs = std::map<std::byte*, Obj>;

  // Biased to class boundaries, and over all classes.
  static size_t SizeOf(uint32_t which) {
    const uint32_t edge = kClassBytes[which % kClassCount];
    switch ((which >> 8) % 4) {
      case 0:
        return edge;
      case 1:
        return edge + 1;  // above the largest class: must fail
      case 2:
        return edge - (which >> 16) % edge;
      default:
        return (which >> 16) % 2304;
    }
  }

  Objs::iterator Pick(uint32_t which) { return std::next(objs_.begin(), which % objs_.size()); }

  void Add(std::byte* obj, size_t bytes) {
    CHECK(objs_.count(obj) == 0) << "handed out twice";
    CHECK_EQ(reinterpret_cast<uintptr_t>(obj) % kCacheLineBytes, 0u);
    CHECK_GE(CapacityFrom(obj), bytes);
    CHECK_EQ(ObjBytes(obj), kClassBytes[SizeClassOf(bytes)]);
    const auto stamp = static_cast<uint8_t>(++stamps_);
    std::memset(obj, stamp, kEndBytes);
    std::memset(obj + ObjBytes(obj) - kEndBytes, stamp, kEndBytes);
    objs_[obj] = Obj{.bytes = bytes, .stamp = stamp};
  }

  void Alloc(size_t bytes) {
    std::byte* const obj = slab_->Alloc(bytes);
    if (obj == nullptr) {
      CheckMayFail(bytes);
      return;
    }
    ++allocs_;
    Add(obj, bytes);
  }

  void AllocBulk(size_t bytes, size_t n) {
    std::vector<std::byte*> out(n, nullptr);
    const size_t got = slab_->AllocBulk(bytes, absl::MakeSpan(out));
    CHECK_LE(got, n);
    if (got < n) CheckMayFail(bytes);
    allocs_ += got;
    for (size_t i = 0; i < n; ++i) {
      CHECK_EQ(out[i] != nullptr, i < got);
      if (i < got) Add(out[i], bytes);
    }
  }

  // Null is right only when the size is too large, or no zone is free anywhere and the class's own zones are full.
  void CheckMayFail(size_t bytes) {
    const size_t k = SizeClassOf(bytes);
    if (k == kClassCount) return;
    CHECK_EQ(arena_->Stats().zones_free, 0u);
    const SlabStats stats = slab_->Stats();
    CHECK_EQ(stats.zones_parked, 0u);
    CHECK_EQ(stats.classes[k].outstanding(), stats.classes[k].zones * ObjsPerZone(k));
    size_t zones = 0;
    for (const ClassStats& c : stats.classes) {
      zones += c.zones;
      CHECK(c.zones == 0 || c.outstanding() > 0) << "an empty zone of class " << c.obj_bytes << " was not taken";
    }
    CHECK_EQ(zones, kZones);
  }

  std::byte* Inner(Objs::iterator it, uint32_t which) {
    return it->first + (which * 2654435761u) % ObjBytes(it->first);
  }

  void RefOne(uint32_t which, bool foreign) {
    if (objs_.empty()) return;
    const auto it = Pick(which);
    SlabTestPeer::PretendForeign(*slab_, foreign);
    Ref(Inner(it, which));
    SlabTestPeer::PretendForeign(*slab_, false);
    ++it->second.references;
  }

  void FreeOne(uint32_t which, bool foreign) {
    if (objs_.empty()) return;
    const auto it = Pick(which);
    CheckObj(*it, it->second.references == 1);
    std::byte* const inner = Inner(it, which);
    if (--it->second.references == 0) objs_.erase(it);
    SlabTestPeer::PretendForeign(*slab_, foreign);
    Free(inner);
    SlabTestPeer::PretendForeign(*slab_, false);
  }

  void FreeRun(uint32_t which, size_t n) {
    for (size_t i = 0; i < n; ++i) FreeOne(which, false);
  }

  void CheckObj(const Objs::value_type& entry, bool contents) {
    const auto& [obj, expected] = entry;
    CHECK_EQ(RefCount(obj), expected.references);
    if (!contents) return;
    uint8_t end[kEndBytes];
    std::memset(end, expected.stamp, kEndBytes);
    CHECK_EQ(std::memcmp(obj, end, kEndBytes), 0) << "overwritten at the front";
    CHECK_EQ(std::memcmp(obj + ObjBytes(obj) - kEndBytes, end, kEndBytes), 0) << "overwritten at the back";
  }

  void CheckTotals() {
    const SlabStats stats = slab_->Stats();
    uint64_t allocs = 0;
    size_t zones = stats.zones_parked;
    for (const ClassStats& c : stats.classes) {
      allocs += c.allocs;
      zones += c.zones;
    }
    CHECK_EQ(allocs, allocs_);
    // Objs whose return is not drained yet are still out for the slab.
    CHECK_GE(stats.outstanding(), objs_.size());
    CHECK_EQ(zones, arena_->Stats().zones_used);
  }

  // One for all models: a fuzzer makes thousands, and zones should be met dirty.
  static Arena* SharedArena() {
    static AnonymousPageSource pages;
    static auto* const arena = Arena::Create(pages, {.size_bytes = kZones * kZoneBytes})->release();
    return arena;
  }

  Arena* const arena_;
  std::unique_ptr<Slab> slab_;
  Objs objs_;
  uint64_t allocs_ = 0;
  uint64_t stamps_ = 0;
};

}  // namespace luna::zbuf

#endif  // LUNA_MEM_ZBUF_SLAB_MODEL_H_
