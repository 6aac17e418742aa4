#include "luna/apps/echo/socket_echo.h"

#include <errno.h>
#include <sys/socket.h>

#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "luna/net/socket/luna_socket.h"

namespace luna::apps {
namespace {

constexpr size_t kBufferBytes = 256 << 10;

}  // namespace

SocketEcho::SocketEcho() : loop_(luna_ev_loop_new()), buffer_(kBufferBytes) {
  if (loop_ != nullptr) luna_ev_set_userdata(loop_, this);
}

absl::StatusOr<std::unique_ptr<SocketEcho>> SocketEcho::Listen(uint16_t port) {
  auto server = absl::WrapUnique(new SocketEcho);
  luna_ev_io_init(&server->listener_, OnConnection, socket::ListenOn(port), LUNA_EV_READ);
  if (server->loop_ == nullptr || server->listener_.fd < 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("--port=", port));
  }
  luna_ev_io_start(server->loop_, &server->listener_);
  return server;
}

SocketEcho::~SocketEcho() {
  while (!peers_.empty()) End(*peers_.begin()->second);
  if (listener_.fd >= 0) luna_close(listener_.fd);
  if (loop_ != nullptr) luna_ev_loop_destroy(loop_);
}

void SocketEcho::Run(double drain_seconds) {
  luna_ev_run(loop_, 0);
  luna_ev_io_stop(loop_, &listener_);
  luna_close(std::exchange(listener_.fd, -1));
  ending_ = true;
  for (auto& [fd, peer] : peers_) {
    if (peer->waiting.empty()) SayAll(*peer);
  }
  const double deadline = luna_ev_now(loop_) + drain_seconds;
  while (!peers_.empty() && luna_ev_now(loop_) < deadline) luna_ev_run(loop_, LUNA_EVRUN_NOWAIT);
}

void SocketEcho::OnConnection(luna_ev_loop* loop, luna_ev_io*, int) { Of(loop).Accept(); }

void SocketEcho::Accept() {
  for (int fd; (fd = luna_accept4(listener_.fd, nullptr, nullptr, SOCK_NONBLOCK)) >= 0;) {
    ++accepted_;
    Peer& peer = *(peers_[fd] = std::make_unique<Peer>());
    luna_ev_io_init(&peer.io, OnReady, fd, LUNA_EV_READ);
    peer.io.w.data = &peer;
    luna_ev_io_start(loop_, &peer.io);
  }
}

void SocketEcho::OnReady(luna_ev_loop* loop, luna_ev_io* w, int) { Of(loop).Serve(*static_cast<Peer*>(w->w.data)); }

void SocketEcho::Serve(Peer& peer) {
  if (!peer.waiting.empty()) {
    const std::vector<char> waiting = std::exchange(peer.waiting, {});
    if (!Send(peer, waiting.data(), waiting.size())) End(peer);
    return;
  }
  const ssize_t n = luna_read(peer.io.fd, buffer_.data(), buffer_.size());
  if (n < 0 && errno == EAGAIN) return;
  if (n <= 0) return End(peer);
  if (peer.said_all) return;
  bytes_ += static_cast<uint64_t>(n);
  if (!Send(peer, buffer_.data(), static_cast<size_t>(n))) End(peer);
}

bool SocketEcho::Send(Peer& peer, const char* octets, size_t size) {
  const ssize_t sent = luna_write(peer.io.fd, octets, size);
  if (sent < 0 && errno != EAGAIN) return false;
  const size_t taken = sent < 0 ? 0 : static_cast<size_t>(sent);
  peer.waiting.assign(octets + taken, octets + size);
  luna_ev_io_modify(loop_, &peer.io, peer.waiting.empty() ? LUNA_EV_READ : LUNA_EV_WRITE);
  if (ending_ && peer.waiting.empty()) SayAll(peer);
  return true;
}

void SocketEcho::SayAll(Peer& peer) {
  peer.said_all = true;
  luna_shutdown(peer.io.fd, SHUT_WR);
}

void SocketEcho::End(Peer& peer) {
  luna_ev_io_stop(loop_, &peer.io);
  luna_close(peer.io.fd);
  peers_.erase(peer.io.fd);
}

}  // namespace luna::apps
