#ifndef LUNA_NET_TCP_TESTING_PACKETSCRIPT_TCP_INFO_NAMES_H_
#define LUNA_NET_TCP_TESTING_PACKETSCRIPT_TCP_INFO_NAMES_H_

// What blocks of assertions may ask: the fields of TCP_INFO and SO_MEMINFO by their names, and the constants that these
// are compared with.

#include "absl/status/status.h"
#include "luna/net/tcp/testing/packetscript/code_block.h"
#include "luna/net/tcp/testing/sockets/virtual_host.h"

namespace luna::tcp::packetscript {

// Gives `scope` the names, as they stand for the host's socket `fd` now. FailedPrecondition: it is no open socket.
absl::Status SetTcpInfoNames(testing::VirtualHost& host, int fd, CodeScope* scope);

}  // namespace luna::tcp::packetscript

#endif  // LUNA_NET_TCP_TESTING_PACKETSCRIPT_TCP_INFO_NAMES_H_
