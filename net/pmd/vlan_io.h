#ifndef LUNA_NET_PMD_VLAN_IO_H_
#define LUNA_NET_PMD_VLAN_IO_H_

// VlanIo: one VLAN (IEEE 802.1Q) of a device that carries several, as a device of its own. What is sent gets the tag;
// of what comes only frames with it are let through, without it. The layers above know nothing of VLANs.
//
// The device does both where it can (Capabilities::tx_vlan_insert, rx_vlan_strip); else the two MAC addresses move by
// four bytes, in the obj that holds the headers. No other byte is touched, none is copied elsewhere.
//
// Not for interfaces of the kernel's with packet sockets or AF_XDP: there the kernel has its own VLAN interfaces
// ("eth1.5"), whose frames have no tag.
//
// One thread, that of `inner`. O(frames) per burst.

#include <cstdint>

#include "luna/ctrl/stats/drop_counters.h"
#include "luna/mem/zbuf/slab.h"
#include "luna/net/pmd/decorator.h"

namespace luna::pmd {

struct VlanOptions {
  static constexpr uint16_t kMostId = 4094;

  uint16_t id = 0;       // 1 to kMostId
  uint8_t priority = 0;  // 802.1p of what is sent, 0 to 7; what comes may have any
};

class VlanIo final : public PacketIoDecorator {
 public:
  // `slab` has the memory for frames whose first slice does not hold the tag; `drops` counts frames of other VLANs, and
  // of none, as kOtherVlan. Both outlive this.
  VlanIo(PacketIo& inner, const VlanOptions& options, zbuf::Slab& slab, stats::DropCounters& drops);

  // May return 0 although frames of other VLANs were taken from the device.
  size_t ReceiveBurst(absl::Span<Packet> out, Time now) override;
  size_t TransmitBurst(absl::Span<Packet> packets) override;
  // Those of `inner`, without the VLAN offloads: they are used up.
  const Capabilities& capabilities() const override { return capabilities_; }

 private:
  // Of this VLAN, whatever the priority.
  bool IsOurs(uint16_t tci) const;
  // True when `packet` is of this VLAN; it has no tag then.
  bool Untag(Packet& packet);
  void Tag(Packet& packet) const;
  // Takes the tag off again: the device has refused the frame, and will be asked again.
  void UndoTag(Packet& packet) const;

  const uint16_t tci_;
  zbuf::Slab& slab_;
  stats::DropCounters& drops_;
  Capabilities capabilities_;
};

}  // namespace luna::pmd

#endif  // LUNA_NET_PMD_VLAN_IO_H_
