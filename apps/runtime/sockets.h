#ifndef LUNA_APPS_RUNTIME_SOCKETS_H_
#define LUNA_APPS_RUNTIME_SOCKETS_H_

// POSIX sockets on a worker of a Runtime: luna_socket.h for programs that have a Runtime.

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "luna/apps/runtime/runtime.h"
#include "luna/apps/runtime/runtime_worker.h"
#include "luna/net/socket/luna_socket.h"
#include "luna/net/socket/worker_sockets.h"

namespace luna::apps {

// The sockets of this thread, which is the worker's, from now on (UseSockets). A call that waits iterates the worker,
// and ends with EINTR once SIGINT or SIGTERM has come; listening installs the runtime's rules. To be destroyed in this
// thread, before the worker goes. Each thread's descriptors are its own.
std::unique_ptr<socket::WorkerSockets> MakeSockets(RuntimeWorker& worker);

// A program on the sockets of each worker, in its thread: `make` them all, call `made` when none has failed, and `run`
// them. Then each goes, with its connections closed in order (for --drain at most, whatever `run` took to finish), and
// its sockets. Returns the first error of
// `make`, by worker. Runtime::Finish() is left to the caller.
template <typename Program>
absl::Status RunOnSockets(Runtime& runtime,
                          const std::function<absl::StatusOr<std::unique_ptr<Program>>(RuntimeWorker&)>& make,
                          const std::function<void()>& made, const std::function<void(RuntimeWorker&, Program&)>& run) {
  struct Place {
    std::unique_ptr<socket::WorkerSockets> sockets;
    std::unique_ptr<Program> program;
  };
  std::vector<Place> places(runtime.workers());
  const absl::Status status = runtime.TryThreads([&](RuntimeWorker& worker) {
    Place& place = places[worker.index()];
    place.sockets = MakeSockets(worker);
    absl::StatusOr<std::unique_ptr<Program>> program = make(worker);
    if (program.ok()) place.program = *std::move(program);
    return program.status();
  });
  if (status.ok()) made();
  runtime.RunThreads([&](RuntimeWorker& worker) {
    Place& place = places[worker.index()];
    if (status.ok()) run(worker, *place.program);
    place.program.reset();
    worker.RunAndDrain([] { return true; });
    place.sockets.reset();
    socket::UseSockets(nullptr);
  });
  return status;
}

}  // namespace luna::apps

#endif  // LUNA_APPS_RUNTIME_SOCKETS_H_
