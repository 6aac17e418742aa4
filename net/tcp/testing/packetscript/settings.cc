#include "luna/net/tcp/testing/packetscript/settings.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"

namespace luna::tcp::packetscript {
namespace {

// Commands as lists of words. Quotes keep words together, a backslash before a line's end joins lines, '#' begins a
// comment.
class Splitter {
 public:
  std::vector<std::vector<std::string>> Split(absl::string_view text) {
    for (size_t i = 0; i < text.size(); ++i) {
      const char c = text[i];
      if (quote_ != '\0') {
        c == quote_ ? static_cast<void>(quote_ = '\0') : word_.push_back(c);
      } else if (c == '\\' && i + 1 < text.size() && text[i + 1] == '\n') {
        ++i;
      } else if (c == '#' && word_.empty()) {
        while (i + 1 < text.size() && text[i + 1] != '\n') ++i;
      } else if (c == '"' || c == '\'') {
        quote_ = c;
      } else if (c == '\n' || c == ';' || c == '&' || c == '|') {
        EndCommand();
      } else if (absl::ascii_isspace(static_cast<unsigned char>(c))) {
        EndWord();
      } else {
        word_.push_back(c);
      }
    }
    EndCommand();
    return std::move(commands_);
  }

 private:
  void EndWord() {
    if (!word_.empty()) command_.push_back(std::move(word_));
    word_.clear();
  }
  void EndCommand() {
    EndWord();
    if (!command_.empty()) commands_.push_back(std::move(command_));
    command_.clear();
  }

  char quote_ = '\0';
  std::string word_;
  std::vector<std::string> command_;
  std::vector<std::vector<std::string>> commands_;
};

// "/proc/sys/net/ipv4/tcp_ecn" and "net/ipv4/tcp_ecn" to "net.ipv4.tcp_ecn".
std::string Dotted(absl::string_view name) {
  absl::ConsumePrefix(&name, "/proc/sys/");
  return absl::StrReplaceAll(name, {{"/", "."}});
}

void ReadAssignments(const std::vector<std::string>& words, CommandReading* out) {
  for (size_t i = 1; i < words.size(); ++i) {
    const size_t equals = words[i].find('=');
    if (absl::StartsWith(words[i], "-") || equals == std::string::npos) continue;
    out->settings.emplace_back(Dotted(words[i].substr(0, equals)), words[i].substr(equals + 1));
  }
}

// tc(8): a queue without room is a device that takes no packets; one that is taken away, one that takes all.
bool ReadQueue(const std::vector<std::string>& words, CommandReading* out) {
  if (words.size() < 3 || words[0] != "tc" || words[1] != "qdisc") return false;
  const bool no_room = words[words.size() - 2] == "limit" && words.back() == "0";
  if (!no_room && !absl::StartsWith(words[2], "del")) return false;
  out->settings.emplace_back("luna.refuse_packets", no_room ? "1" : "0");
  return true;
}

}  // namespace

CommandReading ReadCommand(absl::string_view text) {
  CommandReading reading;
  for (const std::vector<std::string>& words : Splitter().Split(text)) {
    const std::string& program = words[0];
    if (absl::EndsWith(program, "sysctl") || absl::EndsWith(program, "set_sysctls.py")) {
      ReadAssignments(words, &reading);
    } else if (program == "echo" && words.size() == 4 && words[2] == ">" && absl::StartsWith(words[3], "/proc/sys/")) {
      reading.settings.emplace_back(Dotted(words[3]), words[1]);
    } else if (ReadQueue(words, &reading)) {
      continue;
    } else if (!absl::EndsWith(program, "defaults.sh") && !absl::StrContains(program, "sysctl_restore")) {
      reading.skipped.push_back(absl::StrJoin(words, " "));
    }
  }
  return reading;
}

}  // namespace luna::tcp::packetscript
