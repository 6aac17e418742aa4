// The data path. Opening is in tap_open.cc.
#include "luna/net/pmd/tap.h"

#include <linux/if_tun.h>
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
#include "luna/net/pmd/vnet_header.h"

namespace luna::pmd {
namespace {

// An ioctl is a microsecond at most; a loop that spins makes millions of iterations per second.
constexpr uint32_t kReclaimsBetweenLooks = 1024;

}  // namespace

TapPacketIo::TapPacketIo(int fd, int control_fd, std::string name, Capabilities capabilities, const TapOptions& options,
                         zbuf::Slab& slab)
    : fd_(fd),
      control_fd_(control_fd),
      name_(std::move(name)),
      slab_(slab),
      capabilities_(std::move(capabilities)),
      shared_(options.multi_queue),
      reclaims_until_look_(kReclaimsBetweenLooks),
      frame_limit_(MaxFrameBytes(capabilities_.mtu)),
      prefix_bytes_(options.offloads ? kVnetHeaderBytes : 0),
      slot_(LongestFrame(frame_limit_, options.offloads), prefix_bytes_) {}

TapPacketIo::~TapPacketIo() {
  // A persistent interface would keep them for a next user who knows nothing of super-packets.
  if (prefix_bytes_ != 0 && !shared_) (void)ioctl(fd_, TUNSETOFFLOAD, 0ul);
  close(control_fd_);
  close(fd_);
}

size_t TapPacketIo::ReceiveBurst(absl::Span<Packet> out, Time now) {
  size_t n = 0;
  // Counts reads, not frames, so that dropped frames cannot make it long.
  for (size_t reads = 0; reads < out.size(); ++reads) {
    // Without memory frames wait in the kernel.
    if (!slot_.Fill(slab_, stats_)) break;
    const ssize_t bytes = ReadFrame();
    if (bytes <= 0) break;
    if (!TakeFrame(static_cast<size_t>(bytes), frame_limit_, now, slot_, out[n])) {
      ++stats_.rx_dropped;
      continue;
    }
    ++stats_.rx_packets;
    stats_.rx_bytes += out[n].bytes();
    ++n;
  }
  return n;
}

ssize_t TapPacketIo::ReadFrame() {
  const absl::Span<iovec> pieces = slot_.pieces();
  const ssize_t bytes = readv(fd_, pieces.data(), static_cast<int>(pieces.size()));
  if (bytes < 0 && errno != EAGAIN && errno != EINTR) link_up_ = false;
  return bytes;
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
  DCHECK(!packet.tx.ip_checksum && (prefix_bytes_ != 0 || packet.tx.tso_segment_bytes == 0)) << "not offered";
  if (packet.bytes() > LongestFrame(frame_limit_, packet.tx.tso_segment_bytes > 0) ||
      packet.bytes() < kMinLinkHeaderBytes)
    return SendResult::kDropped;
  if (!FitToSegments(packet, kMaxTxSegments, slab_, stats_)) return SendResult::kDropped;
  VnetHeader header = VnetHeaderFor(packet.tx);
  std::array<iovec, kMaxTxSegments + 1> pieces;
  int count = 0;
  if (prefix_bytes_ != 0) pieces[static_cast<size_t>(count++)] = {&header, sizeof(header)};
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
