#include "luna/net/tcp/testing/fuzz/stack_program.h"

#include <algorithm>
#include <string>
#include <vector>

#include "luna/mem/zbuf/testing/test_slab.h"
#include "luna/net/tcp/testing/fuzz/checked_host.h"
#include "luna/net/wire/byte_cursor.h"
#include "luna/net/wire/icmpv4.h"

namespace luna::tcp::testing {
namespace {

using wire::TcpFlags;
using Head = std::array<uint8_t, kHeadBytes>;

constexpr size_t kFlows = 3;
constexpr Time kStart = Time::FromNanoseconds(int64_t{5000} * 1000 * 1000 * 1000);
constexpr uint32_t kPeerIsn = 0xfffff000;  // wraps after 4 KB
constexpr uint64_t kMemoryLimit = 64 << 10;

// Zeros: everything that both sides can do, and large buffers.
StackConfig Config(const Head& head) {
  StackConfig config = head[0] & 1 ? StackConfig::Rfc() : StackConfig::DataCentre();
  config.timestamps = !(head[0] & 2);
  config.window_scale = !(head[0] & 4);
  config.sack = !(head[0] & 8);
  config.nagle = head[0] & 16;
  if (head[0] & 32) config.delayed_ack = Duration::Zero();
  if (head[0] & 64) config.memory_limit_bytes = kMemoryLimit;
  config.ecn = head[0] & 128 ? EcnMode::kOff : EcnMode::kAlways;
  constexpr uint32_t kBuffers[] = {1u << 20, 3000, 65535, 1u << 16, 20000, 1, 1u << 22, 536};
  config.receive_buffer_bytes = kBuffers[head[1] % 8];
  config.send_buffer_bytes = kBuffers[head[1] / 8 % 8];
  if (head[1] & 64) config.receive_buffer_max_bytes = 0;
  if (head[1] & 128) config.receive_slices_limit = 8;
  config.syn_cookies = static_cast<SynCookies>((head[2] + 1) % 3);
  if (head[2] & 4) config.max_connections = 1;
  if (head[2] & 8) config.max_orphans = 0;
  if (head[2] & 16) config.quick_acks = 16;
  if (head[2] & 32) config.ack_on_read = config.delay_fin_ack = true;
  if (head[2] & 64) config.fin_wait_2 = Duration::Zero();
  if (head[2] & 128) config.soft_errors_end_handshake = false;
  config.rack = !(head[3] & 1);
  config.tail_loss_probe = !(head[3] & 2);
  config.frto = !(head[3] & 4);
  config.congestion = head[3] & 8 ? CongestionAlgorithm::kCubic : CongestionAlgorithm::kNewReno;
  config.rto_min_is_margin = head[3] & 16;
  config.dsack = !(head[3] & 32);
  if (head[3] & 64) config.mtu = 600;
  config.reduce_from_window = head[3] & 128;
  config.header_reserve = 2;
  config.secret = {head[4], 1};
  return config;
}

class Program {
 public:
  Program(const Head& head, zbuf::TestSlab& memory, zbuf::TestSlab& device, TransitionLog* log)
      : head_(head), host_(Config(head), memory, device, log, kStart) {
    host_.set_takes(!(head[5] & 1));
    for (size_t i = 0; i < kFlows; ++i) {
      host_.AddFlow({{wire::Ipv4Address(10, 0, 0, 2), 61441},
                     {wire::Ipv4Address(10, 0, 0, 1), static_cast<uint16_t>(40000 + i)}});
    }
  }

  void Run(const Step& step) {
    Flow& flow = host_.flow(step[10] % 4 % kFlows);
    const uint8_t kind = step[0] % StepKind::kCount;
    if (kind < StepKind::kCall) {
      Segment(flow, step);
    } else if (kind < StepKind::kOption) {
      Call(flow, step);
    } else if (kind == StepKind::kOption) {
      Option(flow, step);
    } else if (kind < StepKind::kIcmp) {
      Clock(step);
    } else if (kind == StepKind::kIcmp) {
      Icmp(flow, step);
    } else if (step[1] % 2 == 0 && exhaustions_ < kMostExhaustions) {
      ++exhaustions_;
      host_.Exhaust(step[2] % 4);
    } else {
      host_.Release();
    }
    Turn(step[10]);
  }

  void Finish() { host_.Finish(); }

 private:
  using Flow = CheckedHost::Flow;
  static constexpr int kMostExhaustions = 4;  // each takes a while

  const Connection* Live(const Flow& flow) const { return flow.live ? flow.connection : nullptr; }

  // What follows each step, unless the step says that it does not.
  void Turn(uint8_t controls) {
    if (!(controls & 4)) host_.Poll();
    if (!(controls & 8)) host_.Flush(controls & 32 ? 1 : 1024, nullptr);
    if (!(controls & 16)) host_.Reap();
  }

  uint32_t PeerIsn() const { return head_[6] == 0 ? kPeerIsn : uint32_t{head_[6]} << 24; }

  uint32_t Sequence(const Flow& flow, const Step& step) const {
    const Connection* c = Live(flow);
    const auto delta = static_cast<uint32_t>(Signed(step[3]));
    if (c == nullptr || !flow.has_irs) return (flow.emitted && c == nullptr ? flow.last_ack : PeerIsn()) + delta;
    const Receiver& r = c->receiver();
    const auto& blocks = r.out_of_order().blocks();
    const uint32_t nxt = r.nxt().raw();
    const uint32_t last_fin = flow.fins.empty() ? nxt : flow.irs + static_cast<uint32_t>(*flow.fins.rbegin());
    const uint32_t bases[16] = {nxt,
                                nxt,
                                r.edge().raw(),
                                flow.irs,
                                nxt - 1,
                                blocks.empty() ? nxt : blocks.front().end().raw(),
                                blocks.empty() ? nxt + 100 : blocks.front().start.raw(),
                                last_fin,
                                nxt + 1460,
                                nxt + 2 * 1460,
                                r.edge().raw() - 1,
                                nxt - r.buffer_bytes(),
                                nxt + 0x80000000u,
                                blocks.empty() ? nxt + 10 : blocks.back().end().raw(),
                                nxt + Word(step, 12),
                                Word(step, 12) << 16 | Word(step, 14)};
    return bases[step[2] % 16] + delta;
  }

  uint32_t Acknowledgement(const Flow& flow, const Step& step) const {
    const Connection* c = Live(flow);
    const auto delta = static_cast<uint32_t>(Signed(step[4]));
    if (c == nullptr) return flow.last_seq_end + delta;
    const Sender& s = c->sender();
    const uint32_t una = s.una().raw();
    const uint32_t max = s.max().raw();
    const uint32_t bases[16] = {max,
                                max,
                                una,
                                s.nxt().raw(),
                                una + s.mss(),
                                max - 1,
                                s.iss().raw(),
                                una - 1,
                                max + 1,
                                una - 70000,
                                una + 0x80000000u,
                                una + 2 * s.mss(),
                                una + (max - una) / 2,
                                una,
                                max,
                                Word(step, 12) << 16 | Word(step, 14)};
    return bases[step[2] / 16] + delta;
  }

  static size_t PayloadBytes(uint8_t code) {
    return code <= 200 ? code : std::min<size_t>((code - 200) * size_t{730}, 20000);
  }

  static uint16_t Window(uint8_t code) {
    if (code == 0) return 0xffff;
    if (code < 4) return static_cast<uint16_t>(code - 1);
    return static_cast<uint16_t>(code < 128 ? code * 16 : code << 8);
  }

  wire::TcpOptions Options(const Flow& flow, const Step& step, uint16_t flags) {
    wire::TcpOptions options;
    const Connection* c = Live(flow);
    const bool syn = flags & TcpFlags::kSyn;
    if (syn) {
      constexpr uint16_t kSizes[] = {1460, 536, 88, 0, 65535, 9000, 1, 100};
      options.has_mss = !(step[9] & 1);
      options.mss = kSizes[step[9] / 16 % 8];
      options.has_window_scale = !(step[9] & 2);
      options.window_scale = step[9] & 128 ? 15 : 7;
      options.sack_permitted = !(step[9] & 4);
    }
    const bool stamped = syn ? !(step[9] & 8) : c == nullptr || c->timestamps();
    options.has_timestamp = stamped != static_cast<bool>(step[7] & 1);
    tsval_ += static_cast<uint32_t>(Signed(step[8]));
    options.tsval = step[7] & 2 ? tsval_ - 1000 : tsval_;
    options.tsecr = step[7] & 4 ? flow.last_tsval + Word(step, 12) - 7 : flow.last_tsval;
    if (c == nullptr || !(step[7] & 8)) return options;
    const uint32_t una = c->sender().una().raw();
    const uint32_t unit = std::max<uint32_t>(c->sender().mss(), 1);
    options.sack_count = static_cast<uint8_t>(1 + step[11] % 4);
    for (size_t i = 0; i < options.sack_count; ++i) {
      const uint32_t left = una + (step[12 + i] % 16) * unit - (step[11] & 16 ? 2 * unit : 0);
      options.sack[i] = {left, left + (step[12 + i] / 16) * unit + (step[11] & 32 ? 1 : 0)};
    }
    return options;
  }

  void Segment(Flow& flow, const Step& step) {
    wire::TcpHeader h;
    h.source_port = flow.tuple.remote.port;
    h.destination_port = flow.tuple.local.port;
    h.flags = step[1] ^ TcpFlags::kAck;
    h.sequence = Sequence(flow, step);
    h.acknowledgment = Acknowledgement(flow, step);
    h.window = Window(step[6]);
    if (step[7] & 64) {
      h.flags |= TcpFlags::kUrg;
      h.urgent_pointer = step[15];
    }
    const wire::TcpOptions options = Options(flow, step, h.flags);
    uint8_t head[wire::TcpHeader::kMaximumSize] = {};
    h.header_length = static_cast<uint8_t>(wire::TcpHeader::kSize + wire::WriteTcpOptions(options, head + 20));
    wire::Write(h, head);
    std::string bytes(reinterpret_cast<const char*>(head), h.header_length);
    const bool syn = h.Has(TcpFlags::kSyn);
    bytes += Octets(h.sequence + (syn ? 1 : 0), PayloadBytes(step[5]));
    // Nonsense among the options.
    if (step[7] & 16 && h.header_length > 22)
      bytes[20 + step[12] % (h.header_length - 20u)] = static_cast<char>(step[13]);
    wire::StoreBe16(reinterpret_cast<uint8_t*>(bytes.data()) + 16, Sum(flow, bytes));
    if (step[7] & 128) bytes[step[12] % bytes.size()] ^= static_cast<char>(1 << step[13] % 8);
    const auto ecn = static_cast<ip::Ecn>(syn ? 0 : step[9] % 4);
    host_.Ingest(flow, bytes, step[7] & 32 ? 1 + step[14] % 64 : 0, ecn);
  }

  static uint16_t Sum(const Flow& flow, const std::string& bytes) {
    return wire::TcpChecksum(flow.tuple.remote.address.v4(), flow.tuple.local.address.v4(),
                             absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()));
  }

  void Call(Flow& flow, const Step& step) {
    switch (step[1] % StepCall::kCount) {
      case StepCall::kListen:
        host_.Listen(flow.tuple.local,
                     {.backlog = step[2] == 0 ? 1024 : step[2] - 1u, .accept_backlog = step[3] == 0 ? 1024u : step[3]});
        break;
      case StepCall::kStopListening:
        host_.StopListening();
        break;
      case StepCall::kConnect:
        host_.Connect(flow);
        break;
      case StepCall::kSend:
        host_.Send(flow, Word(step, 2), step[4] & 1, {.more = (step[4] & 2) != 0, .urgent = (step[4] & 4) != 0});
        break;
      case StepCall::kRead:
        host_.Read(flow, Word(step, 2) == 0 ? SIZE_MAX : Word(step, 2));
        break;
      case StepCall::kShutdownWrite:
        host_.ShutdownWrite(flow);
        break;
      case StepCall::kShutdownRead:
        host_.ShutdownRead(flow);
        break;
      case StepCall::kClose:
        host_.Close(flow);
        break;
      case StepCall::kAbort:
        host_.Abort(flow);
        break;
      case StepCall::kWantWritable:
        host_.Send(flow, 0, false, {});
        if (flow.known && flow.live) flow.connection->WantWritable();
        break;
      default:
        if (flow.known && flow.live) flow.connection->Push();
        break;
    }
  }

  void Option(Flow& flow, const Step& step) {
    const uint32_t value = Word(step, 2);
    host_.SetOptions(flow, [&](ConnectionOptions& o) {
      if (step[1] & 1) o.user_timeout = Duration::Milliseconds(value);
      if (step[1] & 2) o.keep_alive = !o.keep_alive;
      if (step[1] & 2) o.keep_alive_idle = o.keep_alive_interval = Duration::Milliseconds(1 + value);
      if (step[1] & 4) o.linger = !o.linger;
      if (step[1] & 4) o.linger_time = Duration::Milliseconds(value);
      if (step[1] & 8) o.receive_buffer_bytes = value + 1;
      if (step[1] & 16) o.cork = !o.cork;
      if (step[1] & 32) o.nagle = !o.nagle;
      if (step[1] & 64) o.mss_clamp = static_cast<uint16_t>(value);
      if (step[1] & 128) o.window_clamp = value;
    });
  }

  void Clock(const Step& step) {
    const int64_t amount = Word(step, 2);
    constexpr int64_t kUnits[] = {1000, 1000 * 1000, 1000 * 1000 * 1000, int64_t{3600} * 1000 * 1000 * 1000};
    if (step[1] % 8 >= 4) {
      host_.SetTime(host_.now() + Duration::Nanoseconds(amount % 1000 * kUnits[step[1] % 4]));
      return;
    }
    // From deadline to deadline.
    for (int i = step[4] % 32; i >= 0; --i) {
      const Time next = host_.stack().NextDeadline();
      if (next > host_.now() + Duration::Seconds(3 * 3600)) return;
      host_.SetTime(std::max(next, host_.now()));
      if (i > 0) Turn(step[10]);
    }
  }

  void Icmp(Flow& flow, const Step& step) {
    const Connection* c = Live(flow);
    constexpr uint8_t kTypes[] = {3, 3, 3, 11, 12, 4, 3, 3};
    std::string text(36, '\0');
    auto* m = reinterpret_cast<uint8_t*>(text.data());
    m[8] = 0x45;
    m[17] = 6;
    wire::StoreBe32(m + 20, flow.tuple.local.address.v4().value());
    wire::StoreBe32(m + 24, flow.tuple.remote.address.v4().value());
    wire::StoreBe16(m + 28, flow.tuple.local.port);
    wire::StoreBe16(m + 30, flow.tuple.remote.port);
    const uint32_t una = c == nullptr ? flow.last_seq_end : c->sender().una().raw();
    wire::StoreBe32(m + 32, una + static_cast<uint32_t>(Signed(step[3])));
    const wire::Icmpv4Header header{
        .type = kTypes[step[1] % 8], .code = static_cast<uint8_t>(step[2] % 16), .rest = Word(step, 4)};
    wire::Write(header, absl::MakeSpan(m, text.size()));
    const uint8_t code = header.code;
    const bool hard = header.type == 3 && (code == 2 || code == 3 || code == 9 || code == 10 || code >= 13);
    host_.OnIcmp(flow, text, hard);
  }

  const Head head_;
  CheckedHost host_;
  uint32_t tsval_ = 1000;
  int exhaustions_ = 0;
};

}  // namespace

void RunStackProgram(const uint8_t* data, size_t size, TransitionLog* log) {
  static auto* memory = new zbuf::TestSlab(size_t{6} << 20);
  static auto* device = new zbuf::TestSlab(size_t{24} << 20);
  const Steps steps(data, size);
  Program program(steps.Head(), *memory, *device, log);
  for (size_t i = 0; i < std::min(steps.size(), kMostStackSteps); ++i) program.Run(steps[i]);
  program.Finish();
}

absl::Span<const Step> UsualStackSteps() {
  constexpr uint8_t kSyn = TcpFlags::kSyn, kFin = TcpFlags::kFin, kRst = TcpFlags::kRst, kAck = TcpFlags::kAck;
  constexpr uint8_t kCall = StepKind::kCall, kTime = StepKind::kTime;
  static const auto& kUsual = *new std::vector<Step>{
      {0, kSyn ^ kAck},                                     // SYN
      {0, kSyn},                                            // SYN-ACK
      {0},                                                  // ACK of everything
      {0, 0, 0x20},                                         // ACK of nothing new
      {0, 0, 0, 0, 0, 100},                                 // data
      {0, 0, 0x20, 0, 0, 202},                              // a full segment that acknowledges nothing new
      {0, 0, 8, 0, 0, 202},                                 // ahead of a hole
      {0, kFin},                                            // FIN
      {0, kFin, 0x20},                                      // FIN that acknowledges nothing new
      {0, kFin, 8},                                         // FIN ahead of a hole
      {0, kRst},                                            // RST
      {0, 0, 0x20, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0x11, 0x13},  // SACK
      {0, 0, 0, 0, 0, 0, 1},                                // a closed window
      {kCall, StepCall::kListen},                           //
      {kCall, StepCall::kListen, 1},                        // cookies
      {kCall, StepCall::kConnect},                          //
      {kCall, StepCall::kSend, 0, 16},                      // 4 KB
      {kCall, StepCall::kSend, 100, 0, 1},                  //
      {kCall, StepCall::kRead},                             //
      {kCall, StepCall::kShutdownWrite},                    //
      {kCall, StepCall::kClose},                            //
      {kCall, StepCall::kAbort},                            //
      {kTime},                                              // to the next deadline
      {kTime, 0, 0, 0, 31},                                 // to the 32nd
      {kTime, 6, 2},                                        // two seconds
      {StepKind::kIcmp, 0, 3},                              // port unreachable
      {StepKind::kIcmp, 0, 4, 0, 0x40, 2},                  // too big
      {StepKind::kMemory},                                  // memory is out
      {StepKind::kMemory, 1},                               // and back
  };
  return kUsual;
}

}  // namespace luna::tcp::testing
