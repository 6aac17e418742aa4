#ifndef LUNA_NET_IP_PENDING_FRAMES_H_
#define LUNA_NET_IP_PENDING_FRAMES_H_

// PendingFrames: complete frames that lack only their destination MAC, waiting for one neighbour. Internal to net/ip.
//
// Bounded; when full the oldest gives way (RFC 1122 §2.3.2.2 asks to keep at least the latest). Slow path: allocates.

#include <cstddef>
#include <deque>
#include <utility>
#include <vector>

#include "luna/net/ip/chain_bytes.h"
#include "luna/net/pmd/packet.h"
#include "luna/net/wire/address.h"

namespace luna::ip {

class PendingFrames {
 public:
  size_t size() const { return frames_.size(); }

  // Adds a frame and returns how many older ones were let go for it: 0 or 1. `limit` > 0.
  size_t Push(pmd::Packet&& frame, size_t limit) {
    size_t dropped = 0;
    for (; frames_.size() >= limit; ++dropped) frames_.pop_front();
    frames_.push_back(std::move(frame));
    return dropped;
  }

  // Addresses all frames to `mac` and appends them to `out` in the order they came; returns how many.
  size_t Release(const wire::MacAddress& mac, std::vector<pmd::Packet>& out) {
    const size_t n = frames_.size();
    for (pmd::Packet& frame : frames_) {
      mac.CopyTo(FrontBytes(frame.data));
      out.push_back(std::move(frame));
    }
    frames_.clear();
    return n;
  }

 private:
  std::deque<pmd::Packet> frames_;
};

}  // namespace luna::ip

#endif  // LUNA_NET_IP_PENDING_FRAMES_H_
