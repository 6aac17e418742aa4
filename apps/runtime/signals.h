#ifndef LUNA_APPS_RUNTIME_SIGNALS_H_
#define LUNA_APPS_RUNTIME_SIGNALS_H_

#include <atomic>

namespace luna::apps {

// From now on SIGINT and SIGTERM ask for an orderly end: StopRequested() becomes true. A second signal ends the process
// at once, in the usual way. SIGPIPE is ignored. Process-wide; calling it again does nothing. Returns StopRequested().
const std::atomic<bool>& InstallStopSignals();

const std::atomic<bool>& StopRequested();

// Readable from the moment when StopRequested() is true: for threads that sleep. -1 before InstallStopSignals().
int StopFd();

}  // namespace luna::apps

#endif  // LUNA_APPS_RUNTIME_SIGNALS_H_
