#include "luna/net/pmd/vlan_io.h"

#include <array>
#include <cstring>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "luna/ctrl/stats/drop_reason.h"
#include "luna/mem/zbuf/testing/test_slab.h"
#include "luna/net/pmd/packet_util.h"
#include "luna/net/pmd/testing/fake_packet_io.h"
#include "luna/net/wire/testing/frame_builder.h"

namespace luna::pmd {
namespace {

using stats::DropReason;
using wire::TcpFrame;

constexpr VlanOptions kOurs{.id = 5, .priority = 3};
constexpr uint16_t kOurTci = 3 << 13 | 5;

std::vector<uint8_t> Frame(absl::optional<uint16_t> tci, size_t payload = 100) {
  return TcpFrame{.payload = wire::Pattern(payload), .vlan = tci}.Build();
}

class VlanIoTest : public testing::Test {
 protected:
  std::vector<std::vector<uint8_t>> Receive() {
    std::array<Packet, 8> out;
    const size_t n = io_.ReceiveBurst(absl::MakeSpan(out), Time());
    std::vector<std::vector<uint8_t>> frames;
    for (size_t i = 0; i < out.size(); ++i) {
      EXPECT_EQ(out[i].data.empty(), i >= n) << "the frames are in front, and nothing behind them";
      if (i < n) frames.push_back(ToBytes(out[i]));
    }
    return frames;
  }
  uint64_t strangers() const { return drops_.value(DropReason::kOtherVlan); }

  zbuf::TestSlab memory_;
  FakePacketIo device_{memory_.slab()};
  stats::DropCounters drops_;
  VlanIo io_{device_, kOurs, memory_.slab(), drops_};
};

TEST_F(VlanIoTest, TakesOnlyWhatIsOfTheVlanAndUntagsIt) {
  device_.Push(Frame(5, 1));
  device_.Push(Frame(absl::nullopt, 2));
  device_.Push(Frame(7 << 13 | 5, 3));  // another priority
  device_.Push(Frame(6, 4));
  device_.Push(Frame(7 << 13, 5));  // a priority alone
  device_.Push(Frame(5, 6));
  device_.Push(std::vector<uint8_t>(17, 0x81));  // too short for a tag and a type
  EXPECT_EQ(Receive(), (std::vector{Frame(absl::nullopt, 1), Frame(absl::nullopt, 3), Frame(absl::nullopt, 6)}));
  EXPECT_EQ(strangers(), 4u);
}

TEST_F(VlanIoTest, TheDevicesWordCountsWhenItTookTheTagOff) {
  device_.Push(Frame(absl::nullopt, 1), {.vlan_tci = 1 << 13 | 5});
  device_.Push(Frame(absl::nullopt, 2), {.vlan_tci = 6});
  device_.Push(Frame(5, 3), {.vlan_tci = 5});  // one more tag inside: as it is
  EXPECT_EQ(Receive(), (std::vector{Frame(absl::nullopt, 1), Frame(5, 3)}));
  EXPECT_EQ(strangers(), 1u);
}

TEST_F(VlanIoTest, ATagInAnySlices) {
  for (const size_t slice : {1, 6, 12, 13, 15, 16, 17, 18}) {
    device_.set_receive_slice_bytes(slice);
    device_.Push(Frame(5));
    EXPECT_EQ(Receive(), (std::vector<std::vector<uint8_t>>{Frame(absl::nullopt)})) << slice;
  }
}

TEST_F(VlanIoTest, TagsWhatIsSent) {
  std::array<Packet, 2> packets = {*MakePacket(memory_.slab(), absl::MakeConstSpan(Frame(absl::nullopt))),
                                   *MakePacket(memory_.slab(), absl::MakeConstSpan(Frame(absl::nullopt)))};
  packets[1].tx = {.ip_checksum = true, .l4_checksum = true, .l2_bytes = 14, .l3_bytes = 20, .l4_bytes = 20};
  EXPECT_EQ(io_.TransmitBurst(absl::MakeSpan(packets)), 2u);
  const auto first = device_.PopSent(), second = device_.PopSent();
  EXPECT_EQ(first->bytes, Frame(kOurTci));
  EXPECT_EQ(first->tx.l2_bytes, 0);
  EXPECT_EQ(second->bytes, Frame(kOurTci));
  EXPECT_EQ(second->tx.l2_bytes, 18) << "the device finds the headers";
  EXPECT_EQ(second->tx.vlan_tci, 0);
}

// What the device refuses is given to it again: with one tag, not two.
TEST_F(VlanIoTest, WhatIsRefusedIsAsItWas) {
  device_.set_transmit_ring(1);
  std::vector<Packet> packets;
  for (size_t i = 0; i < 3; ++i) {
    packets.push_back(*MakePacket(memory_.slab(), absl::MakeConstSpan(Frame(absl::nullopt, i))));
    packets.back().tx = {.l4_checksum = true, .l2_bytes = 14, .l3_bytes = 20, .l4_bytes = 20};
  }
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(io_.TransmitBurst(absl::MakeSpan(packets).subspan(i)), 1u);
    for (size_t j = i + 1; j < 3; ++j) {
      EXPECT_EQ(ToBytes(packets[j]), Frame(absl::nullopt, j));
      EXPECT_EQ(packets[j].tx.l2_bytes, 14);
    }
    EXPECT_EQ(device_.PopSent()->bytes, Frame(kOurTci, i));
    io_.Reclaim();
  }
}

TEST_F(VlanIoTest, ADeviceThatCanInsertsTheTag) {
  device_.mutable_capabilities().tx_vlan_insert = true;
  VlanIo io(device_, kOurs, memory_.slab(), drops_);
  device_.set_transmit_ring(1);
  std::array<Packet, 2> packets = {*MakePacket(memory_.slab(), absl::MakeConstSpan(Frame(absl::nullopt))),
                                   *MakePacket(memory_.slab(), absl::MakeConstSpan(Frame(absl::nullopt)))};
  EXPECT_EQ(io.TransmitBurst(absl::MakeSpan(packets)), 1u);
  const auto sent = device_.PopSent();
  EXPECT_EQ(sent->bytes, Frame(absl::nullopt));
  EXPECT_EQ(sent->tx.vlan_tci, kOurTci);
  EXPECT_EQ(packets[1].tx.vlan_tci, 0);
  EXPECT_EQ(ToBytes(packets[1]), Frame(absl::nullopt));
}

TEST_F(VlanIoTest, OffersWhatTheDeviceOffersButForTags) {
  device_.mutable_capabilities().tx_vlan_insert = device_.mutable_capabilities().rx_vlan_strip = true;
  device_.mutable_capabilities().tx_tso = true;
  const VlanIo io(device_, kOurs, memory_.slab(), drops_);
  EXPECT_FALSE(io.capabilities().tx_vlan_insert || io.capabilities().rx_vlan_strip);
  EXPECT_TRUE(io.capabilities().tx_tso);
  EXPECT_EQ(io.capabilities().mtu, 1500u) << "a tag is not part of the datagram";
}

TEST_F(VlanIoTest, WithoutMemoryATagAcrossSlicesIsNotFound) {
  std::vector<std::byte*> all;
  device_.set_receive_slice_bytes(13);
  device_.Push(Frame(5));
  std::array<Packet, 1> out;
  ASSERT_EQ(device_.ReceiveBurst(absl::MakeSpan(out), Time()), 1u);
  device_.PushPacket(std::move(out[0]));
  for (const size_t bytes : {64, 128, 256, 512, 1024, 2048, 4096}) {
    while (std::byte* obj = memory_.slab().Alloc(bytes)) all.push_back(obj);
  }
  EXPECT_TRUE(Receive().empty());
  for (std::byte* obj : all) memory_.slab().Free(obj);
}

TEST(VlanIoDeathTest, IdsThatNoFrameMayHave) {
  zbuf::TestSlab memory;
  FakePacketIo device(memory.slab());
  stats::DropCounters drops;
  for (const uint16_t id : {0, 4095}) {
    EXPECT_DEATH(VlanIo(device, {.id = id}, memory.slab(), drops), "VLAN id");
  }
}

}  // namespace
}  // namespace luna::pmd
