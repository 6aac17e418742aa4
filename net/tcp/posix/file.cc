#include "luna/net/tcp/posix/file.h"

#include <fcntl.h>

#include <algorithm>

namespace luna::tcp::posix {
namespace {

constexpr uint32_t kIn = EPOLLIN | EPOLLRDNORM;
constexpr uint32_t kOut = EPOLLOUT | EPOLLWRNORM;
constexpr uint32_t kAlways = EPOLLERR | EPOLLHUP;

uint32_t When(bool condition, uint32_t events) { return condition ? events : 0; }

// What a socket that was never given a size takes before a write waits: the system would let it grow so far.
constexpr uint32_t kGrownSendBuffer = 4u << 20;

}  // namespace

SocketOptions DefaultOptions(const Settings& profile) {
  SocketOptions options;
  options.send_buffer = profile.sockets.send_buffer_bytes;
  options.receive_buffer = profile.sockets.receive_buffer_bytes;
  options.no_delay = !profile.stack.nagle;
  options.ttl = profile.stack.ttl;
  return options;
}

Duration SocketFile::SendTimeout(int call_flags) const {
  if ((flags & O_NONBLOCK) != 0 || (call_flags & MSG_DONTWAIT) != 0) return Duration::Zero();
  return options.send_timeout;
}

Duration SocketFile::ReceiveTimeout(int call_flags) const {
  if ((flags & O_NONBLOCK) != 0 || (call_flags & MSG_DONTWAIT) != 0) return Duration::Zero();
  return options.receive_timeout;
}

size_t SocketFile::readable_bytes() const {
  return connection != nullptr ? connection->readable_bytes() : left_over.bytes();
}

bool SocketFile::Readable() const {
  if (phase == Phase::kListening) return !accept_queue.empty();
  if (readable_bytes() >= std::max<size_t>(options.receive_low_water, 1)) return true;
  if (read_shut || error != 0) return true;
  if (connection != nullptr) return connection->peer_closed();
  return phase == Phase::kDead;
}

uint32_t SocketFile::send_limit() const {
  const uint32_t said = options.send_buffer_set ? options.send_buffer : kGrownSendBuffer;
  return connection == nullptr ? said : std::min(said, connection->options().send_buffer_bytes);
}

bool SocketFile::SendQueueHasRoom() const {
  if (connection == nullptr) return true;
  const uint32_t queued = connection->sender().queue().bytes();
  return queued < send_limit() && send_limit() - queued >= queued / 2 && UnsentIsLow() && connection->send_space() > 0;
}

bool SocketFile::UnsentIsLow(uint64_t factor) const {
  return factor * connection->sender().unsent_bytes() < connection->options().unsent_low_water;
}

uint32_t SocketFile::Ready() const {
  if (phase == Phase::kListening) return Readable() ? kIn : 0;
  const bool gone = phase == Phase::kDead || phase == Phase::kFresh;
  const bool read_end = read_shut || phase == Phase::kDead || (connection != nullptr && connection->peer_closed());
  const bool write_end = write_shut || phase == Phase::kDead;
  uint32_t ready = When(error != 0, EPOLLERR);
  if (gone || (read_end && write_end)) ready |= EPOLLHUP;
  if (read_end) ready |= kIn | EPOLLRDHUP;
  if (phase == Phase::kConnecting) return ready;
  if (phase != Phase::kFresh && Readable()) ready |= kIn;
  if (write_end || SendQueueHasRoom()) ready |= kOut;
  if (connection != nullptr && connection->urgent_bytes() > 0) ready |= EPOLLPRI;
  return ready;
}

void File::Tell() {
  std::erase_if(watches_, [](const Watch& watch) {
    const std::shared_ptr<EpollFile> epoll = watch.epoll.lock();
    if (epoll != nullptr) epoll->List(watch.fd);
    return epoll == nullptr;
  });
}

void File::JoinEpoll(const std::shared_ptr<EpollFile>& epoll, int fd) {
  LeaveEpoll(epoll.get());
  watches_.push_back({epoll, fd});
}

void File::LeaveEpoll(const EpollFile* epoll) {
  std::erase_if(watches_, [epoll](const Watch& watch) { return watch.epoll.lock().get() == epoll; });
}

void File::LeaveEpolls(int fd) {
  for (const Watch& watch : watches_) {
    if (const auto epoll = watch.epoll.lock()) epoll->items.erase(fd);
  }
  watches_.clear();
}

void EpollFile::List(int fd) {
  const auto found = items.find(fd);
  if (found == items.end() || found->second.listing != 0) return;
  found->second.listing = ++listings;
  listed.push_back({fd, listings});
}

uint32_t EpollFile::Report(const Item& item) {
  const std::shared_ptr<File> file = item.file.lock();
  if (file == nullptr || item.disarmed) return 0;
  const uint32_t ready = file->Ready() & (item.event.events | kAlways);
  if ((item.event.events & EPOLLET) == 0) return ready;
  const bool read_news = item.read_edges != file->read_edges && (ready & ~kOut) != 0;
  const bool write_news = item.write_edges != file->write_edges && (ready & (kOut | kAlways)) != 0;
  return read_news || write_news ? ready : 0;
}

uint32_t EpollFile::Ready() const {
  const bool any = std::any_of(listed.begin(), listed.end(), [this](const Listed& entry) {
    const auto found = items.find(entry.fd);
    return found != items.end() && found->second.listing == entry.listing && Report(found->second) != 0;
  });
  return any ? kIn : 0;
}

uint32_t PipeFile::Ready() const {
  if (reader) return When(!buffer->bytes.empty(), kIn) | When(!buffer->has_writer, EPOLLHUP);
  return When(buffer->bytes.size() < PipeBuffer::kCapacity, kOut) | When(!buffer->has_reader, EPOLLERR);
}

}  // namespace luna::tcp::posix
