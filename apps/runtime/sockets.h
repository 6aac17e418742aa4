#ifndef LUNA_APPS_RUNTIME_SOCKETS_H_
#define LUNA_APPS_RUNTIME_SOCKETS_H_

// POSIX sockets on a Runtime's worker: luna_socket.h for programs that have a Runtime.

#include <memory>

#include "luna/apps/runtime/runtime.h"
#include "luna/net/socket/worker_sockets.h"

namespace luna::apps {

// The sockets of this thread from now on (UseSockets). A call that waits iterates the runtime, and ends with EINTR once
// SIGINT or SIGTERM has come; listening installs the runtime's rules. To be destroyed before Runtime::Finish().
std::unique_ptr<socket::WorkerSockets> MakeSockets(Runtime& runtime);

}  // namespace luna::apps

#endif  // LUNA_APPS_RUNTIME_SOCKETS_H_
