#include "luna/net/tcp/testing/differential/difference.h"

#include <algorithm>
#include <cstddef>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace luna::tcp::differential {
namespace {

// False: no such key.
bool Set(absl::string_view key, const std::string& value, Difference* out) {
  if (key == "list") {
    out->list = value;
  } else if (key == "event") {
    out->event = std::regex(value);
  } else if (key == "state") {
    out->state = std::regex(value);
  } else if (key == "luna") {
    out->luna = std::regex(value);
  } else if (key == "kernel") {
    out->kernel = std::regex(value);
  } else if (key == "apart-from") {
    out->apart_from = std::regex(value);
  } else if (key == "then") {
    out->goes_on = value == "goes on";
    return out->goes_on || value == "ends";
  } else if (key == "verdict") {
    absl::StrAppend(&out->verdict, out->verdict.empty() ? "" : " ", value);
  } else {
    return false;
  }
  return true;
}

bool Covers(const Difference& difference, const Step& luna, const Step& kernel) {
  const std::string ours = luna.Outcome();
  const std::string theirs = kernel.Outcome();
  const bool fits = std::regex_match(luna.event, difference.event) && std::regex_match(luna.before, difference.state) &&
                    std::regex_match(ours, difference.luna) && std::regex_match(theirs, difference.kernel);
  if (!fits || !difference.apart_from.has_value()) return fits;
  const std::regex& part = *difference.apart_from;
  return std::regex_replace(ours, part, "") == std::regex_replace(theirs, part, "");
}

const Difference* Find(const Step& luna, const Step& kernel, const std::vector<Difference>& differences) {
  for (const Difference& difference : differences) {
    if (Covers(difference, luna, kernel)) return &difference;
  }
  return nullptr;
}

// The steps up to `last`, and both outcomes of that one.
std::string Tell(const Trace& luna, const Trace& kernel, size_t last) {
  std::string text;
  for (size_t i = 0; i <= last; ++i) {
    absl::StrAppend(&text, "    ", luna[i].event, "\n");
    if (i < last) {
      absl::StrAppend(&text, "        ", luna[i].Outcome(), "\n");
      if (luna[i].lines != kernel[i].lines)
        absl::StrAppend(&text, "        kernel, known: ", kernel[i].Outcome(), "\n");
    }
  }
  absl::StrAppend(&text, "        luna:   ", luna[last].Outcome(), "\n        kernel: ", kernel[last].Outcome(), "\n");
  return text;
}

}  // namespace

absl::StatusOr<std::vector<Difference>> ParseDifferences(absl::string_view text) {
  std::vector<Difference> differences;
  int number = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    line = absl::StripAsciiWhitespace(line);
    if (line.empty() || line[0] == '#') continue;
    const std::vector<std::string> pair = absl::StrSplit(line, absl::MaxSplits(' ', 1));
    const std::string value(absl::StripAsciiWhitespace(pair.size() == 2 ? pair[1] : ""));
    if (pair[0] == "difference" && !value.empty()) {
      const std::regex any(".*");
      differences.push_back({.name = value, .event = any, .state = any, .luna = any, .kernel = any});
    } else if (value.empty() || differences.empty() || !Set(pair[0], value, &differences.back())) {
      return absl::InvalidArgumentError(absl::StrCat("line ", number, " is not understood: ", line));
    }
  }
  for (const Difference& difference : differences) {
    if (difference.list.empty() || difference.verdict.empty()) {
      return absl::InvalidArgumentError(absl::StrCat(difference.name, " has no list, or no verdict"));
    }
  }
  return differences;
}

Comparison Compare(const Trace& luna, const Trace& kernel, const std::vector<Difference>& differences) {
  Comparison comparison;
  for (size_t i = 0; i < std::min(luna.size(), kernel.size()); ++i) {
    if (luna[i].lines == kernel[i].lines) continue;
    const Difference* difference = Find(luna[i], kernel[i], differences);
    if (difference == nullptr) {
      comparison.unknown = Tell(luna, kernel, i);
      return comparison;
    }
    comparison.known.push_back(difference->name);
    if (!difference->goes_on) return comparison;
  }
  return comparison;
}

}  // namespace luna::tcp::differential
