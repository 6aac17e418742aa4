#include "luna/net/tcp/testing/sockets/virtual_host.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>

#include <algorithm>
#include <set>

#include "glog/logging.h"
#include "luna/net/pmd/packet.h"
#include "luna/net/tcp/testing/sockets/call_result.h"
#include "luna/net/tcp/testing/sockets/file.h"

namespace luna::tcp::testing {
namespace {

constexpr size_t kFlushLimit = 4096;
// Rounds of one Pump() or StepTo(): more means that a deadline stays due.
constexpr int kMostRounds = 1000000;
constexpr Duration kTick = Duration::Nanoseconds(1);

class LowestFreeFd final : public FdSource {
 public:
  int Open() override {
    int fd = kFirst;
    while (used_.contains(fd)) ++fd;
    used_.insert(fd);
    return fd;
  }
  void Close(int fd) override { used_.erase(fd); }

 private:
  static constexpr int kFirst = 3;
  std::set<int> used_;
};

}  // namespace

VirtualHost::VirtualHost(const VirtualHostOptions& options)
    : profile_(options.profile),
      address_(options.address),
      own_fds_(options.fds == nullptr ? std::make_unique<LowestFreeFd>() : nullptr),
      fds_(options.fds == nullptr ? *own_fds_ : *options.fds),
      now_(options.start) {
  auto arena = zbuf::Arena::Create(pages_, {.size_bytes = options.memory_bytes, .name = "virtual host"});
  CHECK(arena.ok()) << arena.status();
  arena_ = *std::move(arena);
  slab_ = std::make_unique<zbuf::Slab>(*arena_, zbuf::SlabOptions{.name = "virtual host"});
}

VirtualHost::~VirtualHost() { VirtualHost::TearDown(); }

void VirtualHost::EnsureStack() {
  if (stack_ == nullptr) stack_ = std::make_unique<Stack>(profile_.stack, *slab_, drops_, now_);
}

absl::Status VirtualHost::SetSysctl(absl::string_view name, absl::string_view value) {
  if (name == "luna.refuse_packets") {
    set_refuse_packets(value != "0");
    return absl::OkStatus();
  }
  return ApplySysctl(name, value, &profile_);
}

Time VirtualHost::NextDeadline() const { return stack_ == nullptr ? Time::Infinite() : stack_->NextDeadline(); }

Time VirtualHost::NextWake() const {
  Time next = NextDeadline();
  for (const auto& [key, wait] : waits_) {
    if (wait.deadline > now_) next = std::min(next, wait.deadline);
  }
  return next;
}

void VirtualHost::StepTo(Time when) {
  now_ = std::max(now_, when);
  Pump();
}

void VirtualHost::AdvanceTo(Time when) {
  for (int round = 0; NextWake() <= when; ++round) {
    CHECK_LT(round, kMostRounds) << "a deadline stays due at " << now_.nanoseconds();
    if (NextWake() <= now_ && now_ + kTick > when) break;
    StepTo(std::max(NextWake(), round == 0 ? now_ : now_ + kTick));
  }
  now_ = std::max(now_, when);
  Pump();
}

bool VirtualHost::StepToNextPacket(Time cap) {
  for (int round = 0; packets_.empty(); ++round) {
    CHECK_LT(round, kMostRounds) << "a deadline stays due at " << now_.nanoseconds();
    const Time next = std::max(NextWake(), round == 0 ? now_ : now_ + kTick);
    if (next > cap) {
      now_ = std::max(now_, cap);
      return false;
    }
    StepTo(next);
  }
  return true;
}

std::optional<VirtualHost::Packet> VirtualHost::NextPacket() {
  if (packets_.empty()) return std::nullopt;
  Packet packet = std::move(packets_.front());
  packets_.pop_front();
  return packet;
}

void VirtualHost::Pump() {
  if (stack_ != nullptr) {
    for (int round = 0; round < kMostRounds; ++round) {
      while (const Event event = stack_->NextEvent(now_)) Handle(event);
      ip::OutBatch batch;
      stack_->Flush(now_, kFlushLimit, &batch);
      for (ip::OutDatagram& datagram : batch) Emit(std::move(datagram));
      stack_->Reap();
      if (batch.empty()) break;
    }
  }
  if (in_change_ || !on_change) return;
  in_change_ = true;
  on_change();
  in_change_ = false;
}

CallResult VirtualHost::Finish(CallResult result) {
  Pump();
  return result;
}

void VirtualHost::Handle(const Event& event) {
  Connection& connection = *event.connection;
  if (event.Has(EventBits::kAccepted)) OnAccepted(connection);
  auto* socket = static_cast<SocketFile*>(connection.context());
  if (socket == nullptr) return;  // closed by the application
  if (event.Has(EventBits::kConnected)) {
    socket->phase = SocketFile::Phase::kConnected;
    ++socket->write_edges;
  }
  if (event.Has(EventBits::kReadable | EventBits::kPeerClosed)) ++socket->read_edges;
  if (event.Has(EventBits::kClosed)) OnClosed(*socket, connection);
}

void VirtualHost::OnAccepted(Connection& connection) {
  const auto* owner = static_cast<SocketFile*>(connection.owner());
  for (auto& [fd, file] : files_) {
    if (file.get() != owner) continue;
    auto& listener = static_cast<SocketFile&>(*file);
    auto socket = std::make_shared<SocketFile>();
    socket->phase = SocketFile::Phase::kConnected;
    socket->connect_told = true;
    socket->connection = &connection;
    socket->flags = O_RDWR;
    socket->local = connection.tuple().local;
    socket->remote = connection.tuple().remote;
    socket->bound = socket->local;
    socket->options = listener.options;
    connection.set_context(socket.get());
    listener.accept_queue.push_back(std::move(socket));
    ++listener.read_edges;
    return;
  }
  connection.Abort();
}

void VirtualHost::OnClosed(SocketFile& socket, Connection& connection) {
  socket.error = ErrorOfEnd(socket, connection);
  socket.last_info = connection.Info(now_);
  socket.normal_end = connection.close_reason() == CloseReason::kNormal;
  socket.peer_closed = connection.peer_closed();
  socket.left_over = connection.Read();
  socket.phase = SocketFile::Phase::kDead;
  socket.connection = nullptr;
  connection.set_context(nullptr);
  ++socket.read_edges;
  ++socket.write_edges;
}

const Connection* VirtualHost::connection(int fd) const {
  const std::shared_ptr<File> file = Find(fd);
  if (file == nullptr || file->kind != File::Kind::kSocket) return nullptr;
  return static_cast<SocketFile&>(*file).connection;
}

int VirtualHost::AddFile(std::shared_ptr<File> file) {
  const int fd = fds_.Open();
  if (fd >= 0) files_[fd] = std::move(file);
  return fd;
}

std::shared_ptr<File> VirtualHost::Find(int fd) const {
  const auto found = files_.find(fd);
  return found == files_.end() ? nullptr : found->second;
}

std::shared_ptr<SocketFile> VirtualHost::FindSocket(int fd, int* error) const {
  std::shared_ptr<File> file = Find(fd);
  *error = file == nullptr ? EBADF : file->kind != File::Kind::kSocket ? ENOTSOCK : 0;
  return *error == 0 ? std::static_pointer_cast<SocketFile>(std::move(file)) : nullptr;
}

VirtualHost::Wait& VirtualHost::WaitFor(Op op, int fd, Duration timeout) {
  const auto [it, is_new] = waits_.try_emplace({op, fd});
  if (is_new) {
    it->second.since = now_;
    if (timeout != Duration::Infinite()) it->second.deadline = now_ + timeout;
  }
  return it->second;
}

CallResult VirtualHost::Block(Op op, int fd, Duration timeout, CallResult at_timeout) {
  if (WaitFor(op, fd, timeout).deadline <= now_) return Done(op, fd, at_timeout);
  return {.would_block = true};
}

CallResult VirtualHost::Done(Op op, int fd, CallResult result) {
  waits_.erase({op, fd});
  return Finish(result);
}

void VirtualHost::CancelWait(int fd) {
  std::erase_if(waits_, [fd](const auto& entry) { return entry.first.second == fd; });
}

VirtualHost::Remains VirtualHost::TearDown() {
  Remains remains{.packets = packets_.size()};
  on_change = nullptr;
  if (stack_ != nullptr) {
    remains.connections = stack_->connections();
    stack_->ForEachConnection([](Connection& connection) { connection.set_context(nullptr); });
  }
  for (const auto& [fd, file] : files_) fds_.Close(fd);
  files_.clear();
  waits_.clear();
  packets_.clear();
  stack_.reset();
  if (slab_ != nullptr) {
    slab_->DrainReturns();
    remains.objs = slab_->outstanding();
  }
  return remains;
}

}  // namespace luna::tcp::testing
