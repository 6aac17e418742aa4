#ifndef LUNA_NET_PMD_DPDK_EAL_H_
#define LUNA_NET_PMD_DPDK_EAL_H_

// Eal: DPDK's environment layer, started once per process.
//
// DPDK keeps its state in globals and can be initialised once in a process's life; this object is the token of that. It
// hides what surprises in rte_eal_init: the calling thread keeps its CPU affinity, no lcore threads are started,
// nothing is printed (the log is kept and its last complaint goes into the Status), and no file survives the process.
//
// Privileges: none. Without hugepages, memory is ordinary memory and I/O addresses are virtual ones; enough for every
// software device (memif, ring, af_packet, tap, …). With hugepages they are taken as anonymous ones (no hugetlbfs
// mount).
//
// Threads: Init and the destructor on one thread, Init before other threads read the environment (it sets
// RUNTIME_DIRECTORY for the duration of the call). Everything else from any thread.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace luna::pmd::dpdk {

enum class Huge {
  kAuto,  // hugepages when `memory_mb` of free ones are there, ordinary memory otherwise
  kOn,    // hugepages, or ResourceExhausted
  kOff,   // ordinary memory
};

// What of DPDK's own log goes on to the program's log. Errors are always kept for the Status.
enum class EalLog { kOff, kWarnings, kInfo, kDebug };

struct EalOptions {
  Huge huge = Huge::kAuto;
  std::string file_prefix;  // empty: "luna-PID". Distinguishes processes; letters, digits, '-', '_'
  int main_cpu = -1;  // the CPU that DPDK calls lcore 0 (control threads keep off it); -1: the first we may run on
  uint32_t memory_mb = 64;  // DPDK's own heap: device rings, mempool headers; receive pools of drivers in copy mode;
                            // Zbuf objs only when the arena is made of an EalPageSource
  bool pci = false;         // look at the PCI bus. A device is touched only when a Port opens it
  EalLog log = EalLog::kOff;
  std::vector<std::string> extra_arguments;  // for rte_eal_init, at the end; what DPDK says about them goes to stderr
};

class Eal {
 public:
  // FailedPrecondition: EAL was already initialised in this process (DPDK cannot be initialised again, not even after
  // cleanup). InvalidArgument: bad options. ResourceExhausted: not enough (huge) memory. Otherwise Internal with EAL's
  // words.
  static absl::StatusOr<std::unique_ptr<Eal>> Init(const EalOptions& options);

  // All Ports must be gone (CHECKed). DPDK's idle control threads and its heap stay until the process ends.
  ~Eal();
  Eal(const Eal&) = delete;
  Eal& operator=(const Eal&) = delete;

  bool hugepages() const { return hugepages_; }
  bool pci() const { return pci_; }
  const std::string& file_prefix() const { return file_prefix_; }

  // The last complaint (warning or error) that DPDK logged since ForgetLog(), without its newline; empty when none.
  std::string LastLog() const;
  void ForgetLog();

  // When all Ports are gone, and this may be used again: removes what sockets of theirs have left in the file system.
  void RemoveFiles();

  // For Port: keeps count of the open ones.
  void PortOpened() { ++ports_open_; }
  void PortClosed() { --ports_open_; }

 private:
  Eal(std::string file_prefix, bool hugepages, bool pci)
      : file_prefix_(std::move(file_prefix)), hugepages_(hugepages), pci_(pci) {}

  const std::string file_prefix_;
  const bool hugepages_;
  const bool pci_;
  int ports_open_ = 0;
};

}  // namespace luna::pmd::dpdk

#endif  // LUNA_NET_PMD_DPDK_EAL_H_
