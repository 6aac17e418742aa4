#ifndef LUNA_NET_TCP_POSIX_TCP_INFO_H_
#define LUNA_NET_TCP_POSIX_TCP_INFO_H_

// What getsockopt() gives in structures: TCP_INFO and its kin, in the kernel's layout.

#include <cstdint>
#include <string>

#include "luna/net/tcp/connection.h"
#include "luna/net/tcp/posix/file.h"
#include "luna/sched/clock/time.h"

namespace luna::tcp::posix {

// The bytes of an option whose value is a structure: TCP_INFO, TCP_CC_INFO, TCP_CONGESTION, SO_MEMINFO. Empty: there is
// no such option.
std::string StructOption(const SocketFile& socket, int level, int name, Time now);

// Octets that are queued and were never sent.
uint32_t UnsentBytes(const Connection& connection);

}  // namespace luna::tcp::posix

#endif  // LUNA_NET_TCP_POSIX_TCP_INFO_H_
