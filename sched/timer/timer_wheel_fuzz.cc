// Random operations against the model. Each is 10 bytes: what and which timer, an amount of 8 bytes, and its magnitude.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "luna/sched/clock/time.h"
#include "luna/sched/timer/timer_wheel.h"
#include "luna/sched/timer/timer_wheel_model.h"

namespace luna::timer {
namespace {

constexpr int kTimers = 8;
constexpr size_t kOperationBytes = 10;

std::string Step(WheelAndModel& both, const uint8_t* bytes, Time* now) {
  const int i = bytes[0] % kTimers;
  uint64_t raw;
  std::memcpy(&raw, bytes + 1, sizeof(raw));
  const auto amount = static_cast<int64_t>(raw >> (2 + bytes[9] % 62));
  switch (bytes[0] / kTimers % 6) {
    case 0:
      return both.Arm(i, *now + Duration::Nanoseconds(amount));
    case 1:
      // Anywhere in Time, the past and both ends included.
      return both.Arm(i, Time::FromNanoseconds(static_cast<int64_t>(raw)));
    case 2:
      return both.Cancel(i);
    case 3:
      return both.PopOne(*now);
    case 4:
      *now += Duration::Nanoseconds(amount);
      return both.PopAll(*now);
    default:
      if (!both.empty()) *now = std::max(*now, both.wheel().NextDeadline());
      return both.PopAll(*now);
  }
}

}  // namespace
}  // namespace luna::timer

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using luna::Time;
  if (size < 8) return 0;
  int64_t start;
  std::memcpy(&start, data, sizeof(start));
  Time now = Time::FromNanoseconds(start / 4);
  luna::timer::WheelAndModel both(luna::timer::kTimers, now);
  for (size_t at = 8; at + luna::timer::kOperationBytes <= size; at += luna::timer::kOperationBytes) {
    // Beyond this, now + amount would overflow.
    if (now.nanoseconds() > INT64_MAX / 2) break;
    const std::string problem = luna::timer::Step(both, data + at, &now);
    if (problem.empty()) continue;
    std::fprintf(stderr, "operation %zu: %s\n", (at - 8) / luna::timer::kOperationBytes, problem.c_str());
    std::abort();
  }
  return 0;
}
