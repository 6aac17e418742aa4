#include "luna/net/tcp/reassembly.h"

#include <algorithm>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "luna/mem/zbuf/testing/test_slab.h"

namespace luna::tcp {
namespace {

constexpr uint32_t kBase = 0xfffffc00;  // wraps within the windows below

class ReassemblyTest : public ::testing::Test {
 protected:
  bool Insert(uint32_t at, const std::string& text) { return queue_.Insert(SeqNum(kBase + at), memory_.Chain(text)); }
  // "3:abc 9:x": the blocks.
  std::string Blocks() const {
    std::string text;
    for (const auto& block : queue_.blocks()) {
      text += (text.empty() ? "" : " ") + std::to_string(block.start.raw() - kBase) + ":" + block.data.ToString();
    }
    return text;
  }
  std::string Take(uint32_t at) { return queue_.TakeFrom(SeqNum(kBase + at)).ToString(); }

  zbuf::TestSlab memory_;
  Reassembly queue_;
};

TEST_F(ReassemblyTest, JoinsNeighbours) {
  Insert(10, "kl");
  Insert(4, "ef");
  EXPECT_EQ(Blocks(), "4:ef 10:kl");
  Insert(6, "gh");
  EXPECT_EQ(Blocks(), "4:efgh 10:kl");
  Insert(8, "ij");
  EXPECT_EQ(Blocks(), "4:efghijkl");
  EXPECT_EQ(queue_.bytes(), 8u);
  EXPECT_EQ(queue_.slices(), 4u);
  EXPECT_EQ(Take(4), "efghijkl");
  EXPECT_TRUE(queue_.empty());
  EXPECT_EQ(queue_.bytes(), 0u);
}

TEST_F(ReassemblyTest, WhatCameFirstWins) {
  Insert(3, "ddd");
  Insert(1, "XXXXXXX");  // on both sides of it
  EXPECT_EQ(Blocks(), "1:XXdddXX");
  Insert(3, "YYY");
  EXPECT_EQ(Blocks(), "1:XXdddXX");
  Insert(7, "ZZZ");
  EXPECT_EQ(Blocks(), "1:XXdddXXZZ");
}

TEST_F(ReassemblyTest, OneSegmentFillsManyHoles) {
  for (uint32_t at : {2u, 6u, 10u}) Insert(at, "oo");
  Insert(0, "--------------");
  EXPECT_EQ(Blocks(), "0:--oo--oo--oo--");
}

TEST_F(ReassemblyTest, TakeDropsWhatLiesBefore) {
  Insert(2, "cdef");
  Insert(10, "kl");
  EXPECT_EQ(Take(1), "");
  EXPECT_EQ(Take(4), "ef");
  EXPECT_EQ(Blocks(), "10:kl");
  EXPECT_EQ(Take(13), "");
  EXPECT_EQ(Blocks(), "");
}

TEST_F(ReassemblyTest, HolesAreBounded) {
  for (uint32_t i = 0; i < Reassembly::kMaxBlocks; ++i) EXPECT_TRUE(Insert(10 * i, "x"));
  EXPECT_FALSE(Insert(5, "y"));
  EXPECT_EQ(queue_.blocks().size(), Reassembly::kMaxBlocks);
  EXPECT_TRUE(Insert(1, "z"));  // joins: no new block
  EXPECT_EQ(queue_.bytes(), Reassembly::kMaxBlocks + 1);
}

uint64_t Seed() {
  const char* replay = std::getenv("LUNA_TEST_SEED");
  return replay != nullptr ? std::strtoull(replay, nullptr, 0) : 20240611;
}

// Against an array of octets, each of which remembers what was put there first. Every insertion writes other octets.
TEST_F(ReassemblyTest, AgreesWithAByteArray) {
  const uint64_t seed = Seed();
  SCOPED_TRACE("LUNA_TEST_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  constexpr uint32_t kSpace = 3000;
  std::vector<char> model(kSpace, 0);
  uint32_t next = 0;
  for (int step = 0; step < 20000; ++step) {
    if (next + 200 > kSpace || random() % 400 == 0) {
      queue_.Clear();
      model.assign(kSpace, 0);
      next = 0;
    }
    const auto at = static_cast<uint32_t>(next + 1 + random() % (kSpace - next - 100));
    const auto length = static_cast<uint32_t>(1 + random() % (random() % 4 == 0 ? 99 : 9));
    std::string text(length, static_cast<char>('a' + random() % 26));
    const size_t blocks_before = queue_.blocks().size();
    if (Insert(at, text)) {
      for (uint32_t i = 0; i < length; ++i) model[at + i] = model[at + i] == 0 ? text[i] : model[at + i];
    } else {
      // Only a full list refuses; whether a part went in is seen below.
      ASSERT_GE(blocks_before + 1, Reassembly::kMaxBlocks);
      for (const auto& block : queue_.blocks()) {
        const uint32_t start = block.start.raw() - kBase;
        const std::string held = block.data.ToString();
        for (uint32_t i = 0; i < held.size(); ++i) {
          if (model[start + i] == 0) model[start + i] = held[i];
        }
      }
    }
    if (random() % 8 == 0) {
      next += static_cast<uint32_t>(random() % 40);
      std::string expected;
      uint32_t end = next;
      while (end < kSpace && model[end] != 0) expected += model[end++];
      ASSERT_EQ(Take(next), expected);
      for (uint32_t i = 0; i < end; ++i) model[i] = 0;
      next = end;
    }
    uint32_t bytes = 0;
    SeqNum last(kBase);
    for (const auto& block : queue_.blocks()) {
      ASSERT_TRUE(block.start > last || block.start == SeqNum(kBase)) << "sorted, disjoint, not touching";
      ASSERT_FALSE(block.data.empty());
      last = block.end();
      bytes += static_cast<uint32_t>(block.data.bytes());
      const std::string held = block.data.ToString();
      ASSERT_EQ(held, std::string(&model[block.start.raw() - kBase], held.size()));
    }
    ASSERT_EQ(queue_.bytes(), bytes);
    ASSERT_EQ(bytes, static_cast<uint32_t>(std::count_if(model.begin(), model.end(), [](char c) { return c != 0; })));
  }
  queue_.Clear();
}

}  // namespace
}  // namespace luna::tcp
