// Calls and options, one by one: values, errnos, and what they do to what is sent.

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/time.h>

#include <cstring>
#include <string>

#include "gtest/gtest.h"
#include "luna/net/tcp/testing/sockets/profile.h"
#include "luna/net/tcp/testing/sockets/two_hosts.h"
#include "luna/net/tcp/testing/sockets/virtual_host.h"

namespace luna::tcp::testing {
namespace {

using SocketCalls = TwoHosts;

class BsdSocketCalls : public TwoHosts {
 protected:
  BsdSocketCalls() : TwoHosts(BsdTestProfile()) {}
};

TEST_F(SocketCalls, KindsOfSockets) {
  struct Case {
    int domain, type, protocol, error;
  };
  for (const Case& c :
       {Case{AF_INET, SOCK_STREAM, 0, 0}, Case{AF_INET, SOCK_STREAM, IPPROTO_TCP, 0},
        Case{AF_INET, SOCK_STREAM | SOCK_NONBLOCK, IPPROTO_TCP, 0},
        Case{AF_INET6, SOCK_STREAM, IPPROTO_TCP, EAFNOSUPPORT}, Case{AF_INET, SOCK_DGRAM, 0, ESOCKTNOSUPPORT},
        Case{AF_INET, SOCK_STREAM, IPPROTO_UDP, EPROTONOSUPPORT}}) {
    EXPECT_EQ(client_.Socket(c.domain, c.type, c.protocol).error, c.error) << c.domain << " " << c.type;
  }
}

TEST_F(SocketCalls, NumbersAreTheLowestThatAreFree) {
  EXPECT_EQ(client_.Socket(AF_INET, SOCK_STREAM, 0), Success(3));
  EXPECT_EQ(client_.Socket(AF_INET, SOCK_STREAM, 0), Success(4));
  EXPECT_EQ(client_.Close(3), Success());
  EXPECT_EQ(client_.EpollCreate(0), Success(3));
}

TEST_F(SocketCalls, ADescriptorThatIsNone) {
  char byte = 0;
  socklen_t length = sizeof(byte);
  for (const int fd : {-1, 99}) {
    EXPECT_EQ(client_.Close(fd), Failure(EBADF));
    EXPECT_EQ(client_.Read(fd, &byte, 1), Failure(EBADF));
    EXPECT_EQ(client_.Write(fd, &byte, 1), Failure(EBADF));
    EXPECT_EQ(client_.Listen(fd, 1), Failure(EBADF));
    EXPECT_EQ(client_.Shutdown(fd, SHUT_RD), Failure(EBADF));
    EXPECT_EQ(client_.Fcntl(fd, F_GETFL), Failure(EBADF));
    EXPECT_EQ(client_.GetSockOpt(fd, SOL_SOCKET, SO_ERROR, &byte, &length), Failure(EBADF));
  }
  const int epoll = static_cast<int>(client_.EpollCreate(0).value);
  EXPECT_EQ(client_.Listen(epoll, 1), Failure(ENOTSOCK));
}

TEST_F(SocketCalls, AFreshSocket) {
  const int fd = static_cast<int>(client_.Socket(AF_INET, SOCK_STREAM, 0).value);
  char byte = 0;
  EXPECT_EQ(client_.Read(fd, &byte, 1), Failure(ENOTCONN));
  EXPECT_EQ(client_.Write(fd, &byte, 1), Failure(EPIPE));
  EXPECT_EQ(client_.Shutdown(fd, SHUT_RDWR), Failure(ENOTCONN));
  EXPECT_EQ(client_.Accept(fd, nullptr, nullptr), Failure(EINVAL));
  EXPECT_EQ(client_.Connect(fd, nullptr, 0), Failure(EFAULT));
  EXPECT_EQ(client_.Fcntl(fd, F_GETFL), Success(O_RDWR));
  EXPECT_EQ(client_.Fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK), Success());
  EXPECT_EQ(client_.Fcntl(fd, F_GETFL), Success(O_RDWR | O_NONBLOCK));
  pollfd what = {.fd = fd, .events = POLLIN | POLLOUT, .revents = 0};
  EXPECT_EQ(client_.Poll(&what, 1, 0), Success(1));
  EXPECT_EQ(what.revents, POLLOUT | POLLHUP);
}

TEST_F(SocketCalls, NullPointers) {
  const auto [c, s] = Connected();
  EXPECT_EQ(client_.Write(c, nullptr, 1000), Failure(EFAULT));
  EXPECT_EQ(client_.SendTo(c, nullptr, 1000, 0, nullptr, 0), Failure(EFAULT));
  EXPECT_EQ(client_.Write(c, nullptr, 0), Success(0));
  EXPECT_EQ(client_.Write(c, "x", 1), Success(1));
  Exchange();
  EXPECT_EQ(server_.Read(s, nullptr, 1), Failure(EFAULT));
  EXPECT_EQ(ReadAll(server_, s), "x");
}

TEST_F(SocketCalls, AnAddressInUse) {
  const int first = Listener();
  const int second = static_cast<int>(server_.Socket(AF_INET, SOCK_STREAM, 0).value);
  const sockaddr_in local = Address(kServer, kPort);
  SetInt(server_, first, SOL_SOCKET, SO_REUSEADDR, 1);
  SetInt(server_, second, SOL_SOCKET, SO_REUSEADDR, 1);
  EXPECT_EQ(server_.Bind(second, Raw(local), sizeof(local)), Failure(EADDRINUSE));
  EXPECT_EQ(server_.Close(first), Success());
  EXPECT_EQ(server_.Bind(second, Raw(local), sizeof(local)), Success());
  EXPECT_EQ(server_.Bind(second, Raw(local), sizeof(local)), Failure(EINVAL));
}

TEST_F(SocketCalls, IntegerOptionsReadBackWhatWasSet) {
  const int fd = static_cast<int>(client_.Socket(AF_INET, SOCK_STREAM, 0).value);
  struct Case {
    int level, name, set, get;
  };
  const Case kCases[] = {
      {SOL_SOCKET, SO_REUSEADDR, 5, 1},
      {SOL_SOCKET, SO_KEEPALIVE, 1, 1},
      {SOL_SOCKET, SO_SNDBUF, 21000, 42000},
      {SOL_SOCKET, SO_RCVBUF, 10000, 20000},
      {SOL_SOCKET, SO_RCVBUF, 1, 2304},
      {SOL_SOCKET, SO_RCVLOWAT, 100, 100},
      {IPPROTO_TCP, TCP_NODELAY, 1, 1},
      {IPPROTO_TCP, TCP_CORK, 1, 1},
      {IPPROTO_TCP, TCP_MAXSEG, 1100, 1100},
      {IPPROTO_TCP, TCP_MAXSEG, 10, -EINVAL},
      {IPPROTO_TCP, TCP_USER_TIMEOUT, 3000, 3000},
      {IPPROTO_TCP, TCP_USER_TIMEOUT, -1, -EINVAL},
      {IPPROTO_TCP, TCP_KEEPIDLE, 60, 60},
      {IPPROTO_TCP, TCP_KEEPIDLE, 0, -EINVAL},
      {IPPROTO_TCP, TCP_KEEPINTVL, 5, 5},
      {IPPROTO_TCP, TCP_KEEPCNT, 128, -EINVAL},
      {IPPROTO_TCP, TCP_KEEPCNT, 4, 4},
      {IPPROTO_TCP, TCP_SYNCNT, 3, 3},
      {IPPROTO_TCP, TCP_LINGER2, -5, -1},
      {IPPROTO_IP, IP_TTL, 7, 7},
      {IPPROTO_IP, IP_TTL, 0, -EINVAL},
      {IPPROTO_IP, IP_TOS, 0x20, 0x20},
      {SOL_SOCKET, 9999, 1, -ENOPROTOOPT},
  };
  for (const Case& c : kCases) {
    const CallResult set = SetInt(client_, fd, c.level, c.name, c.set);
    EXPECT_EQ(set.error == 0 ? GetInt(client_, fd, c.level, c.name) : -set.error, c.get) << c.level << " " << c.name;
  }
}

TEST_F(SocketCalls, OptionsOfOddLengths) {
  const int fd = static_cast<int>(client_.Socket(AF_INET, SOCK_STREAM, 0).value);
  int value = 1;
  EXPECT_EQ(client_.SetSockOpt(fd, IPPROTO_TCP, TCP_NODELAY, &value, 2), Failure(EINVAL));
  EXPECT_EQ(client_.SetSockOpt(fd, IPPROTO_TCP, TCP_NODELAY, nullptr, 4), Failure(EFAULT));
  socklen_t length = 100;
  EXPECT_EQ(client_.GetSockOpt(fd, IPPROTO_TCP, TCP_NODELAY, &value, &length), Success());
  EXPECT_EQ(length, sizeof(value));
  EXPECT_EQ(client_.GetSockOpt(fd, IPPROTO_TCP, TCP_NODELAY, nullptr, &length), Failure(EFAULT));
  EXPECT_EQ(client_.GetSockOpt(fd, IPPROTO_TCP, TCP_NODELAY, &value, nullptr), Failure(EFAULT));
}

TEST_F(SocketCalls, StructuresOfTheKernelsSize) {
  const auto [c, s] = Connected();
  (void)s;
  tcp_info info;
  socklen_t length = sizeof(info);
  ASSERT_EQ(client_.GetSockOpt(c, IPPROTO_TCP, TCP_INFO, &info, &length), Success());
  EXPECT_EQ(length, sizeof(info));
  EXPECT_EQ(info.tcpi_state, 1);
  EXPECT_EQ(info.tcpi_snd_cwnd, 10u);
  char name[16];
  length = sizeof(name);
  ASSERT_EQ(client_.GetSockOpt(c, IPPROTO_TCP, TCP_CONGESTION, name, &length), Success());
  EXPECT_STREQ(name, CongestionName(client_.profile()));
  EXPECT_EQ(client_.SetSockOpt(c, IPPROTO_TCP, TCP_CONGESTION, name, sizeof(name)), Success());
  EXPECT_EQ(client_.SetSockOpt(c, IPPROTO_TCP, TCP_CONGESTION, "bbr", 3), Failure(ENOENT));
  char bytes[256];
  length = sizeof(bytes);
  EXPECT_EQ(client_.GetSockOpt(c, IPPROTO_TCP, TCP_CC_INFO, bytes, &length), Success());
  length = sizeof(bytes);
  EXPECT_EQ(client_.GetSockOpt(c, SOL_SOCKET, SO_MEMINFO, bytes, &length), Success());
}

TEST_F(SocketCalls, AcceptedSocketsInheritOptions) {
  const int listener = Listener();
  SetInt(server_, listener, IPPROTO_TCP, TCP_MAXSEG, 500);
  SetInt(server_, listener, SOL_SOCKET, SO_KEEPALIVE, 1);
  const int fd = static_cast<int>(client_.Socket(AF_INET, SOCK_STREAM, 0).value);
  ConnectFrom(fd);
  Exchange();
  const int accepted = static_cast<int>(server_.Accept(listener, nullptr, nullptr, SOCK_NONBLOCK).value);
  EXPECT_EQ(GetInt(server_, accepted, SOL_SOCKET, SO_KEEPALIVE), 1);
  EXPECT_EQ(server_.Fcntl(accepted, F_GETFL), Success(O_RDWR | O_NONBLOCK));
  EXPECT_LE(GetInt(client_, fd, IPPROTO_TCP, TCP_MAXSEG), 500);
}

TEST_F(SocketCalls, NamesOfBothEnds) {
  const auto [c, s] = Connected();
  sockaddr_in mine;
  sockaddr_in theirs;
  socklen_t length = sizeof(mine);
  ASSERT_EQ(client_.GetSockName(c, reinterpret_cast<sockaddr*>(&mine), &length), Success());
  length = sizeof(theirs);
  ASSERT_EQ(server_.GetPeerName(s, reinterpret_cast<sockaddr*>(&theirs), &length), Success());
  EXPECT_EQ(mine.sin_port, theirs.sin_port);
  EXPECT_EQ(ntohl(theirs.sin_addr.s_addr), kClient.value());
}

TEST_F(SocketCalls, PeekTakesNothingAndWaitAllWaits) {
  const auto [c, s] = Connected();
  client_.Write(c, "abc", 3);
  Exchange();
  char bytes[6] = {};
  EXPECT_EQ(server_.Recv(s, bytes, 2, MSG_PEEK), Success(2));
  EXPECT_TRUE(server_.Recv(s, bytes, 6, MSG_WAITALL).would_block);
  Advance(Duration::Milliseconds(100));
  client_.Write(c, "def", 3);
  Exchange();
  EXPECT_EQ(server_.Recv(s, bytes, 6, MSG_WAITALL), Success(6));
  EXPECT_EQ(std::string(bytes, 6), "abcdef");
}

TEST_F(SocketCalls, WhatWaitsIsToldWithWhatIsRead) {  // TCP_INQ
  const auto [c, s] = Connected();
  const int on = 1;
  const int wrong = 2;
  EXPECT_EQ(server_.SetSockOpt(s, IPPROTO_TCP, TCP_INQ, &wrong, sizeof(wrong)), Failure(EINVAL));
  client_.Write(c, "abcde", 5);
  Exchange();
  char bytes[2] = {};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  iovec iov = {.iov_base = bytes, .iov_len = sizeof(bytes)};
  msghdr message = {};
  message.msg_iov = &iov;
  message.msg_iovlen = 1;
  const auto hint = [&, server = s] {
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    EXPECT_GE(server_.RecvMsg(server, &message, 0).value, 0);
    int value = -1;
    if (message.msg_controllen == 0) return value;
    const cmsghdr* first = CMSG_FIRSTHDR(&message);
    EXPECT_EQ(first->cmsg_level, IPPROTO_TCP);
    EXPECT_EQ(first->cmsg_type, TCP_CM_INQ);
    std::memcpy(&value, CMSG_DATA(first), sizeof(value));
    return value;
  };
  EXPECT_EQ(hint(), -1);
  EXPECT_EQ(server_.SetSockOpt(s, IPPROTO_TCP, TCP_INQ, &on, sizeof(on)), Success());
  EXPECT_EQ(hint(), 1);
  client_.Close(c);
  Exchange();
  EXPECT_EQ(hint(), 1) << "the end of the stream waits";
  message.msg_controllen = 0;
  message.msg_control = nullptr;
  EXPECT_EQ(server_.RecvMsg(s, &message, 0), Success(0));
  EXPECT_EQ(message.msg_flags & MSG_CTRUNC, MSG_CTRUNC);
}

TEST_F(SocketCalls, QueuesCanBeMeasured) {
  const auto [c, s] = Connected();
  client_.Write(c, "abcde", 5);
  int n = -1;
  EXPECT_EQ(client_.Ioctl(c, SIOCOUTQ, &n), Success());
  EXPECT_EQ(n, 5);
  EXPECT_EQ(client_.Ioctl(c, SIOCOUTQNSD, &n), Success());
  EXPECT_EQ(n, 0);
  Exchange();
  EXPECT_EQ(server_.Ioctl(s, FIONREAD, &n), Success());
  EXPECT_EQ(n, 5);
  EXPECT_EQ(server_.Ioctl(s, 0x1234, &n), Failure(ENOTTY));
}

// How many packets each step sends.
TEST_F(SocketCalls, CorkAndMoreHoldBack) {
  const auto [c, s] = Connected();
  (void)s;
  SetInt(client_, c, IPPROTO_TCP, TCP_CORK, 1);
  client_.Write(c, "abc", 3);
  EXPECT_EQ(client_.packets(), 0u);
  SetInt(client_, c, IPPROTO_TCP, TCP_CORK, 0);
  EXPECT_EQ(client_.packets(), 1u);
  Advance(Duration::Milliseconds(100));
  client_.Send(c, "abc", 3, MSG_MORE);
  EXPECT_EQ(client_.packets(), 0u);
  client_.Send(c, "abc", 3, 0);
  EXPECT_EQ(client_.packets(), 1u);
}

TEST_F(SocketCalls, NoDelayLetsGoOnceOfWhatACorkHolds) {
  const auto [c, s] = Connected();
  (void)s;
  SetInt(client_, c, IPPROTO_TCP, TCP_CORK, 1);
  for (int i = 0; i < 2; ++i) {
    client_.Write(c, "abc", 3);
    EXPECT_EQ(client_.packets(), 0u) << i;
    SetInt(client_, c, IPPROTO_TCP, TCP_NODELAY, 1);
    EXPECT_EQ(client_.packets(), 1u) << i;
    Advance(Duration::Milliseconds(100));
  }
  EXPECT_EQ(GetInt(client_, c, IPPROTO_TCP, TCP_CORK), 1);
  client_.Write(c, "abc", 3);
  SetInt(client_, c, IPPROTO_TCP, TCP_NODELAY, 0);
  EXPECT_EQ(client_.packets(), 0u);
}

TEST_F(SocketCalls, NoDelayLetsGoOfWhatNagleHolds) {
  const auto [c, s] = Connected();
  (void)s;
  client_.Write(c, "abc", 3);
  client_.Write(c, "def", 3);
  EXPECT_EQ(client_.packets(), 1u);
  SetInt(client_, c, IPPROTO_TCP, TCP_NODELAY, 1);
  EXPECT_EQ(client_.packets(), 2u);
}

TEST_F(SocketCalls, TtlAndTosAreInThePackets) {
  const auto [c, s] = Connected();
  (void)s;
  SetInt(client_, c, IPPROTO_IP, IP_TTL, 7);
  SetInt(client_, c, IPPROTO_IP, IP_TOS, 0x28);
  client_.Write(c, "x", 1);
  const auto packet = client_.NextPacket();
  ASSERT_TRUE(packet.has_value());
  EXPECT_EQ(packet->bytes[1], 0x28);
  EXPECT_EQ(packet->bytes[8], 7);
}

TEST_F(SocketCalls, ReceiveTimeoutsEndInEagain) {
  const auto [c, s] = Connected();
  (void)s;
  const timeval time = {.tv_sec = 0, .tv_usec = 50000};
  ASSERT_EQ(client_.SetSockOpt(c, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time)), Success());
  char byte;
  EXPECT_TRUE(client_.Read(c, &byte, 1).would_block);
  Advance(Duration::Milliseconds(49));
  EXPECT_TRUE(client_.Read(c, &byte, 1).would_block);
  Advance(Duration::Milliseconds(1));
  EXPECT_EQ(client_.Read(c, &byte, 1), Failure(EAGAIN));
}

TEST_F(SocketCalls, LingerZeroResets) {
  const auto [c, s] = Connected();
  const linger what = {.l_onoff = 1, .l_linger = 0};
  ASSERT_EQ(client_.SetSockOpt(c, SOL_SOCKET, SO_LINGER, &what, sizeof(what)), Success());
  EXPECT_EQ(client_.Close(c), Success());
  Exchange();
  char byte;
  EXPECT_EQ(server_.Read(s, &byte, 1), Failure(ECONNRESET));
}

TEST_F(SocketCalls, LingerWaitsForTheAcknowledgementOrItsTime) {
  for (const bool answered : {true, false}) {
    const auto [c, s] = Connected();
    const linger what = {.l_onoff = 1, .l_linger = 1};
    ASSERT_EQ(client_.SetSockOpt(c, SOL_SOCKET, SO_LINGER, &what, sizeof(what)), Success());
    client_.Write(c, "abc", 3);
    EXPECT_TRUE(client_.Close(c).would_block);
    if (answered) {
      Exchange();
      Advance(Duration::Milliseconds(100));
    } else {
      while (client_.NextPacket()) continue;
      client_.AdvanceTo(client_.now() + Duration::Milliseconds(1000));
    }
    EXPECT_EQ(client_.Close(c), Success()) << answered;
    EXPECT_EQ(client_.Close(c), Failure(EBADF));
    EXPECT_EQ(server_.Close(s), Success());
    while (client_.NextPacket()) continue;
  }
}

TEST_F(SocketCalls, HalfClose) {
  const auto [c, s] = Connected();
  EXPECT_EQ(client_.Shutdown(c, SHUT_WR), Success());
  EXPECT_EQ(client_.Write(c, "x", 1), Failure(EPIPE));
  Exchange();
  char byte;
  EXPECT_EQ(server_.Read(s, &byte, 1), Success(0));
  EXPECT_EQ(server_.Write(s, "y", 1), Success(1));
  Exchange();
  EXPECT_EQ(ReadAll(client_, c), "y");
  EXPECT_EQ(client_.Shutdown(c, SHUT_RD), Success());
  EXPECT_EQ(client_.Read(c, &byte, 1), Success(0));
  EXPECT_EQ(client_.Shutdown(c, 7), Failure(EINVAL));
}

TEST_F(SocketCalls, AResetAfterTheFinIsNoErrorOfReading) {
  const auto [c, s] = Connected();
  EXPECT_EQ(server_.Shutdown(s, SHUT_WR), Success());
  Exchange();
  const linger at_once{.l_onoff = 1, .l_linger = 0};
  EXPECT_EQ(server_.SetSockOpt(s, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), Success());
  EXPECT_EQ(server_.Close(s), Success());
  Exchange();
  char byte;
  EXPECT_EQ(client_.Read(c, &byte, 1), Success(0));
  EXPECT_EQ(GetInt(client_, c, SOL_SOCKET, SO_ERROR), EPIPE);
}

TEST_F(SocketCalls, ClosingAListenerResetsWhatNobodyAccepted) {
  const int listener = Listener();
  const int fd = static_cast<int>(client_.Socket(AF_INET, SOCK_STREAM, 0).value);
  ConnectFrom(fd);
  Exchange();
  EXPECT_EQ(server_.Close(listener), Success());
  Exchange();
  char byte;
  EXPECT_EQ(client_.Read(fd, &byte, 1), Failure(ECONNRESET));
}

TEST_F(SocketCalls, PipesAndSplice) {
  const auto [c, s] = Connected();
  int pipe[2];
  ASSERT_EQ(client_.Pipe(pipe), Success());
  char bytes[10];
  EXPECT_TRUE(client_.Read(pipe[0], bytes, 10).would_block);
  client_.CancelWait(pipe[0]);
  EXPECT_EQ(client_.Write(pipe[1], "abcdef", 6), Success(6));
  EXPECT_EQ(client_.Splice(pipe[0], nullptr, c, nullptr, 4, 0), Success(4));
  Exchange();
  EXPECT_EQ(ReadAll(server_, s), "abcd");
  EXPECT_EQ(client_.Read(pipe[0], bytes, 10), Success(2));
  EXPECT_EQ(client_.Close(pipe[1]), Success());
  EXPECT_EQ(client_.Read(pipe[0], bytes, 10), Success(0));
  EXPECT_EQ(client_.Splice(c, nullptr, c, nullptr, 4, 0), Failure(EINVAL));
}

TEST_F(SocketCalls, EpollLevelOneShotAndErrors) {
  const auto [c, s] = Connected();
  (void)c;
  const int epoll = static_cast<int>(server_.EpollCreate(0).value);
  epoll_event event = {};
  event.events = EPOLLOUT | EPOLLONESHOT;
  event.data.u64 = 42;
  EXPECT_EQ(server_.EpollCtl(epoll, EPOLL_CTL_MOD, s, &event), Failure(ENOENT));
  EXPECT_EQ(server_.EpollCtl(epoll, EPOLL_CTL_ADD, s, &event), Success());
  EXPECT_EQ(server_.EpollCtl(epoll, EPOLL_CTL_ADD, s, &event), Failure(EEXIST));
  EXPECT_EQ(server_.EpollCtl(epoll, EPOLL_CTL_ADD, epoll, &event), Failure(EINVAL));
  EXPECT_EQ(server_.EpollCtl(epoll, EPOLL_CTL_ADD, 99, &event), Failure(EBADF));
  epoll_event got = {};
  EXPECT_EQ(server_.EpollWait(epoll, &got, 0, 0), Failure(EINVAL));
  EXPECT_EQ(server_.EpollWait(epoll, &got, 1, 0), Success(1));
  EXPECT_EQ(got.data.u64, 42u);
  EXPECT_EQ(server_.EpollWait(epoll, &got, 1, 0), Success(0));
  EXPECT_EQ(server_.EpollCtl(epoll, EPOLL_CTL_MOD, s, &event), Success());
  EXPECT_EQ(server_.EpollWait(epoll, &got, 1, 0), Success(1));
  EXPECT_EQ(server_.EpollCtl(epoll, EPOLL_CTL_DEL, s, nullptr), Success());
}

TEST_F(SocketCalls, RoomIsAnEdgeOnceItWasMissed) {
  const auto [c, s] = Connected();
  const int size = 20000;
  EXPECT_EQ(server_.SetSockOpt(s, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), Success());
  server_.Fcntl(s, F_SETFL, O_RDWR | O_NONBLOCK);
  const int epoll = static_cast<int>(server_.EpollCreate(0).value);
  epoll_event event = {};
  event.events = EPOLLOUT | EPOLLET;
  EXPECT_EQ(server_.EpollCtl(epoll, EPOLL_CTL_ADD, s, &event), Success());
  EXPECT_EQ(server_.EpollWait(epoll, &event, 1, 0), Success(1));
  const std::string data(10000, 'x');
  EXPECT_EQ(server_.Write(s, data.data(), data.size()), Success(10000));
  Exchange();
  EXPECT_EQ(server_.EpollWait(epoll, &event, 1, 0), Success(0)) << "nobody had missed it";
  while (server_.Write(s, data.data(), data.size()).value > 0) {
  }
  EXPECT_EQ(server_.EpollWait(epoll, &event, 1, 0), Success(0));
  for (int i = 0; i < 10; ++i) Exchange();
  EXPECT_EQ(server_.EpollWait(epoll, &event, 1, 0), Success(1));
  EXPECT_EQ(event.events, uint32_t{EPOLLOUT});
  EXPECT_EQ(server_.EpollWait(epoll, &event, 1, 0), Success(0)) << "told once";
  ReadAll(client_, c);
}

TEST_F(SocketCalls, LittleMayBeUnsent) {  // TCP_NOTSENT_LOWAT
  const auto [c, s] = Connected();
  (void)c;
  const int low = 8000;
  EXPECT_EQ(server_.SetSockOpt(s, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &low, sizeof(low)), Success());
  server_.Fcntl(s, F_SETFL, O_RDWR | O_NONBLOCK);
  pollfd polled = {.fd = s, .events = POLLOUT, .revents = 0};
  EXPECT_EQ(server_.Poll(&polled, 1, 0), Success(1));
  const std::string data(18000, 'x');
  EXPECT_EQ(server_.Write(s, data.data(), data.size()), Success(18000)) << "ten segments may leave";
  EXPECT_EQ(server_.Poll(&polled, 1, 0), Success(1)) << "and what is left is little";
  EXPECT_EQ(server_.Write(s, data.data(), data.size()), Success(18000));
  EXPECT_EQ(server_.Poll(&polled, 1, 0), Success(0));
  EXPECT_EQ(server_.Write(s, data.data(), data.size()), Failure(EAGAIN));
  for (int i = 0; i < 10; ++i) Exchange();
  EXPECT_EQ(server_.Poll(&polled, 1, 0), Success(1));
}

TEST_F(SocketCalls, EpollTellsOfTheEnd) {
  const auto [c, s] = Connected();
  const int epoll = static_cast<int>(server_.EpollCreate(0).value);
  epoll_event event = {};
  event.events = EPOLLIN | EPOLLRDHUP;
  ASSERT_EQ(server_.EpollCtl(epoll, EPOLL_CTL_ADD, s, &event), Success());
  EXPECT_TRUE(server_.EpollWait(epoll, &event, 1, -1).would_block);
  client_.Shutdown(c, SHUT_WR);
  Exchange();
  EXPECT_EQ(server_.EpollWait(epoll, &event, 1, -1), Success(1));
  EXPECT_EQ(event.events, uint32_t{EPOLLIN | EPOLLRDHUP});
  const linger what = {.l_onoff = 1, .l_linger = 0};
  client_.SetSockOpt(c, SOL_SOCKET, SO_LINGER, &what, sizeof(what));
  client_.Close(c);
  Exchange();
  EXPECT_EQ(server_.EpollWait(epoll, &event, 1, -1), Success(1));
  EXPECT_EQ(event.events, uint32_t{EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR});
}

TEST_F(BsdSocketCalls, BuffersAreNotDoubled) {
  const int fd = static_cast<int>(client_.Socket(AF_INET, SOCK_STREAM, 0).value);
  EXPECT_EQ(GetInt(client_, fd, SOL_SOCKET, SO_RCVBUF), 65536);
  SetInt(client_, fd, SOL_SOCKET, SO_RCVBUF, 20000);
  EXPECT_EQ(GetInt(client_, fd, SOL_SOCKET, SO_RCVBUF), 20000);
}

TEST_F(BsdSocketCalls, AnAddressForAConnectedStream) {
  const auto [c, s] = Connected();
  (void)s;
  const sockaddr_in to = Address(kServer, kPort);
  EXPECT_EQ(client_.SendTo(c, "x", 1, 0, Raw(to), sizeof(to)), Failure(EISCONN));
}

}  // namespace
}  // namespace luna::tcp::testing
