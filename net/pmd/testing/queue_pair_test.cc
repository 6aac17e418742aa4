#include "luna/net/pmd/testing/queue_pair.h"

#include <array>
#include <cstring>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "luna/mem/zbuf/testing/test_slab.h"
#include "luna/net/pmd/packet_util.h"

namespace luna::pmd {
namespace {

constexpr Time kNow = Time::FromNanoseconds(77);

Packet Make(zbuf::Slab& slab, uint32_t number, size_t size = 60) {
  std::vector<uint8_t> frame(size, 0x11);
  std::memcpy(frame.data(), &number, sizeof(number));
  return std::move(MakePacket(slab, absl::MakeConstSpan(frame))).value();
}

uint32_t Number(const Packet& packet) {
  uint32_t number = 0;
  packet.data.CopyTo({reinterpret_cast<std::byte*>(&number), sizeof(number)});
  return number;
}

TEST(QueuePairTest, CarriesInOrderBothWaysIntoTheReceiversSlab) {
  zbuf::TestSlab a_memory;
  zbuf::TestSlab b_memory;
  QueuePair link(a_memory.slab(), b_memory.slab());
  std::array<Packet, 2> packets = {Make(a_memory.slab(), 1), Make(a_memory.slab(), 2, 5000)};
  ASSERT_EQ(link.a().TransmitBurst(absl::MakeSpan(packets)), 2u);
  EXPECT_TRUE(packets[0].data.empty());
  std::array<Packet, 4> out;
  ASSERT_EQ(link.b().ReceiveBurst(absl::MakeSpan(out), kNow), 2u);
  EXPECT_EQ(Number(out[0]), 1u);
  EXPECT_EQ(Number(out[1]), 2u);
  EXPECT_EQ(out[1].bytes(), 5000u);
  EXPECT_EQ(out[0].rx.arrival, kNow);
  EXPECT_EQ(a_memory.outstanding(), 0u);
  EXPECT_EQ(b_memory.outstanding(), 2u);
  ASSERT_EQ(link.b().TransmitBurst(absl::MakeSpan(out).subspan(0, 1)), 1u);
  EXPECT_EQ(link.b().ReceiveBurst(absl::MakeSpan(out).subspan(2), kNow), 0u);
  ASSERT_EQ(link.a().ReceiveBurst(absl::MakeSpan(out).subspan(2), kNow), 1u);
  EXPECT_EQ(Number(out[2]), 1u);
}

TEST(QueuePairTest, AFullQueueRefusesAndLosesNothing) {
  zbuf::TestSlab memory;
  QueuePair link(memory.slab(), memory.slab(), {.frames = 4});
  std::vector<Packet> packets;
  for (uint32_t i = 0; i < 6; ++i) packets.push_back(Make(memory.slab(), i));
  EXPECT_EQ(link.a().TransmitBurst(absl::MakeSpan(packets)), 4u);
  EXPECT_EQ(link.a().stats().tx_full, 2u);
  std::array<Packet, 8> out;
  ASSERT_EQ(link.b().ReceiveBurst(absl::MakeSpan(out).subspan(0, 3), kNow), 3u);
  EXPECT_EQ(link.a().TransmitBurst(absl::MakeSpan(packets).subspan(4)), 2u);
  ASSERT_EQ(link.b().ReceiveBurst(absl::MakeSpan(out).subspan(3), kNow), 3u);
  for (uint32_t i = 0; i < 6; ++i) EXPECT_EQ(Number(out[i]), i);
}

TEST(QueuePairTest, AnExhaustedReceiverKeepsFramesWaiting) {
  zbuf::TestSlab a_memory;
  zbuf::TestSlab b_memory;
  QueuePair link(a_memory.slab(), b_memory.slab());
  std::vector<std::byte*> taken;
  while (std::byte* obj = b_memory.slab().Alloc(60)) taken.push_back(obj);
  std::array<Packet, 1> packet = {Make(a_memory.slab(), 5)};
  ASSERT_EQ(link.a().TransmitBurst(absl::MakeSpan(packet)), 1u);
  std::array<Packet, 1> out;
  EXPECT_EQ(link.b().ReceiveBurst(absl::MakeSpan(out), kNow), 0u);
  EXPECT_EQ(link.b().stats().rx_no_buffer, 1u);
  EXPECT_EQ(link.b().stats().rx_dropped, 0u);
  b_memory.slab().FreeBulk(taken);
  ASSERT_EQ(link.b().ReceiveBurst(absl::MakeSpan(out), kNow), 1u);
  EXPECT_EQ(Number(out[0]), 5u);
}

TEST(QueuePairTest, SharingHandsTheSendersObjOn) {
  zbuf::TestSlab memory;
  QueuePair link(memory.slab(), memory.slab(), {.share_objs = true});
  std::array<Packet, 1> packet = {Make(memory.slab(), 5)};
  const std::byte* address = packet[0].data.front().data();
  ASSERT_EQ(link.a().TransmitBurst(absl::MakeSpan(packet)), 1u);
  std::array<Packet, 1> out;
  ASSERT_EQ(link.b().ReceiveBurst(absl::MakeSpan(out), kNow), 1u);
  EXPECT_EQ(out[0].data.front().data(), address);
  EXPECT_EQ(link.b().stats().bytes_copied_rx, 0u);
}

TEST(QueuePairTest, OversizedFramesAreDroppedBySender) {
  zbuf::TestSlab memory;
  QueuePair link(memory.slab(), memory.slab(), {.mtu = 100});
  std::array<Packet, 2> packets = {Make(memory.slab(), 1, 119), Make(memory.slab(), 2, 118)};
  EXPECT_EQ(link.a().TransmitBurst(absl::MakeSpan(packets)), 2u);
  EXPECT_EQ(link.a().stats().tx_dropped, 1u);
  EXPECT_EQ(link.a().stats().tx_packets, 1u);
}

TEST(QueuePairTest, DestructionFreesWhatWaits) {
  zbuf::TestSlab memory;
  {
    QueuePair link(memory.slab(), memory.slab());
    std::array<Packet, 1> packet = {Make(memory.slab(), 5)};
    ASSERT_EQ(link.a().TransmitBurst(absl::MakeSpan(packet)), 1u);
    EXPECT_EQ(memory.outstanding(), 1u);
  }
  EXPECT_EQ(memory.outstanding(), 0u);
}

TEST(QueuePairTest, TwoThreadsExchangeFramesInOrder) {
  constexpr uint32_t kFrames = 50'000;
  zbuf::TestSlab a_memory;
  zbuf::TestSlab b_memory;
  QueuePair link(a_memory.slab(), b_memory.slab(), {.frames = 64});
  uint32_t wrong = 0;
  std::thread receiver([&] {
    b_memory.slab().BindToCurrentThread();
    std::array<Packet, 32> out;
    for (uint32_t next = 0; next < kFrames;) {
      const size_t n = link.b().ReceiveBurst(absl::MakeSpan(out), kNow);
      for (size_t i = 0; i < n; ++i) {
        wrong += Number(out[i]) != next++;
        out[i] = Packet();
      }
      if (n == 0) std::this_thread::yield();
    }
  });
  for (uint32_t next = 0; next < kFrames;) {
    std::array<Packet, 1> packet = {Make(a_memory.slab(), next)};
    while (link.a().TransmitBurst(absl::MakeSpan(packet)) == 0) std::this_thread::yield();
    a_memory.slab().DrainReturns();
    ++next;
  }
  receiver.join();
  b_memory.slab().BindToCurrentThread();
  EXPECT_EQ(wrong, 0u);
  EXPECT_EQ(link.b().stats().rx_packets, kFrames);
}

}  // namespace
}  // namespace luna::pmd
