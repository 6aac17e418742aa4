#include "luna/sched/ring/bell.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "absl/memory/memory.h"
#include "absl/status/status.h"
#include "glog/logging.h"

namespace luna {

absl::StatusOr<std::unique_ptr<Bell>> Bell::Create() {
  const int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (fd < 0) return absl::ErrnoToStatus(errno, "eventfd");
  return absl::WrapUnique(new Bell(fd));
}

Bell::~Bell() { close(event_fd_); }

void Bell::Ring() {
  if (!asleep_.exchange(false, std::memory_order_acq_rel)) return;
  const uint64_t one = 1;
  PCHECK(write(event_fd_, &one, sizeof(one)) == sizeof(one)) << "eventfd";
}

bool Bell::Answer() {
  asleep_.exchange(false, std::memory_order_acq_rel);
  uint64_t rings;
  return read(event_fd_, &rings, sizeof(rings)) == sizeof(rings);
}

}  // namespace luna
