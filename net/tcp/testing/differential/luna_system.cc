#include "luna/net/tcp/testing/differential/luna_system.h"

#include <poll.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "luna/net/tcp/connection.h"
#include "luna/net/tcp/stack.h"
#include "luna/net/tcp/state.h"
#include "luna/net/tcp/testing/sockets/profile.h"

namespace luna::tcp::differential {

absl::Status LunaSystem::Begin(const wire::Endpoint& host, const wire::Endpoint& peer) {
  tuple_ = {.local = host, .remote = peer};
  testing::VirtualHostOptions options{.address = host.address.v4()};
  // As the kernel's route says there: no acknowledgement waits, so that none depends on when the next event comes.
  options.profile.stack.delayed_ack = Duration::Zero();
  options.profile.stack.answer_unsent_acks = true;  // so do kernels today
  options.profile.stack.congestion = CongestionAlgorithm::kNewReno;
  // The kernel's limits are off, too: it counts them in real time.
  options.profile.stack.challenge_acks_per_second = 1u << 30;
  options.profile.stack.challenge_acks_per_connection = 1u << 30;
  options.profile.stack.probe_answers_per_connection = 1u << 30;
  host_ = std::make_unique<testing::VirtualHost>(options);
  return absl::OkStatus();
}

absl::Status LunaSystem::SetSysctl(absl::string_view name, absl::string_view value) {
  return host_->SetSysctl(name, value);
}

std::vector<std::string> LunaSystem::Advance(Duration duration) {
  host_->AdvanceTo(host_->now() + duration);
  std::vector<std::string> packets;
  while (auto packet = host_->NextPacket()) packets.push_back(std::move(packet->bytes));
  return packets;
}

std::string LunaSystem::State() {
  if (host_->stack() == nullptr) return "-";
  std::string state = "-";
  host_->stack()->ForEachConnection([&](Connection& connection) {
    if (connection.tuple() == tuple_) state = std::string(Name(connection.state()));
  });
  // A host has one connection here, so a record in TIME-WAIT is its.
  return state == "-" && host_->stack()->time_wait() > 0 ? "TIME-WAIT" : state;
}

std::string LunaSystem::End() {
  const testing::VirtualHost::Remains remains = host_->TearDown();
  host_.reset();
  return remains.objs == 0 ? "" : absl::StrCat(remains.objs, " Zbuf objs did not come home");
}

CallResult LunaSystem::Poll(int fd) {
  pollfd entry{.fd = fd, .events = POLLIN | POLLOUT | POLLPRI | POLLRDHUP};
  const CallResult result = host_->Poll(&entry, 1, 0);
  return result.ok() ? testing::Success(entry.revents) : result;
}

}  // namespace luna::tcp::differential
