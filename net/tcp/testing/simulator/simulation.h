#ifndef LUNA_NET_TCP_TESTING_SIMULATOR_SIMULATION_H_
#define LUNA_NET_TCP_TESTING_SIMULATOR_SIMULATION_H_

// Simulation: hosts on one virtual clock, joined in the middle; a deterministic function of its seed and of what is put
// into it: the same run has the same trace_hash(), whatever compiler built it. To test an application of your own:
//
//   simulator::Simulation simulation(seed);
//   simulator::Host& client = simulation.AddHost({});
//   simulator::Host& server = simulation.AddHost({});
//   client.egress().Add<simulator::Loss>(0.01);
//   client.egress().Add<simulator::Delay>(Duration::Microseconds(50));
//   server.egress().Add<simulator::Queue>(10'000'000'000, 100);
//   server.egress().Add<simulator::Delay>(Duration::Microseconds(50));
//   server.on_event = …;  client.on_event = …;            // the application
//   client.After(Duration::Zero(), [&] { client.stack().Connect(…); });
//   simulation.RunUntil([&] { return done; }, Duration::Seconds(20));
//   EXPECT_EQ(simulation.failures(), "");
//
// Every packet leaves through its host's egress() and comes in through the other one's ingress(): to model a switch's
// port, put a Queue into the ingress of the host behind it. Knows nothing of GoogleTest: what is wrong is in
// failures(), and the run ends there.
//
// Thread: one; simulations in several threads do not know of each other.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "luna/net/tcp/testing/simulator/event_queue.h"
#include "luna/net/tcp/testing/simulator/host.h"
#include "luna/net/tcp/testing/simulator/network.h"
#include "luna/net/tcp/testing/simulator/wire_checker.h"
#include "luna/net/wire/address.h"
#include "luna/sched/clock/time.h"

namespace luna::tcp::simulator {

class Simulation {
 public:
  // Where the clock begins.
  static constexpr Time kStart = Time::FromNanoseconds(int64_t{5000} * 1000 * 1000 * 1000);

  explicit Simulation(uint64_t seed);
  ~Simulation();
  Simulation(const Simulation&) = delete;
  Simulation& operator=(const Simulation&) = delete;

  // The next address of 10.0.0.0/16. The reference is good as long as the simulation.
  Host& AddHost(const HostOptions& options);
  Host& host(size_t i) { return *hosts_[i]; }
  size_t hosts() const { return hosts_.size(); }

  Time now() const { return environment_.now; }
  uint64_t seed() const { return environment_.seed; }
  // Calls `action` at `when`, as nobody in particular. What an application does is for Host::At().
  void At(Time when, std::function<void()> action) { environment_.events.At(std::max(when, now()), std::move(action)); }

  // Until `done`, a failure, or `limit` is over. True: done.
  bool RunUntil(const std::function<bool()>& done, Duration limit);
  void RunFor(Duration duration);
  // Nothing is planned, and every host's stack is empty and its memory home.
  bool IsQuiet();

  // What went wrong, a line each, with the time; empty: nothing.
  const std::string& failures() const { return failures_; }
  void Fail(const std::string& what);
  // The hosts and their connections.
  std::string Describe();

  // Packets that hosts have emitted, and that reached one.
  uint64_t emitted() const { return emitted_; }
  uint64_t delivered() const { return delivered_; }
  // Of the header and time of every packet that reached a host.
  uint64_t trace_hash() const { return trace_hash_; }
  // Sees every packet that is emitted, before the network does.
  std::function<void(const Host& from, const Packet& packet)> on_emitted;

  WireChecker& wire() { return wire_; }

  // --- For Host ---
  Environment& environment() { return environment_; }
  Sink& middle() { return middle_; }
  void Hash(const Packet& packet);
  void OnEmitted(const Host& from, const Packet& packet);

 private:
  static constexpr size_t kMostFailures = 8;
  // Hands packets to the ingress of the host that has the address; nobody's are lost.
  class Middle : public Sink {
   public:
    explicit Middle(Simulation& simulation) : simulation_(simulation) {}
    void Take(Packet&& packet) override;

   private:
    Simulation& simulation_;
  };

  Environment environment_;
  Middle middle_;
  WireChecker wire_;
  std::vector<std::unique_ptr<Host>> hosts_;
  std::string failures_;
  size_t failure_count_ = 0;
  uint64_t emitted_ = 0;
  uint64_t delivered_ = 0;
  uint64_t trace_hash_ = 14695981039346656037u;
  const bool trace_;
};

}  // namespace luna::tcp::simulator

#endif  // LUNA_NET_TCP_TESTING_SIMULATOR_SIMULATION_H_
