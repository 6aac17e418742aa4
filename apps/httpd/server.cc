#include "luna/apps/httpd/server.h"

#include <errno.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace luna::apps::httpd {
namespace {

constexpr double kTickSeconds = 1;

// Null and errno: ENOMEM, or EIO when the file has become shorter or cannot be read.
socket::UniqueChain ReadChain(int file, off_t offset, size_t bytes) {
  void* octets = nullptr;
  socket::UniqueChain chain(luna_chain_alloc(bytes, &octets));
  if (chain == nullptr || ReadWhole(file, offset, octets, bytes)) return chain;
  errno = EIO;
  return nullptr;
}

}  // namespace

Server::Server(const ServerOptions& options) : options_(options), loop_(luna_ev_loop_new()) {}

absl::StatusOr<std::unique_ptr<Server>> Server::Listen(const ServerOptions& options) {
  std::unique_ptr<Server> server(new Server(options));
  const auto accept = [](luna_ev_loop*, luna_ev_io* w, int) { static_cast<Server*>(w->w.data)->Accept(); };
  const auto tick = [](luna_ev_loop*, luna_ev_timer* w, int) { static_cast<Server*>(w->w.data)->CloseIdle(); };
  luna_ev_io_init(&server->listener_, accept, socket::ListenOn(options.port), LUNA_EV_READ);
  luna_ev_timer_init(&server->tick_, tick, kTickSeconds, kTickSeconds);
  server->listener_.w.data = server->tick_.w.data = server.get();
  if (server->loop_ == nullptr || server->listener_.fd < 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("--port=", options.port));
  }
  luna_ev_io_start(server->loop_, &server->listener_);
  luna_ev_timer_start(server->loop_, &server->tick_);
  return server;
}

Server::~Server() {
  if (loop_ == nullptr) return;
  StopAccepting();
  while (!connections_.empty()) Close(connections_.begin()->second);
  luna_ev_loop_destroy(loop_);
}

void Server::Run(double drain_seconds) {
  luna_ev_run(loop_, 0);
  StopAccepting();
  const double deadline = luna_ev_now(loop_) + drain_seconds;
  while (!connections_.empty() && luna_ev_now(loop_) < deadline) luna_ev_run(loop_, LUNA_EVRUN_NOWAIT);
}

void Server::StopAccepting() {
  luna_ev_io_stop(loop_, &listener_);
  if (listener_.fd >= 0) luna_close(std::exchange(listener_.fd, -1));
  for (auto& [fd, c] : connections_) {
    c.keep_alive = false;
    if (c.output.empty() && c.file < 0) SayAll(c);
  }
}

void Server::CloseIdle() {
  for (auto next = connections_.begin(); next != connections_.end();) {
    Connection& c = (next++)->second;
    int queued = 0;
    luna_ioctl(c.io.fd, SIOCOUTQ, &queued);
    if (std::exchange(c.queued, queued) != queued) c.moved_at = luna_ev_now(loop_);
    if (luna_ev_now(loop_) - c.moved_at > options_.idle_seconds) Close(c);
  }
}

void Server::Accept() {
  const auto ready = [](luna_ev_loop*, luna_ev_io* w, int revents) {
    auto& server = *static_cast<Server*>(w->w.data);
    Connection& c = server.connections_.at(w->fd);
    revents == LUNA_EV_READ ? server.OnReadable(c) : server.Advance(c);
  };
  for (int fd; (fd = luna_accept4(listener_.fd, nullptr, nullptr, SOCK_NONBLOCK)) >= 0;) {
    Connection& c = connections_[fd];
    luna_ev_io_init(&c.io, ready, fd, LUNA_EV_READ);
    c.io.w.data = this;
    c.moved_at = luna_ev_now(loop_);
    luna_ev_io_start(loop_, &c.io);
  }
}

void Server::OnReadable(Connection& c) {
  char buffer[4096];
  const size_t room = std::min(sizeof(buffer), kMostHeadBytes - c.received.size());
  const ssize_t n = luna_read(c.io.fd, buffer, c.said_all ? sizeof(buffer) : room);
  if (n > 0) c.moved_at = luna_ev_now(loop_);
  if (c.said_all && (n > 0 || (n < 0 && errno == EAGAIN))) return;
  if (n == 0 || (n < 0 && errno != EAGAIN)) return Close(c);
  if (n > 0) c.received.append(buffer, static_cast<size_t>(n));
  Advance(c);
}

// While an answer waits for room, what is received can wait, too.
void Server::Advance(Connection& c) {
  for (;;) {
    if (!SendOutput(c)) return Close(c);
    if (!c.output.empty() || c.file >= 0) return luna_ev_io_modify(loop_, &c.io, LUNA_EV_WRITE);
    if (!c.keep_alive) return SayAll(c);
    Request request;
    const size_t length = ParseRequest(c.received, &request);
    if (length == 0) return luna_ev_io_modify(loop_, &c.io, LUNA_EV_READ);
    c.received.erase(0, length);
    c.keep_alive = request.error == nullptr && request.keep_alive && listener_.fd >= 0;
    Answer(c, request);
  }
}

bool Server::SendOutput(Connection& c) {
  for (;;) {
    if (c.output.empty() && c.file >= 0 && !ReadPiece(c)) return c.file >= 0;
    if (c.output.empty()) return true;
    const bool more = c.output.size() > 1 || c.file >= 0;
    luna_chain* chain = c.output.front().release();
    const ssize_t n = luna_zc_write(c.io.fd, &chain, more ? MSG_MORE : 0);
    c.output.front().reset(chain);
    if (n < 0) return errno == EAGAIN;
    c.output.pop_front();
  }
}

// A file that became shorter than was announced ends the connection: file -1, and nothing in the output.
bool Server::ReadPiece(Connection& c) {
  const auto bytes = static_cast<size_t>(std::min<off_t>(c.end - c.offset, kPieceBytes));
  Chain piece = ReadChain(c.file, c.offset, bytes);
  const bool whole = piece != nullptr;
  if (!whole && errno == ENOMEM) return false;
  c.offset += static_cast<off_t>(bytes);
  if (!whole || c.offset == c.end) close(std::exchange(c.file, -1));
  if (whole) c.output.push_back(std::move(piece));
  return whole;
}

void Server::Answer(Connection& c, const Request& request) {
  const File file = OpenFile(options_.root, request);
  const bool body = QueueHead(c, HeadOf(file, c.keep_alive)) && !request.head_only && file.size > 0;
  if (luna_chain* cached = body ? Cached(file) : nullptr) {
    c.output.emplace_back(luna_chain_share(cached, 0, luna_chain_bytes(cached)));
  } else if (body) {
    c.file = file.fd;
    c.offset = 0;
    c.end = file.size;
    return;
  }
  if (file.fd >= 0) close(file.fd);
}

luna_chain* Server::Cached(const File& file) {
  if (const auto found = cache_.find(file.path); found != cache_.end()) {
    const CachedFile& known = found->second;
    if (known.size == file.size && known.modified == file.modified) return known.chain.get();
    cached_bytes_ -= static_cast<size_t>(known.size);
    cache_.erase(found);  // answers under way have references of their own
  }
  const auto bytes = static_cast<size_t>(file.size);
  if (bytes > kMostCachedBytes || cached_bytes_ + bytes > options_.cache_bytes) return nullptr;
  Chain chain = ReadChain(file.fd, 0, bytes);
  if (chain == nullptr) return nullptr;
  cached_bytes_ += bytes;
  return (cache_[file.path] = {std::move(chain), file.size, file.modified}).chain.get();
}

// False: no memory for an answer. Then the end of the connection is one.
bool Server::QueueHead(Connection& c, absl::string_view head) {
  void* octets = nullptr;
  Chain chain(luna_chain_alloc(head.size(), &octets));
  if (chain == nullptr) return c.keep_alive = false;
  std::memcpy(octets, head.data(), head.size());
  c.output.push_back(std::move(chain));
  return true;
}

void Server::SayAll(Connection& c) {
  if (!std::exchange(c.said_all, true)) luna_shutdown(c.io.fd, SHUT_WR);
  luna_ev_io_modify(loop_, &c.io, LUNA_EV_READ);
}

void Server::Close(Connection& c) {
  luna_ev_io_stop(loop_, &c.io);
  if (c.file >= 0) close(c.file);
  luna_close(c.io.fd);
  connections_.erase(c.io.fd);
}

}  // namespace luna::apps::httpd
