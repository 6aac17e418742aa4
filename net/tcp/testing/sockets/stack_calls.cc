// What the calls ask of the stack: the one place that turns socket options into the stack's.

#include "luna/net/tcp/testing/sockets/file.h"
#include "luna/net/tcp/testing/sockets/virtual_host.h"

namespace luna::tcp::testing {

absl::StatusOr<Listener*> VirtualHost::StartListening(SocketFile& socket, int backlog) {
  return stack_->Listen(*socket.bound, {.backlog = static_cast<uint32_t>(backlog < 1 ? 1 : backlog), .owner = &socket});
}

absl::StatusOr<Connection*> VirtualHost::OpenConnection(SocketFile& /*socket*/, const wire::Endpoint& local,
                                                        const wire::Endpoint& remote) {
  return stack_->Connect(local, remote, nullptr, now_);
}

// The stack knows no options of single connections yet.
void VirtualHost::ApplyOptions(SocketFile& /*socket*/) {}

}  // namespace luna::tcp::testing
