#ifndef LUNA_APPS_RUNTIME_FLAGS_H_
#define LUNA_APPS_RUNTIME_FLAGS_H_

// The command line of every Luna program: the runtime's flags, a help text for strangers, and errors that name the
// flag, the value and the mend. The only gflags of the house live here and in the programs.

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "luna/apps/runtime/options.h"

namespace luna::apps {

// What the program says of itself under --help, before the list of flags.
struct Usage {
  std::string text;
};

// Parses argv: flags by gflags, the rest is returned in order. Prints the help and exits 0 for --help. InvalidArgument
// names an unknown flag or a value that does not parse. `own_flags_file`: the program's source file whose flags belong
// in the help, beside the runtime's.
absl::StatusOr<std::vector<std::string>> ParseCommandLine(int argc, char** argv, const Usage& usage,
                                                          absl::string_view own_flags_file);

// The runtime's flags as options. InvalidArgument: one line with flag, value and mend.
absl::StatusOr<RuntimeOptions> RuntimeOptionsFromFlags();

// --device as given.
std::string DeviceFlag();
// --address without its prefix length (which may be missing); unspecified when the flag is empty. For kernel sockets.
absl::StatusOr<wire::IpAddress> AddressFlag();
// Parses the value of a flag that holds an endpoint ("10.0.0.2:61441").
absl::StatusOr<wire::Endpoint> ParseEndpointFlag(absl::string_view flag, absl::string_view value);
// "5s", "250ms", "2m"; a bare number is seconds.
absl::StatusOr<Duration> ParseDurationFlag(absl::string_view flag, absl::string_view value);

// Prints `error: …` to stderr and returns the exit code for it (never 0).
int ExitWith(const absl::Status& status);

// Tells people and scripts that the server can be connected to: "listening on 10.0.0.2:80".
void PrintListening(absl::string_view where);

}  // namespace luna::apps

#endif  // LUNA_APPS_RUNTIME_FLAGS_H_
