#include "luna/net/tcp/testing/simulator/scenario.h"

#include <algorithm>
#include <memory>

#include "absl/strings/str_cat.h"
#include "luna/net/tcp/testing/simulator/network.h"
#include "luna/net/tcp/testing/simulator/simulation.h"

namespace luna::tcp::simulator {
namespace {

using Kind = Fault::Kind;

constexpr const char* kKindNames[] = {"loss",      "ack-loss", "burst-loss", "drop-nth",   "black",
                                      "flap",      "mtu-hole", "mtu-told",   "reorder",    "swap",
                                      "duplicate", "corrupt",  "forge",      "mark",       "jitter",
                                      "slow",      "shallow",  "stall",      "clock-jump", "reboot"};
static_assert(std::size(kKindNames) == Fault::kKinds);

// An end that comes without a cause to be seen is none that was not to be: connections give up.
bool MayBreak(const Fault& fault) {
  switch (fault.kind) {
    case Kind::kBlack:
    case Kind::kFlap:
    case Kind::kMtuHole:
    case Kind::kMtuTold:
    case Kind::kForge:
    case Kind::kReboot:
    case Kind::kStall:
    case Kind::kClockJump:
    case Kind::kSlow:
    case Kind::kShallow:
      return true;
    case Kind::kLoss:
    case Kind::kAckLoss:
    case Kind::kBurstLoss:
    case Kind::kCorrupt:
      return fault.probability > 0.2 || fault.number > 5;
    default:
      return false;
  }
}

// One run.
class Runner {
 public:
  Runner(const Scenario& scenario, const std::set<size_t>& without);
  Outcome Run();

 private:
  void Install(const Fault& fault);
  void During(const Fault& fault, Part& part);
  void Heal();
  bool Live();
  Duration Patience() const;

  const Scenario& scenario_;
  Simulation simulation_;
  std::vector<Queue*> queues_;
  std::vector<Delay*> delays_;
  std::vector<Part*> faults_;
  std::unique_ptr<Transfers> transfers_;
};

Runner::Runner(const Scenario& scenario, const std::set<size_t>& without)
    : scenario_(scenario), simulation_(scenario.seed) {
  for (const HostOptions& options : scenario.hosts) simulation_.AddHost(options);
  Expectations expectations;
  for (size_t i = 0; i < scenario.faults.size(); ++i) {
    const Fault& fault = scenario.faults[i];
    if (without.count(i) > 0) continue;
    // The stream of a part is named by its fault, whichever others there are.
    simulation_.environment().parts = i;
    expectations.may_break |= MayBreak(fault);
    expectations.forged |= fault.kind == Kind::kForge;
    Install(fault);
  }
  // Two flipped bits may leave the checksum as it was.
  std::vector<int> corrupting(scenario.hosts.size());
  for (const Fault& fault : scenario.faults) {
    if (fault.kind == Kind::kCorrupt && ++corrupting[fault.host] > 1)
      expectations.forged = expectations.may_break = true;
  }
  simulation_.environment().parts = scenario.faults.size();
  // One path that is slow and far, behind the faults.
  for (size_t i = 0; i < scenario.hosts.size(); ++i) {
    const Link& link = scenario.links[i];
    queues_.push_back(&simulation_.host(i).egress().Add<Queue>(link.bits_per_second, link.packets));
    delays_.push_back(&simulation_.host(i).egress().Add<Delay>(link.delay));
    // Buffers that are far too small for the rate lose as much as they like, and so does a stack without memory.
    const StackConfig& config = scenario.hosts[i].config;
    const bool few_slices = config.receive_slices_limit < StackConfig().receive_slices_limit;
    expectations.may_break |= link.packets < 8 || config.memory_limit_bytes != 0 || few_slices;
  }
  if (expectations.forged) simulation_.wire().Distrust();
  transfers_ = std::make_unique<Transfers>(simulation_, expectations);
  for (const Connecting& c : scenario.connections) {
    transfers_->Add(c.from, c.to, c.active, c.passive, c.when, c.local_port);
  }
}

void Runner::During(const Fault& fault, Part& part) {
  part.set_on(false);
  faults_.push_back(&part);
  simulation_.At(Simulation::kStart + fault.from, [&part] { part.set_on(true); });
  simulation_.At(Simulation::kStart + fault.until, [&part] { part.set_on(false); });
}

void Runner::Install(const Fault& fault) {
  Host& host = simulation_.host(fault.host);
  Path& path = host.egress();
  const double p = fault.probability;
  const Time from = Simulation::kStart + fault.from;
  const Time until = Simulation::kStart + fault.until;
  switch (fault.kind) {
    case Kind::kLoss:
      return During(fault, path.Add<Loss>(p));
    case Kind::kAckLoss:
      return During(fault, path.Add<Loss>(p, Which::kAcks));
    case Kind::kBurstLoss:
      return During(fault, path.Add<BurstLoss>(p / 10, 1.0 / static_cast<double>(fault.number)));
    case Kind::kDropNth:
      return During(fault, path.Add<DropNth>(std::vector<uint64_t>{fault.number}));
    case Kind::kBlack:
      return During(fault, path.Add<Black>());
    case Kind::kFlap:
      return During(fault, path.Add<Flap>(fault.duration + Duration::Milliseconds(1), fault.duration / 4));
    case Kind::kMtuHole:
      return During(fault, path.Add<DropLarger>(fault.number));
    case Kind::kMtuTold:
      return During(fault, path.Add<DropLarger>(fault.number, [&host](const Packet&, const std::string& icmp) {
        host.After(Duration::Microseconds(10), [&host, icmp] {
          host.stack().OnIcmp(absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(icmp.data()), icmp.size()),
                              host.clock());
        });
      }));
    case Kind::kReorder:
      return During(fault, path.Add<Reorder>(p, fault.duration));
    case Kind::kSwap:
      return During(fault, path.Add<Swap>(p));
    case Kind::kDuplicate:
      return During(fault, path.Add<Duplicate>(p, static_cast<uint32_t>(fault.number), fault.duration));
    case Kind::kCorrupt:
      return During(fault, path.Add<Corrupt>(p));
    case Kind::kForge:
      return During(fault, path.Add<Forge>(p / 10));
    case Kind::kMark:
      return During(fault, path.Add<Mark>(p));
    case Kind::kJitter:
      return During(fault, path.Add<Delay>(Duration::Zero(), fault.duration / 10, p > 0.1 ? 1.5 : 0));
    case Kind::kSlow:
    case Kind::kShallow: {
      const size_t i = fault.host;
      const bool slow = fault.kind == Kind::kSlow;
      simulation_.At(
          from, [this, i, slow, n = fault.number] { slow ? queues_[i]->set_rate(n) : queues_[i]->set_packets(n); });
      return simulation_.At(until, [this, i] {
        queues_[i]->set_rate(scenario_.links[i].bits_per_second);
        queues_[i]->set_packets(scenario_.links[i].packets);
      });
    }
    case Kind::kStall:
      return simulation_.At(from, [&host, d = fault.duration] { host.Stall(d); });
    case Kind::kClockJump:
      return simulation_.At(from, [&host, d = fault.duration] { host.JumpClock(d * 10); });
    case Kind::kReboot:
      return simulation_.At(from, [&host] { host.Reboot(); });
  }
}

void Runner::Heal() {
  for (Part* part : faults_) part->set_on(false);
  for (size_t i = 0; i < queues_.size(); ++i) {
    queues_[i]->set_rate(std::max<uint64_t>(scenario_.links[i].bits_per_second, 100'000'000));
    queues_[i]->set_packets(std::max<size_t>(scenario_.links[i].packets, 1000));
  }
  transfers_->BePatient();
}

// Within so long something must happen wherever something is to be done.
Duration Runner::Patience() const {
  Duration most;
  for (const HostOptions& host : scenario_.hosts) {
    const StackConfig& config = host.config;
    most = std::max(most, config.rto_max * 3 + config.fin_wait_2 + config.cork_limit);
  }
  return most + Duration::Seconds(1);
}

// True: everything came to its end.
bool Runner::Live() {
  const auto over = [this] { return transfers_->AllOver(); };
  while (true) {
    const uint64_t before = transfers_->progress();
    if (simulation_.RunUntil(over, Patience())) return true;
    if (!simulation_.failures().empty()) return false;
    if (transfers_->progress() != before || transfers_->EndOrphans()) continue;
    simulation_.Fail(absl::StrCat("nothing has happened for ", Patience().seconds(), " s"));
    return false;
  }
}

Outcome Runner::Run() {
  simulation_.RunFor(scenario_.safety);
  Heal();
  if (simulation_.failures().empty() && Live()) {
    transfers_->CheckEnds();
    Duration longest;
    for (const HostOptions& host : scenario_.hosts) longest = std::max(longest, host.config.time_wait);
    // Ends whose other end died hang on for as long as their retransmissions last.
    const Duration limit = (longest + Patience()) * 40;
    if (!simulation_.RunUntil([this] { return simulation_.IsQuiet(); }, limit) && simulation_.failures().empty()) {
      simulation_.Fail("not everything is home");
    }
    for (size_t i = 0; i < simulation_.hosts(); ++i) {
      if (simulation_.failures().empty() && !simulation_.host(i).stack().NextDeadline().is_infinite()) {
        simulation_.Fail("a timer is armed for nobody");
      }
    }
  }
  Outcome outcome;
  outcome.failures = simulation_.failures();
  if (!outcome.failures.empty()) outcome.description = simulation_.Describe() + "\n" + transfers_->Describe();
  outcome.trace_hash = simulation_.trace_hash();
  outcome.packets = simulation_.delivered();
  outcome.emitted = simulation_.emitted();
  outcome.virtual_time = simulation_.now() - Simulation::kStart;
  for (size_t i = 0; i < simulation_.hosts(); ++i) {
    const auto& seen = simulation_.host(i).checker().transitions();
    for (size_t from = 0; from < kStates; ++from) {
      for (size_t to = 0; to < kStates; ++to) outcome.transitions[from][to] += seen[from][to];
    }
  }
  return outcome;
}

}  // namespace

Outcome RunScenario(const Scenario& scenario, const std::set<size_t>& without) {
  return Runner(scenario, without).Run();
}

std::set<size_t> Minimise(const Scenario& scenario) {
  std::set<size_t> without;
  for (bool smaller = true; smaller;) {
    smaller = false;
    for (size_t i = 0; i < scenario.faults.size(); ++i) {
      if (without.count(i) > 0) continue;
      std::set<size_t> fewer = without;
      fewer.insert(i);
      if (RunScenario(scenario, fewer).failures.empty()) continue;
      without = fewer;
      smaller = true;
    }
  }
  return without;
}

std::string Fault::ToString() const {
  return absl::StrCat(kKindNames[static_cast<size_t>(kind)], " at host ", host, " from ", from.milliseconds(), " to ",
                      until.milliseconds(), " ms, p=", probability, ", n=", number, ", ", duration.microseconds(),
                      " us");
}

std::string Scenario::ToString() const {
  std::string text = absl::StrCat("seed ", seed, ": ", hosts.size(), " hosts\n");
  for (size_t i = 0; i < hosts.size(); ++i) {
    const StackConfig& c = hosts[i].config;
    absl::StrAppend(&text, "  host ", i, ": mtu ", c.mtu, c.sack ? " sack" : "", c.dsack ? " dsack" : "",
                    c.rack ? " rack" : "", c.tail_loss_probe ? " tlp" : "", c.frto ? " frto" : "",
                    c.timestamps ? " ts" : "", c.window_scale ? " ws" : "", c.nagle ? " nagle" : "", " cc ",
                    static_cast<int>(c.congestion), " ecn ", static_cast<int>(c.ecn), " rto ", c.rto_min.milliseconds(),
                    "..", c.rto_max.milliseconds(), " ms; buffers ", c.receive_buffer_bytes, " ", c.send_buffer_bytes,
                    " of ", c.memory_limit_bytes, "; delay ", links[i].delay.microseconds(), " us, ",
                    links[i].bits_per_second / 1'000'000, " Mb/s, ", links[i].packets, " packets\n");
  }
  for (size_t i = 0; i < faults.size(); ++i) absl::StrAppend(&text, "  fault ", i, ": ", faults[i].ToString(), "\n");
  for (size_t i = 0; i < connections.size(); ++i) {
    const Connecting& c = connections[i];
    absl::StrAppend(&text, "  connection ", i, ": ", c.from, " to ", c.to, " at ", c.when.milliseconds(),
                    " ms; active ", c.active.ToString(), "; passive ", c.passive.ToString(), "\n");
  }
  return text;
}

}  // namespace luna::tcp::simulator
