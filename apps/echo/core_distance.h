#ifndef LUNA_APPS_ECHO_CORE_DISTANCE_H_
#define LUNA_APPS_ECHO_CORE_DISTANCE_H_

#include "absl/status/statusor.h"

namespace luna::apps {

// Nanoseconds that a cache line needs from one CPU to the other and back, the mean of `round_trips` (> 0). Whatever two
// processes do on these CPUs pays it several times per message; on virtual machines it changes with where the host puts
// them, so a measurement that does not say it says little. Starts two threads, which spin on these CPUs meanwhile.
// InvalidArgument: not two CPUs that this process may run on.
absl::StatusOr<double> CoreDistanceNs(int cpu, int other_cpu, int round_trips = 20'000);

}  // namespace luna::apps

#endif  // LUNA_APPS_ECHO_CORE_DISTANCE_H_
