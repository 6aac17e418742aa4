#ifndef LUNA_NET_TCP_TESTING_SOCKETS_VIRTUAL_HOST_H_
#define LUNA_NET_TCP_TESTING_SOCKETS_VIRTUAL_HOST_H_

// VirtualHost: one host on a virtual clock: its memory, a tcp::Stack, an IPv4 layer without Ethernet, and the system
// calls of a POSIX host over them. For packet scripts: in process, and behind packetdrill's shared object.
//
//   VirtualHost host({.profile = LinuxTestProfile()});
//   const int fd = host.Socket(AF_INET, SOCK_STREAM, 0).value;
//   host.Connect(fd, …);                        // {.would_block = true}: its SYN has left
//   std::optional<VirtualHost::Packet> syn = host.NextPacket();
//   host.Inject(syn_ack);                       // a bare IPv4 packet
//   host.Connect(fd, …);                        // the same call again: {0}
//   host.AdvanceTo(host.now() + Duration::Milliseconds(40));  // timers run in order, each at its own time
//
// Calls take what POSIX's take, raw pointers included, and never block, sleep or touch the process's errno. A null
// pointer where there must be memory is EFAULT. Whatever a call causes to be sent has been emitted when it returns.
//
// Blocking. `would_block` says that the call would sleep here. Make the same call with the same arguments again, after
// on_change() said that something happened, until it is false; the host remembers how far the call got (octets of a
// write that were taken, since when a poll waits). A caller that gives up says so by CancelWait(). On a descriptor with
// O_NONBLOCK, or with MSG_DONTWAIT, calls fail with EAGAIN or EINPROGRESS instead.
//
// What is virtual here lets the same host be driven through another interface (interface_host.h).
// Deterministic: a function of options, calls, packets and times. One thread at a time: BindToCurrentThread().
// A Linux host's answers where systems differ; SocketDefaults says what is otherwise in the "bsd-test" profile.

#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "luna/ctrl/stats/drop_counters.h"
#include "luna/mem/zbuf/arena.h"
#include "luna/mem/zbuf/page_source.h"
#include "luna/mem/zbuf/slab.h"
#include "luna/net/ip/datagram.h"
#include "luna/net/tcp/event.h"
#include "luna/net/tcp/stack.h"
#include "luna/net/tcp/testing/sockets/call_result.h"
#include "luna/net/tcp/testing/sockets/profile.h"
#include "luna/net/wire/address.h"
#include "luna/sched/clock/time.h"

namespace luna::tcp::testing {

struct File;
struct SocketFile;
struct EpollFile;
struct PipeFile;

// Where descriptor numbers come from. By default the lowest free one from 3, as in a fresh process.
class FdSource {
 public:
  virtual ~FdSource() = default;
  virtual int Open() = 0;
  virtual void Close(int fd) = 0;
};

struct VirtualHostOptions {
  HostProfile profile = LinuxTestProfile();
  wire::Ipv4Address address{192, 168, 0, 1};
  size_t memory_bytes = size_t{64} << 20;
  Time start = Time::FromNanoseconds(int64_t{1000} * 1000 * 1000 * 1000);
  FdSource* fds = nullptr;  // null: the default
};

class VirtualHost {
 public:
  explicit VirtualHost(const VirtualHostOptions& options);
  virtual ~VirtualHost();
  VirtualHost(const VirtualHost&) = delete;
  VirtualHost& operator=(const VirtualHost&) = delete;

  // --- Settings ---
  // A sysctl by its name ("net.ipv4.tcp_ecn", "net.inet.tcp.delayed_ack"), in either of its spellings (dots or
  // slashes). Holds for sockets made afterwards, as far as the stack's own settings go: until the first socket() all,
  // later those of sockets (buffers, retries, times). "luna.refuse_packets" is set_refuse_packets(). NotFound: no such
  // knob here. InvalidArgument: not its value.
  virtual absl::Status SetSysctl(absl::string_view name, absl::string_view value);
  const HostProfile& profile() const { return profile_; }

  // --- Time ---
  virtual Time now() const { return now_; }
  // When something may happen by itself at the earliest.
  virtual Time NextDeadline() const;
  // Runs timers in order, each at its own time, up to and at `when`, where the clock then stands. A `when` in the past
  // runs what is due and moves nothing.
  virtual void AdvanceTo(Time when);
  // Steps from timer to timer until a packet waits (true), or the next timer is later than `cap`: then false, and the
  // clock stands at `cap`.
  virtual bool StepToNextPacket(Time cap);
  // Called whenever something happened that may let a blocked call go on: after a packet, a timer or a call. now() is
  // when. It may make calls, but must not move the time or inject packets.
  std::function<void()> on_change;

  // --- Packets ---
  struct Packet {
    std::string bytes;  // from the IPv4 header on, all checksums right
    Time at;            // when it was emitted
  };
  // A packet from the network: an IPv4 header and what belongs to it, up to 64 KB. What is malformed is dropped and
  // counted in drops().
  virtual void Inject(absl::string_view packet);
  // The oldest packet that was emitted and not taken.
  virtual std::optional<Packet> NextPacket();
  size_t packets() const { return packets_.size(); }
  // While true, what is sent goes nowhere: the device refuses it, as a full queue would.
  void set_refuse_packets(bool refuse) { refuse_packets_ = refuse; }

  // --- System calls: see the header of this file ---
  // AF_INET and SOCK_STREAM, with SOCK_NONBLOCK and SOCK_CLOEXEC; others fail as a host without them.
  virtual CallResult Socket(int domain, int type, int protocol);
  virtual CallResult Bind(int fd, const sockaddr* address, socklen_t length);
  virtual CallResult Listen(int fd, int backlog);
  // accept4(); accept() with flags 0.
  virtual CallResult Accept(int fd, sockaddr* address, socklen_t* length, int flags = 0);
  virtual CallResult Connect(int fd, const sockaddr* address, socklen_t length);
  virtual CallResult Close(int fd);
  virtual CallResult Shutdown(int fd, int how);
  virtual CallResult GetSockName(int fd, sockaddr* address, socklen_t* length);
  virtual CallResult GetPeerName(int fd, sockaddr* address, socklen_t* length);

  virtual CallResult Read(int fd, void* buffer, size_t size);
  virtual CallResult Readv(int fd, const iovec* iov, int count);
  virtual CallResult Recv(int fd, void* buffer, size_t size, int flags);
  virtual CallResult RecvFrom(int fd, void* buffer, size_t size, int flags, sockaddr* address, socklen_t* length);
  virtual CallResult RecvMsg(int fd, msghdr* message, int flags);
  virtual CallResult Write(int fd, const void* buffer, size_t size);
  virtual CallResult Writev(int fd, const iovec* iov, int count);
  virtual CallResult Send(int fd, const void* buffer, size_t size, int flags);
  virtual CallResult SendTo(int fd, const void* buffer, size_t size, int flags, const sockaddr* address,
                            socklen_t length);
  virtual CallResult SendMsg(int fd, const msghdr* message, int flags);

  // `argument`: what the command takes, a number or a pointer.
  virtual CallResult Fcntl(int fd, int command, intptr_t argument = 0);
  virtual CallResult Ioctl(int fd, unsigned long request, void* argument);  // NOLINT(google-runtime-int): ioctl's own
  virtual CallResult GetSockOpt(int fd, int level, int name, void* value, socklen_t* length);
  virtual CallResult SetSockOpt(int fd, int level, int name, const void* value, socklen_t length);

  virtual CallResult Poll(pollfd* fds, nfds_t count, int timeout_ms);
  virtual CallResult EpollCreate(int flags);
  virtual CallResult EpollCtl(int epoll_fd, int operation, int fd, const epoll_event* event);
  virtual CallResult EpollWait(int epoll_fd, epoll_event* events, int capacity, int timeout_ms);
  virtual CallResult Pipe(int fds[2], int flags = 0);
  virtual CallResult Splice(int in, loff_t* in_offset, int out, loff_t* out_offset, size_t size, unsigned flags);

  // Forgets how far blocked calls on `fd` got.
  virtual void CancelWait(int fd);
  // The thread that calls from now on. The one before must have said that it has stopped, as by a mutex.
  void BindToCurrentThread() { slab_->BindToCurrentThread(); }
  bool IsOpen(int fd) const { return files_.contains(fd); }

  // --- The end ---
  struct Remains {
    size_t packets = 0;      // emitted, never taken
    size_t connections = 0;  // that had not ended
    size_t objs = 0;         // of the memory, still out after all was destroyed: leaks
  };
  // Closes everything, destroys the stack and counts what is left. No other call may follow.
  virtual Remains TearDown();

  // --- Insight, for tests ---
  // Null before the first socket().
  Stack* stack() { return stack_.get(); }
  const stats::DropCounters& drops() const { return drops_; }
  // The connection behind a socket, or null.
  const Connection* connection(int fd) const;

 private:
  enum class Op : uint8_t { kAccept, kConnect, kClose, kRead, kWrite, kPoll, kEpoll, kSplice };
  // How far a blocked call got.
  struct Wait {
    Time since;
    Time deadline = Time::Infinite();
    size_t done = 0;
  };

  // --- virtual_host.cc ---
  void EnsureStack();
  // Hands out events, emits what is to be sent, and tells on_change.
  void Pump();
  void Handle(const Event& event);
  void OnAccepted(Connection& connection);
  void OnClosed(SocketFile& socket, Connection& connection);
  void Emit(ip::OutDatagram datagram);
  Time NextWake() const;
  void StepTo(Time when);
  // The end of every call: pumps when it did something.
  CallResult Finish(CallResult result);

  // --- virtual_host_ip.cc ---
  bool NoteRoom();
  void IngestTcp(ip::Datagram&& datagram);
  void IngestIcmp(absl::string_view message);

  // --- files ---
  int AddFile(std::shared_ptr<File> file);
  std::shared_ptr<File> Find(int fd) const;
  std::shared_ptr<SocketFile> FindSocket(int fd, int* error) const;
  // Would block: remembers since when, until `timeout` has passed (then true).
  Wait& WaitFor(Op op, int fd, Duration timeout);
  CallResult Block(Op op, int fd, Duration timeout, CallResult at_timeout);
  CallResult Done(Op op, int fd, CallResult result);

  // --- calls_open.cc ---
  bool PortIsTaken(const SocketFile& socket, const wire::Endpoint& local) const;
  uint16_t FreePort() const;
  int StartConnecting(SocketFile& socket, const wire::Endpoint& remote);
  CallResult ConnectFailed(SocketFile& socket);
  CallResult CloseSocket(int fd, SocketFile& socket);
  CallResult CloseFd(int fd);
  void StartClosing(SocketFile& socket);
  void StopListening(SocketFile& socket);
  void Orphan(SocketFile& socket);

  // --- calls_options.cc ---
  int SetBuffer(SocketFile& socket, int name, const void* value, socklen_t length);
  int CheckCongestion(const void* value, socklen_t length) const;

  // --- stack_calls.cc ---
  int ErrorOfEnd(const SocketFile& socket, const Connection& connection) const;
  // What SO_ERROR says, once.
  static int TakeError(SocketFile& socket);
  // After setsockopt().
  void ApplyOptions(SocketFile& socket);
  static void PushHeldBack(SocketFile& socket);
  absl::StatusOr<Listener*> StartListening(SocketFile& socket, int backlog);
  void ListenAgain(SocketFile& socket, int backlog) const;
  absl::StatusOr<Connection*> OpenConnection(SocketFile& socket, const wire::Endpoint& local,
                                             const wire::Endpoint& remote);

  // --- calls_data.cc ---
  CallResult ReadFile(int fd, absl::Span<const iovec> iov, int flags);
  CallResult WriteFile(int fd, absl::Span<const iovec> iov, int flags);
  CallResult ReadSocket(int fd, SocketFile& socket, absl::Span<const iovec> iov, int flags);
  CallResult WriteSocket(int fd, SocketFile& socket, absl::Span<const iovec> iov, int flags);
  CallResult EndOfReading(SocketFile& socket);
  void Take(SocketFile& socket, absl::Span<const iovec> iov, size_t offset, size_t size, int flags);
  // Queues what the limit allows of [*done, total), and moves *done.
  void Queue(SocketFile& socket, absl::Span<const iovec> iov, size_t total, int flags, size_t* done);

  // --- calls_poll.cc ---
  CallResult SpliceFromPipe(int in, PipeFile& pipe, int out, size_t size, unsigned flags);
  int CollectEvents(EpollFile& epoll, epoll_event* events, int capacity);

  HostProfile profile_;
  const wire::Ipv4Address address_;
  std::unique_ptr<FdSource> own_fds_;
  FdSource& fds_;
  zbuf::AnonymousPageSource pages_;
  std::unique_ptr<zbuf::Arena> arena_;
  std::unique_ptr<zbuf::Slab> slab_;
  stats::DropCounters drops_;
  std::unique_ptr<Stack> stack_;
  Time now_;
  std::deque<Packet> packets_;
  bool refuse_packets_ = false;
  bool in_change_ = false;
  std::map<int, std::shared_ptr<File>> files_;
  std::map<std::pair<Op, int>, Wait> waits_;
};

}  // namespace luna::tcp::testing

#endif  // LUNA_NET_TCP_TESTING_SOCKETS_VIRTUAL_HOST_H_
