#ifndef LUNA_CTRL_NETLINK_MNL_SOCKET_H_
#define LUNA_CTRL_NETLINK_MNL_SOCKET_H_

// MnlSocket: a Socket of the kernel's NETLINK_ROUTE family, through libmnl. It belongs to the network namespace that
// the calling thread was in when it was opened. Needs no privilege except for messages that change something.

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "luna/ctrl/netlink/socket.h"
#include "luna/sched/clock/time.h"

struct mnl_socket;

namespace luna::netlink {

class MnlSocket : public Socket {
 public:
  // Opens a non-blocking, close-on-exec socket subscribed to `groups` (RTNLGRP_* values; empty for none).
  // Its receive buffer is enlarged to 1 MiB as far as the system allows; overflow is reported by Receive().
  static absl::StatusOr<std::unique_ptr<MnlSocket>> Open(absl::Span<const int> groups);
  ~MnlSocket() override;

  absl::Status Send(absl::Span<const uint8_t> message) override;
  absl::StatusOr<size_t> Receive(absl::Span<uint8_t> buffer) override;
  absl::Status WaitReadable(Duration timeout) override;
  int fd() const override;

 private:
  explicit MnlSocket(mnl_socket* socket) : socket_(socket) {}
  mnl_socket* socket_;  // owned
};

}  // namespace luna::netlink

#endif  // LUNA_CTRL_NETLINK_MNL_SOCKET_H_
