#include "luna/net/socket/luna_socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdarg>
#include <memory>
#include <utility>

#include "absl/functional/function_ref.h"
#include "luna/mem/zbuf/size_class.h"
#include "luna/mem/zbuf/slab.h"
#include "luna/mem/zbuf/zchain.h"
#include "luna/mem/zbuf/zref.h"
#include "luna/net/socket/worker_sockets.h"
#include "luna/net/tcp/posix/call_result.h"

struct luna_chain {
  luna::zbuf::ZChain chain;
};

namespace luna::socket {
namespace {

using tcp::posix::CallResult;

thread_local WorkerSockets* current = nullptr;

bool IsKernels(int fd) { return fd < WorkerSockets::kFirstFd; }

int64_t Return(const CallResult& result) {
  if (result.error != 0) errno = result.error;
  return result.error != 0 ? -1 : result.value;
}

// A call that may wait.
int64_t Run(int fd, absl::FunctionRef<CallResult(WorkerSockets&)> call) {
  if (current == nullptr) {
    errno = ENOSYS;
    return -1;
  }
  return Return(current->RunUntilReady(fd, [&] { return call(*current); }));
}

// One that never does.
int64_t RunOnce(absl::FunctionRef<CallResult(WorkerSockets&)> call) {
  if (current == nullptr) {
    errno = ENOSYS;
    return -1;
  }
  return Return(call(*current));
}

int AsInt(int64_t value) { return static_cast<int>(value); }

// A call that may wait for events hears of a signal once even if it need not wait: where there is always something,
// nobody would ever.
bool Interrupted(int timeout_ms) {
  if (timeout_ms == 0 || current == nullptr || !current->TakeInterruption()) return false;
  errno = EINTR;
  return true;
}

}  // namespace

void UseSockets(WorkerSockets* sockets) { current = sockets; }
WorkerSockets* SocketsOfThisThread() { return current; }

int ListenOn(uint16_t port) {
  const int fd = luna_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  sockaddr_in any = {};
  any.sin_family = AF_INET;
  any.sin_port = htons(port);
  if (fd < 0) return -1;
  if (luna_bind(fd, reinterpret_cast<const sockaddr*>(&any), sizeof(any)) == 0 && luna_listen(fd, SOMAXCONN) == 0) {
    return fd;
  }
  const int error = errno;
  luna_close(fd);
  errno = error;
  return -1;
}

}  // namespace luna::socket

using luna::socket::AsInt;
using luna::socket::current;
using luna::socket::Interrupted;
using luna::socket::IsKernels;
using luna::socket::Run;
using luna::socket::RunOnce;
using luna::socket::WorkerSockets;

int luna_socket(int domain, int type, int protocol) {
  return AsInt(RunOnce([=](WorkerSockets& s) { return s.Socket(domain, type, protocol); }));
}

int luna_bind(int fd, const sockaddr* address, socklen_t length) {
  if (IsKernels(fd)) return bind(fd, address, length);
  return AsInt(RunOnce([=](WorkerSockets& s) { return s.Bind(fd, address, length); }));
}

int luna_listen(int fd, int backlog) {
  if (IsKernels(fd)) return listen(fd, backlog);
  return AsInt(RunOnce([=](WorkerSockets& s) { return s.Listen(fd, backlog); }));
}

int luna_accept(int fd, sockaddr* address, socklen_t* length) { return luna_accept4(fd, address, length, 0); }

int luna_accept4(int fd, sockaddr* address, socklen_t* length, int flags) {
  if (IsKernels(fd)) return accept4(fd, address, length, flags);
  return AsInt(Run(fd, [=](WorkerSockets& s) { return s.Accept(fd, address, length, flags); }));
}

int luna_connect(int fd, const sockaddr* address, socklen_t length) {
  if (IsKernels(fd)) return connect(fd, address, length);
  return AsInt(Run(fd, [=](WorkerSockets& s) { return s.Connect(fd, address, length); }));
}

int luna_shutdown(int fd, int how) {
  if (IsKernels(fd)) return shutdown(fd, how);
  return AsInt(RunOnce([=](WorkerSockets& s) { return s.Shutdown(fd, how); }));
}

int luna_close(int fd) {
  if (IsKernels(fd)) return close(fd);
  return AsInt(Run(fd, [=](WorkerSockets& s) { return s.Close(fd); }));
}

int luna_getsockname(int fd, sockaddr* address, socklen_t* length) {
  if (IsKernels(fd)) return getsockname(fd, address, length);
  return AsInt(RunOnce([=](WorkerSockets& s) { return s.GetSockName(fd, address, length); }));
}

int luna_getpeername(int fd, sockaddr* address, socklen_t* length) {
  if (IsKernels(fd)) return getpeername(fd, address, length);
  return AsInt(RunOnce([=](WorkerSockets& s) { return s.GetPeerName(fd, address, length); }));
}

// --- Data ---

ssize_t luna_read(int fd, void* buffer, size_t size) {
  if (IsKernels(fd)) return read(fd, buffer, size);
  return Run(fd, [=](WorkerSockets& s) { return s.Read(fd, buffer, size); });
}

ssize_t luna_readv(int fd, const iovec* iov, int count) {
  if (IsKernels(fd)) return readv(fd, iov, count);
  return Run(fd, [=](WorkerSockets& s) { return s.Readv(fd, iov, count); });
}

ssize_t luna_recv(int fd, void* buffer, size_t size, int flags) {
  if (IsKernels(fd)) return recv(fd, buffer, size, flags);
  return Run(fd, [=](WorkerSockets& s) { return s.Recv(fd, buffer, size, flags); });
}

ssize_t luna_recvfrom(int fd, void* buffer, size_t size, int flags, sockaddr* address, socklen_t* length) {
  if (IsKernels(fd)) return recvfrom(fd, buffer, size, flags, address, length);
  return Run(fd, [=](WorkerSockets& s) { return s.RecvFrom(fd, buffer, size, flags, address, length); });
}

ssize_t luna_recvmsg(int fd, msghdr* message, int flags) {
  if (IsKernels(fd)) return recvmsg(fd, message, flags);
  return Run(fd, [=](WorkerSockets& s) { return s.RecvMsg(fd, message, flags); });
}

ssize_t luna_write(int fd, const void* buffer, size_t size) {
  if (IsKernels(fd)) return write(fd, buffer, size);
  return Run(fd, [=](WorkerSockets& s) { return s.Write(fd, buffer, size); });
}

ssize_t luna_writev(int fd, const iovec* iov, int count) {
  if (IsKernels(fd)) return writev(fd, iov, count);
  return Run(fd, [=](WorkerSockets& s) { return s.Writev(fd, iov, count); });
}

ssize_t luna_send(int fd, const void* buffer, size_t size, int flags) {
  if (IsKernels(fd)) return send(fd, buffer, size, flags);
  return Run(fd, [=](WorkerSockets& s) { return s.Send(fd, buffer, size, flags); });
}

ssize_t luna_sendto(int fd, const void* buffer, size_t size, int flags, const sockaddr* address, socklen_t length) {
  if (IsKernels(fd)) return sendto(fd, buffer, size, flags, address, length);
  return Run(fd, [=](WorkerSockets& s) { return s.SendTo(fd, buffer, size, flags, address, length); });
}

ssize_t luna_sendmsg(int fd, const msghdr* message, int flags) {
  if (IsKernels(fd)) return sendmsg(fd, message, flags);
  return Run(fd, [=](WorkerSockets& s) { return s.SendMsg(fd, message, flags); });
}

// --- Options ---

int luna_fcntl(int fd, int command, ...) {
  std::va_list arguments;
  va_start(arguments, command);
  const auto argument = va_arg(arguments, intptr_t);
  va_end(arguments);
  if (IsKernels(fd)) return fcntl(fd, command, argument);
  return AsInt(RunOnce([=](WorkerSockets& s) { return s.Fcntl(fd, command, argument); }));
}

int luna_ioctl(int fd, unsigned long request, ...) {  // NOLINT(google-runtime-int)
  std::va_list arguments;
  va_start(arguments, request);
  void* argument = va_arg(arguments, void*);
  va_end(arguments);
  if (IsKernels(fd)) return ioctl(fd, request, argument);
  return AsInt(RunOnce([=](WorkerSockets& s) { return s.Ioctl(fd, request, argument); }));
}

int luna_getsockopt(int fd, int level, int name, void* value, socklen_t* length) {
  if (IsKernels(fd)) return getsockopt(fd, level, name, value, length);
  return AsInt(RunOnce([=](WorkerSockets& s) { return s.GetSockOpt(fd, level, name, value, length); }));
}

int luna_setsockopt(int fd, int level, int name, const void* value, socklen_t length) {
  if (IsKernels(fd)) return setsockopt(fd, level, name, value, length);
  return AsInt(RunOnce([=](WorkerSockets& s) { return s.SetSockOpt(fd, level, name, value, length); }));
}

// --- Readiness ---

int luna_poll(pollfd* fds, nfds_t count, int timeout_ms) {
  // A round first: else a caller whose other descriptors are always ready would keep the loop standing.
  if (current != nullptr) current->Round();
  if (Interrupted(timeout_ms)) return -1;
  const int key = fds != nullptr && count > 0 && !IsKernels(fds[0].fd) ? fds[0].fd : -1;
  return AsInt(Run(key, [=](WorkerSockets& s) { return s.Poll(fds, count, timeout_ms); }));
}

int luna_epoll_create1(int flags) {
  return AsInt(RunOnce([=](WorkerSockets& s) { return s.EpollCreate(flags); }));
}

int luna_epoll_ctl(int epoll_fd, int operation, int fd, epoll_event* event) {
  return AsInt(RunOnce([=](WorkerSockets& s) { return s.EpollCtl(epoll_fd, operation, fd, event); }));
}

int luna_epoll_wait(int epoll_fd, epoll_event* events, int capacity, int timeout_ms) {
  if (current != nullptr) current->Round();
  if (Interrupted(timeout_ms)) return -1;
  return AsInt(Run(epoll_fd, [=](WorkerSockets& s) { return s.EpollWait(epoll_fd, events, capacity, timeout_ms); }));
}

// --- Zero copy ---

ssize_t luna_zc_read(int fd, size_t limit, luna_chain** chain) {
  if (chain == nullptr) {
    errno = EFAULT;
    return -1;
  }
  *chain = nullptr;
  luna::zbuf::ZChain got;
  const int64_t n = Run(fd, [&](WorkerSockets& s) { return s.ReadChain(fd, limit, 0, &got); });
  if (n > 0) *chain = new luna_chain{std::move(got)};
  return n;
}

ssize_t luna_zc_write(int fd, luna_chain** chain, int flags) {
  if (chain == nullptr || *chain == nullptr) {
    errno = EFAULT;
    return -1;
  }
  const int64_t n = Run(fd, [=](WorkerSockets& s) { return s.WriteChain(fd, &(*chain)->chain, flags); });
  if (n >= 0) delete std::exchange(*chain, nullptr);
  return n;
}

luna_chain* luna_chain_alloc(size_t size, void** octets) {
  std::byte* obj = nullptr;
  if (current == nullptr) {
    errno = ENOSYS;
  } else if (octets == nullptr || size == 0) {
    errno = EINVAL;
  } else if (size > luna::zbuf::kMaxObjBytes) {
    errno = EMSGSIZE;
  } else if (obj = current->worker().slab().Alloc(size); obj == nullptr) {
    errno = ENOMEM;
  }
  if (obj == nullptr) return nullptr;
  *octets = obj;
  auto chain = std::make_unique<luna_chain>();
  chain->chain.Append(luna::zbuf::ZRef::Adopt(obj), static_cast<uint32_t>(size));
  return chain.release();
}

luna_chain* luna_chain_share(const luna_chain* chain, size_t offset, size_t size) {
  const size_t bytes = luna_chain_bytes(chain);
  if (offset > bytes || size > bytes - offset) {
    errno = EINVAL;
    return nullptr;
  }
  return new luna_chain{chain->chain.ShareRange(offset, size)};
}

size_t luna_chain_bytes(const luna_chain* chain) { return chain == nullptr ? 0 : chain->chain.bytes(); }

size_t luna_chain_slices(const luna_chain* chain, iovec* iov, size_t count) {
  if (chain == nullptr) return 0;
  const auto slices = chain->chain.slices();
  for (size_t i = 0; i < std::min(count, slices.size()); ++i) {
    iov[i] = {.iov_base = const_cast<std::byte*>(slices[i].ref.get()), .iov_len = slices[i].length};
  }
  return slices.size();
}

void luna_chain_free(luna_chain* chain) { delete chain; }
