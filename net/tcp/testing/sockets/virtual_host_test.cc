#include "luna/net/tcp/testing/sockets/virtual_host.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "luna/ctrl/stats/drop_reason.h"
#include "luna/net/tcp/testing/sockets/profile.h"
#include "luna/net/tcp/testing/sockets/two_hosts.h"
#include "luna/net/wire/address.h"
#include "luna/net/wire/icmpv4.h"
#include "luna/net/wire/ipv4.h"

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

// What a router says about `packet` when it does not pass it on.
std::string IcmpAbout(const VirtualHost::Packet& packet, uint8_t type, uint8_t code, uint32_t rest = 0) {
  constexpr size_t kQuoted = wire::Ipv4Header::kSize + 8;
  std::vector<uint8_t> bytes(wire::Ipv4Header::kSize + wire::Icmpv4Header::kSize + kQuoted);
  const absl::Span<uint8_t> message = absl::MakeSpan(bytes).subspan(wire::Ipv4Header::kSize);
  std::memcpy(message.data() + wire::Icmpv4Header::kSize, packet.bytes.data(), kQuoted);
  wire::Write(wire::Icmpv4Header{.type = type, .code = code, .rest = rest}, message);
  wire::Ipv4Header header;
  header.total_length = static_cast<uint16_t>(bytes.size());
  header.protocol = wire::IpProtocol::kIcmp;
  header.source = wire::Ipv4Address(192, 168, 0, 254);
  header.destination = wire::Ipv4Address(192, 168, 0, 1);
  wire::Write(header, bytes.data());
  return {bytes.begin(), bytes.end()};
}

struct IcmpCase {
  uint8_t type, code;
  int error;
};
constexpr IcmpCase kIcmpCases[] = {{3, 0, ENETUNREACH},   {3, 1, EHOSTUNREACH},  {3, 2, ENOPROTOOPT},
                                   {3, 3, ECONNREFUSED},  {3, 5, EOPNOTSUPP},    {3, 7, EHOSTDOWN},
                                   {3, 13, EHOSTUNREACH}, {11, 0, EHOSTUNREACH}, {12, 0, EPROTO}};

TEST_F(TwoHosts, AnIcmpErrorAboutOurSynEndsConnect) {
  for (const IcmpCase& c : kIcmpCases) {
    const int fd = static_cast<int>(client_.Socket(AF_INET, SOCK_STREAM, 0).value);
    EXPECT_TRUE(ConnectFrom(fd).would_block);
    const auto syn = client_.NextPacket();
    ASSERT_TRUE(syn.has_value());
    client_.Inject(IcmpAbout(*syn, c.type, c.code));
    EXPECT_EQ(ConnectFrom(fd), Failure(c.error)) << int{c.type} << "/" << int{c.code};
    EXPECT_EQ(client_.Close(fd), Success());
  }
}

TEST_F(TwoHosts, AnIcmpErrorAboutOurSynIsReadOnce) {
  const int fd = static_cast<int>(client_.Socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0).value);
  EXPECT_EQ(ConnectFrom(fd), Failure(EINPROGRESS));
  const auto syn = client_.NextPacket();
  ASSERT_TRUE(syn.has_value());
  VirtualHost::Packet other = *syn;
  other.bytes[wire::Ipv4Header::kSize + 4] ^= 1;  // a number that is not in flight
  client_.Inject(IcmpAbout(other, 3, 1));
  EXPECT_EQ(GetInt(client_, fd, SOL_SOCKET, SO_ERROR), 0);
  client_.Inject(IcmpAbout(*syn, 3, 1));
  pollfd what = {.fd = fd, .events = POLLOUT, .revents = 0};
  EXPECT_EQ(client_.Poll(&what, 1, 0), Success(1));
  EXPECT_NE(what.revents & POLLERR, 0);
  EXPECT_EQ(GetInt(client_, fd, SOL_SOCKET, SO_ERROR), EHOSTUNREACH);
  EXPECT_EQ(GetInt(client_, fd, SOL_SOCKET, SO_ERROR), 0);
}

class TwoBsdHosts : public TwoHosts {
 protected:
  TwoBsdHosts() : TwoHosts(BsdTestProfile()) {}
};

TEST_F(TwoBsdHosts, SoftErrorsDoNotEndConnect) {
  for (const IcmpCase& c : kIcmpCases) {
    const bool hard = c.error == ENOPROTOOPT || c.error == ECONNREFUSED || c.code == 13;
    const int fd = static_cast<int>(client_.Socket(AF_INET, SOCK_STREAM, 0).value);
    EXPECT_TRUE(ConnectFrom(fd).would_block);
    const auto syn = client_.NextPacket();
    ASSERT_TRUE(syn.has_value());
    client_.Inject(IcmpAbout(*syn, c.type, c.code));
    EXPECT_EQ(ConnectFrom(fd).would_block, !hard) << int{c.type} << "/" << int{c.code};
    EXPECT_EQ(client_.Close(fd), Success());
  }
}

// It is told by SO_ERROR, and by no other call.
TEST_F(TwoHosts, AnIcmpErrorAboutDataIsSoft) {
  const auto [c, s] = Connected();
  (void)s;
  for (const IcmpCase& icmp : kIcmpCases) {
    EXPECT_EQ(client_.Write(c, "x", 1), Success(1));
    const auto packet = client_.NextPacket();
    ASSERT_TRUE(packet.has_value());
    client_.Inject(IcmpAbout(*packet, icmp.type, icmp.code));
    char byte;
    EXPECT_EQ(client_.Recv(c, &byte, 1, MSG_DONTWAIT), Failure(EAGAIN));
    pollfd what = {.fd = c, .events = POLLOUT, .revents = 0};
    EXPECT_EQ(client_.Poll(&what, 1, 0), Success(1));
    EXPECT_EQ(what.revents, POLLOUT);
    EXPECT_EQ(GetInt(client_, c, SOL_SOCKET, SO_ERROR), icmp.error);
    EXPECT_EQ(GetInt(client_, c, SOL_SOCKET, SO_ERROR), 0);
    server_.Inject(packet->bytes);
    Advance(Duration::Milliseconds(100));
  }
}

TEST_F(TwoHosts, TooBigIsSentAgainInSmallerSegmentsAndNotTold) {
  const auto [c, s] = Connected();
  const std::string bytes(1400, 'x');
  EXPECT_EQ(client_.Write(c, bytes.data(), bytes.size()), Success(1400));
  const auto packet = client_.NextPacket();
  ASSERT_TRUE(packet.has_value());
  client_.Inject(IcmpAbout(*packet, 3, 4, 1000));
  EXPECT_EQ(GetInt(client_, c, SOL_SOCKET, SO_ERROR), 0);
  size_t longest = 0;
  while (const auto again = client_.NextPacket()) {
    longest = std::max(longest, again->bytes.size());
    server_.Inject(again->bytes);
  }
  EXPECT_EQ(longest, 1000u);
  EXPECT_EQ(ReadAll(server_, s), bytes);
}

TEST_F(TwoHosts, OtherIcmpIsCounted) {
  client_.Socket(AF_INET, SOCK_STREAM, 0);
  const VirtualHost::Packet any = {.bytes = std::string(28, '\0'), .at = client_.now()};
  client_.Inject(IcmpAbout(any, 8, 0));
  EXPECT_EQ(client_.drops().value(stats::DropReason::kIcmpUnsupported), 1u);
}

TEST_F(TwoHosts, ADeviceThatRefusesLosesPackets) {
  const auto [c, s] = Connected();
  ASSERT_TRUE(client_.SetSysctl("luna.refuse_packets", "1").ok());
  EXPECT_EQ(client_.Write(c, "abc", 3), Success(3));
  EXPECT_EQ(client_.packets(), 0u);
  ASSERT_TRUE(client_.SetSysctl("luna.refuse_packets", "0").ok());
  Advance(Duration::Seconds(1));  // retransmitted
  EXPECT_EQ(ReadAll(server_, s), "abc");
}

// As many wait to be accepted as listen() said, and one more.
TEST_F(TwoHosts, ABacklogThatIsFullMakesOthersWait) {
  const int listener = Listener(1);
  std::vector<int> fds;
  for (int i = 0; i < 3; ++i) {
    fds.push_back(static_cast<int>(client_.Socket(AF_INET, SOCK_STREAM, 0).value));
    EXPECT_TRUE(ConnectFrom(fds.back()).would_block);
    Exchange();
    EXPECT_EQ(ConnectFrom(fds.back()).would_block, i == 2) << i;
  }
  Advance(Duration::Seconds(2));
  EXPECT_TRUE(ConnectFrom(fds[2]).would_block);
  EXPECT_TRUE(server_.Accept(listener, nullptr, nullptr).ok());
  Advance(Duration::Seconds(3));  // its SYN is retransmitted
  EXPECT_EQ(ConnectFrom(fds[2]), Success());
  const int fourth = static_cast<int>(client_.Socket(AF_INET, SOCK_STREAM, 0).value);
  EXPECT_EQ(server_.Listen(listener, 2), Success());
  EXPECT_TRUE(ConnectFrom(fourth).would_block);
  Exchange();
  EXPECT_EQ(ConnectFrom(fourth), Success());
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(server_.Accept(listener, nullptr, nullptr).ok()) << i;
}

// How many of three SYNs without a further word are answered, with a backlog of one.
size_t SynAcks(const char* tcp_syncookies) {
  VirtualHost client({.address = wire::Ipv4Address(192, 168, 0, 1)});
  VirtualHost server({.address = wire::Ipv4Address(192, 168, 0, 2)});
  EXPECT_TRUE(server.SetSysctl("net.ipv4.tcp_syncookies", tcp_syncookies).ok());
  sockaddr_in in = {};
  in.sin_family = AF_INET;
  in.sin_port = htons(80);
  in.sin_addr.s_addr = htonl(wire::Ipv4Address(192, 168, 0, 2).value());
  const auto* address = reinterpret_cast<const sockaddr*>(&in);
  const int listener = static_cast<int>(server.Socket(AF_INET, SOCK_STREAM, 0).value);
  EXPECT_EQ(server.Bind(listener, address, sizeof(in)), Success());
  EXPECT_EQ(server.Listen(listener, 1), Success());
  for (int i = 0; i < 3; ++i) {
    const int fd = static_cast<int>(client.Socket(AF_INET, SOCK_STREAM, 0).value);
    EXPECT_TRUE(client.Connect(fd, address, sizeof(in)).would_block);
    server.Inject(client.NextPacket()->bytes);
  }
  const size_t answered = server.packets();
  const uint64_t cookies = server.stack()->counters().syn_cookies_sent.value();
  EXPECT_EQ(cookies, tcp_syncookies[0] == '0' ? 0u : tcp_syncookies[0] == '1' ? 2u : 3u);
  return answered;
}

TEST(SynCookies, AnswerWhatTheBacklogDoesNotHold) {
  EXPECT_EQ(SynAcks("0"), 1u);
  EXPECT_EQ(SynAcks("1"), 3u);
  EXPECT_EQ(SynAcks("2"), 3u);
}

}  // namespace
}  // namespace luna::tcp::testing
