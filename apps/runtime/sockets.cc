#include "luna/apps/runtime/sockets.h"

#include <algorithm>

#include "luna/net/socket/luna_socket.h"
#include "luna/net/wire/address.h"

namespace luna::apps {

std::unique_ptr<socket::WorkerSockets> MakeSockets(RuntimeWorker& worker) {
  socket::WorkerSocketsOptions options;
  options.iterate = [&worker] { worker.Iterate(); };
  options.interrupted = [] { return Runtime::StopAsked(); };
  options.admit = [&worker](uint16_t port) { return worker.AdmitPort(port); };
  options.may_connect_from = [&worker](uint16_t port) { return worker.OwnsPort(port); };
  options.is_ours = [&worker](const wire::IpAddress& address) {
    const auto& ours = worker.addresses();
    return std::any_of(ours.begin(), ours.end(), [&](const wire::Ipv4Prefix& a) { return a.address() == address; });
  };
  auto sockets = std::make_unique<socket::WorkerSockets>(worker.worker(), options);
  socket::UseSockets(sockets.get());
  return sockets;
}

}  // namespace luna::apps
