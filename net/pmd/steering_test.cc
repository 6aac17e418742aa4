#include "luna/net/pmd/steering.h"

#include <poll.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "luna/mem/zbuf/testing/test_slab.h"
#include "luna/mem/zbuf/zbuf.h"
#include "luna/net/pmd/testing/fake_packet_io.h"
#include "luna/net/wire/address.h"
#include "luna/net/wire/arp.h"
#include "luna/net/wire/byte_cursor.h"
#include "luna/net/wire/ethernet.h"
#include "luna/net/wire/icmpv4.h"
#include "luna/net/wire/ipv4.h"
#include "luna/sched/clock/time.h"

namespace luna::pmd {
namespace {

constexpr size_t kQueues = 4;

std::vector<uint8_t> Ethernet(uint16_t type, const std::vector<uint8_t>& payload, bool tagged = false) {
  std::vector<uint8_t> frame;
  frame.reserve(18 + payload.size());
  frame.assign(12, 0x02);
  if (tagged) frame.insert(frame.end(), {0x81, 0x00, 0x00, 0x05});
  frame.push_back(static_cast<uint8_t>(type >> 8));
  frame.push_back(static_cast<uint8_t>(type));
  frame.insert(frame.end(), payload.begin(), payload.end());
  return frame;
}

std::vector<uint8_t> Ipv4(uint8_t protocol, const std::vector<uint8_t>& payload, uint16_t fragment = 0) {
  std::vector<uint8_t> packet(wire::Ipv4Header::kSize);
  packet[0] = 0x45;
  packet[3] = static_cast<uint8_t>(wire::Ipv4Header::kSize + payload.size());
  packet[6] = static_cast<uint8_t>(fragment >> 8);
  packet[7] = static_cast<uint8_t>(fragment);
  packet[9] = protocol;
  packet.insert(packet.end(), payload.begin(), payload.end());
  return packet;
}

std::vector<uint8_t> Ports(uint16_t source, uint16_t destination) {
  std::vector<uint8_t> header(20);
  wire::StoreBe16(header.data(), source);
  wire::StoreBe16(header.data() + 2, destination);
  return header;
}

std::vector<uint8_t> Tcp(uint16_t source, uint16_t destination) {
  return Ipv4(wire::IpProtocol::kTcp, Ports(source, destination));
}

std::vector<uint8_t> IcmpErrorAbout(const std::vector<uint8_t>& packet) {
  std::vector<uint8_t> message(wire::Icmpv4Header::kSize);
  message[0] = wire::Icmpv4Header::kDestinationUnreachable;
  message.insert(message.end(), packet.begin(), packet.begin() + 28);
  return Ipv4(wire::IpProtocol::kIcmp, message);
}

std::vector<uint8_t> Arp(uint16_t operation) {
  std::vector<uint8_t> payload(wire::ArpPacket::kSize);
  payload[1] = 1;  // Ethernet
  payload[2] = 8;  // IPv4
  payload[4] = 6;
  payload[5] = 4;
  payload[7] = static_cast<uint8_t>(operation);
  return payload;
}

class SteeringTest : public ::testing::Test {
 protected:
  // Which queues got how many frames.
  std::map<size_t, size_t> Steer(const std::vector<uint8_t>& frame) {
    io_.Push(frame);
    std::map<size_t, size_t> got;
    for (size_t i = 0; i < kQueues; ++i) {
      std::vector<Packet> out(8);
      const size_t n = device_.queue(i).ReceiveBurst(absl::MakeSpan(out), Time());
      for (size_t k = 0; k < n; ++k) {
        EXPECT_EQ(out[k].bytes(), frame.size());
        EXPECT_EQ(out[k].data.ToString(), std::string(frame.begin(), frame.end()));
      }
      if (n > 0) got[i] = n;
    }
    return got;
  }
  using Queues = std::map<size_t, size_t>;
  // A peer's port whose requests go there.
  uint16_t PortFor(size_t queue) {
    for (uint16_t port = 1000;; ++port) {
      if (Steer(Ethernet(wire::EtherType::kIpv4, Tcp(port, 80))) == Queues{{queue, 1}}) return port;
    }
  }

  zbuf::TestSlab memory_{16u << 20};
  FakePacketIo io_{memory_.slab()};
  const std::unique_ptr<SteeredDevice> steered_ = *SteeredDevice::Create(
      io_, {.queues = kQueues, .client_ranges = SplitRange(61440, 65535, kQueues), .ring_frames = 4});
  SteeredDevice& device_ = *steered_;
};

TEST(SplitRange, CoversEachPortOnce) {
  for (const size_t parts : {1u, 3u, 8u, 4096u}) {
    const std::vector<SteeredRange> ranges = SplitRange(61440, 65535, parts);
    uint32_t next = 61440;
    for (const SteeredRange& range : ranges) {
      EXPECT_EQ(range.first, next);
      EXPECT_GE(range.last, range.first);
      next = range.last + 1u;
    }
    EXPECT_EQ(next, 65536u);
    EXPECT_EQ(ranges.size(), parts);
  }
}

TEST_F(SteeringTest, AnswersGoToTheQueueOfTheirRange) {
  for (size_t i = 0; i < kQueues; ++i) {
    const auto port = static_cast<uint16_t>(61440 + i * 1024);
    EXPECT_EQ(Steer(Ethernet(wire::EtherType::kIpv4, Tcp(80, port))), (Queues{{i, 1}}));
    EXPECT_EQ(Steer(Ethernet(wire::EtherType::kIpv4, Tcp(81, static_cast<uint16_t>(port + 1023)))), (Queues{{i, 1}}));
  }
}

// Also when all ports have one parity, as those of Linux' connections.
TEST_F(SteeringTest, RequestsAreSpreadByThePeersAddressAndPort) {
  for (const uint16_t step : {1, 2, 4}) {
    Queues sum;
    for (int i = 0; i < 400; ++i) {
      const auto port = static_cast<uint16_t>(32768 + i * step);
      const Queues got = Steer(Ethernet(wire::EtherType::kIpv4, Tcp(port, 80)));
      ASSERT_EQ(got.size(), 1u);
      EXPECT_EQ(Steer(Ethernet(wire::EtherType::kIpv4, Tcp(port, 80), true)), got) << "tagged";
      EXPECT_EQ(Steer(Ethernet(wire::EtherType::kIpv4, IcmpErrorAbout(Tcp(80, port)))).begin()->first,
                got.begin()->first)
          << "an error about what we sent there";
      const wire::FourTuple tuple{{wire::Ipv4Address(10, 0, 0, 2), 80}, {wire::Ipv4Address::Any(), port}};
      EXPECT_EQ(device_.QueueOf(tuple), got.begin()->first) << "as it is asked without a frame";
      sum[got.begin()->first] += 1;
    }
    for (size_t i = 0; i < kQueues; ++i) {
      EXPECT_GT(sum[i], 80u) << "queue " << i << ", step " << step;
      EXPECT_LT(sum[i], 120u) << "queue " << i << ", step " << step;
    }
  }
  Queues of_hosts;
  for (uint8_t host = 1; host < 200; ++host) {
    std::vector<uint8_t> segment = Tcp(50000, 80);
    segment[15] = host;  // the last octet of the source's address
    of_hosts[Steer(Ethernet(wire::EtherType::kIpv4, segment)).begin()->first] += 1;
  }
  EXPECT_EQ(of_hosts.size(), kQueues) << "one port of many hosts";
}

TEST_F(SteeringTest, IcmpErrorsGoWhereTheQuotedSegmentCameFrom) {
  EXPECT_EQ(Steer(Ethernet(wire::EtherType::kIpv4, IcmpErrorAbout(Tcp(61440 + 2048, 80)))), (Queues{{2, 1}}));
}

TEST_F(SteeringTest, AListeningPortIsNoClients) {
  const auto to_it = [](uint16_t from) { return Ethernet(wire::EtherType::kIpv4, Tcp(from, 61441)); };
  const uint16_t from = PortFor(3);
  EXPECT_EQ(Steer(to_it(from)), (Queues{{0, 1}})) << "of the first client's range";
  EXPECT_TRUE(device_.IsPortOf(0, 61441));
  EXPECT_FALSE(device_.IsPortOf(1, 61441));
  device_.AddListenPort(61441);
  EXPECT_FALSE(device_.IsPortOf(0, 61441)) << "whose it is depends on the peer";
  EXPECT_EQ(Steer(to_it(from)), (Queues{{3, 1}}));
  EXPECT_EQ(Steer(Ethernet(wire::EtherType::kIpv4, Tcp(from, 61442))), (Queues{{0, 1}}));
}

// Both ways: what comes while a thread makes ready to sleep keeps it awake, what comes later wakes it.
TEST_F(SteeringTest, AThreadThatSleepsIsWoken) {
  const uint16_t from = PortFor(3);
  PacketIo& first = device_.queue(0);
  PacketIo& third = device_.queue(3);
  const auto readable = [](int fd) {
    pollfd p{fd, POLLIN, 0};
    return poll(&p, 1, 0) == 1;
  };
  std::vector<Packet> frames(1), out(8);
  const auto send = [&] {
    frames[0].data = memory_.Chain(std::string(60, 'x'));
    EXPECT_EQ(third.TransmitBurst(absl::MakeSpan(frames)), 1u);
  };
  send();
  EXPECT_FALSE(readable(device_.wake_fd())) << "nobody sleeps";
  EXPECT_FALSE(first.PrepareToSleep()) << "a frame waits";
  first.Reclaim();
  ASSERT_TRUE(first.PrepareToSleep());
  EXPECT_FALSE(readable(device_.wake_fd()));
  send();
  EXPECT_TRUE(readable(device_.wake_fd()));
  first.OnSlept(Duration());
  EXPECT_FALSE(readable(device_.wake_fd()));

  const int fd = third.capabilities().poll_fd;
  const auto receive = [&] {
    io_.Push(Ethernet(wire::EtherType::kIpv4, Tcp(from, 80)));
    EXPECT_EQ(first.ReceiveBurst(absl::MakeSpan(out), Time()), 0u);
  };
  receive();
  EXPECT_FALSE(readable(fd));
  EXPECT_FALSE(third.PrepareToSleep()) << "a frame waits";
  EXPECT_EQ(third.ReceiveBurst(absl::MakeSpan(out), Time()), 1u);
  out[0] = Packet();
  ASSERT_TRUE(third.PrepareToSleep());
  receive();
  EXPECT_TRUE(readable(fd));
  EXPECT_FALSE(readable(device_.queue(1).capabilities().poll_fd)) << "a queue that got nothing";
  third.OnSlept(Duration());
  EXPECT_FALSE(readable(fd));
}

TEST_F(SteeringTest, ArpIsEverybodysAndTheRestIsTheFirstQueues) {
  for (const uint16_t operation : {wire::ArpPacket::kReply, wire::ArpPacket::kRequest}) {
    EXPECT_EQ(Steer(Ethernet(wire::EtherType::kArp, Arp(operation))), (Queues{{0, 1}, {1, 1}, {2, 1}, {3, 1}}));
  }
  EXPECT_EQ(Steer(Ethernet(0x86dd, {1, 2, 3})), (Queues{{0, 1}}));
  EXPECT_EQ(Steer(Ethernet(wire::EtherType::kIpv4, Ipv4(wire::IpProtocol::kTcp, Ports(1001, 80), 5))), (Queues{{0, 1}}))
      << "a later fragment has no ports";
  EXPECT_EQ(Steer({1, 2, 3}), (Queues{{0, 1}}));
  const std::vector<uint8_t> segment = Ethernet(wire::EtherType::kIpv4, Tcp(PortFor(3), 80));
  for (size_t n = 1; n < 14 + 20 + 4; ++n) {
    EXPECT_EQ(Steer({segment.begin(), segment.begin() + static_cast<std::ptrdiff_t>(n)}), (Queues{{0, 1}})) << n;
  }
}

TEST_F(SteeringTest, FramesInSlicesAreSteeredAlike) {
  const uint16_t from = PortFor(3);
  io_.set_receive_slice_bytes(7);
  EXPECT_EQ(Steer(Ethernet(wire::EtherType::kIpv4, Tcp(from, 80))), (Queues{{3, 1}}));
}

TEST_F(SteeringTest, AFullRingDropsAndCounts) {
  const uint16_t from = PortFor(1);
  const uint64_t before = device_.queue(1).stats().rx_packets;
  for (int i = 0; i < 6; ++i) io_.Push(Ethernet(wire::EtherType::kIpv4, Tcp(from, 80)));
  std::vector<Packet> out(8);
  EXPECT_EQ(device_.queue(0).ReceiveBurst(absl::MakeSpan(out), Time()), 0u);
  EXPECT_EQ(device_.queue(1).ReceiveBurst(absl::MakeSpan(out), Time()), 4u);
  EXPECT_EQ(device_.queue(1).stats().rx_dropped, 2u);
  EXPECT_EQ(device_.queue(1).stats().rx_packets - before, 4u);
}

TEST_F(SteeringTest, WhatOthersSendLeavesWithTheFirstQueuesLoopAndAFullRingRefuses) {
  std::vector<Packet> frames(6);
  for (Packet& frame : frames) frame.data = memory_.Chain(std::string(60, 'x'));
  EXPECT_EQ(device_.queue(2).TransmitBurst(absl::MakeSpan(frames)), 4u);
  EXPECT_EQ(device_.queue(2).stats().tx_full, 2u);
  EXPECT_FALSE(frames[4].data.empty()) << "what is refused stays";
  EXPECT_EQ(device_.queue(2).Reclaim(), 4u);
  io_.set_transmit_ring(3);
  EXPECT_EQ(device_.queue(0).Reclaim(), 1u) << "the device is full: one waits";
  EXPECT_EQ(device_.queue(0).Reclaim(), 0u);
  EXPECT_EQ(device_.queue(2).Reclaim(), 0u);
  EXPECT_EQ(io_.stats().tx_packets, 4u);
}

// What the first thread does for the others is work, though neither its bursts nor its own frames show it.
TEST_F(SteeringTest, FramesOfOthersAreCountedAsForwarded) {
  const uint16_t from = PortFor(2);
  PacketIo& first = device_.queue(0);
  first.TakeForwarded();
  for (int i = 0; i < 3; ++i) io_.Push(Ethernet(wire::EtherType::kIpv4, Tcp(from, 80)));
  std::vector<Packet> out(8), frames(2);
  EXPECT_EQ(first.ReceiveBurst(absl::MakeSpan(out), Time()), 0u);
  EXPECT_EQ(first.TakeForwarded(), 3u);
  EXPECT_EQ(first.TakeForwarded(), 0u) << "since it was last asked";
  for (Packet& frame : frames) frame.data = memory_.Chain(std::string(60, 'x'));
  EXPECT_EQ(device_.queue(2).TransmitBurst(absl::MakeSpan(frames)), 2u);
  EXPECT_EQ(device_.queue(2).TakeForwarded(), 0u);
  first.Reclaim();
  EXPECT_EQ(first.TakeForwarded(), 2u);
  first.Reclaim();
  EXPECT_EQ(first.TakeForwarded(), 0u);
}

TEST_F(SteeringTest, TheLinkIsTheDevices) {
  EXPECT_FALSE(device_.queue(1).link_up()) << "not asked yet";
  std::vector<Packet> out(1);
  device_.queue(0).ReceiveBurst(absl::MakeSpan(out), Time());
  EXPECT_TRUE(device_.queue(1).link_up());
}

}  // namespace
}  // namespace luna::pmd
