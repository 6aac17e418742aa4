#include "luna/net/tcp/stack.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "luna/net/tcp/isn.h"
#include "luna/net/tcp/syn_cookie.h"

namespace luna::tcp {
namespace {

using stats::DropReason;
using wire::TcpFlags;

// Distinguish these uses of the keyed hash from those in isn.cc, syn_cookie.cc and core.h.
constexpr uint64_t kPortDomain = 3;
constexpr uint64_t kPortTableDomain = 4;
constexpr uint64_t kEndedDomain = 8;

constexpr uint64_t kLargestPortStep = 8;

const StackConfig& Checked(const StackConfig& config) {
  const absl::Status status = Validate(config);
  CHECK(status.ok()) << status.message();
  return config;
}

bool CanBePeer(const wire::IpAddress& address) { return address.IsV4() && address.v4().IsUnicast(); }

}  // namespace

Stack::Stack(const StackConfig& config, zbuf::Slab& slab, stats::DropCounters& drops, Time now)
    : core_(Checked(config), slab, drops, now),
      table_(config.secret),
      time_wait_(config.time_wait, config.time_wait_limit, config.secret),
      cookie_bars_(kSynCookieLife, config.time_wait_limit, config.secret),
      now_(now) {}

Stack::~Stack() {
  table_.ForEach([](Connection& connection) {
    if (!connection.finished_) connection.EnterClosed(CloseReason::kAborted);
  });
  for (Connection* connection : core_.finished) pool_.Delete(connection);
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
  connection->SetRouteMtu(PathMtu(remote.address), now);
  connection->StartActive(tuple, NewIsn(tuple, now), TimestampOffset(core_.config.secret, tuple), now);
  table_.Insert(connection);
  core_.counters.connections_opened.Increment();
  return connection;
}

SeqNum Stack::NewIsn(const wire::FourTuple& tuple, Time now) {
  const SeqNum iss = InitialSequenceNumber(core_.config.secret, tuple, now);
  const uint64_t hash = HashTuple(core_.config.secret, tuple, kEndedDomain);
  const Ended& last = ended_[hash % ended_.size()];
  return last.tuple_hash == hash && iss <= last.snd_nxt ? last.snd_nxt + kIssStep : iss;
}

// RFC 6056 §3.3.4 (double hash) with the random steps of §3.3.5: a secret offset that differs by destination, and a
// counter shared with few others, so that one peer's view tells nothing of connections elsewhere.
uint16_t Stack::ChoosePort(const wire::Endpoint& local, const wire::Endpoint& remote) {
  const uint32_t first = core_.config.ephemeral_first;
  const uint32_t range = core_.config.ephemeral_last - first + 1u;
  wire::FourTuple tuple{local, remote};
  const uint64_t offset = HashTuple(core_.config.secret, tuple, kPortDomain);
  uint32_t& counter = port_counters_[HashTuple(core_.config.secret, tuple, kPortTableDomain) % port_counters_.size()];
  const uint64_t words[] = {offset, counter};
  counter += 1 + static_cast<uint32_t>(SipHash24(core_.config.secret, words, 2) % kLargestPortStep);
  for (uint32_t i = 0; i < range; ++i, ++counter) {
    tuple.local.port = static_cast<uint16_t>(first + (offset + counter) % range);
    if (tuple.local == remote) continue;  // that would be a connection with itself
    if (!InUse(tuple) && FindListener(tuple.local) == nullptr) return tuple.local.port;
  }
  return 0;
}

Event Stack::Ingest(ip::Datagram&& datagram, Time now) {
  Segment segment;
  return Parse(std::move(datagram), now, &segment) ? Ingest(segment, now) : Event{};
}

bool Stack::Parse(ip::Datagram&& datagram, Time now, Segment* out) {
  core_.counters.segments_in.Increment();
  if (const DropReason reason = ParseSegment(std::move(datagram), out); reason != DropReason::kNone) {
    core_.drops.Count(reason);
    return false;
  }
  if (out->arrival == Time()) out->arrival = now;  // a device that does not say
  return true;
}

void Stack::Prefetch(absl::Span<const Segment> segments) const {
  constexpr size_t kLine = 64;
  DCHECK_LE(segments.size(), kMostPrefetched);
  std::array<uint64_t, kMostPrefetched> hashes;
  for (size_t i = 0; i < segments.size(); ++i) hashes[i] = table_.PrefetchEntry(segments[i].tuple);
  for (size_t i = 0; i < segments.size(); ++i) {
    const Connection* connection = table_.Peek(hashes[i]);
    if (connection == nullptr) continue;
    const auto* at = reinterpret_cast<const char*>(connection);
    for (size_t line = 0; line < Connection::kUsualBytes; line += kLine) __builtin_prefetch(at + line, 1);
  }
}

Event Stack::Ingest(Segment& segment, Time now) {
  if (Connection* connection = table_.Find(segment.tuple)) [[likely]] {
    if (!connection->finished_) [[likely]]
      return ToConnection(*connection, segment, now);
    Settle(*connection, now);
  }
  return ToNobody(segment, now);
}

Event Stack::ToNobody(Segment& segment, Time now) {
  // RFC 9293 §3.9.2.3 (MUST-57, MUST-63): from or to an address that cannot have a connection, nothing is answered.
  if (!CanBePeer(segment.tuple.remote.address) || !CanBePeer(segment.tuple.local.address)) {
    core_.drops.Count(DropReason::kTcpBadSource);
    return {};
  }
  Listener* listener = FindListener(segment.tuple.local);
  const TimeWaitRecord* old = time_wait_.Find(segment.tuple);
  if (old != nullptr && (listener == nullptr || !Reopens(segment, *old))) {
    InTimeWait(segment, now);
  } else if (listener != nullptr) {
    return ToListener(*listener, segment, now);
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
  if (!table_.Erase(connection)) return;  // the place may belong to a successor already
  const bool waits = connection.state() == State::kTimeWait;
  const TimeWaitValues values = {.snd_nxt = connection.sender_.max(),
                                 .rcv_nxt = connection.receiver_.nxt(),
                                 .ts_recent = connection.ts_recent_,
                                 .timestamps = connection.timestamps_};
  if (waits) {
    time_wait_.Add(connection.tuple(), values, now);
  } else {
    const uint64_t hash = HashTuple(core_.config.secret, connection.tuple(), kEndedDomain);
    ended_[hash % ended_.size()] = {hash, values.snd_nxt};
  }
  if (connection.bars_cookie_) cookie_bars_.Add(connection.tuple(), values, now);
}

Event Stack::NextEvent(Time now) {
  now_ = now;
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
  cookie_bars_.Expire(now);
  return {};
}

void Stack::Flush(Time now, size_t limit, ip::OutBatch* out) {
  size_t replies = 0;
  while (replies < core_.replies.size() && out->size() < limit) out->push_back(std::move(core_.replies[replies++]));
  core_.replies.erase(core_.replies.begin(), core_.replies.begin() + static_cast<std::ptrdiff_t>(replies));
  bool waits_for_memory = false;
  size_t& done = core_.output_done;
  for (; done < core_.output.size() && out->size() < limit; ++done) {
    Connection* connection = core_.output[done];
    if (!connection->Output(now, limit, out)) {
      waits_for_memory = out->size() < limit;
      break;
    }
    connection->in_output_ = false;
  }
  // However many wait, and however few leave at once: each moves up a constant number of times.
  if (done < core_.output.size() / 2 && !waits_for_memory) return;
  core_.output.erase(core_.output.begin(), core_.output.begin() + static_cast<std::ptrdiff_t>(done));
  done = 0;
  if (!waits_for_memory) return;
  // Behind one that waits for memory, those that have nothing more to say do not wait to be reaped: what they hold may
  // be that memory.
  std::erase_if(core_.output, [](Connection* connection) {
    if (connection->state_ != State::kClosed) return false;
    connection->in_output_ = false;
    return true;
  });
}

size_t Stack::ReapFinished() {
  core_.headers.Fill();
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
    Settle(*connection, now_);  // a no-op unless the application closed it outside every verb
    pool_.Delete(connection);
    finished[i] = finished.back();
    finished.pop_back();
    ++reaped;
  }
  // What they held unread is free now.
  if (reaped > 0) Connection::WakeWaiting(core_);
  return reaped;
}

void Stack::SetMemoryShort(bool is_short) {
  if (is_short == core_.memory_short) [[likely]]
    return;
  core_.memory_short = is_short;
  core_.window_pressure = is_short ? 0 : core_.held_pressure;
  if (is_short) {
    core_.counters.memory_short.Increment();
  } else {
    Connection::WakeWaiting(core_);
  }
}

Time Stack::NextDeadline() const {
  if (!core_.posted.empty() || !core_.starved.empty()) return Time::FromNanoseconds(0);
  return std::min(core_.wheel.NextDeadline(), time_wait_.NextDeadline());
}

}  // namespace luna::tcp
