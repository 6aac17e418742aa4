// Runs one packet script: packetscript [--profile=linux-test|bsd-test] [--strict_end] [--quiet] FILE…
// Prints what happened, with times; exit code 0 when everything was as the scripts say, 1 when not, 2 for a mistake in
// the command. With --strict_end, packets that a script does not have make it fail; with --quiet only scripts that fail
// are traced.

#include <cstdio>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "luna/net/tcp/testing/packetscript/runner.h"
#include "luna/net/tcp/testing/sockets/profile.h"

namespace luna::tcp::packetscript {
namespace {

void Print(const char* title, const std::vector<std::string>& lines) {
  for (const std::string& line : lines) std::printf("%s%s\n", title, line.c_str());
}

bool RunOne(const std::string& path, const RunOptions& options, bool quiet) {
  const RunReport report = RunScriptFile(path, options);
  if (!quiet || !report.status.ok()) {
    Print("", report.trace);
    Print("skipped: ", report.skipped);
    Print("unexpected: ", report.unexpected);
  }
  std::printf("%s %s\n", report.status.ok() ? "PASS" : "FAIL",
              report.status.ok() ? path.c_str() : std::string(report.status.message()).c_str());
  return report.status.ok();
}

int Main(int argc, char** argv) {
  RunOptions options;
  bool quiet = false;
  std::vector<std::string> paths;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (absl::StartsWith(argument, "--profile=")) {
      const auto profile = testing::ProfileByName(absl::string_view(argument).substr(10));
      if (!profile.ok()) {
        std::fprintf(stderr, "%s: %s\n", argument.c_str(), std::string(profile.status().message()).c_str());
        return 2;
      }
      options.profile = *profile;
    } else if (argument == "--strict_end") {
      options.strict_end = true;
    } else if (argument == "--quiet") {
      quiet = true;
    } else {
      paths.push_back(argument);
    }
  }
  if (paths.empty()) {
    std::fprintf(stderr, "usage: packetscript [--profile=linux-test|bsd-test] [--strict_end] [--quiet] FILE...\n");
    return 2;
  }
  bool all = true;
  for (const std::string& path : paths) all = RunOne(path, options, quiet) && all;
  return all ? 0 : 1;
}

}  // namespace
}  // namespace luna::tcp::packetscript

int main(int argc, char** argv) { return luna::tcp::packetscript::Main(argc, argv); }
