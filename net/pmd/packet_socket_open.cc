// Opening a packet socket, and what to tell people when that fails.
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "luna/net/pmd/packet_filter.h"
#include "luna/net/pmd/packet_socket.h"

namespace luna::pmd {
namespace {

std::string Quoted(const std::string& interface) { return absl::StrCat("interface \"", interface, "\": "); }

struct InterfaceFacts {
  int index = 0;
  wire::MacAddress mac;
  uint32_t mtu = 0;
};

absl::StatusOr<InterfaceFacts> Facts(int fd, const std::string& interface) {
  ifreq request = {};
  if (interface.empty() || interface.size() >= IFNAMSIZ || if_nametoindex(interface.c_str()) == 0) {
    return absl::NotFoundError(absl::StrCat(Quoted(interface), "there is none; `ip link` shows what there is"));
  }
  std::memcpy(request.ifr_name, interface.data(), interface.size());
  InterfaceFacts facts;
  if (ioctl(fd, SIOCGIFINDEX, &request) != 0) return absl::ErrnoToStatus(errno, Quoted(interface));
  facts.index = request.ifr_ifindex;
  if (ioctl(fd, SIOCGIFMTU, &request) != 0) return absl::ErrnoToStatus(errno, Quoted(interface));
  facts.mtu = static_cast<uint32_t>(request.ifr_mtu);
  if (ioctl(fd, SIOCGIFHWADDR, &request) != 0) return absl::ErrnoToStatus(errno, Quoted(interface));
  if (request.ifr_hwaddr.sa_family != ARPHRD_ETHER) {
    return absl::FailedPreconditionError(absl::StrCat(Quoted(interface), "it does not carry Ethernet frames"));
  }
  facts.mac = wire::MacAddress::FromBytes(reinterpret_cast<const uint8_t*>(request.ifr_hwaddr.sa_data));
  return facts;
}

absl::Status SetOption(int fd, const std::string& interface, int option, const char* what) {
  const int on = 1;
  if (setsockopt(fd, SOL_PACKET, option, &on, sizeof(on)) == 0) return absl::OkStatus();
  return absl::ErrnoToStatus(errno, absl::StrCat(Quoted(interface), "cannot set ", what));
}

// As large as allowed: a burst of super-packets is soon more than the usual 200 KB.
void SetBuffer(int fd, int forced, int usual, uint32_t bytes) {
  const int size = static_cast<int>(bytes);
  if (setsockopt(fd, SOL_SOCKET, forced, &size, sizeof(size)) != 0) {
    (void)setsockopt(fd, SOL_SOCKET, usual, &size, sizeof(size));
  }
}

// The filter comes before the binding, so that nothing else is ever in the queue.
absl::Status Bind(int fd, const PacketSocketOptions& options, int ifindex) {
  std::vector<sock_filter> filter = PacketFilter(options.addresses);
  const sock_fprog program = {.len = static_cast<uint16_t>(filter.size()), .filter = filter.data()};
  if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat(Quoted(options.interface), "cannot attach the filter"));
  }
  sockaddr_ll address = {};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_ALL);
  address.sll_ifindex = ifindex;
  if (bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat(Quoted(options.interface), "cannot bind to it"));
  }
  return absl::OkStatus();
}

absl::Status Configure(int fd, const PacketSocketOptions& options) {
  const std::string& interface = options.interface;
  if (absl::Status s = SetOption(fd, interface, PACKET_IGNORE_OUTGOING, "PACKET_IGNORE_OUTGOING (Linux 4.20)");
      !s.ok()) {
    return s;
  }
  if (absl::Status s = SetOption(fd, interface, PACKET_QDISC_BYPASS, "PACKET_QDISC_BYPASS"); !s.ok()) return s;
  if (options.offloads) {
    if (absl::Status s = SetOption(fd, interface, PACKET_VNET_HDR, "PACKET_VNET_HDR"); !s.ok()) return s;
  }
  SetBuffer(fd, SO_RCVBUFFORCE, SO_RCVBUF, options.receive_buffer_bytes);
  SetBuffer(fd, SO_SNDBUFFORCE, SO_SNDBUF, 4u << 20);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<PacketSocketIo>> PacketSocketIo::Open(const PacketSocketOptions& options,
                                                                     zbuf::Slab& slab) {
  const std::string& interface = options.interface;
  if (options.addresses.size() > kMaxFilterAddresses) {
    return absl::InvalidArgumentError(absl::StrCat(Quoted(interface), options.addresses.size(),
                                                   " addresses are too many; at most ", kMaxFilterAddresses));
  }
  // Protocol 0: nothing arrives before it is bound.
  int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0 && (errno == EPERM || errno == EACCES)) {
    return absl::PermissionDeniedError(
        absl::StrCat(Quoted(interface), "not permitted to open a packet socket; run as root (CAP_NET_RAW)"));
  }
  if (fd < 0) return absl::ErrnoToStatus(errno, absl::StrCat(Quoted(interface), "cannot open a packet socket"));
  auto closer = absl::MakeCleanup([fd] { close(fd); });
  absl::StatusOr<InterfaceFacts> facts = Facts(fd, interface);
  if (!facts.ok()) return facts.status();
  if (options.mtu > facts->mtu) {
    return absl::InvalidArgumentError(absl::StrCat(Quoted(interface), "mtu ", options.mtu, " is more than its ",
                                                   facts->mtu, "; choose less, or: sudo ip link set ", interface,
                                                   " mtu ", options.mtu));
  }
  if (absl::Status status = Configure(fd, options); !status.ok()) return status;
  if (absl::Status status = Bind(fd, options, facts->index); !status.ok()) return status;
  Capabilities capabilities{.name = absl::StrCat("packet socket on ", interface),
                            .mac = facts->mac,
                            .mtu = options.mtu == 0 ? facts->mtu : options.mtu,
                            .max_tx_segments = kMaxTxSegments,
                            .tx_tcp_checksum = options.offloads,
                            .tx_tso = options.offloads && CutsSegments(fd, facts->index),
                            .tso_sum_has_length = true,
                            .trust_rx_checksum = options.offloads,
                            .kernel_ifindex = facts->index,
                            .poll_fd = fd};
  std::move(closer).Cancel();
  return std::make_unique<PacketSocketIo>(fd, std::move(capabilities), slab);
}

}  // namespace luna::pmd
