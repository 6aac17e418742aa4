#ifndef LUNA_NET_PMD_XDP_XDP_PORT_H_
#define LUNA_NET_PMD_XDP_XDP_PORT_H_

// XdpPort: opens a kernel interface as a PacketIo by AF_XDP. Which frames arrive is not decided here but by the XDP
// program whose map the socket enters (flow/bifurcation/xdp):
//
//   auto rules = bifurcation::xdp::XdpRuleInstaller::Open({.interface = "eth1"});
//   auto io = pmd::xdp::XdpPort::Open({.interface = "eth1", .xskmap_fd = (*rules)->xskmap_fd()}, arena, slab);
//   (*rules)->Install(plan);
//
// The interface stays the kernel's: its address, ARP, routes and all other traffic. Needs CAP_NET_RAW and
// CAP_NET_ADMIN.

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "luna/mem/zbuf/zbuf.h"
#include "luna/net/pmd/xdp/xdp_packet_io.h"
#include "luna/net/pmd/xdp/xsk_socket.h"

namespace luna::pmd::xdp {

struct XdpOptions {
  std::string interface;  // in the caller's network namespace
  uint32_t queue = 0;
  // The map to enter the socket into, under `queue`; -1: the caller does so, with Capabilities::poll_fd as the value.
  int xskmap_fd = -1;
  uint32_t rx_ring = 2048;  // frames received and not yet taken; a power of two
  uint32_t tx_ring = 2048;  // descriptors to send; a power of two
  CopyMode copy_mode = CopyMode::kAuto;
  uint32_t mtu = 0;  // 0: the interface's; never more
  // Bytes of a receive obj: 256 of headroom and the frame. 2048..4096.
  uint32_t chunk_bytes = zbuf::kReceiveObjBytes;
  // Opens one queue of several; frames on the others go to the kernel, which answers Luna's with RST. For a caller that
  // opens all of them, or steers by ethtool -N.
  bool allow_more_queues = false;
};

class XdpPort {
 public:
  // The whole arena becomes the UMEM: the kernel locks its pages in memory. Rings are filled at once.
  // Errors, in one line with the mend: XskSocket::Open's, XdpPacketIo::Create's, and InvalidArgument for an MTU beyond
  // the interface's or the buffers', FailedPrecondition for more receive queues than one, or an interface that is down.
  // Thread: the slab's owner.
  static absl::StatusOr<std::unique_ptr<XdpPacketIo>> Open(const XdpOptions& options, zbuf::Arena& arena,
                                                           zbuf::Slab& slab);
};

}  // namespace luna::pmd::xdp

#endif  // LUNA_NET_PMD_XDP_XDP_PORT_H_
