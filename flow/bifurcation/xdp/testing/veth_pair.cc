#include "luna/flow/bifurcation/xdp/testing/veth_pair.h"

#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "glog/logging.h"

namespace luna::bifurcation::xdp {
namespace {

// Inherited by children on purpose: `ip link set netns` names it through /proc.
int OpenNamespace() { return open("/proc/thread-self/ns/net", O_RDONLY); }

absl::Status SetOffload(const std::string& interface, uint32_t command, const char* what) {
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return absl::UnavailableError("no socket");
  ethtool_value value{command, 0};
  ifreq request{};
  std::strncpy(request.ifr_name, interface.c_str(), IFNAMSIZ - 1);
  request.ifr_data = reinterpret_cast<char*>(&value);
  const int result = ioctl(fd, SIOCETHTOOL, &request);
  const int error = errno;
  close(fd);
  if (result == 0) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("switching off ", what, " of ", interface, ": ", std::strerror(error)));
}

}  // namespace

std::string WhyNotRoot() {
  if (geteuid() != 0) return "needs root: run it by `sudo`, or as a root CI job";
  const int home = OpenNamespace();
  if (home < 0) return "needs /proc";
  const bool can = unshare(CLONE_NEWNET) == 0;
  const std::string why =
      can ? "" : absl::StrCat("needs CAP_SYS_ADMIN to make network namespaces: ", std::strerror(errno));
  if (can) CHECK_EQ(setns(home, CLONE_NEWNET), 0);
  close(home);
  if (can && std::system("ip -V >/dev/null 2>&1") != 0) return "needs the `ip` command (apt-get install iproute2)";
  return why;
}

absl::Status Shell(const std::string& command) {
  FILE* pipe = popen(absl::StrCat(command, " 2>&1").c_str(), "re");
  if (pipe == nullptr) return absl::UnavailableError("no shell");
  std::string output;
  char line[256];
  while (std::fgets(line, sizeof(line), pipe) != nullptr) absl::StrAppend(&output, line);
  const int status = pclose(pipe);
  if (status == 0) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("`", command, "`: ", absl::StrReplaceAll(output, {{"\n", " "}})));
}

absl::StatusOr<std::unique_ptr<VethPair>> VethPair::Create() {
  std::unique_ptr<VethPair> pair(new VethPair());
  if (absl::Status status = pair->Build(); !status.ok()) return status;
  return pair;
}

absl::Status VethPair::Build() {
  home_fd_ = OpenNamespace();
  if (home_fd_ < 0) return absl::UnavailableError("needs /proc");
  for (Side* side : {&peer_, &luna_}) {
    if (unshare(CLONE_NEWNET) != 0) {
      return absl::PermissionDeniedError(absl::StrCat("making a network namespace: ", std::strerror(errno)));
    }
    side->netns_fd = OpenNamespace();
  }
  const std::string peer_path = absl::StrCat("/proc/", getpid(), "/fd/", peer_.netns_fd);
  const std::string add = absl::StrCat("ip link add ", luna_.interface, " address ", luna_.mac.ToString(),
                                       " numrxqueues 1 numtxqueues 1 type veth peer name ", peer_.interface,
                                       " address ", peer_.mac.ToString(), " numrxqueues 1 numtxqueues 1");
  if (absl::Status status = Shell(add); !status.ok()) return status;
  absl::Status status = Shell(absl::StrCat("ip link set ", peer_.interface, " netns ", peer_path));
  if (!status.ok()) return status;
  EnterPeer();
  status = Configure(peer_, luna_);
  EnterLuna();
  if (status.ok()) status = Configure(luna_, peer_);
  if (status.ok()) status = WaitUntilRunning(peer_);
  if (status.ok()) status = WaitUntilRunning(luna_);
  return status;
}

// A cable carries nothing until a worker of the kernel has seen both ends: frames sent before are dropped.
absl::Status VethPair::WaitUntilRunning(const Side& side) {
  Enter(side.netns_fd);
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  bool running = false;
  for (int tries = 0; tries < 1000 && !running; ++tries) {
    if (tries > 0) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    ifreq request{};
    std::strncpy(request.ifr_name, side.interface.c_str(), IFNAMSIZ - 1);
    running = ioctl(fd, SIOCGIFFLAGS, &request) == 0 && (request.ifr_flags & IFF_RUNNING) != 0;
  }
  close(fd);
  return running ? absl::OkStatus() : absl::UnavailableError(absl::StrCat(side.interface, " does not come up"));
}

absl::Status VethPair::Configure(Side& side, const Side& other) {
  const std::string& name = side.interface;
  const std::string commands =
      absl::StrCat("ip link set lo up && ip link set ", name, " addrgenmode none && ip addr add ",
                   side.address.ToString(), "/24 dev ", name, " && ip link set ", name, " up && ip neigh replace ",
                   other.address.ToString(), " lladdr ", other.mac.ToString(), " dev ", name, " nud permanent");
  if (absl::Status status = Shell(commands); !status.ok()) return status;
  side.ifindex = static_cast<int>(if_nametoindex(name.c_str()));
  for (auto [command, what] : {std::pair<uint32_t, const char*>{ETHTOOL_STSO, "TSO"},
                               {ETHTOOL_SGSO, "GSO"},
                               {ETHTOOL_SGRO, "GRO"},
                               {ETHTOOL_STXCSUM, "transmit checksums"}}) {
    if (absl::Status status = SetOffload(name, command, what); !status.ok()) return status;
  }
  return absl::OkStatus();
}

void VethPair::Enter(int netns_fd) { PCHECK(setns(netns_fd, CLONE_NEWNET) == 0); }

VethPair::~VethPair() {
  if (luna_.netns_fd >= 0 && luna_.ifindex != 0) {
    EnterLuna();
    // Namespaces die lazily, the cable should not.
    const absl::Status status = Shell(absl::StrCat("ip link del ", luna_.interface));
    if (!status.ok()) LOG(WARNING) << status;
  }
  if (home_fd_ >= 0) Enter(home_fd_);
  for (int fd : {luna_.netns_fd, peer_.netns_fd, home_fd_}) {
    if (fd >= 0) close(fd);
  }
}

}  // namespace luna::bifurcation::xdp
