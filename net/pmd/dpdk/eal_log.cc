#include "luna/net/pmd/dpdk/eal_log.h"

#include "rte_config.h"
// clang-format off: rte_config.h comes first.
#include <rte_log.h>
// clang-format on
#include <stdio.h>

#include <atomic>
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
        "No free 1048576 kB", "No available", "cannot attach the device", "Failed to attach device",
        "Multi-process socket"}) {
    if (absl::StrContains(line, phrase)) return true;
  }
  return false;
}

class Sink {
 public:
  void Write(absl::string_view text, uint32_t level) {
    absl::MutexLock lock(&mutex_);
    for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipWhitespace())) {
      if (level <= echo_) LOG(INFO) << "DPDK: " << line;
      if (level > RTE_LOG_WARNING || IsNoise(line)) continue;
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
  void set_echo(uint32_t echo) {
    absl::MutexLock lock(&mutex_);
    echo_ = echo;
  }

 private:
  absl::Mutex mutex_;
  std::deque<std::string> lines_ ABSL_GUARDED_BY(mutex_);
  uint32_t echo_ ABSL_GUARDED_BY(mutex_) = 0;
};

Sink& TheSink() {
  static Sink* sink = new Sink;
  return *sink;
}

std::atomic<void (*)()> memif_control_hook{nullptr};

ssize_t WriteToSink(void*, const char* text, size_t bytes) {
  const absl::string_view line(text, bytes);
  // "memif_msg_receive(): Received msg type: 8." and the like.
  if (absl::StartsWith(line, "memif_msg_receive(")) {
    if (auto* hook = memif_control_hook.load(std::memory_order_acquire)) hook();
  }
  TheSink().Write(line, static_cast<uint32_t>(rte_log_cur_msg_loglevel()));
  return static_cast<ssize_t>(bytes);
}

}  // namespace

void SetMemifControlHook(void (*hook)()) { memif_control_hook.store(hook, std::memory_order_release); }

void CaptureEalLog(uint32_t echo) {
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
