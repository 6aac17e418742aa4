#ifndef LUNA_NET_TCP_TESTING_PACKETDRILL_INTERFACE_H_
#define LUNA_NET_TCP_TESTING_PACKETDRILL_INTERFACE_H_

// The binary interface between packetdrill and a TCP stack in a shared object: one pointer and 32 functions, in this
// order, each of which gets the pointer first. Besides that, they have the signatures of the system calls whose names
// they bear: -1 and errno for errors.

#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cstddef>

extern "C" {

struct packetdrill_interface {
  void* userdata;
  void (*free)(void* self);  // the last call
  int (*socket)(void* self, int domain, int type, int protocol);
  int (*bind)(void* self, int fd, const sockaddr* address, socklen_t length);
  int (*listen)(void* self, int fd, int backlog);
  int (*accept)(void* self, int fd, sockaddr* address, socklen_t* length);
  int (*connect)(void* self, int fd, const sockaddr* address, socklen_t length);
  ssize_t (*read)(void* self, int fd, void* buffer, size_t size);
  ssize_t (*readv)(void* self, int fd, const iovec* iov, int count);
  ssize_t (*recv)(void* self, int fd, void* buffer, size_t size, int flags);
  ssize_t (*recvfrom)(void* self, int fd, void* buffer, size_t size, int flags, sockaddr* address, socklen_t* length);
  ssize_t (*recvmsg)(void* self, int fd, msghdr* message, int flags);
  ssize_t (*write)(void* self, int fd, const void* buffer, size_t size);
  ssize_t (*writev)(void* self, int fd, const iovec* iov, int count);
  ssize_t (*send)(void* self, int fd, const void* buffer, size_t size, int flags);
  ssize_t (*sendto)(void* self, int fd, const void* buffer, size_t size, int flags, const sockaddr* address,
                    socklen_t length);
  ssize_t (*sendmsg)(void* self, int fd, const msghdr* message, int flags);
  int (*fcntl)(void* self, int fd, int command, ...);
  int (*ioctl)(void* self, int fd, unsigned long request, ...);  // NOLINT(google-runtime-int): as the system's
  int (*close)(void* self, int fd);
  int (*shutdown)(void* self, int fd, int how);
  int (*getsockopt)(void* self, int fd, int level, int name, void* value, socklen_t* length);
  int (*setsockopt)(void* self, int fd, int level, int name, const void* value, socklen_t length);
  int (*poll)(void* self, pollfd* fds, nfds_t count, int timeout_ms);
  // A packet from the network, IP header first. 0 or -1.
  int (*netdev_send)(void* self, const void* packet, size_t size);
  // The oldest packet that was sent, up to *size bytes of it; *size becomes its length, 0 when none comes.
  int (*netdev_receive)(void* self, void* buffer, size_t* size, long long* microseconds);  // NOLINT(google-runtime-int)
  int (*usleep)(void* self, useconds_t microseconds);
  int (*gettimeofday)(void* self, struct timeval* time, struct timezone* zone);
  int (*epoll_create)(void* self, int size);
  int (*epoll_ctl)(void* self, int epoll_fd, int operation, int fd, epoll_event* event);
  int (*epoll_wait)(void* self, int epoll_fd, epoll_event* events, int capacity, int timeout_ms);
  int (*pipe)(void* self, int fds[2]);
  int (*splice)(void* self, int in, loff_t* in_offset, int out, loff_t* out_offset, size_t size, unsigned flags);
};
static_assert(sizeof(packetdrill_interface) == 33 * sizeof(void*));

// What the shared object exports. `flags`: see packetdrill_host.h; may be null.
using packetdrill_interface_init_t = void (*)(const char* flags, packetdrill_interface* interface);

}  // extern "C"

#endif  // LUNA_NET_TCP_TESTING_PACKETDRILL_INTERFACE_H_
