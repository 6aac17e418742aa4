#ifndef LUNA_NET_PMD_TAP_H_
#define LUNA_NET_PMD_TAP_H_

// TapPacketIo: a Linux TAP device. Luna on one end of an Ethernet link, the kernel of this machine on the other.
//
//   kernel's interface `name`  ◄────── Ethernet ──────►  TapPacketIo
//   its own MAC and address                             capabilities().mac, Luna's address
//
// The kernel is the *peer* here, not a twin (contrast AF_XDP): both ends have a MAC of their own, and Luna asks for
// neighbours with its own ARP. So kernel_ifindex is 0.
//
// Received frames are scattered by readv straight into objs of the slab (one read per frame), sent ones are gathered by
// writev from up to 16 slices: no copy on our side. For correctness and reach, not for speed: a system call per frame.
//
// Offloads (TapOptions::offloads): each frame comes with a virtio-net header (vnet_header.h). The kernel leaves TCP
// checksums of local senders unfinished, says so, and sends super-packets of up to 64 KB; Luna leaves the TCP checksum
// of what it sends to the kernel, which need not compute it either when it is itself the receiver, and sends
// super-packets, too. Without, frames are whole and no longer than the MTU, both ways.
//
// Privileges: creating a device needs CAP_NET_ADMIN. Without it, attach to one that root has made for this user:
//   sudo ip tuntap add dev luna0 mode tap user $USER && sudo ip link set luna0 up && sudo ip addr add 10.0.0.1/24 dev
//   luna0
//
// Thread: one. Ownership: the slab must outlive the device; its owner is this thread.

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "luna/mem/zbuf/zbuf.h"
#include "luna/net/pmd/packet_io.h"
#include "luna/net/pmd/receive_slot.h"
#include "luna/net/wire/address.h"
#include "luna/sched/clock/time.h"

namespace luna::pmd {

struct TapOptions {
  // The kernel's interface: at most 15 characters; created unless it exists. A "%d" becomes the first free number.
  std::string name = "luna%d";
  // Largest IP datagram, 68 (RFC 791) to 65521. Set on the kernel's side too.
  uint32_t mtu = 1500;
  // Luna's MAC. Zero: the kernel's interface's own with its last bit inverted and the locally-administered bit set,
  // which is as unique as that one.
  wire::MacAddress mac;
  // When not 0.0.0.0/0, the kernel's address and network on this link, set on open.
  wire::Ipv4Prefix kernel_address;
  // The interface stays (without carrier) when this closes.
  bool persist = false;
  // Several TapPacketIos may open one interface; the kernel spreads flows over them. All must set it.
  bool multi_queue = false;
  // Checksum and segmentation offload between the kernel and Luna. All queues of an interface must agree.
  bool offloads = true;
};

class TapPacketIo final : public PacketIo {
 public:
  static constexpr uint32_t kMaxTxSegments = 16;
  static constexpr uint32_t kMinMtu = 68;
  static constexpr uint32_t kMaxMtu = 65535 - 14;

  // Creates or attaches, sets MTU and address and brings the link up. What is set already is left alone, so that an
  // unprivileged user can attach to an interface that was set up for him. Errors name the interface and the mend:
  // InvalidArgument (name, mtu, mac), NotFound (no /dev/net/tun), PermissionDenied, AlreadyExists (the name is in use
  // by another process, or is no TAP device), otherwise what errno says.
  static absl::StatusOr<std::unique_ptr<TapPacketIo>> Open(const TapOptions& options, zbuf::Slab& slab);

  ~TapPacketIo() override;
  TapPacketIo(const TapPacketIo&) = delete;
  TapPacketIo& operator=(const TapPacketIo&) = delete;

  // The kernel's name of the interface, with its number.
  const std::string& interface_name() const { return name_; }

  // At most out.size() reads.
  size_t ReceiveBurst(absl::Span<Packet> out, Time now) override;
  // A frame has left when this returns. A link that is down drops frames (tx_dropped).
  size_t TransmitBurst(absl::Span<Packet> packets) override;
  // Nothing is ever outstanding. Looks at the link's state now and then (every time while it is down).
  size_t Reclaim() override;
  void OnSlept(Duration) override { reclaims_until_look_ = 1; }
  // As of the last look.
  bool link_up() const override { return link_up_; }
  const Capabilities& capabilities() const override { return capabilities_; }
  const IoStats& stats() const override { return stats_; }

 private:
  // Owns both descriptors.
  TapPacketIo(int fd, int control_fd, std::string name, Capabilities capabilities, const TapOptions& options,
              zbuf::Slab& slab);

  enum class SendResult { kSent, kFull, kDropped };

  // Into the slot; the length of prefix and frame, or as read(2).
  ssize_t ReadFrame();
  SendResult SendFrame(Packet& packet);
  void LookAtLink();

  const int fd_;
  const int control_fd_;  // a socket of the interface's network namespace, for ioctls
  const std::string name_;
  zbuf::Slab& slab_;
  const Capabilities capabilities_;
  const bool shared_;  // the interface may have other queues
  IoStats stats_;
  bool link_up_ = true;
  uint32_t reclaims_until_look_;
  const size_t frame_limit_;   // the longest frame on this link, if it is no super-packet
  const size_t prefix_bytes_;  // of the virtio-net header; 0 without offloads
  ReceiveSlot slot_;           // what the next read goes into
};

}  // namespace luna::pmd

#endif  // LUNA_NET_PMD_TAP_H_
