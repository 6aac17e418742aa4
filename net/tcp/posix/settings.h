#ifndef LUNA_NET_TCP_POSIX_SETTINGS_H_
#define LUNA_NET_TCP_POSIX_SETTINGS_H_

// What sockets begin with, and where systems differ in their answers. Plain values.

#include <cstdint>

#include "luna/net/tcp/config.h"

namespace luna::tcp::posix {

struct SocketDefaults {
  bool bsd = false;                        // answers of FreeBSD where Linux answers otherwise
  uint32_t send_buffer_bytes = 87380;      // what SO_SNDBUF reads at first
  uint32_t receive_buffer_bytes = 131072;  // what SO_RCVBUF reads at first
  uint32_t buffer_limit_bytes = 4 << 20;   // most that SO_SNDBUF and SO_RCVBUF may be set to, before doubling
  uint32_t listen_backlog_limit = 4096;    // listen() takes no more
  bool double_buffers = true;              // SO_SNDBUF and SO_RCVBUF read back twice what was set (Linux)
};

struct Settings {
  StackConfig stack;
  SocketDefaults sockets;
};

// What that system calls the stack's congestion control: "reno" ("newreno" on FreeBSD) or "cubic".
inline const char* CongestionName(const Settings& settings) {
  if (settings.stack.congestion == CongestionAlgorithm::kCubic) return "cubic";
  return settings.sockets.bsd ? "newreno" : "reno";
}

}  // namespace luna::tcp::posix

#endif  // LUNA_NET_TCP_POSIX_SETTINGS_H_
