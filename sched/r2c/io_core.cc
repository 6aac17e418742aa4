#include "luna/sched/r2c/io_core.h"

#include <errno.h>
#include <poll.h>

#include <algorithm>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/status/status.h"
#include "glog/logging.h"

namespace luna::r2c {
namespace {

constexpr Duration kRetryAfter = Duration::Microseconds(20);

}  // namespace

// --- The application's side ---

bool RemoteConnection::Send(zbuf::ZChain&& data) {
  const size_t bytes = data.bytes();
  ToIo message = {.kind = ToIo::Kind::kSend, .id = id_, .data = std::move(data)};
  if (closed_ || uncredited_ >= thread_.options_.send_bytes || !thread_.Give(std::move(message))) {
    data = std::move(message.data);  // it stays with the caller
    if (!closed_ && !std::exchange(wants_room_, true)) thread_.want_room_.insert(id_);
    return false;
  }
  uncredited_ += bytes;
  return true;
}

void RemoteConnection::ShutdownWrite() { thread_.GiveOrKeep({.kind = ToIo::Kind::kShutdownWrite, .id = id_}); }

void RemoteConnection::Close() {
  if (!std::exchange(closed_, true)) thread_.GiveOrKeep({.kind = ToIo::Kind::kClose, .id = id_});
}

AppThread::AppThread(const IoCoreOptions& options, std::unique_ptr<Bell> bell, std::function<bool()> announce)
    : options_(options),
      bell_(std::move(bell)),
      to_app_(options.ring_messages),
      to_io_(options.ring_messages),
      announce_(std::move(announce)) {}

bool AppThread::Give(ToIo&& message) {
  const bool given = to_io_.TryPush(std::move(message));
  ring_was_full_ |= !given;
  Announce();
  return given;
}

// Once until the worker looks. A full mailbox: the next round tries again.
void AppThread::Announce() {
  if (announced_.exchange(true, std::memory_order_acq_rel)) return;
  if (!announce_()) announced_.store(false, std::memory_order_release);
}

void AppThread::GiveOrKeep(ToIo message) {
  if (!kept_.empty() || !Give(std::move(message))) kept_.push_back(std::move(message));
}

void AppThread::Run(RemoteHandler& handler) {
  int idle = 0;
  while (!stop_.load(std::memory_order_acquire)) {
    idle = RunOnce(handler) ? 0 : idle + 1;
    if (idle > options_.spins) Block();
  }
}

bool AppThread::RunOnce(RemoteHandler& handler) {
  if (!to_io_.empty()) Announce();
  bool any = Retry(handler);
  ToApp message;
  for (size_t n = 0; n < to_app_.capacity() && to_app_.TryPop(&message); ++n) {
    counters_.messages.Increment();
    Handle(handler, std::move(message));
    message = ToApp();
    any = true;
  }
  return any;
}

void AppThread::Handle(RemoteHandler& handler, ToApp message) {
  if (message.kind == ToApp::Kind::kAccepted) {
    auto& made = connections_[message.id] = absl::WrapUnique(new RemoteConnection(*this, message.id));
    return handler.OnAccepted(*made);
  }
  RemoteConnection& connection = *connections_.at(message.id);
  switch (message.kind) {
    case ToApp::Kind::kAccepted:
      break;
    case ToApp::Kind::kData:
      if (!connection.closed_) handler.OnReadable(connection, std::move(message.data));
      break;
    case ToApp::Kind::kCredit:
      connection.uncredited_ -= message.bytes;
      break;
    case ToApp::Kind::kPeerClosed:
      if (!connection.closed_) handler.OnPeerClosed(connection);
      break;
    case ToApp::Kind::kFinish:
      if (!connection.closed_) handler.OnFinish(connection);
      break;
    case ToApp::Kind::kClosed:
      connection.closed_ = true;
      handler.OnClosed(connection);
      want_room_.erase(message.id);
      connections_.erase(message.id);
      break;
  }
}

bool AppThread::Retry(RemoteHandler& handler) {
  bool any = false;
  while (!kept_.empty() && Give(std::move(kept_.front()))) {
    kept_.pop_front();
    any = true;
  }
  if (to_io_.size() > to_io_.capacity() / 2) return any;
  ring_was_full_ = !kept_.empty();
  std::vector<RemoteConnection*> ready;
  for (const uint64_t id : want_room_) {
    RemoteConnection& connection = *connections_.at(id);
    if (connection.uncredited_ <= options_.send_bytes / 2) ready.push_back(&connection);
  }
  for (RemoteConnection* connection : ready) {
    want_room_.erase(connection->id_);
    connection->wants_room_ = false;
    if (!connection->closed_) handler.OnWritable(*connection);
  }
  return any || !ready.empty();
}

// Credit comes as a message; of room in a ring that was full nobody tells, so then the sleep is short.
void AppThread::Block() {
  constexpr int kWhileRingIsFullMs = 1;
  const bool waits_for_ring = ring_was_full_ || !to_io_.empty();
  bell_->Expect();
  if (to_app_.empty() && !stop_.load(std::memory_order_acquire)) {
    counters_.blocked.Increment();
    pollfd fd = {.fd = bell_->fd(), .events = POLLIN, .revents = 0};
    const int ready = poll(&fd, 1, waits_for_ring ? kWhileRingIsFullMs : -1);
    PCHECK(ready >= 0 || errno == EINTR) << "poll";
  }
  (void)bell_->Answer();
}

// --- The I/O thread's side ---

absl::StatusOr<std::unique_ptr<IoCore>> IoCore::Create(Worker& worker, const IoCoreOptions& options) {
  CHECK(options.threads > 0 && worker.mailbox() != nullptr);
  std::unique_ptr<IoCore> core(new IoCore(worker, options));
  for (size_t i = 0; i < options.threads; ++i) {
    absl::StatusOr<std::unique_ptr<Bell>> bell = Bell::Create();
    if (!bell.ok()) return bell.status();
    const auto announce = [mailbox = worker.mailbox(), self = core->self_, i] {
      return mailbox->Post([self, i](Worker&) {
        if (*self != nullptr) (*self)->TakeFrom((*self)->thread(i));
      });
    };
    core->threads_.push_back(absl::WrapUnique(new AppThread(options, *std::move(bell), announce)));
  }
  return core;
}

IoCore::~IoCore() {
  Stop();
  *self_ = nullptr;
  worker_.Cancel(retry_timer_);
  worker_.Detach(*this);
}

void IoCore::AskToFinish() {
  for (auto next = links_.begin(); next != links_.end();) {
    auto& [id, link] = *next++;  // one that has ended may go
    link.finish = true;
    HandOnOrWait(id, link);
  }
}

void IoCore::Stop() {
  for (const auto& thread : threads_) {
    thread->stop_.store(true, std::memory_order_release);
    thread->bell_->Ring();
  }
}

void IoCore::OnAccepted(tcp::Connection& connection) {
  const uint64_t id = next_id_++;
  connection.set_context(reinterpret_cast<void*>(static_cast<uintptr_t>(id)));
  Link& link = links_[id] = {.connection = &connection, .thread = threads_[next_thread_++ % threads_.size()].get()};
  HandOnOrWait(id, link);
}

void IoCore::OnReadable(tcp::Connection& connection, zbuf::ZChain) {
  Link& link = links_.at(IdOf(connection));
  link.readable = true;
  HandOnOrWait(IdOf(connection), link);
}

void IoCore::OnWritable(tcp::Connection& connection) {
  Link& link = links_.at(IdOf(connection));
  Send(link);
  HandOnOrWait(IdOf(connection), link);
}

void IoCore::OnPeerClosed(tcp::Connection& connection) {
  Link& link = links_.at(IdOf(connection));
  link.readable = link.peer_closed = true;
  HandOnOrWait(IdOf(connection), link);
}

void IoCore::OnClosed(tcp::Connection& connection, tcp::CloseReason) {
  const auto found = links_.find(IdOf(connection));
  Link& link = found->second;
  link.left_over = connection.Read();
  link.readable = false;
  link.connection = nullptr;
  link.unsent.clear();
  link.closed = true;
  HandOnOrWait(found->first, link);
}

bool IoCore::HandOn(uint64_t id, Link& link) {
  const auto tell = [&](ToApp::Kind kind, zbuf::ZChain data = {}, size_t bytes = 0) {
    if (!link.thread->to_app_.TryPush({.kind = kind, .id = id, .data = std::move(data), .bytes = bytes})) return false;
    link.thread->bell_->Ring();
    return true;
  };
  if (link.accepted && !tell(ToApp::Kind::kAccepted)) return false;
  link.accepted = false;
  if (link.credit > 0 && !tell(ToApp::Kind::kCredit, {}, link.credit)) return false;
  link.credit = 0;
  if (link.readable && options_.hold_reads_while_send_full && !link.unsent.empty()) return true;
  // Not taken before there is room for it: what stays in TCP closes the window. This thread alone fills the ring.
  if (link.readable && link.thread->to_app_.size() == link.thread->to_app_.capacity()) return false;
  if (std::exchange(link.readable, false)) {
    zbuf::ZChain data = link.connection->Read();
    if (!data.empty()) CHECK(tell(ToApp::Kind::kData, std::move(data)));
  }
  if (!link.left_over.empty() && link.thread->to_app_.size() == link.thread->to_app_.capacity()) return false;
  if (!link.left_over.empty()) CHECK(tell(ToApp::Kind::kData, std::exchange(link.left_over, {})));
  if (link.peer_closed && !tell(ToApp::Kind::kPeerClosed)) return false;
  link.peer_closed = false;
  if (link.finish && !tell(ToApp::Kind::kFinish)) return false;
  link.finish = false;
  return !link.closed || tell(ToApp::Kind::kClosed);
}

void IoCore::HandOnOrWait(uint64_t id, Link& link) {
  if (!HandOn(id, link)) {
    if (std::exchange(link.is_pending, true)) return;
    if (pending_.empty()) worker_.Arm(retry_timer_, worker_.now() + kRetryAfter);
    pending_.push_back(id);
  } else if (link.closed) {
    links_.erase(id);
  }
}

void IoCore::Send(Link& link) {
  if (link.connection == nullptr) return;
  while (!link.unsent.empty()) {
    const size_t bytes = link.unsent.front().bytes();
    const tcp::SendResult result = link.connection->Send(std::move(link.unsent.front()));
    if (result == tcp::SendResult::kBackpressure) return;  // OnWritable comes
    link.unsent.pop_front();
    link.credit += bytes;
  }
  if (std::exchange(link.shutdown, false)) link.connection->ShutdownWrite();
  if (std::exchange(link.close, false)) link.connection->Close();
}

void IoCore::Take(ToIo message) {
  const auto found = links_.find(message.id);
  if (found == links_.end()) return;  // it has ended meanwhile
  Link& link = found->second;
  switch (message.kind) {
    case ToIo::Kind::kSend:
      if (link.connection != nullptr) link.unsent.push_back(std::move(message.data));
      break;
    case ToIo::Kind::kShutdownWrite:
      link.shutdown = true;
      break;
    case ToIo::Kind::kClose:
      link.close = true;
      break;
  }
  Send(link);
  HandOnOrWait(message.id, link);
}

void IoCore::TakeFrom(AppThread& thread) {
  thread.announced_.exchange(false, std::memory_order_acq_rel);  // before the look: what comes behind it is announced
  ToIo message;
  while (thread.to_io_.TryPop(&message)) {
    Take(std::move(message));
    message = ToIo();
  }
}

void IoCore::RetryPending() {
  for (const uint64_t id : std::exchange(pending_, {})) {
    const auto found = links_.find(id);
    if (found == links_.end()) continue;  // an event has told all of it meanwhile
    found->second.is_pending = false;
    HandOnOrWait(id, found->second);
  }
}

}  // namespace luna::r2c
