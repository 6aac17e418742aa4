#include "luna/ctrl/stats/registry.h"

#include <algorithm>
#include <cctype>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "glog/logging.h"

namespace luna::stats {
namespace {

bool IsNameCharacter(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) || absl::string_view("_.:/-").find(c) != absl::string_view::npos;
}

struct Row {
  std::string name;
  std::string value;
  std::string help;
};

std::string Table(const std::vector<Row>& rows) {
  size_t name_width = 0;
  size_t value_width = 0;
  for (const Row& row : rows) {
    name_width = std::max(name_width, row.name.size());
    value_width = std::max(value_width, row.value.size());
  }
  std::string text;
  for (const Row& row : rows) {
    absl::StrAppendFormat(&text, "%-*s  %*s  %s\n", static_cast<int>(name_width), row.name,
                          static_cast<int>(value_width), row.value, row.help);
  }
  return text;
}

std::string HistogramJson(absl::string_view name, const Histogram& live) {
  // A copy, so that the numbers of one line belong together.
  auto histogram = std::make_unique<Histogram>();
  histogram->Merge(live);
  return absl::StrFormat(
      "{\"name\":\"%s\",\"count\":%d,\"min_ns\":%d,\"mean_ns\":%.1f,\"p50_ns\":%d,\"p99_ns\":%d,\"p999_ns\":%d,"
      "\"max_ns\":%d}\n",
      name, histogram->count(), histogram->min(), histogram->mean(), histogram->Percentile(0.5),
      histogram->Percentile(0.99), histogram->Percentile(0.999), histogram->max());
}

}  // namespace

void Registry::Add(absl::string_view name, absl::string_view help, const Counter* counter) {
  AddEntry(name, Entry{.help = std::string(help), .counter = counter});
}

void Registry::Add(absl::string_view name, absl::string_view help, const Histogram* histogram) {
  AddEntry(name, Entry{.help = std::string(help), .histogram = histogram});
}

void Registry::Add(absl::string_view name, const DropCounters* drops) { AddEntry(name, Entry{.drops = drops}); }

void Registry::AddEntry(absl::string_view name, Entry entry) {
  CHECK(entry.counter != nullptr || entry.histogram != nullptr || entry.drops != nullptr)
      << "nothing to show: " << name;
  CHECK(!name.empty() && std::all_of(name.begin(), name.end(), IsNameCharacter)) << "not a name: \"" << name << "\"";
  absl::MutexLock lock(&mutex_);
  const bool added = entries_.emplace(std::string(name), std::move(entry)).second;
  CHECK(added) << "name taken: " << name;
}

int Registry::Remove(absl::string_view name) {
  const std::string prefix = absl::StrCat(name, ".");
  absl::MutexLock lock(&mutex_);
  return static_cast<int>(std::erase_if(
      entries_, [&](const auto& item) { return item.first == name || absl::StartsWith(item.first, prefix); }));
}

std::string Registry::RenderText() const {
  std::vector<Row> rows;
  absl::MutexLock lock(&mutex_);
  for (const auto& [name, entry] : entries_) {
    if (entry.counter != nullptr) {
      rows.push_back({name, absl::StrCat(entry.counter->value()), entry.help});
    } else if (entry.histogram != nullptr) {
      rows.push_back({name, entry.histogram->ToString(), entry.help});
    } else {
      entry.drops->ForEachNonZero([&, &drop_name = name](DropReason reason, uint64_t n) {
        rows.push_back({absl::StrCat(drop_name, ".", DropReasonName(reason)), absl::StrCat(n),
                        std::string(DropReasonHelp(reason))});
      });
    }
  }
  return Table(rows);
}

std::string Registry::RenderJsonLines() const {
  std::string lines;
  const auto append_counter = [&lines](absl::string_view name, uint64_t value) {
    absl::StrAppendFormat(&lines, "{\"name\":\"%s\",\"value\":%d}\n", name, value);
  };
  absl::MutexLock lock(&mutex_);
  for (const auto& [name, entry] : entries_) {
    if (entry.counter != nullptr) {
      append_counter(name, entry.counter->value());
    } else if (entry.histogram != nullptr) {
      absl::StrAppend(&lines, HistogramJson(name, *entry.histogram));
    } else {
      entry.drops->ForEachNonZero([&, &drop_name = name](DropReason reason, uint64_t n) {
        append_counter(absl::StrCat(drop_name, ".", DropReasonName(reason)), n);
      });
    }
  }
  return lines;
}

}  // namespace luna::stats
