#include "luna/mem/zbuf/zchain.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "glog/logging.h"
#include "luna/mem/zbuf/size_class.h"

namespace luna::zbuf {
namespace {

// CopyFrom cuts long data into objs of this size: large enough that slices are few, small enough for its class to fill
// a zone well.
constexpr size_t kCopyObjBytes = 16640;

ZSlice* AllocateSlots(uint32_t count) { return static_cast<ZSlice*>(::operator new(count * sizeof(ZSlice))); }

// Slices are addresses and lengths: they move by memcpy, and the source becomes raw memory.
void Relocate(ZSlice* to, const ZSlice* from, uint32_t count) {
  std::memmove(static_cast<void*>(to), static_cast<const void*>(from), count * sizeof(ZSlice));
}

}  // namespace

void ZChain::Destroy() noexcept {
  ZSlice* const slots = Slots();
  for (uint32_t i = 0; i < count_; ++i) slots[first_ + i].~ZSlice();
  if (OnHeap()) ::operator delete(slots);
}

void ZChain::Clear() {
  Destroy();
  bytes_ = 0;
  count_ = 0;
  first_ = 0;
  capacity_ = kInlineSlices;
}

void ZChain::GrowBack(uint32_t slots) {
  if (first_ + count_ + slots <= capacity_) return;
  ZSlice* const old = Slots();
  // Sliding down costs a move per slice; only when half of the slots are empty is that paid for by the trims that
  // emptied them.
  if (count_ + slots <= capacity_ && (first_ >= count_ || !OnHeap())) {
    Relocate(old, old + first_, count_);
    first_ = 0;
    return;
  }
  const uint32_t capacity = std::max(2 * capacity_, count_ + slots);
  ZSlice* const bigger = AllocateSlots(capacity);
  Relocate(bigger, old + first_, count_);
  if (OnHeap()) ::operator delete(old);
  storage_.heap = bigger;
  first_ = 0;
  capacity_ = capacity;
}

void ZChain::AddBytes(size_t n) {
  CHECK_LE(n, kMostBytes - bytes_) << "a chain holds less than 4 GiB";
  bytes_ += static_cast<uint32_t>(n);
}

void ZChain::AppendSlow(ZSlice&& slice) {
  CHECK_LE(slice.length, kMostBytes - bytes_) << "a chain holds less than 4 GiB";
  GrowBack(1);
  AppendWhereRoomIs(std::move(slice));
}

void ZChain::AppendChain(ZChain&& other) {
  DCHECK(&other != this);
  if (count_ == 0) {
    *this = std::move(other);
    return;
  }
  AddBytes(other.bytes_);
  GrowBack(other.count_);
  Relocate(Slots() + first_ + count_, other.Slots() + other.first_, other.count_);
  count_ += other.count_;
  other.count_ = 0;
  other.Clear();
}

void ZChain::PrependSlice(ZSlice slice) {
  if (slice.length == 0) return;
  AddBytes(slice.length);
  if (first_ == 0) {
    GrowBack(1);
    Relocate(Slots() + first_ + 1, Slots() + first_, count_);
    first_ += 1;
  }
  --first_;
  new (Slots() + first_) ZSlice(std::move(slice));
  ++count_;
}

std::byte* ZChain::ExtendFront(uint32_t n) {
  DCHECK_LE(n, HeadRoom());
  ZSlice& slice = Slots()[first_];
  AddBytes(n);
  slice.ref.Advance(-static_cast<std::ptrdiff_t>(n));
  slice.length += n;
  return slice.data();
}

std::byte* ZChain::ExtendBack(uint32_t n) {
  DCHECK_LE(n, TailRoom());
  ZSlice& slice = Slots()[first_ + count_ - 1];
  AddBytes(n);
  slice.length += n;
  return slice.data() + slice.length - n;
}

void ZChain::DropFrontSlice() {
  ZSlice& slice = Slots()[first_];
  bytes_ -= slice.length;
  slice.~ZSlice();
  ++first_;
  if (--count_ == 0) first_ = 0;
}

void ZChain::TrimFrontSlices(size_t n) {
  DCHECK_LE(n, bytes_);
  while (n > 0 && count_ > 0) {
    ZSlice& slice = Slots()[first_];
    if (n < slice.length) {
      slice.ref.Advance(static_cast<std::ptrdiff_t>(n));
      slice.length -= static_cast<uint32_t>(n);
      bytes_ -= static_cast<uint32_t>(n);
      return;
    }
    n -= slice.length;
    DropFrontSlice();
  }
}

void ZChain::TrimBack(size_t n) {
  DCHECK_LE(n, bytes_);
  while (n > 0 && count_ > 0) {
    ZSlice& slice = Slots()[first_ + count_ - 1];
    const auto cut = static_cast<uint32_t>(std::min<size_t>(n, slice.length));
    bytes_ -= cut;
    n -= cut;
    if (cut < slice.length) {
      slice.length -= cut;
      return;
    }
    slice.~ZSlice();
    if (--count_ == 0) first_ = 0;
  }
}

ZSlice ZChain::PopFront() {
  DCHECK(!empty());
  ZSlice slice = std::move(Slots()[first_]);
  DropFrontSlice();
  return slice;
}

ZChain ZChain::SplitFront(size_t n) {
  DCHECK_LE(n, bytes_);
  if (n >= bytes_) return std::move(*this);
  ZChain head;
  while (n > 0) {
    if (n < front().length) {
      head.Append(front().ref.Share(), static_cast<uint32_t>(n));
      TrimFront(n);
      break;
    }
    n -= front().length;
    head.Append(PopFront());
  }
  return head;
}

ZChain ZChain::ShareRange(size_t offset, size_t length) const {
  DCHECK(offset <= bytes_ && length <= bytes_ - offset) << offset << "+" << length << " of " << bytes_;
  ZChain range;
  for (const ZSlice& slice : slices()) {
    if (length == 0) break;
    if (offset >= slice.length) {
      offset -= slice.length;
      continue;
    }
    const size_t n = std::min(length, slice.length - offset);
    range.Append(ZRef::ShareOf(slice.data() + offset), static_cast<uint32_t>(n));
    length -= n;
    offset = 0;
  }
  return range;
}

void ZChain::CopyTo(absl::Span<std::byte> out, size_t offset) const {
  DCHECK(offset <= bytes_ && out.size() <= bytes_ - offset) << offset << "+" << out.size() << " of " << bytes_;
  for (const ZSlice& slice : slices()) {
    if (out.empty()) break;
    if (offset >= slice.length) {
      offset -= slice.length;
      continue;
    }
    const size_t n = std::min<size_t>(out.size(), slice.length - offset);
    std::memcpy(out.data(), slice.data() + offset, n);
    out.remove_prefix(n);
    offset = 0;
  }
}

std::string ZChain::ToString() const {
  std::string text(bytes_, '\0');
  CopyTo(absl::MakeSpan(reinterpret_cast<std::byte*>(text.data()), text.size()));
  return text;
}

std::optional<ZChain> ZChain::CopyFrom(Slab& slab, absl::Span<const std::byte> bytes, Site site) {
  ZChain chain;
  while (!bytes.empty()) {
    const size_t n = std::min(bytes.size(), kCopyObjBytes);
    std::byte* const obj = slab.Alloc(n, site);
    if (obj == nullptr) return std::nullopt;
    std::memcpy(obj, bytes.data(), n);
    chain.Append(ZRef::Adopt(obj), static_cast<uint32_t>(n));
    bytes.remove_prefix(n);
  }
  return chain;
}

std::optional<ZChain> ZChain::CopyFrom(Slab& slab, absl::string_view bytes, Site site) {
  return CopyFrom(slab, absl::MakeConstSpan(reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()), site);
}

bool ZChain::Linearise(Slab& slab, Site site) {
  if (count_ <= 1) return true;
  std::byte* const obj = slab.Alloc(bytes_, site);
  if (obj == nullptr) return false;
  const uint32_t bytes = bytes_;
  CopyTo(absl::MakeSpan(obj, bytes));
  Clear();
  Append(ZRef::Adopt(obj), bytes);
  return true;
}

}  // namespace luna::zbuf
