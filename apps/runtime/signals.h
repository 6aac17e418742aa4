#ifndef LUNA_APPS_RUNTIME_SIGNALS_H_
#define LUNA_APPS_RUNTIME_SIGNALS_H_

#include <atomic>

namespace luna::apps {

// True once SIGINT or SIGTERM has come since InstallStopSignals(). A second signal ends the process at once, in the
// usual way. SIGPIPE is ignored. Process-wide; call once, from main's thread.
const std::atomic<bool>& InstallStopSignals();

}  // namespace luna::apps

#endif  // LUNA_APPS_RUNTIME_SIGNALS_H_
