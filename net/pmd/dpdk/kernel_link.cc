#include "luna/net/pmd/dpdk/kernel_link.h"

#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <random>

#include "absl/strings/str_cat.h"

namespace luna::pmd::dpdk {

absl::StatusOr<KernelLink> FindKernelLink(const std::string& name) {
  KernelLink link;
  link.name = name;
  link.index = static_cast<int>(if_nametoindex(name.c_str()));
  if (link.index == 0 || name.size() >= IFNAMSIZ) {
    return absl::NotFoundError(absl::StrCat("there is no interface \"", name, "\"; `ip link` shows what there is"));
  }
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ifreq request{};
  memcpy(request.ifr_name, name.c_str(), name.size() + 1);
  const int error = ioctl(fd, SIOCGIFMTU, &request);
  close(fd);
  if (error != 0) return absl::NotFoundError(absl::StrCat("interface \"", name, "\" has no MTU: ", strerror(errno)));
  link.mtu = static_cast<uint32_t>(request.ifr_mtu);
  return link;
}

wire::MacAddress RandomLocalMac() {
  std::random_device random;
  std::array<uint8_t, wire::MacAddress::kSize> bytes;
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
  bytes[0] = static_cast<uint8_t>((bytes[0] & 0xfc) | 0x02);
  return wire::MacAddress(bytes);
}

}  // namespace luna::pmd::dpdk
