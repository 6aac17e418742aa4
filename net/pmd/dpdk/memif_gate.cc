#include "luna/net/pmd/dpdk/memif_gate.h"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "luna/net/pmd/dpdk/interrupt_thread.h"

namespace luna::pmd::dpdk {
namespace {

constexpr int kPollsAtMost = 2000;
constexpr timespec kPollEvery = {.tv_sec = 0, .tv_nsec = 50'000};

struct Registry {
  absl::Mutex mutex;
  std::vector<const std::atomic<bool>*> inside ABSL_GUARDED_BY(mutex);
};

Registry& TheRegistry() {
  static Registry* registry = new Registry;
  return *registry;
}

}  // namespace

std::atomic<bool> MemifGate::closed_{false};

MemifGate::MemifGate() {
  syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0);
  absl::MutexLock lock(&TheRegistry().mutex);
  TheRegistry().inside.push_back(&inside_);
}

MemifGate::~MemifGate() {
  absl::MutexLock lock(&TheRegistry().mutex);
  auto& inside = TheRegistry().inside;
  inside.erase(std::find(inside.begin(), inside.end(), &inside_));
}

void MemifGate::CloseAll() {
  closed_.store(true, std::memory_order_seq_cst);
  // From here on every running worker has either seen that, or shows that it is inside.
  syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
  absl::MutexLock lock(&TheRegistry().mutex);
  for (const std::atomic<bool>* inside : TheRegistry().inside) {
    for (int i = 0; i < kPollsAtMost && inside->load(std::memory_order_acquire); ++i) nanosleep(&kPollEvery, nullptr);
  }
}

void OnMemifControlMessage() {
  // Posted first: without it the gates must not close.
  if (!PostToInterruptThread([](void*) { MemifGate::OpenAll(); }, nullptr)) return;
  MemifGate::CloseAll();
}

}  // namespace luna::pmd::dpdk
