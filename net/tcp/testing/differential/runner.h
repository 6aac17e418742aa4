#ifndef LUNA_NET_TCP_TESTING_DIFFERENTIAL_RUNNER_H_
#define LUNA_NET_TCP_TESTING_DIFFERENTIAL_RUNNER_H_

// Runs an event list on a System and writes down what can be seen from outside. One thread.

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "luna/net/tcp/testing/differential/event.h"
#include "luna/net/tcp/testing/differential/system.h"
#include "luna/net/wire/address.h"

namespace luna::tcp::differential {

// One event, and what followed before the next.
struct Step {
  std::string event;
  std::string before;              // the connection's state before it
  std::vector<std::string> lines;  // "= EAGAIN" of a call, "> . 1 ack 101" of a packet, "state CLOSE-WAIT" at the end

  std::string Outcome() const;  // the lines, " | " between them
};
using Trace = std::vector<Step>;

// After each event so much time passes: more than the kernel's timers of a few jiffies that reorder and pace.
inline constexpr Duration kSettleTime = Duration::Milliseconds(25);

// Fails when `system` is not able to run it at all, or is left in disorder.
absl::StatusOr<Trace> Run(const EventList& list, const wire::Endpoint& host, const wire::Endpoint& peer,
                          System& system);

}  // namespace luna::tcp::differential

#endif  // LUNA_NET_TCP_TESTING_DIFFERENTIAL_RUNNER_H_
