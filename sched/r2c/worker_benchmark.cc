// A request and its answer through two whole hosts, in one thread: worker, TCP, IP, memory and a queue that hands objs
// on. "Items" are requests; an iteration is one. What is not shown: a second core and the cache lines that go between,
// a device, and a connection among many.
//
// The shares of the stages: valgrind --tool=callgrind …/worker_benchmark --benchmark_filter=4096/1/
// (docs/perf/LABBOOK.md).

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "benchmark/benchmark.h"
#include "glog/logging.h"
#include "luna/mem/zbuf/testing/test_slab.h"
#include "luna/net/pmd/testing/queue_pair.h"
#include "luna/net/pmd/trusted_link.h"
#include "luna/sched/clock/clock.h"
#include "luna/sched/r2c/testing/two_hosts.h"

namespace luna::r2c {
namespace {

class Echo final : public Handler {
 public:
  void OnReadable(tcp::Connection& connection, zbuf::ZChain data) override { (void)connection.Send(std::move(data)); }
};

// Keeps `depth` requests of `bytes` under way, all of them the same obj.
class Client final : public Handler {
 public:
  Client(zbuf::ZChain request, uint64_t depth) : request_(std::move(request)), depth_(depth) {}

  void OnConnected(tcp::Connection& connection) override {
    for (uint64_t i = 0; i < depth_; ++i) Ask(connection);
  }
  void OnReadable(tcp::Connection& connection, zbuf::ZChain data) override {
    received_ += data.bytes();
    for (; answered_ < received_ / request_.bytes(); ++answered_) Ask(connection);
  }
  uint64_t answered() const { return answered_; }

 private:
  void Ask(tcp::Connection& connection) { CHECK(connection.Send(request_.Share()) == tcp::SendResult::kOk); }

  const zbuf::ZChain request_;
  const uint64_t depth_;
  uint64_t received_ = 0;
  uint64_t answered_ = 0;
};

tcp::StackConfig Config(uint32_t mtu) {
  tcp::StackConfig config;
  config.mtu = mtu;
  return config;
}

// {message bytes, depth, MTU, trusted link}
void BM_EchoInOneThread(benchmark::State& state) {
  const auto mtu = static_cast<uint32_t>(state.range(2));
  MonotonicClock clock;
  zbuf::TestSlab slab_a(64u << 20), slab_b(64u << 20);
  pmd::QueuePair link(slab_a.slab(), slab_b.slab(), {.mtu = mtu, .share_objs = true});
  pmd::TrustedLinkIo trusted_a(link.a()), trusted_b(link.b());
  const bool trusted = state.range(3) != 0;
  TestHost a(clock, trusted ? trusted_a : link.a(), slab_a.slab(), {wire::Ipv4Address(10, 0, 0, 1), 24}, Config(mtu),
             {});
  TestHost b(clock, trusted ? trusted_b : link.b(), slab_b.slab(), {wire::Ipv4Address(10, 0, 0, 2), 24}, Config(mtu),
             {});
  Echo echo;
  CHECK(b.worker().Listen({wire::IpAddress(), 80}, echo).ok());
  {
    Client client(slab_a.Chain(std::string(static_cast<size_t>(state.range(0)), 'x')),
                  static_cast<uint64_t>(state.range(1)));
    CHECK(a.worker().Connect({b.address(), 80}, client).ok());
    const auto run = [&](uint64_t until) {
      while (client.answered() < until) {
        a.worker().RunOnce();
        b.worker().RunOnce();
      }
    };
    run(1000);
    uint64_t asked = client.answered();
    for (auto _ : state) run(++asked);
    for (TestHost* host : {&a, &b}) {
      host->stack().ForEachConnection([](tcp::Connection& connection) { connection.Abort(); });
    }
    while (a.stack().connections() + b.stack().connections() > 0) {
      a.worker().RunOnce();
      b.worker().RunOnce();
    }
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_EchoInOneThread)
    ->ArgNames({"bytes", "depth", "mtu", "trusted"})
    ->Args({64, 1, 1500, 0})
    ->Args({64, 16, 1500, 0})
    ->Args({4096, 1, 1500, 0})
    ->Args({4096, 1, 1500, 1})
    ->Args({4096, 16, 1500, 0})
    ->Args({4096, 16, 1500, 1})
    ->Args({65536, 4, 1500, 0})
    ->Args({65536, 4, 9000, 0});

// Answers counted over all connections.
class Counter final : public Handler {
 public:
  void OnConnected(tcp::Connection& connection) override { connections.push_back(&connection); }
  void OnReadable(tcp::Connection&, zbuf::ZChain data) override { received += data.bytes(); }
  std::vector<tcp::Connection*> connections;
  uint64_t received = 0;
};

// {connections}: 16 requests of 64 octets are under way, each on another connection, in an order without locality. What
// grows with the number is cache misses. An iteration, and an item, is one request.
void BM_EchoOverManyConnections(benchmark::State& state) {
  constexpr size_t kRequestBytes = 64, kAtOnce = 16, kStep = 7919, kPorts = 32, kOpening = 256;
  const auto wanted = static_cast<size_t>(state.range(0));
  MonotonicClock clock;
  zbuf::TestSlab slab_a(128u << 20), slab_b(128u << 20);
  pmd::QueuePair link(slab_a.slab(), slab_b.slab(), {.share_objs = true});
  tcp::StackConfig config = Config(1500);
  config.max_connections = 200'000;
  TestHost a(clock, link.a(), slab_a.slab(), {wire::Ipv4Address(10, 0, 0, 1), 24}, config, {});
  TestHost b(clock, link.b(), slab_b.slab(), {wire::Ipv4Address(10, 0, 0, 2), 24}, config, {});
  Echo echo;
  {
    Counter client;
    const auto turn = [&] {
      a.worker().RunOnce();
      b.worker().RunOnce();
    };
    for (uint16_t port = 0; port < kPorts; ++port) {
      CHECK(b.worker().Listen({wire::IpAddress(), static_cast<uint16_t>(80 + port)}, echo).ok());
    }
    for (size_t opened = 0; opened < wanted; ++opened) {
      const auto opening = a.worker().Connect({b.address(), static_cast<uint16_t>(80 + opened % kPorts)}, client);
      CHECK(opening.ok()) << opening.status();
      while (opened + 1 - client.connections.size() >= kOpening) turn();
    }
    while (client.connections.size() < wanted) turn();
    const zbuf::ZChain request = slab_a.Chain(std::string(kRequestBytes, 'x'));
    size_t next = 0;
    uint64_t asked = 0;
    while (state.KeepRunningBatch(kAtOnce)) {
      for (size_t i = 0; i < kAtOnce; ++i, next = (next + kStep) % wanted) {
        CHECK(client.connections[next]->Send(request.Share()) == tcp::SendResult::kOk);
      }
      asked += kAtOnce * kRequestBytes;
      while (client.received < asked) turn();
    }
    for (TestHost* host : {&a, &b}) {
      host->stack().ForEachConnection([](tcp::Connection& connection) { connection.Abort(); });
    }
    while (a.stack().connections() + b.stack().connections() > 0) turn();
  }
  state.SetItemsProcessed(state.iterations());
}
// Answers each message of 64 octets with the next one, on any number of connections.
class Loop final : public Handler {
 public:
  static constexpr size_t kBytes = 64, kDepth = 4;
  explicit Loop(zbuf::ZChain request) : request_(std::move(request)) {}
  void OnConnected(tcp::Connection& connection) override { Ask(connection, kDepth); }
  void OnReadable(tcp::Connection& connection, zbuf::ZChain data) override {
    answered += data.bytes() / kBytes;
    Ask(connection, data.bytes() / kBytes);  // messages are never cut here: a segment has room
  }
  uint64_t answered = 0;

 private:
  void Ask(tcp::Connection& connection, size_t times) {
    for (size_t i = 0; i < times; ++i) CHECK(connection.Send(request_.Share()) == tcp::SendResult::kOk);
  }
  const zbuf::ZChain request_;
};

// {model, receive_burst, flush_events}: 128 connections with 4 requests each, more than any burst. What the loop's
// tunables cost or bring without a second core; an item is one request.
void BM_EchoByBurst(benchmark::State& state) {
  constexpr size_t kConnections = 128, kAtOnce = 512;
  const WorkerOptions options = {.model = state.range(0) == 0 ? Model::kInline : Model::kBatch,
                                 .receive_burst = static_cast<size_t>(state.range(1)),
                                 .flush_events = static_cast<size_t>(state.range(2))};
  MonotonicClock clock;
  zbuf::TestSlab slab_a(64u << 20), slab_b(64u << 20);
  pmd::QueuePair link(slab_a.slab(), slab_b.slab(), {.share_objs = true});
  TestHost a(clock, link.a(), slab_a.slab(), {wire::Ipv4Address(10, 0, 0, 1), 24}, Config(1500), options);
  TestHost b(clock, link.b(), slab_b.slab(), {wire::Ipv4Address(10, 0, 0, 2), 24}, Config(1500), options);
  Echo echo;
  CHECK(b.worker().Listen({wire::IpAddress(), 80}, echo).ok());
  {
    Loop loop(slab_a.Chain(std::string(Loop::kBytes, 'x')));
    const auto turn = [&] {
      a.worker().RunOnce();
      b.worker().RunOnce();
    };
    for (size_t i = 0; i < kConnections; ++i) CHECK(a.worker().Connect({b.address(), 80}, loop).ok());
    while (loop.answered < 100'000) turn();
    uint64_t until = loop.answered;
    while (state.KeepRunningBatch(kAtOnce)) {
      until += kAtOnce;
      while (loop.answered < until) turn();
    }
    for (TestHost* host : {&a, &b}) {
      host->stack().ForEachConnection([](tcp::Connection& connection) { connection.Abort(); });
    }
    while (a.stack().connections() + b.stack().connections() > 0) turn();
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_EchoByBurst)
    ->ArgNames({"batch", "burst", "flush"})
    ->ArgsProduct({{0}, {8, 32, 128}, {0}})
    ->ArgsProduct({{1}, {8, 32, 128}, {0}})
    ->ArgsProduct({{1}, {32}, {4, 16}});

BENCHMARK(BM_EchoOverManyConnections)->ArgName("connections")->Arg(1)->Arg(16)->Arg(10'000)->Arg(100'000);

}  // namespace
}  // namespace luna::r2c
