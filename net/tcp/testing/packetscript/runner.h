#ifndef LUNA_NET_TCP_TESTING_PACKETSCRIPT_RUNNER_H_
#define LUNA_NET_TCP_TESTING_PACKETSCRIPT_RUNNER_H_

// Runs a packet script against a VirtualHost: no kernel, no root, no real time, the same result each time.
//
// Events happen at the script's times on the virtual clock. System calls are made, packets of the peer injected,
// packets of the stack held against the script in the order in which they were emitted, with the time of each. What
// packetdrill tolerates is tolerated: 4 ms (--tolerance_usecs) or an eighth of the time since the event before; a large
// scripted packet may come as several segments in sequence (not with --strict_segments), whose last one has the flags;
// a window is looked at only where the script says one.
//
// At the end every descriptor is closed, every connection is reset by its peer as packetdrill does, and all memory of
// the host must have come home.
//
// One thread; a Runner runs one script, once.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "luna/net/tcp/testing/packetscript/script.h"
#include "luna/net/tcp/testing/sockets/profile.h"
#include "luna/net/tcp/testing/sockets/virtual_host.h"

namespace luna::tcp::packetscript {

struct RunOptions {
  testing::HostProfile profile = testing::LinuxTestProfile();
  // Packets that the script does not speak of are an error, not a remark.
  bool strict_end = false;
  // Another way to a host (interface_host.h). None: a VirtualHost.
  std::function<std::unique_ptr<testing::VirtualHost>(const testing::VirtualHostOptions&)> make_host;
};

struct RunReport {
  // OK, or the first thing that was not as the script says: "path:line: …".
  // Unimplemented: the script asks for what this house does not have (IPv6).
  absl::Status status;
  // What happened, one line each, with times: calls and packets in the script's notation.
  std::vector<std::string> trace;
  // Packets that were emitted and that no event took.
  std::vector<std::string> unexpected;
  // Commands and settings that nobody acted on.
  std::vector<std::string> skipped;
};

RunReport RunScript(const Script& script, const RunOptions& options);
// Loads it first.
RunReport RunScriptFile(const std::string& path, const RunOptions& options);

}  // namespace luna::tcp::packetscript

#endif  // LUNA_NET_TCP_TESTING_PACKETSCRIPT_RUNNER_H_
