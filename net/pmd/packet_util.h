#ifndef LUNA_NET_PMD_PACKET_UTIL_H_
#define LUNA_NET_PMD_PACKET_UTIL_H_

// What every maker and every device of packets needs: frames from bytes, header objs with headroom, bytes of a packet,
// and the one place that linearises chains.
//
// All memory comes from the slab that is passed in, so all of this runs on the slab's owner thread. "Exhausted" is a
// normal result: an empty optional or an empty slice, never an abort.

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "absl/types/span.h"
#include "luna/mem/zbuf/zbuf.h"
#include "luna/net/pmd/packet.h"
#include "luna/net/pmd/packet_io.h"

namespace luna::pmd {

// An Ethernet header with one 802.1Q tag: what a frame may be longer than the MTU, and the least a frame can be.
inline constexpr uint32_t kMaxLinkHeaderBytes = 18;
inline constexpr uint32_t kMinLinkHeaderBytes = 14;

// The longest frame (without FCS) on a link of this MTU.
constexpr uint32_t MaxFrameBytes(uint32_t mtu) { return mtu + kMaxLinkHeaderBytes; }

// The bytes of a slice in the spelling of net/wire. Valid while the slice holds its reference.
inline absl::Span<const uint8_t> AsBytes(const zbuf::ZSlice& slice) {
  return {reinterpret_cast<const uint8_t*>(slice.data()), slice.size()};
}

// A packet with a copy of `frame` in one obj of `slab`, with kTxHeadroomBytes free in front. Empty when memory is
// exhausted or the frame exceeds the largest obj. O(bytes).
std::optional<Packet> MakePacket(zbuf::Slab& slab, absl::Span<const std::byte> frame,
                                 zbuf::Site site = zbuf::Site::Current());
std::optional<Packet> MakePacket(zbuf::Slab& slab, absl::Span<const uint8_t> frame,
                                 zbuf::Site site = zbuf::Site::Current());

// A packet with the same bytes and the same rx and tx facts that shares no obj with `packet`. Otherwise as MakePacket.
std::optional<Packet> CopyPacket(zbuf::Slab& slab, const Packet& packet, zbuf::Site site = zbuf::Site::Current());

// The start of a packet to be sent: a slice of `header_bytes` (contents unspecified) in an obj of its own, with
// kTxHeadroomBytes free in front for the layers below. An empty slice (null ref) when memory is exhausted. Data path.
inline zbuf::ZSlice MakeHeaderObj(zbuf::Slab& slab, uint32_t header_bytes, zbuf::Site site = zbuf::Site::Current()) {
  std::byte* obj = slab.Alloc(kTxHeadroomBytes + size_t{header_bytes}, site);
  if (obj == nullptr) [[unlikely]]
    return {};
  return {zbuf::ZRef::Adopt(obj + kTxHeadroomBytes), header_bytes};
}

// Makes `packet` fit a device that gathers `max_segments` slices: does nothing when it does, else linearises into one
// obj of `slab` and counts tx_linearised and bytes_copied_tx. False when there is no memory (the packet is unchanged;
// the device counts its own tx_dropped). Data path.
[[nodiscard]] inline bool FitToSegments(Packet& packet, uint32_t max_segments, zbuf::Slab& slab, IoStats& stats) {
  if (packet.data.slice_count() <= max_segments) [[likely]]
    return true;
  if (!packet.data.Linearise(slab)) return false;
  ++stats.tx_linearised;
  stats.bytes_copied_tx += packet.bytes();
  return true;
}

// All bytes of a packet, for tests, traces and captures. Allocates.
std::vector<uint8_t> ToBytes(const zbuf::ZChain& chain);
inline std::vector<uint8_t> ToBytes(const Packet& packet) { return ToBytes(packet.data); }

// Appends them to `out` instead; the first `limit` bytes at most.
void AppendBytes(const zbuf::ZChain& chain, std::vector<uint8_t>& out,
                 size_t limit = std::numeric_limits<size_t>::max());

// Inverts bit `bit` (0 = the most significant one of the first byte) in place; bit < 8 * bytes(). The caller must be
// the only holder of the obj it lies in. O(slices).
void FlipBit(Packet& packet, uint64_t bit);

}  // namespace luna::pmd

#endif  // LUNA_NET_PMD_PACKET_UTIL_H_
