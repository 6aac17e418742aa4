#include "luna/apps/runtime/runtime.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"
#include "luna/apps/runtime/stats_line.h"

namespace luna::apps {
namespace {

class Nobody final : public r2c::Handler {
 public:
  void OnReadable(tcp::Connection&, zbuf::ZChain) override {}
};

TEST(Runtime, TrustsNoLinkThatIsNotMemory) {
  RuntimeOptions options;
  options.device = "tap:luna0";
  options.trusted_link = true;
  const auto created = Runtime::Create(options);
  EXPECT_EQ(created.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(absl::StartsWith(created.status().message(), "--trusted_link: frames of --device=tap:luna0"));
}

// What the kernel takes the tags off of it gives to interfaces of their own.
TEST(Runtime, VlansOfTheKernelsAreTheKernels) {
  RuntimeOptions options;
  options.device = "packet:lo";
  options.addresses = {wire::Ipv4Prefix(wire::Ipv4Address(10, 0, 0, 2), 24)};
  options.vlan = 5;
  const auto created = Runtime::Create(options);
  EXPECT_EQ(created.status().code(), absl::StatusCode::kInvalidArgument) << created.status();
  EXPECT_TRUE(absl::StartsWith(created.status().message(), "--vlan=5: ")) << created.status();
  EXPECT_TRUE(absl::StrContains(created.status().message(), "packet:eth1.5")) << created.status();
}

// Prints to a pipe that nobody reads until it is full, and then reads it: no call waits, and the gap is counted.
void CheckLinesForPipe(Runtime& runtime) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0) << strerror(errno);
  std::FILE* const out = fdopen(ends[1], "w");
  StatsPrinter printer(runtime.first().stats_sources(), runtime.worker(), Duration::Seconds(1), out);
  const int lines = 2 * fcntl(ends[0], F_GETPIPE_SZ) / 400;  // a line is longer
  for (int i = 0; i < lines; ++i) printer.OnTimer(runtime.worker().now());
  std::string read_out(size_t{1} << 20, '\0');
  const ssize_t got = read(ends[0], read_out.data(), read_out.size());
  ASSERT_GT(got, 0);
  const absl::string_view written = absl::string_view(read_out).substr(0, static_cast<size_t>(got));
  const int64_t there = std::count(written.begin(), written.end(), '\n');
  EXPECT_TRUE(absl::EndsWith(written, "}\n")) << "half a line";
  EXPECT_FALSE(absl::StrContains(written, "lines_left_out"));

  printer.Print();
  const ssize_t last = read(ends[0], read_out.data(), read_out.size());
  ASSERT_GT(last, 0);
  EXPECT_TRUE(absl::EndsWith(absl::string_view(read_out).substr(0, static_cast<size_t>(last)),
                             absl::StrCat(",\"stats.lines_left_out\":", lines - there, "}\n")));
  std::fclose(out);
  close(ends[0]);
}

// net_null is a device that sends nowhere and receives nothing.
RuntimeOptions OnNothing() {
  RuntimeOptions options;
  options.device = "net_null0";
  options.addresses = {wire::Ipv4Prefix(wire::Ipv4Address(10, 0, 0, 2), 24)};
  options.huge = HugePages::kOff;
  options.memory_mb = 32;
  options.drain_limit = Duration::Milliseconds(1);
  return options;
}

TEST(Runtime, ListensOnceConnectsOverItsRoutesAndReportsWhatIsNotHome) {
  RuntimeOptions options = OnNothing();
  options.idle_spin = Duration::Seconds(100);
  absl::StatusOr<std::unique_ptr<Runtime>> created = Runtime::Create(options);
  ASSERT_TRUE(created.ok()) << created.status();
  Runtime& runtime = **created;
  Nobody handler;
  ASSERT_TRUE(runtime.Listen(61441, handler).ok());
  const absl::Status twice = runtime.Listen(61441, handler);
  EXPECT_EQ(twice.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_TRUE(absl::StrContains(twice.message(), "--port=61441")) << twice;

  EXPECT_TRUE(runtime.Connect({wire::Ipv4Address(10, 0, 0, 1), 80}, handler).ok());
  EXPECT_EQ(runtime.Connect({wire::Ipv4Address(192, 0, 2, 1), 80}, handler).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_FALSE(runtime.Connect({wire::Ipv4Address(10, 0, 0, 2), 80}, handler).ok()) << "to ourselves";

  const absl::StatusOr<std::unique_ptr<Runtime>> second = Runtime::Create(options);
  EXPECT_FALSE(second.ok()) << "DPDK is in use";

  const std::string line = StatsLine(runtime.first().stats_sources());
  for (const char* part :
       {"{\"worker.index\":0,\"tcp.segments_in\":0,", "\"tcp.connections\":1,", "\"tcp.held_limit_bytes\":16777216,",
        "\"zbuf.limit_bytes\":33554432,", "\"io.rx_packets\":0,", "\"worker.reads_held\":0,", "\"worker.stalls\":0,",
        "\"worker.sampled_rest_ns\":", "\"idle.sleeps\":0,"}) {
    EXPECT_TRUE(absl::StrContains(line, part)) << part << " in " << line;
  }

  CheckLinesForPipe(runtime);

  std::byte* const kept = runtime.slab().Alloc(100);
  ASSERT_NE(kept, nullptr);
  int rounds = 0;
  runtime.RunAndDrain([&rounds] { return ++rounds > 100; });
  EXPECT_EQ(runtime.Finish(), 1) << "an obj is not home, and the exit code has to say so";
  zbuf::Free(kept);
}

// Each in its thread; what one of them holds is the whole's leak, and what fails in one is said.
TEST(Runtime, WorkersHaveThreadsPortsAndMemoryOfTheirOwn) {
  RuntimeOptions options = OnNothing();
  options.workers = 3;
  options.max_connections = 7;
  options.idle_spin = Duration::Milliseconds(1);
  for (int i = 0; i < 2; ++i) {
    absl::StatusOr<std::unique_ptr<Runtime>> runtime = Runtime::Create(options);
    ASSERT_TRUE(runtime.ok()) << runtime.status();
    ASSERT_EQ((*runtime)->workers(), 3u);
    std::vector<std::thread::id> threads(3);
    std::vector<Nobody> handlers(3);
    const absl::Status listening = (*runtime)->TryThreads([&](RuntimeWorker& worker) {
      threads[worker.index()] = std::this_thread::get_id();
      const tcp::StackConfig& config = worker.stack().config();
      EXPECT_EQ(config.ephemeral_first, 61440 + worker.index() * 1365);
      EXPECT_EQ(config.ephemeral_last, worker.index() == 2 ? 65535 : config.ephemeral_first + 1364);
      EXPECT_EQ(config.max_connections, 3u);
      EXPECT_EQ(config.memory_limit_bytes, (16u << 20) / 3);
      return worker.Listen(61441, handlers[worker.index()]);
    });
    ASSERT_TRUE(listening.ok()) << listening;
    EXPECT_EQ(threads[0], std::this_thread::get_id());
    EXPECT_NE(threads[1], threads[0]);
    EXPECT_NE(threads[2], threads[1]);
    const absl::Status second = (*runtime)->TryThreads([&](RuntimeWorker& worker) {
      EXPECT_EQ(threads[worker.index()], std::this_thread::get_id()) << "another job, the same thread";
      return worker.index() == 1 ? worker.Listen(61441, handlers[1]) : absl::OkStatus();
    });
    EXPECT_EQ(second.code(), absl::StatusCode::kAlreadyExists);

    std::byte* kept = nullptr;
    (*runtime)->RunThreads([&](RuntimeWorker& worker) {
      ASSERT_TRUE(worker.Connect({wire::Ipv4Address(10, 0, 0, 1), 80}, handlers[worker.index()]).ok());
      if (worker.index() == 2 && i == 0) kept = worker.slab().Alloc(100);
    });
    // The first one's end is the others'.
    bool told = false;
    ASSERT_TRUE((*runtime)->mailbox().Post([&told](r2c::Worker&) { told = true; }));
    (*runtime)->RunAndDrain([&told] { return told; });
    EXPECT_EQ((*runtime)->Finish(), i == 0 ? 1 : 0);
    if (kept != nullptr) zbuf::Free(kept);
  }
}

// A worker that is through with its job still answers who comes by its queue, until the last one is through, too.
TEST(Runtime, WorkersGoOnUntilTheLastBodyHasReturned) {
  RuntimeOptions options = OnNothing();
  options.workers = 2;
  absl::StatusOr<std::unique_ptr<Runtime>> runtime = Runtime::Create(options);
  ASSERT_TRUE(runtime.ok()) << runtime.status();
  const r2c::WorkerCounters* others = nullptr;
  (*runtime)->RunThreads([&](RuntimeWorker& worker) {
    if (worker.index() == 1) others = &worker.worker().counters();
  });
  for (int job = 0; job < 100; ++job) {
    (*runtime)->RunThreads([&](RuntimeWorker& worker) {
      if (worker.index() == 1) return;
      const uint64_t before = others->iterations.value();
      for (int i = 0; i < 20'000'000 && others->iterations.value() < before + 3; ++i) worker.Iterate();
      EXPECT_GE(others->iterations.value(), before + 3);
    });
  }
  EXPECT_EQ((*runtime)->Finish(), 0);
}

TEST(Runtime, AWorkerThatCannotBeMadeIsSaid) {
  RuntimeOptions options = OnNothing();
  options.memory_mb = 8;
  options.workers = 64;
  const auto created = Runtime::Create(options);
  EXPECT_EQ(created.status().code(), absl::StatusCode::kResourceExhausted) << created.status();
  EXPECT_TRUE(absl::StrContains(created.status().message(), "--memory_mb=8")) << created.status();
}

// The same port, at once, and each obj home each time.
TEST(Runtime, StartsDrainsStopsAndStartsAgainInOneProcess) {
  const RuntimeOptions options = OnNothing();
  for (int i = 0; i < 3; ++i) {
    absl::StatusOr<std::unique_ptr<Runtime>> runtime = Runtime::Create(options);
    ASSERT_TRUE(runtime.ok()) << i << ": " << runtime.status();
    Nobody handler;
    ASSERT_TRUE((*runtime)->Listen(61441, handler).ok());
    ASSERT_TRUE((*runtime)->Connect({wire::Ipv4Address(10, 0, 0, 1), 80}, handler).ok());
    bool told = false;
    ASSERT_TRUE((*runtime)->mailbox().Post([&told](r2c::Worker&) { told = true; }));
    (*runtime)->RunAndDrain([&told] { return told; });
    EXPECT_EQ((*runtime)->Finish(), 0) << i;
  }
  RuntimeOptions others = options;
  others.huge = HugePages::kAuto;
  EXPECT_EQ(Runtime::Create(others).status().code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace luna::apps
