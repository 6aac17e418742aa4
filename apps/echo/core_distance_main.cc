// core-distance CPU CPU: prints the nanoseconds of a cache line's round trip between them.

#include <cstdio>
#include <string>

#include "absl/strings/numbers.h"
#include "luna/apps/echo/core_distance.h"

int main(int argc, char** argv) {
  int cpu = 0, other_cpu = 0;
  if (argc != 3 || !absl::SimpleAtoi(argv[1], &cpu) || !absl::SimpleAtoi(argv[2], &other_cpu)) {
    std::fprintf(stderr, "usage: core-distance CPU CPU\n");
    return 2;
  }
  const absl::StatusOr<double> distance = luna::apps::CoreDistanceNs(cpu, other_cpu);
  if (!distance.ok()) {
    std::fprintf(stderr, "error: %s\n", std::string(distance.status().message()).c_str());
    return 1;
  }
  std::printf("%.0f\n", *distance);
  return 0;
}
