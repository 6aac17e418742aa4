#ifndef LUNA_NET_PMD_XDP_XDP_PACKET_IO_H_
#define LUNA_NET_PMD_XDP_XDP_PACKET_IO_H_

// XdpPacketIo: the data path of an AF_XDP queue. The UMEM is Zbuf's whole arena, so frames are received into and sent
// out of Zbuf objs; nothing is copied between this class and the application. (Between the UMEM and the driver the
// kernel copies once, unless the driver has a zero-copy mode.) Made by XdpPort::Open (xdp_port.h).
//
// Receive: the fill ring is kept full of objs. The kernel writes a frame 256 bytes into an obj (its headroom), and the
// packet adopts the obj. A frame longer than an obj comes as a chain where the kernel gathers (Linux 6.6). Transmit:
// one descriptor per slice (more when a slice is longer than chunk_bytes), with its reference; Reclaim frees it when
// the kernel is done. Where the kernel does not gather, chains are copied into one obj and counted as tx_linearised;
// also a chain of too many slices, a slice outside the arena, or a first slice shorter than an Ethernet header.
// Back-pressure: TransmitBurst stops when the tx ring or the ledger is full. A receive slot that finds no memory stays
// empty and is filled by a later burst.
//
// Checksums are neither computed nor checked; a local peer with transmit offload on sends frames with partial sums.
// Thread: the slab's owner, for everything including construction and destruction.

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "luna/mem/zbuf/zbuf.h"
#include "luna/net/pmd/packet.h"
#include "luna/net/pmd/packet_io.h"
#include "luna/net/pmd/xdp/ledger.h"
#include "luna/net/pmd/xdp/xsk_channel.h"
#include "luna/sched/clock/time.h"

namespace luna::pmd::xdp {

// Bytes that the kernel leaves free in front of a received frame.
inline constexpr uint32_t kXdpHeadroomBytes = 256;

struct XdpIoConfig {
  uint32_t chunk_bytes = zbuf::kReceiveObjBytes;  // UMEM chunk: a receive obj, and the longest descriptor. 2048..4096
  uint32_t max_tx_descriptors = 1;                // per frame; 1 where the kernel does not gather
};

class XdpPacketIo : public PacketIo {
 public:
  // Fills the fill ring. `capabilities.max_tx_segments` is set from the config. `slab` is of `arena`, which is the
  // UMEM; both outlive this. ResourceExhausted when the slab cannot fill the ring: a queue that starts hungry loses
  // frames at once.
  static absl::StatusOr<std::unique_ptr<XdpPacketIo>> Create(std::unique_ptr<XskChannel> channel,
                                                             Capabilities capabilities, const XdpIoConfig& config,
                                                             zbuf::Arena& arena, zbuf::Slab& slab);
  // Closes the socket and takes every obj home, sent or not.
  ~XdpPacketIo() override;
  XdpPacketIo(const XdpPacketIo&) = delete;
  XdpPacketIo& operator=(const XdpPacketIo&) = delete;

  size_t ReceiveBurst(absl::Span<Packet> out, Time now) override;
  size_t TransmitBurst(absl::Span<Packet> packets) override;
  size_t Reclaim() override;
  // As of the last look, at most kLookInterval ago while ReceiveBurst is called.
  bool link_up() const override { return link_up_; }
  const Capabilities& capabilities() const override { return capabilities_; }
  // rx_dropped includes the kernel's, as of the last look.
  const IoStats& stats() const override { return stats_; }

  // The kernel's own counters, now. A system call.
  XskCounters ReadKernelCounters() { return channel_->ReadCounters(); }

  // How often ReceiveBurst asks the kernel for counters and link state (two system calls).
  static constexpr Duration kLookInterval = Duration::Milliseconds(100);

 private:
  XdpPacketIo(std::unique_ptr<XskChannel> channel, Capabilities capabilities, const XdpIoConfig& config,
              zbuf::Arena& arena, zbuf::Slab& slab);

  // Receive.
  bool Adopt(const xdp_desc& descriptor, zbuf::ZChain& into);
  void Refill();
  void LookAtKernel(Time now);

  // Transmit.
  enum class Readiness : uint8_t { kReady, kFull, kDropped };
  Readiness Prepare(Packet& packet, uint32_t* descriptors);
  uint32_t DescriptorsOf(const zbuf::ZChain& chain) const;
  bool Sendable(const zbuf::ZChain& chain, uint32_t descriptors) const;
  bool LineariseInto(Packet& packet);
  void Send(Packet& packet, uint32_t descriptors);
  void DrainCompletions();
  void Kick();

  uint64_t OffsetOf(const void* address) const {
    return static_cast<uint64_t>(static_cast<const std::byte*>(address) - arena_.base());
  }

  std::unique_ptr<XskChannel> channel_;
  XskRings& rings_;
  Capabilities capabilities_;
  const XdpIoConfig config_;
  const uint32_t max_frame_bytes_;  // MTU, Ethernet and one VLAN tag
  zbuf::Arena& arena_;
  zbuf::Slab& slab_;
  PostedSet posted_;
  InFlight in_flight_;
  zbuf::ZChain partial_;         // a frame whose last descriptor has not come yet
  bool partial_bad_ = false;     // and which will be dropped
  uint32_t unfilled_ = 0;        // fill slots that found no memory at the last refill
  uint64_t own_rx_dropped_ = 0;  // our part of IoStats::rx_dropped
  Time next_look_;
  bool link_up_ = true;
  IoStats stats_;
};

}  // namespace luna::pmd::xdp

#endif  // LUNA_NET_PMD_XDP_XDP_PACKET_IO_H_
