#include "luna/ctrl/netlink/mirror.h"

#include <linux/if.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace luna::netlink {
namespace {

// The kernel makes dump datagrams as long as the buffers it has seen, up to 32 KB.
constexpr size_t kBufferBytes = 64 << 10;
// Full dumps that Create begins before it calls the kernel's tables too restless.
constexpr uint64_t kMaxInitialDumps = 16;
constexpr int kInitialDatagrams = 64;

constexpr int kGroups[] = {RTNLGRP_LINK, RTNLGRP_NEIGH, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV4_ROUTE};

// The next hop that lies on our link, or null.
const RouteMessage::NextHop* HopOn(const RouteMessage& route, int ifindex) {
  const auto it = std::find_if(route.next_hops.begin(), route.next_hops.end(),
                               [ifindex](const auto& hop) { return hop.usable && hop.ifindex == ifindex; });
  return it == route.next_hops.end() ? nullptr : &*it;
}

// What a NUD_* state means to net/ip; kIncomplete also for states that say nothing.
ip::NeighbourState StateOf(uint16_t nud) {
  if ((nud & (NUD_PERMANENT | NUD_NOARP)) != 0) return ip::NeighbourState::kPermanent;
  if ((nud & NUD_REACHABLE) != 0) return ip::NeighbourState::kReachable;
  if ((nud & (NUD_STALE | NUD_DELAY | NUD_PROBE)) != 0) return ip::NeighbourState::kStale;
  if ((nud & NUD_FAILED) != 0) return ip::NeighbourState::kFailed;
  return ip::NeighbourState::kIncomplete;
}

// Publishes only what differs: a new snapshot makes every worker drop its caches.
template <typename T>
bool PublishIfNew(T value, ip::SnapshotBox<T>* box) {
  if (*box->Get() == value) return false;
  box->Publish(std::move(value));
  return true;
}

}  // namespace

absl::Span<const int> MirrorGroups() { return kGroups; }

KernelMirror::KernelMirror(std::unique_ptr<Socket> socket, int ifindex)
    : socket_(std::move(socket)), ifindex_(ifindex), buffer_(kBufferBytes) {}

absl::StatusOr<std::unique_ptr<KernelMirror>> KernelMirror::Create(std::unique_ptr<Socket> socket, int ifindex,
                                                                   Duration timeout) {
  std::unique_ptr<KernelMirror> mirror(new KernelMirror(std::move(socket), ifindex));
  mirror->StartDump(Step::kLink);
  while (!mirror->synced()) {
    if (mirror->step_ == Step::kStalled) return mirror->dump_error_;
    if (mirror->stats_.dumps > kMaxInitialDumps) return absl::AbortedError("the kernel's tables change all the time");
    const uint64_t before = mirror->stats_.datagrams;
    mirror->ReadSome(kInitialDatagrams);
    if (mirror->stats_.datagrams != before || mirror->synced()) continue;
    if (mirror->step_ == Step::kStalled) continue;
    if (absl::Status s = mirror->socket_->WaitReadable(timeout); !s.ok()) return s;
  }
  if (!mirror->state_.link_seen) return absl::NotFoundError(absl::StrCat("no network interface with index ", ifindex));
  mirror->PublishChanges();
  return mirror;
}

void KernelMirror::StartDump(Step step) {
  if (step == Step::kLink) {
    state_ = State{};
    state_.link.ifindex = ifindex_;
    restart_ = false;
    ++stats_.dumps;
  }
  uint16_t type = RTM_GETLINK;
  if (step == Step::kAddress) type = RTM_GETADDR;
  if (step == Step::kRoute) type = RTM_GETROUTE;
  if (step == Step::kNeighbour) type = RTM_GETNEIGH;
  dump_sequence_ = ++sequence_;
  step_ = step;
  if (absl::Status s = socket_->Send(DumpRequest(type, dump_sequence_)); !s.ok()) {
    ++stats_.dump_errors;
    dump_error_ = std::move(s);
    step_ = Step::kStalled;
  }
}

void KernelMirror::Restart() {
  if (step_ == Step::kDone) {
    StartDump(Step::kLink);
  } else {
    restart_ = true;
  }
}

void KernelMirror::Resync() { Restart(); }

void KernelMirror::FinishStep() {
  if (restart_) return StartDump(Step::kLink);
  const Step next = static_cast<Step>(static_cast<uint8_t>(step_) + 1);
  if (next != Step::kDone) return StartDump(next);
  step_ = Step::kDone;
  changed_ = true;
}

bool KernelMirror::OnReadable(int max_datagrams) {
  if (step_ == Step::kStalled) StartDump(Step::kLink);
  const bool more = ReadSome(max_datagrams);
  PublishChanges();
  return more;
}

bool KernelMirror::ReadSome(int max_datagrams) {
  for (int i = 0; i < max_datagrams; ++i) {
    const absl::StatusOr<size_t> n = socket_->Receive(absl::MakeSpan(buffer_));
    if (n.ok()) {
      if (*n == 0) return false;
      TakeDatagram(absl::MakeConstSpan(buffer_).first(*n));
    } else if (absl::IsResourceExhausted(n.status())) {
      ++stats_.overflows;
      Restart();
    } else if (absl::IsOutOfRange(n.status())) {
      // Whatever was in it, the end of a dump perhaps: do not wait for that.
      ++stats_.malformed;
      StartDump(Step::kLink);
    } else {
      dump_error_ = n.status();
      step_ = Step::kStalled;
      return false;
    }
  }
  return true;
}

void KernelMirror::TakeDatagram(absl::Span<const uint8_t> datagram) {
  ++stats_.datagrams;
  MessageReader reader(datagram);
  RawMessage message;
  while (reader.Next(&message)) {
    ++stats_.messages;
    TakeMessage(message);
  }
  if (reader.malformed()) ++stats_.malformed;
}

void KernelMirror::TakeMessage(const RawMessage& message) {
  if (message.type == NLMSG_OVERRUN) {
    ++stats_.overflows;
    return Restart();
  }
  const bool ends = message.type == NLMSG_DONE || message.type == NLMSG_ERROR;
  // Notifications are never multipart; parts of a dump that we gave up on must not be taken for news.
  if (!ends && (message.flags & NLM_F_MULTI) != 0 && message.sequence != dump_sequence_) return;
  if ((message.flags & NLM_F_DUMP_INTR) != 0 && message.sequence == dump_sequence_ && !restart_) {
    ++stats_.dump_errors;
    Restart();
  }
  if (ends) {
    TakeEnd(message);
  } else {
    Apply(message);
  }
}

void KernelMirror::TakeEnd(const RawMessage& message) {
  const int error = ParseError(message.payload).value_or(0);
  const bool dumping = step_ != Step::kDone && step_ != Step::kStalled;
  if (!dumping || message.sequence != dump_sequence_) {
    // The answer to a RequestResolve.
    if (message.type == NLMSG_ERROR && error != 0) ++stats_.refused;
    return;
  }
  if (error != 0) {
    ++stats_.dump_errors;
    dump_error_ = absl::UnavailableError(absl::StrCat("the kernel refused a netlink dump, errno ", error));
    step_ = Step::kStalled;
    return;
  }
  FinishStep();
}

bool KernelMirror::Usable(Parsed parsed) {
  if (parsed == Parsed::kMalformed) ++stats_.malformed;
  return parsed == Parsed::kOk;
}

void KernelMirror::Apply(const RawMessage& message) {
  switch (message.type) {
    case RTM_NEWLINK:
    case RTM_DELLINK:
      return ApplyLink(message);
    case RTM_NEWADDR:
    case RTM_DELADDR:
      return ApplyAddress(message);
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
      return ApplyRoute(message);
    case RTM_NEWNEIGH:
    case RTM_DELNEIGH:
      return ApplyNeighbour(message);
    default:
      return;
  }
}

void KernelMirror::ApplyLink(const RawMessage& message) {
  LinkMessage link;
  if (!Usable(ParseLink(message.payload, &link)) || link.ifindex != ifindex_) return;
  const bool exists = message.type == RTM_NEWLINK;
  const bool up = exists && (link.flags & IFF_UP) != 0 && (link.flags & IFF_RUNNING) != 0;
  const bool turned = state_.link_seen && up != state_.link.up;
  state_.link_seen = state_.link_seen || exists;
  state_.link.up = up;
  changed_ = true;
  if (exists) {
    state_.link.name = link.name;
    state_.link.mac = link.mac.value_or(wire::MacAddress());
    state_.link.mtu = link.mtu.value_or(0);
  }
  // Routes vanish with their link, and the kernel does not mention each.
  if (turned) Restart();
}

void KernelMirror::ApplyAddress(const RawMessage& message) {
  AddressMessage address;
  if (!Usable(ParseAddress(message.payload, &address)) || address.ifindex != ifindex_) return;
  std::vector<wire::Ipv4Prefix>& ours = state_.link.addresses;
  const auto it = std::find(ours.begin(), ours.end(), address.prefix);
  if (message.type == RTM_NEWADDR) {
    if (it == ours.end()) ours.push_back(address.prefix);
  } else {
    if (it != ours.end()) ours.erase(it);
    // Routes that preferred it as their source go silently.
    Restart();
  }
  changed_ = true;
}

void KernelMirror::ApplyRoute(const RawMessage& message) {
  RouteMessage parsed;
  if (!Usable(ParseRoute(message.payload, &parsed))) return;
  if (parsed.table != RT_TABLE_MAIN || parsed.tos != 0) return;
  const wire::Ipv4Prefix destination(parsed.destination.network(), parsed.destination.length());
  const RouteKey key(destination, parsed.metric);
  const bool added = message.type == RTM_NEWROUTE;
  if (added && (message.flags & NLM_F_REPLACE) != 0) {
    // The old one may have been ours even when the new one is not.
    changed_ = state_.routes.erase(key) != 0 || changed_;
  }
  const RouteMessage::NextHop* hop = HopOn(parsed, ifindex_);
  if (hop == nullptr || parsed.type != RTN_UNICAST) return;
  ip::Route route;
  route.destination = destination;
  route.gateway = hop->gateway;
  route.source = parsed.preferred_source;
  route.metric = parsed.metric;
  route.mtu = parsed.mtu;
  const auto [begin, end] = state_.routes.equal_range(key);
  const auto same =
      std::find_if(begin, end, [&route](const auto& known) { return known.second.gateway == route.gateway; });
  if (same != end) state_.routes.erase(same);
  if (added) state_.routes.emplace(key, std::move(route));
  changed_ = true;
}

void KernelMirror::ApplyNeighbour(const RawMessage& message) {
  NeighbourMessage parsed;
  if (!Usable(ParseNeighbour(message.payload, &parsed)) || parsed.ifindex != ifindex_) return;
  if ((parsed.flags & NTF_PROXY) != 0) return;
  ip::Neighbour neighbour;
  neighbour.state = StateOf(parsed.state);
  neighbour.mac = parsed.mac.value_or(wire::MacAddress());
  const bool meaningful = parsed.state != NUD_NONE && (parsed.mac.has_value() || !neighbour.usable());
  if (message.type == RTM_NEWNEIGH && meaningful) {
    state_.neighbours.Set(parsed.address, neighbour);
  } else {
    state_.neighbours.Erase(parsed.address);
  }
  changed_ = true;
}

void KernelMirror::PublishChanges() {
  if (!changed_ || !synced()) return;
  changed_ = false;
  ip::RouteTable::Builder routes;
  for (const auto& [key, route] : state_.routes) routes.Add(route);
  stats_.publications += PublishIfNew(state_.link, &link_);
  stats_.publications += PublishIfNew(routes.Build(), &routes_);
  stats_.publications += PublishIfNew(state_.neighbours, &neighbours_);
}

absl::Status KernelMirror::RequestResolve(const wire::IpAddress& address) {
  if (!address.IsV4()) return absl::InvalidArgumentError(absl::StrCat(address.ToString(), " is not an IPv4 address"));
  // Somebody misses a neighbour: a reason to see that the mirror is not blind, even if nothing has made its fd
  // readable.
  if (step_ == Step::kStalled) StartDump(Step::kLink);
  return socket_->Send(ResolveRequest(ifindex_, address.v4(), ++sequence_));
}

}  // namespace luna::netlink
