#include "luna/apps/runtime/signals.h"

#include <csignal>
#include <utility>

namespace luna::apps {
namespace {

std::atomic<bool> stop_requested{false};
bool installed = false;
static_assert(std::atomic<bool>::is_always_lock_free, "written by a signal handler");

void OnStopSignal(int signal) {
  stop_requested.store(true, std::memory_order_relaxed);
  std::signal(signal, SIG_DFL);
}

}  // namespace

const std::atomic<bool>& StopRequested() { return stop_requested; }

const std::atomic<bool>& InstallStopSignals() {
  if (std::exchange(installed, true)) return stop_requested;
  struct sigaction action {};
  action.sa_handler = OnStopSignal;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  return stop_requested;
}

}  // namespace luna::apps
