#include "luna/net/tcp/testing/fuzz/checked_host.h"

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "luna/mem/zbuf/size_class.h"
#include "luna/net/ip/finish_checksum.h"
#include "luna/net/pmd/packet.h"

namespace luna::tcp::testing {

using wire::TcpFlags;

namespace {

// More steps than that from deadline to deadline mean that a timer fires without effect.
constexpr int kMostSteps = 200000;
constexpr Duration kLongest = Duration::Seconds(3600);

absl::Span<const uint8_t> AsBytes(absl::string_view text) {
  return absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(text.data()), text.size());
}

int64_t Relative(uint32_t number, uint32_t base) { return static_cast<int32_t>(number - base); }

bool IsLive(const Connection* c) {
  return c != nullptr && c->state() != State::kClosed && c->state() != State::kTimeWait;
}

}  // namespace

std::string Octets(uint32_t seq, size_t count) {
  std::string text(count, '\0');
  for (size_t i = 0; i < count; ++i) text[i] = Octet(seq + static_cast<uint32_t>(i));
  return text;
}

CheckedHost::CheckedHost(const StackConfig& config, zbuf::TestSlab& memory, zbuf::TestSlab& device, TransitionLog* log,
                         Time now)
    : config_(config),
      memory_(memory),
      device_(device),
      log_(log),
      trace_(std::getenv("LUNA_TEST_TRACE") != nullptr),
      stack_(std::make_unique<Stack>(config, memory.slab(), drops_, now)),
      now_(now),
      start_(now) {}

CheckedHost::~CheckedHost() {
  Release();
  stack_.reset();
}

CheckedHost::Flow& CheckedHost::AddFlow(const wire::FourTuple& tuple) {
  flows_.push_back(std::make_unique<Flow>());
  flows_.back()->tuple = tuple;
  return *flows_.back();
}

CheckedHost::Flow* CheckedHost::Find(const wire::FourTuple& tuple) {
  const auto found = std::find_if(flows_.begin(), flows_.end(), [&](const auto& flow) { return flow->tuple == tuple; });
  return found == flows_.end() ? nullptr : found->get();
}

TupleState CheckedHost::StateOf(const Flow& flow) const {
  if (flow.found != nullptr && flow.found->state() != State::kClosed) return FromConnection(flow.found->state());
  if (stack_->IsInTimeWait(flow.tuple)) return TupleState::kTimeWait;
  return listener_ != nullptr && listener_->local() == flow.tuple.local ? TupleState::kListen : TupleState::kClosed;
}

// --- Transitions ---

void CheckedHost::After(const Flow* flow, std::optional<Cause> cause) {
  for (auto& f : flows_) f->found = nullptr;
  stack_->ForEachConnection([this](Connection& c) {
    for (auto& f : flows_) {
      if (c.IsOf(f->tuple)) f->found = &c;
    }
  });
  for (auto& f : flows_) {
    Follow(*f);
    const TupleState before = std::exchange(f->state, StateOf(*f));
    const bool concerned = cause.has_value() && (flow == nullptr || flow == f.get());
    if (trace_ && concerned && (flow != nullptr || before != f->state)) Trace(*f, *cause, before);
    if (concerned) {
      log_->Note(before, *cause, f->state, [this] { return Describe(); });
    } else {
      CHECK(before == f->state) << "unasked: " << Name(before) << " to " << Name(f->state) << "\n" << Describe();
    }
  }
}

void CheckedHost::Trace(const Flow& flow, Cause cause, TupleState before) const {
  std::cerr << (now_ - start_).microseconds() << " us  " << flow.tuple.ToString() << "  " << Name(cause) << ": "
            << Name(before) << " -> " << Name(flow.state) << "\n";
}

void CheckedHost::TraceSegment(const char* way, const Flow& flow, absl::string_view bytes) const {
  wire::TcpHeader h;
  if (wire::Parse(AsBytes(bytes), &h) != wire::ParseResult::kOk) return;
  const bool in = *way == 'i';
  std::cerr << (now_ - start_).microseconds() << " us  " << flow.tuple.ToString() << "  " << way << " flags " << h.flags
            << " seq " << Relative(h.sequence, in ? flow.irs : flow.iss) << "+" << bytes.size() - h.header_length
            << " ack " << Relative(h.acknowledgment, in ? flow.iss : flow.irs) << " win " << h.window << "\n";
}

// Whether the tuple has the connection that it had, another, or none.
void CheckedHost::Follow(Flow& flow) {
  Connection* c = IsLive(flow.found) ? flow.found : nullptr;
  if (c == nullptr) {
    flow.live = false;
    if (!flow.known) flow.connection = nullptr;
    return;
  }
  if (!flow.live || c != flow.connection || c->sender().iss().raw() != flow.iss) Begin(flow, *c);
  if (!flow.has_irs && c->state() != State::kSynSent) {
    flow.has_irs = true;
    flow.irs = c->receiver().irs().raw();
  }
  // A peer may acknowledge a SYN-ACK that has not left yet.
  const bool opened = c->state() != State::kSynSent && c->state() != State::kSynReceived;
  if (opened && !flow.syn_seen && !flow.emitted) flow.syn_seen = true, flow.max_sent = 1;
  flow.largest_buffer = std::max(flow.largest_buffer, c->receiver().buffer_bytes());
}

void CheckedHost::Begin(Flow& flow, Connection& connection) {
  if (flow.known && !flow.told_closed && flow.connection != nullptr) leaving_.insert(flow.connection);
  Flow fresh;
  fresh.tuple = flow.tuple;
  fresh.connection = &connection;
  fresh.live = true;
  fresh.known = !connection.passive();
  fresh.iss = connection.sender().iss().raw();
  // A cookie's: the SYN-ACK left long ago.
  fresh.syn_seen = connection.state() != State::kSynSent && connection.state() != State::kSynReceived;
  fresh.max_sent = fresh.syn_seen ? 1 : 0;
  fresh.last_seq_end = flow.last_seq_end;
  fresh.last_ack = flow.last_ack;
  fresh.last_tsval = flow.last_tsval;
  fresh.emitted = flow.emitted;
  fresh.found = flow.found;
  fresh.state = flow.state;
  flow = fresh;
}

// --- Segments in ---

Cause CheckedHost::Classify(const Flow& flow, absl::string_view bytes) const {
  wire::TcpHeader h;
  const bool whole = wire::Parse(AsBytes(bytes), &h) == wire::ParseResult::kOk;
  if (!whole ||
      !wire::TcpChecksumIsRight(flow.tuple.remote.address.v4(), flow.tuple.local.address.v4(), AsBytes(bytes))) {
    return Cause::kBroken;
  }
  const TupleState state = flow.state;
  const Connection* c = flow.live ? flow.connection : nullptr;
  const SeqNum seq(h.sequence), ack(h.acknowledgment);
  const bool has_ack = h.Has(TcpFlags::kAck);
  const bool opening = state == TupleState::kSynSent || state == TupleState::kSynReceived;
  const bool acks_syn = c != nullptr && has_ack && ack > c->sender().iss() && ack <= c->sender().max();
  if (h.Has(TcpFlags::kRst)) {
    if (c == nullptr) return Cause::kRstOther;
    if (state == TupleState::kSynSent) return acks_syn ? Cause::kRstGood : Cause::kRstOther;
    const bool shut = c->receiver().window() == 0 && h.Has(TcpFlags::kSyn);
    return seq == c->receiver().nxt() && !shut ? Cause::kRstGood : Cause::kRstOther;
  }
  const auto payload = static_cast<uint32_t>(bytes.size() - h.header_length);
  const SeqNum text = seq + (h.Has(TcpFlags::kSyn) ? 1 : 0);
  if (h.Has(TcpFlags::kSyn)) {
    if (!has_ack) return Cause::kSyn;
    const bool late = state == TupleState::kSynReceived && flow.closed && payload > 0;
    if (late && acks_syn && text + payload > c->receiver().nxt()) return Cause::kDataAfterClose;
    return opening && acks_syn ? Cause::kSynAckGood : Cause::kSynAckOther;
  }
  if (!has_ack) return Cause::kNoAck;
  const bool reads =
      state == TupleState::kSynReceived || state == TupleState::kFinWait1 || state == TupleState::kFinWait2;
  if (c != nullptr && reads && flow.closed && payload > 0 && text + payload > c->receiver().nxt()) {
    return Cause::kDataAfterClose;
  }
  const bool acks_fin =
      c != nullptr && flow.fin_sent && Relative(ack.raw(), flow.iss) == flow.queued + 2 && c->sender().una() < ack;
  if (h.Has(TcpFlags::kFin)) return acks_fin ? Cause::kFinAckOfFin : Cause::kFin;
  return acks_fin ? Cause::kAckOfFin : Cause::kAck;
}

void CheckedHost::Ingest(Flow& flow, absl::string_view bytes, size_t slice_bytes, ip::Ecn ecn) {
  Cause cause = Classify(flow, bytes);
  if (trace_) TraceSegment("in ", flow, bytes);
  ip::Datagram datagram;
  datagram.source = flow.tuple.remote.address;
  datagram.destination = flow.tuple.local.address;
  datagram.protocol = ip::kProtocolTcp;
  datagram.ecn = ecn;
  datagram.packet.rx.arrival = now_;
  if (!bytes.empty()) {
    datagram.packet.data = slice_bytes == 0 ? device_.Chain(bytes) : device_.ChainOfSlices(bytes, slice_bytes);
  }
  Connection* c = flow.live ? flow.connection : nullptr;
  const bool had_fin = c != nullptr && c->peer_closed();
  const uint64_t resets = stack_->counters().resets_sent.value();
  const Event event = stack_->Ingest(std::move(datagram), now_);
  if (cause == Cause::kRstGood || cause == Cause::kRstOther) {
    CHECK_EQ(stack_->counters().resets_sent.value(), resets) << "a RST answers a RST";
  }
  const bool reached = c != nullptr && !had_fin && c->peer_closed();
  if (reached && cause == Cause::kAck) cause = Cause::kFill;
  if (reached && cause == Cause::kAckOfFin) cause = Cause::kFillAckOfFin;
  After(&flow, cause);
  if (cause != Cause::kBroken) NoteCame(flow, bytes);
  if (reached) {
    CHECK(flow.fins.contains(Relative(c->receiver().nxt().raw(), flow.irs) - 1)) << "a FIN that nobody sent";
  }
  Handle(event);
  Check();
}

void CheckedHost::NoteCame(Flow& flow, absl::string_view bytes) {
  wire::TcpHeader h;
  if (!flow.has_irs || wire::Parse(AsBytes(bytes), &h) != wire::ParseResult::kOk) return;
  const auto payload = static_cast<int64_t>(bytes.size() - h.header_length);
  const int64_t start = Relative(h.sequence, flow.irs) + (h.Has(TcpFlags::kSyn) ? 1 : 0);
  flow.came.Add(start, start + payload);
  if (h.Has(TcpFlags::kFin)) flow.fins.insert(start + payload);
}

void CheckedHost::OnIcmp(Flow& flow, absl::string_view message, bool hard) {
  stack_->OnIcmp(AsBytes(message), now_);
  After(&flow, hard ? Cause::kIcmpHard : Cause::kIcmpSoft);
  Check();
}

// --- The other verbs ---

void CheckedHost::Handle(const Event& event) {
  if (!event) return;
  if (const auto left = leaving_.find(event.connection); left != leaving_.end()) {
    CHECK(event.Has(EventBits::kClosed)) << "an event of what is gone: " << event.what;
    leaving_.erase(left);
    return;
  }
  const auto found = std::find_if(flows_.begin(), flows_.end(),
                                  [&](const auto& flow) { return flow->connection == event.connection; });
  CHECK(found != flows_.end()) << "an event of nobody";
  Flow& flow = **found;
  CHECK(!flow.told_closed) << "an event after kClosed: " << event.what;
  if (event.Has(EventBits::kAccepted)) {
    CHECK(!flow.known && event.connection->passive());
    flow.known = true;
    if (listener_ != nullptr && takes_) listener_->Taken();
  }
  CHECK(flow.known) << "an event of a connection that was not announced: " << event.what;
  if (event.Has(EventBits::kPeerClosed)) {
    CHECK(!flow.told_fin) << "the FIN told twice";
    flow.told_fin = true;
  }
  if (event.Has(EventBits::kClosed)) {
    CHECK(event.connection->close_reason() != CloseReason::kNone);
    flow.told_closed = true;
  }
}

void CheckedHost::Poll() {
  for (int i = 0;; ++i) {
    CHECK_LT(i, kMostSteps) << "events without end";
    const Event event = stack_->NextEvent(now_);
    After(nullptr, Cause::kTimer);
    Handle(event);
    if (!event) break;
  }
  Check();
}

void CheckedHost::Flush(size_t limit, std::vector<Segment>* out) {
  ip::OutBatch batch;
  stack_->Flush(now_, limit, &batch);
  After(nullptr, Cause::kFlush);
  CHECK_LE(batch.size(), limit);
  for (ip::OutDatagram& datagram : batch) Emit(std::move(datagram), out);
  batch.clear();
  Check();
}

void CheckedHost::Reap() {
  // The last occasion to read.
  for (auto& flow : flows_) {
    if (flow->told_closed) Read(*flow, SIZE_MAX);
  }
  reaped_ += stack_->Reap();
  for (auto& flow : flows_) {
    if (flow->told_closed) flow->connection = nullptr;
  }
  After(nullptr, Cause::kReap);
  Check();
}

// --- The application ---

void CheckedHost::Listen(const wire::Endpoint& local, const ListenOptions& options) {
  const auto listener = stack_->Listen(local, options);
  CHECK_EQ(listener.ok(), listener_ == nullptr);
  if (listener.ok()) listener_ = *listener;
  After(nullptr, Cause::kListen);
  Check();
}

void CheckedHost::StopListening() {
  if (listener_ != nullptr) stack_->StopListening(std::exchange(listener_, nullptr));
  After(nullptr, Cause::kStopListening);
  Check();
}

void CheckedHost::Connect(Flow& flow) {
  (void)stack_->Connect(flow.tuple.local, flow.tuple.remote, nullptr, now_);
  After(&flow, Cause::kConnect);
  Check();
}

void CheckedHost::Call(Flow& flow, Cause cause, const std::function<void(Connection&)>& call) {
  if (!flow.known || flow.connection == nullptr) return;
  const bool was_live = flow.live;
  call(*flow.connection);
  if (was_live) {
    After(&flow, cause);
  } else {  // a call to what is closed changes nothing
    After(nullptr, std::nullopt);
  }
  Check();
}

size_t CheckedHost::Send(Flow& flow, size_t bytes, bool by_reference, SendFlags flags) {
  size_t taken = 0;
  Call(flow, Cause::kSend, [&](Connection& c) {
    const std::string text = Octets(flow.iss + 1 + static_cast<uint32_t>(flow.queued), bytes);
    if (!by_reference) {
      taken = c.Send(absl::MakeConstSpan(reinterpret_cast<const std::byte*>(text.data()), text.size()), flags);
    } else if (auto chain = zbuf::ZChain::CopyFrom(memory_.slab(), text)) {
      taken = c.Send(std::move(*chain), flags) == SendResult::kOk ? bytes : 0;
    }
    CHECK(taken == 0 || !flow.fin_asked) << "taken after the FIN";
    flow.queued += static_cast<int64_t>(taken);
  });
  return taken;
}

size_t CheckedHost::Read(Flow& flow, size_t limit) {
  size_t taken = 0;
  Call(flow, Cause::kRead, [&](Connection& c) {
    const std::string text = c.Read(limit).ToString();
    taken = text.size();
    CHECK_LE(taken, limit);
    if (taken == 0) return;
    CHECK(flow.has_irs && flow.came.Has(1 + flow.read, 1 + flow.read + static_cast<int64_t>(taken)))
        << "read what the peer did not send";
    CHECK(text == Octets(flow.irs + 1 + static_cast<uint32_t>(flow.read), taken)) << "other octets at " << flow.read;
    flow.read += static_cast<int64_t>(taken);
  });
  return taken;
}

void CheckedHost::ShutdownWrite(Flow& flow) {
  Call(flow, Cause::kShutdownWrite, [&](Connection& c) {
    flow.fin_asked = true;
    c.ShutdownWrite();
  });
}

void CheckedHost::ShutdownRead(Flow& flow) {
  Call(flow, Cause::kShutdownRead, [](Connection& c) { c.ShutdownRead(); });
}

void CheckedHost::Close(Flow& flow) {
  if (flow.connection == nullptr) return;
  const ConnectionOptions& o = flow.connection->options();
  const bool hard =
      !flow.closed && (flow.connection->readable_bytes() > 0 || (o.linger && o.linger_time == Duration::Zero()));
  Call(flow, hard ? Cause::kCloseHard : Cause::kClose, [&](Connection& c) {
    flow.fin_asked = flow.closed = true;
    c.Close();
  });
}

void CheckedHost::Abort(Flow& flow) {
  Call(flow, Cause::kAbort, [&](Connection& c) {
    flow.fin_asked = flow.closed = true;
    c.Abort();
  });
}

void CheckedHost::SetOptions(Flow& flow, const std::function<void(ConnectionOptions&)>& change) {
  Call(flow, Cause::kSetOptions, [&](Connection& c) {
    ConnectionOptions options = c.options();
    change(options);
    (void)c.SetOptions(options, now_);
  });
}

// --- Shortage ---

void CheckedHost::Exhaust(size_t objs) {
  Release();
  constexpr size_t kHeaderBytes = pmd::kTxHeadroomBytes + kMaxTcpHeaderBytes;
  for (size_t k = zbuf::kClassCount; k-- > 0 && zbuf::kClassBytes[k] >= kHeaderBytes;) {
    while (std::byte* obj = memory_.slab().Alloc(zbuf::kClassBytes[k])) hoard_.push_back(obj);
  }
  for (; objs > 0 && !hoard_.empty(); --objs) {
    memory_.slab().Free(hoard_.back());
    hoard_.pop_back();
  }
}

void CheckedHost::Release() {
  for (std::byte* obj : hoard_) memory_.slab().Free(obj);
  hoard_.clear();
}

// --- The end ---

void CheckedHost::Finish() {
  Release();
  StopListening();
  const Time limit = now_ + kLongest;
  for (int i = 0; stack_->connections() > 0 || stack_->time_wait() > 0 || stack_->HasOutput(); ++i) {
    CHECK_LT(i, kMostSteps) << "a deadline stays due\n" << Describe();
    for (auto& flow : flows_) {
      if (!flow->closed) Close(*flow);
    }
    Poll();
    Flush(SIZE_MAX, nullptr);
    Reap();
    if (stack_->connections() == 0 && stack_->time_wait() == 0) continue;
    const Time next = stack_->NextDeadline();
    CHECK(next <= limit) << "it will not end\n" << Describe();
    now_ = std::max(next, now_ + Duration::Nanoseconds(1));
  }
  Poll();
  Flush(SIZE_MAX, nullptr);
  Reap();
  CHECK(leaving_.empty()) << "a kClosed event is missing";
  for (const auto& flow : flows_) CHECK(!flow->known || flow->told_closed) << "a kClosed event is missing";
  CHECK(stack_->NextDeadline().is_infinite()) << "a timer is left";
  CHECK_EQ(stack_->held_bytes(), 0u);
  stack_.reset();
  CHECK_EQ(memory_.outstanding(), 0u) << "objs are out";
  CHECK_EQ(device_.outstanding(), 0u) << "objs are out";
}

std::string CheckedHost::Describe() const {
  std::string text =
      absl::StrCat("t=", now_.nanoseconds(), " drops: ", drops_.ToString(),
                   " no memory: ", stack_->counters().send_no_memory.value(), stack_->HasOutput() ? " has output" : "");
  for (const auto& flow : flows_) {
    absl::StrAppend(&text, "\n  ", flow->tuple.ToString(), " ", Name(StateOf(*flow)));
    if (flow->live) absl::StrAppend(&text, " ", flow->connection->ToString());
  }
  return text;
}

}  // namespace luna::tcp::testing
