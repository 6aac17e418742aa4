#ifndef LUNA_NET_TCP_TESTING_SOCKETS_PROFILE_H_
#define LUNA_NET_TCP_TESTING_SOCKETS_PROFILE_H_

// What a virtual host is set to: the stack's configuration, and what the socket layer of that system does by default.
// Plain values.

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "luna/net/tcp/config.h"

namespace luna::tcp::testing {

// What sockets begin with.
struct SocketDefaults {
  bool bsd = false;                        // answers of FreeBSD where Linux answers otherwise
  uint32_t send_buffer_bytes = 87380;      // what SO_SNDBUF reads at first
  uint32_t receive_buffer_bytes = 131072;  // what SO_RCVBUF reads at first
  uint32_t buffer_limit_bytes = 4 << 20;   // most that SO_SNDBUF and SO_RCVBUF may be set to, before doubling
  uint32_t listen_backlog_limit = 4096;    // listen() takes no more
  bool double_buffers = true;              // SO_SNDBUF and SO_RCVBUF read back twice what was set (Linux)
};

struct HostProfile {
  StackConfig stack;
  SocketDefaults sockets;
};

// What scripts for Linux take for granted: window scale 8, IW10, retransmission after 200 ms to 120 s, first after 1 s,
// acknowledgements delayed by 40 ms, MTU 1500, ports from 32768.
HostProfile LinuxTestProfile();
// What FreeBSD's take for granted: window scale 6 and receive buffer 65536, an ACK for every second segment.
HostProfile BsdTestProfile();
// "linux-test" or "bsd-test". NotFound for others.
absl::StatusOr<HostProfile> ProfileByName(absl::string_view name);

// What that system calls the stack's congestion control: "reno" ("newreno" on FreeBSD) or "cubic".
const char* CongestionName(const HostProfile& profile);

// Sets one sysctl in `profile`: "net.ipv4.tcp_sack", "net/ipv4/tcp_sack" or "/proc/sys/net/ipv4/tcp_sack", FreeBSD's
// "net.inet.tcp.sack.enable"; `value` as written there ("4096 16384 4194304"). A setting that means nothing to Luna,
// but is known (tcp_tso_win_divisor), is accepted. NotFound: unknown; InvalidArgument: a value that it cannot have.
absl::Status ApplySysctl(absl::string_view name, absl::string_view value, HostProfile* profile);

}  // namespace luna::tcp::testing

#endif  // LUNA_NET_TCP_TESTING_SOCKETS_PROFILE_H_
