#include "luna/net/tcp/sack_report.h"

#include <algorithm>
#include <cstdlib>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "luna/mem/zbuf/testing/test_slab.h"

namespace luna::tcp {
namespace {

constexpr uint32_t kBase = 0xffffff80;  // wraps within what follows

class SackReportTest : public ::testing::Test {
 protected:
  static SeqNum At(uint32_t n) { return SeqNum(kBase + n); }
  void Store(uint32_t start, uint32_t end) {
    const Reassembly::Range held = queue_.FirstHeld(At(start), At(end));
    if (held.start != held.end) report_.OnDuplicate(held.start, held.end);
    queue_.Insert(At(start), memory_.Chain(std::string(end - start, 'x')));
    report_.OnStored(At(start), queue_);
  }
  // "10-20 40-50": what is reported, and then was sent.
  std::string Sent(size_t room = 4, uint32_t rcv_nxt = 0) {
    wire::TcpOptions options;
    options.sack_count = 3;  // of no meaning
    report_.Fill(queue_, At(rcv_nxt), room, &options);
    report_.OnSent();
    std::string text;
    for (const wire::TcpSackBlock& block : options.sack_blocks()) {
      text +=
          (text.empty() ? "" : " ") + std::to_string(block.left - kBase) + "-" + std::to_string(block.right - kBase);
    }
    return text;
  }

  zbuf::TestSlab memory_;
  Reassembly queue_;
  SackReport report_;
};

// RFC 2018 §4: first the block of the segment that came last, then those reported most recently.
TEST_F(SackReportTest, MostRecentFirst) {
  EXPECT_EQ(Sent(), "");
  Store(40, 50);
  EXPECT_EQ(Sent(), "40-50");
  Store(60, 70);
  EXPECT_EQ(Sent(), "60-70 40-50");
  Store(20, 30);
  EXPECT_EQ(Sent(), "20-30 60-70 40-50");
  Store(50, 55);
  EXPECT_EQ(Sent(), "40-55 20-30 60-70") << "a block that grew moves to the front";
  Store(55, 60);
  EXPECT_EQ(Sent(), "40-70 20-30") << "blocks that merged are one";
  Store(80, 90);
  Store(100, 110);
  Store(120, 130);
  EXPECT_EQ(Sent(), "120-130 100-110 80-90 40-70");
  EXPECT_EQ(Sent(3), "120-130 100-110 80-90");
  EXPECT_EQ(Sent(0), "");
}

// RFC 2018 §8, the cases of its example: segments of 500, the first of eight is lost; every other one is lost.
TEST_F(SackReportTest, TheExamplesOfTheRfc) {
  for (uint32_t end = 1000; end <= 4000; end += 500) {
    Store(end - 500, end);
    EXPECT_EQ(Sent(3), "500-" + std::to_string(end));
  }
  queue_.Clear();
  std::string expected;
  for (uint32_t start : {500u, 1500u, 2500u, 3500u}) {
    Store(start, start + 500);
    const std::string block = std::to_string(start) + "-" + std::to_string(start + 500);
    expected = block + (expected.empty() ? "" : " ") + expected;
    if (start == 3500) expected.resize(expected.rfind(' '));
    EXPECT_EQ(Sent(3), expected);
  }
  // The fourth is received: the blocks around it become one. Then the second; its block is at RCV.NXT's side.
  Store(2000, 2500);
  EXPECT_EQ(Sent(3), "1500-3000 3500-4000 500-1000");
  queue_.TakeFrom(At(500));
  EXPECT_EQ(Sent(3, 1000), "1500-3000 3500-4000");
}

TEST_F(SackReportTest, WhatFellOffTheListIsReportedWhenThereIsRoom) {
  for (uint32_t n = 10; n <= 60; n += 10) Store(n, n + 5);
  EXPECT_EQ(Sent(), "60-65 50-55 40-45 30-35");
  Store(65, 70);
  Store(55, 60);
  EXPECT_EQ(Sent(), "50-70 40-45 30-35 10-15");
}

// RFC 2883 §4.1: the duplicate first, and once only; below RCV.NXT nothing has to follow it.
TEST_F(SackReportTest, DuplicateBelowTheWindow) {
  report_.OnDuplicate(At(0), At(10));
  report_.OnDuplicate(At(3), At(5));
  EXPECT_EQ(Sent(4, 20), "0-10") << "the first one since the last acknowledgement";
  EXPECT_EQ(Sent(4, 20), "");
  Store(30, 40);
  report_.OnDuplicate(At(0), At(10));
  EXPECT_EQ(Sent(4, 20), "0-10 30-40");
  EXPECT_EQ(Sent(4, 20), "30-40");
}

// RFC 2883 §4.1.2 and §4.2: a duplicate inside a block is followed by that block.
TEST_F(SackReportTest, DuplicateWithinABlock) {
  Store(10, 20);
  Store(30, 60);
  Store(70, 80);
  Sent();
  Store(40, 50);
  EXPECT_EQ(Sent(), "40-50 30-60 70-80 10-20");
  EXPECT_EQ(Sent(), "30-60 70-80 10-20");
  Store(70, 80);
  EXPECT_EQ(Sent(), "70-80 70-80 30-60 10-20") << "the same numbers twice";
  EXPECT_EQ(Sent(1), "70-80");
}

TEST_F(SackReportTest, PartlyDuplicate) {
  Store(10, 20);
  Sent();
  Store(15, 25);
  EXPECT_EQ(Sent(), "15-20 10-25");
  Store(5, 30);
  EXPECT_EQ(Sent(), "10-25 5-30");
  Store(40, 50);
  Sent();
  Store(20, 60);
  EXPECT_EQ(Sent(), "20-30 5-60") << "only the first run that is held";
}

TEST_F(SackReportTest, TakenBlocksAreNotReported) {
  Store(10, 20);
  Store(30, 40);
  queue_.TakeFrom(At(10));
  EXPECT_EQ(Sent(4, 20), "30-40");
  queue_.Clear();
  EXPECT_EQ(Sent(4, 40), "");
}

// Against a model that keeps the octets in a set and each block's age by looking at every octet's arrival.
TEST_F(SackReportTest, AgreesWithAModel) {
  const char* replay = std::getenv("LUNA_TEST_SEED");
  const uint64_t seed = replay != nullptr ? std::strtoull(replay, nullptr, 0) : 2018;
  SCOPED_TRACE("LUNA_TEST_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  constexpr uint32_t kSpace = 400;
  for (int round = 0; round < 200; ++round) {
    queue_.Clear();
    report_ = SackReport();
    std::vector<int> arrived(kSpace, 0);  // step at which the octet, or its first copy's segment, was last touched
    std::set<uint32_t> held;
    for (int step = 1; step <= 60; ++step) {
      const auto start = static_cast<uint32_t>(1 + random() % (kSpace - 30));
      const auto end = static_cast<uint32_t>(start + 1 + random() % 20);
      uint32_t dup_start = start;
      while (dup_start < end && !held.contains(dup_start)) ++dup_start;
      uint32_t dup_end = dup_start;
      while (dup_end < end && held.contains(dup_end)) ++dup_end;
      Store(start, end);
      for (uint32_t n = start; n < end; ++n) held.insert(n);
      arrived[start] = step;
      // The model's blocks, and for each the last segment that began in it.
      std::vector<std::pair<int, std::string>> blocks;
      std::string around;
      for (uint32_t n = 0; n < kSpace;) {
        if (!held.contains(n)) {
          ++n;
          continue;
        }
        const uint32_t first = n;
        int age = 0;
        for (; n < kSpace && held.contains(n); ++n) age = std::max(age, arrived[n]);
        const std::string text = std::to_string(first) + "-" + std::to_string(n);
        blocks.emplace_back(age, text);
        if (dup_start < dup_end && first <= dup_start && dup_start < n) around = text;
      }
      std::sort(blocks.rbegin(), blocks.rend());
      std::string expected;
      size_t count = 0;
      if (dup_start < dup_end) {
        expected = std::to_string(dup_start) + "-" + std::to_string(dup_end) + " " + around;
        count = 2;
      }
      for (const auto& [age, text] : blocks) {
        if (count == 4) break;
        if (dup_start < dup_end && text == around) continue;
        expected += (expected.empty() ? "" : " ") + text;
        ++count;
      }
      // What fell off the list comes back lowest first, not by age: compare the sure part, then the count.
      wire::TcpOptions options;
      report_.Fill(queue_, At(0), 4, &options);
      ASSERT_EQ(options.sack_count, count);
      const std::string sent = Sent();
      const size_t sure = dup_start < dup_end ? expected.find(' ', expected.find(' ') + 1) : expected.find(' ');
      ASSERT_EQ(sent.substr(0, sure), expected.substr(0, sure)) << "step " << step;
      std::set<std::string> distinct;
      for (const wire::TcpSackBlock& block : options.sack_blocks().subspan(dup_start < dup_end ? 1 : 0)) {
        const Reassembly::Block* real = queue_.Holding(SeqNum(block.left));
        ASSERT_NE(real, nullptr);
        ASSERT_EQ(real->start.raw(), block.left);
        ASSERT_EQ(real->end().raw(), block.right);
        ASSERT_TRUE(distinct.insert(std::to_string(block.left)).second) << "a block twice";
      }
    }
  }
}

}  // namespace
}  // namespace luna::tcp
