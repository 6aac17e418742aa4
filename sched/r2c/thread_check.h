#ifndef LUNA_SCHED_R2C_THREAD_CHECK_H_
#define LUNA_SCHED_R2C_THREAD_CHECK_H_

// ThreadCheck: "these calls belong to one thread", checked in debug builds (NDEBUG not defined); nothing otherwise.

#include <atomic>
#include <thread>

#include "glog/logging.h"

namespace luna::r2c {

class ThreadCheck {
 public:
  // From now on the calling thread is the one. The first call decides; another thread's ends the process.
  void Bind() {
#ifndef NDEBUG
    std::thread::id nobody;
    if (owner_.compare_exchange_strong(nobody, std::this_thread::get_id(), std::memory_order_relaxed)) return;
    Check("the loop");
#endif
  }
  // `call`: what is being called, for the message. Before Bind() every thread may: objects are made in one thread and
  // run in another.
  void Check([[maybe_unused]] const char* call) const {
#ifndef NDEBUG
    const std::thread::id owner = owner_.load(std::memory_order_relaxed);
    if (owner == std::thread::id() || owner == std::this_thread::get_id()) return;
    LOG(FATAL) << call
               << " is called from another thread than that of its worker; post a message to the worker's mailbox";
#endif
  }

 private:
  std::atomic<std::thread::id> owner_{};  // in every build, so that builds may be mixed
};

}  // namespace luna::r2c

#endif  // LUNA_SCHED_R2C_THREAD_CHECK_H_
