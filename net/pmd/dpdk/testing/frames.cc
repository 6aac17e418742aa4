#include "luna/net/pmd/dpdk/testing/frames.h"

#include <algorithm>
#include <cstring>
#include <random>

#include "absl/types/span.h"
#include "luna/sched/clock/time.h"

namespace luna::pmd::dpdk {

Memory::Memory(size_t megabytes) {
  arena = *zbuf::Arena::Create(source, {.size_bytes = megabytes << 20});
  slab = std::make_unique<zbuf::Slab>(*arena);
}

size_t Memory::outstanding() {
  slab->DrainReturns();
  return slab->outstanding();
}

std::string Pattern(uint32_t number, uint32_t bytes) {
  std::string frame(bytes, '\0');
  std::minstd_rand random(number + 1);
  for (char& c : frame) c = static_cast<char>(random());
  memcpy(frame.data(), &number, std::min<size_t>(bytes, sizeof(number)));
  return frame;
}

Packet MakePacket(zbuf::Slab& slab, const std::string& text, size_t slices) {
  Packet packet;
  for (size_t i = 0; i < slices; ++i) {
    const size_t from = text.size() * i / slices;
    const size_t to = text.size() * (i + 1) / slices;
    std::byte* obj = slab.Alloc(to - from + kTxHeadroomBytes);
    if (obj == nullptr) return Packet();
    memcpy(obj + kTxHeadroomBytes, text.data() + from, to - from);
    packet.data.Append(zbuf::ZRef::Adopt(obj + kTxHeadroomBytes), static_cast<uint32_t>(to - from));
  }
  return packet;
}

Frames ReceiveAll(PacketIo& io, size_t at_most) {
  Frames frames;
  while (frames.size() < at_most) {
    std::vector<Packet> packets(std::min<size_t>(at_most - frames.size(), 64));
    const size_t got = io.ReceiveBurst(absl::MakeSpan(packets), Time());
    for (size_t i = 0; i < got; ++i) frames.push_back(packets[i].data.ToString());
    if (got == 0) break;
  }
  return frames;
}

}  // namespace luna::pmd::dpdk
