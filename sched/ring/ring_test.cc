#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "luna/sched/ring/mpsc_queue.h"
#include "luna/sched/ring/spsc_ring.h"

namespace luna {
namespace {

using Box = std::unique_ptr<uint64_t>;

Box Boxed(uint64_t n) { return std::make_unique<uint64_t>(n); }

TEST(SpscRing, IsFullAtItsCapacityAndKeepsTheOrder) {
  SpscRing<Box> ring(3);
  ASSERT_EQ(ring.capacity(), 4u);
  Box out;
  EXPECT_FALSE(ring.TryPop(&out));
  uint64_t pushed = 0, popped = 0;
  for (int round = 0; round < 10; ++round) {  // around the end again and again
    while (ring.TryPush(Boxed(pushed))) ++pushed;
    EXPECT_EQ(ring.size(), 4u);
    Box refused = Boxed(99);
    EXPECT_FALSE(ring.TryPush(std::move(refused)));
    EXPECT_NE(refused, nullptr) << "it stays with the caller";
    for (int i = 0; i < 3; ++i) {
      ASSERT_TRUE(ring.TryPop(&out));
      EXPECT_EQ(*out, popped++);
    }
  }
  EXPECT_EQ(ring.size(), pushed - popped);  // and what is left is destroyed with it: the leak checker looks
}

TEST(MpscQueue, IsFullAtItsCapacityAndKeepsTheOrder) {
  MpscQueue<Box> queue(4);
  ASSERT_EQ(queue.capacity(), 4u);
  Box out;
  EXPECT_FALSE(queue.TryPop(&out));
  uint64_t pushed = 0, popped = 0;
  for (int round = 0; round < 10; ++round) {
    while (queue.TryPush(Boxed(pushed))) ++pushed;
    EXPECT_EQ(pushed - popped, 4u);
    Box refused = Boxed(99);
    EXPECT_FALSE(queue.TryPush(std::move(refused)));
    EXPECT_NE(refused, nullptr);
    for (int i = 0; i < 3; ++i) {
      ASSERT_TRUE(queue.TryPop(&out));
      EXPECT_EQ(*out, popped++);
    }
  }
}

// Run under --config=tsan: the values' own memory is handed over, too.
TEST(SpscRing, HandsOverBetweenTwoThreads) {
  constexpr uint64_t kValues = 50'000;
  SpscRing<Box> ring(64);
  std::thread producer([&ring] {
    for (uint64_t n = 0; n < kValues;) {
      if (ring.TryPush(Boxed(n))) {
        ++n;
      } else {
        std::this_thread::yield();
      }
    }
  });
  Box out;
  for (uint64_t n = 0; n < kValues;) {
    if (!ring.TryPop(&out)) {
      std::this_thread::yield();
      continue;
    }
    ASSERT_EQ(*out, n);
    ++n;
  }
  producer.join();
  EXPECT_TRUE(ring.empty());
}

TEST(MpscQueue, TakesFromManyThreadsInTheOrderOfEach) {
  constexpr uint64_t kProducers = 4, kValues = 20'000;
  MpscQueue<Box> queue(64);
  std::vector<std::thread> producers;
  for (uint64_t p = 0; p < kProducers; ++p) {
    producers.emplace_back([&queue, p] {
      for (uint64_t n = 0; n < kValues;) {
        if (queue.TryPush(Boxed(p << 32 | n))) {
          ++n;
        } else {
          std::this_thread::yield();
        }
      }
    });
  }
  std::vector<uint64_t> next(kProducers, 0);
  Box out;
  for (uint64_t taken = 0; taken < kProducers * kValues;) {
    if (!queue.TryPop(&out)) {
      std::this_thread::yield();
      continue;
    }
    ASSERT_EQ(*out & 0xffffffff, next[*out >> 32]++);
    ++taken;
  }
  for (std::thread& producer : producers) producer.join();
  EXPECT_FALSE(queue.TryPop(&out));
}

}  // namespace
}  // namespace luna
