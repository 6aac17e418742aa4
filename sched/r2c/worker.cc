#include "luna/sched/r2c/worker.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "glog/logging.h"

namespace luna::r2c {
namespace {

using tcp::EventBits;

// Connection::owner_flags: events that wait until held reads have been delivered; and from kQueuedAt on, 1 + the place
// in events_ of the connection's event, 0 when there is none.
constexpr uint32_t kHeldReadable = 1u << 0;
constexpr uint32_t kHeldPeerClosed = 1u << 1;
constexpr int kQueuedAt = 8;
constexpr uint32_t kFlags = (1u << kQueuedAt) - 1;

constexpr size_t kFewestFrames = 4;  // that a device gets at once

constexpr uint64_t kIterationsBetweenLooksAtMemory = 8;
constexpr Duration kLookAgain = Duration::Milliseconds(1);

// An error quotes no more than makes 576 octets in all (RFC 1812 §4.3.2.3); some hosts quote a whole segment.
constexpr size_t kLongestIcmpBytes = 2048;

}  // namespace

void UseOffloads(const pmd::Capabilities& device, tcp::StackConfig* config) {
  if (!device.tx_tso || !device.tx_tcp_checksum || device.max_tx_segments <= 1) return;
  config->tso_payload_bytes = tcp::kMostTsoPayloadBytes;
  config->tso_payload_slices = device.max_tx_segments - 1;
}

Worker::Worker(const WorkerParts& parts, const WorkerOptions& options)
    : parts_(parts),
      options_(options),
      now_(parts.clock->Now()),
      verbs_(*parts.clock, options.verb_sample),
      received_(options.receive_burst),
      wheel_(now_) {
  CHECK(options.receive_burst > 0 && options.receive_burst < 1u << (32 - kQueuedAt));
  CHECK(parts.io && parts.slab && parts.ingress && parts.egress && parts.stack) << "a Worker needs all of its parts";
  // Where the device cuts, a few datagrams are a lot.
  const bool tso = parts.stack->config().tso_payload_bytes > 0;
  transmit_burst_ = tso ? options.transmit_backlog
                        : std::max<size_t>(options.transmit_bytes / parts.io->capabilities().mtu, kFewestFrames);
  routes_version_ = parts.egress->routes_version();
}

// --- One iteration ---

bool Worker::RunOnce() {
  thread_.Bind();
  DCHECK(!iterating_) << "RunOnce() from within an iteration";
  iterating_ = true;
  NoteTime(parts_.clock->Now());
  verbs_.Begin(Verb::kReceive, now_);
  const size_t received = ReceiveBurst();
  switch (options_.model) {
    case Model::kInline:
      ProcessInline(received);
      break;
    case Model::kBatch:
      ProcessBatch(received);
      break;
  }
  bool sending = Transmit();  // answers wait for nothing else
  verbs_.Enter(Verb::kRest);
  bool delivered = DeliverTimers();
  delivered |= TakeMessages();
  Flush();
  verbs_.Enter(Verb::kRest);
  PollControlPlane();
  sending |= Transmit();
  device_holds_ = parts_.io->Reclaim() > 0;
  LookAtMemory();
  const int kernel_events = PollKernel();
  parts_.stack->Reap();
  verbs_.End();

  iterating_ = false;
  const bool forwarded = parts_.io->TakeForwarded() > 0;
  was_busy_ = received > 0 || delivered || sending || kernel_events > 0 || forwarded;
  counters_.iterations.Increment();
  if (was_busy_) counters_.busy_iterations.Increment();
  return was_busy_;
}

void Worker::NoteTime(Time now) {
  (was_busy_ ? counters_.busy_ns : counters_.idle_ns).Add(static_cast<uint64_t>((now - now_).nanoseconds()));
  now_ = now;
}

// What one connection gets in a row is one segment to TCP where it can be (coalesce.h), and one event to the
// application: its octets come together.
void Worker::ProcessInline(size_t frames) {
  verbs_.Enter(Verb::kIngest);
  tcp::Event event;
  absl::Span<pmd::Packet> left = absl::MakeSpan(received_).first(frames);
  while (!left.empty()) {
    const absl::Span<pmd::Packet> group = left.first(std::min(left.size(), segments_.size()));
    left.remove_prefix(group.size());
    for (tcp::Segment& segment : ParseGroup(group)) {
      const bool large = segment.payload_bytes() >= options_.event_bytes;
      Ingest(segment, &event);
      if (large) Hand(&event);
    }
  }
  if (event) Complete(event);
}

// All of the burst is TCP's first; what it has for one connection, wherever in the burst it was, is one event. Output
// is made when all handlers have had their say, so that what they add to one connection shares its segments.
void Worker::ProcessBatch(size_t frames) {
  verbs_.Enter(Verb::kIngest);
  absl::Span<pmd::Packet> left = absl::MakeSpan(received_).first(frames);
  while (!left.empty()) {
    const absl::Span<pmd::Packet> group = left.first(std::min(left.size(), segments_.size()));
    left.remove_prefix(group.size());
    for (tcp::Segment& segment : ParseGroup(group)) {
      Queue(parts_.stack->Ingest(segment, now_));
      segment.payload.Clear();
    }
  }
  DeliverQueued();
  Flush();
}

void Worker::Queue(const tcp::Event& event) {
  if (!event) return;
  tcp::Connection& connection = *event.connection;
  if (const uint32_t place = connection.owner_flags >> kQueuedAt; place != 0) {
    events_[place - 1].what |= event.what;
    return;
  }
  events_.push_back(event);
  connection.owner_flags |= static_cast<uint32_t>(events_.size()) << kQueuedAt;
}

void Worker::DeliverQueued() {
  size_t since_flush = 0;
  for (const tcp::Event& event : events_) {
    event.connection->owner_flags &= kFlags;
    Deliver(event);
    if (++since_flush != options_.flush_events) continue;
    since_flush = 0;
    Flush();
    Transmit();
  }
  events_.clear();
}

absl::Span<tcp::Segment> Worker::ParseGroup(absl::Span<pmd::Packet> frames) {
  size_t n = 0;
  for (pmd::Packet& frame : frames) {
    if (!Parse(std::move(frame), &segments_[n])) continue;
    const bool grows = n > 0 && segments_[n - 1].payload_bytes() < options_.event_bytes;
    if (!grows || !tcp::Coalesce(&segments_[n - 1], &segments_[n])) ++n;
  }
  const absl::Span<tcp::Segment> segments = absl::MakeSpan(segments_).first(n);
  if (n > 1) parts_.stack->Prefetch(segments);
  return segments;
}

void Worker::Ingest(tcp::Segment& segment, tcp::Event* event) {
  const tcp::Event next = parts_.stack->Ingest(segment, now_);
  segment.payload.Clear();
  if (!next) return;
  if (*event && next.connection != event->connection) {
    Complete(*event);
    *event = {};
  }
  *event = {next.connection, event->what | next.what};
}

// Both cores work at once: while we go on with the burst, the peer gets what there is.
void Worker::Hand(tcp::Event* event) {
  if (*event) Complete(*event);
  *event = {};
  Transmit();
}

// An answer leaves right behind its request; bare acknowledgements wait for the end of the burst (MUST-59).
void Worker::Complete(const tcp::Event& event) {
  Deliver(event);
  if (event.connection->sender().HasUnsent()) Flush();
  verbs_.Enter(Verb::kIngest);
}

size_t Worker::ReceiveBurst() {
  const size_t frames = parts_.io->ReceiveBurst(absl::MakeSpan(received_), now_);
  if (frames > 0) counters_.bursts.Increment();
  if (frames == received_.size()) counters_.full_bursts.Increment();
  return frames;
}

bool Worker::Parse(pmd::Packet&& frame, tcp::Segment* out) {
  ip::Datagram datagram;
  switch (parts_.ingress->Accept(std::move(frame), &datagram)) {
    case ip::Ingress::Verdict::kDatagram:
      return parts_.stack->Parse(std::move(datagram), now_, out);
    case ip::Ingress::Verdict::kIcmp:
      TakeIcmp(datagram.packet.data);
      return false;
    case ip::Ingress::Verdict::kArp:
      if (parts_.arp != nullptr) parts_.arp->Accept(std::move(datagram.packet), now_, frames_);
      return false;
    case ip::Ingress::Verdict::kDropped:
      return false;
  }
  return false;
}

// What comes of it is posted, and delivered with the timers' events.
void Worker::TakeIcmp(const zbuf::ZChain& message) {
  std::array<std::byte, kLongestIcmpBytes> scratch;
  absl::Span<const std::byte> bytes;
  if (message.slice_count() == 1) {
    bytes = message.front().span();
  } else if (message.bytes() <= scratch.size()) {
    message.CopyTo(absl::MakeSpan(scratch).first(message.bytes()));
    bytes = absl::MakeConstSpan(scratch).first(message.bytes());
  }  // else longer than an error may be, and cut up: none
  parts_.stack->OnIcmp({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}, now_);
}

// What is more than the device should get at once leaves while the rest is being made; what is more than the backlog
// waits for the next round, so that the other verbs have their turn.
void Worker::Flush() {
  verbs_.Enter(Verb::kFlush);
  uint32_t unsent_bytes = 0;
  for (size_t made = 0; parts_.stack->HasOutput() && made < options_.transmit_backlog;) {
    const size_t before = frames_.size();
    if (before >= options_.transmit_backlog) return;
    parts_.stack->Flush(now_, std::min(transmit_burst_, options_.transmit_backlog - before), &batch_);
    if (batch_.empty()) return;  // it waits for memory
    made += batch_.size();
    parts_.egress->Encapsulate(batch_, now_, frames_);
    for (size_t i = before; i < frames_.size(); ++i) unsent_bytes += frames_[i].bytes();
    if (unsent_bytes < options_.transmit_bytes || !parts_.stack->HasOutput()) continue;
    Transmit();
    verbs_.Enter(Verb::kFlush);
    unsent_bytes = 0;
  }
}

bool Worker::Transmit() {
  if (frames_.empty()) return false;
  verbs_.Enter(Verb::kTransmit);
  const size_t sent = parts_.io->TransmitBurst(absl::MakeSpan(frames_));
  if (sent == frames_.size()) [[likely]] {
    frames_.clear();
  } else {
    frames_.erase(frames_.begin(), frames_.begin() + static_cast<std::ptrdiff_t>(sent));
  }
  return true;
}

void Worker::LookAtMemory() {
  parts_.slab->DrainReturns();
  if (!memory_short_ && counters_.iterations.value() % kIterationsBetweenLooksAtMemory != 0) return;
  memory_short_ = IsMemoryShort();
  parts_.stack->SetMemoryShort(memory_short_);
}

bool Worker::IsMemoryShort() {
  const bool own = parts_.slab->IsScarce();
  if (parts_.device_memory_short == nullptr) return own;
  if (!parts_.slab_is_devices) return own || parts_.device_memory_short->load(std::memory_order_relaxed);
  parts_.device_memory_short->store(own, std::memory_order_relaxed);
  return own;
}

bool Worker::DeliverTimers() {
  size_t left = options_.events_per_iteration;
  while (left > 0) {
    const tcp::Event event = parts_.stack->NextEvent(now_);
    if (!event) break;
    Deliver(event);
    verbs_.Enter(Verb::kRest);
    --left;
  }
  return RunAppTimers() || left < options_.events_per_iteration;
}

// With a budget of their own: a flood of events does not starve them.
bool Worker::RunAppTimers() {
  size_t left = options_.events_per_iteration;
  for (; left > 0; --left) {
    timer::Timer* timer = wheel_.PopExpired(now_);
    if (timer == nullptr) break;
    verbs_.Enter(Verb::kDeliver);
    const bool timed = options_.stall_limit != Duration::Infinite();
    const Time start = timed ? parts_.clock->Now() : Time();
    static_cast<AppTimer*>(timer)->OnTimer(now_);
    if (timed) NoteCall(nullptr, start);
  }
  return left < options_.events_per_iteration;
}

bool Worker::TakeMessages() {
  if (parts_.mailbox == nullptr || parts_.mailbox->empty()) return false;
  verbs_.Enter(Verb::kDeliver);
  const bool timed = options_.stall_limit != Duration::Infinite();
  const Time start = timed ? parts_.clock->Now() : Time();
  const size_t messages = parts_.mailbox->Deliver(*this, options_.messages);
  if (timed && messages > 0) NoteCall(nullptr, start);
  return messages > 0;
}

int Worker::PollKernel() {
  if (parts_.poller == nullptr) return 0;
  const bool timed = options_.stall_limit != Duration::Infinite();
  const Time start = timed ? parts_.clock->Now() : Time();
  const int events = parts_.poller->PollIfDue(now_, options_.kernel_events);
  if (timed && events > 0) NoteCall(nullptr, start);
  return events;
}

void Worker::PollControlPlane() {
  // A link that comes up may have a new peer, or one that remembers another host's MAC for our address (RFC 5227 §2.3).
  const bool link_up = parts_.io->link_up();
  if (link_up && !link_was_up_ && parts_.arp != nullptr) parts_.arp->Announce(frames_);
  link_was_up_ = link_up;
  parts_.egress->Poll(now_, frames_);
  if (parts_.egress->routes_version() != routes_version_) FollowRoutes();
  if (parts_.resolver == nullptr) return;
  for (const wire::IpAddress& next_hop : parts_.egress->TakeUnresolved()) parts_.resolver->Resolve(next_hop);
}

void Worker::FollowRoute(tcp::Connection& connection) {
  parts_.stack->OnRouteMtu(connection, parts_.egress->PathMtu(connection.tuple().remote.address), now_);
}

void Worker::FollowRoutes() {
  routes_version_ = parts_.egress->routes_version();
  parts_.stack->ForEachConnection([this](tcp::Connection& connection) { FollowRoute(connection); });
}

// --- Deliver: the only place where application code runs ---

void Worker::Deliver(const tcp::Event& event) {
  verbs_.Enter(Verb::kDeliver);
  if (options_.stall_limit == Duration::Infinite()) return Call(event);
  const Time start = parts_.clock->Now();
  Call(event);
  NoteCall(event.connection, start);
}

void Worker::NoteCall(const tcp::Connection* connection, Time start) {
  const Duration took = parts_.clock->Now() - start;
  if (took <= options_.stall_limit) return;
  counters_.stalls.Increment();
  const auto ns = static_cast<uint64_t>(took.nanoseconds());
  counters_.longest_stall_ns.Set(std::max(counters_.longest_stall_ns.value(), ns));
  if (options_.on_stall) options_.on_stall(connection, took);
}

void Worker::Call(const tcp::Event& event) {
  tcp::Connection& connection = *event.connection;
  const auto* attachment = static_cast<const Attachment*>(connection.owner());
  Handler& handler = *attachment->handler;
  counters_.events_delivered.Increment();
  uint32_t what = event.what;
  if (what & EventBits::kAccepted) FollowRoute(connection);
  if (what & EventBits::kAccepted) handler.OnAccepted(connection);
  if (what & EventBits::kConnected) handler.OnConnected(connection);
  if (what & EventBits::kWritable) {
    if (connection.owner_flags & kHeldReadable) what |= EventBits::kReadable;
    if (connection.owner_flags & kHeldPeerClosed) what |= EventBits::kPeerClosed;
    connection.owner_flags &= ~(kHeldReadable | kHeldPeerClosed);
    if (connection.state() != tcp::State::kClosed) handler.OnWritable(connection);
  }
  if (what & EventBits::kReadable) DeliverReadable(connection, *attachment);
  if (what & EventBits::kPeerClosed) {
    if (connection.owner_flags & kHeldReadable) {
      connection.owner_flags |= kHeldPeerClosed;
    } else if (connection.state() != tcp::State::kClosed) {
      handler.OnPeerClosed(connection);
    }
  }
  if (what & EventBits::kUrgent) handler.OnUrgent(connection);
  if (what & EventBits::kSoftError) handler.OnSoftError(connection);
  if (what & EventBits::kClosed) handler.OnClosed(connection, connection.close_reason());
}

void Worker::DeliverReadable(tcp::Connection& connection, const Attachment& attachment) {
  if (attachment.delivery.hold_reads_while_send_full && connection.send_space() == 0 &&
      tcp::CanSend(connection.state()) && !connection.sender().fin_queued()) {
    connection.owner_flags |= kHeldReadable;
    connection.WantWritable();
    counters_.reads_held.Increment();
    return;
  }
  if (attachment.delivery.leave_data) return attachment.handler->OnReadable(connection, {});
  zbuf::ZChain data = connection.Read();
  if (!data.empty()) attachment.handler->OnReadable(connection, std::move(data));
}

Time Worker::NextDeadline() const {
  if (parts_.stack->HasOutput() || !frames_.empty()) return now_;
  // Other threads free some; Reclaim() goes on with what the device holds.
  const Time soon = memory_short_ || device_holds_ ? now_ + kLookAgain : Time::Infinite();
  return std::min({parts_.stack->NextDeadline(), parts_.egress->NextDeadline(), wheel_.NextDeadline(), soon});
}

}  // namespace luna::r2c
