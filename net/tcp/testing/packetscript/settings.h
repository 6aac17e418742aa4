#ifndef LUNA_NET_TCP_TESTING_PACKETSCRIPT_SETTINGS_H_
#define LUNA_NET_TCP_TESTING_PACKETSCRIPT_SETTINGS_H_

// Shell commands of packet scripts, read instead of run: what they set becomes a list of names and values.
//
//   sysctl -q net.ipv4.tcp_ecn=1          {"net.ipv4.tcp_ecn", "1"}
//   set_sysctls.py /proc/sys/net/ipv4/x=1  {"net.ipv4.x", "1"}
//   echo 1 > /proc/sys/net/ipv4/x          {"net.ipv4.x", "1"}
//   tc qdisc add dev tun0 root pfifo limit 0   {"luna.refuse_packets", "1"}, see VirtualHost::SetSysctl()
//   defaults.sh, sysctl_restore…           nothing: every script starts from the defaults
//
// Pure functions; any thread.

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace luna::tcp::packetscript {

struct CommandReading {
  std::vector<std::pair<std::string, std::string>> settings;
  std::vector<std::string> skipped;  // commands that nobody here acts on
};
CommandReading ReadCommand(absl::string_view text);

}  // namespace luna::tcp::packetscript

#endif  // LUNA_NET_TCP_TESTING_PACKETSCRIPT_SETTINGS_H_
