#ifndef LUNA_NET_PMD_PACKET_SOCKET_H_
#define LUNA_NET_PMD_PACKET_SOCKET_H_

// PacketSocketIo: an interface of the kernel's through a packet socket (AF_PACKET), beside the kernel's own stack.
//
//   other hosts  ◄── eth1 ──►  kernel's stack      its own addresses
//                        └──►  PacketSocketIo      the interface's MAC, addresses of Luna's own
//
// Works on every Ethernet interface, without rules, program or driver support; the kernel keeps all other traffic. The
// addresses must not be the kernel's (it would answer Luna's peers with RST), so Luna does its own ARP for them. Where
// the host forwards packets (net.ipv4.ip_forward), it would also forward those to Luna: leave that off.
//
// A filter in the kernel passes ARP and what is sent to our addresses (packet_filter.h); frames sent by this host are
// not seen. Up to 16 frames per recvmmsg are scattered straight into objs of the slab, and sent ones are gathered by
// sendmmsg from up to 16 slices each: one copy each way, by the kernel. Sent frames go to the driver directly, past the
// queueing discipline: there is nothing to be gained by a queue that TCP's pacing does not see.
//
// Offloads (the default): each frame comes with a virtio-net header (vnet_header.h). Local peers, on a veth or a bridge
// say, leave TCP checksums unfinished and send super-packets of up to 64 KB, and GRO makes such ones of what a NIC
// received; Luna takes both. It leaves the TCP checksum of what it sends to the device, or to the kernel where the
// device has none, and the cutting of segments (TSO) to the device if it did that when the socket was opened: switched
// off later, super-packets are dropped, and TCP sends them again segment by segment. Without, a local peer's own
// offloads must be off.
//
// Needs CAP_NET_RAW, and CAP_NET_ADMIN for a receive buffer beyond net.core.rmem_max (it is smaller otherwise).
// Thread: one. Ownership: the slab must outlive the device; its owner is this thread.

#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "luna/mem/zbuf/zbuf.h"
#include "luna/net/pmd/packet_io.h"
#include "luna/net/pmd/receive_slot.h"
#include "luna/net/wire/address.h"
#include "luna/sched/clock/time.h"

namespace luna::pmd {

struct PacketSocketOptions {
  std::string interface;                      // in the caller's network namespace
  std::vector<wire::Ipv4Address> addresses;   // Luna's: what is sent to others does not arrive
  uint32_t mtu = 0;                           // 0: the interface's; never more
  bool offloads = true;                       // virtio-net headers
  uint32_t receive_buffer_bytes = 16u << 20;  // in the kernel; frames that do not fit are lost (rx_dropped)
};

class PacketSocketIo final : public PacketIo {
 public:
  static constexpr uint32_t kMaxTxSegments = 16;
  static constexpr size_t kFramesPerCall = 16;

  // Errors name the interface and the mend: InvalidArgument (too many addresses, mtu), NotFound (no such interface),
  // FailedPrecondition (not Ethernet), PermissionDenied, otherwise what errno says.
  static absl::StatusOr<std::unique_ptr<PacketSocketIo>> Open(const PacketSocketOptions& options, zbuf::Slab& slab);

  // On a socket that is open and bound already, handed over by whoever had the right to: one frame per message, with a
  // virtio-net header in front when capabilities.trust_rx_checksum is set. Takes `fd`.
  PacketSocketIo(int fd, Capabilities capabilities, zbuf::Slab& slab);
  ~PacketSocketIo() override;
  PacketSocketIo(const PacketSocketIo&) = delete;
  PacketSocketIo& operator=(const PacketSocketIo&) = delete;

  // At most one recvmmsg, so at most kFramesPerCall frames.
  size_t ReceiveBurst(absl::Span<Packet> out, Time now) override;
  // A frame has left when this returns. A link that is down drops frames (tx_dropped).
  size_t TransmitBurst(absl::Span<Packet> packets) override;
  // Nothing is ever outstanding. Now and then looks at the link and at what the kernel dropped.
  size_t Reclaim() override;
  void OnSlept(Duration) override { reclaims_until_look_ = 1; }
  // As of the last look.
  bool link_up() const override { return link_up_; }
  const Capabilities& capabilities() const override { return capabilities_; }
  const IoStats& stats() const override { return stats_; }

 private:
  // Fills slots from the front; how many the next call may read to.
  size_t FillSlots(size_t wanted);
  // True when the kernel can be given the frame at all.
  bool IsSendable(Packet& packet);
  // Up to kFramesPerCall sendable frames by one call; how many the kernel took, or -1 with errno.
  int SendSome(absl::Span<Packet> packets);
  // The kernel refused `packet`: true when it is to be dropped, false when it is to be tried again.
  bool DropRefused(int error, const Packet& packet);
  // Past the queueing discipline the kernel drops what the device does not cut.
  static bool CutsSegments(int fd, int ifindex);
  void CountSent(absl::Span<Packet> packets);
  void LookAtLink();

  const int fd_;
  zbuf::Slab& slab_;
  const Capabilities capabilities_;
  const size_t prefix_bytes_;  // of the virtio-net header; 0 without offloads
  const size_t frame_limit_;   // the longest frame on this link, if it is no super-packet
  IoStats stats_;
  bool link_up_ = true;
  uint32_t reclaims_until_look_;
  uint32_t refusals_ = 0;  // of super-packets, because the device was full
  std::vector<ReceiveSlot> slots_;
  std::array<mmsghdr, kFramesPerCall> messages_;  // to receive; message i is slot i
};

}  // namespace luna::pmd

#endif  // LUNA_NET_PMD_PACKET_SOCKET_H_
