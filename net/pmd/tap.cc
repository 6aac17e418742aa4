// The data path. Opening is in tap_open.cc.
#include "luna/net/pmd/tap.h"

#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "glog/logging.h"
#include "luna/net/pmd/packet_util.h"

namespace luna::pmd {
namespace {

// An ioctl is a microsecond at most; a loop that spins makes millions of iterations per second.
constexpr uint32_t kReclaimsBetweenLooks = 1024;

// The first obj of a frame keeps headroom, so that an answer can be made in place.
constexpr size_t kFirstObjBytes = zbuf::kReceiveObjBytes - kTxHeadroomBytes;

// Objs for a frame of `bytes`.
constexpr size_t ObjsFor(size_t bytes) {
  return (kTxHeadroomBytes + bytes + zbuf::kReceiveObjBytes - 1) / zbuf::kReceiveObjBytes;
}
constexpr size_t kMaxObjs = ObjsFor(MaxFrameBytes(TapPacketIo::kMaxMtu) + 1);

}  // namespace

TapPacketIo::TapPacketIo(int fd, int control_fd, std::string name, Capabilities capabilities, zbuf::Slab& slab)
    : fd_(fd),
      control_fd_(control_fd),
      name_(std::move(name)),
      slab_(slab),
      capabilities_(std::move(capabilities)),
      reclaims_until_look_(kReclaimsBetweenLooks),
      frame_limit_(MaxFrameBytes(capabilities_.mtu)),
      objs_per_read_(ObjsFor(frame_limit_ + 1)) {
  spares_.reserve(objs_per_read_);
}

TapPacketIo::~TapPacketIo() {
  close(control_fd_);
  close(fd_);
}

bool TapPacketIo::FillSpares() {
  while (spares_.size() < objs_per_read_) {
    std::byte* obj = slab_.Alloc(zbuf::kReceiveObjBytes);
    if (obj == nullptr) {
      ++stats_.rx_no_buffer;
      return false;
    }
    spares_.push_back(zbuf::ZRef::Adopt(obj));
  }
  return true;
}

size_t TapPacketIo::ReceiveBurst(absl::Span<Packet> out, Time now) {
  size_t n = 0;
  // Counts reads, not frames, so that dropped frames cannot make it long.
  for (size_t reads = 0; reads < out.size(); ++reads) {
    // Without memory frames wait in the kernel.
    if (!FillSpares()) break;
    const ssize_t bytes = ReadFrame();
    if (bytes <= 0) break;
    if (!TakeFrame(static_cast<size_t>(bytes), out[n].data)) {
      ++stats_.rx_dropped;
      continue;
    }
    out[n].rx = {.arrival = now};
    out[n].tx = {};
    ++stats_.rx_packets;
    stats_.rx_bytes += static_cast<uint64_t>(bytes);
    ++n;
  }
  return n;
}

ssize_t TapPacketIo::ReadFrame() {
  std::array<iovec, kMaxObjs> pieces;
  pieces[0] = {spares_[0].get() + kTxHeadroomBytes, kFirstObjBytes};
  for (size_t i = 1; i < objs_per_read_; ++i) pieces[i] = {spares_[i].get(), zbuf::kReceiveObjBytes};
  const ssize_t bytes = readv(fd_, pieces.data(), static_cast<int>(objs_per_read_));
  if (bytes < 0 && errno != EAGAIN && errno != EINTR) link_up_ = false;
  return bytes;
}

bool TapPacketIo::TakeFrame(size_t frame_bytes, zbuf::ZChain& out) {
  // The kernel cuts what does not fit without saying so: a read longer than any frame of this link is such a one.
  if (frame_bytes > frame_limit_ || frame_bytes < kMinLinkHeaderBytes) return false;
  const size_t objs = ObjsFor(frame_bytes);
  spares_[0].Advance(kTxHeadroomBytes);
  size_t room = kFirstObjBytes;
  for (size_t i = 0; i < objs; ++i) {
    const size_t piece = std::min(room, frame_bytes);
    out.Append(std::move(spares_[i]), static_cast<uint32_t>(piece));
    frame_bytes -= piece;
    room = zbuf::kReceiveObjBytes;
  }
  spares_.erase(spares_.begin(), spares_.begin() + static_cast<std::ptrdiff_t>(objs));
  return true;
}

size_t TapPacketIo::TransmitBurst(absl::Span<Packet> packets) {
  size_t n = 0;
  for (; n < packets.size(); ++n) {
    const uint32_t bytes = packets[n].bytes();
    const SendResult result = SendFrame(packets[n]);
    if (result == SendResult::kFull) {
      stats_.tx_full += packets.size() - n;
      break;
    }
    packets[n] = Packet();
    if (result == SendResult::kDropped) {
      ++stats_.tx_dropped;
      continue;
    }
    ++stats_.tx_packets;
    stats_.tx_bytes += bytes;
  }
  return n;
}

TapPacketIo::SendResult TapPacketIo::SendFrame(Packet& packet) {
  if (packet.bytes() > frame_limit_ || packet.bytes() < kMinLinkHeaderBytes) return SendResult::kDropped;
  if (!FitToSegments(packet, kMaxTxSegments, slab_, stats_)) return SendResult::kDropped;
  std::array<iovec, kMaxTxSegments> pieces;
  int count = 0;
  for (const zbuf::ZSlice& slice : packet.data) pieces[static_cast<size_t>(count++)] = {slice.data(), slice.size()};
  if (writev(fd_, pieces.data(), count) >= 0) return SendResult::kSent;
  switch (errno) {
    case EAGAIN:
    case EINTR:
    case ENOBUFS:
    case ENOMEM:
      return SendResult::kFull;
    case EIO:     // the interface is down
    case EBADFD:  // the interface is gone
      link_up_ = false;
      return SendResult::kDropped;
    default:
      return SendResult::kDropped;
  }
}

size_t TapPacketIo::Reclaim() {
  if (link_up_ && --reclaims_until_look_ != 0) return 0;
  reclaims_until_look_ = kReclaimsBetweenLooks;
  LookAtLink();
  return 0;
}

void TapPacketIo::LookAtLink() {
  ifreq request = {};
  std::memcpy(request.ifr_name, name_.data(), std::min(name_.size(), sizeof(request.ifr_name) - 1));
  link_up_ = ioctl(control_fd_, SIOCGIFFLAGS, &request) == 0 && (request.ifr_flags & IFF_UP) != 0;
}

}  // namespace luna::pmd
