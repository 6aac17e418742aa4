// Full load with an application that holds, forwards, answers and shares what it gets as it pleases: no byte that is
// held changes, streams stay whole, exhausted memory is a state that passes, and at the end every obj is home.
//
// LUNA_TEST_SEED replays one seed; LUNA_HOLD_STEPS makes it long (a million are about ten minutes).

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "luna/mem/zbuf/testing/test_slab.h"
#include "luna/net/pmd/testing/queue_pair.h"
#include "luna/net/wire/checksum.h"
#include "luna/sched/clock/testing/fake_clock.h"
#include "luna/sched/r2c/testing/two_hosts.h"

namespace luna::r2c {
namespace {

using tcp::Connection;

constexpr size_t kMemory = 24u << 20;
constexpr size_t kConnections = 8;
constexpr size_t kMostHeld = 3000;

uint16_t SumOf(const zbuf::ZChain& chain) {
  wire::ChecksumAccumulator sum;
  for (const zbuf::ZSlice& slice : chain) {
    sum.Add({reinterpret_cast<const uint8_t*>(slice.data()), slice.size()});
  }
  return sum.Sum();
}

char PatternAt(uint64_t at) { return static_cast<char>(at * 37 + (at >> 9)); }

// Holds chains, and knows what was in them.
class Hoard {
 public:
  void Hold(zbuf::ZChain chain) {
    const uint16_t sum = SumOf(chain);
    held_.push_back({std::move(chain), sum});
    if (held_.size() > kMostHeld) Release(held_.size() / 2);
  }
  void Release(size_t i) {
    if (held_.empty()) return;
    auto& one = held_[i % held_.size()];
    EXPECT_EQ(SumOf(one.chain), one.sum) << "somebody wrote into what is held";
    std::swap(one, held_.back());
    held_.pop_back();
  }
  void ReleaseAll() {
    while (!held_.empty()) Release(0);
  }
  size_t size() const { return held_.size(); }

 private:
  struct Held {
    zbuf::ZChain chain;
    uint16_t sum;
  };
  std::vector<Held> held_;
};

class Restless final : public Handler {
 public:
  explicit Restless(unsigned seed) : random_(seed) {}
  void OnAccepted(Connection& c) override { connections.push_back(&c); }
  void OnConnected(Connection& c) override { connections.push_back(&c); }
  void OnClosed(Connection& c, tcp::CloseReason) override { std::erase(connections, &c); }
  void OnPeerClosed(Connection& c) override { c.Close(); }
  void OnReadable(Connection& c, zbuf::ZChain data) override {
    octets += data.bytes();
    const unsigned draw = quiet ? 100 : static_cast<unsigned>(random_() % 100);
    if (draw < 30) return hoard.Hold(std::move(data));
    if (draw < 45) return Give(c, std::move(data));
    if (draw < 60) return Give(Any(), std::move(data));
    if (draw < 70) {  // three: two connections and we
      Give(Any(), data.Share());
      Give(Any(), data.Share());
      hoard.Hold(std::move(data));
    }
  }
  // Sends something new, or lets something go.
  void Step(zbuf::Slab& slab) {
    if (random_() % 2 == 0) hoard.Release(random_());
    if (connections.empty()) return;
    const std::string text(1 + random_() % (random_() % 4 == 0 ? 60'000 : 2000), static_cast<char>(random_()));
    auto chain = zbuf::ZChain::CopyFrom(slab, text);
    if (chain.has_value()) return Give(Any(), *std::move(chain));
    ++exhausted;
    for (size_t n = hoard.size() / 2; n > 0; --n) hoard.Release(random_());
  }

  std::vector<Connection*> connections;
  Hoard hoard;
  uint64_t octets = 0;
  uint64_t exhausted = 0;
  bool quiet = false;

 private:
  Connection& Any() { return *connections[random_() % connections.size()]; }
  static void Give(Connection& to, zbuf::ZChain data) {
    (void)to.Send(std::move(data));
  }  // refused: gone, and that is fine

  std::mt19937 random_;
};

// One stream whose octets are known, beside the others.
class Stream final : public Handler {
 public:
  void OnAccepted(Connection& c) override { connection = &c; }
  void OnConnected(Connection& c) override { connection = &c; }
  void OnClosed(Connection&, tcp::CloseReason) override { connection = nullptr; }
  void OnPeerClosed(Connection& c) override { c.Close(); }
  void OnReadable(Connection&, zbuf::ZChain data) override {
    for (const zbuf::ZSlice& slice : data) {
      for (const std::byte octet : slice.span()) whole &= static_cast<char>(octet) == PatternAt(received++);
    }
  }
  void Step() {
    if (connection == nullptr || connection->send_space() < 5000) return;
    std::string text(4000, '\0');
    for (size_t i = 0; i < text.size(); ++i) text[i] = PatternAt(sent + i);
    sent += connection->Send({reinterpret_cast<const std::byte*>(text.data()), text.size()});
  }
  Connection* connection = nullptr;
  uint64_t sent = 0, received = 0;
  bool whole = true;
};

void RunHolders(unsigned seed, bool share_objs, uint64_t steps) {
  SCOPED_TRACE("LUNA_TEST_SEED=" + std::to_string(seed) + (share_objs ? ", objs handed on" : ""));
  FakeClock clock;
  zbuf::TestSlab slab_a(kMemory), slab_b(kMemory);
  pmd::QueuePair link(slab_a.slab(), slab_b.slab(), {.mtu = seed % 2 == 0 ? 1500u : 9000u, .share_objs = share_objs});
  tcp::StackConfig config;
  config.mtu = seed % 2 == 0 ? 1500 : 9000;
  config.memory_limit_bytes = kMemory / 2;
  config.time_wait = Duration::Milliseconds(1);
  TestHost a(clock, link.a(), slab_a.slab(), {wire::Ipv4Address(10, 0, 0, 1), 24}, config, {});
  TestHost b(clock, link.b(), slab_b.slab(), {wire::Ipv4Address(10, 0, 0, 2), 24}, config, {});
  Restless here(seed), there(seed + 1);
  Stream source, sink;
  std::mt19937 random(seed + 2);
  const auto turn = [&] {
    a.worker().RunOnce();
    b.worker().RunOnce();
    clock.Advance(Duration::Microseconds(1 + static_cast<int64_t>(random() % (random() % 64 == 0 ? 5000 : 20))));
  };
  ASSERT_TRUE(b.worker().Listen({wire::IpAddress(), 80}, there).ok());
  ASSERT_TRUE(b.worker().Listen({wire::IpAddress(), 81}, sink).ok());
  for (size_t i = 0; i < kConnections; ++i) ASSERT_TRUE(a.worker().Connect({b.address(), 80}, here).ok());
  ASSERT_TRUE(a.worker().Connect({b.address(), 81}, source).ok());
  for (int i = 0; i < 1000 && there.connections.size() < kConnections; ++i) turn();
  ASSERT_EQ(there.connections.size(), kConnections);

  for (uint64_t step = 0; step < steps; ++step) {
    here.Step(slab_a.slab());
    there.Step(slab_b.slab());
    source.Step();
    turn();
  }
  EXPECT_EQ(here.connections.size(), kConnections) << "none was lost";
  EXPECT_TRUE(source.connection != nullptr && sink.whole);

  here.quiet = there.quiet = true;
  here.hoard.ReleaseAll();
  there.hoard.ReleaseAll();
  a.stack().ForEachConnection([](Connection& c) { c.ShutdownWrite(); });
  for (int i = 0; i < 200'000 && a.stack().connections() + b.stack().connections() > 0; ++i) turn();
  EXPECT_EQ(a.stack().connections() + b.stack().connections(), 0u);
  EXPECT_EQ(sink.received, source.sent);
  EXPECT_TRUE(sink.whole);
  for (int i = 0; i < 1000; ++i) turn();  // TIME-WAIT, and what the other slab's owner returns
  EXPECT_EQ(slab_a.outstanding(), a.stack().reserved_objs());
  EXPECT_EQ(slab_b.outstanding(), b.stack().reserved_objs());
  std::cout << "seed " << seed << ": " << here.octets + there.octets + sink.received << " octets, memory out "
            << here.exhausted + there.exhausted << " times\n";
}

TEST(Hold, EveryObjComesHome) {
  const char* seed_asked = std::getenv("LUNA_TEST_SEED");
  const char* steps_asked = std::getenv("LUNA_HOLD_STEPS");
  const uint64_t steps = steps_asked == nullptr ? 4000 : std::strtoull(steps_asked, nullptr, 0);
  const auto first = static_cast<unsigned>(seed_asked == nullptr ? 1 : std::strtoul(seed_asked, nullptr, 0));
  for (unsigned seed = first; seed < first + (seed_asked == nullptr ? 4 : 1); ++seed) {
    for (const bool share_objs : {false, true}) RunHolders(seed, share_objs, steps);
  }
}

}  // namespace
}  // namespace luna::r2c
