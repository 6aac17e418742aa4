#include "luna/net/socket/luna_ev.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "luna/net/socket/luna_socket.h"
#include "luna/net/socket/testing/two_programs.h"
#include "luna/sched/clock/time.h"

namespace luna::socket {
namespace {

// The loop is the client's, but where a test says otherwise.
class LunaEvTest : public TwoPrograms {
 public:
  std::vector<std::string> TakeCalled() { return std::exchange(called_, {}); }
  const std::vector<std::string>& called() const { return called_; }
  void Note(const char* name) { called_.emplace_back(name); }
  void Interrupt() { interrupted_ = true; }
  // The program takes so long.
  void Compute(Duration time) { hosts_.clock().Advance(time); }

 protected:
  LunaEvTest() : loop_(luna_ev_loop_new()) { luna_ev_set_userdata(loop_, this); }
  ~LunaEvTest() override {
    UseSockets(client_.get());
    luna_ev_loop_destroy(loop_);
  }
  static LunaEvTest& Of(luna_ev_loop* loop) { return *static_cast<LunaEvTest*>(luna_ev_userdata(loop)); }
  static void Note(luna_ev_loop* loop, const luna_ev_watcher& w) { Of(loop).Note(static_cast<const char*>(w.data)); }
  static void OnIo(luna_ev_loop* loop, luna_ev_io* w, int revents) {
    Of(loop).revents_ = revents;
    Note(loop, w->w);
  }
  static void OnTimer(luna_ev_loop* loop, luna_ev_timer* w, int) { Note(loop, w->w); }
  luna_ev_timer Timer(const char* name, double after, double repeat = 0) {
    luna_ev_timer timer;
    luna_ev_timer_init(&timer, OnTimer, after, repeat);
    timer.w.data = const_cast<char*>(name);
    return timer;
  }
  luna_ev_io Io(const char* name, int fd, int events) {
    luna_ev_io io;
    luna_ev_io_init(&io, OnIo, fd, events);
    io.w.data = const_cast<char*>(name);
    return io;
  }
  using Names = std::vector<std::string>;

  luna_ev_loop* const loop_;
  std::vector<std::string> called_;
  int revents_ = 0;
};

// A server of callbacks, on its host's own loop: what every user writes first.
class EvEcho {
 public:
  explicit EvEcho(int listener) : loop_(luna_ev_loop_new()) {
    luna_ev_set_userdata(loop_, this);
    luna_ev_io_init(&listener_, OnConnection, listener, LUNA_EV_READ);
    luna_ev_io_start(loop_, &listener_);
  }
  ~EvEcho() { luna_ev_loop_destroy(loop_); }
  void Turn() { EXPECT_GE(luna_ev_run(loop_, LUNA_EVRUN_NOWAIT), 0); }
  size_t peers() const { return peers_.size(); }
  size_t waits_for_room = 0;

 private:
  struct Peer {
    luna_ev_io io;
    std::string waiting;
  };
  static EvEcho& Of(luna_ev_loop* loop) { return *static_cast<EvEcho*>(luna_ev_userdata(loop)); }
  static void OnConnection(luna_ev_loop* loop, luna_ev_io* w, int) {
    const int fd = luna_accept4(w->fd, nullptr, nullptr, SOCK_NONBLOCK);
    if (fd < 0) return;
    const int small = 4096;
    EXPECT_EQ(luna_setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
    auto& peer = *Of(loop).peers_.emplace_back(std::make_unique<Peer>());
    luna_ev_io_init(&peer.io, OnReady, fd, LUNA_EV_READ);
    luna_ev_io_start(loop, &peer.io);
  }
  static void OnReady(luna_ev_loop* loop, luna_ev_io* w, int) { Of(loop).Serve(w); }
  void Serve(luna_ev_io* w) {
    Peer& peer = *reinterpret_cast<Peer*>(w);
    char buffer[4096];
    if (peer.waiting.empty()) {
      const ssize_t n = luna_read(w->fd, buffer, sizeof(buffer));
      if (n < 0 && errno == EAGAIN) return;
      if (n <= 0) return End(peer);
      peer.waiting.assign(buffer, static_cast<size_t>(n));
    }
    const ssize_t sent = luna_write(w->fd, peer.waiting.data(), peer.waiting.size());
    if (sent < 0 && errno != EAGAIN) return End(peer);
    peer.waiting.erase(0, static_cast<size_t>(std::max<ssize_t>(sent, 0)));
    const int wanted = peer.waiting.empty() ? LUNA_EV_READ : LUNA_EV_WRITE;
    if (wanted == w->events) return;
    if (wanted == LUNA_EV_WRITE) ++waits_for_room;
    luna_ev_io_modify(loop_, w, wanted);
  }
  void End(Peer& peer) {
    luna_ev_io_stop(loop_, &peer.io);
    luna_close(peer.io.fd);
    std::erase_if(peers_, [&peer](const auto& p) { return p.get() == &peer; });
  }

  luna_ev_loop* const loop_;
  luna_ev_io listener_;
  std::vector<std::unique_ptr<Peer>> peers_;
};

TEST_F(LunaEvTest, AServerOfCallbacksEchoesEachOctetAndBackPressureTurnsIt) {
  const int listener = Listener();
  UseSockets(server_.get());
  auto echo = std::make_unique<EvEcho>(listener);
  UseSockets(client_.get());
  program_ = [&] { echo->Turn(); };
  std::string sent(3'000'000, '\0');
  for (size_t i = 0; i < sent.size(); ++i) sent[i] = static_cast<char>(i * 31 + i / 255);
  const int fd = Socket();
  ASSERT_EQ(Connect(fd), 0);
  ASSERT_EQ(luna_fcntl(fd, F_SETFL, O_NONBLOCK), 0);
  // All is written before anything is read: the echo has to wait for room, with what it has.
  std::string received;
  size_t written = 0;
  char buffer[8192];
  for (int i = 0; i < 100'000 && received.size() < sent.size(); ++i) {
    const ssize_t w = luna_write(fd, sent.data() + written, sent.size() - written);
    if (w > 0) written += static_cast<size_t>(w);
    if (written < sent.size() && i % 50 != 0) continue;
    const ssize_t r = luna_read(fd, buffer, sizeof(buffer));
    if (r > 0) received.append(buffer, static_cast<size_t>(r));
  }
  EXPECT_TRUE(received == sent) << received.size();
  EXPECT_GT(echo->waits_for_room, 0u);
  EXPECT_EQ(echo->peers(), 1u);
  luna_close(fd);
  for (int i = 0; i < 1000 && echo->peers() > 0; ++i) Step();
  EXPECT_EQ(echo->peers(), 0u);
  program_ = nullptr;
  UseSockets(server_.get());
  echo.reset();
  luna_close(listener);
}

TEST_F(LunaEvTest, WatchersOfOneDescriptorAreTheirOwn) {
  const auto [fd, accepted] = Connected();
  luna_ev_io reader = Io("reader", fd, LUNA_EV_READ), writer = Io("writer", fd, LUNA_EV_WRITE);
  luna_ev_io both = Io("both", fd, LUNA_EV_READ | LUNA_EV_WRITE);
  for (luna_ev_io* w : {&reader, &writer, &both}) luna_ev_io_start(loop_, w);
  luna_ev_io_start(loop_, &reader);  // once more: nothing
  EXPECT_EQ(luna_ev_run(loop_, LUNA_EVRUN_ONCE), 1);
  EXPECT_EQ(TakeCalled(), (Names{"writer", "both"}));
  EXPECT_EQ(revents_, LUNA_EV_WRITE);
  luna_ev_io_stop(loop_, &writer);
  luna_ev_io_stop(loop_, &both);
  luna_ev_run(loop_, LUNA_EVRUN_NOWAIT);
  EXPECT_EQ(TakeCalled(), Names{});
  UseSockets(server_.get());
  ASSERT_EQ(luna_write(accepted, "x", 1), 1);
  UseSockets(client_.get());
  EXPECT_EQ(luna_ev_run(loop_, LUNA_EVRUN_ONCE), 1);
  EXPECT_EQ(luna_ev_run(loop_, LUNA_EVRUN_ONCE), 1);
  EXPECT_EQ(TakeCalled(), (Names{"reader", "reader"})) << "as long as it lasts";
  luna_ev_io_stop(loop_, &reader);
  EXPECT_EQ(luna_ev_run(loop_, 0), 0) << "nobody watches";
}

TEST_F(LunaEvTest, WhoIsStoppedIsNotCalledThoughItsEventHasCome) {
  const auto [fd, accepted] = Connected();
  struct Pair {
    luna_ev_io first, second;
    int calls = 0;
  } pair;
  const auto stop_other = [](luna_ev_loop* loop, luna_ev_io* w, int) {
    auto* both = static_cast<Pair*>(w->w.data);
    ++both->calls;
    luna_ev_io_stop(loop, w == &both->first ? &both->second : &both->first);
  };
  for (luna_ev_io* w : {&pair.first, &pair.second}) {
    luna_ev_io_init(w, stop_other, fd, LUNA_EV_WRITE);
    w->w.data = &pair;
    luna_ev_io_start(loop_, w);
  }
  luna_ev_run(loop_, LUNA_EVRUN_ONCE);
  EXPECT_EQ(pair.calls, 1);
  luna_ev_io_stop(loop_, &pair.first);
}

TEST_F(LunaEvTest, WhoWaitsForSomethingElseIsNotToldOfTheOld) {
  const auto [fd, accepted] = Connected();
  luna_ev_io first, second = Io("second", fd, LUNA_EV_WRITE);
  luna_ev_io_init(
      &first,
      [](luna_ev_loop* loop, luna_ev_io* w, int) {
        luna_ev_io_modify(loop, static_cast<luna_ev_io*>(w->w.data), LUNA_EV_READ);
      },
      fd, LUNA_EV_WRITE);
  first.w.data = &second;
  for (luna_ev_io* w : {&first, &second}) luna_ev_io_start(loop_, w);
  luna_ev_run(loop_, LUNA_EVRUN_ONCE);
  EXPECT_EQ(TakeCalled(), Names{});
  UseSockets(server_.get());
  ASSERT_EQ(luna_write(accepted, "x", 1), 1);
  UseSockets(client_.get());
  luna_ev_io_stop(loop_, &first);
  luna_ev_run(loop_, LUNA_EVRUN_ONCE);
  EXPECT_EQ(TakeCalled(), Names{"second"});
  EXPECT_EQ(revents_, LUNA_EV_READ);
  luna_ev_io_stop(loop_, &second);
}

TEST_F(LunaEvTest, TimersComeInTheirOrderAndBeatWithoutMakingUp) {
  luna_ev_timer late = Timer("late", 0.5), early = Timer("early", 0.1), beat = Timer("beat", 0.2, 0.2);
  const double start = luna_ev_now(loop_);
  for (luna_ev_timer* t : {&late, &early, &beat}) luna_ev_timer_start(loop_, t);
  EXPECT_DOUBLE_EQ(luna_ev_timer_remaining(loop_, &late), 0.5);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(luna_ev_run(loop_, LUNA_EVRUN_ONCE), 1);
  EXPECT_EQ(TakeCalled(), (Names{"early", "beat", "beat", "late"}));
  EXPECT_NEAR(luna_ev_now(loop_) - start, 0.5, 0.002);
  EXPECT_EQ(luna_ev_timer_remaining(loop_, &late), 0);
  Compute(Duration::Seconds(2));  // the program computes
  luna_ev_run(loop_, LUNA_EVRUN_ONCE);
  luna_ev_run(loop_, LUNA_EVRUN_NOWAIT);
  EXPECT_EQ(TakeCalled(), Names{"beat"}) << "once, for all that it missed";
  luna_ev_timer_stop(loop_, &beat);
  EXPECT_EQ(luna_ev_run(loop_, 0), 0);
}

// A time limit that is pushed back, and one that is not.
TEST_F(LunaEvTest, AgainPushesATimeLimitBack) {
  luna_ev_timer limit = Timer("limit", 0, 0.3), tick = Timer("tick", 0.2, 0.2);
  const double start = luna_ev_now(loop_);
  luna_ev_timer_again(loop_, &limit);
  luna_ev_timer_start(loop_, &tick);
  for (int i = 0; i < 5; ++i) {
    luna_ev_run(loop_, LUNA_EVRUN_ONCE);
    EXPECT_EQ(TakeCalled(), Names{"tick"});
    luna_ev_timer_again(loop_, &limit);
  }
  luna_ev_timer_stop(loop_, &tick);
  luna_ev_run(loop_, LUNA_EVRUN_ONCE);
  EXPECT_EQ(TakeCalled(), Names{"limit"});
  EXPECT_NEAR(luna_ev_now(loop_) - start, 1.3, 0.01);
  limit.repeat = 0;
  luna_ev_timer_again(loop_, &limit);
  EXPECT_EQ(luna_ev_run(loop_, 0), 0) << "it is stopped";
}

TEST_F(LunaEvTest, AnotherThreadWakesTheLoopAndManyCallsAreOne) {
  luna_ev_async async;
  luna_ev_async_init(&async, [](luna_ev_loop* loop, luna_ev_async* w, int revents) {
    EXPECT_EQ(revents, LUNA_EV_ASYNC);
    Note(loop, w->w);
  });
  async.w.data = const_cast<char*>("async");
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(luna_ev_async_start(loop_, &async), 0);
    std::thread other([&] {
      for (int k = 0; k < 10; ++k) luna_ev_async_send(loop_, &async);
    });
    other.join();
    EXPECT_EQ(luna_ev_run(loop_, LUNA_EVRUN_ONCE), 1);
    luna_ev_run(loop_, LUNA_EVRUN_NOWAIT);
    EXPECT_EQ(TakeCalled(), Names{"async"}) << i;
    luna_ev_async_send(loop_, &async);  // and is stopped before the loop looks
    luna_ev_async_stop(loop_, &async);
    luna_ev_run(loop_, LUNA_EVRUN_NOWAIT);
    EXPECT_EQ(TakeCalled(), Names{}) << i;
  }
}

// While the loop runs: of each send the loop sees what came before it, and none is lost.
TEST_F(LunaEvTest, WhatAnotherThreadSendsMeanwhileIsNeverLost) {
  constexpr int kSends = 3000;
  struct Shared {
    std::atomic<int> posted{0};
    std::atomic<int> seen{0};
    int calls = 0;
  } shared;
  luna_ev_async async;
  luna_ev_async_init(&async, [](luna_ev_loop*, luna_ev_async* w, int) {
    auto* s = static_cast<Shared*>(w->w.data);
    ++s->calls;
    s->seen.store(s->posted.load(std::memory_order_acquire), std::memory_order_release);
  });
  async.w.data = &shared;
  ASSERT_EQ(luna_ev_async_start(loop_, &async), 0);
  std::thread other([&] {
    for (int i = 1; i <= kSends; ++i) {
      shared.posted.store(i, std::memory_order_release);
      luna_ev_async_send(loop_, &async);
      // Now and then it waits to be seen, so that sends meet a loop that waits, too.
      while (i % 10 == 0 && shared.seen.load(std::memory_order_acquire) < i) std::this_thread::yield();
    }
  });
  while (shared.seen.load(std::memory_order_relaxed) < kSends) EXPECT_EQ(luna_ev_run(loop_, LUNA_EVRUN_ONCE), 1);
  other.join();
  EXPECT_GE(shared.calls, kSends / 10);
  luna_ev_async_stop(loop_, &async);
}

TEST_F(LunaEvTest, TheKernelsDescriptorsAreWatchedToo) {
  const int event = eventfd(0, EFD_NONBLOCK);
  luna_ev_io io = Io("kernel's", event, LUNA_EV_READ);
  luna_ev_io_start(loop_, &io);
  luna_ev_run(loop_, LUNA_EVRUN_NOWAIT);
  EXPECT_EQ(TakeCalled(), Names{});
  ASSERT_EQ(eventfd_write(event, 1), 0);
  EXPECT_EQ(luna_ev_run(loop_, LUNA_EVRUN_ONCE), 1);
  EXPECT_EQ(TakeCalled(), Names{"kernel's"});
  luna_ev_io_stop(loop_, &io);
  close(event);
}

TEST_F(LunaEvTest, ADescriptorThatIsNoneEndsItsWatchersWithAnError) {
  luna_ev_io io = Io("gone", 1 << 25, LUNA_EV_READ);
  luna_ev_io_start(loop_, &io);
  EXPECT_EQ(luna_ev_run(loop_, 0), 0);
  EXPECT_EQ(TakeCalled(), Names{"gone"});
  EXPECT_EQ(revents_, LUNA_EV_ERROR | LUNA_EV_READ | LUNA_EV_WRITE);
}

// Closed while it was watched, against the rule: nothing is called, and the number's next owner can be watched.
TEST_F(LunaEvTest, ANumberThatIsUsedAgainIsWatchedAgain) {
  const int first = Socket(SOCK_NONBLOCK);
  luna_ev_io io = Io("first", first, LUNA_EV_READ | LUNA_EV_WRITE);
  luna_ev_io_start(loop_, &io);
  luna_close(first);
  luna_ev_run(loop_, LUNA_EVRUN_NOWAIT);
  EXPECT_EQ(TakeCalled(), Names{});
  const auto [fd, accepted] = Connected();
  ASSERT_EQ(fd, first);
  luna_ev_io_stop(loop_, &io);
  luna_ev_io second = Io("second", fd, LUNA_EV_WRITE);
  luna_ev_io_start(loop_, &second);
  luna_ev_run(loop_, LUNA_EVRUN_ONCE);
  EXPECT_EQ(TakeCalled(), Names{"second"});
  luna_ev_io_stop(loop_, &second);
}

TEST_F(LunaEvTest, PrepareAndCheckStandAroundTheWait) {
  luna_ev_prepare prepare;
  luna_ev_check check;
  luna_ev_prepare_init(&prepare, [](luna_ev_loop* loop, luna_ev_prepare* w, int) { Note(loop, w->w); });
  luna_ev_check_init(&check, [](luna_ev_loop* loop, luna_ev_check* w, int) { Note(loop, w->w); });
  prepare.w.data = const_cast<char*>("prepare");
  check.w.data = const_cast<char*>("check");
  luna_ev_timer timer = Timer("timer", 0.01);
  luna_ev_check_start(loop_, &check);
  luna_ev_prepare_start(loop_, &prepare);
  luna_ev_timer_start(loop_, &timer);
  luna_ev_run(loop_, LUNA_EVRUN_ONCE);
  EXPECT_EQ(TakeCalled(), (Names{"prepare", "timer", "check"}));
  luna_ev_prepare_stop(loop_, &prepare);
  luna_ev_check_stop(loop_, &check);
  EXPECT_EQ(luna_ev_run(loop_, 0), 0);
}

TEST_F(LunaEvTest, BreakEndsTheInnermostRunOrAll) {
  for (const int how : {LUNA_EVBREAK_ONE, LUNA_EVBREAK_ALL}) {
    struct Runs {
      int how, inner_ended = 0, outer_turns = 0;
    } runs{.how = how};
    luna_ev_timer outer, inner;
    luna_ev_timer_init(
        &inner,
        [](luna_ev_loop* loop, luna_ev_timer* w, int) { luna_ev_break(loop, static_cast<Runs*>(w->w.data)->how); }, 0.1,
        0);
    luna_ev_timer_init(
        &outer,
        [](luna_ev_loop* loop, luna_ev_timer* w, int) {
          auto* r = static_cast<Runs*>(w->w.data);
          if (++r->outer_turns > 1) return luna_ev_timer_stop(loop, w);
          luna_ev_run(loop, 0);
          ++r->inner_ended;
        },
        0.01, 10);
    inner.w.data = outer.w.data = &runs;
    luna_ev_timer_start(loop_, &outer);
    luna_ev_timer_start(loop_, &inner);
    EXPECT_EQ(luna_ev_run(loop_, 0), how == LUNA_EVBREAK_ALL ? 1 : 0);
    EXPECT_EQ(runs.inner_ended, 1);
    EXPECT_EQ(runs.outer_turns, how == LUNA_EVBREAK_ALL ? 1 : 2) << "the outer one goes on after ONE";
    luna_ev_timer_stop(loop_, &outer);
  }
}

TEST_F(LunaEvTest, AWatcherThatDoesNotCountKeepsNobody) {
  luna_ev_timer background = Timer("background", 0.1, 0.1), once = Timer("once", 0.35);
  luna_ev_timer_start(loop_, &background);
  luna_ev_unref(loop_);
  luna_ev_timer_start(loop_, &once);
  EXPECT_EQ(luna_ev_run(loop_, 0), 0);
  EXPECT_EQ(TakeCalled(), (Names{"background", "background", "background", "once"}));
  luna_ev_ref(loop_);
  luna_ev_timer_stop(loop_, &background);
}

TEST_F(LunaEvTest, ASignalEndsTheRunAndTurnsCanStillBeMade) {
  luna_ev_timer timer = Timer("timer", 0.001);
  luna_ev_timer_start(loop_, &timer);
  interrupted_ = true;
  EXPECT_EQ(luna_ev_run(loop_, 0), -1);
  EXPECT_EQ(errno, EINTR);
  Compute(Duration::Milliseconds(10));
  EXPECT_EQ(luna_ev_run(loop_, LUNA_EVRUN_NOWAIT), 0);
  EXPECT_EQ(TakeCalled(), Names{"timer"});
}

TEST_F(LunaEvTest, ASignalEndsTheRunThoughThereIsAlwaysSomethingToDo) {
  const auto [fd, accepted] = Connected();
  luna_ev_io io;
  luna_ev_io_init(
      &io,
      [](luna_ev_loop* loop, luna_ev_io*, int) {
        LunaEvTest& test = Of(loop);
        test.Note("io");
        if (test.called().size() == 3) test.Interrupt();
        if (test.called().size() == 100) luna_ev_break(loop, LUNA_EVBREAK_ALL);
      },
      fd, LUNA_EV_WRITE);
  luna_ev_io_start(loop_, &io);
  EXPECT_EQ(luna_ev_run(loop_, 0), -1);
  EXPECT_EQ(errno, EINTR);
  EXPECT_EQ(TakeCalled().size(), 3u);
  luna_ev_run(loop_, LUNA_EVRUN_NOWAIT);
  EXPECT_EQ(TakeCalled().size(), 1u) << "what is ready is still there";
  luna_ev_io_stop(loop_, &io);
}

// Callbacks take time, and their loop's time moves: what was due meanwhile comes when it was due, or at once.
TEST_F(LunaEvTest, ATimerIsNotLateByWhatCallbacksTake) {
  const auto [fd, accepted] = Connected();
  luna_ev_io slow;
  luna_ev_io_init(
      &slow,
      [](luna_ev_loop* loop, luna_ev_io* w, int) {
        luna_ev_io_stop(loop, w);
        Of(loop).Compute(Duration::Milliseconds(400));
      },
      fd, LUNA_EV_WRITE);
  luna_ev_timer timer = Timer("timer", 0.5);
  luna_ev_now_update(loop_);
  const double start = luna_ev_now(loop_);
  luna_ev_io_start(loop_, &slow);
  luna_ev_timer_start(loop_, &timer);
  EXPECT_EQ(luna_ev_run(loop_, 0), 0);
  EXPECT_NEAR(luna_ev_now(loop_) - start, 0.5, 0.002);

  Compute(Duration::Milliseconds(400));
  luna_ev_now_update(loop_);
  luna_ev_timer_start(loop_, &timer);
  EXPECT_EQ(luna_ev_run(loop_, 0), 0);
  EXPECT_NEAR(luna_ev_now(loop_) - start, 1.4, 0.004);
}

TEST_F(LunaEvTest, ATimerThatHasExpiredCanBeStoppedBeforeItsCall) {
  luna_ev_timer second = Timer("second", 0.1), first;
  luna_ev_timer_init(
      &first,
      [](luna_ev_loop* loop, luna_ev_timer* w, int) {
        auto* other = static_cast<luna_ev_timer*>(w->w.data);
        EXPECT_EQ(luna_ev_is_active(&other->w), 0);
        EXPECT_EQ(luna_ev_is_pending(&other->w), 1);
        luna_ev_timer_stop(loop, other);
        EXPECT_EQ(luna_ev_is_pending(&other->w), 0);
      },
      0.1, 0);
  first.w.data = &second;
  luna_ev_timer_start(loop_, &first);
  luna_ev_timer_start(loop_, &second);
  EXPECT_EQ(luna_ev_run(loop_, 0), 0);
  EXPECT_EQ(TakeCalled(), Names{});
}

// A callback that runs the loop, and then starts a watcher whose event is there at once.
TEST_F(LunaEvTest, ARunWithinACallbackLosesNothing) {
  luna_ev_io bad = Io("bad", 1 << 25, LUNA_EV_READ);
  luna_ev_timer inner = Timer("inner", 0.1), outer, last = Timer("last", 0.1);
  luna_ev_timer_init(
      &outer,
      [](luna_ev_loop* loop, luna_ev_timer* w, int) {
        luna_ev_run(loop, LUNA_EVRUN_NOWAIT);
        EXPECT_EQ(Of(loop).TakeCalled(), (Names{"inner", "last"})) << "what was due is the inner run's";
        luna_ev_io_start(loop, static_cast<luna_ev_io*>(w->w.data));
      },
      0.1, 0);
  outer.w.data = &bad;
  for (luna_ev_timer* t : {&outer, &inner, &last}) luna_ev_timer_start(loop_, t);
  EXPECT_EQ(luna_ev_run(loop_, 0), 0);
  EXPECT_EQ(TakeCalled(), Names{"bad"});
  EXPECT_EQ(luna_ev_is_pending(&bad.w), 0);
}

TEST_F(LunaEvTest, AThreadWithoutSocketsHasNoLoop) {
  UseSockets(nullptr);
  EXPECT_EQ(luna_ev_loop_new(), nullptr);
  EXPECT_EQ(errno, ENOSYS);
}

}  // namespace
}  // namespace luna::socket
