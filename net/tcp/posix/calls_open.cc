// socket, bind, listen, accept, connect, close, shutdown and the names of both ends.

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>

#include "luna/net/tcp/posix/file.h"
#include "luna/net/tcp/posix/sockets.h"

namespace luna::tcp::posix {
namespace {

using Phase = SocketFile::Phase;

constexpr int kTypeFlags = SOCK_NONBLOCK | SOCK_CLOEXEC;

// 0, EFAULT, EINVAL (too short) or EAFNOSUPPORT.
int ReadAddress(const sockaddr* address, socklen_t length, wire::Endpoint* out) {
  if (address == nullptr) return EFAULT;
  if (length < sizeof(sockaddr_in)) return EINVAL;
  sockaddr_in in;
  std::memcpy(&in, address, sizeof(in));
  if (in.sin_family != AF_INET) return EAFNOSUPPORT;
  *out = {wire::IpAddress(wire::Ipv4Address(ntohl(in.sin_addr.s_addr))), ntohs(in.sin_port)};
  return 0;
}

// As POSIX has it: cut off when it does not fit, and `length` then is what there was. 0, EFAULT or EINVAL.
int WriteAddress(const wire::Endpoint& endpoint, sockaddr* address, socklen_t* length) {
  if (address == nullptr) return 0;
  if (length == nullptr) return EFAULT;
  if (static_cast<int>(*length) < 0) return EINVAL;
  sockaddr_in in = {};
  in.sin_family = AF_INET;
  in.sin_port = htons(endpoint.port);
  in.sin_addr.s_addr = htonl(endpoint.address.v4().value());
  std::memcpy(address, &in, std::min<size_t>(*length, sizeof(in)));
  *length = sizeof(in);
  return 0;
}

void SetTypeFlags(int type, File* file) {
  file->flags = O_RDWR | ((type & SOCK_NONBLOCK) != 0 ? O_NONBLOCK : 0);
  file->close_on_exec = (type & SOCK_CLOEXEC) != 0;
}

}  // namespace

CallResult Sockets::Socket(int domain, int type, int protocol) {
  if (domain != AF_INET) return Failure(EAFNOSUPPORT);
  if ((type & ~kTypeFlags) != SOCK_STREAM) return Failure(ESOCKTNOSUPPORT);
  if (protocol != 0 && protocol != IPPROTO_TCP) return Failure(EPROTONOSUPPORT);
  stack_of_sockets();
  auto socket = std::make_shared<SocketFile>();
  SetTypeFlags(type, socket.get());
  socket->options = DefaultOptions(settings_);
  const int fd = AddFile(std::move(socket));
  return fd < 0 ? Failure(EMFILE) : Success(fd);
}

CallResult Sockets::Bind(int fd, const sockaddr* address, socklen_t length) {
  int error;
  const std::shared_ptr<SocketFile> socket = FindSocket(fd, &error);
  wire::Endpoint local;
  if (error == 0) error = ReadAddress(address, length, &local);
  if (error != 0) return Failure(error);
  if (socket->phase != Phase::kFresh || socket->bound.has_value()) return Failure(EINVAL);
  if (!local.address.IsUnspecified() && !local.address.v4().IsUnicast()) return Failure(EADDRNOTAVAIL);
  if (!local.address.IsUnspecified() && !IsOurs(local.address)) return Failure(EADDRNOTAVAIL);
  if (local.port != 0 && PortIsTaken(*socket, local)) return Failure(EADDRINUSE);
  if (local.port == 0) local.port = FreePort();
  socket->bound = local;
  socket->local = local;
  return Success();
}

// Sockets that are merely bound are known here only, connections and listeners to the stack as well.
bool Sockets::PortIsTaken(const SocketFile& socket, const wire::Endpoint& local) const {
  return std::any_of(files_.begin(), files_.end(), [&](const auto& entry) {
    if (entry.second->kind != File::Kind::kSocket || entry.second.get() == &socket) return false;
    const auto& other = static_cast<const SocketFile&>(*entry.second);
    if (!other.bound.has_value() || other.bound->port != local.port) return false;
    if (other.options.reuse_port && socket.options.reuse_port) return false;
    if (other.options.reuse_address && socket.options.reuse_address && other.phase != Phase::kListening) return false;
    return other.bound->address.IsUnspecified() || local.address.IsUnspecified() ||
           other.bound->address == local.address;
  });
}

uint16_t Sockets::FreePort() const {
  const SocketFile any;
  uint16_t port = settings_.stack.ephemeral_first;
  while (PortIsTaken(any, {wire::Ipv4Address::Any(), port})) ++port;
  return port;
}

CallResult Sockets::Listen(int fd, int backlog) {
  int error;
  const std::shared_ptr<SocketFile> socket = FindSocket(fd, &error);
  if (error != 0) return Failure(error);
  if (socket->phase == Phase::kListening) {
    ListenAgain(*socket, backlog);
    return Success();
  }
  if (socket->phase != Phase::kFresh) return Failure(EINVAL);
  if (!socket->bound.has_value()) socket->bound = wire::Endpoint{wire::Ipv4Address::Any(), FreePort()};
  const absl::StatusOr<Listener*> listener = StartListening(*socket, backlog);
  if (!listener.ok()) return Failure(absl::IsPermissionDenied(listener.status()) ? EACCES : EADDRINUSE);
  socket->listener = *listener;
  socket->local = *socket->bound;
  socket->phase = Phase::kListening;
  listening_.insert(socket.get());
  return Finish(Success());
}

CallResult Sockets::Accept(int fd, sockaddr* address, socklen_t* length, int flags) {
  int error;
  const std::shared_ptr<SocketFile> socket = FindSocket(fd, &error);
  if (error == 0 && (flags & ~kTypeFlags) != 0) error = EINVAL;
  if (error == 0 && socket->phase != Phase::kListening) error = EINVAL;
  if (error != 0) return Done(Op::kAccept, fd, Failure(error));
  if (socket->accept_queue.empty()) {
    return Block(Op::kAccept, fd, socket->ReceiveTimeout(0), Failure(EAGAIN));
  }
  const int accepted_fd = fds_.Open();
  if (accepted_fd < 0) return Done(Op::kAccept, fd, Failure(EMFILE));  // it goes on waiting
  std::shared_ptr<SocketFile> accepted = std::move(socket->accept_queue.front());
  socket->accept_queue.pop_front();
  socket->listener->Taken();
  SetTypeFlags(flags, accepted.get());
  error = WriteAddress(accepted->remote, address, length);
  if (error != 0) {
    Orphan(*accepted);
    fds_.Close(accepted_fd);
    return Done(Op::kAccept, fd, Failure(error));
  }
  files_[accepted_fd] = std::move(accepted);
  return Done(Op::kAccept, fd, Success(accepted_fd));
}

CallResult Sockets::Connect(int fd, const sockaddr* address, socklen_t length) {
  int error;
  const std::shared_ptr<SocketFile> socket = FindSocket(fd, &error);
  if (error == 0 && address == nullptr) error = EFAULT;
  if (error != 0) return Failure(error);
  const bool again = waits_.contains({Op::kConnect, fd});
  switch (socket->phase) {
    case Phase::kListening:
      return Failure(EISCONN);
    case Phase::kFresh: {
      wire::Endpoint remote;
      error = ReadAddress(address, length, &remote);
      if (error == 0) error = StartConnecting(*socket, remote);
      if (error != 0) return Failure(error);
      Pump();
      break;
    }
    case Phase::kConnecting:
      if (!again && (socket->flags & O_NONBLOCK) != 0) return Failure(EALREADY);
      break;
    case Phase::kConnected:
      if (!again && std::exchange(socket->connect_told, true)) return Failure(EISCONN);
      socket->connect_told = true;
      return Done(Op::kConnect, fd, Success());
    case Phase::kDead:
      return Done(Op::kConnect, fd, ConnectFailed(*socket));
  }
  // It may have ended while the SYN was being sent.
  if (socket->phase != Phase::kConnecting) return Connect(fd, address, length);
  return Block(Op::kConnect, fd, socket->SendTimeout(0), Failure(EINPROGRESS));
}

// A socket whose connect() failed may be used again.
CallResult Sockets::ConnectFailed(SocketFile& socket) {
  if (socket.connect_told) return Failure(EISCONN);
  const int error = std::exchange(socket.error, 0);
  socket.phase = Phase::kFresh;
  return Failure(error == 0 ? ECONNABORTED : error);
}

int Sockets::StartConnecting(SocketFile& socket, const wire::Endpoint& remote) {
  wire::Endpoint local = socket.bound.value_or(wire::Endpoint{wire::Ipv4Address::Any(), 0});
  if (local.address.IsUnspecified()) {
    const absl::StatusOr<wire::IpAddress> source = SourceTo(remote.address);
    if (!source.ok()) return ENETUNREACH;
    local.address = *source;
  }
  const absl::StatusOr<Connection*> connection = OpenConnection(socket, local, remote);
  if (!connection.ok()) {
    switch (connection.status().code()) {
      case absl::StatusCode::kInvalidArgument:
        return remote.port == 0 ? ECONNREFUSED : ENETUNREACH;
      case absl::StatusCode::kAlreadyExists:
        return EADDRNOTAVAIL;
      default:
        return EADDRNOTAVAIL;
    }
  }
  socket.connection = *connection;
  socket.connection->set_context(&socket);
  socket.phase = Phase::kConnecting;
  socket.connect_told = false;
  socket.local = socket.connection->tuple().local;
  socket.remote = remote;
  socket.bound = socket.local;
  return 0;
}

CallResult Sockets::Close(int fd) {
  const std::shared_ptr<File> file = Find(fd);
  if (file == nullptr) return Failure(EBADF);
  if (file->kind == File::Kind::kSocket) return CloseSocket(fd, static_cast<SocketFile&>(*file));
  return CloseFd(fd);
}

CallResult Sockets::CloseFd(int fd) {
  CancelWait(fd);
  files_.at(fd)->LeaveEpolls(fd);
  files_.erase(fd);
  fds_.Close(fd);
  return Finish(Success());
}

CallResult Sockets::CloseSocket(int fd, SocketFile& socket) {
  if (!std::exchange(socket.lingering, true)) {
    CancelWait(fd);
    StartClosing(socket);
    Pump();
  }
  const bool waits = socket.options.linger && socket.options.linger_seconds > 0 && (socket.flags & O_NONBLOCK) == 0;
  if (waits && socket.connection != nullptr) {
    const State state = socket.connection->state();
    if (state == State::kFinWait1 || state == State::kClosing || state == State::kLastAck) {
      const CallResult result = Block(Op::kClose, fd, Duration::Seconds(socket.options.linger_seconds), Success());
      if (result.would_block) return result;
    }
  }
  Orphan(socket);
  return CloseFd(fd);
}

void Sockets::StartClosing(SocketFile& socket) {
  if (socket.listener != nullptr) StopListening(socket);
  if (socket.connection == nullptr) return;
  if (socket.options.linger && socket.options.linger_seconds == 0) {
    socket.connection->Abort();
  } else {
    socket.connection->Close();
  }
}

void Sockets::StopListening(SocketFile& socket) {
  listening_.erase(&socket);
  CloseListener(std::exchange(socket.listener, nullptr));
  for (const auto& waiting : socket.accept_queue) {
    if (waiting->connection == nullptr) continue;
    waiting->connection->Abort();  // nobody will ever read it
    waiting->connection->set_context(nullptr);
  }
  socket.accept_queue.clear();
}

// The connection goes on without a socket, if it does.
void Sockets::Orphan(SocketFile& socket) {
  if (socket.connection == nullptr) return;
  socket.connection->Close();
  socket.connection->set_context(nullptr);
  socket.connection = nullptr;
}

CallResult Sockets::Shutdown(int fd, int how) {
  int error;
  const std::shared_ptr<SocketFile> socket = FindSocket(fd, &error);
  if (error != 0) return Failure(error);
  if (how != SHUT_RD && how != SHUT_WR && how != SHUT_RDWR) return Failure(EINVAL);
  const bool read = how != SHUT_WR;
  if (socket->phase == Phase::kFresh || socket->phase == Phase::kDead) return Failure(ENOTCONN);
  if (socket->phase == Phase::kListening) {
    if (!read) return Success();
    StopListening(*socket);
    socket->phase = Phase::kFresh;
    ++socket->read_edges;
    socket->Tell();
    return Finish(Success());
  }
  if (read && !std::exchange(socket->read_shut, true) && settings_.sockets.bsd) socket->connection->ShutdownRead();
  if (how != SHUT_RD && !std::exchange(socket->write_shut, true)) socket->connection->ShutdownWrite();
  ++socket->read_edges;
  ++socket->write_edges;
  socket->Tell();
  return Finish(Success());
}

CallResult Sockets::GetSockName(int fd, sockaddr* address, socklen_t* length) {
  int error;
  const std::shared_ptr<SocketFile> socket = FindSocket(fd, &error);
  if (error != 0) return Failure(error);
  if (address == nullptr) return Failure(EFAULT);
  error = WriteAddress(socket->local, address, length);
  return error == 0 ? Success() : Failure(error);
}

CallResult Sockets::GetPeerName(int fd, sockaddr* address, socklen_t* length) {
  int error;
  const std::shared_ptr<SocketFile> socket = FindSocket(fd, &error);
  if (error != 0) return Failure(error);
  if (socket->phase != Phase::kConnected) return Failure(ENOTCONN);
  if (address == nullptr) return Failure(EFAULT);
  error = WriteAddress(socket->remote, address, length);
  return error == 0 ? Success() : Failure(error);
}

}  // namespace luna::tcp::posix
