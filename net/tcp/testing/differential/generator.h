#ifndef LUNA_NET_TCP_TESTING_DIFFERENTIAL_GENERATOR_H_
#define LUNA_NET_TCP_TESTING_DIFFERENTIAL_GENERATOR_H_

// Event lists by chance. A pure function of the seed, the same with every compiler; any thread.

#include <cstdint>

#include "luna/net/tcp/testing/differential/event.h"

namespace luna::tcp::differential {

// A list named "seed-N". It opens a connection in one of the usual ways, or half of one, and goes on with events whose
// numbers lie where a peer that knows what it sent would put them, or a little (or far) beside.
EventList Generate(uint64_t seed);

}  // namespace luna::tcp::differential

#endif  // LUNA_NET_TCP_TESTING_DIFFERENTIAL_GENERATOR_H_
