// The C interface that packetdrill loads with --so_filename, and getsockopt() for LD_PRELOAD: packetdrill reads
// TCP_INFO of `%{ }%` blocks from the system, not through the interface.

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>
#include <vector>

#include "luna/net/tcp/testing/packetdrill_host.h"
#include "luna/net/tcp/testing/packetdrill_interface.h"

namespace luna::tcp::testing {
namespace {

// The hosts that live, for getsockopt(). Never destroyed: calls may come while the process exits.
struct Registry {
  std::mutex mutex;
  std::vector<PacketdrillHost*> hosts;

  static Registry& Get() {
    static auto* const registry = new Registry;
    return *registry;
  }
};

PacketdrillHost& Host(void* self) { return *static_cast<PacketdrillHost*>(self); }

template <typename Result = int, typename Attempt>
Result Call(void* self, Attempt attempt) {
  return static_cast<Result>(Host(self).Call([&](VirtualHost& host) { return attempt(host); }));
}

void Free(void* self) {
  auto* host = static_cast<PacketdrillHost*>(self);
  {
    Registry& registry = Registry::Get();
    const std::lock_guard<std::mutex> lock(registry.mutex);
    std::erase(registry.hosts, host);
  }
  host->Finish();
  // Not deleted: a thread that was woken may still be on its way out of it, and the process ends here anyway.
}

int NetdevSend(void* self, const void* packet, size_t size) {
  Host(self).Send({static_cast<const char*>(packet), size});
  return 0;
}

int NetdevReceive(void* self, void* buffer, size_t* size, long long* microseconds) {  // NOLINT(google-runtime-int)
  Time at;
  const std::string packet = Host(self).Receive(&at);
  const size_t n = std::min(*size, packet.size());
  std::memcpy(buffer, packet.data(), n);
  *size = n;
  *microseconds = at.nanoseconds() / 1000;
  return 0;
}

int Usleep(void* self, useconds_t microseconds) {
  Host(self).Sleep(Duration::Microseconds(microseconds));
  return 0;
}

int GetTimeOfDay(void* self, timeval* time, struct timezone* zone) {
  const int64_t microseconds = Host(self).TimeOfDay().nanoseconds() / 1000;
  constexpr int64_t kPerSecond = 1000 * 1000;
  if (time != nullptr) *time = {.tv_sec = microseconds / kPerSecond, .tv_usec = microseconds % kPerSecond};
  if (zone != nullptr) *zone = {};
  return 0;
}

int Fcntl(void* self, int fd, int command, ...) {
  va_list arguments;
  va_start(arguments, command);
  const auto argument = va_arg(arguments, intptr_t);
  va_end(arguments);
  return Call(self, [&](VirtualHost& host) { return host.Fcntl(fd, command, argument); });
}

int Ioctl(void* self, int fd, unsigned long request, ...) {  // NOLINT(google-runtime-int)
  va_list arguments;
  va_start(arguments, request);
  void* const argument = va_arg(arguments, void*);
  va_end(arguments);
  return Call(self, [&](VirtualHost& host) { return host.Ioctl(fd, request, argument); });
}

// An adapter from the C function to the VirtualHost's member of the same arguments.
template <auto kMember, typename Result, typename... Arguments>
Result Forward(void* self, Arguments... arguments) {
  return Call<Result>(self, [&](VirtualHost& host) { return (host.*kMember)(arguments...); });
}

template <auto kMember, typename Result, typename... Arguments>
void Set(Result (**slot)(void*, Arguments...)) {
  *slot = &Forward<kMember, Result, Arguments...>;
}

int Accept(void* self, int fd, sockaddr* address, socklen_t* length) {
  return Call(self, [&](VirtualHost& host) { return host.Accept(fd, address, length); });
}

int EpollCreate(void* self, int size) {
  if (size <= 0) {
    errno = EINVAL;
    return -1;
  }
  return Call(self, [](VirtualHost& host) { return host.EpollCreate(0); });
}

int Pipe(void* self, int fds[2]) {
  return Call(self, [&](VirtualHost& host) { return host.Pipe(fds); });
}

void FillCalls(packetdrill_interface* i) {
  Set<&VirtualHost::Socket>(&i->socket);
  Set<&VirtualHost::Bind>(&i->bind);
  Set<&VirtualHost::Listen>(&i->listen);
  i->accept = Accept;
  Set<&VirtualHost::Connect>(&i->connect);
  Set<&VirtualHost::Read>(&i->read);
  Set<&VirtualHost::Readv>(&i->readv);
  Set<&VirtualHost::Recv>(&i->recv);
  Set<&VirtualHost::RecvFrom>(&i->recvfrom);
  Set<&VirtualHost::RecvMsg>(&i->recvmsg);
  Set<&VirtualHost::Write>(&i->write);
  Set<&VirtualHost::Writev>(&i->writev);
  Set<&VirtualHost::Send>(&i->send);
  Set<&VirtualHost::SendTo>(&i->sendto);
  Set<&VirtualHost::SendMsg>(&i->sendmsg);
  i->fcntl = Fcntl;
  i->ioctl = Ioctl;
  Set<&VirtualHost::Close>(&i->close);
  Set<&VirtualHost::Shutdown>(&i->shutdown);
  Set<&VirtualHost::GetSockOpt>(&i->getsockopt);
  Set<&VirtualHost::SetSockOpt>(&i->setsockopt);
  Set<&VirtualHost::Poll>(&i->poll);
  i->epoll_create = EpollCreate;
  Set<&VirtualHost::EpollCtl>(&i->epoll_ctl);
  Set<&VirtualHost::EpollWait>(&i->epoll_wait);
  i->pipe = Pipe;
  Set<&VirtualHost::Splice>(&i->splice);
}

}  // namespace
}  // namespace luna::tcp::testing

extern "C" {

__attribute__((visibility("default"))) void packetdrill_interface_init(const char* flags,
                                                                       packetdrill_interface* interface) {
  using luna::tcp::testing::PacketdrillFlags;
  using luna::tcp::testing::PacketdrillHost;
  using luna::tcp::testing::Registry;
  const absl::StatusOr<PacketdrillFlags> parsed = PacketdrillFlags::Parse(flags == nullptr ? "" : flags);
  if (!parsed.ok()) {
    std::fprintf(stderr, "packetdrill_so: --so_flags: %s\n", std::string(parsed.status().message()).c_str());
    std::exit(2);
  }
  auto* const host = new PacketdrillHost(*parsed);
  {
    Registry& registry = Registry::Get();
    const std::lock_guard<std::mutex> lock(registry.mutex);
    registry.hosts.push_back(host);
  }
  luna::tcp::testing::FillCalls(interface);
  interface->userdata = host;
  interface->free = luna::tcp::testing::Free;
  interface->netdev_send = luna::tcp::testing::NetdevSend;
  interface->netdev_receive = luna::tcp::testing::NetdevReceive;
  interface->usleep = luna::tcp::testing::Usleep;
  interface->gettimeofday = luna::tcp::testing::GetTimeOfDay;
}

// Answers for our descriptors and passes others to the kernel.
__attribute__((visibility("default"))) int getsockopt(int fd, int level, int name, void* __restrict value,
                                                      socklen_t* __restrict length) noexcept {
  {
    luna::tcp::testing::Registry& registry = luna::tcp::testing::Registry::Get();
    const std::lock_guard<std::mutex> lock(registry.mutex);
    for (auto* host : registry.hosts) {
      if (!host->IsOpen(fd)) continue;
      return static_cast<int>(
          host->Call([&](luna::tcp::testing::VirtualHost& h) { return h.GetSockOpt(fd, level, name, value, length); }));
    }
  }
  return static_cast<int>(::syscall(SYS_getsockopt, fd, level, name, value, length));
}

}  // extern "C"
