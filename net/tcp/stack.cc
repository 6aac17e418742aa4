#include "luna/net/tcp/stack.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "luna/net/tcp/isn.h"

namespace luna::tcp {
namespace {

using stats::DropReason;
using wire::TcpFlags;

// Distinguishes this use of the keyed hash from those in isn.cc.
constexpr uint64_t kPortDomain = 3;

// How far beyond its predecessor's last number a connection that reopens a TIME-WAIT begins: more than any window field
// without scale.
constexpr uint32_t kIssStep = 0x10002;

bool CanBePeer(const wire::IpAddress& address) { return address.IsV4() && address.v4().IsUnicast(); }

}  // namespace

Stack::Stack(const StackConfig& config, zbuf::Slab& slab, stats::DropCounters& drops, Time now)
    : core_(config, slab, drops, now), time_wait_(config.time_wait, config.time_wait_limit) {}

Stack::~Stack() {
  for (auto& [tuple, connection] : table_) {
    if (!connection->finished_) connection->EnterClosed(CloseReason::kAborted);
  }
  for (Connection* connection : core_.finished) pool_.Delete(connection);
}

absl::StatusOr<Listener*> Stack::Listen(const wire::Endpoint& local, const ListenOptions& options) {
  if (local.port == 0) return absl::InvalidArgumentError("cannot listen on port 0: name a port between 1 and 65535");
  if (options.connection.has_value()) {
    if (absl::Status status = Validate(*options.connection); !status.ok()) return status;
  }
  const bool any = local.address.IsUnspecified();
  for (const auto& [endpoint, listener] : listeners_) {
    const bool overlaps = any || endpoint.address.IsUnspecified() || endpoint.address == local.address;
    if (endpoint.port == local.port && overlaps) {
      return absl::AlreadyExistsError(
          absl::StrCat("port ", local.port, " already has a listener on ", endpoint.ToString()));
    }
  }
  auto& listener = listeners_[local];
  listener = std::make_unique<Listener>(local, options);
  return listener.get();
}

void Stack::StopListening(Listener* listener) {
  for (auto& [tuple, connection] : table_) {
    if (connection->listener_ == listener && connection->half_open_) connection->Abort();
  }
  listeners_.erase(listener->local());
}

absl::StatusOr<Connection*> Stack::Connect(wire::Endpoint local, const wire::Endpoint& remote, void* owner, Time now,
                                           const ConnectionOptions& options) {
  if (absl::Status status = Validate(options); !status.ok()) return status;
  if (!CanBePeer(remote.address) || remote.port == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot connect to ", remote.ToString(), ": not a unicast IPv4 endpoint"));
  }
  if (!CanBePeer(local.address)) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot connect from ", local.address.ToString(), ": not a unicast IPv4 address"));
  }
  if (table_.size() >= core_.config.max_connections) {
    return absl::ResourceExhaustedError(absl::StrCat("all ", core_.config.max_connections, " connections are in use"));
  }
  if (local.port == 0) {
    local.port = ChoosePort(local, remote);
    if (local.port == 0) {
      return absl::ResourceExhaustedError(absl::StrCat("no free local port between ", core_.config.ephemeral_first,
                                                       " and ", core_.config.ephemeral_last, " to ",
                                                       remote.ToString()));
    }
  }
  const wire::FourTuple tuple{local, remote};
  if (InUse(tuple)) return absl::AlreadyExistsError(absl::StrCat("connection ", tuple.ToString(), " exists"));
  Connection* connection = pool_.New(core_, options);
  connection->owner_ = owner;
  connection->path_mtu_ = static_cast<uint16_t>(PathMtu(remote.address));
  connection->StartActive(tuple, InitialSequenceNumber(core_.config.secret, tuple, now),
                          TimestampOffset(core_.config.secret, tuple), now);
  table_.emplace(tuple, connection);
  core_.counters.connections_opened.Increment();
  return connection;
}

// RFC 6056 §3.3.4: start at a secret offset that differs by destination, and go round the range.
uint16_t Stack::ChoosePort(const wire::Endpoint& local, const wire::Endpoint& remote) const {
  const uint32_t first = core_.config.ephemeral_first;
  const uint32_t range = core_.config.ephemeral_last - first + 1u;
  wire::FourTuple tuple{local, remote};
  const uint64_t offset = HashTuple(core_.config.secret, tuple, kPortDomain);
  for (uint32_t i = 0; i < range; ++i) {
    tuple.local.port = static_cast<uint16_t>(first + (offset + port_counter_++) % range);
    if (!InUse(tuple) && !listeners_.contains(tuple.local)) return tuple.local.port;
  }
  return 0;
}

Event Stack::Ingest(ip::Datagram&& datagram, Time now) {
  core_.counters.segments_in.Increment();
  Segment segment;
  if (const DropReason reason = ParseSegment(std::move(datagram), &segment); reason != DropReason::kNone) {
    core_.drops.Count(reason);
    return {};
  }
  if (segment.arrival == Time()) segment.arrival = now;  // a device that does not say
  const auto found = table_.find(segment.tuple);
  if (found != table_.end()) {
    Connection& connection = *found->second;
    if (!connection.finished_) [[likely]]
      return ToConnection(connection, segment, now);
    Settle(connection, now);
  }
  Listener* listener = FindListener(segment.tuple.local);
  const TimeWaitRecord* old = time_wait_.Find(segment.tuple);
  if (old != nullptr && (listener == nullptr || !Reopens(segment, *old))) {
    InTimeWait(segment, now);
  } else if (listener != nullptr) {
    ToListener(*listener, segment, now);
  } else {
    core_.drops.Count(DropReason::kTcpNoConnection);
    core_.ReplyReset(segment, now);
  }
  return {};
}

Event Stack::ToConnection(Connection& connection, Segment& segment, Time now) {
  const uint32_t events = connection.OnSegment(segment, now);
  if (events & EventBits::kAccepted) core_.counters.connections_accepted.Increment();
  if (connection.finished_) Settle(connection, now);
  connection.NoteTold(events);
  return events == 0 ? Event{} : Event{&connection, events};
}

void Stack::Settle(Connection& connection, Time now) {
  // The place may belong to a successor already.
  const auto found = table_.find(connection.tuple());
  if (found == table_.end() || found->second != &connection) return;
  table_.erase(found);
  if (connection.state() != State::kTimeWait) return;
  time_wait_.Add(connection.tuple(),
                 {.snd_nxt = connection.sender_.max(),
                  .rcv_nxt = connection.receiver_.nxt(),
                  .ts_recent = connection.ts_recent_,
                  .timestamp_offset = connection.timestamp_offset_,
                  .timestamps = connection.timestamps_},
                 now);
}

Listener* Stack::FindListener(const wire::Endpoint& local) {
  auto found = listeners_.find(local);
  if (found == listeners_.end()) found = listeners_.find(wire::Endpoint{wire::IpAddress(), local.port});
  if (found == listeners_.end()) found = listeners_.find(wire::Endpoint{wire::Ipv4Address(), local.port});
  return found == listeners_.end() ? nullptr : found->second.get();
}

void Stack::ToListener(Listener& listener, const Segment& segment, Time now) {
  if (segment.Has(TcpFlags::kRst)) return;  // first
  if (segment.Has(TcpFlags::kAck)) {        // second
    core_.drops.Count(DropReason::kTcpUnacceptableAck);
    core_.ReplyReset(segment, now);
    return;
  }
  if (!segment.Has(TcpFlags::kSyn) || segment.Has(TcpFlags::kFin)) {  // third and fourth
    core_.drops.Count(DropReason::kTcpBadFlags);
    return;
  }
  if (!CanBePeer(segment.tuple.remote.address)) {
    core_.drops.Count(DropReason::kTcpBadSource);
    return;
  }
  if (listener.Full()) {
    core_.drops.Count(DropReason::kTcpListenBacklogFull);
    return;
  }
  if (table_.size() >= core_.config.max_connections) {
    core_.drops.Count(DropReason::kTcpConnectionLimit);
    return;
  }
  SeqNum iss = InitialSequenceNumber(core_.config.secret, segment.tuple, now);
  if (const TimeWaitRecord* old = time_wait_.Find(segment.tuple)) {
    // RFC 9293 §3.4.3: beyond every number of the previous incarnation, which may have been faster than the ISN clock.
    if (iss <= old->snd_nxt) iss = old->snd_nxt + kIssStep;
    time_wait_.Remove(segment.tuple);
  }
  const auto& options = listener.options().connection;
  Connection* connection = pool_.New(core_, options.has_value() ? *options : core_.config);
  connection->path_mtu_ = static_cast<uint16_t>(PathMtu(segment.tuple.remote.address));
  connection->StartPassive(segment, &listener, iss, TimestampOffset(core_.config.secret, segment.tuple), now);
  table_.emplace(segment.tuple, connection);
}

// RFC 6191: a SYN with a later timestamp, or without timestamps a later sequence number, is a new connection.
bool Stack::Reopens(const Segment& segment, const TimeWaitRecord& old) {
  if ((segment.flags & (TcpFlags::kSyn | TcpFlags::kAck | TcpFlags::kRst | TcpFlags::kFin)) != TcpFlags::kSyn) {
    return false;
  }
  const bool stamped = old.timestamps && segment.options.has_timestamp;
  if (stamped && segment.options.tsval != old.ts_recent) {
    return static_cast<int32_t>(segment.options.tsval - old.ts_recent) > 0;
  }
  return segment.seq > old.rcv_nxt;
}

// RFC 9293 §3.10.7.4 for TIME-WAIT.
void Stack::InTimeWait(const Segment& segment, Time now) {
  TimeWaitRecord* record = time_wait_.Find(segment.tuple);
  core_.drops.Count(DropReason::kTcpTimeWait);
  if (segment.Has(TcpFlags::kRst)) return;                              // RFC 1337: no assassination
  if (segment.length() == 0 && segment.seq == record->rcv_nxt) return;  // a plain ACK: nothing to say
  if (segment.Has(TcpFlags::kFin) && segment.end() == record->rcv_nxt) {
    time_wait_.Extend(record, now);  // the peer's FIN again: our ACK was lost
  } else if (!core_.challenge_acks.Allow(now)) {
    core_.drops.Count(DropReason::kTcpChallengeAckRateLimited);
    return;
  }
  wire::TcpOptions options;
  options.has_timestamp = record->timestamps;
  options.tsval = record->timestamp_offset + core_.timestamp_clock.Ticks(now);
  options.tsecr = record->ts_recent;
  core_.Reply({.tuple = segment.tuple,
               .seq = record->snd_nxt,
               .ack = record->rcv_nxt,
               .flags = TcpFlags::kAck,
               .options = record->timestamps ? &options : nullptr});
}

Event Stack::NextEvent(Time now) {
  // Timers first: however many connections wait for memory, the time-outs that free it go on.
  while (timer::Timer* timer = core_.wheel.PopExpired(now)) {
    auto* connection = static_cast<Connection*>(timer);
    const uint32_t events = connection->OnTimer(now);
    if (connection->finished_) Settle(*connection, now);
    connection->NoteTold(events);
    if (events != 0) return {connection, events};
  }
  while (!core_.posted.empty()) {
    Connection* connection = core_.posted.front();
    core_.posted.pop_front();
    const uint32_t events = connection->TakePosted();
    if (connection->finished_) Settle(*connection, now);
    if (events != 0) return {connection, events};
  }
  time_wait_.Expire(now);
  return {};
}

void Stack::Flush(Time now, size_t limit, ip::OutBatch* out) {
  size_t replies = 0;
  while (replies < core_.replies.size() && out->size() < limit) out->push_back(std::move(core_.replies[replies++]));
  core_.replies.erase(core_.replies.begin(), core_.replies.begin() + static_cast<std::ptrdiff_t>(replies));
  size_t done = 0;
  for (; done < core_.output.size() && out->size() < limit; ++done) {
    Connection* connection = core_.output[done];
    if (!connection->Output(now, limit, out)) break;
    connection->in_output_ = false;
  }
  core_.output.erase(core_.output.begin(), core_.output.begin() + static_cast<std::ptrdiff_t>(done));
  if (core_.output.empty()) return;
  // Behind one that waits for memory, those that have nothing more to say do not wait to be reaped: what they hold may
  // be that memory.
  std::erase_if(core_.output, [](Connection* connection) {
    if (connection->state_ != State::kClosed) return false;
    connection->in_output_ = false;
    return true;
  });
}

size_t Stack::Reap() {
  for (Connection* connection : core_.starved) {
    connection->in_starved_ = false;
    if (!connection->finished_) connection->Post(EventBits::kWritable);
  }
  core_.starved.clear();
  size_t reaped = 0;
  std::vector<Connection*>& finished = core_.finished;
  for (size_t i = 0; i < finished.size();) {
    Connection* connection = finished[i];
    if (connection->in_output_ || connection->in_posted_) {
      ++i;
      continue;
    }
    Settle(*connection, Time());  // a no-op unless the application closed it outside every verb
    pool_.Delete(connection);
    finished[i] = finished.back();
    finished.pop_back();
    ++reaped;
  }
  return reaped;
}

Time Stack::NextDeadline() const {
  if (!core_.posted.empty() || !core_.starved.empty()) return Time::FromNanoseconds(0);
  return std::min(core_.wheel.NextDeadline(), time_wait_.NextDeadline());
}

}  // namespace luna::tcp
