#include "luna/net/tcp/testing/simulator/transfer.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "luna/mem/zbuf/zchain.h"
#include "luna/net/tcp/listener.h"

namespace luna::tcp::simulator {
namespace {

// One Send() of the application's.
constexpr size_t kMostPerSend = 64 * 1024;

std::string Describe(const End& end) {
  return absl::StrCat("sent ", end.sent(), end.shut() ? " (all)" : "", ", received ", end.received(), ", ",
                      end.over() ? Name(end.reason()) : "not over", end.aborted() ? ", aborted" : "",
                      end.vanished() ? ", vanished" : "");
}

}  // namespace

std::string Habits::ToString() const {
  std::string text = absl::StrCat("sends ", send_bytes, " by ", most_per_send);
  if (answers) absl::StrAppend(&text, " as answers");
  if (send_pause > Duration::Zero()) absl::StrAppend(&text, " each ", send_pause.microseconds(), " us");
  if (never_reads) absl::StrAppend(&text, ", never reads");
  if (most_per_read != UINT32_MAX) {
    absl::StrAppend(&text, ", reads ", most_per_read, " each ", read_pause.microseconds(), " us");
  }
  return absl::StrCat(text, ", ends by ", Name(ending));
}

End::End(Transfers& transfers, Host& host, const Habits& habits, uint64_t key)
    : transfers_(transfers), host_(host), habits_(habits), out_(key), in_(key ^ 1) {}

void End::Handle(const Event& event) {
  ++events_;
  if (over_) transfers_.simulation().Fail("an event after the last one");
  connection_ = event.connection;
  if (event.Has(EventBits::kAccepted | EventBits::kConnected)) ready_ = true;
  if (event.Has(EventBits::kPeerClosed)) peer_closed_ = true;
  if (event.Has(EventBits::kClosed)) {
    Finish();
    return;
  }
  if (event.Has(EventBits::kReadable)) Read();
  if (event.Has(EventBits::kAccepted | EventBits::kConnected | EventBits::kWritable)) Send();
  if (event.Has(EventBits::kPeerClosed)) MaybeEnd();
}

void End::Finish() {
  reason_ = connection_->close_reason();
  // What came in order before the end is still there.
  if (reason_ == CloseReason::kNormal) {
    habits_.most_per_read = UINT32_MAX;
    habits_.never_reads = false;
    read_planned_ = false;
    Read();
  }
  over_ = true;
  over_at_ = host_.clock();
  connection_ = nullptr;
}

void End::Later(Duration pause, bool* planned, void (End::*action)()) {
  if (*planned) return;
  *planned = true;
  host_.After(pause, [this, planned, action] {
    *planned = false;
    if (connection_ != nullptr) (this->*action)();
  });
}

void End::Send() {
  if (connection_ == nullptr || !ready_ || shut_ || aborted_ || send_planned_) return;
  static thread_local std::vector<std::byte> buffer(kMostPerSend);
  if (habits_.ending == Ending::kLast && sent_ >= habits_.send_bytes) return;
  const uint64_t target = habits_.answers ? std::min(habits_.send_bytes, received_) : habits_.send_bytes;
  while (sent_ < target) {
    const size_t bytes = std::min<uint64_t>({target - sent_, habits_.most_per_send, kMostPerSend});
    const absl::Span<std::byte> chunk = absl::MakeSpan(buffer.data(), bytes);
    out_.Fill(sent_, chunk);
    const size_t taken = connection_->Send(absl::Span<const std::byte>(chunk));
    sent_ += taken;
    if (taken < bytes) return;  // kWritable will come
    if (habits_.send_pause > Duration::Zero() && sent_ < target) {
      return Later(habits_.send_pause, &send_planned_, &End::Send);
    }
  }
  // One who answers ends when all questions were asked.
  if (habits_.answers && !peer_closed_ && sent_ < habits_.send_bytes) return;
  switch (habits_.ending) {
    case Ending::kHalfClose:
      shut_ = true;
      connection_->ShutdownWrite();
      MaybeEnd();
      break;
    case Ending::kLast:
      MaybeEnd();
      break;
    case Ending::kCloseEarly:
      shut_ = true;
      closed_early_ = true;
      connection_->Close();
      break;
    case Ending::kAbort:
      Abort();
      break;
  }
}

void End::Read() {
  if (connection_ == nullptr || habits_.never_reads || read_planned_ || aborted_) return;
  const zbuf::ZChain chain = connection_->Read(habits_.most_per_read);
  for (const zbuf::ZSlice& slice : chain) {
    if (!transfers_.expectations().forged && !in_.Matches(received_, slice.span())) {
      transfers_.simulation().Fail(
          absl::StrCat("other octets than were sent, at ", received_, ": ", connection_->ToString()));
    }
    received_ += slice.length;
  }
  if (!transfers_.expectations().forged && received_ > peer_->sent_) {
    transfers_.simulation().Fail(absl::StrCat("received ", received_, " of ", peer_->sent_, " sent"));
  }
  if (connection_->readable_bytes() > 0) Later(habits_.read_pause, &read_planned_, &End::Read);
  if (over_) return;
  if (habits_.answers) Send();
  MaybeEnd();
}

void End::MaybeEnd() {
  if (connection_ == nullptr || !ready_ || !peer_closed_ || connection_->readable_bytes() > 0 || aborted_) return;
  if (connection_->close_reason() != CloseReason::kNone) return;
  if (!transfers_.expectations().forged && !peer_->vanished_ && (received_ != peer_->sent_ || !peer_->shut_)) {
    transfers_.simulation().Fail(absl::StrCat("the peer's end came after ", received_, " octets of ", peer_->sent_));
  }
  if (habits_.answers && !shut_) habits_.send_bytes = std::min(habits_.send_bytes, received_);
  if (sent_ < habits_.send_bytes) return;
  shut_ = true;
  connection_->Close();
}

void End::Abort() {
  aborted_ = true;
  shut_ = true;
  if (connection_ != nullptr) connection_->Abort();
}

void End::BePatient() {
  const bool read_before = !habits_.never_reads;
  habits_.never_reads = false;
  habits_.most_per_read = UINT32_MAX;
  habits_.send_pause = Duration::Zero();
  if (!read_before) {
    host_.At(transfers_.simulation().now(), [this] { Read(); });
  }
}

bool End::IsUnknownToPeer() const {
  return ready_ && !peer_->ready_ && peer_->host_.options().config.syn_cookies == SynCookies::kAlways;
}

void End::Vanish() {
  vanished_ = true;
  over_ = true;
  over_at_ = host_.clock();
  connection_ = nullptr;
}

Transfers::Transfers(Simulation& simulation, const Expectations& expectations)
    : simulation_(simulation),
      expectations_(expectations),
      watched_(simulation.hosts()),
      current_(simulation.hosts()) {}

void Transfers::Watch(size_t host) {
  if (watched_[host]) return;
  watched_[host] = true;
  Host& watched = simulation_.host(host);
  watched.on_event = [this, host](const Event& event) { OnEvent(host, event); };
  watched.on_reboot = [this, host] { OnReboot(host); };
  if (!watched.stack().Listen({watched.address(), kPort}).ok()) simulation_.Fail("cannot listen");
}

void Transfers::Add(size_t from, size_t to, const Habits& active, const Habits& passive, Duration when,
                    uint16_t local_port) {
  Watch(from);
  Watch(to);
  const uint64_t key = Random(simulation_.seed(), ~ends_.size()).Next() << 1;
  ends_.push_back(std::make_unique<End>(*this, simulation_.host(from), active, key));
  ends_.push_back(std::make_unique<End>(*this, simulation_.host(to), passive, key ^ 1));
  End* const a = ends_[ends_.size() - 2].get();
  End* const b = ends_.back().get();
  a->peer_ = b;
  b->peer_ = a;
  simulation_.host(from).After(when, [this, from, to, a, local_port] { Start(from, to, a, local_port); });
}

void Transfers::Start(size_t from, size_t to, End* active, uint16_t local_port) {
  Host& host = simulation_.host(from);
  const wire::Endpoint remote = {simulation_.host(to).address(), kPort};
  const auto connection = host.stack().Connect({host.address(), local_port}, remote, nullptr, host.clock());
  if (!connection.ok()) {
    simulation_.Fail(absl::StrCat("cannot connect: ", connection.status().ToString()));
    return;
  }
  active->connection_ = *connection;
  current_[from][*connection] = active;
  expected_[(*connection)->tuple().Reversed()] = active->peer_;
}

void Transfers::OnEvent(size_t host, const Event& event) {
  auto& current = current_[host];
  if (event.Has(EventBits::kAccepted)) {
    const auto found = expected_.find(event.connection->tuple());
    if (found != expected_.end() && !found->second->ready_ && !found->second->over_) {
      current[event.connection] = found->second;
    } else if (!expectations_.may_break && !expectations_.forged) {
      simulation_.Fail(absl::StrCat("nobody has begun ", event.connection->ToString()));
    }
  }
  const auto found = current.find(event.connection);
  if (found == current.end()) {
    event.connection->Abort();
    return;
  }
  End* const end = found->second;
  if (event.Has(EventBits::kClosed)) current.erase(found);
  end->Handle(event);
}

void Transfers::OnReboot(size_t host) {
  for (auto& [connection, end] : std::exchange(current_[host], {})) end->Vanish();
  Host& rebooted = simulation_.host(host);
  if (!rebooted.stack().Listen({rebooted.address(), kPort}).ok()) simulation_.Fail("cannot listen after a reboot");
}

bool Transfers::AllOver() const {
  return std::all_of(ends_.begin(), ends_.end(), [](const auto& end) { return end->over(); });
}

uint64_t Transfers::progress() const {
  uint64_t sum = 0;
  for (const auto& end : ends_) sum += end->progress() + (end->over() ? 1 : 0);
  return sum;
}

void Transfers::BePatient() {
  for (const auto& end : ends_) end->BePatient();
}

bool Transfers::EndOrphans() {
  bool any = false;
  for (const auto& end : ends_) {
    if (end->over_ || !(end->peer_->over_ || end->IsUnknownToPeer())) continue;
    any = true;
    if (end->connection_ == nullptr) {
      end->Vanish();
      continue;
    }
    end->host_.At(simulation_.now(), [end = end.get()] {
      if (end->over_) return;
      end->Abort();
      end->aborted_ = false;
      end->forced_ = true;
    });
  }
  return any;
}

void Transfers::CheckEnds() {
  for (size_t i = 0; i < ends_.size(); i += 2) {
    CheckPair(*ends_[i], *ends_[i + 1]);
    CheckPair(*ends_[i + 1], *ends_[i]);
  }
}

// `a` ended: is there a cause?
void Transfers::CheckPair(const End& a, const End& b) {
  if (expectations_.forged || a.vanished()) return;
  const auto fail = [&](const char* what) {
    simulation_.Fail(absl::StrCat(what, ": ", simulator::Describe(a), "; its peer: ", simulator::Describe(b)));
  };
  switch (a.reason()) {
    case CloseReason::kNormal:
      if (b.reason() == CloseReason::kNormal && (a.received() != b.sent() || b.received() != a.sent())) {
        fail("a normal end without all octets");
      }
      break;
    case CloseReason::kAborted:
      // Close() with unread octets is a reset, too.
      if (!a.aborted() && !a.forced() && !a.closed_early()) fail("aborted by nobody");
      break;
    case CloseReason::kReset:
    case CloseReason::kRefused:
      // The acknowledgement of the last FIN was lost, and the peer's TIME-WAIT was over before the FIN came again.
      if (b.reason() == CloseReason::kNormal && a.received() == b.sent() && b.received() == a.sent()) break;
      if (!b.aborted() && !b.vanished() && !b.closed_early() && !a.closed_early() && !expectations_.may_break) {
        fail("reset by nobody");
      }
      break;
    default:
      if (!expectations_.may_break && !b.aborted() && !b.vanished() && !b.closed_early()) fail("given up");
  }
}

std::string Transfers::Describe() const {
  std::string text;
  for (size_t i = 0; i < ends_.size(); ++i) {
    absl::StrAppend(&text, i / 2, i % 2 == 0 ? " active:  " : " passive: ", simulator::Describe(*ends_[i]), "\n");
  }
  return text;
}

}  // namespace luna::tcp::simulator
