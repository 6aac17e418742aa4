#ifndef LUNA_NET_PMD_DPDK_INTERRUPT_THREAD_H_
#define LUNA_NET_PMD_DPDK_INTERRUPT_THREAD_H_

// Work on DPDK's interrupt thread, where drivers handle their control sockets and link interrupts.
//
// What runs there cannot run into those handlers, which net_memif needs: its close and the handling of a peer's goodbye
// free the same memory without a lock between them.

#include "absl/functional/function_ref.h"

namespace luna::pmd::dpdk {

// Runs `work` there and returns when it is done. Control threads, not the interrupt thread itself. CHECKs that DPDK
// takes it.
void RunOnInterruptThread(absl::FunctionRef<void()> work);

// Runs `callback(argument)` there soon; false when DPDK does not take it. Any thread.
bool PostToInterruptThread(void (*callback)(void*), void* argument);

}  // namespace luna::pmd::dpdk

#endif  // LUNA_NET_PMD_DPDK_INTERRUPT_THREAD_H_
