#include "luna/sched/r2c/kernel_poller.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "luna/sched/clock/time.h"

namespace luna::r2c {
namespace {

// An owned file descriptor.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) { EXPECT_GE(fd, 0); }
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    Close();
    fd_ = std::exchange(other.fd_, -1);
    return *this;
  }
  ~Fd() { Close(); }
  void Close() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }
  int get() const { return fd_; }

 private:
  int fd_ = -1;
};

Fd EventFd(unsigned value) { return Fd(eventfd(value, EFD_NONBLOCK | EFD_CLOEXEC)); }

std::pair<Fd, Fd> SocketPair() {
  int fds[2] = {-1, -1};
  EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
  return {Fd(fds[0]), Fd(fds[1])};
}

// Counts its calls, keeps the last events, and does what the test wants.
struct Probe : FdHandler {
  void OnFdReady(uint32_t events) override {
    ++calls;
    last = events;
    if (action) action();
  }
  int calls = 0;
  uint32_t last = 0;
  std::function<void()> action;
};

class KernelPollerTest : public ::testing::Test {
 protected:
  KernelPollerTest() {
    absl::StatusOr<std::unique_ptr<KernelPoller>> poller = KernelPoller::Create();
    EXPECT_TRUE(poller.ok()) << poller.status();
    poller_ = *std::move(poller);
  }
  std::unique_ptr<KernelPoller> poller_;
};

TEST_F(KernelPollerTest, NothingWatchedCostsNoPoll) {
  EXPECT_EQ(poller_->PollOnce(16), 0);
  EXPECT_EQ(poller_->counters().polls.value(), 0u);
  EXPECT_EQ(poller_->size(), 0u);
}

TEST_F(KernelPollerTest, ReadyFdIsReportedUntilRead) {
  Fd fd = EventFd(0);
  Probe probe;
  ASSERT_TRUE(poller_->Add(fd.get(), EPOLLIN, &probe).ok());
  EXPECT_EQ(poller_->size(), 1u);
  EXPECT_EQ(poller_->PollOnce(16), 0);
  ASSERT_EQ(eventfd_write(fd.get(), 1), 0);
  EXPECT_EQ(poller_->PollOnce(16), 1);
  EXPECT_EQ(poller_->PollOnce(16), 1) << "level-triggered";
  EXPECT_EQ(probe.last, uint32_t{EPOLLIN});
  eventfd_t value;
  ASSERT_EQ(eventfd_read(fd.get(), &value), 0);
  EXPECT_EQ(poller_->PollOnce(16), 0);
  EXPECT_EQ(probe.calls, 2);
  EXPECT_EQ(poller_->counters().callbacks.value(), 2u);
}

TEST_F(KernelPollerTest, SocketEventsAndHangUp) {
  auto [near, far] = SocketPair();
  Probe probe;
  ASSERT_TRUE(poller_->Add(near.get(), EPOLLIN | EPOLLOUT | EPOLLRDHUP, &probe).ok());
  EXPECT_EQ(poller_->PollOnce(16), 1);
  EXPECT_EQ(probe.last, uint32_t{EPOLLOUT});
  ASSERT_EQ(write(far.get(), "x", 1), 1);
  EXPECT_EQ(poller_->PollOnce(16), 1);
  EXPECT_EQ(probe.last, uint32_t{EPOLLIN | EPOLLOUT});
  far.Close();
  EXPECT_EQ(poller_->PollOnce(16), 1);
  EXPECT_EQ(probe.last, uint32_t{EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLHUP});
}

TEST_F(KernelPollerTest, HangUpOfAPipeComesUnasked) {
  int fds[2];
  ASSERT_EQ(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
  Fd reader(fds[0]);
  Fd writer(fds[1]);
  Probe probe;
  ASSERT_TRUE(poller_->Add(reader.get(), 0, &probe).ok());
  EXPECT_EQ(poller_->PollOnce(16), 0);
  writer.Close();
  EXPECT_EQ(poller_->PollOnce(16), 1);
  EXPECT_EQ(probe.last, uint32_t{EPOLLHUP});
}

TEST_F(KernelPollerTest, ModifyChangesWhatIsReported) {
  auto [near, far] = SocketPair();
  Probe probe;
  ASSERT_TRUE(poller_->Add(near.get(), EPOLLIN, &probe).ok());
  EXPECT_EQ(poller_->PollOnce(16), 0);
  ASSERT_TRUE(poller_->Modify(near.get(), EPOLLOUT).ok());
  EXPECT_EQ(poller_->PollOnce(16), 1);
  EXPECT_EQ(probe.last, uint32_t{EPOLLOUT});
  ASSERT_TRUE(poller_->Modify(near.get(), 0).ok());
  EXPECT_EQ(poller_->PollOnce(16), 0);
}

TEST_F(KernelPollerTest, Errors) {
  Fd fd = EventFd(0);
  Probe probe;
  EXPECT_EQ(poller_->Modify(fd.get(), EPOLLIN).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(poller_->Remove(fd.get()).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(poller_->Remove(-1).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(poller_->Remove(1'000'000).code(), absl::StatusCode::kNotFound);
  EXPECT_FALSE(poller_->Add(-1, EPOLLIN, &probe).ok());
  ASSERT_TRUE(poller_->Add(fd.get(), EPOLLIN, &probe).ok());
  EXPECT_EQ(poller_->Add(fd.get(), EPOLLIN, &probe).code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(poller_->size(), 1u);
  Fd file(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  const absl::Status regular = poller_->Add(file.get(), EPOLLIN, &probe);
  EXPECT_EQ(regular.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(regular.message().find("cannot watch this kind of file"), absl::string_view::npos) << regular;
}

TEST_F(KernelPollerTest, HandlerMayRemoveAndDestroyItself) {
  Fd fd = EventFd(1);
  auto probe = std::make_unique<Probe>();
  probe->action = [&] {
    ASSERT_TRUE(poller_->Remove(fd.get()).ok());
    // The function object dies with the probe; nothing of it is touched afterwards.
    probe.reset();
  };
  ASSERT_TRUE(poller_->Add(fd.get(), EPOLLIN, probe.get()).ok());
  EXPECT_EQ(poller_->PollOnce(16), 1);
  EXPECT_EQ(poller_->PollOnce(16), 0);
  EXPECT_EQ(poller_->size(), 0u);
}

// Two fds are ready in one batch; whichever comes first removes and destroys the other one.
TEST_F(KernelPollerTest, RemovedWithinTheBatchIsNotCalled) {
  std::array<Fd, 2> fds = {EventFd(1), EventFd(1)};
  std::array<std::unique_ptr<Probe>, 2> probes = {std::make_unique<Probe>(), std::make_unique<Probe>()};
  for (int i : {0, 1}) {
    probes[i]->action = [&, i] {
      ASSERT_TRUE(poller_->Remove(fds[1 - i].get()).ok());
      probes[1 - i].reset();
    };
    ASSERT_TRUE(poller_->Add(fds[i].get(), EPOLLIN, probes[i].get()).ok());
  }
  EXPECT_EQ(poller_->PollOnce(16), 1);
  EXPECT_EQ(poller_->counters().stale.value(), 1u);
  EXPECT_EQ(poller_->size(), 1u);
}

// The first handler closes the other's fd and opens a new file, which gets the same number, and watches that.
TEST_F(KernelPollerTest, EventOfAClosedFileDoesNotReachItsNumbersNextUser) {
  std::array<Fd, 2> fds = {EventFd(1), EventFd(1)};
  std::array<Probe, 2> probes;
  Probe successor;
  for (int i : {0, 1}) {
    probes[i].action = [&, i] {
      const int number = fds[1 - i].get();
      ASSERT_TRUE(poller_->Remove(number).ok());
      fds[1 - i].Close();
      fds[1 - i] = EventFd(0);
      ASSERT_EQ(fds[1 - i].get(), number) << "the kernel hands out the lowest number";
      ASSERT_TRUE(poller_->Add(number, EPOLLIN, &successor).ok());
    };
    ASSERT_TRUE(poller_->Add(fds[i].get(), EPOLLIN, &probes[i]).ok());
  }
  EXPECT_EQ(poller_->PollOnce(16), 1);
  EXPECT_EQ(successor.calls, 0);
  EXPECT_EQ(poller_->counters().stale.value(), 1u);
}

TEST_F(KernelPollerTest, ModifiedWithinTheBatchIsFiltered) {
  std::array<Fd, 2> fds = {EventFd(1), EventFd(1)};
  std::array<Probe, 2> probes;
  for (int i : {0, 1}) {
    probes[i].action = [&, i] { ASSERT_TRUE(poller_->Modify(fds[1 - i].get(), 0).ok()); };
    ASSERT_TRUE(poller_->Add(fds[i].get(), EPOLLIN, &probes[i]).ok());
  }
  EXPECT_EQ(poller_->PollOnce(16), 1);
}

TEST_F(KernelPollerTest, AddedWithinTheBatchIsCalledInTheNextOne) {
  Fd first = EventFd(1);
  Fd second = EventFd(1);
  Probe a;
  Probe b;
  a.action = [&] {
    if (a.calls == 1) {
      ASSERT_TRUE(poller_->Add(second.get(), EPOLLIN, &b).ok());
    }
  };
  ASSERT_TRUE(poller_->Add(first.get(), EPOLLIN, &a).ok());
  EXPECT_EQ(poller_->PollOnce(16), 1);
  EXPECT_EQ(b.calls, 0);
  EXPECT_EQ(poller_->PollOnce(16), 2);
  EXPECT_EQ(b.calls, 1);
}

TEST_F(KernelPollerTest, AtMostMaxEventsAndNobodyStarves) {
  constexpr int kFds = 10;
  std::vector<Fd> fds;
  std::vector<std::unique_ptr<Probe>> probes;
  for (int i = 0; i < kFds; ++i) {
    fds.push_back(EventFd(1));
    probes.push_back(std::make_unique<Probe>());
    ASSERT_TRUE(poller_->Add(fds[i].get(), EPOLLIN, probes[i].get()).ok());
  }
  // All stay ready all the time. Over 30 polls of 3, each of the 10 gets 9 of the 90 callbacks.
  for (int poll = 0; poll < 30; ++poll) ASSERT_EQ(poller_->PollOnce(3), 3);
  for (const auto& probe : probes) EXPECT_EQ(probe->calls, 9);
  EXPECT_EQ(poller_->counters().full_polls.value(), 30u);
  EXPECT_EQ(poller_->PollOnce(0), 0);
  EXPECT_EQ(poller_->PollOnce(-1), 0);
}

TEST_F(KernelPollerTest, NeverMoreThanMaxBatch) {
  std::vector<Fd> fds;
  Probe probe;
  for (int i = 0; i < KernelPoller::kMaxBatch + 6; ++i) {
    fds.push_back(EventFd(1));
    ASSERT_TRUE(poller_->Add(fds[i].get(), EPOLLIN, &probe).ok());
  }
  EXPECT_EQ(poller_->PollOnce(1'000'000), KernelPoller::kMaxBatch);
}

TEST_F(KernelPollerTest, ClosedWithoutRemoveIsForgiven) {
  Fd fd = EventFd(1);
  const int number = fd.get();
  Probe old_probe;
  ASSERT_TRUE(poller_->Add(number, EPOLLIN, &old_probe).ok());
  fd.Close();
  EXPECT_EQ(poller_->PollOnce(16), 0);
  fd = EventFd(1);
  ASSERT_EQ(fd.get(), number);
  Probe new_probe;
  ASSERT_TRUE(poller_->Add(number, EPOLLIN, &new_probe).ok());
  EXPECT_EQ(poller_->size(), 1u);
  EXPECT_EQ(poller_->PollOnce(16), 1);
  EXPECT_EQ(new_probe.calls, 1);
  fd.Close();
  EXPECT_FALSE(poller_->Remove(number).ok()) << "the kernel's complaint is passed on";
  EXPECT_EQ(poller_->size(), 0u);
}

TEST_F(KernelPollerTest, PollIfDueKeepsItsInterval) {
  Fd fd = EventFd(1);
  Probe probe;
  ASSERT_TRUE(poller_->Add(fd.get(), EPOLLIN, &probe).ok());
  poller_->set_interval(Duration::Microseconds(10));
  Time now = Time::FromNanoseconds(5);
  EXPECT_EQ(poller_->PollIfDue(now, 16), 1);
  EXPECT_EQ(poller_->PollIfDue(now, 16), 0);
  EXPECT_EQ(poller_->PollIfDue(now + Duration::Nanoseconds(9'999), 16), 0);
  EXPECT_EQ(poller_->PollIfDue(now + Duration::Microseconds(10), 16), 1);
  EXPECT_EQ(poller_->counters().polls.value(), 2u);
  poller_->set_interval(Duration::Zero());
  now += Duration::Microseconds(10);
  EXPECT_EQ(poller_->PollIfDue(now, 16), 1);
  EXPECT_EQ(poller_->PollIfDue(now, 16), 1);
}

TEST_F(KernelPollerTest, PollIfDueGoesOnAtOnceAfterAFullPoll) {
  std::array<Fd, 3> fds = {EventFd(1), EventFd(1), EventFd(1)};
  Probe probe;
  for (const Fd& fd : fds) ASSERT_TRUE(poller_->Add(fd.get(), EPOLLIN, &probe).ok());
  const Time now = Time::FromNanoseconds(5);
  EXPECT_EQ(poller_->PollIfDue(now, 2), 2);
  EXPECT_EQ(poller_->PollIfDue(now, 2), 2);
  EXPECT_EQ(poller_->PollIfDue(now, 4), 3) << "finds fewer than it may handle";
  EXPECT_EQ(poller_->PollIfDue(now, 4), 0);
}

TEST_F(KernelPollerTest, WaitReturnsWithReadyFdsAtOnceAndWithoutAfterTheTimeout) {
  EXPECT_EQ(poller_->Wait(Duration::Nanoseconds(1), 16), 0) << "nothing watched";
  Fd fd = EventFd(0);
  Probe probe;
  ASSERT_TRUE(poller_->Add(fd.get(), EPOLLIN, &probe).ok());
  EXPECT_EQ(poller_->Wait(Duration::Microseconds(50), 16), 0);
  EXPECT_EQ(poller_->Wait(-Duration::Seconds(5), 16), 0);
  ASSERT_EQ(eventfd_write(fd.get(), 1), 0);
  // Were it to sleep although an fd is ready, this would hang.
  EXPECT_EQ(poller_->Wait(Duration::Infinite(), 16), 1);
  EXPECT_EQ(poller_->Wait(Duration::Seconds(1'000'000), 16), 1);
}

#ifndef NDEBUG
TEST_F(KernelPollerTest, HandlerMustNotPoll) {
  Fd fd = EventFd(1);
  Probe probe;
  probe.action = [&] { poller_->PollOnce(1); };
  ASSERT_TRUE(poller_->Add(fd.get(), EPOLLIN, &probe).ok());
  EXPECT_DEATH(poller_->PollOnce(1), "a handler polls");
}
#endif

}  // namespace
}  // namespace luna::r2c
