#ifndef LUNA_NET_TCP_TESTING_DIFFERENTIAL_DIFFERENCE_H_
#define LUNA_NET_TCP_TESTING_DIFFERENTIAL_DIFFERENCE_H_

// Differences that are known, and what the RFC says of each (differences.txt); and the comparison of two traces under
// them. Values; any thread.

#include <regex>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "luna/net/tcp/testing/differential/runner.h"

namespace luna::tcp::differential {

struct Difference {
  std::string name;
  std::string list;  // the committed list that shows it
  std::regex event;  // whole texts are matched: of the event …
  std::regex state;  // … the state before it …
  std::regex luna;   // … and Step::Outcome() of either
  std::regex kernel;
  absl::optional<std::regex> apart_from;  // when set: without what matches this in them, the outcomes are the same
  bool goes_on = false;                   // what follows is the same again; else the comparison ends with it
  std::string verdict;
};

// The text of differences.txt, which says at its top how it is written. InvalidArgument names what is wrong.
absl::StatusOr<std::vector<Difference>> ParseDifferences(absl::string_view text);

struct Comparison {
  std::vector<std::string> known;  // names of differences that were met
  std::string unknown;             // the first that is not listed, at length; "" when there was none
};
Comparison Compare(const Trace& luna, const Trace& kernel, const std::vector<Difference>& differences);

}  // namespace luna::tcp::differential

#endif  // LUNA_NET_TCP_TESTING_DIFFERENTIAL_DIFFERENCE_H_
