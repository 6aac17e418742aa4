#include "luna/net/pmd/fault_io.h"

#include <array>
#include <cmath>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "luna/mem/zbuf/testing/test_slab.h"
#include "luna/net/pmd/packet_util.h"
#include "luna/net/pmd/testing/fake_packet_io.h"
#include "luna/net/pmd/testing/numbered_frame.h"
#include "luna/net/pmd/testing/test_seed.h"

namespace luna::pmd {
namespace {

constexpr uint32_t kFrames = 10'000;

class FaultIoTest : public testing::Test {
 protected:
  Packet Make(uint32_t number) {
    return std::move(MakePacket(memory_.slab(), absl::MakeConstSpan(NumberedFrame(number)))).value();
  }

  // Calls ReceiveBurst until the device is empty and `idle_bursts` more; returns the frames of each burst.
  std::vector<std::vector<std::vector<uint8_t>>> ReceiveBursts(PacketIo& io, int idle_bursts) {
    std::vector<std::vector<std::vector<uint8_t>>> bursts;
    for (int idle = 0; idle < idle_bursts; idle += device_.pending() == 0) {
      std::array<Packet, 8> out;
      now_ += Duration::Microseconds(1);
      const size_t n = io.ReceiveBurst(absl::MakeSpan(out), now_);
      bursts.emplace_back();
      for (size_t i = 0; i < n; ++i) {
        EXPECT_EQ(out[i].rx.arrival, now_);
        bursts.back().push_back(ToBytes(out[i]));
      }
    }
    return bursts;
  }
  std::vector<std::vector<uint8_t>> ReceiveAll(PacketIo& io, uint32_t frames = kFrames) {
    for (uint32_t i = 0; i < frames; ++i) device_.Push(NumberedFrame(i));
    std::vector<std::vector<uint8_t>> all;
    for (auto& burst : ReceiveBursts(io, 100)) all.insert(all.end(), burst.begin(), burst.end());
    return all;
  }
  // Sends frames 0 .. frames-1 in bursts of 8, calls Reclaim after each, and returns what the device sent.
  std::vector<std::vector<uint8_t>> SendAll(PacketIo& io, uint32_t frames = kFrames) {
    for (uint32_t i = 0; i < frames;) {
      std::vector<Packet> burst;
      while (burst.size() < 8 && i < frames) burst.push_back(Make(i++));
      for (absl::Span<Packet> rest = absl::MakeSpan(burst); !rest.empty();) {
        rest.remove_prefix(io.TransmitBurst(rest));
        io.Reclaim();
      }
    }
    while (io.Reclaim() != 0) {
    }
    return device_.PopAllSent();
  }

  static void ExpectRate(uint64_t count, uint64_t n, double p) {
    EXPECT_NEAR(static_cast<double>(count), static_cast<double>(n) * p,
                5 * std::sqrt(static_cast<double>(n) * p * (1 - p)));
    EXPECT_GT(count, 0u);
  }
  static int FlippedBits(const std::vector<uint8_t>& frame, const std::vector<uint8_t>& original) {
    int bits = 0;
    for (size_t i = 0; i < frame.size(); ++i) bits += __builtin_popcount(frame[i] ^ original[i]);
    return bits;
  }

  zbuf::TestSlab memory_;
  FakePacketIo device_{memory_.slab()};
  Time now_ = Time::FromNanoseconds(1'000'000);
};

TEST_F(FaultIoTest, WithoutRatesItIsTransparent) {
  FaultPacketIo io(device_, memory_.slab(), {});
  const auto received = ReceiveAll(io, 100);
  ASSERT_EQ(received.size(), 100u);
  const auto sent = SendAll(io, 100);
  ASSERT_EQ(sent.size(), 100u);
  for (uint32_t i = 0; i < 100; ++i) {
    EXPECT_EQ(received[i], NumberedFrame(i));
    EXPECT_EQ(sent[i], NumberedFrame(i));
  }
  EXPECT_EQ(io.receive_faults().frames, 100u);
  EXPECT_EQ(io.transmit_faults().frames, 100u);
}

TEST_F(FaultIoTest, DropsReceivedFramesAtTheRate) {
  FaultPacketIo io(device_, memory_.slab(), {.seed = TestSeed(31), .receive = {.drop = 0.2}});
  const auto frames = ReceiveAll(io);
  ExpectRate(kFrames - frames.size(), kFrames, 0.2);
  EXPECT_EQ(io.receive_faults().dropped, kFrames - frames.size());
  for (size_t i = 1; i < frames.size(); ++i) EXPECT_LT(FrameNumber(frames[i - 1]), FrameNumber(frames[i]));
}

TEST_F(FaultIoTest, DropsSentFramesAtTheRateAndTakesThem) {
  FaultPacketIo io(device_, memory_.slab(), {.seed = TestSeed(32), .transmit = {.drop = 0.2}});
  const auto frames = SendAll(io);
  ExpectRate(kFrames - frames.size(), kFrames, 0.2);
  EXPECT_EQ(io.transmit_faults().dropped, kFrames - frames.size());
  EXPECT_EQ(io.transmit_faults().frames, kFrames);
}

TEST_F(FaultIoTest, DuplicatesReceivedFramesOnce) {
  FaultPacketIo io(device_, memory_.slab(), {.seed = TestSeed(33), .receive = {.duplicate = 0.1}});
  const auto frames = ReceiveAll(io);
  ExpectRate(frames.size() - kFrames, kFrames, 0.1);
  EXPECT_EQ(io.receive_faults().duplicated, frames.size() - kFrames);
  std::map<uint32_t, int> copies;
  for (const auto& frame : frames) {
    EXPECT_EQ(frame, NumberedFrame(FrameNumber(frame)));
    EXPECT_LE(++copies[FrameNumber(frame)], 2);
  }
  EXPECT_EQ(copies.size(), kFrames);
}

TEST_F(FaultIoTest, DuplicatesOfSentFramesFollowAtOnce) {
  FaultPacketIo io(device_, memory_.slab(), {.seed = TestSeed(34), .transmit = {.duplicate = 0.1}});
  const auto frames = SendAll(io);
  ExpectRate(frames.size() - kFrames, kFrames, 0.1);
  EXPECT_EQ(io.transmit_faults().duplicated, frames.size() - kFrames);
  for (size_t i = 1; i < frames.size(); ++i) {
    const uint32_t step = FrameNumber(frames[i]) - FrameNumber(frames[i - 1]);
    EXPECT_LE(step, 1u);
  }
}

TEST_F(FaultIoTest, CorruptsOneBitOfReceivedFramesAndTakesBackTheDevicesVerdict) {
  FaultPacketIo io(device_, memory_.slab(), {.seed = TestSeed(35), .receive = {.corrupt = 0.5}});
  uint64_t corrupted = 0;
  for (uint32_t i = 0; i < 1'000; ++i) {
    device_.Push(NumberedFrame(i), {.ip_checksum = ChecksumStatus::kGood, .l4_checksum = ChecksumStatus::kGood});
    std::array<Packet, 2> out;
    ASSERT_EQ(io.ReceiveBurst(absl::MakeSpan(out), now_), 1u);
    const int bits = FlippedBits(ToBytes(out[0]), NumberedFrame(i));
    ASSERT_LE(bits, 1);
    corrupted += static_cast<uint64_t>(bits);
    const ChecksumStatus verdict = bits == 1 ? ChecksumStatus::kUnknown : ChecksumStatus::kGood;
    EXPECT_EQ(out[0].rx.ip_checksum, verdict);
    EXPECT_EQ(out[0].rx.l4_checksum, verdict);
  }
  ExpectRate(corrupted, 1'000, 0.5);
  EXPECT_EQ(io.receive_faults().corrupted, corrupted);
}

TEST_F(FaultIoTest, CorruptsCopiesOfSentFramesNotTheSendersObj) {
  FaultPacketIo io(device_, memory_.slab(), {.transmit = {.corrupt = 1}});
  std::array<Packet, 1> packet = {Make(7)};
  const zbuf::ZChain senders = packet[0].data.Share();
  ASSERT_EQ(io.TransmitBurst(absl::MakeSpan(packet)), 1u);
  EXPECT_TRUE(packet[0].data.empty());
  EXPECT_EQ(FlippedBits(device_.PopSent()->bytes, NumberedFrame(7)), 1);
  EXPECT_EQ(ToBytes(senders), NumberedFrame(7));
}

TEST_F(FaultIoTest, CorruptionHidesTheOffloadsThatWouldMendIt) {
  Capabilities capabilities = FakePacketIo::DefaultCapabilities();
  capabilities.tx_ip_checksum = capabilities.tx_tcp_checksum = capabilities.tx_tso = true;
  FakePacketIo device(memory_.slab(), capabilities);
  FaultPacketIo plain(device, memory_.slab(), {.transmit = {.drop = 0.5}});
  EXPECT_TRUE(plain.capabilities().tx_tcp_checksum);
  FaultPacketIo corrupting(device, memory_.slab(), {.transmit = {.corrupt = 0.5}});
  EXPECT_FALSE(corrupting.capabilities().tx_ip_checksum);
  EXPECT_FALSE(corrupting.capabilities().tx_tcp_checksum);
  EXPECT_FALSE(corrupting.capabilities().tx_tso);
  EXPECT_EQ(corrupting.capabilities().mac, capabilities.mac);
  corrupting.SetRates({}, {.corrupt = 0});
  corrupting.SetRates({}, {.corrupt = 0.5});
  EXPECT_DEATH(plain.SetRates({}, {.corrupt = 0.5}), "transmit.corrupt");
}

TEST_F(FaultIoTest, DelaysReceivedFramesByBursts) {
  FaultPacketIo io(device_, memory_.slab(), {.receive = {.delay = 1, .delay_bursts = 3}});
  device_.Push(NumberedFrame(0));
  device_.Push(NumberedFrame(1));
  const auto bursts = ReceiveBursts(io, 5);
  ASSERT_EQ(bursts.size(), 5u);
  for (size_t i : {0, 1, 2, 4}) EXPECT_TRUE(bursts[i].empty()) << i;
  EXPECT_EQ(bursts[3], (std::vector<std::vector<uint8_t>>{NumberedFrame(0), NumberedFrame(1)}));
  EXPECT_EQ(io.receive_faults().delayed, 2u);
}

TEST_F(FaultIoTest, DelayedFramesAreOvertaken) {
  FaultPacketIo io(device_, memory_.slab(),
                   {.seed = TestSeed(36), .receive = {.delay = 0.1}, .transmit = {.delay = 0.1}});
  for (const auto& frames : {ReceiveAll(io), SendAll(io)}) {
    ASSERT_EQ(frames.size(), kFrames);
    uint32_t overtaken = 0;
    for (size_t i = 1; i < frames.size(); ++i) overtaken += FrameNumber(frames[i]) < FrameNumber(frames[i - 1]);
    EXPECT_GT(overtaken, kFrames / 50);
  }
  ExpectRate(io.receive_faults().delayed, kFrames, 0.1);
  ExpectRate(io.transmit_faults().delayed, kFrames, 0.1);
}

TEST_F(FaultIoTest, DelayedSentFramesAreOutstandingUntilTheyLeave) {
  FaultPacketIo io(device_, memory_.slab(), {.transmit = {.delay = 1, .delay_bursts = 2}});
  std::array<Packet, 1> packet = {Make(7)};
  ASSERT_EQ(io.TransmitBurst(absl::MakeSpan(packet)), 1u);
  EXPECT_EQ(io.Reclaim(), 1u);
  EXPECT_EQ(device_.sent_count(), 0u);
  device_.set_transmit_ring(0);
  EXPECT_EQ(io.Reclaim(), 1u);  // due, but the device has no room
  device_.set_transmit_ring(1);
  EXPECT_EQ(io.Reclaim(), 0u);
  EXPECT_EQ(device_.PopSent()->bytes, NumberedFrame(7));
}

TEST_F(FaultIoTest, HeldFramesAreBounded) {
  FaultPacketIo io(device_, memory_.slab(),
                   {.receive = {.duplicate = 1, .delay = 1}, .transmit = {.delay = 1}, .max_held = 3});
  for (uint32_t i = 0; i < 4; ++i) device_.Push(NumberedFrame(i));
  std::array<Packet, 8> out;
  EXPECT_EQ(io.ReceiveBurst(absl::MakeSpan(out), now_), 3u);  // held: copy and original of 0, copy of 1
  EXPECT_EQ(io.receive_faults().duplicated, 2u);
  EXPECT_EQ(io.receive_faults().delayed, 1u);
  EXPECT_EQ(io.receive_faults().skipped, 1u + 2 + 2);
  std::vector<Packet> packets;
  for (uint32_t i = 0; i < 4; ++i) packets.push_back(Make(i));
  EXPECT_EQ(io.TransmitBurst(absl::MakeSpan(packets)), 4u);
  EXPECT_EQ(io.transmit_faults().delayed, 3u);
  EXPECT_EQ(device_.PopSent()->bytes, NumberedFrame(3));
}

TEST_F(FaultIoTest, BackPressurePassesThroughAndARefusedFrameMeetsItsFateOnlyOnce) {
  const FaultOptions options{.seed = TestSeed(37),
                             .transmit = {.drop = 0.1, .duplicate = 0.1, .corrupt = 0.1, .delay = 0.1}};
  FaultPacketIo roomy(device_, memory_.slab(), options);
  const auto expected = SendAll(roomy, 1'000);
  FaultPacketIo tight(device_, memory_.slab(), options);
  device_.set_transmit_ring(3);
  const auto frames = SendAll(tight, 1'000);
  EXPECT_GT(device_.stats().tx_full, 0u);
  EXPECT_EQ(tight.transmit_faults().frames, 1'000u);
  EXPECT_EQ(tight.transmit_faults().dropped, roomy.transmit_faults().dropped);
  EXPECT_EQ(tight.transmit_faults().corrupted, roomy.transmit_faults().corrupted);
  EXPECT_EQ(tight.transmit_faults().delayed, roomy.transmit_faults().delayed);
  // A copy for which there is no room is not made.
  EXPECT_EQ(tight.transmit_faults().duplicated + tight.transmit_faults().skipped, roomy.transmit_faults().duplicated);
  EXPECT_EQ(frames.size() + tight.transmit_faults().skipped, expected.size());
}

TEST_F(FaultIoTest, WithoutMemoryFaultsThatNeedACopyAreSkipped) {
  zbuf::TestSlab empty(size_t{2} << 20);
  std::vector<std::byte*> taken;
  while (std::byte* obj = empty.slab().Alloc(60)) taken.push_back(obj);
  FaultPacketIo io(device_, empty.slab(), {.receive = {.duplicate = 1}, .transmit = {.duplicate = 1, .corrupt = 1}});
  device_.Push(NumberedFrame(0));
  std::array<Packet, 2> out;
  EXPECT_EQ(io.ReceiveBurst(absl::MakeSpan(out), now_), 1u);
  EXPECT_EQ(io.receive_faults().skipped, 1u);
  std::array<Packet, 1> packet = {Make(1)};
  EXPECT_EQ(io.TransmitBurst(absl::MakeSpan(packet)), 1u);
  EXPECT_EQ(io.transmit_faults().skipped, 2u);
  EXPECT_EQ(device_.PopSent()->bytes, NumberedFrame(1));
  empty.slab().FreeBulk(taken);
}

TEST_F(FaultIoTest, TheSameSeedRepeatsAndAnotherDoesNot) {
  const FaultRates rates{.drop = 0.1, .duplicate = 0.1, .corrupt = 0.1, .delay = 0.1};
  auto run = [&](uint64_t seed) {
    FaultPacketIo io(device_, memory_.slab(), {.seed = seed, .receive = rates, .transmit = rates});
    return std::make_pair(ReceiveAll(io, 500), SendAll(io, 500));
  };
  const uint64_t seed = TestSeed(38);
  const auto first = run(seed);
  EXPECT_EQ(first, run(seed));
  EXPECT_NE(first, run(seed + 1));
  EXPECT_NE(first.first, first.second) << "both directions meet the same fates";
}

TEST_F(FaultIoTest, RatesCanBeTurnedOffAndHeldFramesStillCome) {
  FaultPacketIo io(device_, memory_.slab(), {.receive = {.delay = 1, .delay_bursts = 2}});
  device_.Push(NumberedFrame(0));
  EXPECT_TRUE(ReceiveBursts(io, 1)[0].empty());
  io.SetRates({}, {});
  device_.Push(NumberedFrame(1));
  const auto bursts = ReceiveBursts(io, 2);
  EXPECT_EQ(bursts[0], (std::vector<std::vector<uint8_t>>{NumberedFrame(1)}));
  EXPECT_EQ(bursts[1], (std::vector<std::vector<uint8_t>>{NumberedFrame(0)}));
}

TEST_F(FaultIoTest, DestructionFreesWhatIsHeld) {
  {
    FaultPacketIo io(device_, memory_.slab(), {.receive = {.delay = 1}, .transmit = {.delay = 1}});
    device_.Push(NumberedFrame(0));
    ReceiveBursts(io, 1);
    std::array<Packet, 1> packet = {Make(1)};
    io.TransmitBurst(absl::MakeSpan(packet));
    EXPECT_EQ(memory_.outstanding(), 2u);
  }
  EXPECT_EQ(memory_.outstanding(), 0u);
}

}  // namespace
}  // namespace luna::pmd
