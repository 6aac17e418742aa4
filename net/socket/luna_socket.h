#ifndef LUNA_NET_SOCKET_LUNA_SOCKET_H_
#define LUNA_NET_SOCKET_LUNA_SOCKET_H_

/* Luna's sockets for C: each function is the system call of its name, on this thread's worker. docs/socket.md is the
 * reference, and says where it differs from POSIX.
 *
 * Returns: as the system call; -1 and errno when it fails. ENOSYS: this thread has no sockets
 * (luna::socket::UseSockets). A descriptor that is not Luna's is handed to the kernel's call of the same name, where
 * one call can serve it. Octets are copied, but by luna_zc_read() and luna_zc_write(). No call raises SIGPIPE. A call
 * that blocks runs the worker meanwhile; a signal that asks the program to stop ends it with EINTR. Within an
 * iteration of the worker (a handler, a message, a timer) no call may wait: EDEADLK. Thread: the worker's. */

#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#ifdef __cplusplus
#include <memory>
#endif

#ifdef __cplusplus
extern "C" {
#endif

int luna_socket(int domain, int type, int protocol);
int luna_bind(int fd, const struct sockaddr* address, socklen_t length);
int luna_listen(int fd, int backlog);
int luna_accept(int fd, struct sockaddr* address, socklen_t* length);
int luna_accept4(int fd, struct sockaddr* address, socklen_t* length, int flags);
int luna_connect(int fd, const struct sockaddr* address, socklen_t length);
int luna_shutdown(int fd, int how);
int luna_close(int fd);
int luna_getsockname(int fd, struct sockaddr* address, socklen_t* length);
int luna_getpeername(int fd, struct sockaddr* address, socklen_t* length);

ssize_t luna_read(int fd, void* buffer, size_t size);
ssize_t luna_readv(int fd, const struct iovec* iov, int count);
ssize_t luna_recv(int fd, void* buffer, size_t size, int flags);
ssize_t luna_recvfrom(int fd, void* buffer, size_t size, int flags, struct sockaddr* address, socklen_t* length);
ssize_t luna_recvmsg(int fd, struct msghdr* message, int flags);
ssize_t luna_write(int fd, const void* buffer, size_t size);
ssize_t luna_writev(int fd, const struct iovec* iov, int count);
ssize_t luna_send(int fd, const void* buffer, size_t size, int flags);
ssize_t luna_sendto(int fd, const void* buffer, size_t size, int flags, const struct sockaddr* address,
                    socklen_t length);
ssize_t luna_sendmsg(int fd, const struct msghdr* message, int flags);

/* F_GETFL, F_SETFL, F_GETFD, F_SETFD; FIONBIO, SIOCINQ, SIOCOUTQ, SIOCOUTQNSD. */
int luna_fcntl(int fd, int command, ...);
int luna_ioctl(int fd, unsigned long request, ...); /* NOLINT(google-runtime-int) */
int luna_getsockopt(int fd, int level, int name, void* value, socklen_t* length);
int luna_setsockopt(int fd, int level, int name, const void* value, socklen_t length);

/* Descriptors of both kinds may be mixed. */
int luna_poll(struct pollfd* fds, nfds_t count, int timeout_ms);
int luna_epoll_create1(int flags);
int luna_epoll_ctl(int epoll_fd, int operation, int fd, struct epoll_event* event);
int luna_epoll_wait(int epoll_fd, struct epoll_event* events, int capacity, int timeout_ms);

/* --- Zero copy ---
 * A chain is a row of slices of Zbuf objs, referred to, not copied. Whoever holds one may keep it for ever; what is
 * kept is missing to the device that receives into it. A chain that was sent must not be changed before it is
 * acknowledged. */
typedef struct luna_chain luna_chain;

/* At most `limit` octets; *chain is to be freed with luna_chain_free(), also when nothing was read (then it is null).
 */
ssize_t luna_zc_read(int fd, size_t limit, luna_chain** chain);
/* All of *chain, which is null then; or -1 (EAGAIN: not a single octet was taken) and *chain is as it was. `flags`:
 * MSG_MORE, MSG_DONTWAIT. */
ssize_t luna_zc_write(int fd, luna_chain** chain, int flags);

/* `size` octets to be written into, in one piece; ENOMEM, or EMSGSIZE when no obj is as large (256 KB). */
luna_chain* luna_chain_alloc(size_t size, void** octets);
/* Another chain of the same octets, from `offset` on: to send them to several peers, or again. */
luna_chain* luna_chain_share(const luna_chain* chain, size_t offset, size_t size);
size_t luna_chain_bytes(const luna_chain* chain);
/* Its slices, at most `count`; returns how many there are. */
size_t luna_chain_slices(const luna_chain* chain, struct iovec* iov, size_t count);
void luna_chain_free(luna_chain* chain);

#ifdef __cplusplus
}

namespace luna::socket {

class WorkerSockets;

// A socket that does not block, listens on `port` of all addresses of ours, and queues what the kernel would; -1 and
// errno.
int ListenOn(uint16_t port);

struct FreeChain {
  void operator()(luna_chain* chain) const { luna_chain_free(chain); }
};
using UniqueChain = std::unique_ptr<luna_chain, FreeChain>;

// The sockets of this thread from now on. Not owned; null: none.
void UseSockets(WorkerSockets* sockets);
WorkerSockets* SocketsOfThisThread();

}  // namespace luna::socket
#endif

#endif  // LUNA_NET_SOCKET_LUNA_SOCKET_H_
