#ifndef LUNA_APPS_RUNTIME_SOCKETS_H_
#define LUNA_APPS_RUNTIME_SOCKETS_H_

// POSIX sockets on a worker of a Runtime: luna_socket.h for programs that have a Runtime.

#include <memory>

#include "luna/apps/runtime/runtime_worker.h"
#include "luna/net/socket/worker_sockets.h"

namespace luna::apps {

// The sockets of this thread, which is the worker's, from now on (UseSockets). A call that waits iterates the worker,
// and ends with EINTR once SIGINT or SIGTERM has come; listening installs the runtime's rules. To be destroyed in this
// thread, before the worker goes. Each thread's descriptors are its own.
std::unique_ptr<socket::WorkerSockets> MakeSockets(RuntimeWorker& worker);

}  // namespace luna::apps

#endif  // LUNA_APPS_RUNTIME_SOCKETS_H_
