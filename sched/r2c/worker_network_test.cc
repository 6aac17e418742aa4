// What the network says: ICMP errors that arrive as frames, and the MTU of routes.

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "luna/ctrl/stats/drop_reason.h"
#include "luna/mem/zbuf/testing/test_slab.h"
#include "luna/net/ip/route_table.h"
#include "luna/net/pmd/testing/fake_packet_io.h"
#include "luna/net/wire/icmpv4.h"
#include "luna/net/wire/ipv4.h"
#include "luna/net/wire/testing/frame_builder.h"
#include "luna/sched/clock/testing/fake_clock.h"
#include "luna/sched/r2c/testing/two_hosts.h"
#include "luna/sched/r2c/worker.h"

namespace luna::r2c {
namespace {

using stats::DropReason;
using tcp::CloseReason;
using tcp::Connection;
using tcp::NetworkError;
using wire::Icmpv4Header;
using wire::Ipv4Address;
using wire::Ipv4Header;
using wire::Ipv4Prefix;
using Frame = std::vector<uint8_t>;

constexpr uint16_t kPort = 7;
constexpr Ipv4Prefix kNetworkOfB(Ipv4Address(10, 0, 0, 2), 32);

pmd::Capabilities CapabilitiesOf(const wire::MacAddress& mac) {
  pmd::Capabilities capabilities = pmd::FakePacketIo::DefaultCapabilities();
  capabilities.mac = mac;
  return capabilities;
}

ip::RouteTable Routes(uint32_t mtu) {
  return ip::RouteTable::Builder().Add({.destination = kNetworkOfB, .mtu = mtu}).Build();
}

// `message` to host a, from an address on the way.
Frame IcmpFrame(Frame message) {
  wire::Ipv4Frame frame;
  frame.header.protocol = wire::IpProtocol::kIcmp;
  frame.header.source = Ipv4Address(10, 0, 0, 99);
  frame.header.destination = wire::kClient.address.v4();
  frame.payload = std::move(message);
  frame.source_mac = wire::kServerMac;
  frame.destination_mac = wire::kClientMac;
  return frame.Build();
}

// What a router says of a frame: quotes the IP header and eight octets.
Frame ErrorAbout(const Frame& frame, uint8_t type, uint8_t code, uint16_t mtu = 0) {
  Frame message(Icmpv4Header::kSize);
  message.insert(message.end(), frame.begin() + 14, frame.begin() + 14 + Ipv4Header::kSize + 8);
  wire::Write(Icmpv4Header{.type = type, .code = code, .rest = mtu}, absl::MakeSpan(message));
  return IcmpFrame(std::move(message));
}

// Keeps what happens to it; sends `message` once connected, and closes when the peer does.
class Peer : public Handler {
 public:
  explicit Peer(std::string text = "") : message(std::move(text)) {}
  void OnAccepted(Connection& c) override { connection = &c; }
  void OnConnected(Connection& c) override {
    connection = &c;
    OnWritable(c);
  }
  void OnWritable(Connection& c) override {
    sent +=
        c.Send(absl::MakeConstSpan(reinterpret_cast<const std::byte*>(message.data()), message.size()).subspan(sent));
  }
  void OnReadable(Connection&, zbuf::ZChain data) override { received += data.ToString(); }
  void OnSoftError(Connection& c) override { soft_errors.push_back(c.soft_error()); }
  void OnClosed(Connection& c, CloseReason why) override {
    connection = nullptr;
    reason = why;
    last_error = c.soft_error();
  }

  const std::string message;
  std::string received;
  size_t sent = 0;
  Connection* connection = nullptr;
  std::vector<NetworkError> soft_errors;
  CloseReason reason = CloseReason::kNone;
  NetworkError last_error = NetworkError::kNone;
};

// Two hosts with a router of the test's own between them, which takes datagrams of `mtu` octets from a.
class Network {
 public:
  explicit Network(const tcp::StackConfig& config = {})
      : io_a_(slab_a_.slab(), CapabilitiesOf(wire::kClientMac)),
        io_b_(slab_b_.slab(), CapabilitiesOf(wire::kServerMac)),
        a_(clock_, io_a_, slab_a_.slab(), Ipv4Prefix(wire::kClient.address.v4(), 24), config, {}),
        b_(clock_, io_b_, slab_b_.slab(), Ipv4Prefix(wire::kServer.address.v4(), 24), config, {}) {}

  TestHost& a() { return a_; }
  TestHost& b() { return b_; }
  pmd::FakePacketIo& io_a() { return io_a_; }
  // a connects to a listener of b's; both applications know.
  void Connect(Peer& client, Peer& server) {
    ASSERT_TRUE(b_.worker().Listen({wire::IpAddress(), kPort}, server).ok());
    ASSERT_TRUE(a_.worker().Connect({b_.address(), kPort}, client).ok());
    Run(20);
    ASSERT_NE(client.connection, nullptr);
    ASSERT_NE(server.connection, nullptr);
  }
  // a connects, and what it sends is held.
  void StartConnect(Peer& client) {
    cut = true;
    ASSERT_TRUE(a_.worker().Connect({b_.address(), kPort}, client).ok());
    Run(10);
  }
  void Run(int iterations) {
    for (int i = 0; i < iterations; ++i) {
      a_.worker().RunOnce();
      for (const Frame& frame : io_a_.PopAllSent()) Route(frame);
      b_.worker().RunOnce();
      for (const Frame& frame : io_b_.PopAllSent()) io_a_.Push(frame);
      clock_.Advance(Duration::Microseconds(50));
    }
  }
  void Close(Peer& client, Peer& server) {
    for (Peer* peer : {&client, &server}) {
      if (peer->connection != nullptr) peer->connection->Close();
    }
    Run(100);
  }

  uint32_t mtu = 1500;
  int refused = 0;
  bool cut = false;
  std::vector<Frame> held;  // of a's segments, while cut

 private:
  void Route(const Frame& frame) {
    if (cut && wire::ParseTcpFrame(frame).has_value()) return held.push_back(frame);
    if (frame.size() <= 14 + mtu) return io_b_.Push(frame);
    ++refused;
    io_a_.Push(ErrorAbout(frame, Icmpv4Header::kDestinationUnreachable, Icmpv4Header::kFragmentationNeeded,
                          static_cast<uint16_t>(mtu)));
  }

  FakeClock clock_;
  zbuf::TestSlab slab_a_;
  zbuf::TestSlab slab_b_;
  pmd::FakePacketIo io_a_;
  pmd::FakePacketIo io_b_;
  TestHost a_;
  TestHost b_;
};

TEST(WorkerIcmp, TooBigLowersTheSegmentSizeAndTheTransferCompletes) {
  for (const size_t slice_bytes : {0, 20}) {
    Network network;
    network.io_a().set_receive_slice_bytes(slice_bytes);
    network.mtu = 1280;
    std::string text(300'000, '\0');
    for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * 131 + (i >> 8));
    Peer client(text), server;
    network.Connect(client, server);
    network.Run(400);
    EXPECT_EQ(server.received, text);
    EXPECT_GT(network.refused, 0);
    EXPECT_LT(network.refused, 20);
    EXPECT_EQ(client.connection->sender().mss(), 1280u - 40 - 12);
    EXPECT_TRUE(client.soft_errors.empty());
    network.Close(client, server);
  }
}

// Within one iteration of its arrival, long before the SYN would be sent again.
TEST(WorkerIcmp, AHardErrorEndsAConnect) {
  Network network;
  Peer client;
  network.StartConnect(client);
  ASSERT_EQ(network.held.size(), 1u);
  network.io_a().Push(ErrorAbout(network.held[0], 3, 3));
  network.Run(1);
  EXPECT_EQ(client.reason, CloseReason::kUnreachable);
  EXPECT_EQ(client.last_error, NetworkError::kPortUnreachable);
  EXPECT_TRUE(client.soft_errors.empty());
}

// RFC 1122 §4.2.3.9: unreachable networks and hosts, time exceeded and parameter problems end nothing.
TEST(WorkerIcmp, ASoftErrorIsToldAndTheConnectGoesOn) {
  Network network;
  Peer client, server;
  network.StartConnect(client);
  ASSERT_EQ(network.held.size(), 1u);
  network.io_a().Push(ErrorAbout(network.held[0], 3, 1));
  network.io_a().Push(ErrorAbout(network.held[0], 11, 0));
  network.io_a().Push(ErrorAbout(network.held[0], 12, 0));
  network.io_a().Push(ErrorAbout(network.held[0], 4, 0));  // source quench: not heard (RFC 9293 MUST-55)
  network.Run(1);
  ASSERT_FALSE(client.soft_errors.empty());
  EXPECT_EQ(client.soft_errors.back(), NetworkError::kParameterProblem);
  EXPECT_EQ(client.reason, CloseReason::kNone);
  EXPECT_EQ(network.a().drops().value(DropReason::kIcmpUnsupported), 1u);
  network.cut = false;
  ASSERT_TRUE(network.b().worker().Listen({wire::IpAddress(), kPort}, server).ok());
  network.Run(5000);  // the next SYN
  EXPECT_NE(client.connection, nullptr);
  network.Close(client, server);
}

TEST(WorkerIcmp, WhatIsNoErrorAboutASegmentIsCounted) {
  Network network;
  Peer client;
  network.StartConnect(client);
  ASSERT_EQ(network.held.size(), 1u);
  const auto drops = [&network](DropReason reason) { return network.a().drops().value(reason); };
  const auto push = [&network](const Frame& frame) {
    network.io_a().Push(frame);
    network.Run(1);
  };
  Frame echo(Icmpv4Header::kSize + 56);
  wire::Write(Icmpv4Header{.type = Icmpv4Header::kEchoRequest}, absl::MakeSpan(echo));
  push(IcmpFrame(echo));
  EXPECT_EQ(drops(DropReason::kIcmpUnsupported), 1u);
  Frame broken = ErrorAbout(network.held[0], 3, 3);
  broken.back() ^= 1;
  push(broken);
  EXPECT_EQ(drops(DropReason::kIcmpMalformed), 1u);
  push(IcmpFrame({}));
  push(IcmpFrame({3, 3, 0}));
  EXPECT_EQ(drops(DropReason::kIcmpMalformed), 3u);
  Frame elsewhere = network.held[0];
  elsewhere[14 + Ipv4Header::kSize] ^= 1;  // our port
  push(ErrorAbout(elsewhere, 3, 3));
  EXPECT_EQ(drops(DropReason::kTcpNoConnection), 1u);
  Frame forged = network.held[0];
  forged[14 + Ipv4Header::kSize + 4] ^= 0x80;  // the sequence number
  push(ErrorAbout(forged, 3, 3));
  EXPECT_EQ(drops(DropReason::kTcpIcmpOutOfWindow), 1u);
  // Longer than any error, and in slices.
  Frame longest(4000);
  wire::Write(Icmpv4Header{.type = 3, .code = 3}, absl::MakeSpan(longest));
  network.io_a().set_receive_slice_bytes(1000);
  push(IcmpFrame(longest));
  EXPECT_EQ(drops(DropReason::kIcmpMalformed), 4u);
  EXPECT_EQ(client.reason, CloseReason::kNone);
  EXPECT_EQ(network.held.size(), 1u);  // nothing was answered
}

uint32_t SegmentSize(const Peer& peer) { return peer.connection->sender().mss() + 40 + 12; }

TEST(WorkerRoutes, ConnectionsFollowTheirRoutesMtu) {
  Network network;
  Peer client, server, second;
  network.Connect(client, server);
  EXPECT_EQ(SegmentSize(client), 1500u);
  network.a().PublishRoutes(Routes(1000));
  network.Run(1);
  EXPECT_EQ(SegmentSize(client), 1000u);
  network.a().PublishRoutes(Routes(1400));
  network.Run(1);
  EXPECT_EQ(SegmentSize(client), 1400u);
  EXPECT_EQ(SegmentSize(server), 1500u);
  network.Close(client, server);
}

TEST(WorkerRoutes, NewConnectionsBeginWithTheirRoutesMtu) {
  Network network;
  network.a().PublishRoutes(Routes(1000));
  network.b().PublishRoutes(
      ip::RouteTable::Builder().Add({.destination = Ipv4Prefix(wire::kClient.address.v4(), 32), .mtu = 1100}).Build());
  Peer client(std::string(50'000, 'x')), server;
  network.Connect(client, server);
  network.Run(100);
  EXPECT_EQ(SegmentSize(client), 1000u);
  EXPECT_EQ(SegmentSize(server), 1100u);
  EXPECT_EQ(server.received.size(), 50'000u);
  EXPECT_EQ(network.a().drops().value(DropReason::kIpPacketTooBig), 0u);
  network.Close(client, server);
}

// What was sent before, and the route does not take any more, is sent again at once.
TEST(WorkerRoutes, ASmallerRouteLosesNothing) {
  Network network;
  Peer client(std::string(200'000, 'x')), server;
  network.Connect(client, server);
  network.a().PublishRoutes(Routes(800));
  network.Run(400);
  EXPECT_EQ(server.received.size(), 200'000u);
  network.Close(client, server);
}

// A route that says what it said before does not undo what ICMP taught.
TEST(WorkerRoutes, OtherRoutesLeaveWhatIcmpHasLowered) {
  Network network;
  network.a().PublishRoutes(Routes(1400));
  network.mtu = 1280;
  Peer client(std::string(50'000, 'x')), server;
  network.Connect(client, server);
  network.Run(100);
  EXPECT_EQ(SegmentSize(client), 1280u);
  network.a().PublishRoutes(ip::RouteTable::Builder()
                                .Add({.destination = kNetworkOfB, .mtu = 1400})
                                .AddDefault(Ipv4Address(10, 0, 0, 50))
                                .Build());
  network.Run(1);
  EXPECT_EQ(SegmentSize(client), 1280u);
  network.a().PublishRoutes(Routes(1300));
  network.Run(1);
  EXPECT_EQ(SegmentSize(client), 1300u);
  network.Close(client, server);
}

}  // namespace
}  // namespace luna::r2c
