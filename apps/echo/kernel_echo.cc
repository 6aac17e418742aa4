#include "luna/apps/echo/kernel_echo.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <list>
#include <utility>
#include <vector>

#include "glog/logging.h"
#include "luna/apps/echo/kernel_socket.h"
#include "luna/apps/echo/pattern.h"

namespace luna::apps {
namespace {

constexpr size_t kBufferBytes = 256 * 1024;
constexpr Duration kTick = Duration::Milliseconds(10);
constexpr int kEventsPerPoll = 64;

bool WouldBlock() { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

void Poll(r2c::KernelPoller& poller, KernelMode mode) {
  if (mode == KernelMode::kSpin) {
    poller.PollOnce(kEventsPerPoll);
  } else {
    poller.Wait(kTick, kEventsPerPoll);
  }
}

}  // namespace

// --- Server ---

// Echoes one connection. While something could not be written, it reads nothing.
class KernelEchoServer::Peer final : public r2c::FdHandler {
 public:
  Peer(r2c::KernelPoller& poller, Fd fd) : poller_(poller), fd_(std::move(fd)), buffer_(kBufferBytes) {}
  ~Peer() override { poller_.Remove(fd_.get()).IgnoreError(); }

  absl::Status Start() { return poller_.Add(fd_.get(), EPOLLIN, this); }
  bool ended() const { return ended_; }

  void OnFdReady(uint32_t) override {
    if (begin_ == end_) {
      const ssize_t n = recv(fd_.get(), buffer_.data(), buffer_.size(), 0);
      if (n < 0 && WouldBlock()) return;
      if (n <= 0) {
        ended_ = true;
        return;
      }
      begin_ = 0;
      end_ = static_cast<size_t>(n);
    }
    const ssize_t n = send(fd_.get(), buffer_.data() + begin_, end_ - begin_, MSG_NOSIGNAL);
    if (n < 0 && !WouldBlock()) {
      ended_ = true;
      return;
    }
    if (n > 0) begin_ += static_cast<size_t>(n);
    const bool waits = begin_ < end_;
    if (waits == waiting_) return;
    waiting_ = waits;
    poller_.Modify(fd_.get(), waits ? EPOLLOUT : EPOLLIN).IgnoreError();
  }

 private:
  r2c::KernelPoller& poller_;
  Fd fd_;
  std::vector<std::byte> buffer_;
  size_t begin_ = 0;  // [begin_, end_) of buffer_ is still to be sent
  size_t end_ = 0;
  bool waiting_ = false;
  bool ended_ = false;
};

class KernelEchoServer::Acceptor final : public r2c::FdHandler {
 public:
  Acceptor(r2c::KernelPoller& poller, Fd fd) : poller_(poller), fd_(std::move(fd)) {}
  ~Acceptor() override {
    peers_.clear();
    poller_.Remove(fd_.get()).IgnoreError();
  }
  absl::Status Start() { return poller_.Add(fd_.get(), EPOLLIN, this); }
  int fd() const { return fd_.get(); }

  void OnFdReady(uint32_t) override {
    absl::StatusOr<Fd> fd = AcceptKernel(fd_.get());
    if (!fd.ok()) {
      // Out of descriptors, say: once in the log is enough, the peer waits in the backlog meanwhile.
      if (!absl::IsNotFound(fd.status()) && !std::exchange(complained_, true)) LOG(ERROR) << fd.status().message();
      return;
    }
    Peer& peer = peers_.emplace_back(poller_, *std::move(fd));
    if (const absl::Status status = peer.Start(); !status.ok()) {
      LOG(ERROR) << status.message();
      peers_.pop_back();
    }
  }
  void Reap() {
    peers_.remove_if([](const Peer& peer) { return peer.ended(); });
  }

 private:
  r2c::KernelPoller& poller_;
  Fd fd_;
  std::list<Peer> peers_;
  bool complained_ = false;
};

KernelEchoServer::~KernelEchoServer() = default;

absl::StatusOr<std::unique_ptr<KernelEchoServer>> KernelEchoServer::Listen(const wire::Endpoint& local) {
  std::unique_ptr<KernelEchoServer> server(new KernelEchoServer());
  absl::StatusOr<std::unique_ptr<r2c::KernelPoller>> poller = r2c::KernelPoller::Create();
  if (!poller.ok()) return poller.status();
  server->poller_ = *std::move(poller);
  absl::StatusOr<Fd> fd = ListenKernel(local);
  if (!fd.ok()) return fd.status();
  absl::StatusOr<wire::Endpoint> bound = LocalEndpoint(fd->get());
  if (!bound.ok()) return bound.status();
  server->local_ = *bound;
  server->acceptor_ = std::make_unique<Acceptor>(*server->poller_, *std::move(fd));
  if (absl::Status status = server->acceptor_->Start(); !status.ok()) return status;
  return server;
}

void KernelEchoServer::Run(KernelMode mode, const std::atomic<bool>& stop) {
  while (!stop.load(std::memory_order_relaxed)) {
    Poll(*poller_, mode);
    acceptor_->Reap();
  }
}

// --- Client ---

namespace {

class KernelChannel final : public Channel, public r2c::FdHandler {
 public:
  KernelChannel(r2c::KernelPoller& poller, Fd fd, Workload& workload, absl::Span<const std::byte> period)
      : poller_(poller), fd_(std::move(fd)), workload_(workload), period_(period), buffer_(kBufferBytes) {}
  ~KernelChannel() override { Unwatch(); }

  absl::Status Start() {
    watched_ = true;
    return poller_.Add(fd_.get(), EPOLLOUT, this);
  }

  size_t SendPattern(uint64_t offset, size_t length) override {
    size_t taken = 0;
    while (taken < length) {
      const size_t at = (offset + taken) % kPatternPeriod;
      const size_t n = std::min(length - taken, kPatternPeriod - at);
      const ssize_t sent = send(fd_.get(), period_.data() + at, n, MSG_NOSIGNAL);
      if (sent <= 0) break;
      taken += static_cast<size_t>(sent);
    }
    WatchWritable(taken < length);
    return taken;
  }
  void Close() override { shutdown(fd_.get(), SHUT_WR); }

  void OnFdReady(uint32_t events) override {
    if (stream_ == nullptr && !Connected()) return;
    if ((events & EPOLLOUT) != 0 && waiting_) workload_.OnWritable(stream_);
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0) return;
    const ssize_t n = recv(fd_.get(), buffer_.data(), buffer_.size(), 0);
    if (n > 0) {
      workload_.OnReadable(stream_, absl::MakeConstSpan(buffer_.data(), static_cast<size_t>(n)));
      workload_.OnReadableDone(stream_);
    } else if (n == 0 || !WouldBlock()) {
      Unwatch();
      workload_.OnClosed(stream_, n == 0 ? "closed" : std::strerror(errno));
    }
  }

 private:
  bool Connected() {
    int error = 0;
    socklen_t size = sizeof(error);
    getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) {
      Unwatch();
      workload_.OnConnectFailed(std::strerror(error));
      return false;
    }
    WatchWritable(false);
    poller_.Modify(fd_.get(), EPOLLIN).IgnoreError();
    stream_ = workload_.OnConnected(this);
    return true;
  }
  void WatchWritable(bool wanted) {
    if (wanted == waiting_ || !watched_) return;
    waiting_ = wanted;
    poller_.Modify(fd_.get(), wanted ? EPOLLIN | EPOLLOUT : EPOLLIN).IgnoreError();
  }
  void Unwatch() {
    if (watched_) poller_.Remove(fd_.get()).IgnoreError();
    watched_ = false;
  }

  r2c::KernelPoller& poller_;
  Fd fd_;
  Workload& workload_;
  absl::Span<const std::byte> period_;
  std::vector<std::byte> buffer_;
  Workload::Stream* stream_ = nullptr;
  bool waiting_ = false;
  bool watched_ = false;
};

}  // namespace

absl::Status RunKernelClient(const wire::Endpoint& remote, uint32_t connections, KernelMode mode, Workload& workload,
                             absl::Span<const std::byte> period, const std::atomic<bool>& stop) {
  absl::StatusOr<std::unique_ptr<r2c::KernelPoller>> poller = r2c::KernelPoller::Create();
  if (!poller.ok()) return poller.status();
  std::list<KernelChannel> channels;
  for (uint32_t i = 0; i < connections; ++i) {
    absl::StatusOr<Fd> fd = ConnectKernel(remote);
    if (!fd.ok()) return fd.status();
    KernelChannel& channel = channels.emplace_back(**poller, *std::move(fd), workload, period);
    if (absl::Status status = channel.Start(); !status.ok()) return status;
  }
  MonotonicClock clock;
  Time next_tick = clock.Now();
  while (!workload.done()) {
    Poll(**poller, mode);
    if (stop.load(std::memory_order_relaxed)) workload.Stop();
    if (clock.Now() < next_tick) continue;
    workload.OnTick();
    next_tick = clock.Now() + kTick;
  }
  return absl::OkStatus();
}

}  // namespace luna::apps
