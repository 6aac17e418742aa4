#include "luna/net/pmd/dpdk/memif_sockets.h"

#include "rte_config.h"
// clang-format off: rte_config.h comes first.
#include <rte_dev.h>
// clang-format on
#include <unistd.h>

#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "luna/net/pmd/dpdk/eal_log.h"
#include "luna/net/pmd/dpdk/memif.h"

namespace luna::pmd::dpdk {
namespace {

struct Socket {
  bool anchored = false;
  bool is_file = false;
  int clients = 0;
};

std::map<std::string, Socket>& Sockets() {
  static auto* sockets = new std::map<std::string, Socket>;
  return *sockets;
}

std::string SocketName(const Devargs& devargs) {
  // The driver's default, too.
  return std::string(devargs.Find("socket").value_or("/run/memif.sock"));
}

absl::Status Anchor(const Devargs& devargs, const std::string& name) {
  const std::string device = absl::StrCat("net_memif_anchor", Sockets().size());
  // No peer asks for the last id.
  const std::string arguments =
      absl::StrCat("role=server,id=4294967295,socket=", name, ",socket-abstract=", *devargs.Find("socket-abstract"));
  ForgetEalLog();
  if (rte_eal_hotplug_add("vdev", device.c_str(), arguments.c_str()) == 0) return absl::OkStatus();
  const std::string log = LastEalLog();
  if (absl::StrContains(log, "Address already in use")) {
    return absl::AlreadyExistsError(devargs.Message(
        absl::StrCat("another process is the server on socket=", name, "; stop it, or choose another socket=")));
  }
  return absl::UnavailableError(
      devargs.Message(absl::StrCat("cannot listen on socket=", name, log.empty() ? "" : "; DPDK says: ", log)));
}

}  // namespace

absl::Status AcquireMemifSocket(const Devargs& devargs) {
  const std::string name = SocketName(devargs);
  Socket& socket = Sockets()[name];
  if (IsMemifClient(devargs)) {
    ++socket.clients;
    return absl::OkStatus();
  }
  if (socket.anchored) return absl::OkStatus();
  if (socket.clients > 0) {
    return absl::FailedPreconditionError(devargs.Message(
        absl::StrCat("a client port of this process already uses socket=", name, "; open the server first")));
  }
  if (absl::Status s = Anchor(devargs, name); !s.ok()) return s;
  socket.anchored = true;
  socket.is_file = *devargs.Find("socket-abstract") == "no";
  return absl::OkStatus();
}

void ReleaseMemifSocket(const Devargs& devargs) {
  if (IsMemifClient(devargs)) --Sockets()[SocketName(devargs)].clients;
}

void RemoveMemifSocketFiles() {
  for (auto& [name, socket] : Sockets()) {
    if (socket.anchored && socket.is_file) unlink(name.c_str());
    socket.is_file = false;
  }
}

}  // namespace luna::pmd::dpdk
