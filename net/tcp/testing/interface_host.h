#ifndef LUNA_NET_TCP_TESTING_INTERFACE_HOST_H_
#define LUNA_NET_TCP_TESTING_INTERFACE_HOST_H_

// InterfaceHost: a VirtualHost that lies behind packetdrill's binary interface, in a shared object. Whoever drives a
// VirtualHost can drive it, so that packet scripts prove the shared object, too: calls that block on threads of their
// own, descriptors of the kernel, a clock that moves by itself, all as packetdrill has it.
//
// What differs from a VirtualHost: now() is some microseconds late; one call blocks at a time; a blocked call that is
// given up goes on blocking until TearDown(); StepToNextPacket() may let time pass beyond `cap` and then gives a packet
// of later; packets that nobody asked for are not known (the report on stderr has them); of what remains, nothing is
// known but leaked objs.
//
// One thread. Needs packetdrill_so.so in its runfiles.

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "luna/net/tcp/testing/packetdrill_interface.h"
#include "luna/net/tcp/testing/sockets/virtual_host.h"

namespace luna::tcp::testing {

class InterfaceHost final : public VirtualHost {
 public:
  // `library`: the path of the shared object. CHECK fails when it cannot be loaded.
  InterfaceHost(const std::string& library, const VirtualHostOptions& options);
  ~InterfaceHost() override;

  absl::Status SetSysctl(absl::string_view name, absl::string_view value) override;
  Time now() const override { return now_; }
  // Not known: a little later than now.
  Time NextDeadline() const override { return now_ + Duration::Milliseconds(1); }
  void AdvanceTo(Time when) override;
  bool StepToNextPacket(Time cap) override;
  void Inject(absl::string_view packet) override;
  std::optional<Packet> NextPacket() override { return std::exchange(next_packet_, std::nullopt); }

  CallResult Socket(int domain, int type, int protocol) override;
  CallResult Bind(int fd, const sockaddr* address, socklen_t length) override;
  CallResult Listen(int fd, int backlog) override;
  CallResult Accept(int fd, sockaddr* address, socklen_t* length, int flags = 0) override;
  CallResult Connect(int fd, const sockaddr* address, socklen_t length) override;
  CallResult Close(int fd) override;
  CallResult Shutdown(int fd, int how) override;
  CallResult Read(int fd, void* buffer, size_t size) override;
  CallResult Readv(int fd, const iovec* iov, int count) override;
  CallResult Recv(int fd, void* buffer, size_t size, int flags) override;
  CallResult RecvFrom(int fd, void* buffer, size_t size, int flags, sockaddr* address, socklen_t* length) override;
  CallResult RecvMsg(int fd, msghdr* message, int flags) override;
  CallResult Write(int fd, const void* buffer, size_t size) override;
  CallResult Writev(int fd, const iovec* iov, int count) override;
  CallResult Send(int fd, const void* buffer, size_t size, int flags) override;
  CallResult SendTo(int fd, const void* buffer, size_t size, int flags, const sockaddr* address,
                    socklen_t length) override;
  CallResult SendMsg(int fd, const msghdr* message, int flags) override;
  CallResult Fcntl(int fd, int command, intptr_t argument = 0) override;
  CallResult Ioctl(int fd, unsigned long request, void* argument) override;  // NOLINT(google-runtime-int)
  CallResult GetSockOpt(int fd, int level, int name, void* value, socklen_t* length) override;
  CallResult SetSockOpt(int fd, int level, int name, const void* value, socklen_t length) override;
  CallResult Poll(pollfd* fds, nfds_t count, int timeout_ms) override;
  CallResult EpollCreate(int flags) override;
  CallResult EpollCtl(int epoll_fd, int operation, int fd, const epoll_event* event) override;
  CallResult EpollWait(int epoll_fd, epoll_event* events, int capacity, int timeout_ms) override;
  CallResult Pipe(int fds[2], int flags = 0) override;
  CallResult Splice(int in, loff_t* in_offset, int out, loff_t* out_offset, size_t size, unsigned flags) override;
  void CancelWait(int fd) override;
  Remains TearDown() override;

 private:
  // A call on a thread of its own.
  struct Running {
    std::thread thread;
    std::atomic<pid_t> tid = 0;
    std::atomic<bool> done = false;
    CallResult result;
    Time ended;
  };

  // The same call again when one is blocked and on_change() asks; else a new one.
  CallResult Run(const std::function<int64_t(packetdrill_interface&)>& call);
  // Until it has returned, or sleeps.
  static void Await(const Running& running);
  CallResult Collect();
  Time Clock();
  // Lets on_change() see a blocked call that returned meanwhile, at its time.
  void Report();

  std::string sysctl_file_;
  packetdrill_interface i_ = {};
  Time now_;
  std::optional<Packet> next_packet_;
  std::unique_ptr<Running> blocked_;
  std::vector<std::unique_ptr<Running>> given_up_;
  bool reporting_ = false;
  bool over_ = false;
};

}  // namespace luna::tcp::testing

#endif  // LUNA_NET_TCP_TESTING_INTERFACE_HOST_H_
