#ifndef LUNA_NET_TCP_POSIX_SOCKETS_H_
#define LUNA_NET_TCP_POSIX_SOCKETS_H_

// Sockets: the system calls of a POSIX host over one tcp::Stack: descriptors, blocking, readiness, errnos. It has no
// loop, no clock and no network of its own; whoever derives from it does (net/socket over a worker, VirtualHost of
// net/tcp/testing/sockets over a virtual clock).
//
// Calls take what POSIX's take, raw pointers included, and never block, sleep or touch the process's errno. A null
// pointer where there must be memory is EFAULT. Octets are copied; ReadChain() and WriteChain() are without copy.
//
// Blocking. `would_block` says that the call would sleep here. Make the same call with the same arguments again, when
// something happened, until it is false; how far the call got is remembered (octets of a write that were taken, since
// when a poll waits). A caller that gives up says so by CancelWait(). On a descriptor with O_NONBLOCK, or with
// MSG_DONTWAIT, calls fail with EAGAIN or EINPROGRESS instead.
//
// A Linux host's answers where systems differ; SocketDefaults says what is otherwise in a "bsd" one.
// Thread: one. Source: POSIX.1-2017 (XSH), Linux' socket(7), tcp(7), epoll(7).

#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <queue>
#include <unordered_set>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "luna/mem/zbuf/zchain.h"
#include "luna/net/tcp/event.h"
#include "luna/net/tcp/listener.h"
#include "luna/net/tcp/posix/call_result.h"
#include "luna/net/tcp/posix/settings.h"
#include "luna/net/tcp/stack.h"
#include "luna/net/wire/address.h"
#include "luna/sched/clock/time.h"

namespace luna::tcp::posix {

struct File;
struct SocketFile;
struct EpollFile;
struct PipeFile;

// Where descriptor numbers come from. By default the lowest free one from 3, as in a fresh process.
class FdSource {
 public:
  virtual ~FdSource() = default;
  // Negative: there is none.
  virtual int Open() = 0;
  virtual void Close(int fd) = 0;
};

// The lowest free number from `first` on, `most` of them.
class LowestFreeFds final : public FdSource {
 public:
  LowestFreeFds(int first, int most) : next_(first), end_(first + most) {}
  int Open() override;
  void Close(int fd) override { free_.push(fd); }

 private:
  std::priority_queue<int, std::vector<int>, std::greater<>> free_;
  int next_;
  const int end_;
};

class Sockets {
 public:
  Sockets(const Sockets&) = delete;
  Sockets& operator=(const Sockets&) = delete;
  virtual ~Sockets();

  virtual Time now() const = 0;
  const Settings& settings() const { return settings_; }

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

  // --- Without copy ---
  // At most `limit` octets, as references to what the device wrote. Otherwise as recv().
  CallResult ReadChain(int fd, size_t limit, int flags, zbuf::ZChain* out);
  // Queues the chain's objs, all of them or (EAGAIN) none; then `chain` is empty. Otherwise as send().
  CallResult WriteChain(int fd, zbuf::ZChain* chain, int flags);

  // Forgets how far blocked calls on `fd` got.
  virtual void CancelWait(int fd);
  bool IsOpen(int fd) const { return files_.contains(fd); }

  // --- Insight ---
  // The connection behind a socket, or null.
  const Connection* connection(int fd) const;

 protected:
  // `fds`: null: the default. Outlives this.
  Sockets(const Settings& settings, FdSource* fds);

  // --- What there is below ---
  // The stack that sockets live on. It is made now at the latest.
  virtual Stack& stack_of_sockets() = 0;
  // After a call that did something: what happened is to be handed to Handle(), what is to be sent may leave.
  virtual void Pump() = 0;
  // The local address towards `remote`.
  virtual absl::StatusOr<wire::IpAddress> SourceTo(const wire::IpAddress& remote) = 0;
  virtual absl::StatusOr<Connection*> Open(const wire::Endpoint& local, const wire::Endpoint& remote,
                                           const ConnectionOptions& options);
  virtual absl::StatusOr<Listener*> OpenListener(const wire::Endpoint& local, const ListenOptions& options);
  virtual void CloseListener(Listener* listener);
  // Whether a socket may be bound to it.
  virtual bool IsOurs(const wire::IpAddress&) const { return true; }

  // --- For those below ---
  void Handle(const Event& event);
  // Acknowledgements may have come: those who wait for room are told. False: none of them was.
  bool NoteRoom();
  // Octets that a blocked read or write on `fd` has moved.
  size_t ProgressOf(int fd) const;
  // The earliest end of a wait that is later than now.
  Time NextWaitDeadline() const;
  // All descriptors are gone, without a word to the peers: `abandon` is called for each connection that was behind one.
  void ForgetAll(const std::function<void(Connection&)>& abandon);
  bool IsEpoll(int fd) const;
  Settings& mutable_settings() { return settings_; }

 private:
  enum class Op : uint8_t { kAccept, kConnect, kClose, kRead, kWrite, kPoll, kEpoll, kSplice };
  // How far a blocked call got.
  struct Wait {
    Time since;
    Time deadline = Time::Infinite();
    size_t done = 0;
  };

  void OnAccepted(Connection& connection);
  void OnClosed(SocketFile& socket, Connection& connection);
  // The end of every call: pumps when it did something.
  CallResult Finish(CallResult result);

  // --- files ---
  int AddFile(std::shared_ptr<File> file);
  std::shared_ptr<File> Find(int fd) const;
  std::shared_ptr<SocketFile> FindSocket(int fd, int* error) const;
  // Would block: remembers since when, until `timeout` has passed (then true).
  Wait& WaitFor(Op op, int fd, Duration timeout);
  CallResult Block(Op op, int fd, Duration timeout, CallResult at_timeout);
  CallResult Done(Op op, int fd, CallResult result);

  // --- calls_open.cc ---
  // Told when an acknowledgement makes room.
  void WantRoom(SocketFile& socket);
  void NoteFullness(File* file);
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

  Settings settings_;
  std::unique_ptr<FdSource> own_fds_;
  FdSource& fds_;
  std::map<int, std::shared_ptr<File>> files_;
  std::map<std::pair<Op, int>, Wait> waits_;
  std::unordered_set<const SocketFile*> listening_;
  std::vector<std::weak_ptr<SocketFile>> want_room_;  // each once
};

}  // namespace luna::tcp::posix

#endif  // LUNA_NET_TCP_POSIX_SOCKETS_H_
