#include "luna/net/pmd/packet_util.h"

#include <cstring>
#include <utility>

#include "glog/logging.h"

namespace luna::pmd {

std::optional<Packet> MakePacket(zbuf::Slab& slab, absl::Span<const std::byte> frame, zbuf::Site site) {
  std::byte* obj = slab.Alloc(kTxHeadroomBytes + frame.size(), site);
  if (obj == nullptr) return std::nullopt;
  std::byte* start = obj + kTxHeadroomBytes;
  if (!frame.empty()) std::memcpy(start, frame.data(), frame.size());
  std::optional<Packet> packet(std::in_place);
  packet->data.Append(zbuf::ZRef::Adopt(start), static_cast<uint32_t>(frame.size()));
  return packet;
}

std::optional<Packet> MakePacket(zbuf::Slab& slab, absl::Span<const uint8_t> frame, zbuf::Site site) {
  return MakePacket(slab, {reinterpret_cast<const std::byte*>(frame.data()), frame.size()}, site);
}

std::optional<Packet> CopyPacket(zbuf::Slab& slab, const Packet& packet, zbuf::Site site) {
  std::byte* obj = slab.Alloc(kTxHeadroomBytes + packet.data.bytes(), site);
  if (obj == nullptr) return std::nullopt;
  std::byte* start = obj + kTxHeadroomBytes;
  packet.data.CopyTo({start, packet.data.bytes()});
  std::optional<Packet> copy(std::in_place);
  copy->data.Append(zbuf::ZRef::Adopt(start), packet.bytes());
  copy->rx = packet.rx;
  copy->tx = packet.tx;
  return copy;
}

void AppendBytes(const zbuf::ZChain& chain, std::vector<uint8_t>& out, size_t limit) {
  for (const zbuf::ZSlice& slice : chain) {
    const absl::Span<const uint8_t> bytes = AsBytes(slice).subspan(0, limit);
    out.insert(out.end(), bytes.begin(), bytes.end());
    limit -= bytes.size();
  }
}

std::vector<uint8_t> ToBytes(const zbuf::ZChain& chain) {
  std::vector<uint8_t> out;
  out.reserve(chain.bytes());
  AppendBytes(chain, out);
  return out;
}

void FlipBit(Packet& packet, uint64_t bit) {
  uint64_t byte = bit / 8;
  DCHECK_LT(byte, packet.bytes());
  for (const zbuf::ZSlice& slice : packet.data) {
    if (byte < slice.size()) {
      slice.data()[byte] ^= std::byte{0x80} >> static_cast<int>(bit % 8);
      return;
    }
    byte -= slice.size();
  }
}

}  // namespace luna::pmd
