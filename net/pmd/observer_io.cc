#include "luna/net/pmd/observer_io.h"

#include <algorithm>

#include "luna/net/pmd/packet_util.h"

namespace luna::pmd {

size_t ObserverPacketIo::ReceiveBurst(absl::Span<Packet> out, Time now) {
  last_now_ = now;
  const size_t n = inner().ReceiveBurst(out, now);
  for (size_t i = 0; i < n && Observing(); ++i) {
    const zbuf::ZChain& data = out[i].data;
    if (data.empty()) continue;
    const size_t shown = std::min(snap_bytes_, data.bytes());
    if (data.front().size() >= shown) {
      Observe(FrameDirection::kReceived, AsBytes(data.front()).first(shown), out[i].bytes(), now);
    } else {
      bytes_.clear();
      AppendBytes(data, bytes_, snap_bytes_);
      Observe(FrameDirection::kReceived, bytes_, out[i].bytes(), now);
    }
  }
  return n;
}

size_t ObserverPacketIo::TransmitBurst(absl::Span<Packet> packets) {
  if (!Observing()) return inner().TransmitBurst(packets);
  // Which frames are taken is known only afterwards, when the slots are empty. Sharing the slices instead of copying
  // would show the device objs with a second holder.
  bytes_.clear();
  seen_.clear();
  for (const Packet& packet : packets) {
    AppendBytes(packet.data, bytes_, snap_bytes_);
    seen_.push_back({bytes_.size(), packet.bytes()});
  }
  const size_t n = inner().TransmitBurst(packets);
  size_t begin = 0;
  for (size_t i = 0; i < n && Observing(); ++i) {
    const absl::Span<const uint8_t> front = absl::MakeConstSpan(bytes_).subspan(begin, seen_[i].end - begin);
    Observe(FrameDirection::kSent, front, seen_[i].frame_bytes, last_now_);
    begin = seen_[i].end;
  }
  return n;
}

}  // namespace luna::pmd
