#ifndef LUNA_CTRL_NETLINK_INTERFACE_INFO_H_
#define LUNA_CTRL_NETLINK_INTERFACE_INFO_H_

// One look at one network interface of the kernel's, for set-up: flags are checked against it ("address not on the
// link"). Blocks for some microseconds, at most `timeout`. Needs no privilege.

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "luna/ctrl/netlink/link_state.h"
#include "luna/ctrl/netlink/socket.h"
#include "luna/sched/clock/time.h"

namespace luna::netlink {

// Errors: NotFound, with the names that there are, when no interface is called `name`; what the socket says.
absl::StatusOr<LinkState> InterfaceInfo(absl::string_view name);

// The same through a socket of the caller's, which nobody else uses meanwhile.
absl::StatusOr<LinkState> InterfaceInfo(Socket& socket, absl::string_view name,
                                        Duration timeout = Duration::Seconds(2));

}  // namespace luna::netlink

#endif  // LUNA_CTRL_NETLINK_INTERFACE_INFO_H_
