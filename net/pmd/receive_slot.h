#ifndef LUNA_NET_PMD_RECEIVE_SLOT_H_
#define LUNA_NET_PMD_RECEIVE_SLOT_H_

// ReceiveSlot: objs that one readv or recvmsg scatters a frame into, and that then become a packet's chain, so that the
// kernel's copy to user space is the only one.
//
//   [prefix][ headroom | first obj ][ obj ][ obj ]…
//
// The prefix is whatever a device puts in front of a frame (a virtio-net header); it stays in the slot. The first obj
// keeps kTxHeadroomBytes free, so that an answer can be made in place. What a frame leaves unused waits for the next
// one: a short frame costs one obj, however long a frame the slot could take. A chain of more than ZChain's inline
// slices (a super-packet) costs one allocation on the heap.
//
// Thread: the slab's owner. Movable only while no system call has its pieces.

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "luna/mem/zbuf/zbuf.h"
#include "luna/net/pmd/packet_io.h"

namespace luna::pmd {

class ReceiveSlot {
 public:
  static constexpr size_t kMaxPrefixBytes = 16;

  // Room for frames of `frame_bytes` and one byte more: the kernel cuts longer ones without saying so on a TAP, and a
  // read that fills that byte shows it. prefix_bytes <= kMaxPrefixBytes.
  ReceiveSlot(size_t frame_bytes, size_t prefix_bytes);

  // Allocates what is missing; false (and rx_no_buffer counted) when memory is exhausted: do not read then.
  bool Fill(zbuf::Slab& slab, IoStats& stats);

  // Where to read to. Valid until the next Fill() or Take(). Pre: the last Fill() returned true.
  absl::Span<iovec> pieces() { return absl::MakeSpan(pieces_).subspan(prefix_bytes_ == 0 ? 1 : 0); }
  // The prefix of the last read. Pre: the read was as long.
  const uint8_t* prefix() const { return prefix_.data(); }
  size_t prefix_bytes() const { return prefix_bytes_; }

  // Moves the frame that was read, `frame_bytes` without the prefix, to `out`. Pre: 0 < frame_bytes, and it fits.
  void Take(size_t frame_bytes, zbuf::ZChain& out);

 private:
  size_t prefix_bytes_;
  std::array<uint8_t, kMaxPrefixBytes> prefix_ = {};
  std::vector<zbuf::ZRef> objs_;  // the first `missing_` are null
  size_t missing_;
  std::vector<iovec> pieces_;  // [0] is the prefix, [1 + i] is objs_[i]
};

}  // namespace luna::pmd

#endif  // LUNA_NET_PMD_RECEIVE_SLOT_H_
