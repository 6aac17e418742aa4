#include "luna/sched/r2c/mailbox.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/status/status.h"
#include "glog/logging.h"

namespace luna::r2c {

absl::StatusOr<std::unique_ptr<Mailbox>> Mailbox::Create(size_t capacity) {
  const int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (fd < 0) return absl::ErrnoToStatus(errno, "eventfd");
  return absl::WrapUnique(new Mailbox(capacity, fd));
}

Mailbox::~Mailbox() { close(event_fd_); }

bool Mailbox::Post(Message&& message) {
  if (!queue_.TryPush(std::move(message))) return false;
  if (asleep_.exchange(false, std::memory_order_acq_rel)) {
    const uint64_t one = 1;
    PCHECK(write(event_fd_, &one, sizeof(one)) == sizeof(one)) << "eventfd";
  }
  return true;
}

size_t Mailbox::Deliver(Worker& worker, size_t limit) {
  size_t delivered = 0;
  Message message;
  for (; delivered < limit && queue_.TryPop(&message); ++delivered) {
    message(worker);
    message = nullptr;  // what it holds goes now
  }
  counters_.delivered.Add(delivered);
  return delivered;
}

bool Mailbox::PrepareToSleep() {
  asleep_.exchange(true, std::memory_order_acq_rel);
  if (queue_.empty()) return true;
  Awake();
  return false;
}

void Mailbox::Awake() {
  asleep_.exchange(false, std::memory_order_acq_rel);
  uint64_t posts;
  // The Post() that saw us asleep may not have written yet: then the next sleep ends early, once. So this reads always.
  if (read(event_fd_, &posts, sizeof(posts)) == sizeof(posts)) counters_.wakes.Increment();
}

}  // namespace luna::r2c
