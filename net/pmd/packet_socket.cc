// The data path. Opening is in packet_socket_open.cc.
#include "luna/net/pmd/packet_socket.h"

#include <linux/ethtool.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "glog/logging.h"
#include "luna/net/pmd/packet_util.h"
#include "luna/net/pmd/vnet_header.h"

namespace luna::pmd {
namespace {

// A look is two system calls; a loop that spins makes hundreds of thousands of iterations per second.
constexpr uint32_t kReclaimsBetweenLooks = 4096;
// The question takes the kernel's one lock of all interfaces.
constexpr uint32_t kRefusalsBetweenLooks = 64;

}  // namespace

PacketSocketIo::PacketSocketIo(int fd, Capabilities capabilities, zbuf::Slab& slab)
    : fd_(fd),
      slab_(slab),
      capabilities_(std::move(capabilities)),
      prefix_bytes_(capabilities_.trust_rx_checksum ? kVnetHeaderBytes : 0),
      frame_limit_(MaxFrameBytes(capabilities_.mtu)),
      reclaims_until_look_(kReclaimsBetweenLooks),
      messages_() {
  slots_.reserve(kFramesPerCall);
  for (size_t i = 0; i < kFramesPerCall; ++i) {
    slots_.emplace_back(LongestFrame(frame_limit_, prefix_bytes_ != 0), prefix_bytes_);
  }
}

PacketSocketIo::~PacketSocketIo() { close(fd_); }

size_t PacketSocketIo::FillSlots(size_t wanted) {
  size_t n = 0;
  while (n < wanted && slots_[n].Fill(slab_, stats_)) {
    const absl::Span<iovec> pieces = slots_[n].pieces();
    messages_[n].msg_hdr.msg_iov = pieces.data();
    messages_[n].msg_hdr.msg_iovlen = pieces.size();
    ++n;
  }
  return n;
}

size_t PacketSocketIo::ReceiveBurst(absl::Span<Packet> out, Time now) {
  // Without memory frames wait in the kernel.
  const size_t room = FillSlots(std::min(out.size(), kFramesPerCall));
  if (room == 0) return 0;
  const int got = recvmmsg(fd_, messages_.data(), static_cast<unsigned>(room), MSG_DONTWAIT, nullptr);
  if (got <= 0) {
    if (got < 0 && errno != EAGAIN && errno != EINTR) link_up_ = false;
    return 0;
  }
  size_t n = 0;
  for (size_t i = 0; i < static_cast<size_t>(got); ++i) {
    const bool cut = (messages_[i].msg_hdr.msg_flags & MSG_TRUNC) != 0;
    if (cut || !TakeFrame(messages_[i].msg_len, frame_limit_, now, slots_[i], out[n])) {
      ++stats_.rx_dropped;
      continue;
    }
    ++stats_.rx_packets;
    stats_.rx_bytes += out[n].bytes();
    ++n;
  }
  return n;
}

bool PacketSocketIo::IsSendable(Packet& packet) {
  DCHECK(!packet.tx.ip_checksum) << "not offered";
  DCHECK(prefix_bytes_ != 0 || (!packet.tx.l4_checksum && packet.tx.tso_segment_bytes == 0)) << "not offered";
  if (packet.bytes() > LongestFrame(frame_limit_, packet.tx.tso_segment_bytes > 0) ||
      packet.bytes() < kMinLinkHeaderBytes)
    return false;
  return FitToSegments(packet, kMaxTxSegments, slab_, stats_);
}

size_t PacketSocketIo::TransmitBurst(absl::Span<Packet> packets) {
  size_t n = 0;
  while (n < packets.size()) {
    size_t run = 0;
    const size_t most = std::min(packets.size() - n, kFramesPerCall);
    while (run < most && IsSendable(packets[n + run])) ++run;
    bool drop = run == 0;  // the next one can never be sent
    if (run > 0) {
      const int sent = SendSome(packets.subspan(n, run));
      if (sent > 0) {
        CountSent(packets.subspan(n, static_cast<size_t>(sent)));
        n += static_cast<size_t>(sent);
      } else if (!(drop = DropRefused(errno, packets[n]))) {
        stats_.tx_full += packets.size() - n;
        break;
      }
    }
    if (!drop) continue;
    ++stats_.tx_dropped;
    packets[n++] = Packet();
  }
  return n;
}

int PacketSocketIo::SendSome(absl::Span<Packet> packets) {
  std::array<VnetHeader, kFramesPerCall> headers;
  std::array<iovec, kFramesPerCall*(kMaxTxSegments + 1)> pieces;
  std::array<mmsghdr, kFramesPerCall> messages;
  size_t used = 0;
  for (size_t i = 0; i < packets.size(); ++i) {
    const size_t first = used;
    headers[i] = VnetHeaderFor(packets[i].tx);
    if (prefix_bytes_ != 0) pieces[used++] = {&headers[i], sizeof(headers[i])};
    for (const zbuf::ZSlice& slice : packets[i].data) pieces[used++] = {slice.data(), slice.size()};
    messages[i] = {};
    messages[i].msg_hdr.msg_iov = &pieces[first];
    messages[i].msg_hdr.msg_iovlen = used - first;
  }
  return sendmmsg(fd_, messages.data(), static_cast<unsigned>(packets.size()), MSG_DONTWAIT);
}

void PacketSocketIo::CountSent(absl::Span<Packet> packets) {
  stats_.tx_packets += packets.size();
  for (Packet& packet : packets) {
    stats_.tx_bytes += packet.bytes();
    packet = Packet();
  }
}

bool PacketSocketIo::DropRefused(int error, const Packet& packet) {
  switch (error) {
    case ENOBUFS:  // the device is full; or, of a super-packet, somebody has told it not to cut any more
      return packet.tx.tso_segment_bytes > 0 && refusals_++ % kRefusalsBetweenLooks == 0 &&
             !CutsSegments(fd_, capabilities_.kernel_ifindex);
    case EAGAIN:
    case EINTR:
    case ENOMEM:
      return false;
    case ENETDOWN:  // the interface is down
    case ENXIO:     // or gone
    case ENODEV:
      link_up_ = false;
      return true;
    default:
      return true;
  }
}

bool PacketSocketIo::CutsSegments(int fd, int ifindex) {
  ethtool_value value = {.cmd = ETHTOOL_GTSO, .data = 0};
  ifreq request = {};
  request.ifr_ifindex = ifindex;
  if (ioctl(fd, SIOCGIFNAME, &request) != 0) return false;
  request.ifr_data = reinterpret_cast<char*>(&value);
  return ioctl(fd, SIOCETHTOOL, &request) == 0 && value.data != 0;
}

size_t PacketSocketIo::Reclaim() {
  if (link_up_ && --reclaims_until_look_ != 0) return 0;
  reclaims_until_look_ = kReclaimsBetweenLooks;
  LookAtLink();
  return 0;
}

void PacketSocketIo::LookAtLink() {
  tpacket_stats dropped = {};
  socklen_t size = sizeof(dropped);
  // Reading resets it.
  if (getsockopt(fd_, SOL_PACKET, PACKET_STATISTICS, &dropped, &size) == 0) stats_.rx_dropped += dropped.tp_drops;
  if (capabilities_.kernel_ifindex == 0) return;
  // A link that went down left an error, which the first frame would meet after it came up again.
  int error = 0;
  size = sizeof(error);
  (void)getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size);
  ifreq request = {};
  request.ifr_ifindex = capabilities_.kernel_ifindex;
  constexpr int kUp = IFF_UP | IFF_RUNNING;
  link_up_ = ioctl(fd_, SIOCGIFNAME, &request) == 0 && ioctl(fd_, SIOCGIFFLAGS, &request) == 0 &&
             (request.ifr_flags & kUp) == kUp;
}

}  // namespace luna::pmd
