#ifndef LUNA_NET_PMD_DPDK_EAL_LOG_H_
#define LUNA_NET_PMD_DPDK_EAL_LOG_H_

// Where DPDK's log goes: into memory, and on to glog if the user wants to see it.
//
// One per process, never destroyed, because DPDK's threads may log until the very end. Any thread.

#include <string>

namespace luna::pmd::dpdk {

// Redirects DPDK's log stream to memory; `echo` also sends each line to LOG(INFO). Idempotent. Control path.
void CaptureEalLog(bool echo);

// The last up to two lines since ForgetEalLog(), joined by "; ", without what everybody sees at every start.
std::string LastEalLog();
void ForgetEalLog();

}  // namespace luna::pmd::dpdk

#endif  // LUNA_NET_PMD_DPDK_EAL_LOG_H_
