#include "luna/sched/r2c/mailbox.h"

#include <utility>

#include "absl/memory/memory.h"
#include "absl/status/status.h"

namespace luna::r2c {

absl::StatusOr<std::unique_ptr<Mailbox>> Mailbox::Create(size_t capacity) {
  absl::StatusOr<std::unique_ptr<Bell>> bell = Bell::Create();
  if (!bell.ok()) return bell.status();
  return absl::WrapUnique(new Mailbox(capacity, *std::move(bell)));
}

bool Mailbox::Post(Message&& message) {
  if (!queue_.TryPush(std::move(message))) return false;
  bell_->Ring();
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
  bell_->Expect();
  if (queue_.empty()) return true;
  Awake();
  return false;
}

void Mailbox::Awake() {
  if (bell_->Answer()) counters_.wakes.Increment();
}

}  // namespace luna::r2c
