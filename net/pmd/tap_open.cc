// Opening a TAP device: ioctls, and what to tell people when they fail.
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "luna/net/pmd/tap.h"
#include "luna/net/pmd/vnet_header.h"

namespace luna::pmd {
namespace {

constexpr char kTunPath[] = "/dev/net/tun";

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

std::string Quoted(const std::string& name) { return absl::StrCat("TAP device \"", name, "\": "); }

// A name that a person can type where the option holds a pattern.
std::string Example(const std::string& name) { return absl::StrReplaceAll(name, {{"%d", "0"}}); }

absl::Status NotPermitted(const std::string& name, const std::string& what, const std::string& command) {
  return absl::PermissionDeniedError(
      absl::StrCat(Quoted(name), "not permitted to ", what, "; run as root (CAP_NET_ADMIN), or once: sudo ", command));
}

absl::Status Check(const TapOptions& options) {
  const std::string& name = options.name;
  if (name.empty() || name.size() >= IFNAMSIZ || absl::StrContains(name, '/') || absl::StrContains(name, ' ')) {
    return absl::InvalidArgumentError(
        absl::StrCat(Quoted(name), "an interface name has 1 to ", IFNAMSIZ - 1, " characters, no blank and no slash"));
  }
  if (options.mtu < TapPacketIo::kMinMtu || options.mtu > TapPacketIo::kMaxMtu) {
    return absl::InvalidArgumentError(absl::StrCat(Quoted(name), "mtu ", options.mtu, " is not in ",
                                                   TapPacketIo::kMinMtu, " to ", TapPacketIo::kMaxMtu));
  }
  if (options.mac.IsMulticast()) {
    return absl::InvalidArgumentError(absl::StrCat(Quoted(name), "mac ", options.mac.ToString(),
                                                   " is a group address; clear the lowest bit of its first byte"));
  }
  return absl::OkStatus();
}

absl::StatusOr<Descriptor> OpenTun(const std::string& name) {
  Descriptor fd(open(kTunPath, O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (fd.get() >= 0) return fd;
  switch (errno) {
    case ENOENT:
    case ENODEV:
    case ENXIO:
      return absl::NotFoundError(
          absl::StrCat(Quoted(name), "this machine has no ", kTunPath,
                       "; load the driver (sudo modprobe tun), or give the container that device"));
    case EACCES:
    case EPERM:
      return absl::PermissionDeniedError(absl::StrCat(Quoted(name), "not permitted to open ", kTunPath,
                                                      "; run as root, or: sudo chmod 0666 ", kTunPath));
    default:
      return absl::ErrnoToStatus(errno, absl::StrCat(Quoted(name), "cannot open ", kTunPath));
  }
}

absl::Status AttachError(int error, const TapOptions& options) {
  const std::string& name = options.name;
  switch (error) {
    case EPERM:
      return NotPermitted(
          name, "create or attach to it",
          absl::StrCat("ip tuntap add dev ", Example(name), " mode tap", options.multi_queue ? " multi_queue" : "",
                       " user $USER && sudo ip link set ", Example(name), " up"));
    case EBUSY:
      return absl::AlreadyExistsError(absl::StrCat(Quoted(name), "in use by another process; end it (sudo fuser -v ",
                                                   kTunPath, " shows which), or choose another name"));
    case EINVAL:
      if (if_nametoindex(name.c_str()) == 0) break;
      return absl::AlreadyExistsError(
          absl::StrCat(Quoted(name), "the name belongs to an interface that is no TAP device, or one with multi_queue ",
                       options.multi_queue ? "off" : "on", "; choose another name, or: sudo ip link delete ", name));
    default:
      break;
  }
  return absl::ErrnoToStatus(error, absl::StrCat(Quoted(name), "TUNSETIFF failed"));
}

// What the kernel may leave to us. Said in either case: a persistent interface remembers what its last user could do.
absl::Status SetOffloads(int fd, const std::string& name, bool offloads) {
  int header_bytes = kVnetHeaderBytes;
  if (offloads && ioctl(fd, TUNSETVNETHDRSZ, &header_bytes) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat(Quoted(name), "cannot set the length of its virtio-net header"));
  }
  const unsigned wanted = offloads ? TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO_ECN : 0;
  if (ioctl(fd, TUNSETOFFLOAD, static_cast<unsigned long>(wanted)) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat(Quoted(name), "cannot turn its offloads ", offloads ? "on" : "off"));
  }
  return absl::OkStatus();
}

// Creates or attaches; returns the kernel's name.
absl::StatusOr<std::string> Attach(int fd, const TapOptions& options) {
  ifreq request = {};
  std::memcpy(request.ifr_name, options.name.data(), options.name.size());
  request.ifr_flags = static_cast<short>(IFF_TAP | IFF_NO_PI | (options.multi_queue ? IFF_MULTI_QUEUE : 0) |
                                         (options.offloads ? IFF_VNET_HDR : 0));
  if (ioctl(fd, TUNSETIFF, &request) != 0) return AttachError(errno, options);
  std::string name(request.ifr_name, strnlen(request.ifr_name, IFNAMSIZ));
  if (absl::Status status = SetOffloads(fd, name, options.offloads); !status.ok()) return status;
  if (options.persist && ioctl(fd, TUNSETPERSIST, 1) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat(Quoted(name), "cannot make it persistent"));
  }
  return name;
}

// The interface's settings, through a socket.
class Interface {
 public:
  Interface(int socket, std::string name) : socket_(socket), name_(std::move(name)) {}

  absl::Status SetMtu(uint32_t mtu) const {
    ifreq request = Request();
    if (ioctl(socket_, SIOCGIFMTU, &request) == 0 && request.ifr_mtu == static_cast<int>(mtu)) return absl::OkStatus();
    request.ifr_mtu = static_cast<int>(mtu);
    return Do(SIOCSIFMTU, request, absl::StrCat("set its MTU to ", mtu),
              absl::StrCat("ip link set ", name_, " mtu ", mtu));
  }

  absl::Status SetAddress(const wire::Ipv4Prefix& prefix) const {
    ifreq request = Request();
    if (Matches(SIOCGIFADDR, prefix.address()) && Matches(SIOCGIFNETMASK, prefix.mask())) return absl::OkStatus();
    const std::string what = absl::StrCat("set its address to ", prefix.ToString());
    const std::string command = absl::StrCat("ip addr add ", prefix.ToString(), " dev ", name_);
    StoreAddress(prefix.address(), &request.ifr_addr);
    if (absl::Status status = Do(SIOCSIFADDR, request, what, command); !status.ok()) return status;
    StoreAddress(prefix.mask(), &request.ifr_netmask);
    return Do(SIOCSIFNETMASK, request, what, command);
  }

  absl::Status BringUp() const {
    ifreq request = Request();
    if (ioctl(socket_, SIOCGIFFLAGS, &request) != 0) {
      return absl::ErrnoToStatus(errno, absl::StrCat(Quoted(name_), "cannot read its flags"));
    }
    if ((request.ifr_flags & IFF_UP) != 0) return absl::OkStatus();
    request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
    return Do(SIOCSIFFLAGS, request, "bring it up", absl::StrCat("ip link set ", name_, " up"));
  }

  absl::StatusOr<wire::MacAddress> Mac() const {
    ifreq request = Request();
    if (ioctl(socket_, SIOCGIFHWADDR, &request) != 0) {
      return absl::ErrnoToStatus(errno, absl::StrCat(Quoted(name_), "cannot read its MAC address"));
    }
    return wire::MacAddress::FromBytes(reinterpret_cast<const uint8_t*>(request.ifr_hwaddr.sa_data));
  }

 private:
  ifreq Request() const {
    ifreq request = {};
    std::memcpy(request.ifr_name, name_.data(), name_.size());
    return request;
  }

  absl::Status Do(unsigned long code, ifreq& request, const std::string& what, const std::string& command) const {
    if (ioctl(socket_, code, &request) == 0) return absl::OkStatus();
    if (errno == EPERM || errno == EACCES) return NotPermitted(name_, what, command);
    return absl::ErrnoToStatus(errno, absl::StrCat(Quoted(name_), "cannot ", what));
  }

  static void StoreAddress(wire::Ipv4Address address, sockaddr* out) {
    sockaddr_in in = {};
    in.sin_family = AF_INET;
    in.sin_addr.s_addr = htonl(address.value());
    std::memcpy(out, &in, sizeof(in));
  }

  bool Matches(unsigned long code, wire::Ipv4Address address) const {
    ifreq request = Request();
    if (ioctl(socket_, code, &request) != 0) return false;
    sockaddr_in in;
    std::memcpy(&in, &request.ifr_addr, sizeof(in));
    return ntohl(in.sin_addr.s_addr) == address.value();
  }

  const int socket_;
  const std::string name_;
};

wire::MacAddress NeighbourOf(const wire::MacAddress& kernels) {
  std::array<uint8_t, wire::MacAddress::kSize> bytes = kernels.bytes();
  bytes[0] = static_cast<uint8_t>((bytes[0] | 0x02) & ~0x01);
  bytes[5] ^= 1;
  return wire::MacAddress(bytes);
}

absl::StatusOr<wire::MacAddress> Configure(const Interface& interface, const TapOptions& options) {
  if (absl::Status status = interface.SetMtu(options.mtu); !status.ok()) return status;
  if (options.kernel_address != wire::Ipv4Prefix()) {
    if (absl::Status status = interface.SetAddress(options.kernel_address); !status.ok()) return status;
  }
  if (absl::Status status = interface.BringUp(); !status.ok()) return status;
  absl::StatusOr<wire::MacAddress> kernels = interface.Mac();
  if (!kernels.ok()) return kernels.status();
  if (options.mac == *kernels) {
    return absl::InvalidArgumentError(absl::StrCat(Quoted(options.name), "mac ", options.mac.ToString(),
                                                   " is the kernel's own on this link; choose another, or none"));
  }
  return options.mac.IsZero() ? NeighbourOf(*kernels) : options.mac;
}

}  // namespace

absl::StatusOr<std::unique_ptr<TapPacketIo>> TapPacketIo::Open(const TapOptions& options, zbuf::Slab& slab) {
  if (absl::Status status = Check(options); !status.ok()) return status;
  absl::StatusOr<Descriptor> tun = OpenTun(options.name);
  if (!tun.ok()) return tun.status();
  absl::StatusOr<std::string> name = Attach(tun->get(), options);
  if (!name.ok()) return name.status();
  Descriptor control(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (control.get() < 0) return absl::ErrnoToStatus(errno, absl::StrCat(Quoted(*name), "cannot open a socket"));
  absl::StatusOr<wire::MacAddress> mac = Configure(Interface(control.get(), *name), options);
  if (!mac.ok()) return mac.status();

  Capabilities capabilities{.name = absl::StrCat("tap ", *name),
                            .mac = *mac,
                            .mtu = options.mtu,
                            .max_tx_segments = kMaxTxSegments,
                            .tx_tcp_checksum = options.offloads,
                            .tx_tso = options.offloads,
                            .tso_sum_has_length = true,
                            .trust_rx_checksum = options.offloads,
                            .poll_fd = tun->get()};
  return std::unique_ptr<TapPacketIo>(
      new TapPacketIo(tun->release(), control.release(), *std::move(name), std::move(capabilities), options, slab));
}

}  // namespace luna::pmd
