#ifndef LUNA_MEM_ZBUF_ZCHAIN_H_
#define LUNA_MEM_ZBUF_ZCHAIN_H_

// ZChain: the io-vector of every API. A sequence of slices of objs, each with one reference of its own.
//
// A ZSlice is [ref.get(), ref.get() + length) inside one obj. Slices of one chain may lie in one obj, or in objs of
// several slabs. Slices are never empty: appending nothing appends no slice (and frees the reference).
//
// Cost: 64 bytes, three slices inline, more on the heap. Append and TrimFront are O(1) amortised per slice touched;
// bytes() is cached. Moving is a copy of 64 bytes and leaves the source empty. Thread: like a std::vector, one at a
// time; the objs may belong to any thread's slab. Sharing never copies bytes: whoever writes through data() writes for
// all holders of the obj.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <new>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "luna/mem/zbuf/debug.h"
#include "luna/mem/zbuf/slab.h"
#include "luna/mem/zbuf/zref.h"

namespace luna::zbuf {

struct ZSlice {
  ZRef ref;
  uint32_t length = 0;

  std::byte* data() const { return ref.get(); }
  size_t size() const { return length; }
  absl::Span<std::byte> span() const { return {data(), length}; }
  // The same bytes with a reference of their own.
  ZSlice Share() const { return {ref.Share(), length}; }
};
static_assert(sizeof(ZSlice) == 16);

class ZChain {
 public:
  static constexpr uint32_t kInlineSlices = 3;
  static constexpr uint32_t kMostBytes = std::numeric_limits<uint32_t>::max();

  ZChain() noexcept : storage_{} {}
  explicit ZChain(ZSlice slice) : ZChain() { Append(std::move(slice)); }
  ~ZChain() {
    if (!OwnsNothing()) Destroy();
  }
  ZChain(ZChain&& other) noexcept { Steal(other); }
  ZChain& operator=(ZChain&& other) noexcept {
    if (this != &other) {
      if (!OwnsNothing()) Destroy();
      Steal(other);
    }
    return *this;
  }
  ZChain(const ZChain&) = delete;
  ZChain& operator=(const ZChain&) = delete;

  // A chain with a copy of `bytes` in objs of `slab`: the one copying way in. Empty optional (and nothing taken) when
  // memory is exhausted.
  static std::optional<ZChain> CopyFrom(Slab& slab, absl::Span<const std::byte> bytes, Site site = Site::Current());
  static std::optional<ZChain> CopyFrom(Slab& slab, absl::string_view bytes, Site site = Site::Current());

  bool empty() const { return count_ == 0; }
  // Sum of the slices' lengths; at most 2^32 - 1 (CHECKed).
  size_t bytes() const { return bytes_; }

  size_t slice_count() const { return count_; }
  // In order; valid until the chain changes.
  absl::Span<const ZSlice> slices() const { return {Slots() + first_, count_}; }
  const ZSlice* begin() const { return Slots() + first_; }
  const ZSlice* end() const { return begin() + count_; }
  // Not of an empty chain.
  const ZSlice& front() const { return begin()[0]; }
  const ZSlice& back() const { return begin()[count_ - 1]; }

  void Append(ZSlice slice) {
    if (slice.length == 0) return;
    if (first_ + count_ == capacity_ || slice.length > kMostBytes - bytes_) [[unlikely]]
      return AppendSlow(std::move(slice));
    AppendWhereRoomIs(std::move(slice));
  }
  void Append(ZRef ref, uint32_t length) { Append(ZSlice{std::move(ref), length}); }
  // Leaves `other` empty. `other` must not be this chain.
  void Append(ZChain&& other) {
    if (other.count_ != 1 || other.OnHeap() || first_ + count_ == capacity_ || other.bytes_ > kMostBytes - bytes_) {
      return AppendChain(std::move(other));
    }
    AppendWhereRoomIs(std::move(other.storage_.inline_slices[other.first_]));
    other.bytes_ = other.count_ = other.first_ = 0;
  }
  // O(slices) in the worst case.
  void PrependSlice(ZSlice slice);

  // Room in front of the first slice within its obj; 0 for an empty chain. Whether that room may be written is the
  // caller's knowledge: it is when the chain alone holds the obj (a packet that was built or received here).
  size_t HeadRoom() const { return empty() ? 0 : static_cast<size_t>(front().data() - ObjStart(front().data())); }
  // Room behind the last slice within its obj; as above.
  size_t TailRoom() const { return empty() ? 0 : CapacityFrom(back().data()) - back().length; }
  // Grows the first slice to the front by `n` <= HeadRoom() bytes and returns the new first byte. Contents unspecified.
  std::byte* ExtendFront(uint32_t n);
  // Grows the last slice at its end by `n` <= TailRoom() bytes and returns the first of the new bytes.
  std::byte* ExtendBack(uint32_t n);

  // Drops the first or last `n` <= bytes() bytes, and the references of slices that become empty.
  void TrimFront(size_t n) {
    if (count_ == 0) return TrimFrontSlices(n);
    ZSlice& slice = Slots()[first_];
    if (n >= slice.length) return TrimFrontSlices(n);
    slice.ref.Advance(static_cast<std::ptrdiff_t>(n));
    slice.length -= static_cast<uint32_t>(n);
    bytes_ -= static_cast<uint32_t>(n);
  }
  void TrimBack(size_t n);

  // Takes the first `n` <= bytes() bytes out of the chain. A slice that straddles the cut is shared (one more
  // reference).
  ZChain SplitFront(size_t n);

  // Takes the first slice out. Not of an empty chain.
  ZSlice PopFront();

  // The bytes [offset, offset + length) with references of their own; offset + length <= bytes().
  ZChain ShareRange(size_t offset, size_t length) const;
  ZChain Share() const { return ShareRange(0, bytes_); }

  // Copies out [offset, offset + out.size()), which must be inside the chain.
  void CopyTo(absl::Span<std::byte> out, size_t offset = 0) const;
  // All bytes, for tests and small messages.
  std::string ToString() const;

  // Makes the chain one slice, copying into one obj of `slab` unless it is one already. False, and the chain unchanged,
  // when memory is exhausted or the chain is longer than kMaxObjBytes.
  [[nodiscard]] bool Linearise(Slab& slab, Site site = Site::Current());

  // Frees all references.
  void Clear();

 private:
  union Storage {
    constexpr Storage() : heap(nullptr) {}
    ~Storage() {}
    ZSlice inline_slices[kInlineSlices];
    ZSlice* heap;
  };

  bool OnHeap() const { return capacity_ > kInlineSlices; }
  ZSlice* Slots() { return OnHeap() ? storage_.heap : storage_.inline_slices; }
  const ZSlice* Slots() const { return OnHeap() ? storage_.heap : storage_.inline_slices; }

  // Takes everything of `other`, and leaves it empty and without heap. This chain must own nothing.
  void Steal(ZChain& other) noexcept {
    std::memcpy(static_cast<void*>(this), static_cast<const void*>(&other), sizeof(ZChain));
    other.bytes_ = 0;
    other.count_ = 0;
    other.first_ = 0;
    other.capacity_ = kInlineSlices;
  }
  bool OwnsNothing() const { return count_ == 0 && capacity_ == kInlineSlices; }
  void Destroy() noexcept;
  void AppendWhereRoomIs(ZSlice&& slice) {
    bytes_ += slice.length;
    new (Slots() + first_ + count_) ZSlice(std::move(slice));
    ++count_;
  }
  void AppendSlow(ZSlice&& slice);
  void AppendChain(ZChain&& other);
  void TrimFrontSlices(size_t n);
  // Makes room for `slots` more slices at the back.
  void GrowBack(uint32_t slots);
  void AddBytes(size_t n);
  void DropFrontSlice();

  // Slots [first_, first_ + count_) hold constructed slices; the others are raw memory.
  Storage storage_;
  uint32_t bytes_ = 0;
  uint32_t count_ = 0;
  uint32_t first_ = 0;
  uint32_t capacity_ = kInlineSlices;
};
static_assert(sizeof(ZChain) == 64);

}  // namespace luna::zbuf

#endif  // LUNA_MEM_ZBUF_ZCHAIN_H_
