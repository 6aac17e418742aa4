#include "luna/apps/httpd/server.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace luna::apps::httpd {
namespace {

constexpr int kEventsAtATime = 64;
constexpr char kPlain[] = "text/plain; charset=utf-8";

absl::string_view TypeOf(absl::string_view path) {
  if (absl::EndsWith(path, ".html")) return "text/html; charset=utf-8";
  if (absl::EndsWith(path, ".txt")) return kPlain;
  return "application/octet-stream";
}

// False: the file has become shorter, or cannot be read.
bool ReadWhole(int file, off_t offset, void* octets, size_t bytes) {
  for (size_t done = 0; done < bytes;) {
    const ssize_t n = pread(file, static_cast<char*>(octets) + done, bytes - done, offset + static_cast<off_t>(done));
    if (n <= 0) return false;
    done += static_cast<size_t>(n);
  }
  return true;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::Listen(const ServerOptions& options) {
  std::unique_ptr<Server> server(new Server(options));
  server->listener_ = luna_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  server->epoll_ = luna_epoll_create1(0);
  sockaddr_in any = {};
  any.sin_family = AF_INET;
  any.sin_port = htons(options.port);
  epoll_event event = {.events = EPOLLIN, .data = {.fd = server->listener_}};
  if (luna_bind(server->listener_, reinterpret_cast<const sockaddr*>(&any), sizeof(any)) != 0 ||
      luna_listen(server->listener_, SOMAXCONN) != 0 ||
      luna_epoll_ctl(server->epoll_, EPOLL_CTL_ADD, server->listener_, &event) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("--port=", options.port));
  }
  return server;
}

Server::~Server() {
  StopAccepting();
  while (!connections_.empty()) Close(connections_.begin()->first);
  luna_close(epoll_);
}

void Server::StopAccepting() {
  if (listener_ >= 0) luna_close(std::exchange(listener_, -1));
  for (auto& [fd, c] : connections_) {
    c.keep_alive = false;
    if (c.output.empty() && c.file < 0) SayAll(fd, c);
  }
}

bool Server::Turn(int timeout_ms) {
  epoll_event events[kEventsAtATime];
  const int n = luna_epoll_wait(epoll_, events, kEventsAtATime, timeout_ms);
  if (n < 0) return false;
  for (int i = 0; i < n; ++i) {
    const int fd = events[i].data.fd;
    if (fd == listener_) {
      Accept();
      continue;
    }
    const auto found = connections_.find(fd);
    if (found == connections_.end()) continue;  // closed by an event before
    if ((events[i].events & EPOLLOUT) != 0) Advance(fd, found->second);
    if ((events[i].events & ~uint32_t{EPOLLOUT}) != 0 && connections_.contains(fd)) OnReadable(fd, found->second);
  }
  return true;
}

void Server::Accept() {
  for (int fd; (fd = luna_accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK)) >= 0;) {
    epoll_event event = {.events = EPOLLIN, .data = {.fd = fd}};
    if (luna_epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) {
      luna_close(fd);
      continue;
    }
    connections_[fd];
  }
}

void Server::OnReadable(int fd, Connection& c) {
  char buffer[4096];
  const size_t room = std::min(sizeof(buffer), kMostHeadBytes - c.received.size());
  const ssize_t n = luna_read(fd, buffer, c.said_all ? sizeof(buffer) : room);
  if (c.said_all && (n > 0 || (n < 0 && errno == EAGAIN))) return;
  if (n == 0 || (n < 0 && errno != EAGAIN)) return Close(fd);
  if (n > 0) c.received.append(buffer, static_cast<size_t>(n));
  Advance(fd, c);
}

void Server::Advance(int fd, Connection& c) {
  for (;;) {
    if (!SendOutput(fd, c)) return Close(fd);
    if (!c.output.empty() || c.file >= 0) return Watch(fd, c, true);
    if (!c.keep_alive) return SayAll(fd, c);
    Request request;
    const size_t length = ParseRequest(c.received, &request);
    if (length == 0) return Watch(fd, c, false);
    c.received.erase(0, length);
    c.keep_alive = request.error == nullptr && request.keep_alive && listener_ >= 0;
    if (request.error == nullptr) {
      Answer(c, request);
    } else {
      QueueHead(c, request.error, kPlain, 0);
    }
  }
}

bool Server::SendOutput(int fd, Connection& c) {
  for (;;) {
    if (c.output.empty() && c.file >= 0 && !ReadPiece(c)) return c.file >= 0;
    if (c.output.empty()) return true;
    const bool more = c.output.size() > 1 || c.file >= 0;
    luna_chain* chain = c.output.front().release();
    const ssize_t n = luna_zc_write(fd, &chain, more ? MSG_MORE : 0);
    c.output.front().reset(chain);
    if (n < 0) return errno == EAGAIN;
    c.output.pop_front();
  }
}

// A file that became shorter than was announced ends the connection: file -1, and nothing in the output.
bool Server::ReadPiece(Connection& c) {
  const auto bytes = static_cast<size_t>(std::min<off_t>(c.end - c.offset, kPieceBytes));
  void* octets = nullptr;
  Chain piece(luna_chain_alloc(bytes, &octets));
  if (piece == nullptr) return false;
  const bool whole = ReadWhole(c.file, c.offset, octets, bytes);
  c.offset += static_cast<off_t>(bytes);
  if (!whole || c.offset == c.end) close(std::exchange(c.file, -1));
  if (!whole) return false;
  c.output.push_back(std::move(piece));
  return true;
}

void Server::Answer(Connection& c, const Request& request) {
  std::string path = options_.root + request.path;
  if (absl::EndsWith(path, "/")) path += "index.html";
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  struct stat about = {};
  if (file < 0 || fstat(file, &about) != 0 || !S_ISREG(about.st_mode)) {
    const bool too_many = file < 0 && (errno == EMFILE || errno == ENFILE);
    QueueHead(c, too_many ? "503 Service Unavailable" : "404 Not Found", kPlain, 0);
    if (file >= 0) close(file);
    return;
  }
  const bool body = QueueHead(c, "200 OK", TypeOf(path), static_cast<uint64_t>(about.st_size)) && !request.head_only &&
                    about.st_size > 0;
  if (luna_chain* cached = body ? Cached(path, file, about.st_size, about.st_mtim) : nullptr) {
    c.output.emplace_back(luna_chain_share(cached, 0, luna_chain_bytes(cached)));
  } else if (body) {
    c.file = file;
    c.offset = 0;
    c.end = about.st_size;
    return;
  }
  close(file);
}

luna_chain* Server::Cached(const std::string& path, int file, off_t size, const timespec& modified) {
  if (const auto found = cache_.find(path); found != cache_.end()) {
    const CachedFile& known = found->second;
    if (known.size == size && known.modified.tv_sec == modified.tv_sec && known.modified.tv_nsec == modified.tv_nsec) {
      return known.chain.get();
    }
    cached_bytes_ -= static_cast<size_t>(known.size);
    cache_.erase(found);  // answers under way have references of their own
  }
  const auto bytes = static_cast<size_t>(size);
  if (bytes > kMostCachedBytes || cached_bytes_ + bytes > options_.cache_bytes) return nullptr;
  void* octets = nullptr;
  Chain chain(luna_chain_alloc(bytes, &octets));
  if (chain == nullptr || !ReadWhole(file, 0, octets, bytes)) return nullptr;
  cached_bytes_ += bytes;
  return (cache_[path] = {std::move(chain), size, modified}).chain.get();
}

// False: no memory for an answer. Then the end of the connection is one.
bool Server::QueueHead(Connection& c, absl::string_view status, absl::string_view type, uint64_t bytes) {
  const std::string head =
      absl::StrCat("HTTP/1.1 ", status, "\r\nServer: luna-httpd\r\nContent-Type: ", type, "\r\nContent-Length: ", bytes,
                   c.keep_alive ? "\r\nConnection: keep-alive" : "\r\nConnection: close", "\r\n\r\n");
  void* octets = nullptr;
  Chain chain(luna_chain_alloc(head.size(), &octets));
  if (chain == nullptr) return c.keep_alive = false;
  std::memcpy(octets, head.data(), head.size());
  c.output.push_back(std::move(chain));
  return true;
}

// While an answer waits for room, what is received can wait, too.
void Server::Watch(int fd, Connection& c, bool for_room) {
  if (c.waits_for_room == for_room) return;
  c.waits_for_room = for_room;
  epoll_event event = {.events = for_room ? EPOLLOUT : EPOLLIN, .data = {.fd = fd}};
  luna_epoll_ctl(epoll_, EPOLL_CTL_MOD, fd, &event);
}

void Server::SayAll(int fd, Connection& c) {
  if (!std::exchange(c.said_all, true)) luna_shutdown(fd, SHUT_WR);
  Watch(fd, c, false);
}

void Server::Close(int fd) {
  const auto found = connections_.find(fd);
  if (found->second.file >= 0) close(found->second.file);
  connections_.erase(found);
  luna_close(fd);
}

}  // namespace luna::apps::httpd
