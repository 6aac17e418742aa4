#include "luna/sched/r2c/idler.h"

#include <unistd.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "gtest/gtest.h"
#include "luna/mem/zbuf/testing/test_slab.h"
#include "luna/net/pmd/decorator.h"
#include "luna/net/pmd/testing/fake_packet_io.h"
#include "luna/sched/clock/testing/fake_clock.h"
#include "luna/sched/r2c/testing/two_hosts.h"

namespace luna::r2c {
namespace {

constexpr Duration kStep = Duration::Microseconds(1);

// Sleeps as long as it is told to, on the virtual clock; for ever is a day.
class FakeSleeper final : public Sleeper {
 public:
  explicit FakeSleeper(FakeClock& clock) : clock_(clock) {}
  bool Sleep(absl::Span<const int> fds, Duration timeout) override {
    descriptors.assign(fds.begin(), fds.end());
    timeouts.push_back(timeout);
    starts.push_back(clock_.Now());
    clock_.Advance(timeout == Duration::Infinite() ? Duration::Seconds(86400) : timeout);
    return descriptor_works;
  }
  bool descriptor_works = true;
  std::vector<int> descriptors;
  std::vector<Duration> timeouts;
  std::vector<Time> starts;

 private:
  FakeClock& clock_;
};

class Nap final : public AppTimer {
 public:
  void OnTimer(Time) override { ++fired; }
  int fired = 0;
};

class IdlerTest : public ::testing::Test {
 protected:
  explicit IdlerTest(int poll_fd = 77) : io_(memory_.slab(), WithDescriptor(poll_fd)) {}

  static pmd::Capabilities WithDescriptor(int fd) {
    pmd::Capabilities capabilities = pmd::FakePacketIo::DefaultCapabilities();
    capabilities.poll_fd = fd;
    return capabilities;
  }
  // Iterations of a microsecond each.
  void Run(Idler& idler, int iterations) {
    for (int i = 0; i < iterations; ++i) {
      idler.AfterIteration(host_.worker().RunOnce());
      clock_.Advance(kStep);
    }
  }

  FakeClock clock_;
  zbuf::TestSlab memory_{16u << 20};
  pmd::FakePacketIo io_;
  TestHost host_{clock_, io_, memory_.slab(), {wire::Ipv4Address(10, 0, 0, 1), 24}, {}, {}};
  FakeSleeper sleeper_{clock_};
};

class IdlerWithoutDescriptorTest : public IdlerTest {
 protected:
  IdlerWithoutDescriptorTest() : IdlerTest(-1) {}
};

TEST_F(IdlerTest, BusyPollsByDefault) {
  Idler idler(host_.worker(), clock_, sleeper_, {});
  Run(idler, 10'000);
  EXPECT_TRUE(sleeper_.timeouts.empty());
}

TEST_F(IdlerTest, SpinsFirstAndThenSleepsUntilTheDeviceOrATimerHasSomething) {
  Run(*std::make_unique<Idler>(host_.worker(), clock_, sleeper_, IdleOptions()), 5);  // the announcement has left
  Idler idler(host_.worker(), clock_, sleeper_, {.spin = Duration::Microseconds(50)});
  Run(idler, 49);
  EXPECT_TRUE(sleeper_.timeouts.empty());
  Nap nap;
  host_.worker().Arm(nap, clock_.Now() + Duration::Microseconds(60));  // exact when it is less than 64 us away
  Run(idler, 2);
  ASSERT_EQ(sleeper_.timeouts.size(), 1u);
  EXPECT_GE(sleeper_.timeouts[0], Duration::Microseconds(58));
  EXPECT_LE(sleeper_.timeouts[0], Duration::Microseconds(62));
  EXPECT_EQ(sleeper_.descriptors, (std::vector<int>{77, -1, -1}));
  EXPECT_EQ(idler.counters().slept_ns.value(), static_cast<uint64_t>(sleeper_.timeouts[0].nanoseconds()));
  Run(idler, 1);
  EXPECT_EQ(nap.fired, 1);
  Run(idler, 45);
  EXPECT_EQ(sleeper_.timeouts.size(), 1u) << "there was work: it spins again first";
  Run(idler, 10);
  EXPECT_EQ(sleeper_.timeouts.back(), IdleOptions().longest_sleep) << "no timer is armed";
}

TEST_F(IdlerTest, NapsOnceTheDevicesDescriptorIsBroken) {
  Run(*std::make_unique<Idler>(host_.worker(), clock_, sleeper_, IdleOptions()), 5);  // the announcement has left
  Idler idler(host_.worker(), clock_, sleeper_, {.spin = Duration::Zero()});
  sleeper_.descriptor_works = false;
  Run(idler, 3);
  EXPECT_EQ(sleeper_.descriptors[0], -1);
  EXPECT_LE(sleeper_.timeouts.back(), IdleOptions().longest_nap);
}

// What is left with the device goes on by Reclaim(), of which no descriptor knows.
TEST_F(IdlerTest, SleepsBrieflyWhileTheDeviceHoldsFrames) {
  Run(*std::make_unique<Idler>(host_.worker(), clock_, sleeper_, IdleOptions()), 5);
  Idler idler(host_.worker(), clock_, sleeper_, {.spin = Duration::Zero()});
  io_.set_hold_transmits(true);
  io_.set_link_up(false);
  Run(idler, 2);
  io_.set_link_up(true);  // the worker announces itself
  Run(idler, 3);
  EXPECT_EQ(sleeper_.timeouts.back(), Duration::Milliseconds(1));
  io_.CompleteTransmits();
  Run(idler, 3);
  EXPECT_EQ(sleeper_.timeouts.back(), IdleOptions().longest_sleep);
}

// A queue that other threads fill is asked last, and then nobody sleeps.
TEST_F(IdlerTest, DoesNotSleepWhenTheQueueHasSomething) {
  class Shared final : public pmd::PacketIoDecorator {
   public:
    using PacketIoDecorator::PacketIoDecorator;
    bool PrepareToSleep() override { return --refusals < 0; }
    void OnSlept(Duration) override { ++slept; }
    int refusals = 3, slept = 0;
  };
  Shared shared(io_);
  TestHost host(clock_, shared, memory_.slab(), wire::Ipv4Prefix(wire::Ipv4Address(10, 0, 0, 9), 24), {}, {});
  Idler idler(host.worker(), clock_, sleeper_, {.spin = Duration::Zero()});
  for (int i = 0; i < 2; ++i) host.worker().RunOnce();  // the announcement leaves
  for (int i = 0; i < 3; ++i) idler.AfterIteration(false);
  EXPECT_TRUE(sleeper_.timeouts.empty());
  EXPECT_EQ(shared.slept, 0);
  idler.AfterIteration(false);
  EXPECT_EQ(sleeper_.timeouts.size(), 1u);
  EXPECT_EQ(shared.slept, 1) << "and it is told of each sleep";
}

TEST_F(IdlerTest, AFrameIsWork) {
  Idler idler(host_.worker(), clock_, sleeper_, {.spin = Duration::Microseconds(50)});
  for (int i = 0; i < 10; ++i) {
    io_.Push(std::vector<uint8_t>(60, 0xff));  // dropped and counted, and yet there was something
    Run(idler, 50);
  }
  EXPECT_TRUE(sleeper_.timeouts.empty());
}

TEST_F(IdlerTest, OutputThatWaitsForTheDeviceKeepsItAwake) {
  Idler idler(host_.worker(), clock_, sleeper_, {.spin = Duration::Zero()});
  io_.set_transmit_ring(0);
  Run(idler, 10);
  io_.set_link_up(false);
  Run(idler, 2);
  io_.set_link_up(true);  // the worker announces itself, and the frame stays with it
  const size_t before = sleeper_.timeouts.size();
  Run(idler, 100);
  EXPECT_EQ(sleeper_.timeouts.size(), before);
  io_.set_transmit_ring(pmd::FakePacketIo::kUnlimited);
  Run(idler, 3);
  EXPECT_GT(sleeper_.timeouts.size(), before);
}

TEST_F(IdlerWithoutDescriptorTest, NapsForAnEighthOfTheSilenceWhereTheDeviceCannotWakeIt) {
  Run(*std::make_unique<Idler>(host_.worker(), clock_, sleeper_, IdleOptions()), 5);  // the announcement has left
  io_.Push(std::vector<uint8_t>(60, 0xff));
  const Time busy = clock_.Now();
  Idler idler(host_.worker(), clock_, sleeper_,
              {.spin = Duration::Microseconds(80), .longest_nap = Duration::Microseconds(300)});
  Run(idler, 80);
  EXPECT_TRUE(sleeper_.timeouts.empty());
  Run(idler, 1);
  EXPECT_EQ(sleeper_.timeouts, std::vector<Duration>{Duration::Microseconds(10)});
  Run(idler, 40);
  for (size_t i = 0; i < sleeper_.starts.size(); ++i) {
    const Duration eighth = (sleeper_.starts[i] - busy) / 8;
    EXPECT_EQ(sleeper_.timeouts[i], std::min(eighth, Duration::Microseconds(300))) << i;
  }
  EXPECT_EQ(sleeper_.timeouts.back(), Duration::Microseconds(300));
}

TEST(KernelSleeper, IsWokenByADescriptorAndLeavesOutNegativeOnes) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  ASSERT_EQ(write(ends[1], "x", 1), 1);
  KernelSleeper sleeper;
  EXPECT_TRUE(sleeper.Sleep({-1, ends[0]}, Duration::Infinite()));  // or the test would not end
  EXPECT_TRUE(sleeper.Sleep({-1}, Duration::Microseconds(1)));
  close(ends[0]);
  EXPECT_FALSE(sleeper.Sleep({ends[1]}, Duration::Infinite())) << "nobody reads: an error, at once";
  close(ends[1]);
}

}  // namespace
}  // namespace luna::r2c
