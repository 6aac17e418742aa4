#include "luna/net/tcp/scoreboard.h"

#include <algorithm>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "gtest/gtest.h"

namespace luna::tcp {
namespace {

using Record = Scoreboard::Record;
using Delivery = Scoreboard::Delivery;

constexpr uint32_t kMss = 100;
constexpr SeqNum kBase(0xffffff00);  // wraps after 256 octets
constexpr Time AtTime(int64_t us) { return Time::FromNanoseconds(1'000'000'000 + us * 1000); }

wire::TcpSackBlock Block(uint32_t left, uint32_t right) { return {(kBase + left).raw(), (kBase + right).raw()}; }

class ScoreboardTest : public ::testing::Test {
 protected:
  // `n` segments of kMss octets, 1 us apart.
  void Send(int n, int64_t us = 0) {
    for (int i = 0; i < n; ++i) {
      board_.Push(kBase + sent_, kMss, false, false, false, AtTime(us++));
      sent_ += kMss;
    }
  }
  Delivery Start(int64_t us) {
    Delivery d;
    d.now = AtTime(us);
    d.window = 10000;
    board_.Start(&d);
    return d;
  }
  Delivery Sack(std::vector<wire::TcpSackBlock> blocks, uint32_t una = 0, int64_t us = 1000) {
    Delivery d = Start(us);
    board_.ApplySack(blocks, kBase + una, kMss, &d);
    EXPECT_TRUE(board_.IsConsistent());
    return d;
  }
  Delivery Ack(uint32_t ack, int64_t us = 1000) {
    Delivery d = Start(us);
    board_.AckTo(kBase + ack, &d);
    EXPECT_TRUE(board_.IsConsistent());
    return d;
  }
  // "S" SACKed, "L" lost, "R" retransmitted, "." in flight; one for each record.
  std::string Text() const {
    std::string text;
    for (size_t i = 0; i < board_.size(); ++i) {
      const Record& r = board_.at(i);
      text += r.Is(Record::kSacked) ? 'S' : r.Is(Record::kRetransmitted) ? 'R' : r.Is(Record::kLost) ? 'L' : '.';
    }
    return text;
  }

  Scoreboard board_;
  uint32_t sent_ = 0;
};

TEST_F(ScoreboardTest, AcknowledgementsPopRecordsAndMeasure) {
  Send(10);
  EXPECT_EQ(board_.pipe(), 1000u);
  const Delivery d = Ack(300);
  EXPECT_EQ(d.bytes, 300u);
  EXPECT_EQ(d.acked_segments, 3u);
  EXPECT_TRUE(d.has_rtt);
  EXPECT_EQ(d.oldest_sent, AtTime(0));
  EXPECT_EQ(d.newest_sent, AtTime(2));
  EXPECT_EQ(d.rack_sent, AtTime(2));
  EXPECT_EQ(d.rack_end, kBase + 300);
  EXPECT_EQ(board_.front().seq, kBase + 300);
  EXPECT_EQ(board_.pipe(), 700u);
}

TEST_F(ScoreboardTest, APartOfASegmentIsTrimmed) {
  Send(2);
  const Delivery d = Ack(30);
  EXPECT_EQ(d.bytes, 30u);
  EXPECT_EQ(d.acked_segments, 0u);
  EXPECT_FALSE(d.has_rtt);
  EXPECT_EQ(board_.front().bytes, 70);
  EXPECT_EQ(board_.pipe(), 170u);
}

TEST_F(ScoreboardTest, PipeCountsByRfc6675) {
  Send(10);
  Sack({Block(300, 600)});
  EXPECT_EQ(Text(), "...SSS....");
  EXPECT_EQ(board_.pipe(), 700u);
  for (size_t i = 0; i < 3; ++i) EXPECT_TRUE(board_.MarkLost(i));
  EXPECT_FALSE(board_.MarkLost(0));  // known
  EXPECT_FALSE(board_.MarkLost(4));  // delivered
  EXPECT_EQ(Text(), "LLLSSS....");
  EXPECT_EQ(board_.pipe(), 400u);
  EXPECT_EQ(board_.FirstWaiting(), 0u);
  board_.Retransmitted(0, AtTime(500));
  board_.Retransmitted(1, AtTime(501));
  EXPECT_EQ(Text(), "RRLSSS....");
  EXPECT_EQ(board_.pipe(), 600u);
  EXPECT_EQ(board_.FirstWaiting(), 2u);
  EXPECT_TRUE(board_.MarkLost(1));  // once more
  EXPECT_EQ(board_.FirstWaiting(), 1u);
  EXPECT_EQ(board_.pipe(), 500u);
  board_.ForgetLosses();
  EXPECT_EQ(Text(), "...SSS....");
  EXPECT_TRUE(board_.IsConsistent());
  EXPECT_EQ(board_.FirstWaiting(), board_.size());
}

TEST_F(ScoreboardTest, ALostSegmentMayTurnUp) {
  Send(4);
  Sack({Block(300, 400)});
  for (size_t i = 0; i < 3; ++i) board_.MarkLost(i);
  board_.Retransmitted(0, AtTime(900));
  Delivery d = Sack({Block(0, 200), Block(300, 400)});
  EXPECT_EQ(d.bytes, 200u);
  EXPECT_EQ(Text(), "SSLS");
  EXPECT_TRUE(d.reordered);  // the second was sent once only, and was overtaken
  EXPECT_EQ(d.reordered_low, kBase + 100);
}

TEST_F(ScoreboardTest, WhatOneAcknowledgementReportsHasNoOrder) {
  Send(6);
  EXPECT_FALSE(Sack({Block(400, 500), Block(100, 200)}).reordered);
  EXPECT_TRUE(Sack({Block(200, 300)}).reordered);
  EXPECT_FALSE(Sack({Block(500, 600)}).reordered);
}

// RFC 2018 §5, and what an attacker might send.
TEST_F(ScoreboardTest, OnlyBlocksInsideTheFlightCount) {
  Send(5);
  Ack(100);
  const struct {
    uint32_t left, right;
    int bogus;
    const char* text;
  } kCases[] = {
      {500, 600, 1, "...."},         // never sent
      {400, 501, 1, "...."},         // partly
      {300, 300, 1, "...."},         // empty
      {300, 200, 1, "...."},         // backwards
      {50, 300, 1, "...."},          // across SND.UNA
      {0x80000100, 300, 1, "...."},  // half the space
      {200, 300, 0, ".S.."},
  };
  for (const auto& c : kCases) {
    const Delivery d = Sack({Block(200, 200), Block(c.left, c.right)}, 100);
    EXPECT_EQ(d.bogus_blocks, c.bogus + 1) << c.left;
    EXPECT_EQ(Text(), c.text) << c.left << "-" << c.right;
  }
}

// RFC 2883 §4.
TEST_F(ScoreboardTest, DuplicateSack) {
  Send(10);
  Ack(300);
  Delivery d = Sack({Block(100, 200)}, 300);  // below the number
  EXPECT_TRUE(d.dsack);
  EXPECT_EQ(d.dsack_left, kBase + 100);
  EXPECT_EQ(d.dsack_right, kBase + 200);
  EXPECT_EQ(Text(), ".......");
  d = Sack({Block(500, 600), Block(400, 700)}, 300);  // inside the second
  EXPECT_TRUE(d.dsack);
  EXPECT_EQ(Text(), ".SSS...");
  d = Sack({Block(400, 700), Block(800, 900)}, 300);
  EXPECT_FALSE(d.dsack);
  EXPECT_EQ(d.bogus_blocks, 0);
  d = Sack({Block(0u - 20000, 0u - 19900)}, 300);  // older than any window
  EXPECT_FALSE(d.dsack);
}

TEST_F(ScoreboardTest, APartOfASegmentIsNotSacked) {
  Send(5);
  const Delivery d = Sack({Block(150, 350)});
  EXPECT_EQ(Text(), "..S..");
  EXPECT_EQ(d.bytes, 100u);
}

// After the segment size shrank, records are longer than segments: they are cut where the blocks end.
TEST_F(ScoreboardTest, LongRecordsAreCutAtSegments) {
  board_.Push(kBase, 1000, true, true, false, AtTime(0));
  sent_ = 1001;
  Sack({Block(200, 500)});
  EXPECT_EQ(Text(), ".S.");
  EXPECT_EQ(board_.at(1).seq, kBase + 200);
  EXPECT_EQ(board_.at(1).bytes, 300);
  EXPECT_TRUE(board_.at(2).Is(Record::kFin));
  EXPECT_FALSE(board_.at(0).Is(Record::kFin));
  Sack({Block(620, 1001)});  // cut upwards to whole segments
  EXPECT_EQ(Text(), ".S.S");
  EXPECT_EQ(board_.at(3).seq, kBase + 700);
  Ack(1001);
  EXPECT_TRUE(board_.empty());
}

TEST_F(ScoreboardTest, RetransmissionsDoNotMeasure) {
  Send(3);
  board_.MarkLost(0);
  board_.Retransmitted(0, AtTime(5000));
  Delivery d = Start(5010);
  d.min_rtt = Duration::Microseconds(100);
  board_.AckTo(kBase + 100, &d);
  EXPECT_FALSE(d.has_rtt);
  EXPECT_TRUE(d.retransmission_acked);
  EXPECT_FALSE(d.has_newest);  // after 10 us it is not the retransmission that was answered
}

TEST_F(ScoreboardTest, Reneging) {
  Send(4);
  Sack({Block(100, 300)});
  board_.ForgetSacks();
  EXPECT_EQ(Text(), "....");
  EXPECT_TRUE(board_.IsConsistent());
  EXPECT_EQ(board_.pipe(), 400u);
}

TEST_F(ScoreboardTest, TheRingGrowsAndComesHome) {
  EXPECT_EQ(board_.capacity(), 2u);
  Send(500);
  EXPECT_EQ(board_.capacity(), 512u);
  Ack(50000);
  EXPECT_TRUE(board_.empty());
  Send(10);
  Ack(51000);
  EXPECT_EQ(board_.capacity(), 2u);
}

// Against one entry per octet.
class Model {
 public:
  explicit Model(uint64_t seed) : random_(seed), una_(static_cast<uint32_t>(random_())), nxt_(una_) {
    mss_ = 10 + random_() % 50;
  }

  void Step() {
    switch (random_() % 7) {
      case 0:
      case 1:
        return Push();
      case 2:
        return Ack();
      case 3:
      case 4:
        return Sack();
      case 5:
        return Lose();
      default:
        return Retransmit();
    }
  }

  void Check() {
    ++us_;
    ASSERT_TRUE(board_.IsConsistent());
    uint32_t pipe = 0;
    for (const Octet& o : octets_) pipe += (o.sacked || (o.lost && !o.retransmitted)) ? 0 : 1;
    ASSERT_EQ(board_.pipe(), pipe);
    for (size_t i = 0; i < board_.size(); ++i) {
      const Octet& o = At(board_.at(i).seq);
      ASSERT_EQ(board_.at(i).Is(Record::kSacked), o.sacked);
      ASSERT_EQ(board_.at(i).waits(), o.lost && !o.retransmitted);
    }
    const size_t waiting = board_.FirstWaiting();
    for (size_t i = 0; i < waiting && i < board_.size(); ++i) ASSERT_FALSE(board_.at(i).waits());
  }

 private:
  struct Octet {
    bool sacked = false, lost = false, retransmitted = false;
  };
  Octet& At(SeqNum seq) { return octets_[static_cast<size_t>(seq - una_)]; }

  void Push() {
    for (uint64_t n = random_() % 12; n > 0; --n) {
      const auto bytes = static_cast<uint32_t>(random_() % 3 ? mss_ : 1 + random_() % (3 * mss_));
      board_.Push(nxt_, bytes, false, false, false, AtTime(us_));
      nxt_ += bytes;
      octets_.resize(octets_.size() + bytes);
    }
  }

  void Ack() {
    const auto flight = static_cast<uint32_t>(nxt_ - una_);
    if (flight == 0) return;
    const auto acked = static_cast<uint32_t>(random_() % 4 ? board_.at(random_() % board_.size()).seq - una_
                                                           : static_cast<int32_t>(random_() % (flight + 1)));
    uint32_t expected = 0;
    for (uint32_t i = 0; i < acked; ++i) expected += octets_[i].sacked ? 0 : 1;
    Delivery d;
    board_.AckTo(una_ + acked, &d);
    EXPECT_EQ(d.bytes, expected);
    octets_.erase(octets_.begin(), octets_.begin() + acked);
    una_ += acked;
  }

  void Sack() {
    if (board_.empty()) return;
    std::vector<wire::TcpSackBlock> blocks;  // of whole records, so that both agree
    for (uint64_t n = 1 + random_() % 4; n > 0; --n) {
      const size_t first = random_() % board_.size();
      const size_t last = std::min<size_t>(board_.size() - 1, first + random_() % 5);
      blocks.push_back({board_.at(first).seq.raw(), board_.at(last).end().raw()});
    }
    Delivery d;
    d.window = 1 << 20;
    board_.Start(&d);
    board_.ApplySack(blocks, una_, mss_, &d);
    uint32_t expected = 0;
    for (size_t b = d.dsack ? 1 : 0; b < blocks.size(); ++b) {
      for (SeqNum s(blocks[b].left); s < SeqNum(blocks[b].right); s += 1) {
        expected += At(s).sacked ? 0 : 1;
        At(s) = {.sacked = true};
      }
    }
    EXPECT_EQ(d.bytes, expected);
    EXPECT_EQ(d.bogus_blocks, 0);
  }

  void Lose() {
    for (size_t i = 0; i < board_.size(); ++i) {
      if (random_() % 4) continue;
      const bool news = board_.MarkLost(i);
      for (SeqNum s = board_.at(i).seq; s < board_.at(i).end(); s += 1) {
        EXPECT_TRUE(!news || !At(s).sacked);
        if (!At(s).sacked) At(s) = {.lost = true};
      }
    }
    if (random_() % 20) return;
    board_.ForgetLosses();
    for (Octet& o : octets_) o.lost = o.retransmitted = false;
  }

  void Retransmit() {
    while (board_.AnyWaiting() && random_() % 3) {
      const size_t i = board_.FirstWaiting();
      if (board_.at(i).bytes > mss_) board_.Split(i, mss_);
      board_.Retransmitted(i, AtTime(us_));
      for (SeqNum s = board_.at(i).seq; s < board_.at(i).end(); s += 1) At(s).retransmitted = true;
    }
  }

  std::mt19937_64 random_;
  Scoreboard board_;
  std::vector<Octet> octets_;  // from una_
  SeqNum una_;
  SeqNum nxt_;
  uint32_t mss_;
  int64_t us_ = 0;
};

void RunSeed(uint64_t seed) {
  SCOPED_TRACE("LUNA_TEST_SEED=" + std::to_string(seed));
  Model model(seed);
  for (int step = 0; step < 600 && !::testing::Test::HasFailure(); ++step) {
    model.Step();
    model.Check();
  }
}

TEST(ScoreboardModel, AgreesWithOneEntryPerOctet) {
  if (const char* seed = std::getenv("LUNA_TEST_SEED")) return RunSeed(std::strtoull(seed, nullptr, 0));
  for (uint64_t seed = 1; seed <= 60 && !::testing::Test::HasFailure(); ++seed) RunSeed(seed);
}

}  // namespace
}  // namespace luna::tcp
