#include "luna/net/ip/testing/packets.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/string_view.h"
#include "glog/logging.h"

namespace luna::ip::testing {
namespace {

absl::string_view AsText(absl::Span<const uint8_t> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

pmd::Packet MakePacket(zbuf::TestSlab& memory, absl::Span<const uint8_t> bytes, size_t slice_bytes) {
  pmd::Packet packet;
  if (bytes.empty()) return packet;
  packet.data = slice_bytes == 0 ? memory.Chain(AsText(bytes)) : memory.ChainOfSlices(AsText(bytes), slice_bytes);
  return packet;
}

std::vector<uint8_t> BytesOfPacket(const pmd::Packet& packet) {
  std::vector<uint8_t> bytes(packet.data.bytes());
  packet.data.CopyTo(absl::Span<std::byte>(reinterpret_cast<std::byte*>(bytes.data()), bytes.size()));
  return bytes;
}

OutDatagram MakeOutDatagram(zbuf::TestSlab& memory, wire::IpAddress source, wire::IpAddress destination,
                            absl::Span<const uint8_t> segment, size_t header_bytes, size_t slice_bytes) {
  OutDatagram datagram;
  datagram.source = source;
  datagram.destination = destination;
  header_bytes = std::min(header_bytes, segment.size());
  std::byte* obj = memory.slab().Alloc(pmd::kTxHeadroomBytes + header_bytes);
  CHECK(obj != nullptr) << "out of test memory";
  std::memcpy(obj + pmd::kTxHeadroomBytes, segment.data(), header_bytes);
  zbuf::ZRef ref = zbuf::ZRef::Adopt(obj);
  ref.Advance(pmd::kTxHeadroomBytes);
  datagram.packet.data.Append(std::move(ref), static_cast<uint32_t>(header_bytes));
  datagram.packet.data.Append(MakePacket(memory, segment.subspan(header_bytes), slice_bytes).data);
  return datagram;
}

}  // namespace luna::ip::testing
