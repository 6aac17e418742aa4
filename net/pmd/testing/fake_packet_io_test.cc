#include "luna/net/pmd/testing/fake_packet_io.h"

#include <array>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "luna/mem/zbuf/testing/test_slab.h"
#include "luna/net/pmd/packet_util.h"

namespace luna::pmd {
namespace {

constexpr Time kNow = Time::FromNanoseconds(5'000);

std::vector<uint8_t> Frame(size_t size, uint8_t first) {
  std::vector<uint8_t> frame(size);
  for (size_t i = 0; i < size; ++i) frame[i] = static_cast<uint8_t>(first + i);
  return frame;
}

class FakePacketIoTest : public testing::Test {
 protected:
  Packet Make(size_t size, uint8_t first) {
    return std::move(MakePacket(memory_.slab(), absl::MakeConstSpan(Frame(size, first)))).value();
  }

  zbuf::TestSlab memory_;
  FakePacketIo io_{memory_.slab()};
  std::array<Packet, 8> out_;
};

TEST_F(FakePacketIoTest, ReceivesWhatWasPushedInOrderWithItsFacts) {
  io_.Push(Frame(60, 1), {.rss_hash = 7, .ip_checksum = ChecksumStatus::kGood, .l4_checksum = ChecksumStatus::kBad});
  io_.Push(Frame(1514, 2));
  ASSERT_EQ(io_.ReceiveBurst(absl::MakeSpan(out_), kNow), 2u);
  EXPECT_EQ(ToBytes(out_[0]), Frame(60, 1));
  EXPECT_EQ(ToBytes(out_[1]), Frame(1514, 2));
  EXPECT_EQ(out_[0].rx.arrival, kNow);
  EXPECT_EQ(out_[0].rx.rss_hash, 7u);
  EXPECT_EQ(out_[0].rx.ip_checksum, ChecksumStatus::kGood);
  EXPECT_EQ(out_[0].rx.l4_checksum, ChecksumStatus::kBad);
  EXPECT_EQ(out_[1].rx.l4_checksum, ChecksumStatus::kUnknown);
  EXPECT_EQ(io_.stats().rx_packets, 2u);
  EXPECT_EQ(io_.stats().rx_bytes, 1574u);
  EXPECT_EQ(io_.stats().bytes_copied_rx, 1574u);
  EXPECT_EQ(io_.ReceiveBurst(absl::MakeSpan(out_).subspan(2), kNow), 0u);
}

TEST_F(FakePacketIoTest, ReceiveBudgetAndSpanLimitABurst) {
  for (int i = 0; i < 12; ++i) io_.Push(Frame(60, 0));
  EXPECT_EQ(io_.ReceiveBurst(absl::MakeSpan(out_), kNow), 8u);
  io_.set_receive_budget(3);
  out_ = {};
  EXPECT_EQ(io_.ReceiveBurst(absl::MakeSpan(out_), kNow), 3u);
  EXPECT_EQ(io_.pending(), 1u);
}

TEST_F(FakePacketIoTest, ReceiveSlicesCutFrames) {
  io_.set_receive_slice_bytes(100);
  io_.Push(Frame(250, 3));
  ASSERT_EQ(io_.ReceiveBurst(absl::MakeSpan(out_), kNow), 1u);
  ASSERT_EQ(out_[0].data.slice_count(), 3u);
  EXPECT_EQ(out_[0].data.back().size(), 50u);
  EXPECT_EQ(ToBytes(out_[0]), Frame(250, 3));
}

TEST_F(FakePacketIoTest, PushedPacketsAreHandedOnAsTheyAre) {
  Packet packet;
  packet.data = memory_.ChainOfSlices("some frame in slices", 6);
  packet.rx.rss_hash = 9;
  const std::byte* address = packet.data.front().data();
  io_.PushPacket(std::move(packet));
  ASSERT_EQ(io_.ReceiveBurst(absl::MakeSpan(out_), kNow), 1u);
  EXPECT_EQ(out_[0].data.front().data(), address);
  EXPECT_EQ(out_[0].data.slice_count(), 4u);
  EXPECT_EQ(out_[0].rx.rss_hash, 9u);
  EXPECT_EQ(out_[0].rx.arrival, kNow);
  EXPECT_EQ(io_.stats().bytes_copied_rx, 0u);
}

TEST_F(FakePacketIoTest, AnExhaustedSlabLosesFramesAndCountsThem) {
  std::vector<std::byte*> taken;
  while (std::byte* obj = memory_.slab().Alloc(1600)) taken.push_back(obj);
  io_.Push(Frame(1514, 0));
  EXPECT_EQ(io_.ReceiveBurst(absl::MakeSpan(out_), kNow), 0u);
  EXPECT_EQ(io_.stats().rx_no_buffer, 1u);
  EXPECT_EQ(io_.stats().rx_dropped, 1u);
  EXPECT_EQ(io_.pending(), 0u);
  memory_.slab().FreeBulk(taken);
  io_.Push(Frame(1514, 0));
  EXPECT_EQ(io_.ReceiveBurst(absl::MakeSpan(out_), kNow), 1u);
}

TEST_F(FakePacketIoTest, SentFramesArePoppedOldestFirst) {
  std::array<Packet, 2> packets = {Make(60, 1), Make(70, 2)};
  packets[1].tx.l4_checksum = true;
  packets[1].tx.l4_bytes = 20;
  EXPECT_EQ(io_.TransmitBurst(absl::MakeSpan(packets)), 2u);
  EXPECT_TRUE(packets[0].data.empty());
  EXPECT_TRUE(packets[1].data.empty());
  EXPECT_EQ(memory_.outstanding(), 0u);
  ASSERT_EQ(io_.sent_count(), 2u);
  EXPECT_EQ(io_.PopSent()->bytes, Frame(60, 1));
  const SentFrame second = *io_.PopSent();
  EXPECT_EQ(second.bytes, Frame(70, 2));
  EXPECT_TRUE(second.tx.l4_checksum);
  EXPECT_EQ(second.tx.l4_bytes, 20);
  EXPECT_FALSE(io_.PopSent().has_value());
  EXPECT_EQ(io_.stats().tx_packets, 2u);
  EXPECT_EQ(io_.stats().tx_bytes, 130u);
}

TEST_F(FakePacketIoTest, AFullRingRefusesUntilReclaim) {
  io_.set_transmit_ring(2);
  std::array<Packet, 3> packets = {Make(60, 1), Make(60, 2), Make(60, 3)};
  EXPECT_EQ(io_.TransmitBurst(absl::MakeSpan(packets)), 2u);
  EXPECT_EQ(ToBytes(packets[2]), Frame(60, 3));
  EXPECT_EQ(io_.stats().tx_full, 1u);
  EXPECT_EQ(io_.TransmitBurst(absl::MakeSpan(packets).subspan(2)), 0u);
  EXPECT_EQ(io_.Reclaim(), 0u);
  EXPECT_EQ(io_.TransmitBurst(absl::MakeSpan(packets).subspan(2)), 1u);
  EXPECT_EQ(io_.PopAllSent().size(), 3u);
  EXPECT_EQ(io_.reclaim_calls(), 1u);
}

TEST_F(FakePacketIoTest, HeldFramesKeepTheirReferencesUntilCompleted) {
  io_.set_hold_transmits(true);
  io_.set_transmit_ring(2);
  std::array<Packet, 3> packets = {Make(60, 1), Make(60, 2), Make(60, 3)};
  std::byte* first = packets[0].data.front().data();
  EXPECT_EQ(io_.TransmitBurst(absl::MakeSpan(packets)), 2u);
  EXPECT_EQ(io_.sent_count(), 0u);
  EXPECT_EQ(memory_.outstanding(), 3u);
  EXPECT_EQ(io_.Reclaim(), 2u);
  EXPECT_EQ(io_.TransmitBurst(absl::MakeSpan(packets).subspan(2)), 0u);  // Reclaim does not complete them
  first[0] = std::byte{0xee};
  io_.CompleteTransmits(1);
  EXPECT_EQ(io_.Reclaim(), 1u);
  EXPECT_EQ(io_.PopSent()->bytes[0], 0xee);  // as on a NIC, which reads the obj when it sends
  EXPECT_EQ(io_.TransmitBurst(absl::MakeSpan(packets).subspan(2)), 1u);
  io_.CompleteTransmits();
  EXPECT_EQ(io_.Reclaim(), 0u);
  EXPECT_EQ(memory_.outstanding(), 0u);
}

TEST_F(FakePacketIoTest, LongChainsAreLinearisedAndCounted) {
  io_.mutable_capabilities().max_tx_segments = 2;
  std::array<Packet, 2> packets;
  packets[0].data = memory_.ChainOfSlices(std::string(90, 'x'), 30);
  packets[1].data = memory_.ChainOfSlices(std::string(60, 'y'), 30);
  EXPECT_EQ(io_.TransmitBurst(absl::MakeSpan(packets)), 2u);
  EXPECT_EQ(io_.stats().tx_linearised, 1u);
  EXPECT_EQ(io_.stats().bytes_copied_tx, 90u);
  EXPECT_EQ(io_.PopSent()->slice_count, 3u);
  EXPECT_EQ(io_.PopSent()->slice_count, 2u);
}

TEST_F(FakePacketIoTest, WhatCanNeverBeSentIsDroppedAndCountedAsTaken) {
  std::array<Packet, 2> packets = {Make(MaxFrameBytes(1500) + 1, 1), Make(MaxFrameBytes(1500), 2)};
  EXPECT_EQ(io_.TransmitBurst(absl::MakeSpan(packets)), 2u);
  EXPECT_EQ(io_.stats().tx_dropped, 1u);
  EXPECT_EQ(io_.sent_count(), 1u);
  std::array<Packet, 1> segmented = {Make(9000, 1)};
  segmented[0].tx.tso_segment_bytes = 1448;  // the device cuts it
  EXPECT_EQ(io_.TransmitBurst(absl::MakeSpan(segmented)), 1u);
  EXPECT_EQ(io_.stats().tx_dropped, 1u);
  EXPECT_EQ(memory_.outstanding(), 0u);
}

TEST_F(FakePacketIoTest, ALinkThatIsDownNeitherReceivesNorSends) {
  io_.Push(Frame(60, 1));
  io_.set_link_up(false);
  EXPECT_FALSE(io_.link_up());
  EXPECT_EQ(io_.ReceiveBurst(absl::MakeSpan(out_), kNow), 0u);
  std::array<Packet, 1> packets = {Make(60, 1)};
  EXPECT_EQ(io_.TransmitBurst(absl::MakeSpan(packets)), 0u);
  io_.set_link_up(true);
  EXPECT_EQ(io_.ReceiveBurst(absl::MakeSpan(out_), kNow), 1u);
  EXPECT_EQ(io_.TransmitBurst(absl::MakeSpan(packets)), 1u);
}

}  // namespace
}  // namespace luna::pmd
