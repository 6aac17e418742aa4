#include "luna/apps/runtime/sockets.h"

#include <algorithm>

#include "luna/net/socket/luna_socket.h"
#include "luna/net/wire/address.h"

namespace luna::apps {

std::unique_ptr<socket::WorkerSockets> MakeSockets(Runtime& runtime) {
  socket::WorkerSocketsOptions options;
  options.iterate = [&runtime] { runtime.Iterate(); };
  options.interrupted = [] { return Runtime::StopAsked(); };
  options.admit = [&runtime](uint16_t port) { return runtime.AdmitPort(port); };
  options.is_ours = [&runtime](const wire::IpAddress& address) {
    const auto& ours = runtime.addresses();
    return std::any_of(ours.begin(), ours.end(), [&](const wire::Ipv4Prefix& a) { return a.address() == address; });
  };
  auto sockets = std::make_unique<socket::WorkerSockets>(runtime.worker(), options);
  socket::UseSockets(sockets.get());
  return sockets;
}

}  // namespace luna::apps
