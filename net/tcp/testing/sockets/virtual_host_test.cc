#include "luna/net/tcp/testing/sockets/virtual_host.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <optional>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "luna/net/tcp/testing/sockets/two_hosts.h"

namespace luna::tcp::testing {
namespace {

TEST_F(TwoHosts, ConnectsAndCarriesBytesBothWays) {
  const auto [c, s] = Connected();
  EXPECT_EQ(client_.Write(c, "hello", 5), Success(5));
  Exchange();
  EXPECT_EQ(ReadAll(server_, s), "hello");
  EXPECT_EQ(server_.Write(s, "world!", 6), Success(6));
  Exchange();
  EXPECT_EQ(ReadAll(client_, c), "world!");
  EXPECT_EQ(client_.Close(c), Success());
  Exchange();
  char byte;
  EXPECT_EQ(server_.Read(s, &byte, 1), Success(0));
  EXPECT_EQ(server_.Close(s), Success());
  Exchange();
  EXPECT_EQ(client_.stack()->connections(), 0u);
  EXPECT_EQ(server_.stack()->connections(), 0u);
}

TEST_F(TwoHosts, RefusedWhereNobodyListens) {
  const int fd = static_cast<int>(client_.Socket(AF_INET, SOCK_STREAM, 0).value);
  server_.Socket(AF_INET, SOCK_STREAM, 0);
  EXPECT_TRUE(ConnectFrom(fd).would_block);
  Exchange();
  EXPECT_EQ(ConnectFrom(fd), Failure(ECONNREFUSED));
}

TEST_F(TwoHosts, NonBlockingConnectTellsItsErrorOnce) {
  const int fd = static_cast<int>(client_.Socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0).value);
  server_.Socket(AF_INET, SOCK_STREAM, 0);
  EXPECT_EQ(ConnectFrom(fd), Failure(EINPROGRESS));
  EXPECT_EQ(ConnectFrom(fd), Failure(EALREADY));
  Exchange();
  int error = 0;
  socklen_t length = sizeof(error);
  EXPECT_EQ(client_.GetSockOpt(fd, SOL_SOCKET, SO_ERROR, &error, &length), Success());
  EXPECT_EQ(error, ECONNREFUSED);
  EXPECT_EQ(client_.GetSockOpt(fd, SOL_SOCKET, SO_ERROR, &error, &length), Success());
  EXPECT_EQ(error, 0);
}

TEST_F(TwoHosts, BlockedWriteGoesOnWhereItWas) {
  const auto [c, s] = Connected();
  const int size = 20000;
  ASSERT_EQ(client_.SetSockOpt(c, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), Success());
  std::string bytes(200000, 'x');
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 7 % 251);
  CallResult result = client_.Write(c, bytes.data(), bytes.size());
  EXPECT_TRUE(result.would_block);
  std::string received;
  for (int round = 0; result.would_block && round < 100; ++round) {
    Exchange();
    received += ReadAll(server_, s);
    result = client_.Write(c, bytes.data(), bytes.size());
  }
  EXPECT_EQ(result, Success(200000));
  Exchange();
  Advance(Duration::Milliseconds(100));  // the tail waits for an acknowledgement (Nagle), which is delayed
  received += ReadAll(server_, s);
  EXPECT_TRUE(received == bytes) << received.size();
}

TEST_F(TwoHosts, PollWaitsItsTime) {
  const auto [c, s] = Connected();
  (void)s;
  pollfd what = {.fd = c, .events = POLLIN, .revents = 0};
  EXPECT_TRUE(client_.Poll(&what, 1, 30).would_block);
  client_.AdvanceTo(client_.now() + Duration::Milliseconds(29));
  EXPECT_TRUE(client_.Poll(&what, 1, 30).would_block);
  client_.AdvanceTo(client_.now() + Duration::Milliseconds(1));
  EXPECT_EQ(client_.Poll(&what, 1, 30), Success(0));
}

TEST_F(TwoHosts, EdgeTriggeredEpollTellsOfNewBytesOnly) {
  const auto [c, s] = Connected();
  const int epoll = static_cast<int>(server_.EpollCreate(0).value);
  epoll_event event = {};
  event.events = EPOLLIN | EPOLLOUT | EPOLLET;
  event.data.fd = s;
  ASSERT_EQ(server_.EpollCtl(epoll, EPOLL_CTL_ADD, s, &event), Success());
  epoll_event got;
  EXPECT_EQ(server_.EpollWait(epoll, &got, 1, 0), Success(1));
  EXPECT_EQ(got.events, uint32_t{EPOLLOUT});
  EXPECT_EQ(server_.EpollWait(epoll, &got, 1, 0), Success(0));
  for (int i = 0; i < 2; ++i) {
    client_.Write(c, "x", 1);
    Advance(Duration::Milliseconds(100));
    EXPECT_EQ(server_.EpollWait(epoll, &got, 1, 0), Success(1));
    EXPECT_EQ(got.events, uint32_t{EPOLLIN | EPOLLOUT});
    EXPECT_EQ(server_.EpollWait(epoll, &got, 1, 0), Success(0));
  }
}

TEST_F(TwoHosts, ResetIsToldOnceThenTheEnd) {
  const auto [c, s] = Connected();
  client_.Write(c, "unread", 6);
  Exchange();
  EXPECT_EQ(server_.Close(s), Success());  // with unread octets: a reset
  Exchange();
  char byte;
  EXPECT_EQ(client_.Read(c, &byte, 1), Failure(ECONNRESET));
  EXPECT_EQ(client_.Read(c, &byte, 1), Success(0));
  EXPECT_EQ(client_.Write(c, "x", 1), Failure(EPIPE));
}

TEST_F(TwoHosts, TimersRunAtTheirOwnTimes) {
  const auto [c, s] = Connected();
  (void)s;
  const Time sent = client_.now();
  client_.Write(c, "lost", 4);
  ASSERT_TRUE(client_.NextPacket().has_value());
  client_.AdvanceTo(sent + Duration::Milliseconds(700));
  EXPECT_EQ(client_.now(), sent + Duration::Milliseconds(700));
  std::optional<VirtualHost::Packet> first = client_.NextPacket();
  ASSERT_TRUE(first.has_value());
  EXPECT_GE(first->at - sent, Duration::Milliseconds(1));
  EXPECT_LT(first->at - sent, Duration::Milliseconds(700));
  EXPECT_TRUE(client_.StepToNextPacket(sent + Duration::Seconds(20)));
  EXPECT_LT(client_.now() - sent, Duration::Seconds(20));
}

}  // namespace
}  // namespace luna::tcp::testing
