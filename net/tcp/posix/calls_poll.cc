// poll, epoll, pipe, splice and fcntl.

#include <errno.h>
#include <fcntl.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "luna/net/tcp/posix/file.h"
#include "luna/net/tcp/posix/sockets.h"

namespace luna::tcp::posix {
namespace {

// Whether `file` is an epoll set that holds `wanted`, or holds one that does.
bool Watches(const File* file, const EpollFile* wanted) {
  if (file == nullptr || file->kind != File::Kind::kEpoll) return false;
  if (file == wanted) return true;
  const auto& items = static_cast<const EpollFile*>(file)->items;
  return std::any_of(items.begin(), items.end(),
                     [wanted](const auto& entry) { return Watches(entry.second.file.lock().get(), wanted); });
}

Duration FromMilliseconds(int timeout_ms) {
  return timeout_ms < 0 ? Duration::Infinite() : Duration::Milliseconds(timeout_ms);
}

}  // namespace

// Whoever looks whether there is room, and finds none, will be told of it.
void Sockets::NoteFullness(File* file) {
  if (file == nullptr || file->kind != File::Kind::kSocket) return;
  auto& socket = static_cast<SocketFile&>(*file);
  if (!socket.SendQueueHasRoom()) WantRoom(socket);
}

CallResult Sockets::Poll(pollfd* fds, nfds_t count, int timeout_ms) {
  if (fds == nullptr && count > 0) return Failure(EFAULT);
  int ready = 0;
  for (nfds_t i = 0; i < count; ++i) {
    fds[i].revents = 0;
    if (fds[i].fd < 0) continue;
    const std::shared_ptr<File> file = Find(fds[i].fd);
    const auto asked = static_cast<uint16_t>(fds[i].events) | uint32_t{POLLERR | POLLHUP};
    const uint32_t events = file == nullptr ? uint32_t{POLLNVAL} : file->Ready() & asked;
    NoteFullness(file.get());
    fds[i].revents = static_cast<int16_t>(events);
    if (events != 0) ++ready;
  }
  const int key = count > 0 ? fds[0].fd : -1;
  if (ready > 0) return Done(Op::kPoll, key, Success(ready));
  return Block(Op::kPoll, key, FromMilliseconds(timeout_ms), Success(0));
}

CallResult Sockets::EpollCreate(int flags) {
  auto epoll = std::make_shared<EpollFile>();
  epoll->close_on_exec = (flags & EPOLL_CLOEXEC) != 0;
  const int fd = AddFile(std::move(epoll));
  return fd < 0 ? Failure(EMFILE) : Success(fd);
}

CallResult Sockets::EpollCtl(int epoll_fd, int operation, int fd, const epoll_event* event) {
  const std::shared_ptr<File> file = Find(epoll_fd);
  const std::shared_ptr<File> target = Find(fd);
  if (file == nullptr || target == nullptr) return Failure(EBADF);
  if (operation != EPOLL_CTL_DEL && event == nullptr) return Failure(EFAULT);
  if (file->kind != File::Kind::kEpoll || target == file) return Failure(EINVAL);
  auto& epoll = static_cast<EpollFile&>(*file);
  const auto found = epoll.items.find(fd);
  // A number that was closed and given out again is another file.
  const bool known = found != epoll.items.end() && found->second.file.lock() == target;
  switch (operation) {
    case EPOLL_CTL_ADD:
      if (known) return Failure(EEXIST);
      break;
    case EPOLL_CTL_MOD:
      if (!known) return Failure(ENOENT);
      break;
    case EPOLL_CTL_DEL:
      if (!known) return Failure(ENOENT);
      target->LeaveEpoll(&epoll);
      epoll.items.erase(found);
      return Success();
    default:
      return Failure(EINVAL);
  }
  if (operation == EPOLL_CTL_ADD && Watches(target.get(), &epoll)) return Failure(ELOOP);
  target->JoinEpoll(std::static_pointer_cast<EpollFile>(file), fd);
  const uint64_t listing = known ? found->second.listing : 0;
  epoll.items[fd] = {.file = target, .event = *event, .listing = listing};
  epoll.List(fd);
  NoteFullness(target.get());
  return Finish(Success());
}

// Looks at what was told to be ready, oldest first, and once at each. What is ready as long as it lasts (neither
// EPOLLET nor, until it is armed again, EPOLLONESHOT) goes behind the others.
int Sockets::CollectEvents(EpollFile& epoll, epoll_event* events, int capacity) {
  int count = 0;
  for (size_t n = epoll.listed.size(); n > 0 && count < capacity; --n) {
    const auto [fd, listing] = epoll.listed.front();
    epoll.listed.pop_front();
    const auto found = epoll.items.find(fd);
    if (found == epoll.items.end() || found->second.listing != listing) continue;
    EpollFile::Item& item = found->second;
    item.listing = 0;
    const std::shared_ptr<File> file = item.file.lock();
    if (file == nullptr) {
      epoll.items.erase(found);
      continue;
    }
    const uint32_t ready = EpollFile::Report(item);
    if (ready != 0) {
      events[count].events = ready;
      events[count].data = item.event.data;
      ++count;
      item.read_edges = file->read_edges;
      item.write_edges = file->write_edges;
      item.disarmed = (item.event.events & EPOLLONESHOT) != 0;
    } else if ((item.event.events & EPOLLOUT) != 0) {
      NoteFullness(file.get());
    }
    if (!file->tells || (ready != 0 && !item.disarmed && (item.event.events & EPOLLET) == 0)) epoll.List(fd);
  }
  return count;
}

CallResult Sockets::EpollWait(int epoll_fd, epoll_event* events, int capacity, int timeout_ms) {
  const std::shared_ptr<File> file = Find(epoll_fd);
  if (file == nullptr) return Failure(EBADF);
  if (file->kind != File::Kind::kEpoll || capacity <= 0) return Failure(EINVAL);
  if (events == nullptr) return Failure(EFAULT);
  const int count = CollectEvents(static_cast<EpollFile&>(*file), events, capacity);
  if (count > 0) return Done(Op::kEpoll, epoll_fd, Success(count));
  return Block(Op::kEpoll, epoll_fd, FromMilliseconds(timeout_ms), Success(0));
}

CallResult Sockets::Pipe(int fds[2], int flags) {
  if (fds == nullptr) return Failure(EFAULT);
  if ((flags & ~(O_NONBLOCK | O_CLOEXEC)) != 0) return Failure(EINVAL);
  const auto buffer = std::make_shared<PipeBuffer>();
  for (const bool reader : {true, false}) {
    auto end = std::make_shared<PipeFile>(buffer, reader);
    end->flags = (reader ? O_RDONLY : O_WRONLY) | (flags & O_NONBLOCK);
    end->close_on_exec = (flags & O_CLOEXEC) != 0;
    const int fd = AddFile(std::move(end));
    if (fd < 0) {
      if (!reader) Close(fds[0]);
      return Failure(EMFILE);
    }
    fds[reader ? 0 : 1] = fd;
  }
  return Success();
}

// By copying; one end must be a pipe, as the system call demands.
CallResult Sockets::Splice(int in, loff_t* in_offset, int out, loff_t* out_offset, size_t size, unsigned flags) {
  const std::shared_ptr<File> source = Find(in);
  const std::shared_ptr<File> sink = Find(out);
  if (source == nullptr || sink == nullptr) return Failure(EBADF);
  if (source->kind != File::Kind::kPipe && sink->kind != File::Kind::kPipe) return Failure(EINVAL);
  if (in_offset != nullptr || out_offset != nullptr) return Failure(ESPIPE);
  if (source->kind == File::Kind::kPipe) return SpliceFromPipe(in, static_cast<PipeFile&>(*source), out, size, flags);
  auto& pipe = static_cast<PipeFile&>(*sink);
  if (pipe.reader) return Failure(EBADF);
  std::vector<char> bytes(std::min(size, PipeBuffer::kCapacity - pipe.buffer->bytes.size()));
  const CallResult got = Recv(in, bytes.data(), bytes.size(), 0);
  if (got.ok()) pipe.buffer->bytes.append(bytes.data(), static_cast<size_t>(got.value));
  return got;
}

CallResult Sockets::SpliceFromPipe(int in, PipeFile& pipe, int out, size_t size, unsigned flags) {
  if (!pipe.reader) return Failure(EBADF);
  const size_t n = std::min(size, pipe.buffer->bytes.size());
  if (n == 0) {
    if (!pipe.buffer->has_writer || size == 0) return Done(Op::kSplice, in, Success());
    const bool waits = (flags & SPLICE_F_NONBLOCK) == 0 && (pipe.flags & O_NONBLOCK) == 0;
    return Block(Op::kSplice, in, waits ? Duration::Infinite() : Duration::Zero(), Failure(EAGAIN));
  }
  const int more = (flags & SPLICE_F_MORE) != 0 ? MSG_MORE : 0;
  const std::string bytes = pipe.buffer->bytes.substr(0, n);
  const CallResult sent =
      Find(out)->kind == File::Kind::kSocket ? Send(out, bytes.data(), n, more) : Write(out, bytes.data(), n);
  if (sent.ok()) pipe.buffer->bytes.erase(0, static_cast<size_t>(sent.value));
  return sent;
}

CallResult Sockets::Fcntl(int fd, int command, intptr_t argument) {
  const std::shared_ptr<File> file = Find(fd);
  if (file == nullptr) return Failure(EBADF);
  constexpr int kSettable = O_APPEND | O_ASYNC | O_DIRECT | O_NOATIME | O_NONBLOCK;
  switch (command) {
    case F_GETFL:
      return Success(file->flags);
    case F_SETFL:
      file->flags = (file->flags & ~kSettable) | (static_cast<int>(argument) & kSettable);
      return Success();
    case F_GETFD:
      return Success(file->close_on_exec ? FD_CLOEXEC : 0);
    case F_SETFD:
      file->close_on_exec = (argument & FD_CLOEXEC) != 0;
      return Success();
    default:
      return Failure(EINVAL);
  }
}

}  // namespace luna::tcp::posix
