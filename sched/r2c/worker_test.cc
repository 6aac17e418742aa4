#include "luna/sched/r2c/worker.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "luna/mem/zbuf/testing/test_slab.h"
#include "luna/net/pmd/decorator.h"
#include "luna/net/pmd/testing/fake_packet_io.h"
#include "luna/sched/clock/testing/fake_clock.h"
#include "luna/sched/r2c/testing/two_hosts.h"

namespace luna::r2c {
namespace {

using tcp::CloseReason;
using tcp::Connection;

constexpr uint16_t kPort = 7;

std::string Text(const zbuf::ZChain& data) { return data.ToString(); }

// Keeps what happens to it, in order.
class Recorder : public Handler {
 public:
  void OnAccepted(Connection& c) override { Note("accepted", c); }
  void OnConnected(Connection& c) override { Note("connected", c); }
  void OnReadable(Connection& c, zbuf::ZChain data) override {
    received += Text(data);
    if (calls.empty() || calls.back() != "readable") Note("readable", c);
  }
  void OnWritable(Connection& c) override { Note("writable", c); }
  void OnPeerClosed(Connection& c) override {
    Note("peer closed", c);
    if (close_when_peer_does) c.Close();
  }
  void OnClosed(Connection& c, CloseReason why) override {
    Note(tcp::Name(why), c);
    connection = nullptr;
    ++closed;
  }

  std::vector<std::string> calls;
  std::string received;
  Connection* connection = nullptr;
  int closed = 0;
  bool close_when_peer_does = true;

 private:
  void Note(std::string what, Connection& c) {
    calls.push_back(std::move(what));
    connection = &c;
  }
};

class Echo final : public Recorder {
 public:
  void OnReadable(Connection& c, zbuf::ZChain data) override {
    connection = &c;
    octets += data.bytes();
    ASSERT_EQ(c.Send(std::move(data)), tcp::SendResult::kOk);
    largest_queue = std::max(largest_queue, c.sender().queue().bytes());
  }
  uint64_t octets = 0;
  uint32_t largest_queue = 0;
};

absl::Span<const std::byte> Bytes(const std::string& text) {
  return absl::MakeConstSpan(reinterpret_cast<const std::byte*>(text.data()), text.size());
}

std::string Pattern(size_t size) {
  std::string text(size, '\0');
  for (size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * 131 + (i >> 8));
  return text;
}

// Sends `message` as room allows, then reads until all has come back, then closes.
class Sender final : public Handler {
 public:
  explicit Sender(std::string text) : message(std::move(text)) {}
  void OnConnected(Connection& c) override { Push(c); }
  void OnWritable(Connection& c) override { Push(c); }
  void OnReadable(Connection& c, zbuf::ZChain data) override {
    received += Text(data);
    if (received.size() == message.size()) c.Close();
  }
  void OnClosed(Connection&, CloseReason why) override { reason = why; }

  const std::string message;
  std::string received;
  size_t sent = 0;
  CloseReason reason = CloseReason::kNone;

 private:
  void Push(Connection& c) { sent += c.Send(Bytes(message).subspan(sent)); }
};

TEST(Worker, EchoesAndClosesInOrder) {
  TwoHosts hosts;
  Echo echo;
  Sender client("hello");
  ASSERT_TRUE(hosts.b().worker().Listen({wire::IpAddress(), kPort}, echo).ok());
  ASSERT_TRUE(hosts.a().worker().Connect({hosts.b().address(), kPort}, client).ok());
  ASSERT_TRUE(hosts.RunUntilQuiet(Duration::Seconds(5)));
  EXPECT_EQ(client.received, "hello");
  EXPECT_EQ(client.reason, CloseReason::kNormal);
  EXPECT_EQ(echo.calls, (std::vector<std::string>{"accepted", "peer closed", "closed"}));
}

// Keeps all it gets.
class Hoarder final : public Handler {
 public:
  void OnReadable(Connection&, zbuf::ZChain data) override {
    octets += data.bytes();
    kept.push_back(std::move(data));
  }
  std::vector<zbuf::ZChain> kept;
  uint64_t octets = 0;
};

class Flood final : public Handler {
 public:
  void OnConnected(Connection& c) override { Push(c); }
  void OnWritable(Connection& c) override { Push(c); }
  void OnReadable(Connection&, zbuf::ZChain) override {}
  void OnClosed(Connection&, CloseReason) override { ++closed; }
  int closed = 0;

 private:
  void Push(Connection& c) {
    const std::string text(50'000, 'f');
    while (c.Send(Bytes(text)) == text.size()) {
    }
  }
};

// Each iteration answers for what it did: frames for others count once, also beside frames of one's own.
TEST(Worker, AnIterationThatForwardsIsBusyAndTheNextIsNot) {
  class Forwarding final : public pmd::PacketIoDecorator {
   public:
    using PacketIoDecorator::PacketIoDecorator;
    size_t TakeForwarded() override { return std::exchange(forwarded, 0); }
    size_t forwarded = 0;
  };
  FakeClock clock;
  zbuf::TestSlab memory(8u << 20);
  pmd::FakePacketIo fake(memory.slab());
  Forwarding io(fake);
  TestHost host(clock, io, memory.slab(), wire::Ipv4Prefix(wire::Ipv4Address(10, 0, 0, 9), 24), {}, {});
  for (int i = 0; i < 3; ++i) host.worker().RunOnce();  // the announcement leaves
  io.forwarded = 5;
  EXPECT_TRUE(host.worker().RunOnce());
  EXPECT_FALSE(host.worker().RunOnce());
  io.forwarded = 5;
  fake.Push(std::vector<uint8_t>(60));
  EXPECT_TRUE(host.worker().RunOnce());
  EXPECT_FALSE(host.worker().RunOnce());
}

// The device receives into one worker's slab, and who keeps what it received may be another's application: all of them
// close their windows when that slab is short.
TEST(Worker, ThoseOfOneDeviceHearWhenItsMemoryIsShort) {
  FakeClock clock;
  zbuf::TestSlab devices(8u << 20), others(8u << 20);
  pmd::FakePacketIo io_first(devices.slab()), io_second(others.slab());
  std::atomic<bool> is_short{false};
  WorkerParts shared;
  shared.device_memory_short = &is_short;
  const wire::Ipv4Prefix address(wire::Ipv4Address(10, 0, 0, 9), 24);
  TestHost first(clock, io_first, devices.slab(), address, {}, {}, shared);
  shared.slab_is_devices = false;
  TestHost second(clock, io_second, others.slab(), address, {}, {}, shared);
  const auto turn = [&] {
    for (int i = 0; i < 16; ++i) {
      first.worker().RunOnce();
      second.worker().RunOnce();
    }
  };
  const auto times_short = [](TestHost& host) { return host.stack().counters().memory_short.value(); };
  std::vector<zbuf::ZRef> kept;
  const auto keep_all_of = [&kept](zbuf::Slab& slab) {
    while (std::byte* obj = slab.Alloc(2000)) kept.push_back(zbuf::ZRef::Adopt(obj));
  };
  turn();
  EXPECT_EQ(times_short(first) + times_short(second), 0u);
  keep_all_of(others.slab());
  turn();
  EXPECT_EQ(times_short(first), 0u) << "what the second one has is its own affair";
  EXPECT_EQ(times_short(second), 1u);
  kept.clear();
  turn();
  keep_all_of(devices.slab());
  turn();
  EXPECT_EQ(times_short(first), 1u);
  EXPECT_EQ(times_short(second), 2u);
  kept.clear();
  turn();
  EXPECT_FALSE(is_short);
}

// Memory is not used up but for what the device needs: windows close, nobody gives up, others are served; and all goes
// on when something is freed.
TEST(Worker, WhoKeepsWhatItGetsClosesTheWindow) {
  TwoHostsOptions options{.wire = pmd::WireLinkOptions::Both({.delay = Duration::Microseconds(20)})};
  options.memory_bytes = size_t{64} << 20;
  options.tcp.receive_buffer_bytes = options.tcp.receive_buffer_max_bytes = 64 << 10;  // four fit into what is left
  TwoHosts hosts(options);
  Hoarder hoarder;
  Echo echo;
  Flood flood;
  Sender client("hello");
  ASSERT_TRUE(hosts.b().worker().Listen({wire::IpAddress(), kPort}, hoarder).ok());
  ASSERT_TRUE(hosts.b().worker().Listen({wire::IpAddress(), kPort + 1}, echo).ok());
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(hosts.a().worker().Connect({hosts.b().address(), kPort}, flood).ok());
  hosts.RunUntil([] { return false; }, Duration::Seconds(60));
  const uint64_t first = hoarder.octets;
  EXPECT_GT(first, 16u << 20) << "most of the zones for frames, of 1448 octets in 2304 each";
  EXPECT_GT(hosts.b().stack().counters().memory_short.value(), 0u);
  EXPECT_EQ(hosts.link().b().stats().rx_no_buffer, 0u);
  EXPECT_EQ(hosts.b().slab().Stats().exhausted(), 0u);
  EXPECT_EQ(flood.closed, 0);
  hosts.RunUntil([] { return false; }, Duration::Seconds(600));
  EXPECT_EQ(hoarder.octets, first) << "the window is shut";
  EXPECT_EQ(flood.closed, 0);
  ASSERT_TRUE(hosts.a().worker().Connect({hosts.b().address(), kPort + 1}, client).ok());
  EXPECT_TRUE(hosts.RunUntil([&] { return client.reason != CloseReason::kNone; }, Duration::Seconds(5)));
  EXPECT_EQ(client.received, "hello");
  hoarder.kept.clear();
  EXPECT_TRUE(hosts.RunUntil([&] { return hoarder.octets > first + 1'000'000; }, Duration::Milliseconds(100)))
      << "not only when the peer asks again";
  hoarder.kept.clear();
}

TEST(Worker, OneRequestIsAnsweredWithinOneIteration) {
  TwoHosts hosts;
  Echo echo;
  Recorder client;
  ASSERT_TRUE(hosts.b().worker().Listen({wire::IpAddress(), kPort}, echo).ok());
  ASSERT_TRUE(hosts.a().worker().Connect({hosts.b().address(), kPort}, client).ok());
  ASSERT_TRUE(hosts.RunUntil([&] { return client.connection != nullptr; }, Duration::Seconds(1)));
  ASSERT_TRUE(hosts.RunUntil([&] { return hosts.link().Idle(); }, Duration::Seconds(1)));
  const uint64_t frames_before = hosts.link().b_to_a().stats().sent;
  ASSERT_EQ(client.connection->Send(Bytes("ping")), 4u);
  hosts.a().worker().RunOnce();
  hosts.b().worker().RunOnce();
  // The answer, with the acknowledgement on it, and nothing else.
  EXPECT_EQ(hosts.link().b_to_a().stats().sent, frames_before + 1);
  hosts.a().worker().RunOnce();
  EXPECT_EQ(client.received, "ping");
  client.connection->Close();
  EXPECT_TRUE(hosts.RunUntilQuiet(Duration::Seconds(5)));
}

// The segments of a message that come in one burst are one event, whoever else's come before and behind.
TEST(Worker, WhatComesInARowComesTogether) {
  class Counter final : public Recorder {
   public:
    void OnReadable(Connection& c, zbuf::ZChain data) override {
      pieces.push_back({&c, data.bytes()});
      Recorder::OnReadable(c, std::move(data));
    }
    std::vector<std::pair<Connection*, size_t>> pieces;
  };
  TwoHosts hosts;
  Counter server;
  Recorder first, second;
  ASSERT_TRUE(hosts.b().worker().Listen({wire::IpAddress(), kPort}, server).ok());
  for (Recorder* client : {&first, &second}) {
    ASSERT_TRUE(hosts.a().worker().Connect({hosts.b().address(), kPort}, *client).ok());
    ASSERT_TRUE(hosts.RunUntil([&] { return client->connection != nullptr; }, Duration::Seconds(1)));
  }
  ASSERT_TRUE(hosts.RunUntil([&] { return hosts.link().Idle(); }, Duration::Seconds(1)));
  const std::string message = Pattern(5000);
  ASSERT_EQ(first.connection->Send(Bytes(message)), message.size());
  ASSERT_EQ(second.connection->Send(Bytes(message)), message.size());
  first.connection->ShutdownWrite();
  const uint64_t segments_before = hosts.b().stack().counters().segments_in.value();
  const uint64_t fast_before = hosts.b().stack().counters().fast_path_segments.value();
  hosts.a().worker().RunOnce();
  hosts.b().worker().RunOnce();
  ASSERT_EQ(server.pieces.size(), 2u);
  EXPECT_NE(server.pieces[0].first, server.pieces[1].first);
  for (const auto& [connection, bytes] : server.pieces) EXPECT_EQ(bytes, message.size());
  EXPECT_EQ(server.received, message + message);
  const tcp::StackCounters& counters = hosts.b().stack().counters();
  EXPECT_EQ(counters.segments_in.value() - segments_before, 8u) << "four each";
  EXPECT_EQ(counters.fast_path_segments.value() - fast_before, 2u)
      << "joined before TCP saw them, all but the one with the FIN";
  EXPECT_EQ(server.calls.back(), "readable") << "the FIN is told behind its connection's octets";
  EXPECT_EQ(std::count(server.calls.begin(), server.calls.end(), "peer closed"), 1);
  second.connection->ShutdownWrite();
  EXPECT_TRUE(hosts.RunUntilQuiet(Duration::Seconds(5)));
}

// What lies ahead of a hole is joined, and yet each segment of it is a duplicate acknowledgement: without SACK a sender
// has nothing else to find a loss by.
TEST(Worker, JoinedSegmentsAheadOfAHoleAreCountedOneByOne) {
  uint64_t second = 0;  // of the message's frames: the first run finds out, and loses none
  for (const bool lossy : {false, true}) {
    TwoHostsOptions options;
    options.tcp.sack = false;
    options.tcp.tail_loss_probe = false;
    if (lossy) options.wire.a_to_b.drop_nth = {second};
    TwoHosts hosts(options);
    Recorder server, client;
    ASSERT_TRUE(hosts.b().worker().Listen({wire::IpAddress(), kPort}, server).ok());
    ASSERT_TRUE(hosts.a().worker().Connect({hosts.b().address(), kPort}, client).ok());
    ASSERT_TRUE(hosts.RunUntil([&] { return client.connection != nullptr; }, Duration::Seconds(1)));
    ASSERT_TRUE(hosts.RunUntil([&] { return hosts.link().Idle(); }, Duration::Seconds(1)));
    second = hosts.link().a_to_b().stats().sent + 1;
    const std::string message = Pattern(6 * 1448);
    ASSERT_EQ(client.connection->Send(Bytes(message)), message.size());
    ASSERT_TRUE(hosts.RunUntil([&] { return server.received.size() == message.size(); }, Duration::Seconds(5)));
    EXPECT_EQ(server.received, message);
    const tcp::StackCounters& counters = hosts.a().stack().counters();
    EXPECT_EQ(counters.segments_retransmitted.value(), lossy ? 1u : 0u);
    EXPECT_EQ(counters.timeouts.value(), 0u) << "fast retransmit is enough";
    client.connection->Close();
    EXPECT_TRUE(hosts.RunUntilQuiet(Duration::Seconds(5)));
  }
}

TEST(Worker, SurvivesLossReorderingDuplicationAndCorruption) {
  const char* from_environment = std::getenv("LUNA_TEST_SEED");
  const uint64_t first = from_environment != nullptr ? std::strtoull(from_environment, nullptr, 0) : 1;
  const uint64_t last = from_environment != nullptr ? first : 12;
  for (uint64_t seed = first; seed <= last; ++seed) {
    TwoHostsOptions options;
    options.wire = pmd::WireLinkOptions::Both({.seed = seed,
                                               .loss = 0.03,
                                               .duplicate = 0.02,
                                               .corrupt = 0.02,
                                               .reorder = 0.05,
                                               .delay = Duration::Microseconds(30),
                                               .jitter = Duration::Microseconds(20),
                                               .bits_per_second = 1'000'000'000});
    TwoHosts hosts(options);
    SCOPED_TRACE(hosts.link().Describe());
    SCOPED_TRACE("LUNA_TEST_SEED=" + std::to_string(seed));
    Echo echo;
    Sender client(Pattern(300'000));
    ASSERT_TRUE(hosts.b().worker().Listen({wire::IpAddress(), kPort}, echo, {.hold_reads_while_send_full = true}).ok());
    ASSERT_TRUE(hosts.a().worker().Connect({hosts.b().address(), kPort}, client).ok());
    ASSERT_TRUE(hosts.RunUntilQuiet(Duration::Seconds(60)));
    EXPECT_EQ(client.received, client.message);
    EXPECT_EQ(client.reason, CloseReason::kNormal);
  }
}

// A host without a worker: its application sends as much as it can, and never reads.
class NonReader {
 public:
  NonReader(TwoHosts& hosts, TestHost& host, pmd::PacketIo& io) : hosts_(hosts), host_(host), io_(io) {}

  void Connect(const wire::Endpoint& remote) {
    auto connection = host_.stack().Connect({host_.address(), 0}, remote, nullptr, hosts_.clock().Now());
    ASSERT_TRUE(connection.ok()) << connection.status();
    connection_ = *connection;
  }
  void Step() {
    const Time now = hosts_.clock().Now();
    std::vector<pmd::Packet> packets(64);
    const size_t n = io_.ReceiveBurst(absl::MakeSpan(packets), now);
    std::vector<pmd::Packet> frames;
    for (size_t i = 0; i < n; ++i) {
      ip::Datagram datagram;
      const auto verdict = host_.ingress().Accept(std::move(packets[i]), &datagram);
      if (verdict == ip::Ingress::Verdict::kArp) host_.arp().Accept(std::move(datagram.packet), now, frames);
      if (verdict == ip::Ingress::Verdict::kDatagram) (void)host_.stack().Ingest(std::move(datagram), now);
    }
    while (host_.stack().NextEvent(now)) {
    }
    if (connection_ != nullptr && tcp::CanSend(connection_->state())) sent_ += connection_->Send(Bytes(block_));
    ip::OutBatch batch;
    host_.stack().Flush(now, 256, &batch);
    host_.egress().Encapsulate(batch, now, frames);
    host_.egress().Poll(now, frames);
    io_.TransmitBurst(absl::MakeSpan(frames));
    io_.Reclaim();
  }
  Connection* connection_ = nullptr;
  size_t sent_ = 0;

 private:
  TwoHosts& hosts_;
  TestHost& host_;
  pmd::PacketIo& io_;
  const std::string block_ = Pattern(8192);
};

TEST(Worker, HeldReadsBoundAnEchoWhosePeerDoesNotRead) {
  TwoHostsOptions options;
  options.tcp.send_buffer_bytes = 32 * 1024;
  options.tcp.receive_buffer_bytes = 32 * 1024;
  TwoHosts hosts(options);
  Echo echo;
  ASSERT_TRUE(hosts.b().worker().Listen({wire::IpAddress(), kPort}, echo, {.hold_reads_while_send_full = true}).ok());
  NonReader client(hosts, hosts.a(), hosts.link().a());
  client.Connect({hosts.b().address(), kPort});
  for (int i = 0; i < 20'000; ++i) {
    hosts.link().Advance(hosts.clock().Now());
    client.Step();
    hosts.b().worker().RunOnce();
    hosts.clock().Advance(Duration::Microseconds(20));
  }
  EXPECT_GT(hosts.b().worker().counters().reads_held.value(), 0u);
  // The limit, plus one delivery: what a full receive buffer may hold.
  EXPECT_LE(echo.largest_queue, 64u * 1024);
  // Two buffers at each end and nothing anywhere else: the sender has been stopped.
  EXPECT_LE(client.sent_, 5u * 32 * 1024);
  EXPECT_EQ(client.connection_->send_space(), 0u);
  client.connection_->Abort();
  client.connection_ = nullptr;
  client.Step();
  hosts.b().worker().RunOnce();
  EXPECT_EQ(echo.calls.back(), "reset by peer");
}

TEST(Worker, HeldReadsAreDeliveredBeforeThePeersFin) {
  TwoHostsOptions options;
  options.tcp.send_buffer_bytes = 16 * 1024;
  TwoHosts hosts(options);
  // Sends, half-closes at once, and reads all the while.
  class Burst final : public Handler {
   public:
    void OnConnected(Connection& c) override { Push(c); }
    void OnWritable(Connection& c) override { Push(c); }
    void OnReadable(Connection&, zbuf::ZChain data) override { received += Text(data); }
    void OnPeerClosed(Connection& c) override { c.Close(); }
    void OnClosed(Connection&, CloseReason why) override { reason = why; }
    void Push(Connection& c) {
      sent += c.Send(Bytes(message).subspan(sent));
      if (sent == message.size()) c.ShutdownWrite();
    }
    const std::string message = Pattern(200'000);
    std::string received;
    size_t sent = 0;
    CloseReason reason = CloseReason::kNone;
  } client;
  Echo echo;
  ASSERT_TRUE(hosts.b().worker().Listen({wire::IpAddress(), kPort}, echo, {.hold_reads_while_send_full = true}).ok());
  ASSERT_TRUE(hosts.a().worker().Connect({hosts.b().address(), kPort}, client).ok());
  ASSERT_TRUE(hosts.RunUntilQuiet(Duration::Seconds(30)));
  EXPECT_EQ(client.received, client.message);
  EXPECT_EQ(client.reason, CloseReason::kNormal);
  EXPECT_EQ(std::count(echo.calls.begin(), echo.calls.end(), "peer closed"), 1);
}

TEST(Worker, RefusedAndUnreachable) {
  TwoHosts hosts;
  Recorder client;
  ASSERT_TRUE(hosts.a().worker().Connect({hosts.b().address(), 9}, client).ok());
  ASSERT_TRUE(hosts.RunUntil([&] { return client.closed == 1; }, Duration::Seconds(1)));
  EXPECT_EQ(client.calls, std::vector<std::string>{"refused"});

  // Nobody has this address: ARP gives up on the frames, TCP on the connection.
  ASSERT_TRUE(hosts.a().worker().Connect({wire::Ipv4Address(10, 0, 0, 77), 9}, client).ok());
  ASSERT_TRUE(hosts.RunUntil([&] { return client.closed == 2; }, Duration::Seconds(60)));
  EXPECT_EQ(client.calls.back(), "timed out");
  EXPECT_GT(hosts.a().drops().value(stats::DropReason::kNeighbourUnresolved), 0u);

  const auto no_route = hosts.a().worker().Connect({wire::Ipv4Address(192, 0, 2, 1), 9}, client);
  EXPECT_EQ(no_route.status().code(), absl::StatusCode::kNotFound) << no_route.status();
}

TEST(Worker, PeerVanishes) {
  TwoHosts hosts;
  Echo echo;
  Recorder client;
  ASSERT_TRUE(hosts.b().worker().Listen({wire::IpAddress(), kPort}, echo).ok());
  ASSERT_TRUE(hosts.a().worker().Connect({hosts.b().address(), kPort}, client).ok());
  ASSERT_TRUE(hosts.RunUntil([&] { return client.connection != nullptr; }, Duration::Seconds(1)));
  hosts.link().SetUp(false);
  ASSERT_EQ(client.connection->Send(Bytes("anybody?")), 8u);
  ASSERT_TRUE(hosts.RunUntil([&] { return client.closed == 1; }, Duration::Seconds(60)));
  EXPECT_EQ(client.calls.back(), "timed out");
}

// A clock that moves whenever somebody looks: Drain() runs one host alone until its time is over.
class RunningClock final : public Clock {
 public:
  Time Now() override {
    now_ += Duration::Microseconds(100);
    return now_;
  }

 private:
  Time now_ = Time::FromNanoseconds(1'000'000'000);
};

TEST(Worker, StopListeningRefusesNewConnectionsAndKeepsTheOld) {
  TwoHosts hosts;
  Echo echo;
  Recorder client;
  Recorder late;
  ASSERT_TRUE(hosts.b().worker().Listen({wire::IpAddress(), kPort}, echo).ok());
  ASSERT_TRUE(hosts.a().worker().Connect({hosts.b().address(), kPort}, client).ok());
  ASSERT_TRUE(hosts.RunUntil([&] { return client.connection != nullptr; }, Duration::Seconds(1)));
  hosts.b().worker().StopListening();
  ASSERT_TRUE(hosts.a().worker().Connect({hosts.b().address(), kPort}, late).ok());
  ASSERT_TRUE(hosts.RunUntil([&] { return late.closed == 1; }, Duration::Seconds(1)));
  EXPECT_EQ(late.calls, std::vector<std::string>{"refused"});
  ASSERT_EQ(client.connection->Send(Bytes("still here")), 10u);
  ASSERT_TRUE(hosts.RunUntil([&] { return client.received == "still here"; }, Duration::Seconds(1)));
  client.connection->Close();
  EXPECT_TRUE(hosts.RunUntilQuiet(Duration::Seconds(5)));
}

TEST(Worker, AnnouncesItsAddressWheneverTheLinkComesUp) {
  TwoHosts hosts;
  hosts.RunUntil([] { return false; }, Duration::Milliseconds(1));
  EXPECT_EQ(hosts.link().a_to_b().stats().sent, 1u);  // one gratuitous ARP
  hosts.link().SetUp(false);
  hosts.a().worker().RunOnce();
  hosts.link().SetUp(true);
  hosts.a().worker().RunOnce();
  EXPECT_EQ(hosts.link().a_to_b().stats().sent, 2u);
  EXPECT_EQ(hosts.b().arp().stats().conflicts, 0u);
}

TEST(Worker, DrainResetsAPeerThatDoesNotAnswer) {
  RunningClock clock;
  zbuf::TestSlab slab_a, slab_b;
  pmd::WireLink link(slab_a.slab(), slab_b.slab());
  TestHost host(clock, link.a(), slab_a.slab(), wire::Ipv4Prefix(wire::Ipv4Address(10, 0, 0, 1), 24), {}, {});
  Recorder client;
  // SYN-SENT only: nobody is at the other end. A connection that is not established is closed without a reset.
  ASSERT_TRUE(host.worker().Connect({wire::Ipv4Address(10, 0, 0, 2), kPort}, client).ok());
  host.worker().RunOnce();
  EXPECT_EQ(host.worker().Drain(Duration::Milliseconds(5)), 0u);
  EXPECT_EQ(client.calls, std::vector<std::string>{"closed"});
  EXPECT_EQ(host.stack().connections(), 0u);
}

TEST(Worker, DrainSendsWhatIsQueuedAndClosesBothSides) {
  RunningClock clock;
  zbuf::TestSlab slab_a, slab_b;
  pmd::WireLink link(slab_a.slab(), slab_b.slab());
  TestHost a(clock, link.a(), slab_a.slab(), wire::Ipv4Prefix(wire::Ipv4Address(10, 0, 0, 1), 24), {}, {});
  TestHost b(clock, link.b(), slab_b.slab(), wire::Ipv4Prefix(wire::Ipv4Address(10, 0, 0, 2), 24), {}, {});
  Recorder server;
  server.close_when_peer_does = false;
  Recorder client;
  ASSERT_TRUE(b.worker().Listen({wire::IpAddress(), kPort}, server).ok());
  ASSERT_TRUE(a.worker().Connect({b.address(), kPort}, client).ok());
  for (int i = 0; i < 20; ++i) {
    a.worker().RunOnce();
    b.worker().RunOnce();
  }
  ASSERT_NE(client.connection, nullptr);
  ASSERT_EQ(client.connection->Send(Bytes("last words")), 10u);
  // Alone, a cannot finish the close: b is not run. Its octets and its FIN are on the wire all the same; then the RST.
  EXPECT_EQ(a.worker().Drain(Duration::Milliseconds(20)), 1u);
  EXPECT_EQ(client.calls.back(), "aborted");
  for (int i = 0; i < 20; ++i) b.worker().RunOnce();
  EXPECT_EQ(server.received, "last words");
  EXPECT_EQ(server.closed, 1);
  EXPECT_EQ(a.stack().connections() + b.stack().connections(), 0u);
}

TEST(Worker, AppTimersFireInOrderAndOnlyOnce) {
  TwoHosts hosts;
  struct Tick : AppTimer {
    Tick(std::vector<int>* log, int id) : log(log), id(id) {}
    void OnTimer(Time) override { log->push_back(id); }
    std::vector<int>* log;
    int id;
  };
  std::vector<int> log;
  Tick late(&log, 2), early(&log, 1), cancelled(&log, 3);
  Worker& worker = hosts.a().worker();
  worker.Arm(late, worker.now() + Duration::Milliseconds(2));
  worker.Arm(early, worker.now() + Duration::Milliseconds(1));
  worker.Arm(cancelled, worker.now() + Duration::Milliseconds(1));
  worker.Cancel(cancelled);
  hosts.RunUntil([] { return false; }, Duration::Milliseconds(10));
  EXPECT_EQ(log, (std::vector<int>{1, 2}));
}

TEST(Worker, TransmitBacklogStopsTcpNotTheLoop) {
  TwoHostsOptions options;
  options.wire.a_to_b.bits_per_second = 100'000'000;
  options.wire.a_to_b.ring_frames = 4;
  options.worker.transmit_backlog = 8;
  TwoHosts hosts(options);
  Echo echo;
  Sender client(Pattern(400'000));
  ASSERT_TRUE(hosts.b().worker().Listen({wire::IpAddress(), kPort}, echo, {.hold_reads_while_send_full = true}).ok());
  ASSERT_TRUE(hosts.a().worker().Connect({hosts.b().address(), kPort}, client).ok());
  ASSERT_TRUE(hosts.RunUntilQuiet(Duration::Seconds(60)));
  EXPECT_EQ(client.received, client.message);
}

TEST(Worker, SmallMemoryDelaysButDoesNotLose) {
  TwoHostsOptions options;
  options.memory_bytes = 8u << 20;  // a zone or two per class: 800 receive objs at most
  options.tcp.receive_buffer_bytes = 4u << 20;
  options.tcp.send_buffer_bytes = 4u << 20;
  TwoHosts hosts(options);
  Echo echo;
  Sender client(Pattern(3'000'000));
  ASSERT_TRUE(hosts.b().worker().Listen({wire::IpAddress(), kPort}, echo, {.hold_reads_while_send_full = true}).ok());
  ASSERT_TRUE(hosts.a().worker().Connect({hosts.b().address(), kPort}, client).ok());
  ASSERT_TRUE(hosts.RunUntilQuiet(Duration::Seconds(120)));
  EXPECT_EQ(client.received, client.message);
}

TEST(Worker, ListenTwiceOnAPortIsRefused) {
  TwoHosts hosts;
  Echo echo;
  ASSERT_TRUE(hosts.b().worker().Listen({wire::IpAddress(), kPort}, echo).ok());
  EXPECT_EQ(hosts.b().worker().Listen({wire::IpAddress(), kPort}, echo).code(), absl::StatusCode::kAlreadyExists);
}

}  // namespace
}  // namespace luna::r2c
