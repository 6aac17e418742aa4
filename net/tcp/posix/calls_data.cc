// read, write and their kin.

#include <errno.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include "luna/net/tcp/posix/file.h"
#include "luna/net/tcp/posix/sockets.h"

namespace luna::tcp::posix {
namespace {

using Phase = SocketFile::Phase;

// A write looks at the limit of the send queue once for each piece, as a Linux host does once for each buffer that it
// fills: what is queued may pass the limit by less than a piece.
constexpr size_t kWritePieceBytes = 20000;

// IOV_MAX.
constexpr int kMostVectors = 1024;

size_t TotalOf(absl::Span<const iovec> iov) {
  size_t total = 0;
  for (const iovec& v : iov) total += v.iov_len;
  return total;
}

bool HasNull(absl::Span<const iovec> iov) {
  return std::any_of(iov.begin(), iov.end(), [](const iovec& v) { return v.iov_base == nullptr && v.iov_len != 0; });
}

// Calls use(piece) for the parts of `iov` that lie in [offset, offset + size).
template <typename Use>
void ForRange(absl::Span<const iovec> iov, size_t offset, size_t size, Use use) {
  for (const iovec& v : iov) {
    if (size == 0) return;
    if (offset >= v.iov_len) {
      offset -= v.iov_len;
      continue;
    }
    const size_t n = std::min(v.iov_len - offset, size);
    use(absl::Span<std::byte>(static_cast<std::byte*>(v.iov_base) + offset, n));
    offset = 0;
    size -= n;
  }
}

void CopyOut(const zbuf::ZChain& chain, absl::Span<const iovec> iov, size_t offset, size_t size) {
  size_t at = 0;
  ForRange(iov, offset, size, [&](absl::Span<std::byte> piece) {
    chain.CopyTo(piece, at);
    at += piece.size();
  });
}

// TCP_INQ: what waits to be read, and one more when that is followed by the peer's FIN.
void GiveQueueHint(const SocketFile& socket, msghdr* message) {
  const size_t room = std::exchange(message->msg_controllen, 0);
  if (!socket.options.queue_hint || socket.connection == nullptr) return;
  if (message->msg_control == nullptr || room < CMSG_LEN(sizeof(int))) {
    message->msg_flags |= MSG_CTRUNC;
    return;
  }
  const int hint = static_cast<int>(socket.readable_bytes()) + (socket.connection->peer_closed() ? 1 : 0);
  auto* control = static_cast<cmsghdr*>(message->msg_control);
  control->cmsg_level = IPPROTO_TCP;
  control->cmsg_type = TCP_CM_INQ;
  control->cmsg_len = CMSG_LEN(sizeof(hint));
  std::memcpy(CMSG_DATA(control), &hint, sizeof(hint));
  message->msg_controllen = std::min<size_t>(room, CMSG_SPACE(sizeof(hint)));
}

// 0, or the errno of arguments that no call takes.
int CheckVectors(const iovec* iov, int64_t count) {
  if (count < 0 || count > kMostVectors) return EINVAL;
  return iov == nullptr && count > 0 ? EFAULT : 0;
}

// A read ends in front of the last urgent octet, the mark of SO_OOBINLINE.
size_t BeforeMark(const SocketFile& socket) {
  const size_t urgent = socket.connection != nullptr ? socket.connection->urgent_bytes() : 0;
  return urgent > 1 ? urgent - 1 : std::numeric_limits<size_t>::max();
}

bool NoMoreComes(const SocketFile& socket) {
  return socket.read_shut || socket.error != 0 || socket.phase == Phase::kDead ||
         (socket.connection != nullptr && socket.connection->peer_closed());
}

bool MayNotWrite(const SocketFile& socket) {
  return socket.phase == Phase::kFresh || socket.phase == Phase::kListening || socket.phase == Phase::kDead ||
         socket.write_shut;
}

}  // namespace

CallResult Sockets::ReadFile(int fd, absl::Span<const iovec> iov, int flags) {
  const std::shared_ptr<File> file = Find(fd);
  if (file == nullptr) return Failure(EBADF);
  if (file->kind == File::Kind::kSocket) return ReadSocket(fd, static_cast<SocketFile&>(*file), iov, flags);
  if (file->kind != File::Kind::kPipe) return Failure(EINVAL);
  auto& pipe = static_cast<PipeFile&>(*file);
  if (!pipe.reader) return Failure(EBADF);
  std::string& bytes = pipe.buffer->bytes;
  const size_t n = std::min(TotalOf(iov), bytes.size());
  if (n == 0 && TotalOf(iov) != 0 && pipe.buffer->has_writer) {
    const bool waits = (pipe.flags & O_NONBLOCK) == 0;
    return Block(Op::kRead, fd, waits ? Duration::Infinite() : Duration::Zero(), Failure(EAGAIN));
  }
  if (n != 0 && HasNull(iov)) return Done(Op::kRead, fd, Failure(EFAULT));
  size_t at = 0;
  ForRange(iov, 0, n, [&](absl::Span<std::byte> piece) {
    std::memcpy(piece.data(), bytes.data() + at, piece.size());
    at += piece.size();
  });
  bytes.erase(0, n);
  return Done(Op::kRead, fd, Success(static_cast<int64_t>(n)));
}

CallResult Sockets::ReadSocket(int fd, SocketFile& socket, absl::Span<const iovec> iov, int flags) {
  const size_t total = TotalOf(iov);
  if (socket.phase == Phase::kFresh || socket.phase == Phase::kListening) return Failure(ENOTCONN);
  if ((flags & MSG_OOB) != 0) return Failure(EINVAL);  // urgent octets come in line
  if (total == 0) return Done(Op::kRead, fd, Success());
  const Duration timeout = socket.ReceiveTimeout(flags);
  const bool all = (flags & MSG_WAITALL) != 0 && (flags & MSG_PEEK) == 0;
  // Only a call that waits has got somewhere before.
  size_t done = waits_.contains({Op::kRead, fd}) ? WaitFor(Op::kRead, fd, timeout).done : 0;
  const size_t available = std::min({total - done, socket.readable_bytes(), BeforeMark(socket)});
  const size_t wanted = all ? total : std::min<size_t>(total, socket.options.receive_low_water);
  const bool enough = done + available >= wanted || (available > 0 && available == BeforeMark(socket));
  const bool no_more = NoMoreComes(socket);
  if (available != 0 && (flags & MSG_TRUNC) == 0 && HasNull(iov)) return Done(Op::kRead, fd, Failure(EFAULT));
  if (available != 0 && (enough || no_more || all || timeout == Duration::Zero())) {
    Take(socket, iov, done, available, flags);
    done += available;
  }
  if (done != 0 && (enough || no_more)) return Done(Op::kRead, fd, Success(static_cast<int64_t>(done)));
  if (no_more) return Done(Op::kRead, fd, EndOfReading(socket));
  Pump();
  const CallResult at_timeout = done == 0 ? Failure(EAGAIN) : Success(static_cast<int64_t>(done));
  WaitFor(Op::kRead, fd, timeout).done = done;
  return Block(Op::kRead, fd, timeout, at_timeout);
}

// Nothing to read, and nothing will come.
CallResult Sockets::EndOfReading(SocketFile& socket) {
  // Linux: after the peer's FIN reading is done, and finds no error any more. SO_ERROR and writing still do.
  const bool reading_is_done = socket.phase == Phase::kDead && socket.peer_closed && !settings_.sockets.bsd;
  if (reading_is_done) return Success();
  if (socket.error != 0) return Failure(std::exchange(socket.error, 0));
  return Success();
}

void Sockets::Take(SocketFile& socket, absl::Span<const iovec> iov, size_t offset, size_t size, int flags) {
  const bool copy = (flags & MSG_TRUNC) == 0;
  if ((flags & MSG_PEEK) != 0) {
    const zbuf::ZChain& source =
        socket.connection != nullptr ? socket.connection->receiver().readable() : socket.left_over;
    if (copy) CopyOut(source, iov, offset, size);
    return;
  }
  const zbuf::ZChain taken =
      socket.connection != nullptr ? socket.connection->Read(size) : socket.left_over.SplitFront(size);
  if (copy) CopyOut(taken, iov, offset, size);
}

CallResult Sockets::WriteFile(int fd, absl::Span<const iovec> iov, int flags) {
  const std::shared_ptr<File> file = Find(fd);
  if (file == nullptr) return Failure(EBADF);
  if (file->kind == File::Kind::kSocket) return WriteSocket(fd, static_cast<SocketFile&>(*file), iov, flags);
  if (file->kind != File::Kind::kPipe) return Failure(EINVAL);
  auto& pipe = static_cast<PipeFile&>(*file);
  if (pipe.reader) return Failure(EBADF);
  if (!pipe.buffer->has_reader) return Done(Op::kWrite, fd, Failure(EPIPE));
  if (HasNull(iov)) return Done(Op::kWrite, fd, Failure(EFAULT));
  const bool waits = (pipe.flags & O_NONBLOCK) == 0;
  Wait& wait = WaitFor(Op::kWrite, fd, waits ? Duration::Infinite() : Duration::Zero());
  const size_t n = std::min(TotalOf(iov) - wait.done, PipeBuffer::kCapacity - pipe.buffer->bytes.size());
  ForRange(iov, wait.done, n, [&](absl::Span<std::byte> piece) {
    pipe.buffer->bytes.append(reinterpret_cast<const char*>(piece.data()), piece.size());
  });
  wait.done += n;
  const auto done = static_cast<int64_t>(wait.done);
  if (wait.done == TotalOf(iov)) return Done(Op::kWrite, fd, Success(done));
  return Block(Op::kWrite, fd, Duration::Infinite(), done == 0 ? Failure(EAGAIN) : Success(done));
}

CallResult Sockets::WriteSocket(int fd, SocketFile& socket, absl::Span<const iovec> iov, int flags) {
  const size_t total = TotalOf(iov);
  const Duration timeout = socket.SendTimeout(flags);
  const bool again = waits_.contains({Op::kWrite, fd});
  Wait& wait = WaitFor(Op::kWrite, fd, timeout);
  const auto partly = [&](int error) {
    return Done(Op::kWrite, fd, wait.done == 0 ? Failure(error) : Success(static_cast<int64_t>(wait.done)));
  };
  if (socket.error != 0 && wait.done == 0) return Done(Op::kWrite, fd, Failure(std::exchange(socket.error, 0)));
  if (MayNotWrite(socket)) return partly(EPIPE);
  if (socket.phase == Phase::kConnecting) return Block(Op::kWrite, fd, timeout, Failure(EAGAIN));
  if (HasNull(iov)) return partly(EFAULT);
  if (!again || socket.SendQueueHasRoom()) Queue(socket, iov, total, flags, &wait.done);
  if (wait.done == total) return Done(Op::kWrite, fd, Success(static_cast<int64_t>(total)));
  WantRoom(socket);
  socket.connection->set_upper_buffer_full(true);
  Pump();
  const auto done = static_cast<int64_t>(wait.done);
  return Block(Op::kWrite, fd, timeout, done == 0 ? Failure(EAGAIN) : Success(done));
}

void Sockets::Queue(SocketFile& socket, absl::Span<const iovec> iov, size_t total, int flags, size_t* done) {
  Connection& connection = *socket.connection;
  const SendFlags how = {.more = (flags & MSG_MORE) != 0, .urgent = (flags & MSG_OOB) != 0};
  while (*done < total && connection.sender().queue().bytes() < socket.send_limit() && socket.UnsentIsLow()) {
    const size_t piece = std::min(total - *done, kWritePieceBytes);
    bool whole = true;
    size_t sent = 0;
    ForRange(iov, *done, piece, [&](absl::Span<std::byte> bytes) {
      if (!whole) return;  // nothing behind a gap
      const size_t taken = connection.Send(absl::Span<const std::byte>(bytes), how);
      whole = taken == bytes.size();
      sent += taken;
    });
    *done += sent;
    if (!whole) return;
  }
}

CallResult Sockets::ReadChain(int fd, size_t limit, int flags, zbuf::ZChain* out) {
  int error;
  const std::shared_ptr<SocketFile> socket = FindSocket(fd, &error);
  if (error != 0) return Failure(error);
  if (socket->phase == Phase::kFresh || socket->phase == Phase::kListening) return Failure(ENOTCONN);
  if ((flags & ~MSG_DONTWAIT) != 0) return Failure(EINVAL);
  const size_t available = std::min({limit, socket->readable_bytes(), BeforeMark(*socket)});
  if (available > 0) {
    out->Append(socket->connection != nullptr ? socket->connection->Read(available)
                                              : socket->left_over.SplitFront(available));
    return Done(Op::kRead, fd, Success(static_cast<int64_t>(available)));
  }
  if (limit == 0) return Done(Op::kRead, fd, Success());
  if (NoMoreComes(*socket)) return Done(Op::kRead, fd, EndOfReading(*socket));
  Pump();
  return Block(Op::kRead, fd, socket->ReceiveTimeout(flags), Failure(EAGAIN));
}

CallResult Sockets::WriteChain(int fd, zbuf::ZChain* chain, int flags) {
  int error;
  const std::shared_ptr<SocketFile> socket = FindSocket(fd, &error);
  if (error != 0) return Failure(error);
  if ((flags & ~(MSG_DONTWAIT | MSG_MORE | MSG_NOSIGNAL)) != 0) return Failure(EINVAL);
  if (socket->error != 0) return Done(Op::kWrite, fd, Failure(std::exchange(socket->error, 0)));
  if (MayNotWrite(*socket)) return Done(Op::kWrite, fd, Failure(EPIPE));
  const Duration timeout = socket->SendTimeout(flags);
  if (socket->phase == Phase::kConnecting) return Block(Op::kWrite, fd, timeout, Failure(EAGAIN));
  const auto size = static_cast<int64_t>(chain->bytes());
  if (socket->SendQueueHasRoom() &&
      socket->connection->Send(std::move(*chain), {.more = (flags & MSG_MORE) != 0}) == SendResult::kOk) {
    return Done(Op::kWrite, fd, Success(size));
  }
  WantRoom(*socket);
  socket->connection->set_upper_buffer_full(true);
  Pump();
  return Block(Op::kWrite, fd, timeout, Failure(EAGAIN));
}

CallResult Sockets::Read(int fd, void* buffer, size_t size) { return Recv(fd, buffer, size, 0); }

CallResult Sockets::Recv(int fd, void* buffer, size_t size, int flags) {
  const iovec iov = {.iov_base = buffer, .iov_len = size};
  return ReadFile(fd, {&iov, 1}, flags);
}

CallResult Sockets::Readv(int fd, const iovec* iov, int count) {
  const int error = CheckVectors(iov, count);
  return error != 0 ? Failure(error) : ReadFile(fd, {iov, static_cast<size_t>(count)}, 0);
}

CallResult Sockets::RecvFrom(int fd, void* buffer, size_t size, int flags, sockaddr* address, socklen_t* length) {
  int error;
  if (FindSocket(fd, &error) == nullptr) return Failure(error);
  const CallResult result = Recv(fd, buffer, size, flags);
  if (result.ok() && address != nullptr && length != nullptr) *length = 0;  // a stream does not say
  return result;
}

CallResult Sockets::RecvMsg(int fd, msghdr* message, int flags) {
  int error;
  const std::shared_ptr<SocketFile> socket = FindSocket(fd, &error);
  if (socket == nullptr) return Failure(error);
  if (message == nullptr) return Failure(EFAULT);
  error = CheckVectors(message->msg_iov, static_cast<int64_t>(message->msg_iovlen));
  if (error != 0) return Failure(error == EINVAL ? EMSGSIZE : error);
  const CallResult result = ReadFile(fd, {message->msg_iov, message->msg_iovlen}, flags);
  if (result.ok()) {
    message->msg_namelen = 0;
    message->msg_flags = 0;
    GiveQueueHint(*socket, message);
  }
  return result;
}

CallResult Sockets::Write(int fd, const void* buffer, size_t size) { return Send(fd, buffer, size, 0); }

CallResult Sockets::Send(int fd, const void* buffer, size_t size, int flags) {
  const iovec iov = {.iov_base = const_cast<void*>(buffer), .iov_len = size};
  return WriteFile(fd, {&iov, 1}, flags);
}

CallResult Sockets::Writev(int fd, const iovec* iov, int count) {
  const int error = CheckVectors(iov, count);
  return error != 0 ? Failure(error) : WriteFile(fd, {iov, static_cast<size_t>(count)}, 0);
}

CallResult Sockets::SendTo(int fd, const void* buffer, size_t size, int flags, const sockaddr* address,
                           socklen_t length) {
  int error;
  const std::shared_ptr<SocketFile> socket = FindSocket(fd, &error);
  if (error != 0) return Failure(error);
  if ((flags & MSG_FASTOPEN) != 0) return Failure(EOPNOTSUPP);
  if (settings_.sockets.bsd && address != nullptr && socket->phase == Phase::kConnected) return Failure(EISCONN);
  (void)length;  // the address of a connected stream is not looked at
  return Send(fd, buffer, size, flags);
}

CallResult Sockets::SendMsg(int fd, const msghdr* message, int flags) {
  int error;
  if (FindSocket(fd, &error) == nullptr) return Failure(error);
  if (message == nullptr) return Failure(EFAULT);
  if ((flags & MSG_FASTOPEN) != 0) return Failure(EOPNOTSUPP);
  error = CheckVectors(message->msg_iov, static_cast<int64_t>(message->msg_iovlen));
  if (error != 0) return Failure(error == EINVAL ? EMSGSIZE : error);
  return WriteFile(fd, {message->msg_iov, message->msg_iovlen}, flags);
}

}  // namespace luna::tcp::posix
