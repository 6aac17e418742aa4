#ifndef LUNA_NET_PMD_DPDK_MEMIF_SOCKETS_H_
#define LUNA_NET_PMD_DPDK_MEMIF_SOCKETS_H_

// The control sockets of net_memif in this process, which outlive the ports that use them.
//
// When the last server port of a socket closes, net_memif (DPDK 22.11) frees the socket's state but neither closes it
// nor takes it from the interrupt thread: the next client to connect is handled in freed memory, and the name stays
// taken. So each server socket gets an anchor, an idle memif device that keeps the state alive until the process ends.
// Clients that find no port behind the socket are turned away and try again.
// An anchor takes one of DPDK's 32 ports, so a process can serve on some 30 different sockets in its life.
//
// The driver also keeps one state per socket name for both roles, made by whoever comes first: after a client, a server
// in the same process would not listen. Other processes do not care.
//
// Control path; one thread at a time.

#include <string>

#include "absl/status/status.h"
#include "luna/net/pmd/dpdk/devargs.h"

namespace luna::pmd::dpdk {

// Before a port opens. AlreadyExists when another process listens there; FailedPrecondition for a server after a
// client; Unavailable otherwise. Call Release when the port has closed (if this returned OK).
absl::Status AcquireMemifSocket(const Devargs& devargs);
void ReleaseMemifSocket(const Devargs& devargs);

// Removes the files of sockets that are not abstract. For the end of the Eal.
void RemoveMemifSocketFiles();

}  // namespace luna::pmd::dpdk

#endif  // LUNA_NET_PMD_DPDK_MEMIF_SOCKETS_H_
