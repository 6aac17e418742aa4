#ifndef LUNA_SCHED_R2C_IDLER_H_
#define LUNA_SCHED_R2C_IDLER_H_

// Idler: what a worker's thread does when there is nothing to do. Busy-poll, as a run-to-completion loop does by
// itself; or adaptive: go on polling for a while, then sleep until the device, a kernel descriptor or a timer has
// something.
//
//   while (!stop) idler.AfterIteration(worker.RunOnce());
//
// The device wakes the thread where it has a descriptor (Capabilities::poll_fd: AF_XDP, TAP, packet sockets). Where it
// has none (DPDK's memif, ring and af_packet can only be polled) the thread looks again by itself, ever more rarely: it
// sleeps for an eighth of the time that it has had nothing to do, `longest_nap` at most. So the first frame waits for
// an eighth of the silence before it. A message to the worker's mailbox wakes it, and what its KernelPoller watches.
// Thread: the worker's.

#include "absl/types/span.h"
#include "luna/ctrl/stats/counter.h"
#include "luna/sched/clock/clock.h"
#include "luna/sched/r2c/worker.h"

namespace luna::r2c {

struct IdleOptions {
  // Without work the loop goes on so long before it sleeps. Infinite(): for ever.
  Duration spin = Duration::Infinite();
  // The longest sleep on a device that cannot wake us. To look once takes some 60 us of a CPU whose caches are cold.
  Duration longest_nap = Duration::Milliseconds(8);
  // And on one that can: then the loop looks at what wakes nobody, such as the link's state, and memory that other
  // threads have freed. Deadlines that the worker does not know of (a limit in the program's own loop) are late by
  // that.
  Duration longest_sleep = Duration::Milliseconds(100);
};

// Where the thread sleeps: the seam for tests.
class Sleeper {
 public:
  virtual ~Sleeper() = default;
  // Until one of `fds` is readable (negative ones are left out), a signal arrives, or `timeout` is over. Infinite(): no
  // timeout. May return early. False: the first one is in error and will never be readable, as when an interface was
  // deleted; it would end every sleep at once.
  virtual bool Sleep(absl::Span<const int> fds, Duration timeout) = 0;
};

// The kernel's ppoll(). Asks for a timer slack of a microsecond, for the calling thread, when it is made.
class KernelSleeper final : public Sleeper {
 public:
  KernelSleeper();
  bool Sleep(absl::Span<const int> fds, Duration timeout) override;
};

class Idler {
 public:
  // All outlive this.
  Idler(Worker& worker, Clock& clock, Sleeper& sleeper, const IdleOptions& options);

  // After each iteration; `busy`: what RunOnce() returned.
  void AfterIteration(bool busy) {
    if (busy) {
      last_busy_ = worker_.now();
    } else if (options_.spin != Duration::Infinite() && worker_.now() - last_busy_ >= options_.spin) {
      Sleep();
    }
  }

  // All-time counts.
  struct Counters {
    stats::Counter sleeps;
    stats::Counter slept_ns;
  };
  const Counters& counters() const { return counters_; }

 private:
  void Sleep();

  Worker& worker_;
  Clock& clock_;
  Sleeper& sleeper_;
  const IdleOptions options_;
  int device_fd_;  // negative: the device cannot wake us
  Time last_busy_;
  Counters counters_;
};

}  // namespace luna::r2c

#endif  // LUNA_SCHED_R2C_IDLER_H_
