#include "luna/net/pmd/vnet_header.h"

#include <cstring>

#include "luna/net/pmd/packet_util.h"

namespace luna::pmd {

bool TakeFrame(size_t read_bytes, size_t frame_limit, Time now, ReceiveSlot& slot, Packet& out) {
  if (read_bytes < slot.prefix_bytes() + kMinLinkHeaderBytes) return false;
  const size_t frame_bytes = read_bytes - slot.prefix_bytes();
  VnetHeader header = {};
  if (slot.prefix_bytes() != 0) std::memcpy(&header, slot.prefix(), sizeof(header));
  if (frame_bytes > LongestFrame(frame_limit, IsSuperPacket(header))) return false;
  slot.Take(frame_bytes, out.data);
  out.rx = {.arrival = now, .l4_checksum = ChecksumFrom(header)};
  out.tx = {};
  return true;
}

}  // namespace luna::pmd
