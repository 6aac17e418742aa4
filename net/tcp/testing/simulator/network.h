#ifndef LUNA_NET_TCP_TESTING_SIMULATOR_NETWORK_H_
#define LUNA_NET_TCP_TESTING_SIMULATOR_NETWORK_H_

// The parts that a simulated network is made of. A Path is a row of them; each takes a packet and passes it on, at once
// or later, or passes copies, or nothing:
//
//   host.egress().Add<Loss>(0.01);
//   host.egress().Add<Queue>(10'000'000'000, 100);        // 10 Gb/s behind a buffer of 100 packets
//   host.egress().Add<Delay>(Duration::Microseconds(50));
//
// A part's random numbers are a stream of its own, named by its place: the same seed gives the same faults, and to take
// one part away leaves the others as they are. One thread.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "luna/net/tcp/testing/simulator/event_queue.h"
#include "luna/net/tcp/testing/simulator/random.h"
#include "luna/sched/clock/time.h"

namespace luna::tcp::simulator {

// What the parts of a network share.
struct Environment {
  EventQueue events;
  Time now;
  uint64_t seed = 1;
  uint64_t parts = 0;  // so far: names their streams

  // Memory of packets that are over, for those to come.
  std::string TakeBuffer() {
    if (buffers.empty()) return {};
    std::string buffer = std::move(buffers.back());
    buffers.pop_back();
    buffer.clear();
    return buffer;
  }
  void GiveBuffer(std::string&& buffer) {
    if (buffers.size() < kMostBuffers) buffers.push_back(std::move(buffer));
  }
  static constexpr size_t kMostBuffers = 1024;
  std::vector<std::string> buffers;
};

class Part : public Sink {
 public:
  // Takes the packet as this part does, while it is on.
  void Take(Packet&& packet) final {
    if (on_) {
      OnPacket(std::move(packet));
    } else {
      Pass(std::move(packet));
    }
  }
  // Off: a wire.
  void set_on(bool on) { on_ = on; }
  bool on() const { return on_; }
  // Packets that went no further.
  uint64_t dropped() const { return dropped_; }

 protected:
  virtual void OnPacket(Packet&& packet) = 0;
  void Pass(Packet&& packet) { next_->Take(std::move(packet)); }
  void PassAt(Time when, Packet&& packet) { environment_->events.PassAt(when, *next_, std::move(packet)); }
  void Drop() { ++dropped_; }
  void At(Time when, EventQueue::Action action) { environment_->events.At(when, std::move(action)); }
  Time now() const { return environment_->now; }
  Random& random() { return random_; }

 private:
  friend class Path;
  Environment* environment_ = nullptr;
  Sink* next_ = nullptr;
  Random random_{0};
  bool on_ = true;
  uint64_t dropped_ = 0;
};

// A row of parts that ends in a sink. Not to be changed while packets are under way in it.
class Path : public Sink {
 public:
  Path(Environment& environment, Sink& end) : environment_(environment), end_(end) {}

  // Puts a part behind those that there are. The reference is good as long as the path.
  template <typename P, typename... Arguments>
  P& Add(Arguments&&... arguments) {
    auto part = std::make_unique<P>(std::forward<Arguments>(arguments)...);
    P& result = *part;
    Join(std::move(part));
    return result;
  }
  void Take(Packet&& packet) override {
    Sink& first = parts_.empty() ? end_ : *parts_.front();
    first.Take(std::move(packet));
  }
  uint64_t dropped() const;

 private:
  void Join(std::unique_ptr<Part> part);

  Environment& environment_;
  Sink& end_;
  std::vector<std::unique_ptr<Part>> parts_;
};

// Which packets a fault is about.
enum class Which : uint8_t {
  kAll,
  kData,  // TCP segments with payload
  kAcks,  // TCP segments that only acknowledge: no payload, SYN, FIN or RST
};
bool IsOf(Which which, const Packet& packet);

// --- Loss ---

// Each packet with this probability.
class Loss : public Part {
 public:
  explicit Loss(double probability, Which which = Which::kAll) : probability_(probability), which_(which) {}

 private:
  void OnPacket(Packet&& packet) override;
  double probability_;
  Which which_;
};

// Gilbert and Elliott: a good state that loses nothing, a bad one that loses `in_bad` of the packets.
class BurstLoss : public Part {
 public:
  BurstLoss(double begin, double end, double in_bad = 1) : begin_(begin), end_(end), in_bad_(in_bad) {}

 private:
  void OnPacket(Packet&& packet) override;
  double begin_, end_, in_bad_;
  bool bad_ = false;
};

// Exactly these, counted from 0.
class DropNth : public Part {
 public:
  explicit DropNth(std::vector<uint64_t> which) : which_(std::move(which)) {}
  uint64_t seen() const { return seen_; }

 private:
  void OnPacket(Packet&& packet) override;
  std::vector<uint64_t> which_;
  uint64_t seen_ = 0;
};

// Everything: a link that is down, while it is on.
class Black : public Part {
  void OnPacket(Packet&&) override { Drop(); }
};

// Down for `down`, then up for `up`, from the start on.
class Flap : public Part {
 public:
  Flap(Duration up, Duration down) : up_(up), down_(down) {}

 private:
  void OnPacket(Packet&& packet) override;
  Duration up_, down_;
};

// One of `paths` equal ones, chosen by the four-tuple as equal-cost multi-path routing does, loses everything.
class DeadPath : public Part {
 public:
  DeadPath(uint32_t paths, uint32_t dead) : paths_(paths), dead_(dead) {}

 private:
  void OnPacket(Packet&& packet) override;
  uint32_t paths_, dead_;
};

// Datagrams longer than `mtu` octets, IP header included. `tell` gets a host's ICMP "too big" (RFC 1191), from its type
// octet on, when there is one: a path without is a black hole.
class DropLarger : public Part {
 public:
  using Tell = std::function<void(const Packet& about, const std::string& icmp)>;
  explicit DropLarger(size_t mtu, Tell tell = nullptr) : mtu_(mtu), tell_(std::move(tell)) {}

 private:
  void OnPacket(Packet&& packet) override;
  size_t mtu_;
  Tell tell_;
};

// --- Order ---

// With this probability a packet waits for up to `hold`, and others overtake it.
class Reorder : public Part {
 public:
  Reorder(double probability, Duration hold) : probability_(probability), hold_(hold) {}

 private:
  void OnPacket(Packet&& packet) override;
  double probability_;
  Duration hold_;
};

// With this probability a packet changes places with the next one (which comes within `most`, or it goes alone).
class Swap : public Part {
 public:
  explicit Swap(double probability, Duration most = Duration::Milliseconds(1))
      : probability_(probability), most_(most) {}

 private:
  void OnPacket(Packet&& packet) override;
  double probability_;
  Duration most_;
  bool holds_ = false;
  uint64_t turn_ = 0;
  Packet held_;
};

// With this probability a packet comes up to `most` times more, at once, or each within `spread`.
class Duplicate : public Part {
 public:
  explicit Duplicate(double probability, uint32_t most = 1, Duration spread = Duration::Zero())
      : probability_(probability), most_(most), spread_(spread) {}

 private:
  void OnPacket(Packet&& packet) override;
  double probability_;
  uint32_t most_;
  Duration spread_;
};

// --- Content ---

// With this probability one bit is flipped: the checksum tells.
class Corrupt : public Part {
 public:
  explicit Corrupt(double probability) : probability_(probability) {}

 private:
  void OnPacket(Packet&& packet) override;
  double probability_;
};

// With this probability one octet of the TCP header, but for the ports, is another, and the checksum is right again:
// what no end can tell from the truth. Streams may break under it; nothing else may.
class Forge : public Part {
 public:
  explicit Forge(double probability) : probability_(probability) {}

 private:
  void OnPacket(Packet&& packet) override;
  double probability_;
};

// With this probability a packet that says that its ends can do ECN is marked CE.
class Mark : public Part {
 public:
  explicit Mark(double probability) : probability_(probability) {}

 private:
  void OnPacket(Packet&& packet) override;
  double probability_;
};

// --- Time ---

// `base`, and up to `jitter` more without overtaking. A `tail` above 0: the jitter is Pareto's, with that exponent,
// rarely up to 100 times as long.
class Delay : public Part {
 public:
  explicit Delay(Duration base, Duration jitter = Duration::Zero(), double tail = 0)
      : base_(base), jitter_(jitter), tail_(tail) {}
  void set_jitter(Duration jitter) { jitter_ = jitter; }

 private:
  void OnPacket(Packet&& packet) override;
  Duration Jitter();
  Duration base_, jitter_;
  double tail_;
  Time last_;
};

// A transmitter of `bits_per_second` behind a buffer of `packets` (dropped when full). Packets that find `mark_from` or
// more in front of them are marked CE when they say that their ends can do ECN.
class Queue : public Part {
 public:
  static constexpr size_t kNever = SIZE_MAX;
  Queue(uint64_t bits_per_second, size_t packets, size_t mark_from = kNever)
      : rate_(bits_per_second), packets_(packets), mark_from_(mark_from) {}
  void set_rate(uint64_t bits_per_second) { rate_ = bits_per_second; }
  void set_packets(size_t packets) { packets_ = packets; }
  size_t most() const { return most_; }

 private:
  void OnPacket(Packet&& packet) override;
  size_t Waiting();
  uint64_t rate_;
  size_t packets_;
  size_t mark_from_;
  std::vector<Time> departures_;  // of what waits, oldest first from first_ on
  size_t first_ = 0;
  size_t most_ = 0;
};

}  // namespace luna::tcp::simulator

#endif  // LUNA_NET_TCP_TESTING_SIMULATOR_NETWORK_H_
