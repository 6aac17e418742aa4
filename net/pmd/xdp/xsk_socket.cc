#include "luna/net/pmd/xdp/xsk_socket.h"

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace luna::pmd::xdp {
namespace {

// Linux 6.6; older headers lack it.
constexpr uint16_t kBindGathers = 1 << 4;
constexpr uint64_t kHugePageBytes = uint64_t{2} << 20;
constexpr int kBusyTries = 100;  // 10 ms apart
constexpr int kSendBufferBytes = 8 << 20;

std::string Where(const XskOptions& options) { return absl::StrCat(options.interface, " queue ", options.queue); }

// Lets the kernel lock `bytes` more, as far as the hard limit (or CAP_SYS_RESOURCE) permits.
bool RaiseLockedMemoryLimit(uint64_t bytes) {
  rlimit limit{};
  if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0) return false;
  const rlim_t wanted = limit.rlim_cur + bytes;
  const rlimit raised{wanted, std::max(limit.rlim_max, wanted)};
  if (setrlimit(RLIMIT_MEMLOCK, &raised) == 0) return true;
  const rlimit soft{limit.rlim_max, limit.rlim_max};
  return limit.rlim_max > limit.rlim_cur && setrlimit(RLIMIT_MEMLOCK, &soft) == 0;
}

absl::Status SocketError(int error) {
  switch (error) {
    case EPERM:
    case EACCES:
      return absl::PermissionDeniedError(
          "an AF_XDP socket needs CAP_NET_RAW: run as root, or setcap cap_bpf,cap_net_admin,cap_net_raw+ep on the "
          "program");
    case EAFNOSUPPORT:
      return absl::UnimplementedError("this kernel has no AF_XDP sockets (CONFIG_XDP_SOCKETS): use another device");
    default:
      return absl::UnavailableError(absl::StrCat("opening an AF_XDP socket: ", std::strerror(error)));
  }
}

absl::Status BindError(const XskOptions& options, int error) {
  const std::string where = Where(options);
  switch (error) {
    case EBUSY:
      return absl::AlreadyExistsError(
          absl::StrCat(where, " has an AF_XDP socket already: end the program that owns it, or take another queue"));
    case EINVAL:
      return absl::NotFoundError(absl::StrCat("cannot bind to ", where, ": no such queue, see `ethtool -l ",
                                              options.interface, "`, or no such mode"));
    case EOPNOTSUPP:
      return absl::UnimplementedError(absl::StrCat("the driver of ", where, " has no such AF_XDP mode: use copy mode"));
    case ENETDOWN:
      return absl::UnavailableError(
          absl::StrCat(options.interface, " is down: `ip link set ", options.interface, " up`"));
    default:
      return absl::UnavailableError(absl::StrCat("binding to ", where, ": ", std::strerror(error)));
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<XskSocket>> XskSocket::Open(const XskOptions& options) {
  const int ifindex = static_cast<int>(if_nametoindex(options.interface.c_str()));
  if (ifindex == 0) {
    return absl::NotFoundError(absl::StrCat("no network interface '", options.interface, "' here: see `ip link`"));
  }
  const bool huge = options.page_bytes >= kHugePageBytes;
  if (options.copy_mode == CopyMode::kZeroCopy && !huge) {
    return absl::InvalidArgumentError(
        "AF_XDP zero copy needs an arena of hugepages: frames cross 4 KB pages. Reserve hugepages, or use copy mode");
  }
  std::vector<uint16_t> modes;
  if (huge && options.copy_mode != CopyMode::kCopy) modes.push_back(XDP_ZEROCOPY);
  if (options.copy_mode != CopyMode::kZeroCopy) modes.push_back(XDP_COPY);
  // The best first. A fresh socket for every attempt: a failed bind leaves a socket in a state that no manual
  // describes.
  absl::Status status;
  for (uint16_t mode : modes) {
    for (uint16_t gathers : {kBindGathers, uint16_t{0}}) {
      const auto flags = static_cast<uint16_t>(mode | gathers | XDP_USE_NEED_WAKEUP);
      absl::StatusOr<std::unique_ptr<XskSocket>> socket = OpenOnce(options, ifindex, flags);
      if (socket.ok()) return socket;
      status = socket.status();
      if (!absl::IsNotFound(status) && !absl::IsUnimplemented(status)) return status;
    }
  }
  return status;
}

absl::StatusOr<std::unique_ptr<XskSocket>> XskSocket::OpenOnce(const XskOptions& options, int ifindex,
                                                               uint16_t bind_flags) {
  std::unique_ptr<XskSocket> xsk(new XskSocket());
  xsk->interface_ = options.interface;
  xsk->fd_ = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
  if (xsk->fd_ < 0) return SocketError(errno);
  xsk->control_fd_ = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (xsk->control_fd_ < 0) return absl::UnavailableError(absl::StrCat("opening a socket: ", std::strerror(errno)));
  if (absl::Status status = xsk->RegisterUmem(options); !status.ok()) return status;
  if (absl::Status status = xsk->MakeRings(options); !status.ok()) return status;
  if (absl::Status status = xsk->Bind(options, ifindex, bind_flags); !status.ok()) return status;
  // In copy mode frames on their way count against the send buffer; the default holds fewer than a ring. Best effort.
  if (setsockopt(xsk->fd_, SOL_SOCKET, SO_SNDBUFFORCE, &kSendBufferBytes, sizeof(kSendBufferBytes)) != 0) {
    setsockopt(xsk->fd_, SOL_SOCKET, SO_SNDBUF, &kSendBufferBytes, sizeof(kSendBufferBytes));
  }
  xsk->gathers_ = (bind_flags & kBindGathers) != 0;
  xsk->zero_copy_ = (bind_flags & XDP_ZEROCOPY) != 0;
  return xsk;
}

absl::Status XskSocket::RegisterUmem(const XskOptions& options) {
  xdp_umem_reg umem{};
  umem.addr = reinterpret_cast<uintptr_t>(options.umem);
  umem.len = options.umem_bytes;
  umem.chunk_size = options.chunk_bytes;
  // Chunks of any address: objs are where Zbuf put them.
  umem.flags = XDP_UMEM_UNALIGNED_CHUNK_FLAG;
  const auto try_register = [&] {
    return setsockopt(fd_, SOL_XDP, XDP_UMEM_REG, &umem, sizeof(umem)) == 0 ? 0 : errno;
  };
  int error = try_register();
  if (error == ENOBUFS && RaiseLockedMemoryLimit(options.umem_bytes)) error = try_register();
  if (error == 0) return absl::OkStatus();
  if (error == ENOBUFS) {
    return absl::ResourceExhaustedError(absl::StrCat("the kernel may not lock ", options.umem_bytes >> 20,
                                                     " MB for AF_XDP: raise `ulimit -l`, or grant CAP_IPC_LOCK"));
  }
  return absl::UnavailableError(absl::StrCat("registering ", options.umem_bytes >> 20, " MB as UMEM with chunks of ",
                                             options.chunk_bytes, " bytes: ", std::strerror(error)));
}

absl::Status XskSocket::MakeRings(const XskOptions& options) {
  const std::pair<int, uint32_t> kSizes[] = {{XDP_UMEM_FILL_RING, options.rx_ring},
                                             {XDP_UMEM_COMPLETION_RING, options.tx_ring},
                                             {XDP_RX_RING, options.rx_ring},
                                             {XDP_TX_RING, options.tx_ring}};
  for (auto [option, size] : kSizes) {
    if (setsockopt(fd_, SOL_XDP, option, &size, sizeof(size)) != 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("an AF_XDP ring of ", size, " entries: ", std::strerror(errno), "; take a power of two"));
    }
  }
  xdp_mmap_offsets offsets{};
  socklen_t length = sizeof(offsets);
  if (getsockopt(fd_, SOL_XDP, XDP_MMAP_OFFSETS, &offsets, &length) != 0 || length != sizeof(offsets)) {
    return absl::UnimplementedError("this kernel's AF_XDP rings are too old (before Linux 5.4)");
  }
  auto fill = MapRing<uint64_t>(offsets.fr, options.rx_ring, XDP_UMEM_PGOFF_FILL_RING, &fill_);
  auto completion = MapRing<uint64_t>(offsets.cr, options.tx_ring, XDP_UMEM_PGOFF_COMPLETION_RING, &completion_);
  auto rx = MapRing<xdp_desc>(offsets.rx, options.rx_ring, XDP_PGOFF_RX_RING, &rx_);
  auto tx = MapRing<xdp_desc>(offsets.tx, options.tx_ring, XDP_PGOFF_TX_RING, &tx_);
  for (const absl::Status& status : {fill.status(), completion.status(), rx.status(), tx.status()}) {
    if (!status.ok()) return status;
  }
  rings_.fill = ProducerRing<uint64_t>(*fill);
  rings_.completion = ConsumerRing<uint64_t>(*completion);
  rings_.rx = ConsumerRing<xdp_desc>(*rx);
  rings_.tx = ProducerRing<xdp_desc>(*tx);
  return absl::OkStatus();
}

template <typename Entry, typename Offset>
absl::StatusOr<RingMemory<Entry>> XskSocket::MapRing(const Offset& offset, uint32_t size, uint64_t page_offset,
                                                     Mapping* mapping) {
  const size_t bytes = offset.desc + size * sizeof(Entry);
  void* base =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd_, static_cast<off_t>(page_offset));
  if (base == MAP_FAILED) return absl::UnavailableError(absl::StrCat("mapping an AF_XDP ring: ", std::strerror(errno)));
  *mapping = {base, bytes};
  auto* at = static_cast<std::byte*>(base);
  return RingMemory<Entry>{
      reinterpret_cast<uint32_t*>(at + offset.producer), reinterpret_cast<uint32_t*>(at + offset.consumer),
      reinterpret_cast<uint32_t*>(at + offset.flags), reinterpret_cast<Entry*>(at + offset.desc), size};
}

absl::Status XskSocket::Bind(const XskOptions& options, int ifindex, uint16_t bind_flags) {
  sockaddr_xdp address{};
  address.sxdp_family = AF_XDP;
  address.sxdp_flags = bind_flags;
  address.sxdp_ifindex = static_cast<uint32_t>(ifindex);
  address.sxdp_queue_id = options.queue;
  // The kernel lets go of a queue a moment after its last socket is gone, by a worker; a restart must not notice.
  for (int tries = 0;; ++tries) {
    if (bind(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) return absl::OkStatus();
    if (errno != EBUSY || tries == kBusyTries) return BindError(options, errno);
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

XskSocket::~XskSocket() { Close(); }

void XskSocket::Close() {
  if (control_fd_ >= 0) close(std::exchange(control_fd_, -1));
  if (fd_ < 0) return;
  for (Mapping* mapping : {&fill_, &completion_, &rx_, &tx_}) {
    if (mapping->base != nullptr) munmap(mapping->base, mapping->bytes);
    *mapping = {};
  }
  // In copy mode nothing touches the UMEM once this returns. A zero-copy driver is stopped by a kernel worker a little
  // later.
  close(std::exchange(fd_, -1));
  if (zero_copy_) std::this_thread::sleep_for(std::chrono::milliseconds(200));
}

// Errors of the two kicks (EAGAIN, EBUSY, ENOBUFS, ENETDOWN) all mean "not now"; the caller sees how far the ring got.
void XskSocket::KickTransmit() { sendto(fd_, nullptr, 0, MSG_DONTWAIT, nullptr, 0); }

void XskSocket::KickReceive() { recvfrom(fd_, nullptr, 0, MSG_DONTWAIT, nullptr, nullptr); }

XskCounters XskSocket::ReadCounters() {
  xdp_statistics statistics{};
  socklen_t length = sizeof(statistics);
  if (getsockopt(fd_, SOL_XDP, XDP_STATISTICS, &statistics, &length) != 0) return {};
  return {.rx_dropped = statistics.rx_dropped,
          .rx_ring_full = statistics.rx_ring_full,
          .rx_fill_empty = statistics.rx_fill_ring_empty_descs,
          .rx_invalid = statistics.rx_invalid_descs,
          .tx_invalid = statistics.tx_invalid_descs};
}

// IFF_RUNNING follows the carrier by a worker of the kernel, late; so the carrier itself is asked for where the driver
// says.
bool XskSocket::LinkUp() {
  ifreq request{};
  std::strncpy(request.ifr_name, interface_.c_str(), IFNAMSIZ - 1);
  if (ioctl(control_fd_, SIOCGIFFLAGS, &request) != 0 || (request.ifr_flags & IFF_UP) == 0) return false;
  const bool running = (request.ifr_flags & IFF_RUNNING) != 0;
  ethtool_value link{ETHTOOL_GLINK, 0};
  request.ifr_data = reinterpret_cast<char*>(&link);
  return ioctl(control_fd_, SIOCETHTOOL, &request) == 0 ? link.data != 0 : running;
}

}  // namespace luna::pmd::xdp
