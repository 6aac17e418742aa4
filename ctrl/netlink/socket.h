#ifndef LUNA_CTRL_NETLINK_SOCKET_H_
#define LUNA_CTRL_NETLINK_SOCKET_H_

// Socket: the seam to the kernel's NETLINK_ROUTE socket (RFC 3549; netlink(7), rtnetlink(7)).
//
// Implementations: MnlSocket (the kernel) and testing/fake_socket.h (recorded messages, no kernel, no root).
// Thread: one owner. Bytes are in host order, as the kernel writes them.

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "luna/sched/clock/time.h"

namespace luna::netlink {

class Socket {
 public:
  virtual ~Socket() = default;

  // Sends one message (header included). Does not block.
  virtual absl::Status Send(absl::Span<const uint8_t> message) = 0;

  // Takes one datagram, which holds one or more messages, into `buffer`, and returns its length; 0 when none waits.
  // Errors: kResourceExhausted when the kernel dropped notifications (ENOBUFS: whoever mirrors state must dump again);
  // kOutOfRange when the datagram was longer than the buffer (it is gone; same cure); others when the socket is
  // unusable. Datagrams from other processes are skipped, never returned. Does not block.
  virtual absl::StatusOr<size_t> Receive(absl::Span<uint8_t> buffer) = 0;

  // Blocks until something waits, at most `timeout`. Returns kDeadlineExceeded when nothing came. For set-up only.
  virtual absl::Status WaitReadable(Duration timeout) = 0;

  // Readable when something waits; -1 when there is nothing to poll (fakes).
  virtual int fd() const = 0;
};

}  // namespace luna::netlink

#endif  // LUNA_CTRL_NETLINK_SOCKET_H_
