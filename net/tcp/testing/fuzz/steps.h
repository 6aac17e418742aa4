#ifndef LUNA_NET_TCP_TESTING_FUZZ_STEPS_H_
#define LUNA_NET_TCP_TESTING_FUZZ_STEPS_H_

// Inputs that are lists of steps: a head of fixed size, then steps of fixed size. A step that is cut off at the end of
// an input is filled with zeros, and zeros mean the ordinary: the next segment in order, the default setting. So most
// of what a mutator makes means something, and steps can be moved, copied and crossed without damage.
// Values. Any thread.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "absl/types/span.h"

namespace luna::tcp::testing {

inline constexpr size_t kHeadBytes = 8;
inline constexpr size_t kStepBytes = 16;

using Step = std::array<uint8_t, kStepBytes>;

// Two octets of a step as one number, low one first.
inline uint32_t Word(const Step& step, size_t at) { return step[at] | uint32_t{step[at + 1]} << 8; }
inline int Signed(uint8_t octet) { return static_cast<int8_t>(octet); }

class Steps {
 public:
  Steps(const uint8_t* data, size_t size) : data_(data, size) {}
  std::array<uint8_t, kHeadBytes> Head() const { return At<kHeadBytes>(0); }
  size_t size() const {
    return data_.size() <= kHeadBytes ? 0 : (data_.size() - kHeadBytes + kStepBytes - 1) / kStepBytes;
  }
  Step operator[](size_t i) const { return At<kStepBytes>(kHeadBytes + i * kStepBytes); }

 private:
  template <size_t kSize>
  std::array<uint8_t, kSize> At(size_t offset) const {
    std::array<uint8_t, kSize> octets{};
    if (offset < data_.size()) std::memcpy(octets.data(), &data_[offset], std::min(kSize, data_.size() - offset));
    return octets;
  }

  absl::Span<const uint8_t> data_;
};

}  // namespace luna::tcp::testing

#endif  // LUNA_NET_TCP_TESTING_FUZZ_STEPS_H_
