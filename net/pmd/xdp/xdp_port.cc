#include "luna/net/pmd/xdp/xdp_port.h"

#include <bpf/bpf.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "luna/net/pmd/packet_util.h"
#include "luna/net/pmd/xdp/interface_facts.h"

namespace luna::pmd::xdp {
namespace {

// The kernel takes 17 fragments behind the first descriptor in copy mode, but two at least in zero-copy mode (a device
// may say more only through a netlink family that libbpf 1.1 does not know).
constexpr uint32_t kCopyDescriptors = 16;
constexpr uint32_t kZeroCopyDescriptors = 2;

absl::Status CheckInterface(const XdpOptions& options, const InterfaceFacts& facts) {
  if (!facts.up) {
    return absl::FailedPreconditionError(
        absl::StrCat(options.interface, " is down: `ip link set ", options.interface, " up`"));
  }
  if (options.queue >= facts.receive_queues) {
    return absl::NotFoundError(
        absl::StrCat(options.interface, " has no queue ", options.queue, ", only ", facts.receive_queues));
  }
  if (facts.receive_queues > 1 && !options.allow_more_queues) {
    return absl::FailedPreconditionError(
        absl::StrCat(options.interface, " has ", facts.receive_queues,
                     " receive queues but Luna opens 1: frames on the others would go to ",
                     "the kernel; set one by `ethtool -L ", options.interface, " combined 1` (veth: rx 1 tx 1)"));
  }
  if (options.mtu > facts.mtu) {
    return absl::InvalidArgumentError(
        absl::StrCat("MTU ", options.mtu, " is above that of ", options.interface, ", ", facts.mtu));
  }
  return absl::OkStatus();
}

absl::Status CheckReceiveRoom(const XdpOptions& options, uint32_t mtu, bool gathers) {
  const uint32_t room = options.chunk_bytes - kXdpHeadroomBytes;
  if (gathers || MaxFrameBytes(mtu) <= room) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(options.interface, " has MTU ", mtu, ", a receive buffer holds ", room,
                                                 " bytes, and this kernel does not gather: set MTU ",
                                                 room - kMaxLinkHeaderBytes, " or less, or larger chunks"));
}

absl::Status EnterMap(int map_fd, uint32_t queue, int socket_fd) {
  if (map_fd < 0 || bpf_map_update_elem(map_fd, &queue, &socket_fd, BPF_ANY) == 0) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat("entering the AF_XDP socket of queue ", queue, " into the xskmap: ", std::strerror(errno)));
}

}  // namespace

absl::StatusOr<std::unique_ptr<XdpPacketIo>> XdpPort::Open(const XdpOptions& options, zbuf::Arena& arena,
                                                           zbuf::Slab& slab) {
  if (options.chunk_bytes < PostedSet::kGrain || options.chunk_bytes > 4096) {
    return absl::InvalidArgumentError(absl::StrCat("AF_XDP chunks are 2048 to 4096 bytes, not ", options.chunk_bytes));
  }
  absl::StatusOr<InterfaceFacts> facts = ReadInterfaceFacts(options.interface);
  if (!facts.ok()) return facts.status();
  if (absl::Status status = CheckInterface(options, *facts); !status.ok()) return status;
  absl::StatusOr<std::unique_ptr<XskSocket>> socket = XskSocket::Open({.interface = options.interface,
                                                                       .queue = options.queue,
                                                                       .umem = arena.base(),
                                                                       .umem_bytes = arena.bytes(),
                                                                       .page_bytes = arena.page_bytes(),
                                                                       .chunk_bytes = options.chunk_bytes,
                                                                       .rx_ring = options.rx_ring,
                                                                       .tx_ring = options.tx_ring,
                                                                       .copy_mode = options.copy_mode});
  if (!socket.ok()) return socket.status();
  Capabilities capabilities;
  capabilities.name = absl::StrCat(options.interface, " queue ", options.queue, " (AF_XDP, ",
                                   (*socket)->zero_copy() ? "zero copy" : "copy", ")");
  capabilities.mac = facts->mac;
  capabilities.mtu = options.mtu != 0 ? options.mtu : facts->mtu;
  capabilities.kernel_ifindex = facts->ifindex;
  capabilities.poll_fd = (*socket)->fd();
  const bool gathers = (*socket)->gathers();
  if (absl::Status status = CheckReceiveRoom(options, capabilities.mtu, gathers); !status.ok()) return status;
  const XdpIoConfig config{.chunk_bytes = options.chunk_bytes,
                           .max_tx_descriptors = !gathers                 ? 1
                                                 : (*socket)->zero_copy() ? kZeroCopyDescriptors
                                                                          : kCopyDescriptors};
  const int socket_fd = (*socket)->fd();
  absl::StatusOr<std::unique_ptr<XdpPacketIo>> io =
      XdpPacketIo::Create(*std::move(socket), std::move(capabilities), config, arena, slab);
  if (!io.ok()) return io.status();
  // Last: from here on frames may come.
  if (absl::Status status = EnterMap(options.xskmap_fd, options.queue, socket_fd); !status.ok()) return status;
  return io;
}

}  // namespace luna::pmd::xdp
