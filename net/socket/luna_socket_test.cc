#include "luna/net/socket/luna_socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <memory>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "luna/mem/zbuf/zbuf.h"
#include "luna/net/socket/testing/two_programs.h"
#include "luna/net/socket/worker_sockets.h"
#include "luna/net/tcp/connection.h"
#include "luna/net/wire/address.h"
#include "luna/sched/clock/time.h"
#include "luna/sched/r2c/handler.h"
#include "luna/sched/r2c/testing/two_hosts.h"

namespace luna::socket {
namespace {

using LunaSocketTest = TwoPrograms;

// The shape of every echo server that was written for epoll.
class EpollEcho {
 public:
  explicit EpollEcho(int listener) : listener_(listener), epoll_(luna_epoll_create1(0)) { Add(listener); }
  void Turn() {
    epoll_event events[8];
    const int n = luna_epoll_wait(epoll_, events, 8, 0);
    for (int i = 0; i < n; ++i) {
      const int fd = events[i].data.fd;
      if (fd == listener_) {
        const int accepted = luna_accept4(fd, nullptr, nullptr, SOCK_NONBLOCK);
        if (accepted >= 0) Add(accepted);
        continue;
      }
      char buffer[3000];
      const ssize_t got = luna_read(fd, buffer, sizeof(buffer));
      if (got > 0) {
        ASSERT_EQ(luna_write(fd, buffer, static_cast<size_t>(got)), got);
      } else if (got == 0) {
        luna_close(fd);
        ++closed;
      }
    }
  }
  int closed = 0;

 private:
  void Add(int fd) {
    epoll_event event = {.events = EPOLLIN | EPOLLRDHUP, .data = {.fd = fd}};
    ASSERT_EQ(luna_epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event), 0);
  }
  const int listener_;
  const int epoll_;
};

TEST_F(LunaSocketTest, ABlockingClientAndAnEpollServerExchangeOctetsAndClose) {
  const int listener = Listener();
  UseSockets(server_.get());
  EpollEcho echo(listener);
  UseSockets(client_.get());
  program_ = [&echo] { echo.Turn(); };

  const int fd = Socket();
  ASSERT_GE(fd, WorkerSockets::kFirstFd);
  ASSERT_EQ(Connect(fd), 0);
  std::string sent(100'000, '\0'), got(sent.size(), '\0');
  std::iota(sent.begin(), sent.end(), '\0');
  ASSERT_EQ(luna_write(fd, sent.data(), sent.size()), static_cast<ssize_t>(sent.size()));
  ASSERT_EQ(luna_shutdown(fd, SHUT_WR), 0);
  ASSERT_EQ(luna_recv(fd, got.data(), got.size(), MSG_WAITALL), static_cast<ssize_t>(got.size()));
  EXPECT_EQ(got, sent);
  char more;
  EXPECT_EQ(luna_read(fd, &more, 1), 0) << "the server has closed, too";
  EXPECT_EQ(luna_close(fd), 0);
  EXPECT_EQ(echo.closed, 1);
}

TEST_F(LunaSocketTest, CallsFailAsTheSystemsDo) {
  EXPECT_EQ(luna_socket(AF_INET6, SOCK_STREAM, 0), -1);
  EXPECT_EQ(errno, EAFNOSUPPORT);
  const int fd = Socket();
  EXPECT_EQ(Bind(fd, "10.9.9.9", 1000), -1);
  EXPECT_EQ(errno, EADDRNOTAVAIL);
  EXPECT_EQ(Connect(fd, 81), -1);
  EXPECT_EQ(errno, ECONNREFUSED);
  EXPECT_EQ(luna_close(fd), 0);
  EXPECT_EQ(luna_close(fd), -1);
  EXPECT_EQ(errno, EBADF);
  EXPECT_EQ(luna_write(fd, "x", 1), -1);
  EXPECT_EQ(errno, EBADF);
  const auto [a, b] = Connected();
  ASSERT_EQ(luna_shutdown(a, SHUT_WR), 0);
  EXPECT_EQ(luna_write(a, "x", 1), -1);
  EXPECT_EQ(errno, EPIPE);
  UseSockets(nullptr);
  EXPECT_EQ(Socket(), -1);
  EXPECT_EQ(errno, ENOSYS);
}

TEST_F(LunaSocketTest, APortThatIsNotAdmittedIsNotListenedOn) {
  const int fd = Socket();
  ASSERT_EQ(Bind(fd, "0.0.0.0", 80), 0);
  admit_ = absl::PermissionDeniedError("no");
  EXPECT_EQ(luna_listen(fd, 1), -1);
  EXPECT_EQ(errno, EACCES);
  admit_ = absl::AlreadyExistsError("the kernel's");
  EXPECT_EQ(luna_listen(fd, 1), -1);
  EXPECT_EQ(errno, EADDRINUSE);
  admit_ = absl::OkStatus();
  EXPECT_EQ(luna_listen(fd, 1), 0) << "nothing is left of the attempts";
}

// Of several workers: what is sent from there is answered elsewhere. Listening there is another matter.
TEST_F(LunaSocketTest, APortOfAnotherWorkersCannotBeConnectedFrom) {
  const int listener = Listener();
  others_port_ = 5000;
  const int fd = Socket();
  ASSERT_EQ(Bind(fd, "10.0.0.1", others_port_), 0);
  EXPECT_EQ(Connect(fd), -1);
  EXPECT_EQ(errno, EADDRNOTAVAIL);
  luna_close(fd);
  const int own = Socket(), any = Socket(), listens = Socket();
  ASSERT_EQ(Bind(own, "10.0.0.1", 5001), 0);
  EXPECT_EQ(Connect(own), 0);
  EXPECT_EQ(Connect(any), 0);
  ASSERT_EQ(Bind(listens, "10.0.0.1", others_port_), 0);
  EXPECT_EQ(luna_listen(listens, 1), 0);
  UseSockets(server_.get());
  luna_close(listener);
  UseSockets(client_.get());
}

TEST_F(LunaSocketTest, WaitsEndInTimeAndByInterruption) {
  const int epoll = luna_epoll_create1(0);
  const Time start = hosts_.clock().Now();
  EXPECT_TRUE(Wait(epoll, 100).empty());
  EXPECT_GE(hosts_.clock().Now() - start, Duration::Milliseconds(100));
  EXPECT_LE(hosts_.clock().Now() - start, Duration::Milliseconds(101));
  const auto [a, b] = Connected();
  const timeval brief = {.tv_sec = 0, .tv_usec = 50'000};
  ASSERT_EQ(luna_setsockopt(a, SOL_SOCKET, SO_RCVTIMEO, &brief, sizeof(brief)), 0);
  char octet;
  EXPECT_EQ(luna_read(a, &octet, 1), -1);
  EXPECT_EQ(errno, EAGAIN);
  // Where there is always something, a server would never hear of it: it is told once, and goes on to its end.
  ASSERT_EQ(Watch(epoll, a, EPOLLOUT, 7), 0);
  pollfd p = {.fd = a, .events = POLLOUT, .revents = 0};
  interrupted_ = true;
  EXPECT_EQ(luna_poll(&p, 1, 0), 1) << "it does not wait";
  EXPECT_EQ(luna_poll(&p, 1, -1), -1);
  EXPECT_EQ(errno, EINTR);
  EXPECT_EQ(luna_poll(&p, 1, -1), 1);
  EXPECT_EQ(Wait(epoll, -1), std::vector<uint64_t>{7});
  // Who would wait is told again and again.
  ASSERT_EQ(luna_epoll_ctl(epoll, EPOLL_CTL_DEL, a, nullptr), 0);
  epoll_event event;
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(luna_epoll_wait(epoll, &event, 1, -1), -1);
    EXPECT_EQ(errno, EINTR);
  }
}

TEST_F(LunaSocketTest, ABusyEpollSetHearsOfASignalToo) {
  const auto [a, b] = Connected();
  const int epoll = luna_epoll_create1(0);
  ASSERT_EQ(Watch(epoll, a, EPOLLOUT, 7), 0);
  epoll_event event;
  EXPECT_EQ(luna_epoll_wait(epoll, &event, 1, -1), 1);
  interrupted_ = true;
  EXPECT_EQ(luna_epoll_wait(epoll, &event, 1, -1), -1);
  EXPECT_EQ(errno, EINTR);
  EXPECT_EQ(luna_epoll_wait(epoll, &event, 1, -1), 1);
}

TEST_F(LunaSocketTest, LevelsLastEdgesComeOnceAndOneShotsNeedRearming) {
  const auto [a, b] = Connected();
  UseSockets(server_.get());
  const int level = luna_epoll_create1(0), edge = luna_epoll_create1(0), once = luna_epoll_create1(0);
  ASSERT_EQ(Watch(level, b, EPOLLIN, 1), 0);
  ASSERT_EQ(Watch(edge, b, EPOLLIN | EPOLLET, 2), 0);
  ASSERT_EQ(Watch(once, b, EPOLLIN | EPOLLONESHOT, 3), 0);
  EXPECT_TRUE(Wait(level, 0).empty());
  const auto send = [&, fd = a] {
    UseSockets(client_.get());
    ASSERT_EQ(luna_write(fd, "ab", 2), 2);
    Step();
    Step();
    Step();
    UseSockets(server_.get());
  };
  send();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Wait(level, 0), std::vector<uint64_t>{1});
  EXPECT_EQ(Wait(edge, 0), std::vector<uint64_t>{2});
  EXPECT_TRUE(Wait(edge, 0).empty());
  EXPECT_EQ(Wait(once, 0), std::vector<uint64_t>{3});
  send();
  EXPECT_EQ(Wait(edge, 0), std::vector<uint64_t>{2});
  EXPECT_TRUE(Wait(once, 0).empty());
  epoll_event event = {.events = EPOLLIN | EPOLLONESHOT, .data = {.u64 = 4}};
  ASSERT_EQ(luna_epoll_ctl(once, EPOLL_CTL_MOD, b, &event), 0);
  EXPECT_EQ(Wait(once, 0), std::vector<uint64_t>{4});
  char buffer[4];
  ASSERT_EQ(luna_read(b, buffer, 4), 4);
  EXPECT_TRUE(Wait(level, 0).empty());
  ASSERT_EQ(luna_close(b), 0);
  EXPECT_TRUE(Wait(level, 0).empty()) << "a closed descriptor leaves its sets";
}

TEST_F(LunaSocketTest, AFullSendQueueIsAnEdgeWhenThereIsRoomAgain) {
  const auto [a, b] = Connected();
  const int flags = luna_fcntl(a, F_GETFL);
  ASSERT_EQ(luna_fcntl(a, F_SETFL, flags | O_NONBLOCK), 0);
  const int epoll = luna_epoll_create1(0);
  ASSERT_EQ(Watch(epoll, a, EPOLLOUT | EPOLLET, 1), 0);
  EXPECT_EQ(Wait(epoll, 0), std::vector<uint64_t>{1});
  const std::string much(1 << 20, 'x');
  size_t sent = 0;
  // Until the peer's window is full as well: before that acknowledgements make room.
  for (int quiet = 0; quiet < 20; quiet = Wait(epoll, 1).empty() ? quiet + 1 : 0) {
    for (ssize_t n; (n = luna_write(a, much.data(), much.size())) > 0;) sent += static_cast<size_t>(n);
    ASSERT_EQ(errno, EAGAIN);
    ASSERT_LT(sent, 100u << 20);
  }
  size_t got = 0;
  program_ = [&, fd = b] {
    std::string buffer(100'000, '\0');
    const ssize_t n = luna_read(fd, buffer.data(), buffer.size());
    if (n > 0) got += static_cast<size_t>(n);
  };
  EXPECT_EQ(Wait(epoll, 10'000), std::vector<uint64_t>{1});
  EXPECT_GT(luna_write(a, much.data(), much.size()), 0);
  EXPECT_GT(got, 0u);
  EXPECT_LE(got, sent);
}

// More than the queue holds, by one call that waits and by many that do not, from several pieces.
TEST_F(LunaSocketTest, EachOctetOfALongWriteArrivesOnce) {
  std::string much(3'000'000, '\0');
  uint32_t next = 1;
  for (char& c : much) c = static_cast<char>((next = next * 1664525 + 1013904223) >> 24);
  for (const bool blocking : {true, false}) {
    const auto [a, b] = Connected();
    if (!blocking) {
      ASSERT_EQ(luna_fcntl(a, F_SETFL, O_RDWR | O_NONBLOCK), 0);
    }
    std::string got;
    program_ = [&got, fd = b] {
      char buffer[7001];
      const ssize_t n = luna_read(fd, buffer, sizeof(buffer));
      if (n > 0) got.append(buffer, static_cast<size_t>(n));
    };
    size_t sent = 0;
    while (sent < much.size()) {
      iovec pieces[5];
      size_t at = sent;
      for (iovec& piece : pieces) {
        const size_t n = std::min<size_t>(much.size() - at, blocking ? 800'001 : 9'001);
        piece = {.iov_base = much.data() + at, .iov_len = n};
        at += n;
      }
      const ssize_t n = luna_writev(a, pieces, 5);
      if (n < 0) {
        ASSERT_EQ(errno, EAGAIN);
        Step();
        continue;
      }
      sent += static_cast<size_t>(n);
    }
    for (int i = 0; i < 10'000 && got.size() < much.size(); ++i) Step();
    EXPECT_TRUE(got == much) << blocking << ": " << got.size() << " of " << much.size();
    program_ = nullptr;
  }
}

TEST_F(LunaSocketTest, WhoHasNoDescriptorLeftAcceptsLater) {
  WorkerSocketsOptions few = OptionsOf(hosts_.b());
  few.most_files = 2;
  server_ = std::make_unique<WorkerSockets>(hosts_.b().worker(), few);
  const int listener = Listener();
  int clients[2];
  for (int& fd : clients) {
    fd = Socket();
    ASSERT_EQ(Connect(fd), 0);
  }
  for (int i = 0; i < 10; ++i) Step();
  UseSockets(server_.get());
  const int first = luna_accept(listener, nullptr, nullptr);
  ASSERT_GE(first, 0);
  EXPECT_EQ(luna_accept(listener, nullptr, nullptr), -1);
  EXPECT_EQ(errno, EMFILE);
  UseSockets(client_.get());
  for (const int fd : clients) ASSERT_EQ(luna_write(fd, "x", 1), 1);
  for (int i = 0; i < 10; ++i) Step();
  UseSockets(server_.get());
  ASSERT_EQ(luna_close(first), 0);
  const int second = luna_accept(listener, nullptr, nullptr);
  ASSERT_GE(second, 0);
  char octet;
  EXPECT_EQ(luna_read(second, &octet, 1), 1);
  UseSockets(client_.get());
}

TEST_F(LunaSocketTest, ADescriptorThatIsModifiedIsReportedOnce) {
  const auto [a, b] = Connected();
  const int epoll = luna_epoll_create1(0), outer = luna_epoll_create1(0);
  ASSERT_EQ(Watch(epoll, a, EPOLLOUT, 1), 0);
  for (uint64_t i = 2; i < 6; ++i) {
    epoll_event event = {.events = EPOLLOUT, .data = {.u64 = i}};
    ASSERT_EQ(luna_epoll_ctl(epoll, EPOLL_CTL_MOD, a, &event), 0);
  }
  EXPECT_EQ(Wait(epoll, 0), std::vector<uint64_t>{5});
  ASSERT_EQ(luna_epoll_ctl(epoll, EPOLL_CTL_DEL, a, nullptr), 0);
  ASSERT_EQ(Watch(epoll, a, EPOLLOUT, 6), 0);
  EXPECT_EQ(Wait(epoll, 0), std::vector<uint64_t>{6});
  ASSERT_EQ(Watch(outer, epoll, EPOLLIN, 7), 0);
  EXPECT_EQ(Wait(outer, 0), std::vector<uint64_t>{7});
  EXPECT_EQ(Watch(epoll, outer, EPOLLIN, 8), -1);
  EXPECT_EQ(errno, ELOOP);
}

TEST_F(LunaSocketTest, NoCallWaitsWithinAnIteration) {
  const auto [a, b] = Connected();
  class Caller final : public r2c::AppTimer {
   public:
    explicit Caller(int fd) : fd_(fd) {}
    void OnTimer(Time) override {
      char octet;
      EXPECT_EQ(luna_read(fd_, &octet, 1), -1);
      EXPECT_EQ(errno, EDEADLK);
      ++called;
    }
    int called = 0;

   private:
    const int fd_;
  } caller(a);
  hosts_.a().worker().Arm(caller, hosts_.clock().Now());
  for (int i = 0; i < 10; ++i) Step();
  EXPECT_EQ(caller.called, 1);
}

TEST_F(LunaSocketTest, DescriptorsOfTheKernelAreInTheSameSetAndNeitherStarves) {
  const auto [a, b] = Connected();
  UseSockets(client_.get());
  const int kernels = eventfd(1, EFD_NONBLOCK);
  const int epoll = luna_epoll_create1(0);
  ASSERT_EQ(Watch(epoll, kernels, EPOLLIN, 1), 0);
  ASSERT_EQ(Watch(epoll, a, EPOLLOUT, 2), 0);
  EXPECT_EQ(Watch(epoll, kernels, EPOLLIN, 1), -1);
  EXPECT_EQ(errno, EEXIST);
  // Both are ready for ever, and there is room for one.
  std::vector<uint64_t> seen;
  for (int i = 0; i < 6; ++i) {
    const std::vector<uint64_t> now = Wait(epoll, 0, 1);
    ASSERT_EQ(now.size(), 1u);
    seen.push_back(now[0]);
  }
  EXPECT_EQ(std::count(seen.begin(), seen.end(), 1u), 3);
  EXPECT_EQ(Wait(epoll, 0).size(), 2u);
  uint64_t value;
  ASSERT_EQ(luna_read(kernels, &value, sizeof(value)), 8) << "the kernel's read()";
  EXPECT_EQ(Wait(epoll, 0), std::vector<uint64_t>{2});
  ASSERT_EQ(luna_close(a), 0);
  program_ = [kernels] {
    const uint64_t one = 1;
    EXPECT_EQ(write(kernels, &one, sizeof(one)), 8);
  };
  EXPECT_EQ(Wait(epoll, 1000), std::vector<uint64_t>{1}) << "the only one left";
  program_ = nullptr;
  ASSERT_EQ(luna_close(epoll), 0);
  close(kernels);
}

TEST_F(LunaSocketTest, PollTakesBothKinds) {
  const auto [a, b] = Connected();
  const int kernels = eventfd(0, EFD_NONBLOCK);
  pollfd fds[3] = {{kernels, POLLIN, 0}, {a, POLLIN, 0}, {a, POLLOUT, 0}};
  EXPECT_EQ(luna_poll(fds, 3, 0), 1);
  EXPECT_EQ(fds[2].revents, POLLOUT);
  EXPECT_EQ(luna_poll(fds, 2, 20), 0);
  const uint64_t one = 1;
  ASSERT_EQ(write(kernels, &one, sizeof(one)), 8);
  EXPECT_EQ(luna_poll(fds, 2, -1), 1);
  EXPECT_EQ(fds[0].revents, POLLIN);
  EXPECT_EQ(fds[1].revents, 0);
  close(kernels);
}

// What becomes ready while a call waits ends that, and the wait is no later call's.
TEST_F(LunaSocketTest, ADescriptorOfTheKernelEndsAWait) {
  const auto [a, b] = Connected();
  const int kernels = eventfd(0, EFD_NONBLOCK);
  const int epoll = luna_epoll_create1(0);
  ASSERT_EQ(Watch(epoll, kernels, EPOLLIN, 1), 0);
  int rounds = 0;
  program_ = [&] {
    const uint64_t one = 1;
    if (++rounds % 5 == 0) {
      EXPECT_EQ(write(kernels, &one, sizeof(one)), 8);
    }
  };
  uint64_t value;
  for (int i = 0; i < 4; ++i) {
    pollfd kernels_first[2] = {{kernels, POLLIN, 0}, {a, POLLIN, 0}},
           ours_first[2] = {{a, POLLIN, 0}, {kernels, POLLIN, 0}};
    EXPECT_EQ(luna_poll(kernels_first, 2, -1), 1);
    EXPECT_EQ(kernels_first[0].revents, POLLIN);
    ASSERT_EQ(read(kernels, &value, sizeof(value)), 8);
    EXPECT_EQ(luna_poll(ours_first, 2, -1), 1);
    EXPECT_EQ(ours_first[1].revents, POLLIN);
    ASSERT_EQ(read(kernels, &value, sizeof(value)), 8);
    EXPECT_EQ(luna_poll(ours_first, 2, 0), 0);
    EXPECT_EQ(luna_poll(kernels_first, 2, 0), 0);
    rounds = 0;
    EXPECT_EQ(Wait(epoll, -1, 1), std::vector<uint64_t>{1});
    ASSERT_EQ(read(kernels, &value, sizeof(value)), 8);
    rounds = 0;
    EXPECT_TRUE(Wait(epoll, 0, 1).empty());
  }
  program_ = nullptr;
  close(kernels);
}

TEST_F(LunaSocketTest, AWaitCostsWhatHappensNotWhatIsOpen) {
  constexpr int kConnections = 200;
  const int epoll = luna_epoll_create1(0);
  std::vector<std::pair<int, int>> pairs;
  for (int i = 0; i < kConnections; ++i) {
    pairs.push_back(Connected());
    ASSERT_EQ(Watch(epoll, pairs.back().first, EPOLLIN | EPOLLET, static_cast<uint64_t>(i)), 0);
  }
  EXPECT_TRUE(Wait(epoll, 0).empty());
  std::set<uint64_t> seen;
  UseSockets(server_.get());
  for (int i = 0; i < kConnections; i += 10) ASSERT_EQ(luna_write(pairs[static_cast<size_t>(i)].second, "x", 1), 1);
  UseSockets(client_.get());
  for (int i = 0; i < 50; ++i) {
    for (const uint64_t which : Wait(epoll, 1)) EXPECT_TRUE(seen.insert(which).second) << which << " twice";
  }
  EXPECT_EQ(seen.size(), 20u);
}

TEST_F(LunaSocketTest, ZeroCopyGoesFromObjToObj) {
  const auto [a, b] = Connected();
  const auto [c, d] = Connected();
  void* octets = nullptr;
  luna_chain* chain = luna_chain_alloc(5000, &octets);
  ASSERT_NE(chain, nullptr);
  std::memset(octets, 'z', 5000);
  luna_chain* copy = luna_chain_share(chain, 0, 5000);
  luna_chain* tail = luna_chain_share(chain, 4000, 1000);
  EXPECT_EQ(luna_chain_share(chain, 4000, 1001), nullptr);
  iovec slice;
  ASSERT_EQ(luna_chain_slices(tail, &slice, 1), 1u);
  EXPECT_EQ(slice.iov_base, static_cast<char*>(octets) + 4000);
  luna_chain_free(tail);
  EXPECT_EQ(luna_zc_write(a, &chain, 0), 5000);
  EXPECT_EQ(chain, nullptr);
  EXPECT_EQ(luna_zc_write(c, &copy, 0), 5000);
  for (int i = 0; i < 20; ++i) Step();
  UseSockets(server_.get());
  for (const int fd : {b, d}) {
    std::string got;
    while (got.size() < 5000) {
      luna_chain* received;
      const ssize_t n = luna_zc_read(fd, 3000, &received);
      ASSERT_GT(n, 0);
      ASSERT_LE(n, 3000);
      iovec slices[64];
      const size_t count = luna_chain_slices(received, slices, 64);
      for (size_t i = 0; i < count; ++i) got.append(static_cast<char*>(slices[i].iov_base), slices[i].iov_len);
      luna_chain_free(received);
    }
    EXPECT_EQ(got, std::string(5000, 'z'));
  }
  luna_chain* none;
  EXPECT_EQ(luna_zc_read(b, 1, &none), -1);
  EXPECT_EQ(errno, EAGAIN);
  EXPECT_EQ(none, nullptr);
  UseSockets(client_.get());
  EXPECT_EQ(luna_chain_alloc(1 << 20, &octets), nullptr);
  EXPECT_EQ(errno, EMSGSIZE);
}

TEST_F(LunaSocketTest, SocketsThatGoAwayTakeTheirConnectionsWithThem) {
  const auto [a, b] = Connected();
  UseSockets(nullptr);
  client_.reset();
  UseSockets(server_.get());
  char octet;
  ssize_t n = 0;
  for (int i = 0; i < 100 && (n = luna_read(b, &octet, 1)) < 0 && errno == EAGAIN; ++i) Step();
  EXPECT_EQ(n, -1);
  EXPECT_EQ(errno, ECONNRESET);
}

}  // namespace
}  // namespace luna::socket
