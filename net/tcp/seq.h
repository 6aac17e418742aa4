#ifndef LUNA_NET_TCP_SEQ_H_
#define LUNA_NET_TCP_SEQ_H_

// SeqNum: a TCP sequence number, compared modulo 2^32 (RFC 9293 §3.4).
//
// a < b holds when b lies within the 2^31 - 1 numbers after a. There is no total order, so std::less must not be used;
// containers that order SeqNums keep all of them within one window (at most 2^30 octets), where the order is total.

#include <cstdint>

namespace luna::tcp {

class SeqNum {
 public:
  constexpr SeqNum() = default;
  explicit constexpr SeqNum(uint32_t raw) : raw_(raw) {}

  constexpr uint32_t raw() const { return raw_; }

  constexpr SeqNum operator+(uint32_t n) const { return SeqNum(raw_ + n); }
  constexpr SeqNum operator-(uint32_t n) const { return SeqNum(raw_ - n); }
  // Signed distance: positive when *this is later.
  constexpr int32_t operator-(SeqNum other) const { return static_cast<int32_t>(raw_ - other.raw_); }
  constexpr SeqNum& operator+=(uint32_t n) {
    raw_ += n;
    return *this;
  }

  friend constexpr bool operator==(SeqNum a, SeqNum b) { return a.raw_ == b.raw_; }
  friend constexpr bool operator<(SeqNum a, SeqNum b) { return a - b < 0; }
  friend constexpr bool operator<=(SeqNum a, SeqNum b) { return a - b <= 0; }
  friend constexpr bool operator>(SeqNum a, SeqNum b) { return a - b > 0; }
  friend constexpr bool operator>=(SeqNum a, SeqNum b) { return a - b >= 0; }

 private:
  uint32_t raw_ = 0;
};

constexpr SeqNum Max(SeqNum a, SeqNum b) { return a < b ? b : a; }
constexpr SeqNum Min(SeqNum a, SeqNum b) { return a < b ? a : b; }

// True when seq lies in [start, start + length).
constexpr bool InWindow(SeqNum seq, SeqNum start, uint32_t length) { return seq.raw() - start.raw() < length; }

}  // namespace luna::tcp

#endif  // LUNA_NET_TCP_SEQ_H_
