#ifndef LUNA_NET_PMD_DPDK_MEMIF_GATE_H_
#define LUNA_NET_PMD_DPDK_MEMIF_GATE_H_

// MemifGate: keeps a worker's bursts and net_memif's disconnect apart.
//
// When a peer says goodbye or dies, net_memif (DPDK 22.11) unmaps the shared memory on DPDK's interrupt thread,
// whatever the workers do meanwhile. A worker that was preempted inside a burst, on a busy machine by that very thread,
// wakes up to a segmentation fault. The driver offers no hook, but it logs a line at debug level after it has read a
// control message and before it acts on it. That line (see eal_log.h) closes the gates of all workers, waits until none
// is inside a burst, and has them opened again behind the handler. Should another version of the driver log
// differently, the protection is gone and its own race is back.
//
// Cost in a burst: two plain stores and two loads. The other side pays, with membarrier(2).

#include <atomic>
#include <cstdint>

namespace luna::pmd::dpdk {

// One per memif queue. Enter and Leave on its worker.
class MemifGate {
 public:
  MemifGate();   // control path
  ~MemifGate();  // control path
  MemifGate(const MemifGate&) = delete;
  MemifGate& operator=(const MemifGate&) = delete;

  // False: not now, and nothing was entered.
  bool Enter() {
    inside_.store(true, std::memory_order_relaxed);
    // Against the compiler; against the CPU, CloseAll uses membarrier(2).
    std::atomic_signal_fence(std::memory_order_seq_cst);
    if (!closed_.load(std::memory_order_acquire)) [[likely]]
      return true;
    Leave();
    return false;
  }
  void Leave() { inside_.store(false, std::memory_order_release); }

  // Returns when no worker is inside a burst, and none will be until OpenAll. On DPDK's interrupt thread. Waits 100 ms
  // at most: a worker that takes longer is not inside a burst of ours.
  static void CloseAll();
  static void OpenAll() { closed_.store(false, std::memory_order_release); }

 private:
  static std::atomic<bool> closed_;
  std::atomic<bool> inside_{false};
};

// Called with each debug line of net_memif's control channel: CloseAll, and OpenAll as soon as the handler has
// returned.
void OnMemifControlMessage();

}  // namespace luna::pmd::dpdk

#endif  // LUNA_NET_PMD_DPDK_MEMIF_GATE_H_
