#include "luna/net/tcp/testing/packetscript/runner.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "luna/net/tcp/testing/packetscript/code_block.h"
#include "luna/net/tcp/testing/packetscript/constants.h"
#include "luna/net/tcp/testing/packetscript/flow.h"
#include "luna/net/tcp/testing/packetscript/packet_match.h"
#include "luna/net/tcp/testing/packetscript/parser.h"
#include "luna/net/tcp/testing/packetscript/settings.h"
#include "luna/net/tcp/testing/packetscript/system_call.h"
#include "luna/net/tcp/testing/packetscript/tcp_info_names.h"
#include "luna/net/tcp/testing/packetscript/wire_packet.h"
#include "luna/net/tcp/testing/sockets/virtual_host.h"
#include "luna/net/wire/tcp_header.h"

namespace luna::tcp::packetscript {
namespace {

using testing::CallResult;
using testing::VirtualHost;
using TimeKind = EventTime::Kind;

// What the options of a script say.
struct Settings {
  int64_t tolerance_usecs = 4000;
  double tolerance_percent = 12.5;
  int64_t timestamp_tick_usecs = 0;
  bool timestamp_echo_scaled = false;
  bool strict_segments = false;
  absl::optional<uint32_t> mtu;
  wire::Endpoint local{wire::Ipv4Address(192, 168, 0, 1), 8080};
  wire::Endpoint remote{wire::Ipv4Address(192, 0, 2, 1), 8080};
};

// The first port of the script's peers when they connect to us.
constexpr uint16_t kPeerPort = 40000;
// How long a packet without a time may take, and how much longer one with a time, so that the message says when it
// came.
constexpr int64_t kPatienceUsecs = 20'000'000;
// How long a system call waits for the blocked one before it.
constexpr int64_t kCallPatienceUsecs = 1'000'000;
constexpr size_t kLargestPayload = 65535 - 120;

absl::Status Number(absl::string_view name, absl::string_view text, int64_t* value) {
  if (absl::SimpleAtoi(text, value) && *value >= 0) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("--", name, " cannot be \"", text, "\""));
}

absl::Status Address(absl::string_view name, absl::string_view text, wire::IpAddress* out) {
  const auto address = wire::Ipv4Address::Parse(text.substr(0, text.find('/')));
  if (!address.has_value()) return absl::UnimplementedError(absl::StrCat("--", name, ": IPv4 addresses only"));
  *out = *address;
  return absl::OkStatus();
}

absl::Status ReadOption(absl::string_view name, absl::string_view value, Settings* settings) {
  int64_t number = 0;
  absl::Status status;
  if (name == "tolerance_usecs") return Number(name, value, &settings->tolerance_usecs);
  if (name == "tcp_ts_tick_usecs") return Number(name, value, &settings->timestamp_tick_usecs);
  if (name == "tolerance_percent") {
    return absl::SimpleAtod(value, &settings->tolerance_percent)
               ? absl::OkStatus()
               : absl::InvalidArgumentError("--tolerance_percent is a number");
  }
  if (name == "mtu" || name == "bind_port" || name == "connect_port") {
    status = Number(name, value, &number);
    if (name == "mtu") settings->mtu = static_cast<uint32_t>(number);
    if (name == "bind_port") settings->local.port = static_cast<uint16_t>(number);
    if (name == "connect_port") settings->remote.port = static_cast<uint16_t>(number);
  }
  if (name == "local_ip") return Address(name, value, &settings->local.address);
  if (name == "remote_ip") return Address(name, value, &settings->remote.address);
  if (name == "tcp_ts_ecr_scaled") settings->timestamp_echo_scaled = true;
  if (name == "strict_segments") settings->strict_segments = true;
  if (name == "ip_version" && value != "ipv4" && value != "ipv4-mapped-ipv6") {
    return absl::UnimplementedError(absl::StrCat("IP version ", value, " is not here"));
  }
  // Others (--mss, --speed, --wire_client …) say how packetdrill reaches a kernel.
  return status;
}

std::string ArgumentText(const Expression& e) {
  using Kind = Expression::Kind;
  const auto items = [&e](absl::string_view separator) {
    return absl::StrJoin(e.items, separator,
                         [](std::string* out, const Expression& item) { out->append(ArgumentText(item)); });
  };
  switch (e.kind) {
    case Kind::kEllipsis:
      return "...";
    case Kind::kInteger:
      return absl::StrCat(e.number);
    case Kind::kWord:
      return e.text;
    case Kind::kString:
      return absl::StrCat("\"", e.text, "\"", e.open ? "..." : "");
    case Kind::kOr:
      return items("|");
    case Kind::kAssign:
      return items("=");
    case Kind::kCall:
      return absl::StrCat(e.text, "(", items(", "), ")");
    case Kind::kList:
      return absl::StrCat("[", items(", "), "]");
    case Kind::kStruct:
      return absl::StrCat("{", items(", "), "}");
  }
  return "";
}

std::string CallText(const SystemCallSpec& spec) {
  return absl::StrCat(
      spec.name, "(",
      absl::StrJoin(spec.arguments, ", ", [](std::string* out, const Expression& e) { out->append(ArgumentText(e)); }),
      ")");
}

std::unique_ptr<VirtualHost> MakeHost(const RunOptions& options, const testing::VirtualHostOptions& host) {
  return options.make_host ? options.make_host(host) : std::make_unique<VirtualHost>(host);
}

class Runner {
 public:
  Runner(const Script& script, const RunOptions& options, const Settings& settings)
      : script_(script),
        options_(options),
        settings_(settings),
        owned_host_(MakeHost(options, {.profile = options.profile, .address = settings.local.address.v4()})),
        host_(*owned_host_),
        flows_(settings.local, {settings.remote.address, kPeerPort}),
        calls_(host_, flows_, {settings.local, settings.remote}),
        start_(host_.now()) {
    host_.on_change = [this] { RetryBlocked(); };
  }

  RunReport Run();

 private:
  // A system call that waits.
  struct Blocked {
    const Event* event = nullptr;
    std::unique_ptr<SystemCall> call;
    int64_t end_usecs = 0;  // when the script expects it to end
    int64_t before_usecs = 0;
  };

  // --- Time, in microseconds of the script ---
  int64_t NowUsecs() const { return Usecs(host_.now()); }
  int64_t Usecs(Time at) const { return (at - start_).microseconds(); }
  Time At(int64_t usecs) const { return start_ + Duration::Microseconds(usecs); }
  void Resolve(const Event& event);
  int64_t Tolerance(int64_t expected, int64_t before) const;
  absl::Status CheckTime(absl::string_view what, int64_t expected, int64_t end, int64_t before, int64_t actual) const;
  absl::Status WaitForEvent();

  absl::Status RunEvent(const Event& event);
  absl::Status RunCommand(const std::string& text);
  absl::Status RunCode(const std::string& text);
  absl::Status RunCall(const Event& event);
  absl::Status RunInbound(const PacketSpec& packet);
  absl::Status RunIcmp(const PacketSpec& packet, const Flow& flow);
  absl::Status RunOutbound(const PacketSpec& packet);
  absl::Status TakePacket(const PacketSpec& packet, Flow* flow, Segment* segment);
  absl::Status TakeGlued(const PacketSpec& packet, Flow* flow, Segment* segment);

  void RetryBlocked();
  absl::Status AwaitBlocked();
  absl::Status FinishCall(const SystemCallSpec& spec, const SystemCall& call, CallResult result);
  absl::Status TearDown();
  void TakeUnexpected();
  void Note(int64_t usecs, absl::string_view text);
  absl::Status Located(const absl::Status& status, int line) const;

  const Script& script_;
  const RunOptions& options_;
  const Settings& settings_;
  std::unique_ptr<VirtualHost> owned_host_;
  VirtualHost& host_;
  FlowTable flows_;
  SystemCalls calls_;
  CodeScope scope_;
  const Time start_;
  RunReport report_;
  Blocked blocked_;
  absl::Status blocked_status_;
  // Of the event at hand, resolved; and of the one before.
  EventTime time_;
  int64_t offset_usecs_ = 0;
  const Event* before_ = nullptr;
  int64_t before_usecs_ = 0;
};

bool IsInbound(const Event& event) { return event.kind == Event::Kind::kPacket && !event.packet.outbound; }

// Relative times count from now; those of packets of the peer in a row from each other.
void Runner::Resolve(const Event& event) {
  time_ = event.time;
  offset_usecs_ = 0;
  if (time_.kind == TimeKind::kAbsolute || time_.kind == TimeKind::kAbsoluteRange) return;
  const bool in_a_row = before_ != nullptr && IsInbound(*before_) && IsInbound(event);
  offset_usecs_ = in_a_row ? before_usecs_ : NowUsecs();
  time_.usecs += offset_usecs_;
  time_.end_usecs += offset_usecs_;
}

int64_t Runner::Tolerance(int64_t expected, int64_t before) const {
  const auto relative =
      static_cast<int64_t>(settings_.tolerance_percent / 100 * static_cast<double>(expected - before));
  return std::max(settings_.tolerance_usecs, relative);
}

absl::Status Runner::CheckTime(absl::string_view what, int64_t expected, int64_t end, int64_t before,
                               int64_t actual) const {
  const int64_t tolerance = Tolerance(expected, before);
  if (actual >= expected - tolerance && actual <= end + tolerance) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrFormat("%s at %.6f s, expected at %.6f s", what,
                                                       static_cast<double>(actual) * 1e-6,
                                                       static_cast<double>(actual < expected ? expected : end) * 1e-6));
}

absl::Status Runner::WaitForEvent() {
  if (time_.usecs > NowUsecs()) host_.AdvanceTo(At(time_.usecs));
  if (!blocked_status_.ok()) return absl::OkStatus();  // told by RunEvent
  return CheckTime("the event happens", time_.usecs, time_.usecs, before_usecs_, NowUsecs());
}

void Runner::Note(int64_t usecs, absl::string_view text) {
  report_.trace.push_back(absl::StrFormat("%9.6f %s", static_cast<double>(usecs) * 1e-6, text));
}

absl::Status Runner::Located(const absl::Status& status, int line) const {
  return absl::Status(status.code(), absl::StrCat(script_.path, ":", line, ": ", status.message()));
}

RunReport Runner::Run() {
  for (const Event& event : script_.events) {
    Resolve(event);
    absl::Status status = RunEvent(event);
    if (!blocked_status_.ok()) {
      report_.status = blocked_status_;
      break;
    }
    if (!status.ok()) {
      report_.status = Located(status, event.line);
      break;
    }
    before_ = &event;
    before_usecs_ = time_.kind == TimeKind::kAny ? NowUsecs() : time_.usecs;
  }
  if (report_.status.ok()) report_.status = AwaitBlocked();
  TakeUnexpected();
  absl::Status end = TearDown();
  if (report_.status.ok()) report_.status = std::move(end);
  return std::move(report_);
}

absl::Status Runner::RunEvent(const Event& event) {
  if (event.kind == Event::Kind::kPacket && event.packet.outbound) return RunOutbound(event.packet);
  if (absl::Status status = WaitForEvent(); !status.ok()) return status;
  if (!blocked_status_.ok()) return absl::OkStatus();
  switch (event.kind) {
    case Event::Kind::kPacket:
      return RunInbound(event.packet);
    case Event::Kind::kSystemCall:
      return RunCall(event);
    case Event::Kind::kCommand:
      return RunCommand(event.text);
    case Event::Kind::kCode:
      return RunCode(event.text);
  }
  return absl::OkStatus();
}

absl::Status Runner::RunCommand(const std::string& text) {
  const CommandReading reading = ReadCommand(text);
  for (const auto& [name, value] : reading.settings) {
    const absl::Status status = host_.SetSysctl(name, value);
    if (status.ok()) continue;
    report_.skipped.push_back(absl::StrCat(name, "=", value, ": ", status.message()));
  }
  report_.skipped.insert(report_.skipped.end(), reading.skipped.begin(), reading.skipped.end());
  return absl::OkStatus();
}

absl::Status Runner::RunCode(const std::string& text) {
  Flow* flow = flows_.current();
  if (flow == nullptr) return absl::FailedPreconditionError("there is no connection to ask");
  if (absl::Status status = SetTcpInfoNames(host_, calls_.HostFd(flow->fd), &scope_); !status.ok()) return status;
  return scope_.Run(text);
}

// --- System calls ---

absl::Status Runner::FinishCall(const SystemCallSpec& spec, const SystemCall& call, CallResult result) {
  const std::string value = result.would_block  ? "would block"
                            : result.error != 0 ? absl::StrCat("-1 ", ErrnoName(result.error))
                                                : absl::StrCat(result.value);
  Note(NowUsecs(), absl::StrCat(CallText(spec), " = ", value));
  return calls_.Finish(spec, call, result);
}

absl::Status Runner::RunCall(const Event& event) {
  if (absl::Status status = AwaitBlocked(); !status.ok()) return status;
  absl::StatusOr<std::unique_ptr<SystemCall>> call = calls_.Prepare(event.call);
  if (!call.ok()) return call.status();
  const int64_t end_usecs = offset_usecs_ + event.call.end_usecs;
  const CallResult result = (*call)->attempt();
  if (result.would_block && event.call.blocking) {
    blocked_ = {&event, *std::move(call), end_usecs, before_usecs_};
    Note(NowUsecs(), absl::StrCat(CallText(event.call), " blocks"));
    return absl::OkStatus();
  }
  if (result.would_block) host_.CancelWait((*call)->host_fd);
  if (absl::Status status = FinishCall(event.call, **call, result); !status.ok()) return status;
  if (!event.call.blocking) return absl::OkStatus();
  return CheckTime("the call ends", end_usecs, end_usecs, before_usecs_, NowUsecs());
}

void Runner::RetryBlocked() {
  if (blocked_.event == nullptr) return;
  const CallResult result = blocked_.call->attempt();
  if (result.would_block) return;
  const Blocked done = std::exchange(blocked_, {});
  absl::Status status = FinishCall(done.event->call, *done.call, result);
  if (status.ok()) status = CheckTime("the call ends", done.end_usecs, done.end_usecs, done.before_usecs, NowUsecs());
  if (!status.ok() && blocked_status_.ok()) blocked_status_ = Located(status, done.event->line);
}

absl::Status Runner::AwaitBlocked() {
  const int64_t patience = NowUsecs() + kCallPatienceUsecs;
  while (blocked_.event != nullptr && host_.NextDeadline() <= At(patience)) host_.AdvanceTo(host_.NextDeadline());
  if (blocked_.event != nullptr) host_.AdvanceTo(At(std::max(blocked_.end_usecs, NowUsecs())));
  if (blocked_.event == nullptr) return blocked_status_;
  return Located(absl::FailedPreconditionError("the call does not end"), blocked_.event->line);
}

// --- Packets ---

absl::Status Runner::RunIcmp(const PacketSpec& packet, const Flow& flow) {
  const absl::StatusOr<IcmpName> name = FindIcmp(*packet.icmp);
  if (!name.ok()) return name.status();
  Segment about;
  about.source = flow.local;
  about.destination = flow.remote;
  const SequenceRange echoed = packet.icmp->echoed.value_or(SequenceRange());
  about.sequence = echoed.start + flow.LocalOffset(/*syn=*/false);
  const std::vector<uint8_t> bytes = AssembleIcmp(*packet.icmp, *name, about, echoed.payload_bytes);
  Note(NowUsecs(), absl::StrCat("< icmp ", packet.icmp->type, " ", packet.icmp->code));
  host_.Inject({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  return absl::OkStatus();
}

absl::Status Runner::RunInbound(const PacketSpec& packet) {
  Flow* flow = flows_.ForScript(packet);
  if (flow == nullptr) return absl::FailedPreconditionError("the packet belongs to no connection");
  if (packet.icmp.has_value()) return RunIcmp(packet, *flow);
  if (packet.sequence.payload_bytes > kLargestPayload) return absl::InvalidArgumentError("so much fits in no packet");
  const bool syn_ack = (packet.flags & wire::TcpFlags::kSyn) != 0 && (packet.flags & wire::TcpFlags::kAck) != 0;
  if (flow->state == Flow::State::kSynSent && syn_ack) {
    flow->state = Flow::State::kActive;
    flow->remote_isn = packet.sequence.start;
  }
  Segment segment = FromScript(packet);
  Note(NowUsecs(), absl::StrCat("< ", ToString(segment)));
  if (absl::Status status = flow->ToLive(&segment, settings_.timestamp_echo_scaled); !status.ok()) return status;
  flow->last_in = segment;
  const std::vector<uint8_t> bytes = Assemble(segment);
  host_.Inject({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  return absl::OkStatus();
}

// The next packet of `flow`, in the script's numbers but for its timestamp. Others on the way are remarked upon.
absl::Status Runner::TakePacket(const PacketSpec& packet, Flow* flow, Segment* segment) {
  const int64_t until = (time_.kind == TimeKind::kAny ? NowUsecs() : std::max(time_.usecs, time_.end_usecs));
  while (true) {
    if (!host_.StepToNextPacket(At(until + kPatienceUsecs))) {
      return absl::FailedPreconditionError(absl::StrCat("no packet came, expected > ", ToString(FromScript(packet))));
    }
    const VirtualHost::Packet live = *host_.NextPacket();
    const auto* bytes = reinterpret_cast<const uint8_t*>(live.bytes.data());
    absl::StatusOr<Segment> dissected = Dissect({bytes, live.bytes.size()}, live.at);
    if (!dissected.ok())
      return absl::Status(dissected.status().code(),
                          absl::StrCat("a packet is broken: ", dissected.status().message()));
    *segment = *std::move(dissected);
    if (flows_.ForLive(*segment) == flow) break;
    report_.unexpected.push_back(absl::StrCat("of another connection: ", ToString(*segment)));
  }
  const bool syn_ack = (packet.flags & wire::TcpFlags::kSyn) != 0 && (packet.flags & wire::TcpFlags::kAck) != 0;
  if (flow->state == Flow::State::kFirstPacket && syn_ack) {
    flow->state = Flow::State::kPassive;
    flow->live_isn = segment->sequence;
    flow->script_isn = packet.sequence.start;
  }
  flow->last_out = *segment;
  flow->ToScript(segment);
  Note(Usecs(segment->at), absl::StrCat("> ", ToString(*segment)));
  return absl::OkStatus();
}

// As many packets as it takes for the payload that the script expects.
absl::Status Runner::TakeGlued(const PacketSpec& packet, Flow* flow, Segment* segment) {
  if (absl::Status status = TakePacket(packet, flow, segment); !status.ok()) return status;
  const size_t wanted = packet.sequence.payload_bytes;
  Segment last = *segment;
  while (segment->payload.size() < wanted && !settings_.strict_segments) {
    Segment next;
    if (absl::Status status = TakePacket(packet, flow, &next); !status.ok()) return status;
    if (absl::Status status = MatchPiece(last, next, wanted - segment->payload.size()); !status.ok()) {
      return absl::FailedPreconditionError(absl::StrCat(status.message(), " in a piece of what is expected, > ",
                                                        ToString(FromScript(packet)), "; it is > ", ToString(next)));
    }
    *segment = Glue(*segment, next);
    last = std::move(next);
  }
  return absl::OkStatus();
}

absl::Status Runner::RunOutbound(const PacketSpec& packet) {
  Flow* flow = flows_.ForScript(packet);
  if (flow == nullptr) return absl::FailedPreconditionError("the packet belongs to no connection");
  Segment segment;
  if (absl::Status status = TakeGlued(packet, flow, &segment); !status.ok()) return status;
  const Segment expected = FromScript(packet);
  flow->LearnTimestamp(expected, &segment);
  const TimestampTolerance tolerance{settings_.timestamp_tick_usecs, settings_.tolerance_usecs};
  if (absl::Status status = MatchPacket(packet, segment, tolerance); !status.ok()) {
    return absl::FailedPreconditionError(
        absl::StrCat(status.message(), "; expected > ", ToString(expected), ", got > ", ToString(segment)));
  }
  if (time_.kind == TimeKind::kAny) return absl::OkStatus();
  const bool range = time_.kind == TimeKind::kAbsoluteRange || time_.kind == TimeKind::kRelativeRange;
  return CheckTime(absl::StrCat("> ", ToString(segment), " came"), time_.usecs, range ? time_.end_usecs : time_.usecs,
                   before_usecs_, Usecs(segment.at));
}

// --- The end ---

void Runner::TakeUnexpected() {
  while (const std::optional<VirtualHost::Packet> live = host_.NextPacket()) {
    absl::StatusOr<Segment> segment =
        Dissect({reinterpret_cast<const uint8_t*>(live->bytes.data()), live->bytes.size()}, live->at);
    if (!segment.ok()) {
      report_.unexpected.push_back(std::string(segment.status().message()));
      continue;
    }
    if (const Flow* flow = flows_.ForLive(*segment); flow != nullptr) flow->ToScript(&*segment);
    report_.unexpected.push_back(
        absl::StrFormat("%9.6f > %s", static_cast<double>(Usecs(live->at)) * 1e-6, ToString(*segment)));
  }
}

absl::Status Runner::TearDown() {
  host_.on_change = nullptr;
  if (blocked_.event != nullptr) host_.CancelWait(blocked_.call->host_fd);
  const std::map<int, int> fds = calls_.fds();
  for (auto fd = fds.rbegin(); fd != fds.rend(); ++fd) host_.Close(fd->second);
  for (const Flow& flow : flows_.all()) {
    const bool listener = flow.state == Flow::State::kListening || flow.state == Flow::State::kNew;
    if (listener || flow.local.port == 0) continue;
    const std::vector<uint8_t> bytes = Assemble(flow.Reset());
    host_.Inject({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  }
  const VirtualHost::Remains remains = host_.TearDown();
  if (remains.objs > 0)
    return absl::InternalError(absl::StrCat(script_.path, ": ", remains.objs, " objs are not home"));
  if (options_.strict_end && !report_.unexpected.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(
        script_.path, ": packets that the script does not have: ", absl::StrJoin(report_.unexpected, "; ")));
  }
  return absl::OkStatus();
}

}  // namespace

RunReport RunScript(const Script& script, const RunOptions& options) {
  RunReport failed;
  Settings settings;
  for (const auto& [name, value] : script.options) {
    failed.status = ReadOption(name, value, &settings);
    if (failed.status.ok()) continue;
    failed.status = absl::Status(failed.status.code(), absl::StrCat(script.path, ": ", failed.status.message()));
    return failed;
  }
  RunOptions adjusted = options;
  if (settings.mtu.has_value()) adjusted.profile.stack.mtu = *settings.mtu;
  failed.status = Validate(adjusted.profile.stack);
  if (!failed.status.ok()) return failed;
  return Runner(script, adjusted, settings).Run();
}

RunReport RunScriptFile(const std::string& path, const RunOptions& options) {
  const absl::StatusOr<Script> script = LoadScript(path);
  if (script.ok()) return RunScript(*script, options);
  RunReport failed;
  failed.status = script.status();
  return failed;
}

}  // namespace luna::tcp::packetscript
