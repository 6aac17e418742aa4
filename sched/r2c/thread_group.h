#ifndef LUNA_SCHED_R2C_THREAD_GROUP_H_
#define LUNA_SCHED_R2C_THREAD_GROUP_H_

// ThreadGroup: N threads that share nothing, one worker each (LUNA §5.1), and a mailbox for each.
//
//   auto group = ThreadGroup::Start({.threads = 4, .cpus = {2, 3, 4, 5}}, [&](ThreadGroup::Member& me) {
//     // Slab, stack and worker of its own on device.queue(me.index()), me.mailbox() among the worker's parts. Then:
//     if (!me.Ready(status)) return;  // the others wait for the last one; false: somebody failed
//     while (!me.stop_asked()) { worker.RunOnce(); }
//     worker.Drain(limit);
//   });
//   group->mailbox(2).Post([](Worker& worker) { … });   // any thread, members included
//
// Threads: Start, Stop and the destructor: one. What a member makes is made, used and destroyed in its thread.

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "luna/sched/r2c/mailbox.h"

namespace luna::r2c {

// The calling thread runs there from now on. InvalidArgument: this process may not use it.
absl::Status PinThisThread(int cpu);

struct ThreadGroupOptions {
  size_t threads = 1;
  std::vector<int> cpus;  // that of each thread; empty: where the kernel likes
  size_t mailbox_messages = 1024;
};

class ThreadGroup {
 public:
  class Member {
   public:
    size_t index() const { return index_; }
    Mailbox& mailbox() const { return *mailbox_; }
    bool stop_asked() const { return stop_.load(std::memory_order_relaxed); }
    // Once: this member is made, or cannot be. Waits for the others. False: one of them could not; return then.
    bool Ready(const absl::Status& status = absl::OkStatus());

   private:
    friend class ThreadGroup;
    ThreadGroup* group_ = nullptr;
    size_t index_ = 0;
    std::unique_ptr<Mailbox> mailbox_;
    std::atomic<bool> stop_{false};
    bool told_ = false;
  };
  using Body = std::function<void(Member&)>;

  // Returns when all members are ready. Errors: the first member's that was not, or InvalidArgument for a CPU that this
  // process may not use; then all threads have ended. A body that returns without Ready() counts as ready.
  static absl::StatusOr<std::unique_ptr<ThreadGroup>> Start(const ThreadGroupOptions& options, Body body);
  // Stop().
  ~ThreadGroup();
  ThreadGroup(const ThreadGroup&) = delete;
  ThreadGroup& operator=(const ThreadGroup&) = delete;

  size_t size() const { return members_.size(); }
  Mailbox& mailbox(size_t i) { return *members_.at(i)->mailbox_; }
  // stop_asked() becomes true, and wakes those that sleep; returns when all threads have ended. The first member hears
  // of it when the others have ended: it may move their frames (pmd::SteeredDevice), also the last ones.
  void Stop();

 private:
  ThreadGroup() = default;
  void Run(Member& member, int cpu, const Body& body);

  std::vector<std::unique_ptr<Member>> members_;
  std::vector<std::thread> threads_;
  std::mutex mutex_;
  std::condition_variable all_ready_;
  size_t ready_ = 0;     // under mutex_
  absl::Status failed_;  // under mutex_: the first
};

}  // namespace luna::r2c

#endif  // LUNA_SCHED_R2C_THREAD_GROUP_H_
