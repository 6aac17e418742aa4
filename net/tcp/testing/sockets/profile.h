#ifndef LUNA_NET_TCP_TESTING_SOCKETS_PROFILE_H_
#define LUNA_NET_TCP_TESTING_SOCKETS_PROFILE_H_

// What a virtual host is set to: the stack's configuration, and what the socket layer of that system does by default.
// Plain values.

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "luna/net/tcp/posix/settings.h"

namespace luna::tcp::testing {

using HostProfile = posix::Settings;

// What scripts for Linux take for granted: window scale 8, IW10, retransmission after 200 ms to 120 s, first after 1 s,
// acknowledgements delayed by 40 ms, MTU 1500, ports from 32768.
HostProfile LinuxTestProfile();
// What FreeBSD's take for granted: window scale 6 and receive buffer 65536, an ACK for every second segment.
HostProfile BsdTestProfile();
// "linux-test" or "bsd-test". NotFound for others.
absl::StatusOr<HostProfile> ProfileByName(absl::string_view name);

// Sets one sysctl in `profile`: "net.ipv4.tcp_sack", "net/ipv4/tcp_sack" or "/proc/sys/net/ipv4/tcp_sack", FreeBSD's
// "net.inet.tcp.sack.enable"; `value` as written there ("4096 16384 4194304"). A setting that means nothing to Luna,
// but is known (tcp_tso_win_divisor), is accepted. NotFound: unknown; InvalidArgument: a value that it cannot have.
absl::Status ApplySysctl(absl::string_view name, absl::string_view value, HostProfile* profile);

}  // namespace luna::tcp::testing

#endif  // LUNA_NET_TCP_TESTING_SOCKETS_PROFILE_H_
