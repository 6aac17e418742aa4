#include "luna/net/pmd/xdp/xdp_packet_io.h"

#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "luna/mem/zbuf/testing/test_slab.h"
#include "luna/net/pmd/packet_util.h"
#include "luna/net/pmd/xdp/testing/fake_xsk.h"

namespace luna::pmd::xdp {
namespace {

using ::testing::HasSubstr;

constexpr uint32_t kRing = 64;
constexpr uint32_t kChunk = zbuf::kReceiveObjBytes;

std::vector<uint8_t> Pattern(size_t bytes, uint32_t seed) {
  std::vector<uint8_t> out(bytes);
  for (size_t i = 0; i < bytes; ++i) out[i] = static_cast<uint8_t>(i * 7 + seed * 13 + (i >> 8));
  return out;
}

std::string AsText(const std::vector<uint8_t>& bytes) { return {bytes.begin(), bytes.end()}; }

class XdpPacketIoTest : public ::testing::Test {
 protected:
  // One that gathers up to `descriptors` per frame.
  void Open(uint32_t descriptors = 1, uint32_t mtu = 1500, uint32_t first_index = 0) {
    auto fake = std::make_unique<FakeXsk>(FakeXskOptions{.umem = memory_.arena().base(),
                                                         .umem_bytes = memory_.arena().bytes(),
                                                         .chunk_bytes = kChunk,
                                                         .ring_size = kRing,
                                                         .max_descriptors = descriptors,
                                                         .first_index = first_index});
    fake_ = fake.get();
    Capabilities capabilities;
    capabilities.name = "fake queue 0";
    capabilities.mtu = mtu;
    auto io =
        XdpPacketIo::Create(std::move(fake), capabilities, {.chunk_bytes = kChunk, .max_tx_descriptors = descriptors},
                            memory_.arena(), memory_.slab());
    ASSERT_TRUE(io.ok()) << io.status();
    io_ = *std::move(io);
  }

  // Receives once, and returns the frames' bytes.
  std::vector<std::vector<uint8_t>> Receive(size_t most = 32) {
    std::vector<Packet> out(most);
    const size_t n = io_->ReceiveBurst(absl::MakeSpan(out), now_);
    std::vector<std::vector<uint8_t>> frames;
    for (size_t i = 0; i < n; ++i) frames.push_back(ToBytes(out[i]));
    return frames;
  }

  size_t Transmit(Packet packet) { return io_->TransmitBurst(absl::MakeSpan(&packet, 1)); }
  Packet PacketOf(const std::vector<uint8_t>& bytes, size_t slice_bytes = 0) {
    Packet packet;
    packet.data = slice_bytes == 0 ? memory_.Chain(AsText(bytes)) : memory_.ChainOfSlices(AsText(bytes), slice_bytes);
    return packet;
  }
  // Objs out besides those posted for receiving.
  size_t HeldObjs() const { return memory_.outstanding() - kRing; }

  zbuf::TestSlab memory_;  // its destructor checks that all objs are home
  FakeXsk* fake_ = nullptr;
  std::unique_ptr<XdpPacketIo> io_;
  Time now_;
};

TEST_F(XdpPacketIoTest, ReceivesInPlaceWithHeadroom) {
  Open();
  EXPECT_EQ(fake_->fill_entries(), kRing);
  const std::vector<uint8_t> frame = Pattern(1514, 1);
  ASSERT_TRUE(fake_->Deliver(frame));
  std::vector<Packet> out(4);
  now_ = Time::FromNanoseconds(12345);
  ASSERT_EQ(io_->ReceiveBurst(absl::MakeSpan(out), now_), 1u);
  EXPECT_EQ(ToBytes(out[0]), frame);
  EXPECT_EQ(out[0].data.slice_count(), 1u);
  EXPECT_EQ(out[0].data.HeadRoom(), kXdpHeadroomBytes);
  EXPECT_EQ(out[0].rx.arrival, now_);
  EXPECT_EQ(zbuf::RefCount(out[0].data.front().data()), 1) << "adopted, not copied or shared";
  EXPECT_EQ(io_->stats().rx_packets, 1u);
  EXPECT_EQ(io_->stats().rx_bytes, 1514u);
  EXPECT_EQ(io_->stats().bytes_copied_rx, 0u);
}

TEST_F(XdpPacketIoTest, BurstsAreBoundedAndInOrder) {
  Open();
  for (uint32_t i = 0; i < 10; ++i) ASSERT_TRUE(fake_->Deliver(Pattern(60 + i, i)));
  std::vector<std::vector<uint8_t>> got = Receive(4);
  EXPECT_EQ(got.size(), 4u);
  for (auto& frame : Receive(100)) got.push_back(frame);
  ASSERT_EQ(got.size(), 10u);
  for (uint32_t i = 0; i < 10; ++i) EXPECT_EQ(got[i], Pattern(60 + i, i)) << i;
  EXPECT_TRUE(Receive(0).empty());
}

TEST_F(XdpPacketIoTest, TheFillRingIsKeptFull) {
  Open(1, 1500, 0xfffffff0u);  // the indices wrap on the way
  for (uint32_t round = 0; round < 20; ++round) {
    for (uint32_t i = 0; i < 40; ++i) ASSERT_TRUE(fake_->Deliver(Pattern(100, i))) << "round " << round;
    ASSERT_EQ(Receive(64).size(), 40u);
    ASSERT_GE(fake_->fill_entries(), kRing / 2) << "at most a batch is missing";
  }
  EXPECT_EQ(io_->stats().rx_dropped, 0u);
}

TEST_F(XdpPacketIoTest, ALongFrameIsAChainWhereTheKernelGathers) {
  Open(8, 9000);
  const std::vector<uint8_t> frame = Pattern(9014, 3);
  ASSERT_TRUE(fake_->Deliver(Pattern(60, 0)));
  ASSERT_TRUE(fake_->Deliver(frame));
  ASSERT_TRUE(fake_->Deliver(Pattern(61, 0)));
  std::vector<Packet> out(8);
  ASSERT_EQ(io_->ReceiveBurst(absl::MakeSpan(out), now_), 3u);
  EXPECT_EQ(out[1].data.slice_count(), 5u);
  EXPECT_EQ(ToBytes(out[1]), frame);
  EXPECT_EQ(ToBytes(out[2]), Pattern(61, 0));
}

TEST_F(XdpPacketIoTest, ADescriptorThatCannotBeTrueIsDroppedWithItsWholeFrame) {
  Open(8);
  fake_->DeliverRaw({.addr = 0, .len = 60, .options = 0});                    // never posted
  fake_->DeliverRaw({.addr = (uint64_t{1} << 47), .len = 60, .options = 0});  // far outside
  fake_->DeliverRaw({.addr = 0, .len = 60, .options = kPacketContinues});     // a bad first piece,
  ASSERT_TRUE(fake_->Deliver(Pattern(60, 1)));                                // a good second
  ASSERT_TRUE(fake_->Deliver(Pattern(60, 2)));
  const auto frames = Receive();
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(frames[0], Pattern(60, 2));
  EXPECT_EQ(io_->stats().rx_dropped, 3u);
  EXPECT_EQ(io_->stats().rx_packets, 1u);
  EXPECT_EQ(memory_.outstanding(), kRing - 2) << "the objs of both frames are home, and not yet replaced";
}

TEST_F(XdpPacketIoTest, ALengthThatLeavesItsObjIsDropped) {
  Open();
  const uint64_t headroom = uint64_t{kXdpHeadroomBytes} << XSK_UNALIGNED_BUF_OFFSET_SHIFT;
  const uint32_t room = kChunk - kXdpHeadroomBytes;
  fake_->DeliverRaw({.addr = fake_->TakePosted() | headroom, .len = room, .options = 0});
  fake_->DeliverRaw({.addr = fake_->TakePosted() | headroom, .len = room + 1, .options = 0});
  fake_->DeliverRaw({.addr = fake_->TakePosted() | headroom, .len = 0, .options = 0});
  fake_->DeliverRaw({.addr = fake_->TakePosted() | uint64_t{0xffff} << 48, .len = 60, .options = 0});
  const auto frames = Receive();
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(frames[0].size(), room);
  EXPECT_EQ(io_->stats().rx_dropped, 3u);
}

TEST_F(XdpPacketIoTest, ExhaustionStarvesTheRingAndHeals) {
  Open();
  std::vector<std::byte*> hoard;
  while (std::byte* obj = memory_.slab().Alloc(kChunk)) hoard.push_back(obj);
  for (uint32_t i = 0; i < kRing; ++i) ASSERT_TRUE(fake_->Deliver(Pattern(60, i)));
  std::vector<Packet> out(kRing);
  ASSERT_EQ(io_->ReceiveBurst(absl::MakeSpan(out), now_), kRing);
  EXPECT_EQ(fake_->fill_entries(), 0u);
  EXPECT_EQ(io_->stats().rx_no_buffer, kRing);
  Receive(0), Receive(0);
  EXPECT_EQ(io_->stats().rx_no_buffer, kRing) << "a slot counts once, not per poll";
  EXPECT_FALSE(fake_->Deliver(Pattern(60, 0)));
  out.clear();  // half of the ring's worth comes home, and more
  Receive(0);
  EXPECT_EQ(fake_->fill_entries(), kRing);
  EXPECT_TRUE(fake_->Deliver(Pattern(60, 9)));
  EXPECT_EQ(Receive().size(), 1u);
  for (std::byte* obj : hoard) memory_.slab().Free(obj);
}

TEST_F(XdpPacketIoTest, AHungryStartIsAnError) {
  std::vector<std::byte*> hoard;
  while (std::byte* obj = memory_.slab().Alloc(kChunk)) hoard.push_back(obj);
  for (int i = 0; i < 10; ++i) memory_.slab().Free(hoard.back()), hoard.pop_back();
  auto fake = std::make_unique<FakeXsk>(
      FakeXskOptions{.umem = memory_.arena().base(), .umem_bytes = memory_.arena().bytes(), .ring_size = kRing});
  const absl::Status status =
      XdpPacketIo::Create(std::move(fake), {.name = "eth7"}, {}, memory_.arena(), memory_.slab()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(status.message(), HasSubstr("eth7: 64 receive buffers of 2304 bytes wanted, 10 found"));
  for (std::byte* obj : hoard) memory_.slab().Free(obj);
}

TEST_F(XdpPacketIoTest, AnMtuThatDoesNotFitIsAnError) {
  auto fake = std::make_unique<FakeXsk>(
      FakeXskOptions{.umem = memory_.arena().base(), .umem_bytes = memory_.arena().bytes(), .ring_size = kRing});
  const absl::Status status =
      XdpPacketIo::Create(std::move(fake), {.name = "eth7", .mtu = 9000}, {}, memory_.arena(), memory_.slab()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("MTU 9000"));
}

TEST_F(XdpPacketIoTest, SendsFromTheObjAndFreesItOnCompletion) {
  Open();
  fake_->HoldCompletions(true);
  Packet packet = PacketOf(Pattern(1514, 5));
  EXPECT_EQ(Transmit(std::move(packet)), 1u);
  ASSERT_EQ(fake_->sent().size(), 1u) << "kicked at once";
  EXPECT_EQ(fake_->sent()[0], Pattern(1514, 5));
  EXPECT_EQ(io_->Reclaim(), 1u);
  EXPECT_EQ(HeldObjs(), 1u) << "the device has it";
  fake_->ReleaseCompletions(1);
  EXPECT_EQ(io_->Reclaim(), 0u);
  EXPECT_EQ(HeldObjs(), 0u);
  EXPECT_EQ(io_->stats().tx_packets, 1u);
  EXPECT_EQ(io_->stats().tx_bytes, 1514u);
  EXPECT_EQ(io_->stats().bytes_copied_tx, 0u);
}

TEST_F(XdpPacketIoTest, GathersChainsOneDescriptorPerSlice) {
  Open(16);
  EXPECT_EQ(io_->capabilities().max_tx_segments, 16u);
  EXPECT_EQ(Transmit(PacketOf(Pattern(1500, 1), 300)), 1u);
  EXPECT_EQ(fake_->sent()[0], Pattern(1500, 1));
  EXPECT_EQ(fake_->sent_descriptors()[0], 5u);
  EXPECT_EQ(io_->stats().tx_linearised, 0u);
  EXPECT_EQ(io_->Reclaim(), 0u);
  EXPECT_EQ(HeldObjs(), 0u);
}

TEST_F(XdpPacketIoTest, ALongSliceIsSeveralDescriptors) {
  Open(16, 9000);
  fake_->HoldCompletions(true);
  EXPECT_EQ(Transmit(PacketOf(Pattern(9014, 1))), 1u);
  EXPECT_EQ(fake_->sent()[0], Pattern(9014, 1));
  EXPECT_EQ(fake_->sent_descriptors()[0], 4u);
  fake_->ReleaseCompletions(3);
  EXPECT_EQ(io_->Reclaim(), 1u);
  EXPECT_EQ(HeldObjs(), 1u) << "until the last descriptor is done";
  fake_->ReleaseCompletions(1);
  EXPECT_EQ(io_->Reclaim(), 0u);
  EXPECT_EQ(HeldObjs(), 0u) << "one reference per descriptor, each freed once";
}

TEST_F(XdpPacketIoTest, LinearisesWhatTheKernelCannotGather) {
  struct Case {
    const char* what;
    uint32_t descriptors;
    size_t slice_bytes;
    bool linearised;
  };
  const Case kCases[] = {
      {"no gathering", 1, 300, true},
      {"too many slices", 4, 300, true},
      {"just enough", 5, 300, false},
      {"a first slice shorter than Ethernet", 200, 13, true},
  };
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.what);
    Open(c.descriptors);
    EXPECT_EQ(Transmit(PacketOf(Pattern(1500, 1), c.slice_bytes)), 1u);
    ASSERT_EQ(fake_->sent().size(), 1u);
    EXPECT_EQ(fake_->sent()[0], Pattern(1500, 1));
    EXPECT_EQ(io_->stats().tx_linearised, c.linearised ? 1u : 0u);
    EXPECT_EQ(io_->stats().bytes_copied_tx, c.linearised ? 1500u : 0u);
    io_->Reclaim();
    EXPECT_EQ(HeldObjs(), 0u);
    io_.reset();
  }
}

TEST_F(XdpPacketIoTest, MemoryOutsideTheUmemIsCopied) {
  Open(16);
  zbuf::TestSlab elsewhere;
  Packet packet;
  packet.data = elsewhere.Chain(AsText(Pattern(100, 1)));
  packet.data.Append(memory_.Chain(AsText(Pattern(100, 2))));
  EXPECT_EQ(Transmit(std::move(packet)), 1u);
  EXPECT_EQ(fake_->sent()[0].size(), 200u);
  EXPECT_EQ(io_->stats().tx_linearised, 1u);
  EXPECT_EQ(elsewhere.outstanding(), 0u);
}

TEST_F(XdpPacketIoTest, WhatCanNeverBeSentIsDroppedAndCounted) {
  Open();
  std::vector<Packet> packets(5);
  packets[0] = PacketOf(Pattern(13, 0));    // no Ethernet header
  packets[1] = PacketOf(Pattern(60, 1));    //
  packets[2] = PacketOf(Pattern(1519, 2));  // MTU + Ethernet + one tag is 1518
  packets[3] = PacketOf(Pattern(1518, 3));
  // packets[4] is empty
  EXPECT_EQ(io_->TransmitBurst(absl::MakeSpan(packets)), 5u);
  EXPECT_EQ(io_->stats().tx_dropped, 3u);
  EXPECT_EQ(io_->stats().tx_packets, 2u);
  ASSERT_EQ(fake_->sent().size(), 2u);
  EXPECT_EQ(fake_->sent()[1], Pattern(1518, 3));
  for (const Packet& p : packets) EXPECT_TRUE(p.data.empty()) << "slots are left empty";
}

TEST_F(XdpPacketIoTest, NoMemoryToLineariseDropsTheFrame) {
  Open();
  Packet packet = PacketOf(Pattern(1500, 1), 300);
  std::vector<std::byte*> hoard;
  while (std::byte* obj = memory_.slab().Alloc(1500)) hoard.push_back(obj);
  EXPECT_EQ(Transmit(std::move(packet)), 1u);
  EXPECT_EQ(io_->stats().tx_dropped, 1u);
  EXPECT_EQ(io_->stats().tx_linearised, 0u);
  EXPECT_TRUE(fake_->sent().empty());
  for (std::byte* obj : hoard) memory_.slab().Free(obj);
}

TEST_F(XdpPacketIoTest, AFullRingIsBackPressure) {
  Open(4);
  fake_->set_kick_batch(0);
  std::vector<Packet> packets(50);
  for (uint32_t i = 0; i < 50; ++i) packets[i] = PacketOf(Pattern(100, i), 50);  // two descriptors each
  EXPECT_EQ(io_->TransmitBurst(absl::MakeSpan(packets)), kRing / 2);
  EXPECT_EQ(io_->stats().tx_full, 18u);
  EXPECT_EQ(ToBytes(packets[32]), Pattern(100, 32)) << "the caller keeps the rest";
  EXPECT_EQ(io_->Reclaim(), 32u);
  fake_->set_kick_batch(32);
  io_->Reclaim();
  EXPECT_EQ(fake_->sent().size(), 32u) << "Reclaim kicks what is left in the ring";
  EXPECT_EQ(io_->TransmitBurst(absl::MakeSpan(packets).subspan(32)), 18u);
  io_->Reclaim();
  ASSERT_EQ(fake_->sent().size(), 50u);
  for (uint32_t i = 0; i < 50; ++i) EXPECT_EQ(fake_->sent()[i], Pattern(100, i)) << i;
}

// The tx ring may have room again while the completions of its frames have not come: the ledger bounds those.
TEST_F(XdpPacketIoTest, HeldCompletionsAreBackPressureToo) {
  Open();
  fake_->HoldCompletions(true);
  for (uint32_t i = 0; i < kRing; ++i) ASSERT_EQ(Transmit(PacketOf(Pattern(60, i))), 1u);
  Packet late = PacketOf(Pattern(60, 99));
  EXPECT_EQ(io_->TransmitBurst(absl::MakeSpan(&late, 1)), 0u);
  EXPECT_EQ(io_->stats().tx_full, 1u);
  fake_->ReleaseCompletions(1);
  EXPECT_EQ(io_->Reclaim(), kRing - 1);
  EXPECT_EQ(io_->TransmitBurst(absl::MakeSpan(&late, 1)), 1u);
}

TEST_F(XdpPacketIoTest, CompletionsInAnyOrder) {
  Open(4);
  fake_->HoldCompletions(true);
  for (uint32_t i = 0; i < 8; ++i) ASSERT_EQ(Transmit(PacketOf(Pattern(100, i), 50)), 1u);
  fake_->ReleaseCompletions(10, /*newest_first=*/true);
  io_->Reclaim();
  EXPECT_EQ(HeldObjs(), 6u);
  fake_->ReleaseCompletions(6, /*newest_first=*/true);
  EXPECT_EQ(io_->Reclaim(), 0u);
  EXPECT_EQ(HeldObjs(), 0u);
}

TEST_F(XdpPacketIoTest, OneKickPerBatchOfTheKernel) {
  Open();
  std::vector<Packet> packets(40);
  for (uint32_t i = 0; i < 40; ++i) packets[i] = PacketOf(Pattern(60, i));
  EXPECT_EQ(io_->TransmitBurst(absl::MakeSpan(packets)), 40u);
  EXPECT_EQ(fake_->sent().size(), 40u);
  EXPECT_EQ(fake_->transmit_kicks(), 2);
  EXPECT_EQ(io_->TransmitBurst({}), 0u);
  io_->Reclaim();
  EXPECT_EQ(fake_->transmit_kicks(), 2) << "nothing to send, no system call";
}

TEST_F(XdpPacketIoTest, ADriverThatSleepsIsWoken) {
  Open();
  Receive();
  EXPECT_EQ(fake_->receive_kicks(), 0);
  fake_->set_fill_needs_wakeup(true);
  Receive();
  EXPECT_EQ(fake_->receive_kicks(), 1);
}

TEST_F(XdpPacketIoTest, TheKernelsDropsAndTheLinkAreSeenWithinTheInterval) {
  Open();
  Receive();  // the first look
  for (uint32_t i = 0; i < kRing; ++i) ASSERT_TRUE(fake_->Deliver(Pattern(60, i)));
  EXPECT_FALSE(fake_->Deliver(Pattern(60, 0)));
  EXPECT_FALSE(fake_->Deliver(Pattern(3000, 0)));
  fake_->set_link_up(false);
  Receive(64);
  EXPECT_EQ(io_->stats().rx_dropped, 0u);
  EXPECT_TRUE(io_->link_up());
  now_ += XdpPacketIo::kLookInterval;
  Receive();
  EXPECT_EQ(io_->stats().rx_dropped, 2u);
  EXPECT_FALSE(io_->link_up());
}

TEST_F(XdpPacketIoTest, ClosingTakesEverythingHome) {
  Open(8, 9000);
  fake_->HoldCompletions(true);
  for (uint32_t i = 0; i < 5; ++i) ASSERT_EQ(Transmit(PacketOf(Pattern(100, i), 50)), 1u);
  fake_->set_kick_batch(0);
  for (uint32_t i = 0; i < 5; ++i) ASSERT_EQ(Transmit(PacketOf(Pattern(4000, i))), 1u);
  fake_->ReleaseCompletions(3);
  for (uint32_t i = 0; i < 9; ++i) ASSERT_TRUE(fake_->Deliver(Pattern(1000 * i + 60, i)));
  Receive(2);
  fake_->DeliverRaw({.addr = 0, .len = 60, .options = kPacketContinues});
  Receive(100);
  ASSERT_GT(memory_.outstanding(), 0u);
  io_.reset();
  EXPECT_EQ(memory_.outstanding(), 0u);
}

// Everything at once against the fake kernel; the TestSlab sees any leak, the fake any bad descriptor.
TEST_F(XdpPacketIoTest, Soak) {
  const char* replay = std::getenv("LUNA_TEST_SEED");
  const uint32_t seed =
      replay != nullptr ? static_cast<uint32_t>(std::strtoul(replay, nullptr, 0)) : std::random_device()();
  SCOPED_TRACE(::testing::Message() << "LUNA_TEST_SEED=" << seed);
  std::mt19937 random(seed);
  Open(6, 4000, 0xffffff00u);
  std::vector<std::vector<uint8_t>> delivered, received, sent;
  for (int step = 0; step < 3000; ++step) {
    const std::vector<uint8_t> frame = Pattern(14 + random() % 4000, static_cast<uint32_t>(random()));
    switch (random() % 6) {
      case 0:
        if (fake_->Deliver(frame)) delivered.push_back(frame);
        break;
      case 1:
        for (auto& f : Receive(random() % 40)) received.push_back(std::move(f));
        break;
      case 2:
      case 3: {
        Packet packet = PacketOf(frame, 50 + random() % 3000);
        if (io_->TransmitBurst(absl::MakeSpan(&packet, 1)) == 1) sent.push_back(frame);
        break;
      }
      case 4:
        fake_->HoldCompletions(random() % 2 == 0);
        fake_->set_kick_batch(random() % 4);
        fake_->ReleaseCompletions(random() % 8, random() % 2 == 0);
        break;
      default:
        io_->Reclaim();
    }
  }
  fake_->set_kick_batch(32);
  fake_->HoldCompletions(false);
  fake_->ReleaseCompletions(fake_->held_completions());
  for (int i = 0; i < 100 && io_->Reclaim() > 0; ++i) {
  }
  EXPECT_EQ(io_->Reclaim(), 0u);
  for (auto& f : Receive(100)) received.push_back(std::move(f));
  EXPECT_EQ(received, delivered);
  EXPECT_EQ(fake_->sent(), sent);
  io_.reset();
  EXPECT_EQ(memory_.outstanding(), 0u);
}

}  // namespace
}  // namespace luna::pmd::xdp
