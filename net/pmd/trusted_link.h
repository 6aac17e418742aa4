#ifndef LUNA_NET_PMD_TRUSTED_LINK_H_
#define LUNA_NET_PMD_TRUSTED_LINK_H_

// TrustedLinkIo: a link whose frames nothing can damage, because they never leave the memory of one machine (memif,
// ring). Checksums are neither computed nor checked on it: it says that the device does both, and does neither.
//
// Both ends have to be told. One that computes nothing sends frames that anybody else drops (tcp_bad_checksum there);
// captures show wrong checksums. Never around a device with a wire behind it, nor one that bridges to such a wire:
// damage would reach the application.
//
// One thread, that of `inner`. O(frames) per burst.

#include "luna/net/pmd/decorator.h"

namespace luna::pmd {

class TrustedLinkIo final : public PacketIoDecorator {
 public:
  explicit TrustedLinkIo(PacketIo& inner);

  // Every frame's checksums are ChecksumStatus::kGood.
  size_t ReceiveBurst(absl::Span<Packet> out, Time now) override;
  // Asks the device for no checksum: what Egress has left undone stays so.
  size_t TransmitBurst(absl::Span<Packet> packets) override;
  const Capabilities& capabilities() const override { return capabilities_; }

 private:
  Capabilities capabilities_;
};

}  // namespace luna::pmd

#endif  // LUNA_NET_PMD_TRUSTED_LINK_H_
