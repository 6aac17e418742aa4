#include "luna/net/pmd/dpdk/eal_log.h"

#include "rte_config.h"
// clang-format off: rte_config.h comes first.
#include <rte_log.h>
// clang-format on
#include <stdio.h>

#include <deque>

#include "absl/base/thread_annotations.h"
#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "absl/synchronization/mutex.h"
#include "glog/logging.h"

namespace luna::pmd::dpdk {
namespace {

constexpr size_t kLinesKept = 2;

// Complaints that come with every start in a container or without hugepages, and explain no failure.
bool IsNoise(absl::string_view line) {
  for (const char* phrase :
       {"Detected CPU lcores", "Detected NUMA", "Detected shared linkage", "Physical addresses are",
        "Selected IOVA mode", "mp action callback", "No DPDK runtime directory", "VFIO support", "Probing VFIO",
        "No free 1048576 kB", "No available", "Multi-process socket"}) {
    if (absl::StrContains(line, phrase)) return true;
  }
  return false;
}

class Sink {
 public:
  void Write(absl::string_view text) {
    absl::MutexLock lock(&mutex_);
    for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipWhitespace())) {
      if (echo_) LOG(INFO) << "DPDK: " << line;
      if (IsNoise(line)) continue;
      lines_.emplace_back(line);
      if (lines_.size() > kLinesKept) lines_.pop_front();
    }
  }
  std::string Last() {
    absl::MutexLock lock(&mutex_);
    return absl::StrJoin(lines_, "; ");
  }
  void Forget() {
    absl::MutexLock lock(&mutex_);
    lines_.clear();
  }
  void set_echo(bool echo) {
    absl::MutexLock lock(&mutex_);
    echo_ = echo;
  }

 private:
  absl::Mutex mutex_;
  std::deque<std::string> lines_ ABSL_GUARDED_BY(mutex_);
  bool echo_ ABSL_GUARDED_BY(mutex_) = false;
};

Sink& TheSink() {
  static Sink* sink = new Sink;
  return *sink;
}

ssize_t WriteToSink(void*, const char* text, size_t bytes) {
  TheSink().Write(absl::string_view(text, bytes));
  return static_cast<ssize_t>(bytes);
}

}  // namespace

void CaptureEalLog(bool echo) {
  TheSink().set_echo(echo);
  static FILE* stream = [] {
    FILE* f = fopencookie(nullptr, "w", {.read = nullptr, .write = WriteToSink, .seek = nullptr, .close = nullptr});
    CHECK(f != nullptr);
    setvbuf(f, nullptr, _IOLBF, 0);
    return f;
  }();
  rte_openlog_stream(stream);
}

std::string LastEalLog() { return TheSink().Last(); }
void ForgetEalLog() { TheSink().Forget(); }

}  // namespace luna::pmd::dpdk
