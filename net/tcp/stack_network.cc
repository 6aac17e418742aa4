// What the network says about connections, pushed in from the outside.

#include <algorithm>
#include <optional>

#include "luna/net/tcp/stack.h"
#include "luna/net/wire/icmpv4.h"

namespace luna::tcp {

void Stack::OnIcmpError(const IcmpError& error, Time now) {
  Connection* found = table_.Find(error.tuple);
  if (found == nullptr) {
    core_.drops.Count(stats::DropReason::kTcpNoConnection);
    return;
  }
  Connection& connection = *found;
  const uint32_t events = connection.OnNetworkError(error.error, error.seq, error.mtu, now);
  if (connection.finished_) Settle(connection, now);
  if (events != 0) connection.Post(events);
}

void Stack::OnIcmp(absl::Span<const uint8_t> message, Time now) {
  wire::Icmpv4Header header;
  if (wire::Parse(message, &header) != wire::ParseResult::kOk) {
    core_.drops.Count(stats::DropReason::kIcmpMalformed);
  } else if (const std::optional<IcmpError> error = ParseIcmpError(message)) {
    OnIcmpError(*error, now);
  } else {
    core_.drops.Count(stats::DropReason::kIcmpUnsupported);
  }
}

void Stack::OnPathMtu(const wire::IpAddress& remote, uint32_t mtu, Time now) {
  mtu = std::min(std::max(mtu, kLeastMtu), core_.config.mtu);
  if (mtu == core_.config.mtu) {
    path_mtus_.erase(remote);
  } else if (path_mtus_.size() < kMostPathMtus || path_mtus_.contains(remote)) {
    path_mtus_[remote] = mtu;
  }
  table_.ForEach([&](Connection& connection) {
    if (connection.tuple().remote.address == remote && !connection.finished_) connection.SetRouteMtu(mtu, now);
  });
}

void Stack::OnRouteMtu(Connection& connection, uint32_t mtu, Time now) {
  mtu = std::min(std::max(mtu, kLeastMtu), PathMtu(connection.tuple().remote.address));
  if (connection.finished_ || mtu == connection.route_mtu_) return;
  connection.SetRouteMtu(mtu, now);
}

uint32_t Stack::PathMtu(const wire::IpAddress& remote) const {
  const auto found = path_mtus_.find(remote);
  return found == path_mtus_.end() ? core_.config.mtu : found->second;
}

}  // namespace luna::tcp
