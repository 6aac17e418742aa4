#include "luna/apps/httpd/dedicated_server.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "luna/apps/runtime/flags.h"
#include "luna/apps/runtime/io_threads.h"

namespace luna::apps::httpd {
namespace {

constexpr size_t kMostPipelinedBytes = 256 << 10;  // of requests that wait for an answer under way

}  // namespace

DedicatedServer::~DedicatedServer() {
  for (auto& [id, x] : exchanges_) CloseFile(x);
}

void DedicatedServer::OnAccepted(r2c::RemoteConnection& connection) {
  if (!slab_.OwnedByThisThread()) slab_.BindToCurrentThread();
  exchanges_[connection.id()];
}

void DedicatedServer::OnReadable(r2c::RemoteConnection& connection, zbuf::ZChain data) {
  Exchange& x = exchanges_.at(connection.id());
  if (x.said_all) return;
  if (x.received.size() + data.bytes() > kMostPipelinedBytes) return connection.Close();
  x.received += data.ToString();
  Advance(connection, x);
}

void DedicatedServer::OnPeerClosed(r2c::RemoteConnection& connection) {
  Exchange& x = exchanges_.at(connection.id());
  x.keep_alive = false;  // what is under way is sent first
  if (x.output.empty() && x.file < 0) connection.Close();
}

void DedicatedServer::OnFinish(r2c::RemoteConnection& connection) {
  Exchange& x = exchanges_.at(connection.id());
  x.keep_alive = false;
  Advance(connection, x);
}

void DedicatedServer::OnClosed(r2c::RemoteConnection& connection) {
  CloseFile(exchanges_.at(connection.id()));
  exchanges_.erase(connection.id());
}

void DedicatedServer::Advance(r2c::RemoteConnection& connection, Exchange& x) {
  slab_.DrainReturns();
  for (;;) {
    if (!x.output.empty() && !connection.Send(std::move(x.output))) return;  // OnWritable comes
    if (x.file >= 0) {
      if (!ReadPiece(x)) return connection.Close();
      continue;
    }
    if (!x.keep_alive) {
      if (!std::exchange(x.said_all, true)) connection.ShutdownWrite();
      return;
    }
    Request request;
    const size_t length = ParseRequest(x.received, &request);
    if (length == 0) return;
    x.received.erase(0, length);
    x.keep_alive = request.error == nullptr && request.keep_alive && x.keep_alive;
    Answer(x, request);
  }
}

void DedicatedServer::Answer(Exchange& x, const Request& request) {
  const File file = OpenFile(root_, request);
  const std::string head = HeadOf(file, x.keep_alive);
  std::byte* const octets = Append(x, head.size());
  if (octets != nullptr) std::memcpy(octets, head.data(), head.size());
  if (octets == nullptr) x.keep_alive = false;  // the end of the connection is an answer
  x.file = file.fd;
  x.offset = 0;
  x.end = file.size;
  if (octets == nullptr || request.head_only || file.size == 0) CloseFile(x);
}

std::byte* DedicatedServer::Append(Exchange& x, size_t bytes) {
  std::byte* const obj = slab_.Alloc(bytes);
  if (obj != nullptr) x.output.Append(zbuf::ZRef::Adopt(obj), static_cast<uint32_t>(bytes));
  return obj;
}

bool DedicatedServer::ReadPiece(Exchange& x) {
  const auto bytes = static_cast<size_t>(std::min<off_t>(x.end - x.offset, kPieceBytes));
  std::byte* const octets = Append(x, bytes);
  if (octets == nullptr || !ReadWhole(x.file, x.offset, octets, bytes)) return false;
  x.offset += static_cast<off_t>(bytes);
  if (x.offset == x.end) CloseFile(x);
  return true;
}

void DedicatedServer::CloseFile(Exchange& x) {
  if (x.file >= 0) close(std::exchange(x.file, -1));
}

int ServeOnThreads(Runtime& runtime, const std::string& root, uint16_t port, size_t threads) {
  std::deque<zbuf::Slab> slabs;  // their arena is the runtime's, which goes after them
  std::deque<DedicatedServer> servers;
  std::vector<r2c::RemoteHandler*> handlers;
  for (size_t i = 0; i < threads; ++i) {
    slabs.emplace_back(runtime.slab().arena(), zbuf::SlabOptions{.name = absl::StrCat("thread ", i)});
    handlers.push_back(&servers.emplace_back(root, slabs.back()));
  }
  const absl::Status status = RunBehindIoCore(runtime, port, handlers, AtSignal::kFinish,
                                              [&] { PrintListening(runtime.endpoint(port).ToString()); });
  if (!status.ok()) return ExitWith(status);
  servers.clear();
  int code = runtime.Finish();
  for (zbuf::Slab& slab : slabs) {
    if (ReportLeaks(slab) > 0) code = 1;
  }
  return code;
}

}  // namespace luna::apps::httpd
