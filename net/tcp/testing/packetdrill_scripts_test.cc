// Every packet script at hand, in process and through packetdrill's binary interface: both ways must agree. What each
// script proves is the business of //net/tcp/scripts and packetscript:shared_scripts_test.

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_join.h"
#include "gtest/gtest.h"
#include "luna/net/tcp/testing/interface_host.h"
#include "luna/net/tcp/testing/packetscript/runner.h"
#include "luna/net/tcp/testing/sockets/profile.h"

namespace luna::tcp::testing {
namespace {

namespace fs = std::filesystem;

constexpr char kLibrary[] = "net/tcp/testing/packetdrill_so.so";
constexpr char kOurScripts[] = "net/tcp/scripts";
constexpr char kAnchor[] = "net/tcp/scripts/expectations.txt";

// As shared_scripts_test finds it.
fs::path SharedFolder() {
  if (const char* folder = std::getenv("LUNA_PACKETDRILL"); folder != nullptr && *folder != '\0') return folder;
  std::error_code error;
  fs::path root = fs::canonical(kAnchor, error);
  for (int depth = 0; depth < 4; ++depth) root = root.parent_path();
  return root.parent_path() / "shared" / "packetdrill";
}

std::vector<fs::path> ScriptsBelow(const fs::path& folder) {
  std::vector<fs::path> scripts;
  if (!fs::is_directory(folder)) return scripts;
  const auto options = fs::directory_options::follow_directory_symlink;
  for (const auto& entry : fs::recursive_directory_iterator(folder, options)) {
    if (entry.path().extension() == ".pkt") scripts.push_back(entry.path());
  }
  std::sort(scripts.begin(), scripts.end());
  return scripts;
}

// "ours", or the first folder below the others'.
std::string SuiteOf(const fs::path& script) {
  const fs::path below = script.lexically_relative(SharedFolder());
  return below.empty() || *below.begin() == ".." ? "ours" : below.begin()->string();
}

struct Tally {
  int here = 0;
  int there = 0;
  int total = 0;
};

TEST(PacketdrillScripts, BothWaysAgree) {
  std::vector<fs::path> scripts = ScriptsBelow(kOurScripts);
  const std::vector<fs::path> others = ScriptsBelow(SharedFolder());
  scripts.insert(scripts.end(), others.begin(), others.end());
  std::map<std::string, Tally> suites;
  for (const fs::path& script : scripts) {
    packetscript::RunOptions options;
    if (script.string().find("/freebsd/") != std::string::npos) options.profile = BsdTestProfile();
    const packetscript::RunReport here = packetscript::RunScriptFile(script.string(), options);
    options.make_host = [](const VirtualHostOptions& host) { return std::make_unique<InterfaceHost>(kLibrary, host); };
    const packetscript::RunReport there = packetscript::RunScriptFile(script.string(), options);
    EXPECT_EQ(here.status.ok(), there.status.ok()) << script << "\n  in process: " << here.status.message()
                                                   << "\n  by the interface: " << there.status.message() << "\n"
                                                   << absl::StrJoin(there.trace, "\n");
    Tally& tally = suites[SuiteOf(script)];
    tally.here += here.status.ok() ? 1 : 0;
    tally.there += there.status.ok() ? 1 : 0;
    ++tally.total;
  }
  for (const auto& [suite, tally] : suites) {
    std::cout << suite << ": of " << tally.total << " scripts pass " << tally.here << " in process, " << tally.there
              << " by the interface\n";
  }
}

}  // namespace
}  // namespace luna::tcp::testing
