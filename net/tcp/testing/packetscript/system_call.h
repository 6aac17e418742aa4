#ifndef LUNA_NET_TCP_TESTING_PACKETSCRIPT_SYSTEM_CALL_H_
#define LUNA_NET_TCP_TESTING_PACKETSCRIPT_SYSTEM_CALL_H_

// System calls of a script, made on a VirtualHost: arguments from the script, results held against it.
//
// Descriptors have the script's numbers on one side and the host's on the other. Addresses that the script leaves open
// ("...") are the defaults of SystemCalls. Octets written are zeros unless the script has a string.
//
// One thread.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "luna/net/tcp/posix/call_result.h"
#include "luna/net/tcp/testing/packetscript/flow.h"
#include "luna/net/tcp/testing/packetscript/script.h"
#include "luna/net/tcp/testing/sockets/virtual_host.h"
#include "luna/net/wire/address.h"

namespace luna::tcp::packetscript {

// A call with its arguments and the memory that they point to.
class SystemCall {
 public:
  // What it would do, once; again while the result says would_block.
  std::function<testing::CallResult()> attempt;
  // Judges what the call gave besides its value (buffers, options, events). May be empty.
  std::function<absl::Status()> check;
  // Acts on success: notes a descriptor. May be empty.
  std::function<void(int64_t value)> succeeded;
  // The value is a descriptor, which is the script's by another number.
  bool gives_fd = false;
  // Of the host; -1: none. To give up waiting.
  int host_fd = -1;
};

class SystemCalls {
 public:
  struct Addresses {
    wire::Endpoint local;
    wire::Endpoint remote;
  };
  SystemCalls(testing::VirtualHost& host, FlowTable& flows, const Addresses& addresses)
      : host_(host), flows_(flows), addresses_(addresses) {}

  // The call that `spec` describes. InvalidArgument: it is not known here, or its arguments are not.
  absl::StatusOr<std::unique_ptr<SystemCall>> Prepare(const SystemCallSpec& spec);
  // Holds `result` against what the script expects, then succeeded() and check(). FailedPrecondition: they differ.
  absl::Status Finish(const SystemCallSpec& spec, const SystemCall& call, testing::CallResult result);

  // The host's descriptor of the script's, or -1.
  int HostFd(int64_t script_fd) const;
  const std::map<int, int>& fds() const { return fds_; }

 private:
  friend class CallBuilder;

  testing::VirtualHost& host_;
  FlowTable& flows_;
  const Addresses addresses_;
  std::map<int, int> fds_;    // the host's by the script's
  std::map<int, int> files_;  // by the script's: descriptors of open(), which the host does not have
};

}  // namespace luna::tcp::packetscript

#endif  // LUNA_NET_TCP_TESTING_PACKETSCRIPT_SYSTEM_CALL_H_
