#ifndef LUNA_NET_WIRE_CHECKSUM_H_
#define LUNA_NET_WIRE_CHECKSUM_H_

// The Internet checksum (RFC 1071), in pieces: sums of parts of a datagram can be taken apart and put together.
//
// A "sum" is a ones'-complement sum of 16-bit words in the wire's order, folded to 16 bits and not complemented; 0 and
// 0xffff both mean zero. A "checksum" is the complement of a sum: the number that goes into a header (in host order
// here: store it with StoreBe16). A block with a right checksum inside sums to 0xffff. No state, any thread; linear in
// the bytes.

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "absl/types/span.h"
#include "luna/net/wire/address.h"
#include "luna/net/wire/byte_cursor.h"

namespace luna::wire {

namespace internal {
// Folds to 16 bits with end-around carries.
constexpr uint16_t FoldSum(uint64_t sum) {
  sum = (sum & 0xffffffffu) + (sum >> 32);
  sum = (sum & 0xffffffffu) + (sum >> 32);
  sum = (sum & 0xffffu) + (sum >> 16);
  sum = (sum & 0xffffu) + (sum >> 16);
  return static_cast<uint16_t>((sum & 0xffffu) + (sum >> 16));
}

// Sums in the machine's own order, of 32-bit words and not folded: sums commute with byte swaps (RFC 1071 §2 (B)).
// Below 2^37.
inline constexpr size_t kShort = 128;
uint64_t SumLong(const uint8_t* at, size_t size);
inline uint64_t SumShort(const uint8_t* at, size_t size) {
  uint64_t sum = 0;
  for (; size >= 8; at += 8, size -= 8) {
    uint64_t word;
    std::memcpy(&word, at, 8);
    sum += word;
    sum += sum < word ? 1 : 0;  // the carry comes in again at the other end
  }
  sum = (sum & 0xffffffff) + (sum >> 32);
  if (size >= 4) {
    uint32_t word;
    std::memcpy(&word, at, 4);
    sum += word;
    at += 4;
    size -= 4;
  }
  if (size >= 2) {
    uint16_t word;
    std::memcpy(&word, at, 2);
    sum += word;
    at += 2;
  }
  if (size & 1) {
    const uint8_t last[2] = {*at, 0};
    uint16_t word;
    std::memcpy(&word, last, 2);
    sum += word;
  }
  return sum;
}
inline uint64_t SumNative(absl::Span<const uint8_t> bytes) {
  return bytes.size() < kShort ? SumShort(bytes.data(), bytes.size()) : SumLong(bytes.data(), bytes.size());
}
}  // namespace internal

// The sum of any bytes at any alignment, as if a zero byte followed an odd number of them.
inline uint16_t ChecksumSum(absl::Span<const uint8_t> bytes) {
  return internal::SwapToBe(internal::FoldSum(internal::SumNative(bytes)));
}

// The checksum of one contiguous block, whose checksum field is zero.
inline uint16_t Checksum(absl::Span<const uint8_t> bytes) { return static_cast<uint16_t>(~ChecksumSum(bytes)); }

// The sum of an IPv4 header: 20 bytes, inline, branch-free. For headers with options take ChecksumSum.
inline uint16_t Ipv4BaseHeaderSum(const uint8_t* header) {
  uint64_t sum = 0;
  for (int i = 0; i < 5; ++i) {
    uint32_t word;
    std::memcpy(&word, header + 4 * i, 4);
    sum += word;
  }
  // Sums commute with byte swaps (RFC 1071 §2 (B)): one swap at the end instead of ten.
  return internal::SwapToBe(internal::FoldSum(sum));
}

// Adds up a datagram that lies in pieces: Add() each in order, then Fold(). A piece may have any length; one that
// begins at an odd offset of the whole is byte-swapped into place (RFC 1071 §2 (B)).
class ChecksumAccumulator {
 public:
  ChecksumAccumulator() = default;
  // Starts from a sum, such as a pseudo-header's.
  explicit ChecksumAccumulator(uint16_t sum) : sum_(internal::SwapToBe(sum)) {}

  void Add(absl::Span<const uint8_t> bytes) { AddNative(internal::SumNative(bytes), bytes.size()); }
  // A part whose sum is known already, `size` bytes long.
  void AddSum(uint16_t sum, size_t size) { AddNative(internal::SwapToBe(sum), size); }
  // A number as it would stand on the wire.
  void AddU16(uint16_t value) { AddSum(value, 2); }
  void AddU32(uint32_t value) {
    AddU16(static_cast<uint16_t>(value >> 16));
    AddU16(static_cast<uint16_t>(value));
  }

  // The sum so far.
  uint16_t Sum() const { return internal::SwapToBe(internal::FoldSum(sum_)); }
  // The checksum so far: the complement of the sum.
  uint16_t Fold() const { return static_cast<uint16_t>(~Sum()); }

 private:
  void AddNative(uint64_t sum, size_t size) {
    sum_ += odd_ ? __builtin_bswap16(internal::FoldSum(sum)) : sum;
    odd_ ^= (size & 1) != 0;
  }

  uint64_t sum_ = 0;  // in the machine's order; each Add adds < 2^37: no overflow within 2^27 pieces
  bool odd_ = false;  // whether an odd number of bytes has been added
};

// The sum of two parts of which the first has an even length.
constexpr uint16_t AddSums(uint16_t a, uint16_t b) { return internal::FoldSum(uint64_t{a} + b); }

// The sum of the IPv4 pseudo-header (RFC 9293 §3.1): addresses, zero, protocol, and the length in bytes of the
// transport header and payload.
constexpr uint16_t Ipv4PseudoHeaderSum(Ipv4Address source, Ipv4Address destination, uint8_t protocol, uint16_t length) {
  return internal::FoldSum(uint64_t{source.value()} + destination.value() + protocol + length);
}

// The checksum after a 16-bit or 32-bit word under it changed (RFC 1624 eqn. 3: never turns 0xffff's zero into the
// other).
constexpr uint16_t UpdateChecksum16(uint16_t checksum, uint16_t before, uint16_t after) {
  const uint32_t sum =
      uint32_t{static_cast<uint16_t>(~checksum)} + uint32_t{static_cast<uint16_t>(~before)} + uint32_t{after};
  return static_cast<uint16_t>(~internal::FoldSum(sum));
}
constexpr uint16_t UpdateChecksum32(uint16_t checksum, uint32_t before, uint32_t after) {
  checksum = UpdateChecksum16(checksum, static_cast<uint16_t>(before >> 16), static_cast<uint16_t>(after >> 16));
  return UpdateChecksum16(checksum, static_cast<uint16_t>(before), static_cast<uint16_t>(after));
}

}  // namespace luna::wire

#endif  // LUNA_NET_WIRE_CHECKSUM_H_
