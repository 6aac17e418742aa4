#ifndef LUNA_NET_PMD_DPDK_EAL_LOG_H_
#define LUNA_NET_PMD_DPDK_EAL_LOG_H_

// Where DPDK's log goes: into memory, and on to glog if the user wants to see it.
//
// One per process, never destroyed, because DPDK's threads may log until the very end. Any thread.

#include <cstdint>
#include <string>

namespace luna::pmd::dpdk {

// Called with a debug line of net_memif's control channel, on DPDK's interrupt thread, before the driver acts
// (memif_gate.h).
void SetMemifControlHook(void (*hook)());

// Redirects DPDK's log stream to memory; lines up to DPDK's level `echo` (RTE_LOG_…, 0: none)
// go to LOG(INFO) as well. Idempotent. Control path.
void CaptureEalLog(uint32_t echo);

// The last up to two lines since ForgetEalLog(), joined by "; ", without what everybody sees at every start.
std::string LastEalLog();
void ForgetEalLog();

}  // namespace luna::pmd::dpdk

#endif  // LUNA_NET_PMD_DPDK_EAL_LOG_H_
