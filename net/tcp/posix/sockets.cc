#include "luna/net/tcp/posix/sockets.h"

#include <errno.h>
#include <fcntl.h>

#include <algorithm>
#include <utility>

#include "luna/net/tcp/posix/file.h"

namespace luna::tcp::posix {
namespace {

constexpr int kFirstFd = 3;
constexpr int kMostFds = 1 << 20;

}  // namespace

int LowestFreeFds::Open() {
  if (free_.empty()) return next_ < end_ ? next_++ : -1;
  const int fd = free_.top();
  free_.pop();
  return fd;
}

Sockets::Sockets(const Settings& settings, FdSource* fds)
    : settings_(settings),
      own_fds_(fds == nullptr ? std::make_unique<LowestFreeFds>(kFirstFd, kMostFds) : nullptr),
      fds_(fds == nullptr ? *own_fds_ : *fds) {}

Sockets::~Sockets() = default;

absl::StatusOr<Connection*> Sockets::Open(const wire::Endpoint& local, const wire::Endpoint& remote,
                                          const ConnectionOptions& options) {
  return stack_of_sockets().Connect(local, remote, nullptr, now(), options);
}

absl::StatusOr<Listener*> Sockets::OpenListener(const wire::Endpoint& local, const ListenOptions& options) {
  return stack_of_sockets().Listen(local, options);
}

void Sockets::CloseListener(Listener* listener) { stack_of_sockets().StopListening(listener); }

CallResult Sockets::Finish(CallResult result) {
  Pump();
  return result;
}

// --- What happens ---

void Sockets::Handle(const Event& event) {
  Connection& connection = *event.connection;
  if (event.Has(EventBits::kAccepted)) OnAccepted(connection);
  auto* socket = static_cast<SocketFile*>(connection.context());
  if (socket == nullptr) return;  // closed by the application
  if (event.Has(EventBits::kConnected)) {
    socket->phase = SocketFile::Phase::kConnected;
    ++socket->write_edges;
  }
  if (event.Has(EventBits::kReadable | EventBits::kPeerClosed | EventBits::kUrgent)) ++socket->read_edges;
  if (event.Has(EventBits::kWritable)) ++socket->write_edges;
  if (event.Has(EventBits::kClosed)) OnClosed(*socket, connection);
  socket->Tell();
}

// Its context is the listener's, which may have been closed in the meantime.
void Sockets::OnAccepted(Connection& connection) {
  auto* listener = static_cast<SocketFile*>(connection.context());
  connection.set_context(nullptr);
  if (!listening_.contains(listener)) {
    connection.Abort();
    return;
  }
  auto socket = std::make_shared<SocketFile>();
  socket->phase = SocketFile::Phase::kConnected;
  socket->connect_told = true;
  socket->connection = &connection;
  socket->flags = O_RDWR;
  socket->local = connection.tuple().local;
  socket->remote = connection.tuple().remote;
  socket->bound = socket->local;
  socket->options = listener->options;
  connection.set_context(socket.get());
  listener->accept_queue.push_back(std::move(socket));
  ++listener->read_edges;
  listener->Tell();
}

void Sockets::OnClosed(SocketFile& socket, Connection& connection) {
  socket.error = ErrorOfEnd(socket, connection);
  socket.last_info = connection.Info(now());
  socket.normal_end = connection.close_reason() == CloseReason::kNormal;
  socket.peer_closed = connection.peer_closed();
  socket.left_over = connection.Read();
  socket.phase = SocketFile::Phase::kDead;
  socket.connection = nullptr;
  connection.set_context(nullptr);
  ++socket.read_edges;
  ++socket.write_edges;
}

void Sockets::WantRoom(SocketFile& socket) {
  if (std::exchange(socket.wants_room, true)) return;
  want_room_.push_back(std::static_pointer_cast<SocketFile>(socket.shared_from_this()));
}

// Who found no room, in write or poll, is told once (as Linux does: the unsent must have fallen to half of
// TCP_NOTSENT_LOWAT).
bool Sockets::NoteRoom() {
  bool any = false;
  std::erase_if(want_room_, [&any](const std::weak_ptr<SocketFile>& entry) {
    const std::shared_ptr<SocketFile> socket = entry.lock();
    if (socket == nullptr) return true;
    if (socket->connection == nullptr) {
      socket->wants_room = false;
      return true;
    }
    if (!socket->SendQueueHasRoom() || !socket->UnsentIsLow(2)) return false;
    socket->wants_room = false;
    socket->connection->set_upper_buffer_full(false);
    ++socket->write_edges;
    socket->Tell();
    any = true;
    return true;
  });
  return any;
}

// --- Descriptors ---

const Connection* Sockets::connection(int fd) const {
  const std::shared_ptr<File> file = Find(fd);
  if (file == nullptr || file->kind != File::Kind::kSocket) return nullptr;
  return static_cast<SocketFile&>(*file).connection;
}

int Sockets::AddFile(std::shared_ptr<File> file) {
  const int fd = fds_.Open();
  if (fd >= 0) files_[fd] = std::move(file);
  return fd;
}

std::shared_ptr<File> Sockets::Find(int fd) const {
  const auto found = files_.find(fd);
  return found == files_.end() ? nullptr : found->second;
}

bool Sockets::IsEpoll(int fd) const {
  const auto found = files_.find(fd);
  return found != files_.end() && found->second->kind == File::Kind::kEpoll;
}

std::shared_ptr<SocketFile> Sockets::FindSocket(int fd, int* error) const {
  std::shared_ptr<File> file = Find(fd);
  *error = file == nullptr ? EBADF : file->kind != File::Kind::kSocket ? ENOTSOCK : 0;
  return *error == 0 ? std::static_pointer_cast<SocketFile>(std::move(file)) : nullptr;
}

// --- Waiting ---

Sockets::Wait& Sockets::WaitFor(Op op, int fd, Duration timeout) {
  const auto [it, is_new] = waits_.try_emplace({op, fd});
  if (is_new) {
    it->second.since = now();
    if (timeout != Duration::Infinite()) it->second.deadline = now() + timeout;
  }
  return it->second;
}

CallResult Sockets::Block(Op op, int fd, Duration timeout, CallResult at_timeout) {
  if (WaitFor(op, fd, timeout).deadline <= now()) return Done(op, fd, at_timeout);
  return {.would_block = true};
}

CallResult Sockets::Done(Op op, int fd, CallResult result) {
  waits_.erase({op, fd});
  return Finish(result);
}

void Sockets::CancelWait(int fd) {
  std::erase_if(waits_, [fd](const auto& entry) { return entry.first.second == fd; });
}

size_t Sockets::ProgressOf(int fd) const {
  size_t done = 0;
  for (const Op op : {Op::kRead, Op::kWrite}) {
    const auto wait = waits_.find({op, fd});
    if (wait != waits_.end()) done = std::max(done, wait->second.done);
  }
  return done;
}

Time Sockets::NextWaitDeadline() const {
  Time next = Time::Infinite();
  for (const auto& [key, wait] : waits_) {
    if (wait.deadline > now()) next = std::min(next, wait.deadline);
  }
  return next;
}

void Sockets::ForgetAll(const std::function<void(Connection&)>& abandon) {
  const auto forget = [&abandon](SocketFile& socket) {
    if (socket.connection == nullptr) return;
    socket.connection->set_context(nullptr);
    abandon(*std::exchange(socket.connection, nullptr));
  };
  for (const auto& [fd, file] : files_) {
    fds_.Close(fd);
    if (file->kind != File::Kind::kSocket) continue;
    auto& socket = static_cast<SocketFile&>(*file);
    for (const auto& waiting : socket.accept_queue) forget(*waiting);
    forget(socket);
    if (socket.listener != nullptr) CloseListener(std::exchange(socket.listener, nullptr));
  }
  files_.clear();
  waits_.clear();
  listening_.clear();
  want_room_.clear();
}

}  // namespace luna::tcp::posix
