#include "luna/net/pmd/dpdk/interrupt_thread.h"

#include "rte_config.h"
// clang-format off: rte_config.h comes first.
#include <rte_alarm.h>
// clang-format on

#include "absl/synchronization/notification.h"
#include "glog/logging.h"

namespace luna::pmd::dpdk {
namespace {

struct Job {
  absl::FunctionRef<void()> work;
  absl::Notification done;
};

}  // namespace

bool PostToInterruptThread(void (*callback)(void*), void* argument) {
  return rte_eal_alarm_set(/*us=*/1, callback, argument) == 0;
}

void RunOnInterruptThread(absl::FunctionRef<void()> work) {
  Job job{work, {}};
  const auto run = [](void* argument) {
    Job* job = static_cast<Job*>(argument);
    job->work();
    job->done.Notify();
  };
  CHECK(PostToInterruptThread(run, &job)) << "DPDK's heap has no room for an alarm";
  job.done.WaitForNotification();
}

}  // namespace luna::pmd::dpdk
