// LISTEN (RFC 9293 §3.10.7.2), with a bounded backlog and SYN cookies (RFC 4987), and TIME-WAIT, which a SYN may end.

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "luna/net/tcp/isn.h"
#include "luna/net/tcp/stack.h"
#include "luna/net/tcp/syn_cookie.h"

namespace luna::tcp {
namespace {

using stats::DropReason;
using wire::TcpFlags;

// What TIME-WAIT says of its window, which its record does not remember. Nothing can come any more, so its size has no
// meaning; but this one never moves the right edge left (SHLD-14), whatever the scale was.
constexpr uint16_t kTimeWaitWindow = 0xffff;

constexpr uint16_t kEcnSetup = TcpFlags::kEce | TcpFlags::kCwr;

}  // namespace

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
  table_.ForEach([listener](Connection& connection) {
    if (connection.listener_ == listener && connection.half_open_) connection.Abort();
  });
  listeners_.erase(listener->local());
}

Listener* Stack::FindListener(const wire::Endpoint& local) {
  auto found = listeners_.find(local);
  if (found == listeners_.end()) found = listeners_.find(wire::Endpoint{wire::IpAddress(), local.port});
  if (found == listeners_.end()) found = listeners_.find(wire::Endpoint{wire::Ipv4Address(), local.port});
  return found == listeners_.end() ? nullptr : found->second.get();
}

Event Stack::ToListener(Listener& listener, Segment& segment, Time now) {
  if (segment.Has(TcpFlags::kRst)) return {};  // first
  if (segment.Has(TcpFlags::kAck)) {           // second
    const bool may_be_cookie = !segment.Has(TcpFlags::kSyn) && listener.ExpectsCookies(now);
    if (may_be_cookie && cookie_bars_.Find(segment.tuple) == nullptr) return ToCookie(listener, segment, now);
    core_.drops.Count(DropReason::kTcpUnacceptableAck);
    core_.ReplyReset(segment, now);
    return {};
  }
  if (!segment.Has(TcpFlags::kSyn) || segment.Has(TcpFlags::kFin)) {  // third and fourth
    core_.drops.Count(DropReason::kTcpBadFlags);
    return {};
  }
  const SynCookies cookies = core_.config.syn_cookies;
  const bool is_new = time_wait_.Find(segment.tuple) == nullptr && cookie_bars_.Find(segment.tuple) == nullptr;
  if (listener.AcceptFull() || (listener.Full() && cookies == SynCookies::kOff)) {
    core_.drops.Count(DropReason::kTcpListenBacklogFull);
  } else if ((listener.Full() || cookies == SynCookies::kAlways) && is_new) {
    // Not where a record stands, which would take the cookie's answer for its own, or bar it.
    SendCookie(listener, segment, now);
  } else if (table_.size() >= core_.config.max_connections) {
    core_.drops.Count(DropReason::kTcpConnectionLimit);
  } else {
    SeqNum iss = NewIsn(segment.tuple, now);
    const bool bars_cookie = cookie_bars_.Find(segment.tuple) != nullptr;
    for (TimeWaitTable* records : {&time_wait_, &cookie_bars_}) {
      const TimeWaitRecord* old = records->Find(segment.tuple);
      if (old == nullptr) continue;
      // RFC 9293 §3.4.3: beyond every number of the previous incarnation, which may have outrun the ISN clock.
      if (iss <= old->snd_nxt()) iss = old->snd_nxt() + kIssStep;
      records->Remove(segment.tuple);
    }
    OpenPassive(listener, segment, iss, now)->bars_cookie_ = bars_cookie;
  }
  return {};
}

Connection* Stack::NewPassive(const Listener& listener, const Segment& syn) {
  const auto& options = listener.options().connection;
  Connection* connection = pool_.New(core_, options.has_value() ? *options : core_.config);
  connection->SetRouteMtu(PathMtu(syn.tuple.remote.address), syn.arrival);
  return connection;
}

Connection* Stack::OpenPassive(Listener& listener, const Segment& syn, SeqNum iss, Time now) {
  Connection* connection = NewPassive(listener, syn);
  connection->StartPassive(syn, &listener, iss, TimestampOffset(core_.config.secret, syn.tuple), now);
  table_.Insert(connection);
  return connection;
}

// The SYN-ACK of a connection that is forgotten at once.
void Stack::SendCookie(Listener& listener, Segment& syn, Time now) {
  if (core_.replies.size() >= Core::kMaxReplies) {
    core_.drops.Count(DropReason::kTcpListenBacklogFull);
    return;
  }
  const Secret& secret = core_.config.secret;
  const uint16_t mss = syn.options.has_mss ? syn.options.mss : kDefaultMss;
  const SeqNum iss = MakeSynCookie(secret, syn.tuple, syn.seq, mss, now);
  uint32_t offset = TimestampOffset(secret, syn.tuple);
  wire::TcpOptions& options = syn.options;
  if (options.has_timestamp && core_.config.timestamps) {
    CookieOffer offer;
    if (options.has_window_scale) offer.window_scale = std::min(options.window_scale, kMaxWindowShift);
    offer.sack = options.sack_permitted;
    offer.ecn = (syn.flags & kEcnSetup) == kEcnSetup;
    const uint32_t clock = core_.timestamp_clock.Ticks(now);
    offset += PutCookieOffer(clock, offer) - clock;
  } else {  // nothing comes back that could remember these
    options.has_timestamp = options.has_window_scale = options.sack_permitted = false;
    syn.flags &= static_cast<uint16_t>(~kEcnSetup);
  }
  Connection* connection = NewPassive(listener, syn);
  connection->BeginPassive(syn, listener, iss, offset, now);
  if (connection->OutputSyn(now, &core_.replies)) {
    core_.counters.syn_cookies_sent.Increment();
    listener.NoteCookie(now);
  }
  pool_.Delete(connection);
}

// An acknowledgement that may bring a cookie back: then there was a handshake.
Event Stack::ToCookie(Listener& listener, Segment& segment, Time now) {
  const Secret& secret = core_.config.secret;
  const SeqNum iss = segment.ack - 1;
  const SeqNum irs = segment.seq - 1;
  const auto mss = ReadSynCookie(secret, segment.tuple, irs, iss, now);
  if (!mss.has_value()) {
    core_.drops.Count(DropReason::kTcpBadCookie);
    // What has overtaken the acknowledgement is no reason for a RST: it will come again. (A connection that the cookie
    // has opened, and that has ended, is in cookie_bars_.)
    if (!MayBeSynCookie(secret, segment.tuple, iss, now)) core_.ReplyReset(segment, now);
    return {};
  }
  if (listener.AcceptFull() || table_.size() >= core_.config.max_connections) {
    core_.drops.Count(DropReason::kTcpListenBacklogFull);  // it will come again with data
    return {};
  }
  Segment syn;
  syn.tuple = segment.tuple;
  syn.seq = irs;
  syn.flags = TcpFlags::kSyn;
  syn.arrival = segment.arrival;
  syn.options.has_mss = true;
  syn.options.mss = *mss;
  if (segment.options.has_timestamp && core_.config.timestamps) {
    const CookieOffer offer = GetCookieOffer(segment.options.tsecr - TimestampOffset(secret, segment.tuple));
    syn.options.has_timestamp = true;
    syn.options.tsval = segment.options.tsval;
    syn.options.has_window_scale = offer.window_scale.has_value();
    syn.options.window_scale = offer.window_scale.value_or(0);
    syn.options.sack_permitted = offer.sack;
    if (offer.ecn) syn.flags |= kEcnSetup;
  }
  Connection* connection = OpenPassive(listener, syn, iss, now);
  connection->ComeFromCookie();
  core_.counters.syn_cookies_accepted.Increment();
  return ToConnection(*connection, segment, now);
}

// RFC 6191: a SYN with a later timestamp, or without timestamps a later sequence number, is a new connection.
bool Stack::Reopens(const Segment& segment, const TimeWaitRecord& old) {
  if ((segment.flags & (TcpFlags::kSyn | TcpFlags::kAck | TcpFlags::kRst | TcpFlags::kFin)) != TcpFlags::kSyn) {
    return false;
  }
  const bool stamped = old.timestamps() && segment.options.has_timestamp;
  if (stamped && segment.options.tsval != old.ts_recent()) {
    return static_cast<int32_t>(segment.options.tsval - old.ts_recent()) > 0;
  }
  return segment.seq > old.rcv_nxt();
}

// RFC 9293 §3.10.7.4 for TIME-WAIT.
void Stack::InTimeWait(const Segment& segment, Time now) {
  TimeWaitRecord* record = time_wait_.Find(segment.tuple);
  core_.drops.Count(DropReason::kTcpTimeWait);
  if (segment.Has(TcpFlags::kRst)) return;                                // RFC 1337: no assassination
  if (segment.length() == 0 && segment.seq == record->rcv_nxt()) return;  // a plain ACK: nothing to say
  if (segment.Has(TcpFlags::kFin) && segment.end() == record->rcv_nxt()) {
    record = time_wait_.Extend(record, now);  // the peer's FIN again: our ACK was lost
  } else if (!core_.challenge_acks.Allow(now)) {
    core_.drops.Count(DropReason::kTcpChallengeAckRateLimited);
    return;
  }
  wire::TcpOptions options;
  options.has_timestamp = record->timestamps();
  options.tsval = TimestampOffset(core_.config.secret, record->tuple()) + core_.timestamp_clock.Ticks(now);
  options.tsecr = record->ts_recent();
  core_.Reply({.tuple = segment.tuple,
               .seq = record->snd_nxt(),
               .ack = record->rcv_nxt(),
               .flags = TcpFlags::kAck,
               .window = kTimeWaitWindow,
               .options = record->timestamps() ? &options : nullptr});
}

}  // namespace luna::tcp
