// What the models differ in, and what the worker counts of itself.

#include <sys/eventfd.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "luna/mem/zbuf/testing/test_slab.h"
#include "luna/net/pmd/testing/fake_packet_io.h"
#include "luna/sched/clock/testing/fake_clock.h"
#include "luna/sched/r2c/testing/two_hosts.h"

namespace luna::r2c {
namespace {

using tcp::Connection;

constexpr uint16_t kPort = 7;

absl::Span<const std::byte> Bytes(const std::string& text) {
  return absl::MakeConstSpan(reinterpret_cast<const std::byte*>(text.data()), text.size());
}

// Answers with as many octets as it got, and keeps a diary. `frames`: how many of its host's have been sent so far.
class Server final : public Handler {
 public:
  void OnReadable(Connection& c, zbuf::ZChain data) override {
    diary.push_back({&c, data.bytes(), frames ? frames() : 0});
    if (during) during(c);
    EXPECT_EQ(c.Send(std::move(data)), tcp::SendResult::kOk);
  }
  void OnClosed(Connection&, tcp::CloseReason) override { ++closed; }

  struct Entry {
    Connection* connection;
    size_t bytes;
    uint64_t frames;
  };
  std::vector<Entry> diary;
  std::function<uint64_t()> frames;
  std::function<void(Connection&)> during;
  int closed = 0;
};

class Client final : public Handler {
 public:
  void OnConnected(Connection& c) override { connection = &c; }
  void OnReadable(Connection&, zbuf::ZChain data) override { received += data.bytes(); }
  Connection* connection = nullptr;
  size_t received = 0;
};

// Two clients' requests alternate in one burst: A, B, A, B.
class ModelTest : public ::testing::Test {
 protected:
  void Start(const WorkerOptions& options) {
    TwoHostsOptions two;
    two.worker = options;
    hosts_ = std::make_unique<TwoHosts>(two);
    ASSERT_TRUE(hosts_->b().worker().Listen({wire::IpAddress(), kPort}, server_).ok());
    for (Client& client : clients_) {
      ASSERT_TRUE(hosts_->a().worker().Connect({hosts_->b().address(), kPort}, client).ok());
      ASSERT_TRUE(hosts_->RunUntil([&] { return client.connection != nullptr; }, Duration::Seconds(1)));
    }
    ASSERT_TRUE(hosts_->RunUntil([&] { return hosts_->link().Idle(); }, Duration::Seconds(1)));
    frames_before_ = hosts_->link().b_to_a().stats().sent;
    server_.frames = [this] { return hosts_->link().b_to_a().stats().sent - frames_before_; };
  }
  void SendAlternating() {
    for (int round = 0; round < 2; ++round) {
      for (Client& client : clients_) {
        ASSERT_EQ(client.connection->Send(Bytes("0123456789")), 10u);
        hosts_->a().worker().RunOnce();
      }
    }
    hosts_->b().worker().RunOnce();
  }
  uint64_t FramesOfB() const { return hosts_->link().b_to_a().stats().sent - frames_before_; }
  void Finish() {
    for (Client& client : clients_) {
      ASSERT_TRUE(hosts_->RunUntil([&] { return client.received == 20; }, Duration::Seconds(1)));
      client.connection->Close();
    }
    EXPECT_TRUE(hosts_->RunUntilQuiet(Duration::Seconds(5)));
    EXPECT_EQ(server_.closed, 2);
  }

  Server server_;
  Client clients_[2];
  std::unique_ptr<TwoHosts> hosts_;
  uint64_t frames_before_ = 0;
};

TEST_F(ModelTest, InlineAnswersEachInItsTurn) {
  Start({});
  SendAlternating();
  ASSERT_EQ(server_.diary.size(), 4u);
  for (const Server::Entry& entry : server_.diary) EXPECT_EQ(entry.bytes, 10u);
  EXPECT_EQ(FramesOfB(), 4u) << "an answer each";
  Finish();
}

TEST_F(ModelTest, BatchTellsEachConnectionOnceAndSendsWhenAllHaveBeenTold) {
  Start({.model = Model::kBatch});
  SendAlternating();
  ASSERT_EQ(server_.diary.size(), 2u);
  EXPECT_NE(server_.diary[0].connection, server_.diary[1].connection);
  for (const Server::Entry& entry : server_.diary) {
    EXPECT_EQ(entry.bytes, 20u) << "both requests";
    EXPECT_EQ(entry.frames, 0u) << "nothing leaves before the last handler";
  }
  EXPECT_EQ(FramesOfB(), 2u);
  Finish();
}

TEST_F(ModelTest, BatchFlushesAfterAsManyEventsAsItIsTold) {
  Start({.model = Model::kBatch, .flush_events = 1});
  SendAlternating();
  ASSERT_EQ(server_.diary.size(), 2u);
  EXPECT_EQ(server_.diary[0].frames, 0u);
  EXPECT_EQ(server_.diary[1].frames, 1u);
  Finish();
}

// The first handler ends the other's connection, whose event is queued already.
TEST_F(ModelTest, BatchDoesNotReadFromAConnectionThatAHandlerHasEnded) {
  Start({.model = Model::kBatch});
  std::vector<Connection*> open;
  hosts_->b().stack().ForEachConnection([&open](Connection& c) { open.push_back(&c); });
  ASSERT_EQ(open.size(), 2u);
  server_.during = [&open](Connection& c) { (open[0] == &c ? open[1] : open[0])->Abort(); };
  SendAlternating();
  EXPECT_EQ(server_.diary.size(), 1u);
  server_.during = nullptr;
  for (Client& client : clients_) {
    if (client.connection->state() != tcp::State::kClosed) client.connection->Close();
  }
  EXPECT_TRUE(hosts_->RunUntilQuiet(Duration::Seconds(5)));
  EXPECT_EQ(server_.closed, 2) << "once each";
}

TEST_F(ModelTest, CallsThatTakeTooLongAreCountedAndReportedWithTheirConnection) {
  std::vector<std::pair<const Connection*, Duration>> reports;
  Start({.stall_limit = Duration::Milliseconds(5),
         .on_stall = [&reports](const Connection* c, Duration took) { reports.emplace_back(c, took); }});
  int call = 0;
  server_.during = [&](Connection&) {
    hosts_->clock().Advance(++call == 3 ? Duration::Milliseconds(6) : Duration::Milliseconds(5));
  };
  SendAlternating();
  ASSERT_EQ(reports.size(), 1u);
  EXPECT_EQ(reports[0].first, server_.diary[2].connection);
  EXPECT_EQ(reports[0].second, Duration::Milliseconds(6));
  const WorkerCounters& counters = hosts_->b().worker().counters();
  EXPECT_EQ(counters.stalls.value(), 1u);
  EXPECT_EQ(counters.longest_stall_ns.value(), 6'000'000u);

  class Slow final : public AppTimer {
   public:
    explicit Slow(FakeClock& clock) : clock_(clock) {}
    void OnTimer(Time) override { clock_.Advance(Duration::Milliseconds(7)); }

   private:
    FakeClock& clock_;
  } slow(hosts_->clock());
  hosts_->b().worker().Arm(slow, hosts_->clock().Now());
  hosts_->clock().Advance(Duration::Microseconds(2));  // timers are late by a granule at most
  hosts_->b().worker().RunOnce();
  ASSERT_EQ(reports.size(), 2u);
  EXPECT_EQ(reports[1].first, nullptr);
  EXPECT_EQ(counters.longest_stall_ns.value(), 7'000'000u);
  server_.during = nullptr;
  Finish();
}

TEST_F(ModelTest, TimeIsCountedByVerbAndByWhetherThereWasWork) {
  Start({.verb_sample = 1});
  const WorkerCounters& counters = hosts_->b().worker().counters();
  const uint64_t busy_before = counters.busy_ns.value(), bursts_before = counters.bursts.value();
  const auto of = [this](Verb verb) {
    return hosts_->b().worker().verbs().nanoseconds[static_cast<size_t>(verb)].value();
  };
  const uint64_t deliver_before = of(Verb::kDeliver), flush_before = of(Verb::kFlush);
  server_.during = [this](Connection&) { hosts_->clock().Advance(Duration::Microseconds(10)); };
  SendAlternating();
  EXPECT_EQ(of(Verb::kDeliver) - deliver_before, 40'000u) << "nothing else moves the clock";
  EXPECT_EQ(of(Verb::kFlush), flush_before);
  EXPECT_EQ(counters.bursts.value(), bursts_before + 1);
  EXPECT_LT(counters.busy_ns.value(), busy_before + 40'000) << "the next iteration knows";
  hosts_->b().worker().RunOnce();
  EXPECT_GE(counters.busy_ns.value(), busy_before + 40'000);
  EXPECT_EQ(hosts_->b().worker().verbs().iterations.value(), counters.iterations.value());
  server_.during = nullptr;
  Finish();
}

// --- Neither side starves the other (LUNA §7.2) ---

constexpr uint8_t kNobodysFrame[60] = {0xff};

class Always final : public FdHandler {
 public:
  explicit Always(int initial = 1) : fd(eventfd(static_cast<unsigned>(initial), EFD_NONBLOCK | EFD_CLOEXEC)) {}
  ~Always() override { close(fd); }
  void OnFdReady(uint32_t) override { ++calls; }  // does not read: ready for ever
  const int fd;
  int calls = 0;
};

class StarvationTest : public ::testing::TestWithParam<Model> {
 protected:
  StarvationTest() {
    auto poller = KernelPoller::Create();
    CHECK(poller.ok());
    poller_ = *std::move(poller);
    host_ = std::make_unique<TestHost>(clock_, io_, memory_.slab(),
                                       wire::Ipv4Prefix(wire::Ipv4Address(10, 0, 0, 1), 24), tcp::StackConfig{},
                                       WorkerOptions{.model = GetParam()}, WorkerParts{.poller = poller_.get()});
  }
  void Watch(Always& handler) { ASSERT_TRUE(poller_->Add(handler.fd, EPOLLIN, &handler).ok()); }

  FakeClock clock_;
  zbuf::TestSlab memory_{16u << 20};
  pmd::FakePacketIo io_{memory_.slab()};
  std::unique_ptr<KernelPoller> poller_;
  std::unique_ptr<TestHost> host_;
};

TEST_P(StarvationTest, AFloodOfKernelEventsLeavesABurstPerIterationToLuna) {
  std::vector<std::unique_ptr<Always>> flood;
  for (int i = 0; i < 64; ++i) {
    flood.push_back(std::make_unique<Always>());
    Watch(*flood.back());
  }
  constexpr int kIterations = 40;
  for (int i = 0; i < kIterations; ++i) {
    for (int n = 0; n < 32; ++n) io_.Push(kNobodysFrame);
    ASSERT_TRUE(host_->worker().RunOnce());
    ASSERT_EQ(io_.pending(), 0u) << "a whole burst, in iteration " << i;
    clock_.Advance(Duration::Nanoseconds(100));
  }
  for (const auto& handler : flood) {
    EXPECT_EQ(handler->calls, kIterations * 16 / 64) << "16 an iteration, and all in turn";
  }
}

TEST_P(StarvationTest, AFloodOfFramesLeavesTheKernelALookEachFiveMicroseconds) {
  Always ready;
  Watch(ready);
  constexpr int kIterations = 1000;
  for (int i = 0; i < kIterations; ++i) {
    for (int n = 0; n < 64; ++n) io_.Push(kNobodysFrame);  // twice what a burst takes
    host_->worker().RunOnce();
    clock_.Advance(Duration::Microseconds(1));
  }
  EXPECT_EQ(host_->worker().counters().full_bursts.value(), static_cast<uint64_t>(kIterations));
  EXPECT_EQ(ready.calls, kIterations / 5);
}

TEST_P(StarvationTest, AFloodOfTimersLeavesBothTheirShare) {
  class Again final : public AppTimer {
   public:
    explicit Again(Worker& worker) : worker_(worker) { worker_.Arm(*this, worker_.now()); }
    ~Again() override { worker_.Cancel(*this); }
    void OnTimer(Time now) override { worker_.Arm(*this, now); }  // due at once

   private:
    Worker& worker_;
  };
  Always ready;
  Watch(ready);
  {
    Again again(host_->worker());
    for (int i = 0; i < 100; ++i) {
      for (int n = 0; n < 32; ++n) io_.Push(kNobodysFrame);
      host_->worker().RunOnce();
      ASSERT_EQ(io_.pending(), 0u);
      clock_.Advance(Duration::Microseconds(5));
    }
  }
  EXPECT_EQ(ready.calls, 100);
}

INSTANTIATE_TEST_SUITE_P(Models, StarvationTest, ::testing::Values(Model::kInline, Model::kBatch),
                         [](const auto& info) { return info.param == Model::kInline ? "Inline" : "Batch"; });

}  // namespace
}  // namespace luna::r2c
