#include "luna/net/pmd/xdp/ring.h"

#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace luna::pmd::xdp {
namespace {

struct Shared {
  uint32_t producer, consumer, flags = 0;
  std::vector<uint64_t> entries;
  Shared(uint32_t size, uint32_t first) : producer(first), consumer(first), entries(size) {}
  RingMemory<uint64_t> View() {
    return {&producer, &consumer, &flags, entries.data(), static_cast<uint32_t>(entries.size())};
  }
};

// Free-running indices from the start and over the wrap of 32 bits.
class RingTest : public ::testing::TestWithParam<uint32_t> {
 protected:
  Shared shared_{8, GetParam()};
  ProducerRing<uint64_t> producer_{shared_.View()};
  ConsumerRing<uint64_t> consumer_{shared_.View()};
};
INSTANTIATE_TEST_SUITE_P(FirstIndex, RingTest, ::testing::Values(0u, 3u, 0xfffffffcu));

TEST_P(RingTest, FirstInFirstOutOverManyTurns) {
  uint64_t next = 0, expected = 0;
  for (int turn = 0; turn < 20; ++turn) {
    const uint32_t n = 1 + turn % 8;
    ASSERT_GE(producer_.Free(n), n);
    for (uint32_t i = 0; i < n; ++i) producer_.Push(next++);
    producer_.Publish();
    ASSERT_EQ(producer_.Pending(), n);
    ASSERT_EQ(consumer_.Available(), n);
    for (uint32_t i = 0; i < n; ++i) ASSERT_EQ(consumer_.Pop(), expected++);
    consumer_.Release();
    ASSERT_EQ(producer_.Pending(), 0u);
  }
}

TEST_P(RingTest, FullAndEmpty) {
  EXPECT_EQ(consumer_.Available(), 0u);
  EXPECT_EQ(producer_.Free(8), 8u);
  for (uint64_t i = 0; i < 8; ++i) producer_.Push(i);
  EXPECT_EQ(producer_.Free(1), 0u);
  EXPECT_EQ(consumer_.Available(), 0u) << "not published yet";
  producer_.Publish();
  EXPECT_EQ(consumer_.Available(), 8u);
  consumer_.Pop();
  EXPECT_EQ(producer_.Free(1), 0u) << "not released yet";
  consumer_.Release();
  EXPECT_EQ(producer_.Free(1), 1u);
}

TEST_P(RingTest, NeedsWakeupIsTheKernelsFlag) {
  EXPECT_FALSE(producer_.NeedsWakeup());
  shared_.flags = kRingNeedsWakeup;
  EXPECT_TRUE(producer_.NeedsWakeup());
}

// For ThreadSanitizer, and for the order of entry and index.
TEST_P(RingTest, TwoThreads) {
  constexpr uint64_t kEntries = 20000;
  std::thread other([this] {
    for (uint64_t i = 0; i < kEntries;) {
      const uint32_t free = producer_.Free(4);
      for (uint32_t k = 0; k < free && i < kEntries; ++k) producer_.Push(i++ * 7);
      producer_.Publish();
      if (free == 0) std::this_thread::yield();
    }
  });
  for (uint64_t i = 0; i < kEntries;) {
    const uint32_t available = consumer_.Available();
    for (uint32_t k = 0; k < available; ++k) EXPECT_EQ(consumer_.Pop(), i++ * 7);
    consumer_.Release();
    if (available == 0) std::this_thread::yield();
  }
  other.join();
}

TEST(RingDeathTest, TheSizeIsAPowerOfTwo) {
  Shared shared(6, 0);
  EXPECT_DEATH(ProducerRing<uint64_t>(shared.View()), "ring of 6");
}

}  // namespace
}  // namespace luna::pmd::xdp
