// How a worker listens, connects, lets go of handlers and ends.

#include <utility>
#include <vector>

#include "luna/sched/r2c/worker.h"

namespace luna::r2c {
namespace {

// How long Drain() stays after the last connection: for TIME-WAIT's sake (RFC 9293 says 2 MSL; a process that ends
// cannot) and because a device may drop what its peer has not yet taken when it goes (memif does).
constexpr Duration kShortestLinger = Duration::Milliseconds(20);
constexpr Duration kLongestLinger = Duration::Milliseconds(100);

}  // namespace

Worker::Attachment* Worker::Attach(Handler& handler, const Delivery& delivery) {
  for (Attachment& attachment : attachments_) {
    if (attachment.handler == &handler && attachment.delivery == delivery) return &attachment;
  }
  attachments_.push_back({&handler, delivery});
  return &attachments_.back();
}

absl::Status Worker::Listen(const wire::Endpoint& local, Handler& handler, const Delivery& delivery, uint32_t backlog) {
  return Listen(local, handler, delivery, {.backlog = backlog}).status();
}

absl::StatusOr<tcp::Listener*> Worker::Listen(const wire::Endpoint& local, Handler& handler, const Delivery& delivery,
                                              tcp::ListenOptions options) {
  thread_.Check("Worker::Listen");
  options.owner = Attach(handler, delivery);
  absl::StatusOr<tcp::Listener*> listener = parts_.stack->Listen(local, options);
  if (listener.ok()) listeners_.push_back(*listener);
  return listener;
}

void Worker::StopListening(tcp::Listener* listener) {
  if (std::erase(listeners_, listener) > 0) parts_.stack->StopListening(listener);
}

void Worker::StopListening() {
  thread_.Check("Worker::StopListening");
  for (tcp::Listener* listener : listeners_) parts_.stack->StopListening(listener);
  listeners_.clear();
}

absl::StatusOr<tcp::Connection*> Worker::Connect(const wire::Endpoint& remote, Handler& handler,
                                                 const Delivery& delivery) {
  thread_.Check("Worker::Connect");
  absl::StatusOr<wire::IpAddress> source = parts_.egress->SelectSource(remote.address);
  if (!source.ok()) return source.status();
  absl::StatusOr<tcp::Connection*> connection =
      parts_.stack->Connect({*source, 0}, remote, Attach(handler, delivery), now_);
  if (connection.ok()) FollowRoute(**connection);
  return connection;
}

absl::StatusOr<tcp::Connection*> Worker::Connect(const wire::Endpoint& local, const wire::Endpoint& remote,
                                                 Handler& handler, const Delivery& delivery,
                                                 const tcp::ConnectionOptions& options) {
  thread_.Check("Worker::Connect");
  absl::StatusOr<tcp::Connection*> connection =
      parts_.stack->Connect(local, remote, Attach(handler, delivery), now_, options);
  if (connection.ok()) FollowRoute(**connection);
  return connection;
}

Handler& Worker::Nobody() {
  class Deaf final : public Handler {
    void OnReadable(tcp::Connection&, zbuf::ZChain) override {}
  };
  static auto* const nobody = new Deaf;
  return *nobody;
}

void Worker::Detach(Handler& handler) {
  thread_.Check("Worker::Detach");
  const auto is_its = [&handler](const void* owner) {
    return owner != nullptr && static_cast<const Attachment*>(owner)->handler == &handler;
  };
  for (tcp::Listener* listener : std::vector<tcp::Listener*>(listeners_)) {
    if (is_its(listener->options().owner)) StopListening(listener);
  }
  std::vector<tcp::Connection*> open;
  parts_.stack->ForEachConnection([&](tcp::Connection& connection) {
    if (is_its(connection.owner())) open.push_back(&connection);
  });
  for (tcp::Connection* connection : open) connection->Abort();
  for (Attachment& attachment : attachments_) {
    if (attachment.handler == &handler) attachment.handler = &Nobody();
  }
}

void Worker::Run(const std::atomic<bool>& stop) {
  while (!stop.load(std::memory_order_relaxed)) RunOnce();
}

size_t Worker::Drain(Duration limit) {
  thread_.Check("Worker::Drain");
  StopListening();
  std::vector<tcp::Connection*> open;
  parts_.stack->ForEachConnection([&open](tcp::Connection& connection) { open.push_back(&connection); });
  // A FIN, not Close(): a request that is on its way would be answered with a reset then.
  for (tcp::Connection* connection : open) {
    if (tcp::CanSend(connection->state())) {
      connection->ShutdownWrite();
    } else {
      connection->Close();
    }
  }
  const Time deadline = parts_.clock->Now() + limit;
  while (parts_.stack->connections() > 0 && now_ < deadline) RunOnce();

  open.clear();
  parts_.stack->ForEachConnection([&open](tcp::Connection& connection) { open.push_back(&connection); });
  for (tcp::Connection* connection : open) connection->Abort();
  // Let the last segments out, and answer peers that did not get our last acknowledgement, before the device goes.
  const Time linger_start = parts_.clock->Now();
  do {
    RunOnce();
  } while (now_ - linger_start < kShortestLinger ||
           ((!frames_.empty() || parts_.io->Reclaim() > 0 || parts_.stack->time_wait() > 0) &&
            now_ - linger_start < kLongestLinger));
  frames_.clear();
  return open.size();
}

}  // namespace luna::r2c
