#ifndef LUNA_NET_TCP_TESTING_STACK_PAIR_H_
#define LUNA_NET_TCP_TESTING_STACK_PAIR_H_

// StackPair: two Stacks, each with memory of its own, joined by a virtual network that loses, delays, reorders,
// duplicates and corrupts IP datagrams. A deterministic function of its options: same seed, same run, bit for bit
// (trace_hash()).
//
//   StackPair pair({.seed = SeedFromEnvironment(7), .faults = {{.loss = 0.05}, {.loss = 0.05}}});
//   pair.host(1).on_event = …;                          // the application
//   pair.host(0).stack().Connect(…);
//   EXPECT_TRUE(pair.RunUntil([&] { return done; }, Duration::Seconds(20))) << pair.Describe();
//
// Every datagram that a stack emits is held against invariants (CONFORMANCE F.1), before the network touches it:
//   it parses, with a right checksum; no payload beyond the MSS; RCV.NXT and the right edge never move left;
//   nothing is sent beyond the right edge that the other end has promised, but for a probe of one octet;
//   nothing is acknowledged that was never sent; octets sent again are the same octets.
// A violation is a gtest failure that names the seed.
//
// With LUNA_TEST_TRACE set, every datagram that is emitted goes to stderr as a line.
//
// At the end of its life both memories must be home again: the destructor fails the test otherwise.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <queue>
#include <random>
#include <string>
#include <vector>

#include "luna/ctrl/stats/drop_counters.h"
#include "luna/mem/zbuf/testing/test_slab.h"
#include "luna/net/ip/datagram.h"
#include "luna/net/tcp/config.h"
#include "luna/net/tcp/event.h"
#include "luna/net/tcp/stack.h"
#include "luna/net/wire/address.h"
#include "luna/sched/clock/time.h"

namespace luna::tcp::testing {

// What happens to the datagrams that one host sends. Probabilities per datagram.
struct Faults {
  double loss = 0;
  double duplicate = 0;
  double corrupt = 0;  // one bit is flipped
  double mark = 0;     // congestion experienced, when it is ECT
  double reorder = 0;  // held back by up to `hold`
  Duration hold = Duration::Milliseconds(2);
  Duration delay = Duration::Microseconds(50);  // of every datagram
  Duration jitter = Duration::Zero();           // up to this much more, without overtaking
};

struct PairOptions {
  uint64_t seed = 1;
  StackConfig configs[2];
  Faults faults[2];  // of what host 0 and host 1 send
  size_t memory_bytes = size_t{16} << 20;
  size_t flush_limit = 64;    // datagrams per Flush()
  bool flush_in_line = true;  // after each packet; else after all that arrived at the same time
};

class StackPair {
 public:
  static constexpr Time kStart = Time::FromNanoseconds(int64_t{5000} * 1000 * 1000 * 1000);

  struct Host {
    Host(const StackConfig& config, size_t memory_bytes)
        : memory(memory_bytes),
          device_memory(memory_bytes),
          stack_(std::make_unique<Stack>(config, memory.slab(), drops, kStart)) {}
    Stack& stack() { return *stack_; }

    zbuf::TestSlab memory;         // of the stack and its application
    zbuf::TestSlab device_memory;  // what is received is in memory that the device has set aside
    stats::DropCounters drops;
    wire::Ipv4Address address;
    // The application. Called for every event, between the verbs.
    std::function<void(const Event&)> on_event;
    // Connections reaped.
    size_t reaped = 0;

   private:
    friend class StackPair;
    std::unique_ptr<Stack> stack_;
  };

  explicit StackPair(const PairOptions& options);
  ~StackPair();
  StackPair(const StackPair&) = delete;
  StackPair& operator=(const StackPair&) = delete;

  Host& host(int i) { return *hosts_[i]; }
  Time now() const { return now_; }
  std::mt19937_64& random() { return random_; }
  // Calls `action` at `when`, as an application of either host.
  void At(Time when, std::function<void()> action);
  // The network from now on.
  void set_faults(int host, const Faults& faults) { options_.faults[host] = faults; }

  // Until `done` or until `limit` has passed. True: done.
  bool RunUntil(const std::function<bool()>& done, Duration limit);
  void RunFor(Duration duration) {
    RunUntil([] { return false; }, duration);
  }
  // No connection, no TIME-WAIT, nothing in the network.
  bool Quiet() const;

  // Datagrams emitted and lost, whatever the reason.
  uint64_t emitted() const { return emitted_; }
  uint64_t lost() const { return lost_; }
  // Of all datagrams delivered, and their times.
  uint64_t trace_hash() const { return trace_hash_; }
  // "seed=7 t=1.234s …", for failures.
  std::string Describe() const;

 private:
  struct Delivery {
    Time when;
    uint64_t number;  // ties go in order of emission
    int to;
    std::string bytes;  // the datagram's payload; empty: `action`
    std::function<void()> action;
    ip::Ecn ecn = ip::Ecn::kNotEct;
    bool operator>(const Delivery& other) const {
      return when != other.when ? when > other.when : number > other.number;
    }
  };
  // One direction of a connection, as seen where it leaves.
  struct Flow {
    uint32_t isn = 0;
    bool has_edge = false;
    bool has_scale = false;
    bool closed = false;  // a RST was sent
    uint8_t shift = 0;
    int64_t sent = 0;             // relative: one past the highest number sent
    int64_t fin_end = INT64_MAX;  // one past the FIN
    int64_t ack = 0;
    int64_t edge = 0;   // promised to the other direction, relative to its ISN
    std::string bytes;  // payload by relative number - 1
  };

  Time NextTime() const;
  void Step();
  void Deliver(const Delivery& delivery);
  void Poll(int i);
  void Emit(int from, ip::OutDatagram datagram);
  void Check(int from, const ip::OutDatagram& datagram, const std::string& bytes);
  void CheckSack(const Flow& flow, const Flow& reverse, const std::string& bytes);
  void CheckSequence(int from, Flow& flow, const Flow& reverse, const std::string& bytes);
  bool Chance(double probability);
  Duration Upto(Duration duration);
  void Hash(uint64_t value);

  PairOptions options_;
  std::mt19937_64 random_;
  const bool trace_;
  std::unique_ptr<Host> hosts_[2];
  Time now_ = kStart;
  std::priority_queue<Delivery, std::vector<Delivery>, std::greater<>> network_;
  Time last_arrival_[2] = {kStart, kStart};
  std::map<wire::FourTuple, Flow> flows_;  // by the sender's tuple
  uint64_t emitted_ = 0;
  uint64_t lost_ = 0;
  uint64_t actions_ = 0;
  uint64_t trace_hash_ = 14695981039346656037u;
};

// LUNA_TEST_SEED, or `fallback`.
uint64_t SeedFromEnvironment(uint64_t fallback);

}  // namespace luna::tcp::testing

#endif  // LUNA_NET_TCP_TESTING_STACK_PAIR_H_
