#include "luna/net/pmd/receive_slot.h"

#include <algorithm>
#include <utility>

#include "glog/logging.h"
#include "luna/net/pmd/packet.h"

namespace luna::pmd {
namespace {

constexpr size_t kFirstObjBytes = zbuf::kReceiveObjBytes - kTxHeadroomBytes;

// Objs for a frame of `bytes`.
constexpr size_t ObjsFor(size_t bytes) {
  return (kTxHeadroomBytes + bytes + zbuf::kReceiveObjBytes - 1) / zbuf::kReceiveObjBytes;
}

}  // namespace

ReceiveSlot::ReceiveSlot(size_t frame_bytes, size_t prefix_bytes)
    : prefix_bytes_(prefix_bytes), objs_(ObjsFor(frame_bytes + 1)), missing_(objs_.size()), pieces_(objs_.size() + 1) {
  CHECK_LE(prefix_bytes, kMaxPrefixBytes);
}

bool ReceiveSlot::Fill(zbuf::Slab& slab, IoStats& stats) {
  if (missing_ == 0) [[likely]]
    return true;
  pieces_[0] = {prefix_.data(), prefix_bytes_};
  for (; missing_ > 0; --missing_) {
    std::byte* obj = slab.Alloc(zbuf::kReceiveObjBytes);
    if (obj == nullptr) {
      ++stats.rx_no_buffer;
      return false;
    }
    const size_t i = missing_ - 1;
    const size_t headroom = i == 0 ? kTxHeadroomBytes : 0;
    objs_[i] = zbuf::ZRef::Adopt(obj + headroom);
    pieces_[i + 1] = {obj + headroom, zbuf::kReceiveObjBytes - headroom};
  }
  return true;
}

void ReceiveSlot::Take(size_t frame_bytes, zbuf::ZChain& out) {
  const size_t objs = ObjsFor(frame_bytes);
  DCHECK(missing_ == 0 && objs <= objs_.size());
  size_t room = kFirstObjBytes;
  for (size_t i = 0; i < objs; ++i) {
    const size_t piece = std::min(room, frame_bytes);
    out.Append(std::move(objs_[i]), static_cast<uint32_t>(piece));
    frame_bytes -= piece;
    room = zbuf::kReceiveObjBytes;
  }
  missing_ = objs;
}

}  // namespace luna::pmd
