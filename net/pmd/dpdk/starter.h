#ifndef LUNA_NET_PMD_DPDK_STARTER_H_
#define LUNA_NET_PMD_DPDK_STARTER_H_

// Starter: starts and stops a configured DPDK port, and starts it again where the driver wants that.
//
// net_memif's client does not look for its server by itself: starting the port fails while no server listens, and when
// the server goes away the port stays down until it is stopped and started. Keep() does that, so that either end may
// come first and either may be restarted. Stopping a memif port happens on DPDK's interrupt thread (see
// interrupt_thread.h), without waiting for it.
//
// Threads: Start and Stop on the control thread while no queue runs; Keep on the owner of queue 0; started on any. A
// burst of another queue that is under way during a restart finds the driver disconnected and does nothing.

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "luna/sched/clock/time.h"

namespace luna::pmd::dpdk {

class Starter {
 public:
  enum class Kind {
    kPlain,        // start once; a failure is final
    kMemifServer,  // start once; stop on the interrupt thread
    kMemifClient,  // try again and again; stop on the interrupt thread
  };
  Starter(uint16_t port, Kind kind) : port_(port), kind_(kind) {}
  ~Starter() { Stop(); }
  Starter(const Starter&) = delete;
  Starter& operator=(const Starter&) = delete;

  // 0, or DPDK's negative error; always 0 for a memif client.
  int Start();
  void Stop();

  // DPDK's burst functions may be called.
  bool started() const { return state_.load(std::memory_order_acquire) == kStarted; }

  // Once per loop iteration, with the link's state.
  void Keep(bool link_up) {
    if (kind_ != Kind::kMemifClient || link_up) [[likely]] {
      was_up_ = link_up;
      return;
    }
    KeepSlow();
  }
  // As many iterations as the loop would have made.
  void OnSlept(Duration slept) {
    const int64_t missed = std::min<int64_t>(slept / kIteration, wait_ - 1);
    wait_ -= static_cast<uint32_t>(std::max<int64_t>(missed, 0));
  }

 private:
  enum State : uint8_t { kStopped, kStarted, kStopping };

  // Iterations between two attempts: a few milliseconds while nobody listens or after a peer has gone, and much longer
  // while a handshake is under way, which a restart would break off (DPDK's interrupt thread may have to wait for a
  // CPU).
  static constexpr uint32_t kRetryEvery = 1 << 14;
  static constexpr uint32_t kHandshakePatience = 1 << 24;
  static constexpr Duration kIteration = Duration::Nanoseconds(200);  // one without a frame

  void KeepSlow();

  const uint16_t port_;
  const Kind kind_;
  std::atomic<State> state_{kStopped};
  bool was_up_ = false;
  uint32_t wait_ = kRetryEvery;
};

}  // namespace luna::pmd::dpdk

#endif  // LUNA_NET_PMD_DPDK_STARTER_H_
