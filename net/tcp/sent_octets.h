#ifndef LUNA_NET_TCP_SENT_OCTETS_H_
#define LUNA_NET_TCP_SENT_OCTETS_H_

// SentOctets: what debug builds know of a SendQueue's payload, so that a retransmission is of the octets that were sent
// or is not sent at all. An application that writes into an obj after Send(), or frees one more often than
// it has references, ends with a message as soon as the octets are to be sent again.
//
// A sum per slice, in step with the queue's slices. Slices above kMostBytes are not looked at: each segment of theirs
// would cost a sum over all of it.

#include <cstddef>
#include <cstdint>
#include <deque>

#include "absl/types/span.h"
#include "glog/logging.h"
#include "luna/mem/zbuf/zchain.h"
#include "luna/net/wire/checksum.h"

namespace luna::tcp {

class SentOctets {
 public:
  static constexpr uint32_t kMostBytes = 16 << 10;

  // Slices were appended: those from sums_.size() on.
  void OnAppended(absl::Span<const zbuf::ZSlice> slices) {
    while (sums_.size() < slices.size()) sums_.push_back(SumOf(slices[sums_.size()]));
  }

  // slices[index] is to be sent.
  void Check(absl::Span<const zbuf::ZSlice> slices, size_t index) const {
    CHECK_EQ(SumOf(slices[index]), sums_[index])
        << "a slice of " << slices[index].length << " octets was changed after it had been given to Send(): whoever "
        << "writes into an obj writes for all its holders (mem/zbuf)";
  }

  // `gone` slices left the front, and what is left begins with slices[0], which may have been cut.
  void OnReleased(absl::Span<const zbuf::ZSlice> slices, size_t gone) {
    sums_.erase(sums_.begin(), sums_.begin() + static_cast<std::ptrdiff_t>(gone));
    if (!slices.empty()) sums_.front() = SumOf(slices.front());
  }

  void Clear() { sums_.clear(); }

 private:
  static uint16_t SumOf(const zbuf::ZSlice& slice) {
    if (slice.length > kMostBytes) return 0;
    return wire::ChecksumSum({reinterpret_cast<const uint8_t*>(slice.data()), slice.size()});
  }

  std::deque<uint16_t> sums_;
};

// In optimised builds.
class NoSentOctets {
 public:
  void OnAppended(absl::Span<const zbuf::ZSlice>) {}
  void Check(absl::Span<const zbuf::ZSlice>, size_t) const {}
  void OnReleased(absl::Span<const zbuf::ZSlice>, size_t) {}
  void Clear() {}
};

}  // namespace luna::tcp

#endif  // LUNA_NET_TCP_SENT_OCTETS_H_
