// luna-httpd: static files over HTTP/1.1, on Luna's sockets.

#include <sys/stat.h>

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gflags/gflags.h"
#include "luna/apps/httpd/dedicated_server.h"
#include "luna/apps/httpd/server.h"
#include "luna/apps/runtime/flags.h"
#include "luna/apps/runtime/runtime.h"
#include "luna/apps/runtime/runtime_worker.h"
#include "luna/apps/runtime/sockets.h"

DEFINE_uint32(port, 80, "TCP port to listen on.");
DEFINE_string(root, ".", "Directory of the files.");
DEFINE_uint32(idle_seconds, 60, "A connection on which nothing moves for so long is closed.");
DEFINE_uint32(threads, 0,
              "0: the worker's thread answers; else so many threads of their own, which may wait for a disk, and the "
              "worker's is a core for I/O alone.");
DEFINE_uint32(cache_mb, 16, "Zbuf for files of up to 256 KB, which are read once.");

namespace luna::apps {
namespace {

constexpr char kUsage[] = R"(luna-httpd - static files over HTTP/1.1 on Luna's user-space TCP

  luna-httpd --device=DEVICE --address=OURS/PREFIX [--port=80] [--root=.] [--workers=2|--threads=2]

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

// On POSIX sockets, on the worker's own thread.
absl::Status ServeOnSockets(Runtime& runtime) {
  const httpd::ServerOptions options = {.root = FLAGS_root,
                                        .port = static_cast<uint16_t>(FLAGS_port),
                                        .cache_bytes = (size_t{FLAGS_cache_mb} << 20) / runtime.workers(),
                                        .idle_seconds = static_cast<double>(FLAGS_idle_seconds)};
  return RunOnSockets<httpd::Server>(
      runtime, [&options](RuntimeWorker&) { return httpd::Server::Listen(options); },
      [&] { PrintListening(runtime.endpoint(options.port).ToString()); },
      [](RuntimeWorker& worker, httpd::Server& server) { server.Run(worker.drain_limit().seconds()); });
}

int Serve() {
  if (absl::Status s = CheckFlags(); !s.ok()) return ExitWith(s);
  auto runtime = Runtime::FromFlags();
  if (!runtime.ok()) return ExitWith(runtime.status());
  if (FLAGS_threads > 0)
    return httpd::ServeOnThreads(**runtime, FLAGS_root, static_cast<uint16_t>(FLAGS_port), FLAGS_threads);
  const absl::Status status = ServeOnSockets(**runtime);
  if (!status.ok()) return ExitWith(status);
  return (*runtime)->Finish();
}

}  // namespace
}  // namespace luna::apps

int main(int argc, char** argv) {
  const auto words = luna::apps::ParseCommandLine(argc, argv, {luna::apps::kUsage}, "apps/httpd/main.cc");
  return words.ok() ? luna::apps::Serve() : luna::apps::ExitWith(words.status());
}
