#ifndef LUNA_SCHED_RING_BELL_H_
#define LUNA_SCHED_RING_BELL_H_

// Bell: wakes a thread that sleeps in poll(), and costs a system call only then.
//
//   the sleeper:  bell.Expect(); if (nothing is there) poll(bell.fd()); bell.Answer();
//   the others:   put something there; bell.Ring();
//
// Both sides exchange one flag, so that of a Ring() and an Expect() at the same time one sees the other's work: no
// wake-up is lost.

#include <atomic>
#include <memory>

#include "absl/status/statusor.h"

namespace luna {

class Bell {
 public:
  // Fails when the process or the system is out of file descriptors.
  static absl::StatusOr<std::unique_ptr<Bell>> Create();
  ~Bell();
  Bell(const Bell&) = delete;
  Bell& operator=(const Bell&) = delete;

  // Any thread, behind what it has to tell.
  void Ring();

  // --- The thread that sleeps only ---
  // From now on a Ring() makes fd() readable. Look once more for what is there before sleeping.
  void Expect() { asleep_.exchange(true, std::memory_order_acq_rel); }
  // After the sleep, or when there was none. True: it was rung. A Ring() that saw us asleep may not have come to its
  // end yet: then the next sleep ends early, once.
  bool Answer();
  int fd() const { return event_fd_; }

 private:
  explicit Bell(int event_fd) : event_fd_(event_fd) {}

  const int event_fd_;
  std::atomic<bool> asleep_{false};
};

}  // namespace luna

#endif  // LUNA_SCHED_RING_BELL_H_
