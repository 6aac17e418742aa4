#include "luna/net/pmd/xdp/interface_facts.h"

#include <linux/ethtool.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"

namespace luna::pmd::xdp {
namespace {

class Asker {
 public:
  Asker(int fd, const std::string& interface) : fd_(fd), interface_(interface) {}
  bool Ask(unsigned long what, ifreq* request) const {
    const auto data = request->ifr_data;
    std::memset(request, 0, sizeof(*request));
    request->ifr_data = data;
    std::strncpy(request->ifr_name, interface_.c_str(), IFNAMSIZ - 1);
    return ioctl(fd_, what, request) == 0;
  }

 private:
  const int fd_;
  const std::string& interface_;
};

absl::optional<uint32_t> QueuesByEthtool(const Asker& asker) {
  ethtool_channels channels{};
  channels.cmd = ETHTOOL_GCHANNELS;
  ifreq request{};
  request.ifr_data = reinterpret_cast<char*>(&channels);
  if (!asker.Ask(SIOCETHTOOL, &request)) return absl::nullopt;
  return std::max<uint32_t>(channels.rx_count + channels.combined_count, 1);
}

// IFLA_NUM_RX_QUEUES of an RTM_GETLINK.
absl::optional<uint32_t> QueuesByNetlink(int ifindex) {
  const int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (fd < 0) return absl::nullopt;
  const auto closer = absl::MakeCleanup([fd] { close(fd); });
  struct {
    nlmsghdr header;
    ifinfomsg link;
  } request{};
  request.header.nlmsg_len = sizeof(request);
  request.header.nlmsg_type = RTM_GETLINK;
  request.header.nlmsg_flags = NLM_F_REQUEST;
  request.link.ifi_index = ifindex;
  if (send(fd, &request, sizeof(request), 0) < 0) return absl::nullopt;
  alignas(nlmsghdr) std::array<char, 16384> answer;
  const ssize_t bytes = recv(fd, answer.data(), answer.size(), 0);
  const auto* header = reinterpret_cast<const nlmsghdr*>(answer.data());
  if (bytes < 0 || !NLMSG_OK(header, static_cast<size_t>(bytes)) || header->nlmsg_type != RTM_NEWLINK)
    return absl::nullopt;
  const auto* link = static_cast<const ifinfomsg*>(NLMSG_DATA(header));
  int left = static_cast<int>(IFLA_PAYLOAD(header));
  for (const rtattr* a = IFLA_RTA(link); RTA_OK(a, left); a = RTA_NEXT(a, left)) {
    if (a->rta_type != IFLA_NUM_RX_QUEUES || RTA_PAYLOAD(a) < sizeof(uint32_t)) continue;
    uint32_t queues;
    std::memcpy(&queues, RTA_DATA(a), sizeof(queues));
    return queues;
  }
  return absl::nullopt;
}

}  // namespace

absl::StatusOr<InterfaceFacts> ReadInterfaceFacts(const std::string& interface) {
  InterfaceFacts facts;
  facts.ifindex = interface.size() < IFNAMSIZ ? static_cast<int>(if_nametoindex(interface.c_str())) : 0;
  if (facts.ifindex == 0) {
    return absl::NotFoundError(absl::StrCat("no network interface '", interface, "' here: see `ip link`"));
  }
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return absl::UnavailableError(absl::StrCat("opening a socket: ", std::strerror(errno)));
  const auto closer = absl::MakeCleanup([fd] { close(fd); });
  const Asker asker(fd, interface);
  ifreq request{};
  if (!asker.Ask(SIOCGIFHWADDR, &request) || request.ifr_hwaddr.sa_family != ARPHRD_ETHER) {
    return absl::InvalidArgumentError(absl::StrCat(interface, " is no Ethernet interface: AF_XDP here needs one"));
  }
  facts.mac = wire::MacAddress::FromBytes(reinterpret_cast<const uint8_t*>(request.ifr_hwaddr.sa_data));
  if (!asker.Ask(SIOCGIFMTU, &request))
    return absl::UnavailableError(absl::StrCat("asking for the MTU of ", interface));
  facts.mtu = static_cast<uint32_t>(request.ifr_mtu);
  if (!asker.Ask(SIOCGIFFLAGS, &request))
    return absl::UnavailableError(absl::StrCat("asking for the state of ", interface));
  facts.up = (request.ifr_flags & IFF_UP) != 0;
  absl::optional<uint32_t> queues = QueuesByEthtool(asker);
  if (!queues.has_value()) queues = QueuesByNetlink(facts.ifindex);
  facts.receive_queues = queues.value_or(1);
  return facts;
}

}  // namespace luna::pmd::xdp
