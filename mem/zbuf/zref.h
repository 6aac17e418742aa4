#ifndef LUNA_MEM_ZBUF_ZREF_H_
#define LUNA_MEM_ZBUF_ZREF_H_

// ZRef: move-only owner of one reference to an obj. Eight bytes: an inner address.
//
// The destructor frees the reference. May be destroyed on any thread (see slab.h).

#include <cstddef>
#include <utility>

#include "luna/mem/zbuf/slab.h"

namespace luna::zbuf {

class ZRef {
 public:
  // Owns nothing.
  constexpr ZRef() noexcept = default;
  ~ZRef() {
    if (address_ != nullptr) Free(address_);
  }
  ZRef(ZRef&& other) noexcept : address_(std::exchange(other.address_, nullptr)) {}
  ZRef& operator=(ZRef&& other) noexcept {
    ZRef(std::move(other)).swap(*this);
    return *this;
  }
  ZRef(const ZRef&) = delete;
  ZRef& operator=(const ZRef&) = delete;

  // Takes over a reference that the caller owns (of Alloc or Ref). Null is allowed: an empty ZRef.
  static ZRef Adopt(void* inner) noexcept { return ZRef(static_cast<std::byte*>(inner)); }

  // Takes a new reference to the obj around `inner`, which somebody else keeps alive meanwhile. Not null.
  static ZRef ShareOf(const void* inner) noexcept {
    zbuf::Ref(inner);
    return ZRef(static_cast<std::byte*>(const_cast<void*>(inner)));
  }

  // Another reference to the same address; empty of an empty one.
  ZRef Share() const noexcept { return address_ == nullptr ? ZRef() : ShareOf(address_); }

  // The address; the caller now owns the reference.
  [[nodiscard]] std::byte* release() noexcept { return std::exchange(address_, nullptr); }

  void reset() noexcept { ZRef().swap(*this); }
  void swap(ZRef& other) noexcept { std::swap(address_, other.address_); }

  std::byte* get() const noexcept { return address_; }
  explicit operator bool() const noexcept { return address_ != nullptr; }

  // Moves the address inside the same obj: the result must be an inner address of it.
  void Advance(std::ptrdiff_t bytes) noexcept { address_ += bytes; }

 private:
  explicit constexpr ZRef(std::byte* address) noexcept : address_(address) {}

  std::byte* address_ = nullptr;
};
static_assert(sizeof(ZRef) == sizeof(void*));

}  // namespace luna::zbuf

#endif  // LUNA_MEM_ZBUF_ZREF_H_
