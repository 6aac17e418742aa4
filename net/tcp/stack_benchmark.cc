// What a segment costs: lookup, Ingest of data and of pure acknowledgements, and Flush, with 1 to a million connections
// that take turns (so that with many each one is cold). A million take about 2 GB. Run with `bazel run -c opt
// //net/tcp:stack_benchmark`.

#include <chrono>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "benchmark/benchmark.h"
#include "glog/logging.h"
#include "luna/mem/zbuf/arena.h"
#include "luna/mem/zbuf/page_source.h"
#include "luna/net/tcp/stack.h"
#include "luna/net/tcp/tuple_table.h"
#include "luna/net/wire/tcp_header.h"

namespace luna::tcp {
namespace {

using wire::TcpFlags;

constexpr wire::Ipv4Address kHere(10, 0, 0, 2);
constexpr uint16_t kPort = 80;

struct Remote {
  wire::Endpoint endpoint;
  uint32_t next = 1;
  uint32_t isn_here = 0;
  uint32_t acked = 1;
  Connection* connection = nullptr;
};

// A stack with `connections` established connections, and the peers' side of their numbers.
class World {
 public:
  explicit World(int64_t connections) {
    auto arena = zbuf::Arena::Create(pages_, {.size_bytes = size_t{256} << 20, .name = "benchmark"});
    CHECK(arena.ok()) << arena.status();
    arena_ = *std::move(arena);
    slab_ = std::make_unique<zbuf::Slab>(*arena_);
    StackConfig config;
    config.timestamps = false;
    config.delayed_ack = Duration::Milliseconds(499);
    config.rto_initial = config.rto_min = config.rto_max = Duration::Seconds(1000);
    stack_ = std::make_unique<Stack>(config, *slab_, drops_, now_);
    CHECK(stack_->Listen({kHere, kPort}, {.backlog = 1u << 20}).ok());
    remotes_.resize(static_cast<size_t>(connections));
    for (size_t i = 0; i < remotes_.size(); ++i) Open(remotes_[i], i);
  }
  ~World() {
    batch_.clear();
    stack_.reset();
  }

  Remote& Next() {
    if (++turn_ >= remotes_.size()) turn_ = 0;
    return remotes_[turn_];
  }

  ip::Datagram Make(Remote& r, uint16_t flags, uint32_t ack, size_t payload) {
    ip::Datagram datagram;
    std::byte* obj = slab_->Alloc(20 + payload);
    CHECK(obj != nullptr);
    wire::TcpHeader header{.source_port = r.endpoint.port,
                           .destination_port = kPort,
                           .sequence = r.next,
                           .acknowledgment = ack,
                           .flags = flags,
                           .window = 65535};
    wire::Write(header, reinterpret_cast<uint8_t*>(obj));
    datagram.source = r.endpoint.address;
    datagram.destination = kHere;
    datagram.packet.rx.arrival = now_;
    datagram.packet.rx.l4_checksum = pmd::ChecksumStatus::kGood;
    datagram.packet.data.Append(zbuf::ZRef::Adopt(obj), static_cast<uint32_t>(20 + payload));
    r.next += static_cast<uint32_t>(payload) + ((flags & TcpFlags::kSyn) ? 1 : 0);
    return datagram;
  }

  size_t Flush() {
    batch_.clear();
    stack_->Flush(now_, 4096, &batch_);
    return batch_.size();
  }

  zbuf::ZChain Payload(size_t bytes) {
    zbuf::ZChain chain;
    chain.Append(zbuf::ZRef::Adopt(slab_->Alloc(bytes)), static_cast<uint32_t>(bytes));
    return chain;
  }

  Stack& stack() { return *stack_; }
  Time now() const { return now_; }
  void Tick() { now_ += Duration::Nanoseconds(100); }

 private:
  void Open(Remote& r, size_t i) {
    r.endpoint = {wire::Ipv4Address(static_cast<uint32_t>(0x0b000000 + i / 60000)),
                  static_cast<uint16_t>(1000 + i % 60000)};
    stack_->Ingest(Make(r, TcpFlags::kSyn, 0, 0), now_);
    Flush();
    std::vector<uint8_t> bytes(batch_.back().packet.data.bytes());
    batch_.back().packet.data.CopyTo(absl::MakeSpan(reinterpret_cast<std::byte*>(bytes.data()), bytes.size()));
    wire::TcpHeader answer;
    CHECK(wire::Parse(bytes, &answer) == wire::ParseResult::kOk);
    r.isn_here = answer.sequence;
    const Event event = stack_->Ingest(Make(r, TcpFlags::kAck, r.isn_here + 1, 0), now_);
    CHECK(event.Has(EventBits::kAccepted));
    r.connection = event.connection;
  }

  zbuf::AnonymousPageSource pages_;
  std::unique_ptr<zbuf::Arena> arena_;
  std::unique_ptr<zbuf::Slab> slab_;
  stats::DropCounters drops_;
  Time now_ = Time::FromNanoseconds(1000000000);
  std::unique_ptr<Stack> stack_;
  std::vector<Remote> remotes_;
  size_t turn_ = 0;
  ip::OutBatch batch_;
};

constexpr int kBurst = 32;

// Adds the time that `work` takes to the benchmark's, which is one of manual time.
template <typename Work>
void Timed(benchmark::State& state, Work work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  state.SetIterationTime(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
}

// Bursts, so that only Ingest is timed: 64 octets in order, read by the application after the burst.
void BM_IngestData(benchmark::State& state) {
  World world(state.range(0));
  std::vector<ip::Datagram> burst(kBurst);
  std::vector<Connection*> readers(kBurst);
  for (auto _ : state) {
    world.Tick();
    for (int i = 0; i < kBurst; ++i) {
      Remote& r = world.Next();
      burst[i] = world.Make(r, TcpFlags::kAck | TcpFlags::kPsh, r.isn_here + r.acked, 64);
      readers[i] = r.connection;
    }
    Timed(state, [&] {
      for (ip::Datagram& datagram : burst)
        benchmark::DoNotOptimize(world.stack().Ingest(std::move(datagram), world.now()));
    });
    for (Connection* c : readers) c->Read();
    world.Flush();
  }
  state.SetItemsProcessed(state.iterations() * kBurst);
}

// Send() and Flush() of 64 octets: one segment each.
void BM_SendAndFlush(benchmark::State& state) {
  World world(state.range(0));
  std::vector<Remote*> burst(kBurst);
  std::vector<zbuf::ZChain> payload(kBurst);
  for (auto _ : state) {
    world.Tick();
    for (int i = 0; i < kBurst; ++i) {
      burst[i] = &world.Next();
      payload[i] = world.Payload(64);
    }
    Timed(state, [&] {
      for (int i = 0; i < kBurst; ++i) CHECK(burst[i]->connection->Send(std::move(payload[i])) == SendResult::kOk);
      benchmark::DoNotOptimize(world.Flush());
    });
    for (Remote* r : burst) {
      r->acked += 64;
      world.stack().Ingest(world.Make(*r, TcpFlags::kAck, r->isn_here + r->acked, 0), world.now());
    }
  }
  state.SetItemsProcessed(state.iterations() * kBurst);
}

// A pure acknowledgement of one segment.
void BM_IngestAck(benchmark::State& state) {
  World world(state.range(0));
  std::vector<ip::Datagram> burst(kBurst);
  for (auto _ : state) {
    world.Tick();
    for (int i = 0; i < kBurst; ++i) {
      Remote& r = world.Next();
      CHECK(r.connection->Send(world.Payload(64)) == SendResult::kOk);
      r.acked += 64;
      burst[i] = world.Make(r, TcpFlags::kAck, r.isn_here + r.acked, 0);
    }
    world.Flush();
    Timed(state, [&] {
      for (ip::Datagram& datagram : burst)
        benchmark::DoNotOptimize(world.stack().Ingest(std::move(datagram), world.now()));
    });
  }
  state.SetItemsProcessed(state.iterations() * kBurst);
}

// From four-tuple to connection, which is as large as a real one, in an order that no prefetcher foresees.
void BM_Lookup(benchmark::State& state) {
  struct alignas(64) Item {
    wire::FourTuple id;
    std::byte rest[1024 - sizeof(wire::FourTuple)];
    const wire::FourTuple& tuple() const { return id; }
    bool IsOf(const wire::FourTuple& other) const { return Ipv4Tuple(id) == other; }
  };
  const auto count = static_cast<size_t>(state.range(0));
  std::vector<Item> items(count);
  TupleTable<Item> table({1, 2});
  for (size_t i = 0; i < count; ++i) {
    items[i].id = {
        {kHere, kPort},
        {wire::Ipv4Address(static_cast<uint32_t>(0x0b000000 + i / 60000)), static_cast<uint16_t>(1000 + i % 60000)}};
    table.Insert(&items[i]);
  }
  std::vector<wire::FourTuple> wanted(4096);
  uint64_t random = 1;
  for (auto _ : state) {
    for (wire::FourTuple& tuple : wanted) {
      random = random * 6364136223846793005u + 1442695040888963407u;
      tuple = items[(random >> 33) % count].id;
    }
    Timed(state, [&] {
      for (const wire::FourTuple& tuple : wanted) benchmark::DoNotOptimize(table.Find(tuple));
    });
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(wanted.size()));
}

BENCHMARK(BM_Lookup)->Arg(1)->Arg(1000)->Arg(100000)->Arg(1000000)->UseManualTime();
BENCHMARK(BM_IngestData)->Arg(1)->Arg(1000)->Arg(100000)->Arg(1000000)->UseManualTime();
BENCHMARK(BM_IngestAck)->Arg(1)->Arg(1000)->Arg(100000)->Arg(1000000)->UseManualTime();
BENCHMARK(BM_SendAndFlush)->Arg(1)->Arg(1000)->Arg(100000)->Arg(1000000)->UseManualTime();

}  // namespace
}  // namespace luna::tcp
