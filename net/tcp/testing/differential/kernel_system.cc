#include "luna/net/tcp/testing/differential/kernel_system.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/tcp.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"

namespace luna::tcp::differential {
namespace {

using posix::Failure;
using posix::Success;
using RealClock = std::chrono::steady_clock;

constexpr size_t kLargestPacket = 65536;

// What would make the kernel's answers depend on time or on connections before. Each must be there but the last ones,
// which older kernels lack.
constexpr std::pair<const char*, const char*> kSettings[] = {
    {"net.ipv6.conf.all.disable_ipv6", "1"}, {"net.ipv4.tcp_no_metrics_save", "1"},
    {"net.ipv4.tcp_invalid_ratelimit", "0"}, {"net.ipv4.tcp_challenge_ack_limit", "2147483647"},
    {"net.ipv4.tcp_fastopen", "0"},          {"net.ipv4.tcp_ecn", "0"},
};

CallResult Result(int64_t value) { return value < 0 ? Failure(errno) : Success(value); }

absl::Status WriteFile(const std::string& path, absl::string_view value) {
  const int fd = open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return absl::NotFoundError(absl::StrCat(path, ": ", std::strerror(errno)));
  const bool done = write(fd, value.data(), value.size()) == static_cast<ssize_t>(value.size());
  const int error = errno;
  close(fd);
  if (done) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(path, " takes no ", value, ": ", std::strerror(error)));
}

// Twice: the outer one says that those made from it have a small table of connections of their own, which State() reads
// from end to end. (Kernels before 6.1 share the machine's: slower, and all the same.)
absl::Status EnterNamespace() {
  for (const bool outer : {true, false}) {
    if (unshare(CLONE_NEWNET) != 0) {
      return absl::PermissionDeniedError(absl::StrCat("a network namespace of its own: ", std::strerror(errno)));
    }
    if (outer) WriteFile("/proc/sys/net/ipv4/tcp_child_ehash_entries", "64").IgnoreError();
  }
  return absl::OkStatus();
}

absl::StatusOr<int> OpenTun() {
  const int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return absl::UnavailableError(absl::StrCat("/dev/net/tun: ", std::strerror(errno)));
  ifreq request = {};
  std::strncpy(request.ifr_name, "tun0", IFNAMSIZ - 1);
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  if (ioctl(fd, TUNSETIFF, &request) == 0) return fd;
  const absl::Status status = absl::UnavailableError(absl::StrCat("TUNSETIFF: ", std::strerror(errno)));
  close(fd);
  return status;
}

std::string NameOfState(int number) {
  constexpr const char* kNames[] = {"-",          "ESTABLISHED", "SYN-SENT",    "SYN-RECEIVED", "FIN-WAIT-1",
                                    "FIN-WAIT-2", "TIME-WAIT",   "-",           "CLOSE-WAIT",   "LAST-ACK",
                                    "LISTEN",     "CLOSING",     "SYN-RECEIVED"};
  return number > 0 && number < static_cast<int>(std::size(kNames)) ? kNames[number] : "?";
}

// As /proc/net/tcp has it: the address as a word of this machine's order.
std::string ProcEndpoint(const wire::Endpoint& endpoint) {
  return absl::StrFormat("%08X:%04X", htonl(endpoint.address.v4().value()), endpoint.port);
}

}  // namespace

absl::StatusOr<std::unique_ptr<KernelSystem>> KernelSystem::Create(const wire::Ipv4Address& host) {
  if (absl::Status status = EnterNamespace(); !status.ok()) return status;
  for (const auto& [name, value] : kSettings) {
    const std::string path = absl::StrCat("/proc/sys/", absl::StrReplaceAll(name, {{".", "/"}}));
    if (absl::Status status = WriteFile(path, value); !status.ok()) return status;
  }
  absl::StatusOr<int> tun = OpenTun();
  if (!tun.ok()) return tun.status();
  std::unique_ptr<KernelSystem> system(new KernelSystem(*tun));
  // "quickack": no acknowledgement waits, so that none depends on when the next event comes.
  const std::string address = host.ToString();
  const std::string commands = absl::StrCat(
      "ip address add ", address, "/24 dev tun0 noprefixroute && ip link set tun0 up && ip route add ",
      wire::Ipv4Address(host.value() & 0xffffff00).ToString(), "/24 dev tun0 src ", address, " quickack 1");
  if (std::system(commands.c_str()) != 0) return absl::UnavailableError(absl::StrCat("failed: ", commands));
  return system;
}

KernelSystem::~KernelSystem() { close(tun_); }

absl::Status KernelSystem::Begin(const wire::Endpoint& host, const wire::Endpoint& peer) {
  host_ = host;
  peer_ = peer;
  trouble_.clear();
  return absl::OkStatus();
}

absl::Status KernelSystem::SetSysctl(absl::string_view name, absl::string_view value) {
  return WriteFile(absl::StrCat("/proc/sys/", absl::StrReplaceAll(name, {{".", "/"}})), value);
}

void KernelSystem::Inject(absl::string_view packet) {
  if (write(tun_, packet.data(), packet.size()) != static_cast<ssize_t>(packet.size())) {
    trouble_ = absl::StrCat("the TUN device refused a packet: ", std::strerror(errno));
  }
}

std::vector<std::string> KernelSystem::Advance(Duration duration) {
  const auto end = RealClock::now() + std::chrono::nanoseconds(duration.nanoseconds());
  std::vector<std::string> packets;
  std::string buffer(kLargestPacket, '\0');
  for (;;) {
    for (ssize_t size; (size = read(tun_, buffer.data(), buffer.size())) > 0;) {
      packets.emplace_back(buffer, 0, static_cast<size_t>(size));
    }
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - RealClock::now()).count();
    if (left <= 0) return packets;
    pollfd entry{.fd = tun_, .events = POLLIN};
    poll(&entry, 1, static_cast<int>(left));
  }
}

std::string KernelSystem::State() {
  const std::string ends = absl::StrCat(ProcEndpoint(host_), " ", ProcEndpoint(peer_));
  std::ifstream file("/proc/thread-self/net/tcp");
  for (std::string line; std::getline(file, line);) {
    const size_t at = line.find(ends);
    int state = 0;
    if (at == std::string::npos || line.size() < at + ends.size() + 3) continue;
    if (absl::SimpleHexAtoi(line.substr(at + ends.size() + 1, 2), &state)) return NameOfState(state);
  }
  return "-";
}

std::string KernelSystem::End() { return trouble_; }

CallResult KernelSystem::Socket(int domain, int type, int protocol) {
  const CallResult result = Result(socket(domain, type | SOCK_CLOEXEC, protocol));
  if (!result.ok()) return result;
  const int on = 1;
  setsockopt(static_cast<int>(result.value), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (setsockopt(static_cast<int>(result.value), IPPROTO_TCP, TCP_CONGESTION, "reno", 4) != 0) return Failure(errno);
  return result;
}

CallResult KernelSystem::Bind(int fd, const sockaddr* address, socklen_t length) {
  return Result(bind(fd, address, length));
}

CallResult KernelSystem::Listen(int fd, int backlog) { return Result(listen(fd, backlog)); }

CallResult KernelSystem::Accept(int fd, int flags) { return Result(accept4(fd, nullptr, nullptr, flags)); }

CallResult KernelSystem::Connect(int fd, const sockaddr* address, socklen_t length) {
  return Result(connect(fd, address, length));
}

CallResult KernelSystem::Send(int fd, const void* buffer, size_t size, int flags) {
  return Result(send(fd, buffer, size, flags | MSG_NOSIGNAL));
}

CallResult KernelSystem::Recv(int fd, void* buffer, size_t size, int flags) {
  return Result(recv(fd, buffer, size, flags));
}

CallResult KernelSystem::Shutdown(int fd, int how) { return Result(shutdown(fd, how)); }

CallResult KernelSystem::Close(int fd) { return Result(close(fd)); }

CallResult KernelSystem::SetSockOpt(int fd, int level, int name, const void* value, socklen_t length) {
  return Result(setsockopt(fd, level, name, value, length));
}

CallResult KernelSystem::GetSockOpt(int fd, int level, int name, void* value, socklen_t* length) {
  return Result(getsockopt(fd, level, name, value, length));
}

CallResult KernelSystem::Poll(int fd) {
  pollfd entry{.fd = fd, .events = POLLIN | POLLOUT | POLLPRI | POLLRDHUP};
  const CallResult result = Result(poll(&entry, 1, 0));
  return result.ok() ? Success(entry.revents) : result;
}

}  // namespace luna::tcp::differential
