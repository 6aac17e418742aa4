// Two stacks, a bad network, many seeds: whatever happens, both streams arrive octet by octet, all closes complete, and
// nothing is left behind. LUNA_TEST_SEED replays one.

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "luna/net/tcp/testing/stack_pair.h"

namespace luna::tcp {
namespace {

using testing::Faults;
using testing::PairOptions;
using testing::StackPair;

char Octet(int side, uint64_t offset) {
  return static_cast<char>((offset * 2654435761u + static_cast<unsigned>(side) * 7919) >> 13);
}

// How an endpoint behaves.
struct Habits {
  uint64_t send_bytes = 0;
  size_t most_per_send = 4096;
  bool half_close = true;             // ShutdownWrite() when all is sent, Close() when the peer has closed too
  size_t most_per_read = SIZE_MAX;    // less: reads later again
  Duration read_pause;                // after a read that did not take all
  uint64_t abort_after = UINT64_MAX;  // octets received
};

// One endpoint of a connection: sends position-coded octets, checks those that it gets.
class Endpoint {
 public:
  Endpoint(StackPair& pair, int side, const Habits& habits) : pair_(pair), side_(side), habits_(habits) {}

  void Handle(const Event& event) {
    EXPECT_FALSE(closed_) << "an event after kClosed";
    connection_ = event.connection;
    if (event.Has(EventBits::kAccepted) || event.Has(EventBits::kConnected)) Send();
    if (event.Has(EventBits::kWritable)) Send();
    if (event.Has(EventBits::kReadable)) Read();
    if (event.Has(EventBits::kPeerClosed)) {
      peer_closed_ = true;
      MaybeClose();
    }
    if (event.Has(EventBits::kClosed)) {
      if (event.connection->close_reason() == CloseReason::kNormal) Read(true);
      closed_ = true;
      reason_ = event.connection->close_reason();
    }
  }

  bool closed() const { return closed_; }
  CloseReason reason() const { return reason_; }
  uint64_t received() const { return received_; }

 private:
  void Send() {
    while (sent_ < habits_.send_bytes) {
      std::string bytes(std::min<uint64_t>(1 + pair_.random()() % habits_.most_per_send, habits_.send_bytes - sent_),
                        '\0');
      for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = Octet(side_, sent_ + i);
      const size_t taken =
          connection_->Send(absl::MakeConstSpan(reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()));
      sent_ += taken;
      if (taken < bytes.size()) return;
    }
    if (!shut_) {
      shut_ = true;
      if (habits_.half_close) connection_->ShutdownWrite();
      MaybeClose();
    }
  }

  void Read(bool all = false) {
    if (closed_) return;
    const std::string bytes = connection_->Read(all ? SIZE_MAX : habits_.most_per_read).ToString();
    for (size_t i = 0; i < bytes.size(); ++i) {
      ASSERT_EQ(bytes[i], Octet(1 - side_, received_ + i)) << "at " << received_ + i << " " << pair_.Describe();
    }
    received_ += bytes.size();
    if (received_ >= habits_.abort_after && !aborted_) {
      aborted_ = true;
      connection_->Abort();
      return;
    }
    if (connection_->readable_bytes() > 0 && !waiting_) {
      waiting_ = true;
      pair_.At(pair_.now() + habits_.read_pause, [this] {
        waiting_ = false;
        Read();
      });
    }
    MaybeClose();
  }

  // When all is said and read.
  void MaybeClose() {
    if (shut_ && peer_closed_ && connection_->readable_bytes() == 0) connection_->Close();
  }

  StackPair& pair_;
  int side_;
  Habits habits_;
  Connection* connection_ = nullptr;
  uint64_t sent_ = 0;
  uint64_t received_ = 0;
  bool shut_ = false;
  bool peer_closed_ = false;
  bool closed_ = false;
  bool waiting_ = false;
  bool aborted_ = false;
  CloseReason reason_ = CloseReason::kNone;
};

// Both sides of several connections over one pair.
class Transfer {
 public:
  Transfer(const PairOptions& options, int connections, const Habits& a, const Habits& b) : pair(options) {
    EXPECT_TRUE(pair.host(1).stack().Listen({pair.host(1).address, 61441}).ok());
    for (int side = 0; side < 2; ++side) {
      pair.host(side).on_event = [this, side, b](const Event& event) {
        if (event.Has(EventBits::kAccepted)) Add(side, event.connection, b);
        current[side].at(event.connection)->Handle(event);
      };
    }
    for (int i = 0; i < connections; ++i) {
      auto connection =
          pair.host(0).stack().Connect({pair.host(0).address, 0}, {pair.host(1).address, 61441}, nullptr, pair.now());
      EXPECT_TRUE(connection.ok());
      Add(0, *connection, a);
    }
    wanted = static_cast<size_t>(connections);
  }

  void Add(int side, Connection* connection, const Habits& habits) {
    endpoints[side].push_back(std::make_unique<Endpoint>(pair, side, habits));
    current[side][connection] = endpoints[side].back().get();
  }

  bool AllClosed() const {
    return std::all_of(std::begin(endpoints), std::end(endpoints), [this](const auto& side) {
      return side.size() >= wanted && std::all_of(side.begin(), side.end(), [](const auto& e) { return e->closed(); });
    });
  }

  void ExpectAllReceived(uint64_t by_a, uint64_t by_b) {
    const uint64_t expected[2] = {by_a, by_b};
    for (int side = 0; side < 2; ++side) {
      for (const auto& endpoint : endpoints[side]) {
        EXPECT_EQ(endpoint->received(), expected[side]) << "side " << side << " " << pair.Describe();
        EXPECT_EQ(endpoint->reason(), CloseReason::kNormal) << "side " << side << " " << pair.Describe();
      }
    }
  }

  void ExpectNothingLeft() {
    EXPECT_TRUE(pair.RunUntil([this] { return pair.Quiet(); }, Duration::Seconds(30))) << pair.Describe();
    for (int side = 0; side < 2; ++side) {
      EXPECT_EQ(pair.host(side).stack().connections(), 0u) << pair.Describe();
      EXPECT_EQ(pair.host(side).memory.outstanding(), pair.host(side).stack().reserved_objs()) << pair.Describe();
      EXPECT_EQ(pair.host(side).device_memory.outstanding(), 0u) << pair.Describe();
    }
  }

  StackPair pair;
  size_t wanted = 0;
  std::vector<std::unique_ptr<Endpoint>> endpoints[2];
  std::map<Connection*, Endpoint*> current[2];  // the pool uses addresses again
};

StackConfig RandomConfig(std::mt19937_64& random) {
  StackConfig config;
  config.timestamps = random() % 2;
  config.window_scale = random() % 2;
  config.nagle = random() % 4 == 0;
  config.delayed_ack = random() % 3 == 0 ? Duration::Zero() : Duration::Microseconds(500);
  const uint32_t buffers[] = {3000, 20000, 65535, 150001, 1u << 20};
  config.receive_buffer_bytes = buffers[random() % 5];
  config.send_buffer_bytes = buffers[random() % 5];
  const uint32_t mtus[] = {300, 576, 1500, 4000};
  config.mtu = mtus[random() % 4];
  config.secret = {random(), random()};
  config.sack = random() % 4 != 0;
  config.dsack = random() % 4 != 0;
  config.ecn = static_cast<EcnMode>(random() % 3);
  config.quick_acks = random() % 2 ? 16 : 0;
  config.ack_on_read = random() % 2;
  config.receive_buffer_max_bytes = random() % 2 ? 1u << 20 : 0;
  // Long enough for any of the networks below: what is tested is that streams survive, not that they give up.
  config.syn_retries = config.data_retries = config.closed_retries = 60;
  return config;
}

Faults RandomFaults(std::mt19937_64& random) {
  const auto chance = [&random](double most) {
    return random() % 2 ? 0.0 : most * static_cast<double>(random() % 1000) / 1000;
  };
  Faults faults;
  faults.loss = chance(0.2);
  faults.duplicate = chance(0.2);
  faults.corrupt = chance(0.05);
  faults.reorder = chance(0.3);
  faults.mark = chance(0.3);
  faults.hold = Duration::Microseconds(static_cast<int64_t>(random() % 8000));
  faults.delay = Duration::Microseconds(static_cast<int64_t>(random() % 2000));
  faults.jitter = Duration::Microseconds(static_cast<int64_t>(random() % 300));
  return faults;
}

Habits RandomHabits(std::mt19937_64& random) {
  Habits habits;
  habits.send_bytes = random() % 4 == 0 ? 0 : random() % 120000;
  habits.most_per_send = random() % 2 ? 9000 : 1 + random() % 700;
  habits.half_close = random() % 2;
  if (random() % 3 == 0) {
    habits.most_per_read = 1 + random() % 6000;
    habits.read_pause = Duration::Microseconds(static_cast<int64_t>(random() % 3000));
  }
  return habits;
}

// Two hosts and their network, all of them by chance.
PairOptions RandomPair(std::mt19937_64& random) {
  PairOptions options;
  options.seed = random();
  for (int i = 0; i < 2; ++i) {
    options.configs[i] = RandomConfig(random);
    options.faults[i] = RandomFaults(random);
  }
  options.flush_limit = 1 + random() % 64;
  options.flush_in_line = random() % 2;
  return options;
}

void RunSeed(uint64_t seed) {
  SCOPED_TRACE("LUNA_TEST_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  const PairOptions options = RandomPair(random);
  Habits a = RandomHabits(random);
  Habits b = RandomHabits(random);
  // One of them has to be the first to shut.
  a.half_close |= !b.half_close;
  const int connections = 1 + static_cast<int>(random() % 3);
  Transfer transfer(options, connections, a, b);
  ASSERT_TRUE(transfer.pair.RunUntil([&] { return transfer.AllClosed(); }, Duration::Seconds(300)))
      << transfer.pair.Describe();
  transfer.ExpectAllReceived(b.send_bytes, a.send_bytes);
  transfer.ExpectNothingLeft();
}

TEST(Transfer, EveryOctetArrivesWhateverTheNetworkDoes) {
  if (std::getenv("LUNA_TEST_SEED") != nullptr) {
    RunSeed(testing::SeedFromEnvironment(0));
    return;
  }
  for (uint64_t seed = 1; seed <= 200 && !HasFailure(); ++seed) RunSeed(seed);
}

void ForSeeds(uint64_t count, const std::function<void(uint64_t)>& run) {
  const uint64_t only = testing::SeedFromEnvironment(0);
  for (uint64_t seed = only ? only : 1; seed <= (only ? only : count) && !::testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE("LUNA_TEST_SEED=" + std::to_string(seed));
    run(seed);
  }
}

// One side gives up in the middle: the other hears of it, or times out; and nothing is left.
TEST(Transfer, AbortsLeaveNothingBehind) {
  ForSeeds(60, [](uint64_t seed) {
    std::mt19937_64 random(seed);
    PairOptions options = RandomPair(random);
    for (StackConfig& config : options.configs) {
      config.syn_retries = 60;
      config.data_retries = config.closed_retries = 8;
      // Who has nothing to send hears of an end whose reset was lost by asking.
      config.keep_alive = true;
      config.keep_alive_idle = config.keep_alive_interval = Duration::Seconds(10);
    }
    Habits a = RandomHabits(random);
    Habits b = RandomHabits(random);
    a.send_bytes += 20000;
    b.send_bytes += 20000;
    a.half_close = true;
    (random() % 2 ? a : b).abort_after = random() % 20000;
    Transfer transfer(options, 2, a, b);
    EXPECT_TRUE(transfer.pair.RunUntil([&] { return transfer.AllClosed(); }, Duration::Seconds(300)))
        << transfer.pair.Describe();
    transfer.ExpectNothingLeft();
  });
}

// Again and again all memory of a host is gone for a while: streams stand still, and go on.
TEST(Transfer, MemoryMayRunOutForAWhile) {
  ForSeeds(20, [](uint64_t seed) {
    std::mt19937_64 random(seed);
    PairOptions options = RandomPair(random);
    options.memory_bytes = size_t{8} << 20;
    Habits a = RandomHabits(random);
    Habits b = RandomHabits(random);
    a.half_close = true;
    Transfer transfer(options, 2, a, b);
    std::vector<zbuf::ZRef> hog[2];
    std::function<void(int)> take = [&](int side) {
      for (const size_t bytes : {16384, 2048, 1024, 512, 256, 128, 64}) {
        while (std::byte* obj = transfer.pair.host(side).memory.slab().Alloc(bytes)) {
          hog[side].push_back(zbuf::ZRef::Adopt(obj));
        }
      }
      transfer.pair.At(transfer.pair.now() + Duration::Microseconds(static_cast<int64_t>(random() % 20000)),
                       [&hog, side] { hog[side].clear(); });
    };
    for (int i = 0; i < 8; ++i) {
      transfer.pair.At(transfer.pair.now() + Duration::Microseconds(static_cast<int64_t>(random() % 200000)),
                       [&take, i] { take(i % 2); });
    }
    EXPECT_TRUE(transfer.pair.RunUntil([&] { return transfer.AllClosed(); }, Duration::Seconds(300)))
        << transfer.pair.Describe();
    transfer.ExpectAllReceived(b.send_bytes, a.send_bytes);
    transfer.pair.RunFor(Duration::Milliseconds(300));  // whatever was still to be taken is let go
    transfer.ExpectNothingLeft();
  });
}

// Each end has queued more for the other than its memory likes, and neither reads for a while: then neither has a
// window, nor memory. Found by reading; both would have waited for ever.
TEST(Transfer, TwoThatHaveQueuedTooMuchForEachOtherGoOn) {
  for (const size_t queued : {50'000u, 60'000u, 66'000u}) {
    PairOptions options;
    for (StackConfig& config : options.configs) {
      config.memory_limit_bytes = 64 << 10;
      config.receive_buffer_bytes = config.receive_buffer_max_bytes = 3000;
    }
    StackPair pair(options);
    Connection* ends[2] = {};
    size_t received[2] = {};
    bool reads = false;
    const auto read = [&](int i) {
      if (ends[i] != nullptr && reads) received[i] += ends[i]->Read().bytes();
    };
    for (int i : {0, 1}) {
      pair.host(i).on_event = [&, i](const Event& event) {
        if (event.Has(EventBits::kAccepted) || event.Has(EventBits::kConnected)) {
          ends[i] = event.connection;
          EXPECT_EQ(ends[i]->Send(pair.host(i).memory.Chain(std::string(queued, 'q'))), SendResult::kOk);
        }
        read(i);
      };
    }
    ASSERT_TRUE(pair.host(1).stack().Listen({pair.host(1).address, 80}).ok());
    pair.At(pair.now(), [&] {
      ASSERT_TRUE(pair.host(0)
                      .stack()
                      .Connect({pair.host(0).address, 0}, {pair.host(1).address, 80}, nullptr, pair.now())
                      .ok());
    });
    pair.RunFor(Duration::Seconds(1));
    pair.At(pair.now(), [&] {
      reads = true;
      read(0);
      read(1);
    });
    EXPECT_TRUE(pair.RunUntil([&] { return received[0] == queued && received[1] == queued; }, Duration::Seconds(300)))
        << queued << ": " << received[0] << " and " << received[1] << " " << pair.Describe();
    pair.At(pair.now(), [&] {
      for (Connection* end : ends) end->Abort();
    });
    pair.RunFor(Duration::Seconds(2));
  }
}

TEST(Transfer, TheSameSeedGivesTheSameRun) {
  const auto hash = [](uint64_t seed) {
    std::mt19937_64 random(seed);
    const PairOptions options = RandomPair(random);
    Habits a = RandomHabits(random);
    const Habits b = RandomHabits(random);
    a.half_close = true;
    Transfer transfer(options, 2, a, b);
    EXPECT_TRUE(transfer.pair.RunUntil([&] { return transfer.AllClosed(); }, Duration::Seconds(300)));
    transfer.ExpectNothingLeft();
    return transfer.pair.trace_hash();
  };
  for (uint64_t seed = 1000; seed < 1005; ++seed) EXPECT_EQ(hash(seed), hash(seed)) << seed;
  EXPECT_NE(hash(1000), hash(1001));
}

}  // namespace
}  // namespace luna::tcp
