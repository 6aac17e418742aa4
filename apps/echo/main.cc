// luna-echo: an echo server and a measuring client, on Luna or on the kernel's sockets.

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gflags/gflags.h"
#include "glog/logging.h"
#include "luna/apps/echo/echo_server.h"
#include "luna/apps/echo/kernel_echo.h"
#include "luna/apps/echo/luna_client.h"
#include "luna/apps/echo/pattern.h"
#include "luna/apps/echo/remote_echo.h"
#include "luna/apps/echo/socket_echo.h"
#include "luna/apps/echo/workload.h"
#include "luna/apps/runtime/flags.h"
#include "luna/apps/runtime/io_threads.h"
#include "luna/apps/runtime/runtime.h"
#include "luna/apps/runtime/runtime_worker.h"
#include "luna/apps/runtime/signals.h"
#include "luna/apps/runtime/sockets.h"

DEFINE_uint32(port, 61441, "server: TCP port to listen on.");
DEFINE_string(connect, "", "client: address and port of the server, e.g. 10.0.0.2:61441.");
DEFINE_uint32(size, 64, "client: octets per message, 1 to 16777216.");
DEFINE_uint32(inflight, 1, "client: messages under way per connection, 1 to 65536.");
DEFINE_uint32(connections, 1, "client: connections, 1 to 100000.");
DEFINE_string(duration, "5s", "client: how long to measure.");
DEFINE_uint64(bytes, 0, "client: stop after this many octets per connection instead of after --duration.");
DEFINE_uint32(
    threads, 0,
    "server: 0: the worker's thread answers; else so many threads of their own, which block without work, and "
    "the worker's is a core for I/O alone.");
DEFINE_string(
    api, "handler",
    "server: handler (Luna's own interface, zero copy) or socket (POSIX sockets and callbacks, which copies).");
DEFINE_bool(verify, false, "client: compare every octet that comes back with what was sent.");
DEFINE_bool(json, false, "client: print one line of JSON instead of a sentence.");
DEFINE_string(kernel_mode, "block", "with --device=kernel: block (sleep in epoll_wait) or spin (busy-poll it).");

namespace luna::apps {
namespace {

constexpr char kUsage[] = R"(luna-echo - an echo server and a measuring client over Luna's user-space TCP

  luna-echo server --device=DEVICE --address=OURS/PREFIX [--port=61441] [--workers=2|--threads=2] [--api=socket]
  luna-echo client --device=DEVICE --address=OURS/PREFIX --connect=SERVER:PORT
                   [--size=64] [--inflight=1] [--connections=1] [--duration=5s] [--verify] [--json]

The server sends back whatever arrives, from any TCP client. The client keeps --inflight messages of --size octets under
way on each connection and reports requests per second and latency. Ctrl-C closes connections in order.
With --device=kernel both run on the kernel's sockets instead: the same workload, for comparison.

Two processes on one machine, without root, hugepages or a NIC:
  luna-echo server --device=net_memif0,role=server --address=10.0.0.2/24
  luna-echo client --device=net_memif0,role=client --address=10.0.0.1/24 --connect=10.0.0.2:61441 --verify
)";

absl::StatusOr<KernelMode> KernelModeFromFlags() {
  if (FLAGS_kernel_mode == "spin") return KernelMode::kSpin;
  if (FLAGS_kernel_mode == "block") return KernelMode::kBlock;
  return absl::InvalidArgumentError(absl::StrCat("--kernel_mode=", FLAGS_kernel_mode, ": choose spin or block"));
}

absl::StatusOr<uint16_t> PortFromFlags(bool zero_means_any) {
  if ((FLAGS_port == 0 && !zero_means_any) || FLAGS_port > 65535) {
    return absl::InvalidArgumentError(absl::StrCat("--port=", FLAGS_port, ": choose 1 to 65535"));
  }
  return static_cast<uint16_t>(FLAGS_port);
}

absl::Status InRange(absl::string_view flag, uint64_t value, uint64_t most) {
  if (value >= 1 && value <= most) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("--", flag, "=", value, ": choose 1 to ", most));
}

absl::StatusOr<WorkloadOptions> WorkloadFromFlags() {
  if (absl::Status s = InRange("size", FLAGS_size, 16 << 20); !s.ok()) return s;
  if (absl::Status s = InRange("inflight", FLAGS_inflight, 65536); !s.ok()) return s;
  if (absl::Status s = InRange("connections", FLAGS_connections, 100000); !s.ok()) return s;
  absl::StatusOr<Duration> duration = ParseDurationFlag("duration", FLAGS_duration);
  if (!duration.ok()) return duration.status();
  return WorkloadOptions{.message_bytes = FLAGS_size,
                         .inflight = FLAGS_inflight,
                         .connections = FLAGS_connections,
                         .duration = *duration,
                         .total_bytes = FLAGS_bytes,
                         .verify = FLAGS_verify};
}

int Print(const WorkloadReport& report) {
  std::printf("%s\n", (FLAGS_json ? report.ToJson() : report.ToText()).c_str());
  if (report.errors > 0) std::fprintf(stderr, "error: %s\n", report.first_error.c_str());
  return report.errors == 0 ? 0 : 1;
}

// A dedicated I/O core.
int ServeOnThreads(Runtime& runtime, uint16_t port) {
  std::vector<RemoteEcho> echoes(FLAGS_threads);
  std::vector<r2c::RemoteHandler*> handlers;
  for (RemoteEcho& echo : echoes) handlers.push_back(&echo);
  const absl::Status status = RunBehindIoCore(runtime, port, handlers, AtSignal::kCloseAtOnce,
                                              [&] { PrintListening(runtime.endpoint(port).ToString()); });
  if (!status.ok()) return ExitWith(status);
  uint64_t bytes = 0;
  for (const RemoteEcho& echo : echoes) bytes += echo.bytes();
  const int code = runtime.Finish();
  std::fprintf(stderr, "%llu octets echoed by %u threads; refused packets: %s\n",
               static_cast<unsigned long long>(bytes), FLAGS_threads, runtime.drops()->ToString().c_str());
  return code;
}

// The last word of a server; `accepted`: by each worker.
void PrintServed(const std::vector<uint64_t>& accepted, uint64_t bytes, const std::string& more,
                 const Runtime& runtime) {
  std::fprintf(stderr, "%s connections, %llu octets echoed%s; refused packets: %s\n",
               absl::StrJoin(accepted, " + ").c_str(), static_cast<unsigned long long>(bytes), more.c_str(),
               runtime.drops()->ToString().c_str());
}

int ServeOnWorkers(Runtime& runtime, uint16_t port) {
  std::vector<EchoServer> echoes(runtime.workers());
  const absl::Status listening = runtime.TryThreads([&](RuntimeWorker& worker) {
    return worker.Listen(port, echoes[worker.index()], {.hold_reads_while_send_full = true});
  });
  if (!listening.ok()) return ExitWith(listening);
  PrintListening(runtime.endpoint(port).ToString());
  const int code = runtime.Run();
  uint64_t bytes = 0, abnormal_ends = 0;
  std::vector<uint64_t> accepted;
  for (const EchoServer& echo : echoes) {
    accepted.push_back(echo.accepted());
    bytes += echo.bytes();
    abnormal_ends += echo.abnormal_ends();
  }
  PrintServed(accepted, bytes, absl::StrCat(", ", abnormal_ends, " ended abnormally"), runtime);
  return code;
}

// The server that a program of the kernel's would be.
int ServeOnSockets(Runtime& runtime, uint16_t port) {
  std::vector<uint64_t> accepted(runtime.workers()), bytes(runtime.workers());
  const absl::Status status = RunOnSockets<SocketEcho>(
      runtime, [port](RuntimeWorker&) { return SocketEcho::Listen(port); },
      [&] { PrintListening(runtime.endpoint(port).ToString()); },
      [&](RuntimeWorker& worker, SocketEcho& echo) {
        echo.Run(worker.drain_limit().seconds());
        accepted[worker.index()] = echo.accepted();
        bytes[worker.index()] = echo.bytes();
      });
  if (!status.ok()) return ExitWith(status);
  const int code = runtime.Finish();
  PrintServed(accepted, std::accumulate(bytes.begin(), bytes.end(), uint64_t{0}), "", runtime);
  return code;
}

int ServeOnLuna() {
  absl::StatusOr<uint16_t> port = PortFromFlags(/*zero_means_any=*/false);
  if (!port.ok()) return ExitWith(port.status());
  if (FLAGS_api != "handler" && FLAGS_api != "socket") {
    return ExitWith(absl::InvalidArgumentError(absl::StrCat("--api=", FLAGS_api, ": choose handler or socket")));
  }
  if (FLAGS_api == "socket" && FLAGS_threads > 0) {
    return ExitWith(absl::InvalidArgumentError("--api=socket: sockets are the worker's own; leave --threads=0"));
  }
  auto runtime = Runtime::FromFlags();
  if (!runtime.ok()) return ExitWith(runtime.status());
  if (FLAGS_api == "socket") return ServeOnSockets(**runtime, *port);
  return FLAGS_threads > 0 ? ServeOnThreads(**runtime, *port) : ServeOnWorkers(**runtime, *port);
}

// One worker's part of a measurement. What it sends is of its own memory.
absl::Status Measure(RuntimeWorker& worker, const wire::Endpoint& remote, const WorkloadOptions& options,
                     std::unique_ptr<Workload>* workload) {
  std::byte* pattern = worker.slab().Alloc(kPatternPeriod);
  if (pattern == nullptr) {
    return absl::ResourceExhaustedError("--memory_mb: too small for the message pattern; choose a larger one");
  }
  const absl::Span<std::byte> period(pattern, kPatternPeriod);
  FillPattern(period);
  zbuf::ZRef pattern_ref = zbuf::ZRef::Adopt(pattern);
  if (!worker.WaitForLink(Duration::Seconds(10))) {
    return absl::UnavailableError(absl::StrCat("--connect=", FLAGS_connect, ": nobody is at the other end of --device=",
                                               DeviceFlag(), "; start the server first"));
  }
  *workload = std::make_unique<Workload>(options, worker.clock(), period);
  Workload& w = **workload;
  LunaClient client(worker.worker(), w, std::move(pattern_ref));
  client.Connect(remote, options.connections);
  bool said = FLAGS_json || worker.index() > 0;
  const auto done = [&] {
    if (!said && w.answered()) {
      said = true;
      std::printf("%s answers\n", remote.ToString().c_str());
      std::fflush(stdout);
    }
    return w.done();
  };
  worker.RunAndDrain(done, [&w] { w.Stop(); });
  return absl::OkStatus();
}

int MeasureOnLuna() {
  absl::StatusOr<wire::Endpoint> remote = ParseEndpointFlag("connect", FLAGS_connect);
  if (!remote.ok()) return ExitWith(remote.status());
  absl::StatusOr<WorkloadOptions> options = WorkloadFromFlags();
  if (!options.ok()) return ExitWith(options.status());
  auto runtime = Runtime::FromFlags();
  if (!runtime.ok()) return ExitWith(runtime.status());
  const size_t workers = (*runtime)->workers();
  if (options->connections < workers) {
    return ExitWith(absl::InvalidArgumentError(absl::StrCat("--connections=", options->connections,
                                                            ": fewer than --workers=", workers, ", which share them")));
  }
  std::vector<std::unique_ptr<Workload>> workloads(workers);
  const absl::Status measured = (*runtime)->TryThreads([&](RuntimeWorker& worker) {
    WorkloadOptions own = *options;
    const size_t first = options->connections % workers;  // these have one more
    own.connections = static_cast<uint32_t>(options->connections / workers + (worker.index() < first ? 1 : 0));
    return Measure(worker, *remote, own, &workloads[worker.index()]);
  });
  if (!measured.ok()) return ExitWith(measured);
  std::vector<const Workload*> all;
  for (const auto& workload : workloads) all.push_back(workload.get());
  const WorkloadReport report = Workload::ReportOf(all);
  const int code = (*runtime)->Finish();
  return std::max(code, Print(report));
}

int ServeOnKernel() {
  absl::StatusOr<uint16_t> port = PortFromFlags(/*zero_means_any=*/true);
  if (!port.ok()) return ExitWith(port.status());
  absl::StatusOr<KernelMode> mode = KernelModeFromFlags();
  if (!mode.ok()) return ExitWith(mode.status());
  absl::StatusOr<wire::IpAddress> address = AddressFlag();
  if (!address.ok()) return ExitWith(address.status());
  auto server = KernelEchoServer::Listen({*address, *port});
  if (!server.ok()) return ExitWith(server.status());
  const std::atomic<bool>& stop = InstallStopSignals();
  PrintListening((*server)->local().ToString());
  (*server)->Run(*mode, stop);
  return 0;
}

int MeasureOnKernel() {
  absl::StatusOr<wire::Endpoint> remote = ParseEndpointFlag("connect", FLAGS_connect);
  if (!remote.ok()) return ExitWith(remote.status());
  absl::StatusOr<WorkloadOptions> options = WorkloadFromFlags();
  if (!options.ok()) return ExitWith(options.status());
  absl::StatusOr<KernelMode> mode = KernelModeFromFlags();
  if (!mode.ok()) return ExitWith(mode.status());
  std::vector<std::byte> period(kPatternPeriod);
  FillPattern(absl::MakeSpan(period));
  MonotonicClock clock;
  Workload workload(*options, clock, period);
  const absl::Status status =
      RunKernelClient(*remote, options->connections, *mode, workload, period, InstallStopSignals());
  if (!status.ok()) return ExitWith(status);
  return Print(workload.Report());
}

int Main(int argc, char** argv) {
  absl::StatusOr<std::vector<std::string>> words = ParseCommandLine(argc, argv, {kUsage}, "apps/echo/main.cc");
  if (!words.ok()) return ExitWith(words.status());
  if (words->size() != 1 || ((*words)[0] != "server" && (*words)[0] != "client")) {
    return ExitWith(absl::InvalidArgumentError("say `luna-echo server …` or `luna-echo client …`; --help explains"));
  }
  const bool serve = (*words)[0] == "server";
  if (DeviceFlag() == "kernel") return serve ? ServeOnKernel() : MeasureOnKernel();
  return serve ? ServeOnLuna() : MeasureOnLuna();
}

}  // namespace
}  // namespace luna::apps

int main(int argc, char** argv) { return luna::apps::Main(argc, argv); }
