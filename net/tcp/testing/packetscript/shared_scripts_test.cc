// Runs every packet script of a folder outside of this repository: $LUNA_PACKETDRILL, or shared/packetdrill beside the
// checkout. Its first level are suites; scripts of the suite freebsd run with the profile bsd-test. Without the folder
// there is nothing to run, and the test says so.
//
// net/tcp/scripts/expectations.txt names the scripts that do not pass, each with its reason. One that passes all the
// same fails the test, so that the list stays true.

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/strip.h"
#include "gtest/gtest.h"
#include "luna/net/tcp/testing/packetscript/runner.h"
#include "luna/net/tcp/testing/sockets/profile.h"

namespace luna::tcp::packetscript {
namespace {

namespace fs = std::filesystem;

constexpr char kExpectations[] = "net/tcp/scripts/expectations.txt";

// The path of a script, as below the folder, and why it does not pass.
using Expectations = std::map<std::string, std::string>;

Expectations ReadExpectations() {
  Expectations expectations;
  std::ifstream file(kExpectations);
  EXPECT_TRUE(file) << kExpectations;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    const size_t colon = line.find(": ");
    EXPECT_NE(colon, std::string::npos) << "no reason: " << line;
    if (colon != std::string::npos) expectations[line.substr(0, colon)] = line.substr(colon + 2);
  }
  return expectations;
}

fs::path Folder() {
  if (const char* folder = std::getenv("LUNA_PACKETDRILL"); folder != nullptr && *folder != '\0') return folder;
  // The runfiles are links into the checkout.
  std::error_code error;
  const fs::path real = fs::canonical(kExpectations, error);
  constexpr int kDepth = 4;  // of kExpectations
  fs::path root = real;
  for (int i = 0; i < kDepth; ++i) root = root.parent_path();
  return root.parent_path() / "shared" / "packetdrill";
}

std::vector<fs::path> ScriptsBelow(const fs::path& folder) {
  std::vector<fs::path> scripts;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.path().extension() == ".pkt") scripts.push_back(entry.path());
  }
  std::sort(scripts.begin(), scripts.end());
  return scripts;
}

struct Tally {
  int passed = 0;
  int total = 0;
};

TEST(SharedScriptsTest, PassUnlessListed) {
  const Expectations expectations = ReadExpectations();
  const fs::path folder = Folder();
  if (!fs::is_directory(folder)) {
    std::cout << "There is no folder " << folder << ": nothing to run. LUNA_PACKETDRILL may name one.\n";
    return;
  }
  std::map<std::string, Tally> suites;
  Expectations unseen = expectations;
  for (const fs::path& script : ScriptsBelow(folder)) {
    const std::string name = script.lexically_relative(folder).string();
    const std::string suite = name.substr(0, name.find('/'));
    RunOptions options;
    if (suite == "freebsd") options.profile = testing::BsdTestProfile();
    const RunReport report = RunScriptFile(script.string(), options);
    ++suites[suite].total;
    suites[suite].passed += report.status.ok() ? 1 : 0;
    unseen.erase(name);
    const auto listed = expectations.find(name);
    if (report.status.ok() && listed != expectations.end()) {
      ADD_FAILURE() << name << " passes: take it off " << kExpectations;
    } else if (!report.status.ok() && listed == expectations.end()) {
      ADD_FAILURE() << report.status.message();
    }
    if (!report.unexpected.empty()) {
      std::cout << name << ": never asked for " << report.unexpected.size() << " packets, first "
                << report.unexpected[0] << "\n";
    }
  }
  for (const auto& [suite, tally] : suites) {
    std::cout << suite << ": " << tally.passed << " of " << tally.total << " scripts pass\n";
  }
  for (const auto& [name, reason] : unseen) std::cout << name << ": listed, but not there\n";
}

}  // namespace
}  // namespace luna::tcp::packetscript
