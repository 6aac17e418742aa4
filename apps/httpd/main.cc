// luna-httpd: static files over HTTP/1.1, on Luna's sockets.

#include <sys/stat.h>

#include <cstdio>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gflags/gflags.h"
#include "luna/apps/httpd/server.h"
#include "luna/apps/runtime/flags.h"
#include "luna/apps/runtime/runtime.h"
#include "luna/apps/runtime/runtime_worker.h"
#include "luna/apps/runtime/sockets.h"

DEFINE_uint32(port, 80, "TCP port to listen on.");
DEFINE_string(root, ".", "Directory of the files.");
DEFINE_uint32(cache_mb, 16, "Zbuf for files of up to 256 KB, which are read once.");

namespace luna::apps {
namespace {

constexpr char kUsage[] = R"(luna-httpd - static files over HTTP/1.1 on Luna's user-space TCP

  luna-httpd --device=DEVICE --address=OURS/PREFIX [--port=80] [--root=.] [--workers=2]

On a TAP, which the kernel reaches:
  luna-httpd --device=tap:luna0 --address=10.7.1.2/24 --port=8080 --root=/usr/share/doc
  ip address add 10.7.1.1/24 dev luna0; curl http://10.7.1.2:8080/
)";

absl::Status CheckFlags() {
  if (FLAGS_port == 0 || FLAGS_port > 65535) {
    return absl::InvalidArgumentError(absl::StrCat("--port=", FLAGS_port, ": choose 1 to 65535"));
  }
  struct stat about;
  if (stat(FLAGS_root.c_str(), &about) != 0 || !S_ISDIR(about.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat("--root=", FLAGS_root, ": no such directory"));
  }
  return absl::OkStatus();
}

// Until a signal; then answers that are under way are finished, for --drain at most.
void Run(RuntimeWorker& worker, httpd::Server& server) {
  while (server.Turn(-1)) continue;
  server.StopAccepting();
  const Time deadline = worker.worker().now() + worker.drain_limit();
  while (server.connections() > 0 && worker.worker().now() < deadline && server.Turn(0)) continue;
}

int Serve() {
  if (absl::Status s = CheckFlags(); !s.ok()) return ExitWith(s);
  auto runtime = Runtime::FromFlags();
  if (!runtime.ok()) return ExitWith(runtime.status());
  const size_t workers = (*runtime)->workers();
  std::vector<std::unique_ptr<socket::WorkerSockets>> sockets(workers);
  std::vector<std::unique_ptr<httpd::Server>> servers(workers);
  const absl::Status listening = (*runtime)->TryThreads([&](RuntimeWorker& worker) {
    sockets[worker.index()] = MakeSockets(worker);
    auto server = httpd::Server::Listen({.root = FLAGS_root,
                                         .port = static_cast<uint16_t>(FLAGS_port),
                                         .cache_bytes = (size_t{FLAGS_cache_mb} << 20) / workers});
    if (server.ok()) servers[worker.index()] = *std::move(server);
    return server.status();
  });
  if (listening.ok()) {
    std::printf("listening on %s:%u\n", (*runtime)->addresses()[0].address().ToString().c_str(), FLAGS_port);
    std::fflush(stdout);
  }
  (*runtime)->RunThreads([&](RuntimeWorker& worker) {
    if (listening.ok()) Run(worker, *servers[worker.index()]);
    servers[worker.index()].reset();
    worker.RunAndDrain([] { return true; });
    sockets[worker.index()].reset();
  });
  if (!listening.ok()) return ExitWith(listening);
  return (*runtime)->Finish();
}

}  // namespace
}  // namespace luna::apps

int main(int argc, char** argv) {
  const auto words = luna::apps::ParseCommandLine(argc, argv, {luna::apps::kUsage}, "apps/httpd/main.cc");
  return words.ok() ? luna::apps::Serve() : luna::apps::ExitWith(words.status());
}
