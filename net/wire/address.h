#ifndef LUNA_NET_WIRE_ADDRESS_H_
#define LUNA_NET_WIRE_ADDRESS_H_

// Address types: MacAddress, Ipv4Address, IpAddress, Ipv4Prefix, Endpoint, FourTuple.
//
// All are value types: trivially copyable, constexpr where the language allows, no allocation except in ToString().
// Default construction gives the all-zero value. Any thread may use any of them.
//
// Byte order: numbers inside are in host order; the wire's order appears only in FromBytes() and CopyTo().
// Text: Parse() takes the whole string or nothing (no spaces, no trailing text) and returns nullopt otherwise. For each
// type Parse(x.ToString()) == x.

#include <array>
#include <bit>
#include <compare>
#include <cstdint>
#include <iosfwd>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"
#include "absl/types/optional.h"

namespace luna::wire {

// A 48-bit Ethernet address, in the wire's byte order.
class MacAddress {
 public:
  static constexpr size_t kSize = 6;

  constexpr MacAddress() = default;
  explicit constexpr MacAddress(const std::array<uint8_t, kSize>& bytes) : bytes_(bytes) {}
  static constexpr MacAddress Broadcast() { return MacAddress({0xff, 0xff, 0xff, 0xff, 0xff, 0xff}); }
  // Reads kSize bytes.
  static constexpr MacAddress FromBytes(const uint8_t* in) {
    return MacAddress({in[0], in[1], in[2], in[3], in[4], in[5]});
  }
  // Six groups of two hex digits, any case, separated by ':' throughout or '-' throughout.
  static absl::optional<MacAddress> Parse(absl::string_view text);

  // Writes kSize bytes.
  constexpr void CopyTo(uint8_t* out) const {
    for (size_t i = 0; i < kSize; ++i) out[i] = bytes_[i];
  }
  constexpr const std::array<uint8_t, kSize>& bytes() const { return bytes_; }

  constexpr bool IsZero() const { return *this == MacAddress(); }
  constexpr bool IsBroadcast() const { return *this == Broadcast(); }
  // The group bit; true for broadcast too.
  constexpr bool IsMulticast() const { return (bytes_[0] & 1) != 0; }
  // The locally-administered bit.
  constexpr bool IsLocal() const { return (bytes_[0] & 2) != 0; }

  // "02:00:00:00:00:0a": lower case.
  std::string ToString() const;

  friend constexpr bool operator==(const MacAddress&, const MacAddress&) = default;
  friend constexpr std::strong_ordering operator<=>(const MacAddress& a, const MacAddress& b) {
    return a.AsNumber() <=> b.AsNumber();
  }
  template <typename H>
  friend H AbslHashValue(H h, const MacAddress& a) {
    return H::combine(std::move(h), a.AsNumber());
  }

 private:
  constexpr uint64_t AsNumber() const {
    uint64_t n = 0;
    for (uint8_t byte : bytes_) n = n << 8 | byte;
    return n;
  }

  std::array<uint8_t, kSize> bytes_{};
};

// An IPv4 address. The number inside is in host order: Ipv4Address(10, 0, 0, 2).value() == 0x0a000002.
class Ipv4Address {
 public:
  static constexpr size_t kSize = 4;

  constexpr Ipv4Address() = default;
  explicit constexpr Ipv4Address(uint32_t host_order) : value_(host_order) {}
  constexpr Ipv4Address(uint8_t a, uint8_t b, uint8_t c, uint8_t d)
      : value_(uint32_t{a} << 24 | uint32_t{b} << 16 | uint32_t{c} << 8 | uint32_t{d}) {}
  static constexpr Ipv4Address Any() { return Ipv4Address(); }
  static constexpr Ipv4Address Broadcast() { return Ipv4Address(0xffffffffu); }
  static constexpr Ipv4Address Loopback() { return Ipv4Address(127, 0, 0, 1); }
  // Reads kSize bytes in the wire's order.
  static constexpr Ipv4Address FromBytes(const uint8_t* in) { return Ipv4Address(in[0], in[1], in[2], in[3]); }
  // Strict dotted quad: four decimal numbers of 0..255 without leading zeros (which some readers take for octal).
  static absl::optional<Ipv4Address> Parse(absl::string_view text);

  constexpr uint32_t value() const { return value_; }
  // Writes kSize bytes in the wire's order.
  constexpr void CopyTo(uint8_t* out) const {
    for (int i = 0; i < 4; ++i) out[i] = static_cast<uint8_t>(value_ >> (24 - 8 * i));
  }

  constexpr bool IsUnspecified() const { return value_ == 0; }
  // Limited broadcast, 255.255.255.255. A subnet's broadcast is Ipv4Prefix's to know.
  constexpr bool IsBroadcast() const { return value_ == 0xffffffffu; }
  constexpr bool IsMulticast() const { return value_ >> 28 == 0xe; }     // 224.0.0.0/4
  constexpr bool IsLoopback() const { return value_ >> 24 == 127; }      // 127.0.0.0/8
  constexpr bool IsThisNetwork() const { return value_ >> 24 == 0; }     // 0.0.0.0/8, RFC 1122 §3.2.1.3
  constexpr bool IsClassE() const { return value_ >> 28 == 0xf; }        // 240.0.0.0/4, includes the broadcast
  constexpr bool IsLinkLocal() const { return value_ >> 16 == 0xa9fe; }  // 169.254.0.0/16
  // May be the source of a unicast datagram or the address of a TCP peer on a wire: none of the above but link-local.
  constexpr bool IsUnicast() const { return !IsThisNetwork() && !IsMulticast() && !IsClassE(); }

  std::string ToString() const;

  friend constexpr bool operator==(Ipv4Address, Ipv4Address) = default;
  friend constexpr auto operator<=>(Ipv4Address, Ipv4Address) = default;
  template <typename H>
  friend H AbslHashValue(H h, Ipv4Address a) {
    return H::combine(std::move(h), a.value_);
  }

 private:
  uint32_t value_ = 0;
};

// An IPv6 address, or an IPv4 address in its v4-mapped form ::ffff:a.b.c.d (RFC 4291 §2.5.5.2). 16 bytes, 4-aligned.
// The default is "::", which is not IPv4: write IpAddress(Ipv4Address::Any()) for 0.0.0.0. IsUnspecified() holds for
// both.
class IpAddress {
 public:
  static constexpr size_t kSize = 16;

  constexpr IpAddress() = default;
  // Implicit on purpose: every IPv4 address is an IP address.
  constexpr IpAddress(Ipv4Address v4) : words_{0, 0, 0x0000ffffu, v4.value()} {}  // NOLINT(google-explicit-constructor)
  static constexpr IpAddress FromV4(Ipv4Address v4) { return IpAddress(v4); }
  // Reads kSize bytes in the wire's order.
  static constexpr IpAddress FromBytes(const uint8_t* in) {
    IpAddress a;
    for (size_t i = 0; i < 4; ++i) a.words_[i] = Ipv4Address::FromBytes(in + 4 * i).value();
    return a;
  }
  // Dotted quad, or the text forms of RFC 4291 §2.2 (no zone, no brackets). "::ffff:10.0.0.2" and "10.0.0.2" are equal.
  static absl::optional<IpAddress> Parse(absl::string_view text);

  constexpr bool IsV4() const { return words_[0] == 0 && words_[1] == 0 && words_[2] == 0x0000ffffu; }
  // The IPv4 address. Requires IsV4(); otherwise it is merely the last 32 bits.
  constexpr Ipv4Address v4() const { return Ipv4Address(words_[3]); }
  constexpr void CopyTo(uint8_t* out) const {
    for (size_t i = 0; i < 4; ++i) Ipv4Address(words_[i]).CopyTo(out + 4 * i);
  }

  constexpr bool IsUnspecified() const {
    return words_[3] == 0 && words_[0] == 0 && words_[1] == 0 && (words_[2] == 0 || words_[2] == 0x0000ffffu);
  }
  constexpr bool IsLoopback() const {
    return IsV4() ? v4().IsLoopback() : words_ == std::array<uint32_t, 4>{0, 0, 0, 1};
  }
  constexpr bool IsMulticast() const { return IsV4() ? v4().IsMulticast() : words_[0] >> 24 == 0xff; }

  // Dotted quad when IsV4(), else RFC 5952: lower case, the longest run of zero groups (the first of equals) as "::".
  std::string ToString() const;

  // One branch for all of it.
  friend constexpr bool operator==(const IpAddress& a, const IpAddress& b) {
    return ((a.words_[0] ^ b.words_[0]) | (a.words_[1] ^ b.words_[1]) | (a.words_[2] ^ b.words_[2]) |
            (a.words_[3] ^ b.words_[3])) == 0;
  }
  // By the number in the wire's order.
  friend constexpr auto operator<=>(const IpAddress& a, const IpAddress& b) { return a.words_ <=> b.words_; }
  template <typename H>
  friend H AbslHashValue(H h, const IpAddress& a) {
    return H::combine(std::move(h), a.words_[0], a.words_[1], a.words_[2], a.words_[3]);
  }

 private:
  std::array<uint32_t, 4> words_{};  // host order each, most significant first
};

// An IPv4 address with the length of its network, as an interface or a route has it. The host bits are kept.
class Ipv4Prefix {
 public:
  constexpr Ipv4Prefix() = default;  // 0.0.0.0/0
  // A length above 32 counts as 32.
  constexpr Ipv4Prefix(Ipv4Address address, int length)
      : address_(address),
        length_(static_cast<uint8_t>(length < 0    ? 0
                                     : length > 32 ? 32
                                                   : length)) {}
  // "10.0.0.2/24". The length is required: 0..32, decimal.
  static absl::optional<Ipv4Prefix> Parse(absl::string_view text);

  constexpr Ipv4Address address() const { return address_; }
  constexpr int length() const { return length_; }
  constexpr Ipv4Address mask() const { return Ipv4Address(length_ == 0 ? 0 : ~uint32_t{0} << (32 - length_)); }
  constexpr Ipv4Address network() const { return Ipv4Address(address_.value() & mask().value()); }
  // The directed broadcast. Networks of 31 and 32 bits have none (RFC 3021): then it is 255.255.255.255.
  constexpr Ipv4Address broadcast() const {
    return length_ >= 31 ? Ipv4Address::Broadcast() : Ipv4Address(address_.value() | ~mask().value());
  }
  constexpr bool Contains(Ipv4Address a) const { return ((a.value() ^ address_.value()) & mask().value()) == 0; }

  std::string ToString() const;

  friend constexpr bool operator==(const Ipv4Prefix&, const Ipv4Prefix&) = default;
  friend constexpr auto operator<=>(const Ipv4Prefix&, const Ipv4Prefix&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const Ipv4Prefix& p) {
    return H::combine(std::move(h), p.address_, p.length_);
  }

 private:
  Ipv4Address address_;
  uint8_t length_ = 0;
};

// One end of a connection. The port is in host order.
struct Endpoint {
  IpAddress address;
  uint16_t port = 0;

  // "10.0.0.2:61441" or "[2001:db8::1]:61441". The port is required: 0..65535, decimal, no leading zeros.
  static absl::optional<Endpoint> Parse(absl::string_view text);
  std::string ToString() const;

  friend constexpr bool operator==(const Endpoint&, const Endpoint&) = default;
  friend constexpr auto operator<=>(const Endpoint&, const Endpoint&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const Endpoint& e) {
    return H::combine(std::move(h), e.address, e.port);
  }
};

// A connection's identity as one host sees it. 40 bytes.
struct FourTuple {
  Endpoint local;
  Endpoint remote;

  // The same connection seen from the other end.
  constexpr FourTuple Reversed() const { return {remote, local}; }
  // "10.0.0.2:61441<-10.0.0.1:40000": local first.
  std::string ToString() const;

  friend constexpr bool operator==(const FourTuple&, const FourTuple&) = default;
  friend constexpr auto operator<=>(const FourTuple&, const FourTuple&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const FourTuple& t) {
    return H::combine(std::move(h), t.local, t.remote);
  }
};

// For test failures and logs: ToString().
std::ostream& operator<<(std::ostream& out, const MacAddress& a);
std::ostream& operator<<(std::ostream& out, Ipv4Address a);
std::ostream& operator<<(std::ostream& out, const IpAddress& a);
std::ostream& operator<<(std::ostream& out, const Ipv4Prefix& p);
std::ostream& operator<<(std::ostream& out, const Endpoint& e);
std::ostream& operator<<(std::ostream& out, const FourTuple& t);

static_assert(sizeof(MacAddress) == 6 && sizeof(IpAddress) == 16 && sizeof(Endpoint) == 20 && sizeof(FourTuple) == 40);

}  // namespace luna::wire

#endif  // LUNA_NET_WIRE_ADDRESS_H_
