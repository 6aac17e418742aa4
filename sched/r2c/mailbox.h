#ifndef LUNA_SCHED_R2C_MAILBOX_H_
#define LUNA_SCHED_R2C_MAILBOX_H_

// Mailbox: how other threads ask a worker to do something. A message is a call that the worker makes on its own thread,
// between two verbs, where all of its connections, timers and memory may be used:
//
//   if (!mailbox.Post([this, id, chain = std::move(chain)](Worker&) mutable {
//         if (tcp::Connection* c = Find(id)) c->Send(std::move(chain));  // in a map that OnClosed takes it out of
//       })) Retry();
//
// Bounded: a full mailbox refuses, and the message stays with the caller. Lock-free for both sides; a system call is
// made only to wake a worker that sleeps. A message must not bring a Connection* along: it may have been destroyed
// before the message is read.
//
// Outlives the worker, and all calls of Post(). Outlived by the slabs whose objs its messages may hold.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "luna/ctrl/stats/counter.h"
#include "luna/sched/ring/bell.h"
#include "luna/sched/ring/mpsc_queue.h"

namespace luna::r2c {

class Worker;

class Mailbox {
 public:
  using Message = absl::AnyInvocable<void(Worker&)>;

  // Fails when the process or the system is out of file descriptors. What is still inside at the end is destroyed
  // without having been called.
  static absl::StatusOr<std::unique_ptr<Mailbox>> Create(size_t capacity = 1024);
  ~Mailbox() = default;
  Mailbox(const Mailbox&) = delete;
  Mailbox& operator=(const Mailbox&) = delete;

  // Any thread. False: full; `message` is as it was.
  bool Post(Message&& message);

  // --- The worker's thread only ---

  bool empty() const { return queue_.empty(); }
  // Calls at most `limit` messages, oldest first. Returns how many.
  size_t Deliver(Worker& worker, size_t limit);

  // Before a sleep: from now on a Post() makes fd() readable. False: something is there, do not sleep.
  bool PrepareToSleep();
  // After it.
  void Awake();
  int fd() const { return bell_->fd(); }

  struct Counters {
    stats::Counter delivered;
    stats::Counter wakes;  // sleeps that a Post() ended
  };
  const Counters& counters() const { return counters_; }

 private:
  Mailbox(size_t capacity, std::unique_ptr<Bell> bell) : queue_(capacity), bell_(std::move(bell)) {}

  MpscQueue<Message> queue_;
  const std::unique_ptr<Bell> bell_;
  Counters counters_;
};

}  // namespace luna::r2c

#endif  // LUNA_SCHED_R2C_MAILBOX_H_
