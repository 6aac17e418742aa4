#ifndef LUNA_NET_TCP_LISTENER_H_
#define LUNA_NET_TCP_LISTENER_H_

// Listener: the LISTEN state. Owned by the Stack; application thread = the stack's.

#include <cstdint>
#include <optional>

#include "luna/net/tcp/connection_options.h"
#include "luna/net/wire/address.h"

namespace luna::tcp {

struct ListenOptions {
  uint32_t backlog = 1024;  // handshakes under way at a time; a SYN beyond it is dropped and counted
  void* owner = nullptr;    // Connection::owner() of what is accepted
  std::optional<ConnectionOptions> connection = {};  // of what is accepted; none: the stack's defaults
};

class Listener {
 public:
  Listener(const wire::Endpoint& local, const ListenOptions& options) : local_(local), options_(options) {}

  // An unspecified address listens on every address of the host.
  const wire::Endpoint& local() const { return local_; }
  const ListenOptions& options() const { return options_; }
  // For connections that begin from now on.
  void set_connection_options(const ConnectionOptions& options) { options_.connection = options; }
  uint32_t half_open() const { return half_open_; }
  bool Full() const { return half_open_ >= options_.backlog; }

  void HandshakeStarted() { ++half_open_; }
  void HandshakeEnded() { --half_open_; }

 private:
  wire::Endpoint local_;
  ListenOptions options_;
  uint32_t half_open_ = 0;
};

}  // namespace luna::tcp

#endif  // LUNA_NET_TCP_LISTENER_H_
