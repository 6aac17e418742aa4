#ifndef LUNA_NET_TCP_TESTING_DIFFERENTIAL_CAMPAIGN_H_
#define LUNA_NET_TCP_TESTING_DIFFERENTIAL_CAMPAIGN_H_

// Many event lists against Luna and the kernel at once. The kernel's time is real and mostly spent waiting, so each of
// many threads has a namespace and a kernel of its own. Needs root.

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "luna/net/tcp/testing/differential/difference.h"
#include "luna/net/tcp/testing/differential/event.h"
#include "luna/net/tcp/testing/differential/runner.h"

namespace luna::tcp::differential {

struct Outcome {
  std::string name;                // of the list
  std::vector<std::string> known;  // listed differences that were met
  std::string failure;             // an unlisted one, at length; "" when there was none
  int attempts = 0;
  Trace luna;
  Trace kernel;
};

struct CampaignOptions {
  int threads = 48;
  // A difference counts when it comes this often in a row: a machine that stalls for longer than the kernel's timers
  // makes ones that do not.
  int attempts = 3;
};

// In the order of `lists`. An error when the kernel cannot be had.
absl::StatusOr<std::vector<Outcome>> RunCampaign(const std::vector<EventList>& lists,
                                                 const std::vector<Difference>& differences,
                                                 const CampaignOptions& options = {});

// Listed differences that the list they name did not show.
std::vector<std::string> FindStale(const std::vector<Difference>& differences, const std::vector<Outcome>& outcomes);

}  // namespace luna::tcp::differential

#endif  // LUNA_NET_TCP_TESTING_DIFFERENTIAL_CAMPAIGN_H_
