// Two stacks, and the fuzzer is the network between them and both applications: it drops, duplicates, reorders, cuts,
// corrupts, delays and keeps segments for later. Everything that CheckedHost knows of one side holds on both; what one
// side reads is a prefix of what the other has written; and once the network has been mended, all that was written
// arrives and both sides close, within bounds.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "glog/logging.h"
#include "luna/mem/zbuf/testing/test_slab.h"
#include "luna/net/pmd/packet.h"
#include "luna/net/tcp/config.h"
#include "luna/net/tcp/testing/fuzz/checked_host.h"
#include "luna/net/tcp/testing/fuzz/step_mutator.h"
#include "luna/net/tcp/testing/fuzz/steps.h"
#include "luna/net/tcp/testing/fuzz/transitions.h"

namespace luna::tcp::testing {
namespace {

using Head = std::array<uint8_t, kHeadBytes>;
using Flow = CheckedHost::Flow;

constexpr size_t kMostSteps = 250;
constexpr size_t kFlows = 2;
constexpr size_t kMostWritten = 300000;  // by each side of a connection
constexpr Time kStart = Time::FromNanoseconds(int64_t{5000} * 1000 * 1000 * 1000);
constexpr Duration kDelay = Duration::Microseconds(100);  // of a network without faults
// Time-outs at their longest until all has arrived and all is closed, in a network without faults: what was backed off
// or waits for a lost window update, in both directions one after the other, and again for the FINs.
constexpr int kPatience = 8;
// A listener with SYN cookies keeps silent, and sends no reset, where a number looks like a cookie's of now: one in 512
// does, for two of the cookies' ticks.
constexpr Duration kLikeACookies = Duration::Seconds(130);
constexpr size_t kMostWaiting = 500;  // segments under way in one direction
constexpr int kMostTurns = 200000;

// Step[0] modulo kKinds.
enum Kind : uint8_t {
  kDeliver,  // 0 to 3: those that wait, oldest first; how many: Step[2]
  kPick = 4,
  kDrop,
  kDuplicate,
  kCorrupt,
  kCut,
  kKeep,  // for kReplay
  kReplay,
  kTime,  // 11 and 12
  kCall = 13,
  kMemory = 15,
  kKinds,
};

StackConfig Config(uint8_t bits, uint8_t buffers) {
  StackConfig config = bits & 1 ? StackConfig::Rfc() : StackConfig::DataCentre();
  config.timestamps = !(bits & 2);
  config.window_scale = !(bits & 4);
  config.sack = !(bits & 8);
  config.nagle = bits & 16;
  config.rack = !(bits & 32);
  config.congestion = bits & 64 ? CongestionAlgorithm::kCubic : CongestionAlgorithm::kNewReno;
  if (bits & 128) config.delayed_ack = Duration::Zero();
  constexpr uint32_t kBuffers[] = {1u << 20, 3000, 65535, 20000};
  config.receive_buffer_bytes = kBuffers[buffers % 4];
  config.send_buffer_bytes = kBuffers[buffers / 4 % 4];
  if (buffers & 16) config.syn_cookies = SynCookies::kAlways;
  if (buffers & 32) config.mtu = 600;
  if (buffers & 64) config.memory_limit_bytes = 64 << 10;
  if (buffers & 128) config.ecn = EcnMode::kAlways;
  // Nothing is given up while the fuzzer is at it: then every connection that nobody aborts comes to its end.
  config.data_retries = config.closed_retries = 1000;
  config.syn_retries = UINT8_MAX;  // more than there are steps
  config.fin_wait_2 = Duration::Seconds(24 * 3600);
  config.secret = {bits, buffers};
  return config;
}

class Pair {
 public:
  Pair(const Head& head, zbuf::TestSlab* memories, TransitionLog* log)
      : hosts_{{Config(head[0], head[1]), memories[0], memories[1], log, kStart},
               {Config(head[2], head[3]), memories[2], memories[3], log, kStart}} {
    for (size_t i = 0; i < kFlows; ++i) {
      const wire::FourTuple tuple{{wire::Ipv4Address(10, 0, 0, 1), static_cast<uint16_t>(40000 + i)},
                                  {wire::Ipv4Address(10, 0, 0, 2), 61441}};
      hosts_[0].AddFlow(tuple);
      hosts_[1].AddFlow(tuple.Reversed());
    }
    if (head[4] % 4 != 1) hosts_[1].Listen({wire::Ipv4Address(10, 0, 0, 2), 61441}, {});
    hosts_[0].Connect(hosts_[0].flow(0));
    if (head[4] % 4 == 1) hosts_[1].Connect(hosts_[1].flow(0));  // at the same time
    Turn(0);
    Turn(1);
  }

  void Run(const Step& step) {
    const int from = step[1] & 1;
    std::deque<Packet>& wire = wires_[from];
    const uint8_t kind = step[0] % kKinds;
    // Which one: counted from the oldest.
    const size_t i = wire.empty() ? 0 : step[2] % wire.size();
    const bool any = !wire.empty();
    if (kind < kPick) {
      for (int n = step[2] % 32; n >= 0 && !wire.empty(); --n) Deliver(from, 0, step);
    } else if (kind == kPick && any) {
      Deliver(from, i, step);
    } else if (kind == kDrop && any) {
      wire.erase(wire.begin() + static_cast<std::ptrdiff_t>(i));
    } else if (kind == kDuplicate && any && wire.size() < kMostWaiting) {
      Packet copy = wire[i];
      wire.insert(wire.begin() + static_cast<std::ptrdiff_t>(step[3] % (wire.size() + 1)), std::move(copy));
    } else if (kind == kCorrupt && any) {
      wire[i].bytes[Word(step, 3) % wire[i].bytes.size()] ^= static_cast<char>(1u << step[5] % 8);
    } else if (kind == kCut && any) {
      wire[i].bytes.resize(Word(step, 3) % wire[i].bytes.size());
      if (wire[i].bytes.empty()) wire.erase(wire.begin() + static_cast<std::ptrdiff_t>(i));
    } else if (kind == kKeep && any) {
      kept_.push_back({from, wire[i]});
    } else if (kind == kReplay && !kept_.empty()) {
      const auto& [side, packet] = kept_[step[2] % kept_.size()];
      wires_[side].push_front(packet);
      Deliver(side, 0, step);
    } else if (kind >= kTime && kind < kCall) {
      Pass(step);
    } else if (kind >= kCall && kind < kMemory) {
      Call(hosts_[from], step);
    } else if (kind == kMemory) {
      step[2] % 2 == 0 && ++exhaustions_ <= 3 ? hosts_[from].Exhaust(step[3] % 4) : hosts_[from].Release();
    }
    for (int host : {0, 1}) {
      if (!(step[6] & 1 << host)) Turn(host);
    }
  }

  // The network is whole and in order from here on, both applications read, write no more and close.
  void Heal() {
    for (CheckedHost& host : hosts_) host.Release();
    Time limit = hosts_[0].now();
    for (CheckedHost& host : hosts_) {
      limit += host.config().rto_max * kPatience;
      if (host.config().syn_cookies == SynCookies::kAlways) limit += kLikeACookies;
    }
    for (int turns = 0; !Done(); ++turns) {
      CHECK(turns < kMostTurns && hosts_[0].now() <= limit) << "not done\n" << Describe();
      for (int from : {0, 1}) {
        for (size_t n = wires_[from].size(); n > 0; --n) Deliver(from, 0, Step{});
      }
      for (int i : {0, 1}) ReadAndClose(hosts_[i], hosts_[1 - i]);
      Turn(0);
      Turn(1);
      const bool busy = !wires_[0].empty() || !wires_[1].empty();
      Time next = busy ? hosts_[0].now() + kDelay : Time::Infinite();
      for (CheckedHost& host : hosts_) next = std::min(next, host.stack().NextDeadline());
      if (next.is_infinite()) {
        CHECK(Done()) << "nothing is due any more\n" << Describe();
        continue;
      }
      SetTime(std::max(next, hosts_[0].now() + Duration::Microseconds(1)));
    }
    CheckStreams();
    for (CheckedHost& host : hosts_) host.Finish();
  }

 private:
  struct Packet {
    std::string bytes;
    ip::Ecn ecn;
    wire::FourTuple tuple;  // as the sender has it
    std::string whole;      // as it was sent
  };

  void SetTime(Time now) {
    for (CheckedHost& host : hosts_) host.SetTime(now);
  }

  void Turn(int i) {
    hosts_[i].Poll();
    std::vector<CheckedHost::Segment> out;
    hosts_[i].Flush(64, &out);
    hosts_[i].Reap();
    for (auto& segment : out) {
      if (wires_[i].size() < kMostWaiting)
        wires_[i].push_back({segment.bytes, segment.ecn, segment.tuple, segment.bytes});
    }
  }

  void Deliver(int from, size_t i, const Step& step) {
    const Packet packet = std::move(wires_[from][i]);
    wires_[from].erase(wires_[from].begin() + static_cast<std::ptrdiff_t>(i));
    Flow* flow = hosts_[1 - from].Find(packet.tuple.Reversed());
    CHECK(flow != nullptr);
    // Damage that the checksum does not show is no fault of TCP's.
    if (packet.bytes != packet.whole && SumIsRight(packet)) return;
    const bool marked = packet.ecn != ip::Ecn::kNotEct && step[7] & 1;
    hosts_[1 - from].Ingest(*flow, packet.bytes, step[7] & 2 ? 1 + step[8] % 64 : 0,
                            marked ? ip::Ecn::kCe : packet.ecn);
  }

  static bool SumIsRight(const Packet& p) {
    return wire::TcpChecksumIsRight(
        p.tuple.local.address.v4(), p.tuple.remote.address.v4(),
        absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(p.bytes.data()), p.bytes.size()));
  }

  void Pass(const Step& step) {
    if (step[1] & 2) {  // to the next deadline of either
      const Time next = std::min(hosts_[0].stack().NextDeadline(), hosts_[1].stack().NextDeadline());
      if (!next.is_infinite()) SetTime(std::max(next, hosts_[0].now()));
      return;
    }
    constexpr int64_t kUnits[] = {1000, 50 * 1000, 1000 * 1000, 100 * 1000 * 1000};
    SetTime(hosts_[0].now() + Duration::Nanoseconds(int64_t{Word(step, 2)} % 1000 * kUnits[step[1] / 4 % 4]));
  }

  void Call(CheckedHost& host, const Step& step) {
    const size_t number = step[1] / 2 % kFlows;
    Flow& flow = host.flow(number);
    switch (step[2] % 8) {
      case 0:
      case 1:
        if (static_cast<size_t>(flow.queued) < kMostWritten) {
          host.Send(flow, Word(step, 3), step[2] & 8, {.more = (step[2] & 16) != 0, .urgent = (step[2] & 32) != 0});
        }
        break;
      case 2:
      case 3:
        host.Read(flow, Word(step, 3) == 0 ? SIZE_MAX : Word(step, 3));
        break;
      case 4:
        host.ShutdownWrite(flow);
        break;
      case 5:
        aborted_[number] |= flow.live;
        host.Close(flow);
        break;
      case 6:
        aborted_[number] |= flow.live;
        if (step[3] % 4 == 0) host.Abort(flow);
        break;
      default:
        // Again only where the old connection is gone on both sides: else its end would not be heard of.
        if (&host == &hosts_[0] && !hosts_[0].flow(number).live && !hosts_[1].flow(number).live) {
          aborted_[number] = true;
          host.Connect(flow);
        }
        break;
    }
  }

  // Reads all; writes no more; closes once the peer's FIN is reached, so that nothing is reset for being unread. Aborts
  // where the peer is gone, or another connection's, and what told of it was lost: no FIN will come, and nobody asks.
  void ReadAndClose(CheckedHost& host, const CheckedHost& peer) {
    for (size_t i = 0; i < kFlows; ++i) {
      Flow& flow = host.flow(i);
      host.Read(flow, SIZE_MAX);
      if (!flow.fin_asked) host.ShutdownWrite(flow);
      if (!flow.live || flow.connection->readable_bytes() > 0) continue;
      if (flow.told_fin && !flow.closed) host.Close(flow);
      const bool strangers = AreStrangers(flow, peer.flow(i));
      if (strangers && flow.connection->options().user_timeout == Duration::Zero()) {
        host.SetOptions(flow, [&](ConnectionOptions& o) { o.user_timeout = host.config().rto_max; });
      }
      const bool alone = strangers || (aborted_[i] && !peer.flow(i).live);
      if (alone && !flow.told_fin && flow.connection->state() == State::kFinWait2) host.Abort(flow);
    }
  }

  // Each is open with another incarnation of the other: what one sends is outside the other's window, and its answer is
  // no news either. Neither resets, so one has to give up: by its user timeout, since the retries have no end here.
  static bool AreStrangers(const Flow& a, const Flow& b) {
    return a.live && b.live && a.has_irs && b.has_irs && (a.iss != b.irs || b.iss != a.irs);
  }

  bool Done() const {
    for (const CheckedHost& host : hosts_) {
      for (size_t i = 0; i < kFlows; ++i) {
        if (host.flow(i).live) return false;
      }
    }
    return wires_[0].empty() && wires_[1].empty();
  }

  // What was written has been read, where nobody has closed hard, aborted or begun anew.
  void CheckStreams() const {
    for (size_t i = 0; i < kFlows; ++i) {
      const Flow& a = hosts_[0].flow(i);
      const Flow& b = hosts_[1].flow(i);
      if (aborted_[i] || !a.has_irs || !b.has_irs) continue;
      // An old SYN that came late has begun a connection of which the other side knows nothing.
      if (a.iss != b.irs || b.iss != a.irs) continue;
      CHECK_EQ(b.read, a.queued) << Describe();
      CHECK_EQ(a.read, b.queued) << Describe();
      CHECK(a.told_fin && b.told_fin) << Describe();
    }
  }

  std::string Describe() const { return hosts_[0].Describe() + "\n" + hosts_[1].Describe(); }

  CheckedHost hosts_[2];
  std::deque<Packet> wires_[2];               // by who sent it
  std::vector<std::pair<int, Packet>> kept_;  // to come again
  bool aborted_[kFlows] = {};                 // not every octet need arrive
  int exhaustions_ = 0;
};

TransitionLog& Log() {
  static auto* log = new TransitionLog;
  return *log;
}

absl::Span<const Step> UsualSteps() {
  static const auto& kUsual = *new std::vector<Step>{
      {kDeliver, 0, 31},      // all of one side's
      {kDeliver, 1, 31},      //
      {kDeliver, 0, 0},       // one
      {kDeliver, 1, 0},       //
      {kPick, 0, 1},          // the second
      {kDrop, 0, 0},          //
      {kDrop, 1, 0},          //
      {kDrop, 0, 3},          //
      {kDuplicate, 0, 0, 2},  //
      {kCorrupt, 0, 0, 30},   //
      {kCut, 0, 0, 30},       //
      {kKeep, 0, 0},          //
      {kReplay, 0, 0},        //
      {kTime, 2},             // to the next deadline
      {kTime, 0, 200},        // 200 microseconds
      {kTime, 8, 200},        // 200 milliseconds
      {kCall, 0, 0, 0, 32},   // 8 KB
      {kCall, 1, 0, 0, 32},   //
      {kCall, 0, 2},          // read
      {kCall, 1, 2},          //
      {kCall, 0, 4},          // half-close
      {kCall, 1, 4},          //
      {kCall, 0, 5},          // close
      {kCall, 0, 6},          // abort
      {kCall, 2, 7},          // the second connection
      {kMemory, 0, 0},        // memory is out
      {kMemory, 0, 1},        // and back
  };
  return kUsual;
}

}  // namespace
}  // namespace luna::tcp::testing

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace luna::tcp::testing;
  constexpr size_t kOfStack = size_t{8} << 20, kOfDevice = size_t{24} << 20;
  static auto* memories = [] {
    auto* made = new luna::zbuf::TestSlab[4]{luna::zbuf::TestSlab(kOfStack), luna::zbuf::TestSlab(kOfDevice),
                                             luna::zbuf::TestSlab(kOfStack), luna::zbuf::TestSlab(kOfDevice)};
    return made;
  }();
  const Steps steps(data, size);
  Pair pair(steps.Head(), memories, &Log());
  for (size_t i = 0; i < std::min(steps.size(), kMostSteps); ++i) pair.Run(steps[i]);
  pair.Heal();
  return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
  return luna::tcp::testing::MutateSteps(data, size, max_size, seed, luna::tcp::testing::UsualSteps());
}

extern "C" size_t LLVMFuzzerCustomCrossOver(const uint8_t* a, size_t a_size, const uint8_t* b, size_t b_size,
                                            uint8_t* out, size_t max_size, unsigned seed) {
  return luna::tcp::testing::CrossSteps({a, a_size}, {b, b_size}, out, max_size, seed);
}
