#include "luna/sched/r2c/mailbox.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "luna/mem/zbuf/testing/test_slab.h"
#include "luna/net/pmd/testing/fake_packet_io.h"
#include "luna/sched/clock/clock.h"
#include "luna/sched/r2c/idler.h"
#include "luna/sched/r2c/testing/two_hosts.h"

namespace luna::r2c {
namespace {

class MailboxTest : public ::testing::Test {
 protected:
  MailboxTest() : io_(memory_.slab(), WithDescriptor(never_ready_)) {
    auto mailbox = Mailbox::Create(64);
    CHECK(mailbox.ok());
    mailbox_ = *std::move(mailbox);
    host_ = std::make_unique<TestHost>(clock_, io_, memory_.slab(),
                                       wire::Ipv4Prefix(wire::Ipv4Address(10, 0, 0, 1), 24), tcp::StackConfig{},
                                       WorkerOptions{.messages = 8}, WorkerParts{.mailbox = mailbox_.get()});
  }
  ~MailboxTest() override { close(never_ready_); }
  Worker& worker() { return host_->worker(); }
  // A device that could wake the worker, and does not: it sleeps until a message comes.
  static pmd::Capabilities WithDescriptor(int fd) {
    pmd::Capabilities capabilities = pmd::FakePacketIo::DefaultCapabilities();
    capabilities.poll_fd = fd;
    return capabilities;
  }
  bool HasMailAtDescriptor() const {
    pollfd p = {mailbox_->fd(), POLLIN, 0};
    return poll(&p, 1, 0) == 1;
  }

  const int never_ready_ = eventfd(0, EFD_NONBLOCK);
  MonotonicClock clock_;
  zbuf::TestSlab memory_{16u << 20};
  pmd::FakePacketIo io_;
  std::unique_ptr<Mailbox> mailbox_;
  std::unique_ptr<TestHost> host_;
};

TEST_F(MailboxTest, MessagesAreCalledInOrderByTheWorkerAndSoManyAnIteration) {
  std::vector<int> called;
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(mailbox_->Post([&called, this, i](Worker& on) {
      EXPECT_EQ(&on, &worker());
      called.push_back(i);
    }));
  }
  EXPECT_TRUE(called.empty());
  EXPECT_TRUE(worker().RunOnce());
  EXPECT_EQ(called.size(), 8u);
  worker().RunOnce();
  worker().RunOnce();
  ASSERT_EQ(called.size(), 20u);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(called[static_cast<size_t>(i)], i);
  EXPECT_FALSE(worker().RunOnce());
}

TEST_F(MailboxTest, FullRefusesAndTheMessageStaysWithTheCaller) {
  const auto held = std::make_shared<int>(7);
  while (mailbox_->Post([held](Worker&) {})) {
  }
  EXPECT_EQ(held.use_count(), 1 + 64);
  Mailbox::Message message = [held](Worker&) {};
  EXPECT_FALSE(mailbox_->Post(std::move(message)));
  EXPECT_TRUE(static_cast<bool>(message));
  worker().RunOnce();
  EXPECT_TRUE(mailbox_->Post(std::move(message)));
  for (int i = 0; i < 9; ++i) worker().RunOnce();
  EXPECT_EQ(held.use_count(), 1) << "what a message holds goes when it has been called";
}

TEST_F(MailboxTest, AMessageMayPostAgainWithoutHoldingUpTheLoop) {
  int calls = 0;
  std::function<void(Worker&)> again = [&](Worker&) {
    ++calls;
    ASSERT_TRUE(mailbox_->Post([&again](Worker& on) { again(on); }));
  };
  ASSERT_TRUE(mailbox_->Post([&again](Worker& on) { again(on); }));
  worker().RunOnce();
  EXPECT_EQ(calls, 8) << "the bound, and no more";
}

TEST_F(MailboxTest, WhoSleepsIsToldAndWhoHasMailDoesNotSleep) {
  ASSERT_TRUE(mailbox_->PrepareToSleep());
  ASSERT_TRUE(mailbox_->Post([](Worker&) {}));
  KernelSleeper sleeper;
  sleeper.Sleep({mailbox_->fd()}, Duration::Infinite());  // or the test would not end
  mailbox_->Awake();
  EXPECT_EQ(mailbox_->counters().wakes.value(), 1u);
  EXPECT_FALSE(mailbox_->PrepareToSleep()) << "the message is still there";
  worker().RunOnce();
  EXPECT_TRUE(mailbox_->PrepareToSleep());
  mailbox_->Awake();
  EXPECT_EQ(mailbox_->counters().wakes.value(), 1u);
}

// Between finding the worker asleep and waking it, a poster may lose its CPU for as long as it likes.
TEST_F(MailboxTest, AWakeUpThatComesLateDisturbsOneSleepOnly) {
  ASSERT_TRUE(mailbox_->PrepareToSleep());
  mailbox_->Awake();
  const uint64_t late = 1;
  ASSERT_EQ(write(mailbox_->fd(), &late, sizeof(late)), 8);
  ASSERT_TRUE(mailbox_->PrepareToSleep());
  EXPECT_TRUE(HasMailAtDescriptor());
  mailbox_->Awake();
  EXPECT_FALSE(HasMailAtDescriptor());
}

// A worker that goes to sleep whenever it can, for ever if it is not woken, and threads that post to it. Under
// --config=tsan this is the proof of the hand-over; a lost wake-up would not end.
TEST_F(MailboxTest, NoMessageIsLostByAWorkerThatSleeps) {
  constexpr int kThreads = 3, kMessages = 3000;
  std::atomic<int> finished{0};
  std::vector<int> next(kThreads, 0);
  int called = 0;
  std::thread loop([&] {
    memory_.slab().BindToCurrentThread();
    KernelSleeper sleeper;
    Idler idler(worker(), clock_, sleeper, {.spin = Duration::Zero(), .longest_sleep = Duration::Infinite()});
    while (called < kThreads * kMessages) idler.AfterIteration(worker().RunOnce());
    EXPECT_GT(idler.counters().sleeps.value(), 0u);
  });
  std::vector<std::thread> posters;
  for (int t = 0; t < kThreads; ++t) {
    posters.emplace_back([&, t] {
      for (int i = 0; i < kMessages; ++i) {
        Mailbox::Message message = [&next, &called, t, i](Worker&) {
          EXPECT_EQ(next[static_cast<size_t>(t)]++, i);
          ++called;
        };
        while (!mailbox_->Post(std::move(message))) std::this_thread::yield();
      }
      finished.fetch_add(1);
    });
  }
  for (std::thread& poster : posters) poster.join();
  loop.join();
  memory_.slab().BindToCurrentThread();
  EXPECT_EQ(called, kThreads * kMessages);
  EXPECT_EQ(finished.load(), kThreads);
}

}  // namespace
}  // namespace luna::r2c
