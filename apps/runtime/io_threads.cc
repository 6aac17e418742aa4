#include "luna/apps/runtime/io_threads.h"

#include <sched.h>
#include <unistd.h>

#include <thread>

#include "glog/logging.h"

namespace luna::apps {
namespace {

// Threads inherit where the worker's is pinned to (--cpu); these go elsewhere if there is another CPU.
void LeaveCpusOf(const cpu_set_t& workers) {
  cpu_set_t others;
  CPU_ZERO(&others);
  for (long cpu = 0; cpu < sysconf(_SC_NPROCESSORS_CONF) && cpu < CPU_SETSIZE; ++cpu) {  // NOLINT(google-runtime-int)
    if (CPU_COUNT(&workers) > 1 || !CPU_ISSET(cpu, &workers)) CPU_SET(cpu, &others);
  }
  if (CPU_COUNT(&others) > 0) (void)sched_setaffinity(0, sizeof(others), &others);  // a hint: where it fails, it stays
}

}  // namespace

absl::Status RunBehindIoCore(Runtime& runtime, uint16_t port, const std::vector<r2c::RemoteHandler*>& handlers,
                             AtSignal at_signal, const std::function<void()>& listening) {
  if (runtime.workers() > 1) {
    return absl::InvalidArgumentError("--threads: they are behind one worker; leave --workers=1");
  }
  auto core = r2c::IoCore::Create(runtime.worker(), {.threads = handlers.size(), .hold_reads_while_send_full = true});
  if (!core.ok()) return core.status();
  if (absl::Status s = runtime.Listen(port, **core, r2c::IoCore::delivery()); !s.ok()) return s;
  std::vector<std::thread> threads;
  cpu_set_t workers_cpus;
  PCHECK(sched_getaffinity(0, sizeof(workers_cpus), &workers_cpus) == 0);
  for (size_t i = 0; i < handlers.size(); ++i) {
    threads.emplace_back([&, i] {
      LeaveCpusOf(workers_cpus);
      (*core)->thread(i).Run(*handlers[i]);
    });
  }
  listening();
  bool stopping = false;
  const auto ended = [&] { return stopping && (*core)->connections() == 0; };
  const auto finish = [&] {
    stopping = true;
    runtime.worker().StopListening();
    (*core)->AskToFinish();
  };
  runtime.RunAndDrain(ended, at_signal == AtSignal::kFinish ? std::function<void()>(finish) : nullptr);
  (*core)->Stop();
  for (std::thread& thread : threads) thread.join();
  return absl::OkStatus();
}

}  // namespace luna::apps
