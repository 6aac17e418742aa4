#ifndef LUNA_APPS_RUNTIME_IO_THREADS_H_
#define LUNA_APPS_RUNTIME_IO_THREADS_H_

// A dedicated I/O core for programs: the runtime's worker runs NIC and protocol, and handlers run on threads of their
// own, which may block (LUNA §5.1, r2c::IoCore).

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "luna/apps/runtime/runtime.h"
#include "luna/sched/r2c/io_core.h"

namespace luna::apps {

// One thread for each of `handlers`, which share out the connections to `port`; `listening` is called when the first
// may come. Runs until a signal: then nobody is accepted any more, handlers are asked to finish, and connections that
// have not ended by themselves within --drain are closed; or all are closed at once. The runtime has one
// worker. Runtime::Finish() is left to the caller. Errors: as Runtime::Listen; InvalidArgument.
enum class AtSignal { kFinish, kCloseAtOnce };
absl::Status RunBehindIoCore(Runtime& runtime, uint16_t port, const std::vector<r2c::RemoteHandler*>& handlers,
                             AtSignal at_signal, const std::function<void()>& listening);

}  // namespace luna::apps

#endif  // LUNA_APPS_RUNTIME_IO_THREADS_H_
