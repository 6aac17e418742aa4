#include "luna/apps/echo/core_distance.h"

#include <pthread.h>
#include <sched.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace luna::apps {
namespace {

bool MayRunOn(int cpu) {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  return cpu >= 0 && cpu < CPU_SETSIZE && sched_getaffinity(0, sizeof(allowed), &allowed) == 0 &&
         CPU_ISSET(static_cast<size_t>(cpu), &allowed);
}

void RunOn(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<size_t>(cpu), &set);
  (void)pthread_setaffinity_np(pthread_self(), sizeof(set), &set);  // MayRunOn() has said so
}

// The one cache line: even values are the first thread's to change, odd ones the second's.
struct alignas(128) Line {
  std::atomic<int> turn{0};
};

void Play(Line& line, int cpu, int first, int turns) {
  RunOn(cpu);
  for (int turn = first; turn < turns; turn += 2) {
    while (line.turn.load(std::memory_order_acquire) != turn) {
    }
    line.turn.store(turn + 1, std::memory_order_release);
  }
}

}  // namespace

absl::StatusOr<double> CoreDistanceNs(int cpu, int other_cpu, int round_trips) {
  for (const int wanted : {cpu, other_cpu}) {
    if (!MayRunOn(wanted)) return absl::InvalidArgumentError(absl::StrCat("this process may not run on CPU ", wanted));
  }
  if (cpu == other_cpu) return absl::InvalidArgumentError(absl::StrCat("twice the same CPU, ", cpu));
  constexpr int kWarmUp = 1000;  // both threads run, and the line is in the caches
  const int turns = 2 * (round_trips + kWarmUp);
  Line line;
  std::chrono::steady_clock::time_point begin, end;
  std::thread other([&] { Play(line, other_cpu, 1, turns); });
  std::thread one([&] {
    Play(line, cpu, 0, 2 * kWarmUp);
    begin = std::chrono::steady_clock::now();
    Play(line, cpu, 2 * kWarmUp, turns);
    end = std::chrono::steady_clock::now();
  });
  one.join();
  other.join();
  return std::chrono::duration<double, std::nano>(end - begin).count() / round_trips;
}

}  // namespace luna::apps
