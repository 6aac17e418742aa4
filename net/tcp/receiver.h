#ifndef LUNA_NET_TCP_RECEIVER_H_
#define LUNA_NET_TCP_RECEIVER_H_

// Receiver: the receive half of a connection. Sequence variables as in RFC 9293 §3.3.1.
//
// Invariants: RCV.NXT and the right edge never move left; readable + out-of-order octets never exceed the buffer limit
// and an eighth, because nothing beyond the advertised edge is accepted.
//
// The eighth: with window scaling the edge that was promised is seldom a whole number of units away from RCV.NXT. Each
// ACK then has to round up, which moves the edge by less than a unit, or down, which takes a promise back. It rounds
// up, until a peer whose segments are smaller than that loss has got an eighth of the buffer out of it; from then on
// down, while what was promised stays acceptable, as RFC 7323 §2.4 has it.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "luna/mem/zbuf/slab.h"
#include "luna/mem/zbuf/zchain.h"
#include "luna/net/tcp/config.h"
#include "luna/net/tcp/reassembly.h"
#include "luna/net/tcp/seq.h"

namespace luna::tcp {

class Receiver {
 public:
  // The peer's SYN was seen: RCV.NXT = IRS + 1. The edge is what our SYN has promised; without one, what it will.
  void Start(SeqNum irs, uint32_t buffer_bytes, uint8_t shift) {
    irs_ = irs;
    nxt_ = irs + 1;
    edge_ = nxt_ + AdvertiseInSyn(syn_window_ > 0 ? 0 : buffer_bytes);
    shift_ = shift;
    SetBuffer(buffer_bytes);
  }

  // How much may wait here, in order and not. A smaller number takes no promise back: the edge stays, and the window
  // closes as data comes. As much as the window scale can express.
  void SetBuffer(uint32_t bytes) { buffer_bytes_ = std::min(bytes, uint32_t{0xffff} << shift_); }
  uint32_t buffer_bytes() const { return buffer_bytes_; }
  // The largest window that will be offered.
  uint32_t largest_window() const { return Limit(); }
  // No window larger than this is offered. Zero: no clamp.
  void SetClamp(uint32_t bytes) { clamp_bytes_ = bytes == 0 ? kMaxWindowBytes : bytes; }
  // The window field of a SYN: unscaled, and never less than an earlier SYN's.
  uint16_t AdvertiseInSyn(uint32_t buffer_bytes) {
    syn_window_ =
        std::max(syn_window_, static_cast<uint16_t>(std::min({buffer_bytes, clamp_bytes_, uint32_t{0xffff}})));
    edge_ = Max(edge_, nxt_ + syn_window_);
    return syn_window_;
  }

  SeqNum irs() const { return irs_; }
  SeqNum nxt() const { return nxt_; }
  // One past the last octet that the peer may send.
  SeqNum edge() const { return edge_; }
  uint32_t window() const { return static_cast<uint32_t>(edge_ - nxt_); }
  uint8_t shift() const { return shift_; }
  void set_shift(uint8_t shift) { shift_ = shift; }

  // RFC 9293 §3.10.7.4 first step, the four cases of table 6.
  bool IsAcceptable(SeqNum seq, uint32_t length) const {
    const uint32_t wnd = window();
    if (length == 0) return wnd == 0 ? seq == nxt_ : InWindow(seq, nxt_, wnd);
    if (wnd == 0) return false;
    return InWindow(seq, nxt_, wnd) || InWindow(seq + (length - 1), nxt_, wnd);
  }

  // In-order data at RCV.NXT; takes what the reassembly queue adds to it. Returns the octets by which RCV.NXT moved.
  uint32_t AcceptInOrder(zbuf::ZChain data) {
    uint32_t moved = static_cast<uint32_t>(data.bytes());
    nxt_ += moved;
    readable_.Append(std::move(data));
    if (out_of_order_ != nullptr) [[unlikely]]
      moved += TakeFollowing();
    return moved;
  }

  bool AcceptOutOfOrder(SeqNum seq, zbuf::ZChain data) {
    if (out_of_order_ == nullptr) out_of_order_ = std::make_unique<Reassembly>();
    const bool all = out_of_order_->Insert(seq, std::move(data));
    if (out_of_order_->empty()) out_of_order_.reset();
    return all;
  }

  // Nothing will be accepted at or after `end`: there the peer's data ends.
  void TruncateAt(SeqNum end) {
    if (out_of_order_ == nullptr) return;
    out_of_order_->TruncateAt(end);
    if (out_of_order_->empty()) out_of_order_.reset();
  }

  // Memory is short: what waits behind a hole will come again.
  void DropOutOfOrder() { out_of_order_.reset(); }

  // The FIN at RCV.NXT was reached.
  void AcceptFin() {
    nxt_ += 1;
    edge_ = Max(edge_, nxt_);
  }

  // Hands data to the application, at most `limit` octets.
  zbuf::ZChain Take(size_t limit) {
    if (limit >= readable_.bytes()) return std::exchange(readable_, zbuf::ZChain());
    return readable_.SplitFront(limit);
  }

  // The window field to send. Moves the edge when the buffer has room for it to move by a worthwhile step (RFC 9293
  // §3.8.6.2.2, receiver's silly-window avoidance), never to the left.
  // `room`: memory is short, and so much more will be taken.
  uint16_t Advertise(uint32_t mss, uint32_t room = UINT32_MAX) {
    const uint32_t free = std::min(FreeBytes(), room);
    const SeqNum target = nxt_ + free;
    if (target > edge_ && WorthAdvertising(target, mss)) {
      const uint32_t scaled = std::min<uint32_t>(free >> shift_, 0xffff);
      edge_ = Max(edge_, nxt_ + (scaled << shift_));
    }
    const uint32_t up = std::min<uint32_t>((window() + (1u << shift_) - 1) >> shift_, 0xffff);
    const SeqNum rounded = nxt_ + (up << shift_);
    if (rounded > edge_ && rounded > nxt_ + FreeBytes() + buffer_bytes_ / 8)
      return static_cast<uint16_t>(window() >> shift_);
    edge_ = Max(edge_, rounded);
    return static_cast<uint16_t>(up);
  }

  // True when the application has read enough that the peer should hear of it.
  bool NeedsWindowUpdate(uint32_t mss, uint32_t room = UINT32_MAX) const {
    const SeqNum target = nxt_ + std::min(FreeBytes(), room);
    if (target <= edge_) return false;
    const auto step = static_cast<uint32_t>(target - edge_);
    return step >= std::min(Limit() / 2, std::max(2 * mss, Limit() / 4)) ||
           (window() < mss && WorthAdvertising(target, mss));
  }

  // Copies what waits to be read into few objs of `slab`, but for slices that are large already: each slice pins an
  // obj, and small ones pin much for little. False when memory is out: then the rest stays as it is. Each octet is
  // copied once, but for the last few KB.
  bool CopyTogether(zbuf::Slab& slab) {
    constexpr size_t kPieceBytes = 16 * 1024;
    zbuf::ZChain together;
    while (!readable_.empty()) {
      size_t bytes = 0;
      for (const zbuf::ZSlice& slice : readable_) {
        if (slice.length >= kPieceBytes / 2 || bytes + slice.length > kPieceBytes) break;
        bytes += slice.length;
      }
      if (bytes <= readable_.front().length) {
        together.Append(readable_.PopFront());
        continue;
      }
      std::byte* obj = slab.Alloc(bytes);
      if (obj == nullptr) break;
      readable_.CopyTo({obj, bytes});
      readable_.TrimFront(bytes);
      together.Append(zbuf::ZRef::Adopt(obj), static_cast<uint32_t>(bytes));
    }
    const bool complete = readable_.empty();
    together.Append(std::move(readable_));
    readable_ = std::move(together);
    return complete;
  }

  // In order, not yet taken by the application.
  const zbuf::ZChain& readable() const { return readable_; }
  uint32_t readable_bytes() const { return static_cast<uint32_t>(readable_.bytes()); }
  size_t readable_slices() const { return readable_.slice_count(); }
  bool has_out_of_order() const { return out_of_order_ != nullptr; }
  const Reassembly& out_of_order() const {
    static const auto& kNothing = *new Reassembly;
    return out_of_order_ != nullptr ? *out_of_order_ : kNothing;
  }
  // In order and not.
  uint32_t held_bytes() const { return readable_bytes() + (out_of_order_ != nullptr ? out_of_order_->bytes() : 0); }

  // Drops the last `bytes` that came in order: nobody will read them.
  void DropNewest(uint32_t bytes) { readable_.TrimBack(bytes); }

  // Releases everything that is held.
  void Clear() {
    readable_.Clear();
    out_of_order_.reset();
  }

 private:
  // What waited for the octets that have come now.
  uint32_t TakeFollowing() {
    zbuf::ZChain more = out_of_order_->TakeFrom(nxt_);
    if (out_of_order_->empty()) out_of_order_.reset();
    const auto bytes = static_cast<uint32_t>(more.bytes());
    nxt_ += bytes;
    readable_.Append(std::move(more));
    return bytes;
  }
  uint32_t Limit() const { return std::min(buffer_bytes_, clamp_bytes_); }
  uint32_t FreeBytes() const {
    const uint32_t used = readable_bytes();
    return std::min(used < buffer_bytes_ ? buffer_bytes_ - used : 0, clamp_bytes_);
  }
  bool WorthAdvertising(SeqNum target, uint32_t mss) const {
    return static_cast<uint32_t>(target - edge_) >= std::min(mss, Limit() / 2);
  }

  SeqNum nxt_;
  SeqNum edge_;
  uint32_t buffer_bytes_ = 0;
  uint32_t clamp_bytes_ = kMaxWindowBytes;
  SeqNum irs_;
  uint16_t syn_window_ = 0;  // the most that a SYN of ours has promised
  uint8_t shift_ = 0;
  std::unique_ptr<Reassembly> out_of_order_;  // null when nothing waits there
  zbuf::ZChain readable_;                     // in order, not yet taken by the application
};

}  // namespace luna::tcp

#endif  // LUNA_NET_TCP_RECEIVER_H_
