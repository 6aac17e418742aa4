#include "luna/apps/runtime/signals.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <utility>

#include "glog/logging.h"

namespace luna::apps {
namespace {

std::atomic<bool> stop_requested{false};
bool installed = false;
int stop_fd = -1;
static_assert(std::atomic<bool>::is_always_lock_free, "written by a signal handler");

void OnStopSignal(int signal) {
  const int saved = errno;
  stop_requested.store(true, std::memory_order_relaxed);
  const uint64_t one = 1;
  if (write(stop_fd, &one, sizeof(one)) < 0) {
    // Full: it is readable already.
  }
  std::signal(signal, SIG_DFL);
  errno = saved;
}

}  // namespace

const std::atomic<bool>& StopRequested() { return stop_requested; }

int StopFd() { return stop_fd; }

const std::atomic<bool>& InstallStopSignals() {
  if (std::exchange(installed, true)) return stop_requested;
  stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  PCHECK(stop_fd >= 0) << "eventfd";
  struct sigaction action {};
  action.sa_handler = OnStopSignal;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  return stop_requested;
}

}  // namespace luna::apps
