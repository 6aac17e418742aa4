#include "luna/net/pmd/dpdk/eal.h"

#include "rte_config.h"
// clang-format off: rte_config.h comes first.
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>
// clang-format on
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <fstream>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "luna/net/pmd/dpdk/eal_log.h"
#include "luna/net/pmd/dpdk/memif_gate.h"
#include "luna/net/pmd/dpdk/memif_sockets.h"

namespace luna::pmd::dpdk {
namespace {

std::atomic<bool> initialised{false};

// EAL makes a run-time directory although it then puts no file there: give it one of our own and take it away again.
class PrivateRuntimeDirectory {
 public:
  explicit PrivateRuntimeDirectory(absl::string_view prefix) : prefix_(prefix) {
    const char* old = getenv(kVariable);
    if (old != nullptr) old_ = old;
    had_old_ = old != nullptr;
    for (const char* parent : {getenv("TMPDIR"), static_cast<char*>(nullptr)}) {
      std::string pattern = absl::StrCat(parent == nullptr ? "/tmp" : parent, "/", prefix, "-XXXXXX");
      if (mkdtemp(pattern.data()) == nullptr) continue;
      path_ = pattern;
      setenv(kVariable, path_.c_str(), 1);
      return;
    }
    // Nowhere to write: EAL complains in its log and goes on.
  }
  ~PrivateRuntimeDirectory() {
    if (path_.empty()) return;
    if (had_old_) {
      setenv(kVariable, old_.c_str(), 1);
    } else {
      unsetenv(kVariable);
    }
    rmdir(absl::StrCat(path_, "/dpdk/", prefix_).c_str());
    rmdir(absl::StrCat(path_, "/dpdk").c_str());
    if (rmdir(path_.c_str()) != 0) PLOG(WARNING) << "DPDK left files in " << path_;
  }

 private:
  static constexpr char kVariable[] = "RUNTIME_DIRECTORY";
  const std::string prefix_;
  std::string path_;
  std::string old_;
  bool had_old_ = false;
};

// rte_eal_init pins the thread that calls it.
class AffinityKeeper {
 public:
  AffinityKeeper() : known_(sched_getaffinity(0, sizeof(set_), &set_) == 0) {}
  ~AffinityKeeper() {
    if (known_) sched_setaffinity(0, sizeof(set_), &set_);
  }
  int FirstCpu() const {
    for (int cpu = 0; known_ && cpu < CPU_SETSIZE; ++cpu) {
      if (CPU_ISSET(cpu, &set_)) return cpu;
    }
    return 0;
  }
  bool Allows(int cpu) const { return cpu >= 0 && cpu < CPU_SETSIZE && (!known_ || CPU_ISSET(cpu, &set_)); }

 private:
  cpu_set_t set_;
  const bool known_;
};

uint64_t FreeHugepageMegabytes() {
  std::ifstream file("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages");
  uint64_t pages = 0;
  return file >> pages ? 2 * pages : 0;
}

absl::StatusOr<bool> DecideHuge(const EalOptions& options) {
  if (options.huge == Huge::kOff) return false;
  const uint64_t free_mb = FreeHugepageMegabytes();
  if (free_mb >= options.memory_mb) return true;
  if (options.huge == Huge::kAuto) return false;
  return absl::ResourceExhaustedError(absl::StrCat("DPDK wants ", options.memory_mb, " MB of 2 MB hugepages and ",
                                                   free_mb, " MB are free; reserve more (as root: echo ",
                                                   (options.memory_mb + 1) / 2,
                                                   " > /proc/sys/vm/nr_hugepages) or do without hugepages"));
}

absl::Status CheckOptions(const EalOptions& options, const AffinityKeeper& affinity) {
  const auto is_name = [](char c) { return absl::ascii_isalnum(c) || c == '-' || c == '_'; };
  if (!std::all_of(options.file_prefix.begin(), options.file_prefix.end(), is_name) ||
      options.file_prefix.size() > 40) {
    return absl::InvalidArgumentError(
        absl::StrCat("DPDK file prefix \"", options.file_prefix, "\": use at most 40 letters, digits, '-' and '_'"));
  }
  if (options.memory_mb < 8) {
    return absl::InvalidArgumentError(
        absl::StrCat("DPDK memory of ", options.memory_mb, " MB is too little; give 8 or more"));
  }
  if (options.main_cpu != -1 && !affinity.Allows(options.main_cpu)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "DPDK main CPU ", options.main_cpu, ": this process may not run there; choose one that `taskset -p $$` shows"));
  }
  return absl::OkStatus();
}

uint32_t EchoLevel(EalLog log) {
  switch (log) {
    case EalLog::kOff:
      return 0;
    case EalLog::kWarnings:
      return RTE_LOG_WARNING;
    case EalLog::kInfo:
      return RTE_LOG_INFO;
    case EalLog::kDebug:
      return RTE_LOG_DEBUG;
  }
  return 0;
}

std::vector<std::string> Arguments(const EalOptions& options, const std::string& prefix, bool huge, int cpu) {
  std::vector<std::string> arguments = {"luna",
                                        "--no-telemetry",
                                        "--file-prefix",
                                        prefix,
                                        "-m",
                                        absl::StrCat(options.memory_mb),
                                        absl::StrCat("--lcores=0@", cpu)};
  // Neither mode leaves files: no-shconf keeps the shared configuration, which nobody shares, in anonymous memory.
  if (huge) {
    arguments.push_back("--in-memory");
  } else {
    arguments.push_back("--no-huge");
    arguments.push_back("--no-shconf");
  }
  if (options.pci) {
    // An allow-list with a device that no machine has: the bus is scanned and nothing is probed.
    arguments.insert(arguments.end(), {"-a", "ffff:ff:1f.7"});
  } else {
    arguments.push_back("--no-pci");
  }
  arguments.push_back(absl::StrCat("--log-level=*:", std::max<uint32_t>(EchoLevel(options.log), RTE_LOG_WARNING)));
  arguments.insert(arguments.end(), options.extra_arguments.begin(), options.extra_arguments.end());
  return arguments;
}

absl::Status InitFailed(const EalOptions& options, int error) {
  const std::string log = LastEalLog();
  const std::string message =
      absl::StrCat("DPDK's EAL did not start (", rte_strerror(error),
                   "): ", log.empty() ? "it gave no reason; see stderr, or raise the EAL log level" : log);
  if (error == ENOMEM || absl::StrContains(log, "memory")) {
    return absl::ResourceExhaustedError(absl::StrCat(message, "; it asked for ", options.memory_mb, " MB"));
  }
  return absl::InternalError(message);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Eal>> Eal::Init(const EalOptions& options) {
  AffinityKeeper affinity;
  if (absl::Status s = CheckOptions(options, affinity); !s.ok()) return s;
  absl::StatusOr<bool> huge = DecideHuge(options);
  if (!huge.ok()) return huge.status();
  if (initialised.exchange(true)) {
    return absl::FailedPreconditionError(
        "DPDK's EAL was already initialised in this process, and DPDK allows that once; keep the first Eal");
  }
  const std::string prefix = options.file_prefix.empty() ? absl::StrCat("luna-", getpid()) : options.file_prefix;
  CaptureEalLog(EchoLevel(options.log));
  SetMemifControlHook(OnMemifControlMessage);
  const int cpu = options.main_cpu == -1 ? affinity.FirstCpu() : options.main_cpu;
  std::vector<std::string> arguments = Arguments(options, prefix, *huge, cpu);
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  PrivateRuntimeDirectory directory(prefix);
  if (rte_eal_init(static_cast<int>(argv.size()), argv.data()) < 0) return InitFailed(options, rte_errno);
  // Needed in full, shown or not (memif_gate.h). By name: this returns the type that the driver has registered.
  rte_log_set_level(static_cast<uint32_t>(rte_log_register("pmd.net.memif")), RTE_LOG_DEBUG);
  ForgetEalLog();
  return std::unique_ptr<Eal>(new Eal(prefix, *huge, options.pci));
}

Eal::~Eal() {
  RemoveFiles();
  // Not rte_eal_cleanup: in 22.11 it unmaps DPDK's heap while DPDK's own interrupt thread still reads from it, and now
  // and then the process dies there. There is nothing it would clean up: ports are gone, no file was made, and memory
  // goes with the process, which cannot start EAL again anyway.
}

void Eal::RemoveFiles() {
  CHECK_EQ(ports_open_, 0) << "a Port outlives the Eal";
  RemoveMemifSocketFiles();
}

std::string Eal::LastLog() const { return LastEalLog(); }
void Eal::ForgetLog() { ForgetEalLog(); }

}  // namespace luna::pmd::dpdk
