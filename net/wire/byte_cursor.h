#ifndef LUNA_NET_WIRE_BYTE_CURSOR_H_
#define LUNA_NET_WIRE_BYTE_CURSOR_H_

// Big-endian loads and stores, and bounds-checked cursors over byte spans.
//
// LoadBe*/StoreBe* check nothing: the caller has checked the length once for a whole fixed header. ByteReader and
// ByteWriter check each step: the first step past the end makes the cursor fail for good, reads then give 0 and an
// empty span, writes then write nothing. So a parser reads a whole record and asks ok() once. No allocation; not thread
// safe.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "absl/types/span.h"

namespace luna::wire {

namespace internal {
template <typename T>
inline T SwapToBe(T value) {
  if constexpr (std::endian::native == std::endian::little) {
    if constexpr (sizeof(T) == 2) return __builtin_bswap16(value);
    if constexpr (sizeof(T) == 4) return __builtin_bswap32(value);
    if constexpr (sizeof(T) == 8) return __builtin_bswap64(value);
  }
  return value;
}
template <typename T>
inline T LoadBe(const uint8_t* in) {
  T value;
  std::memcpy(&value, in, sizeof(T));
  return SwapToBe(value);
}
template <typename T>
inline void StoreBe(uint8_t* out, T value) {
  value = SwapToBe(value);
  std::memcpy(out, &value, sizeof(T));
}
}  // namespace internal

// Any alignment.
inline uint16_t LoadBe16(const uint8_t* in) { return internal::LoadBe<uint16_t>(in); }
inline uint32_t LoadBe32(const uint8_t* in) { return internal::LoadBe<uint32_t>(in); }
inline uint64_t LoadBe64(const uint8_t* in) { return internal::LoadBe<uint64_t>(in); }
inline void StoreBe16(uint8_t* out, uint16_t value) { internal::StoreBe(out, value); }
inline void StoreBe32(uint8_t* out, uint32_t value) { internal::StoreBe(out, value); }
inline void StoreBe64(uint8_t* out, uint64_t value) { internal::StoreBe(out, value); }

// Reads from the front of a span that it does not own.
class ByteReader {
 public:
  explicit ByteReader(absl::Span<const uint8_t> bytes) : rest_(bytes) {}

  // False from the first read past the end on.
  bool ok() const { return ok_; }
  // Bytes left; 0 after a failure.
  size_t remaining() const { return rest_.size(); }

  uint8_t ReadU8() { return Claim(1) ? Take(1)[0] : 0; }
  uint16_t ReadU16() { return Claim(2) ? LoadBe16(Take(2)) : 0; }
  uint32_t ReadU32() { return Claim(4) ? LoadBe32(Take(4)) : 0; }
  uint64_t ReadU64() { return Claim(8) ? LoadBe64(Take(8)) : 0; }
  // A view of the next `size` bytes, into the span given; empty after a failure.
  absl::Span<const uint8_t> ReadBytes(size_t size) {
    return Claim(size) ? absl::Span<const uint8_t>(Take(size), size) : absl::Span<const uint8_t>();
  }
  // Copies the next `size` bytes to `out`; leaves `out` alone on failure.
  bool CopyTo(uint8_t* out, size_t size) {
    if (!Claim(size)) return false;
    if (size != 0) std::memcpy(out, Take(size), size);
    return true;
  }
  bool Skip(size_t size) {
    if (!Claim(size)) return false;
    Take(size);
    return true;
  }
  // Everything that is left.
  absl::Span<const uint8_t> ReadRest() { return ReadBytes(remaining()); }

 private:
  bool Claim(size_t size) {
    if (size <= rest_.size() && ok_) return true;
    ok_ = false;
    rest_ = {};
    return false;
  }
  const uint8_t* Take(size_t size) {
    const uint8_t* at = rest_.data();
    rest_.remove_prefix(size);
    return at;
  }

  absl::Span<const uint8_t> rest_;
  bool ok_ = true;
};

// Writes to the front of a span that it does not own.
class ByteWriter {
 public:
  explicit ByteWriter(absl::Span<uint8_t> bytes) : bytes_(bytes) {}

  // False from the first write past the end on.
  bool ok() const { return ok_; }
  // Bytes written by successful writes.
  size_t written() const { return at_; }
  size_t remaining() const { return ok_ ? bytes_.size() - at_ : 0; }

  void WriteU8(uint8_t value) {
    if (Claim(1)) *Take(1) = value;
  }
  void WriteU16(uint16_t value) {
    if (Claim(2)) StoreBe16(Take(2), value);
  }
  void WriteU32(uint32_t value) {
    if (Claim(4)) StoreBe32(Take(4), value);
  }
  void WriteU64(uint64_t value) {
    if (Claim(8)) StoreBe64(Take(8), value);
  }
  void WriteBytes(absl::Span<const uint8_t> bytes) {
    if (Claim(bytes.size()) && !bytes.empty()) std::memcpy(Take(bytes.size()), bytes.data(), bytes.size());
  }
  void Fill(uint8_t value, size_t size) {
    if (Claim(size) && size != 0) std::memset(Take(size), value, size);
  }

 private:
  bool Claim(size_t size) {
    ok_ = ok_ && size <= bytes_.size() - at_;
    return ok_;
  }
  uint8_t* Take(size_t size) {
    uint8_t* at = bytes_.data() + at_;
    at_ += size;
    return at;
  }

  absl::Span<uint8_t> bytes_;
  size_t at_ = 0;
  bool ok_ = true;
};

}  // namespace luna::wire

#endif  // LUNA_NET_WIRE_BYTE_CURSOR_H_
