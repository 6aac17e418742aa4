#include "luna/net/tcp/receiver.h"

#include <algorithm>
#include <cstdlib>
#include <random>
#include <string>

#include "gtest/gtest.h"
#include "luna/mem/zbuf/testing/test_slab.h"

namespace luna::tcp {
namespace {

constexpr uint32_t kMss = 1000;
constexpr SeqNum kIrs(0xffffff00);

class ReceiverTest : public ::testing::Test {
 protected:
  void Start(uint32_t buffer, uint8_t shift = 0) { receiver_.Start(kIrs, buffer, shift); }
  uint32_t Accept(uint32_t bytes) { return receiver_.AcceptInOrder(memory_.Chain(std::string(bytes, 'x'))); }

  zbuf::TestSlab memory_;
  Receiver receiver_;
};

// RFC 9293 §3.10.7.4, table 6.
TEST_F(ReceiverTest, AcceptabilityTable) {
  const struct {
    int32_t seq;  // relative to RCV.NXT
    uint32_t length;
    uint32_t window;
    bool acceptable;
  } kCases[] = {
      {0, 0, 0, true},     {1, 0, 0, false},   {-1, 0, 0, false},     // length 0, window 0
      {0, 0, 100, true},   {99, 0, 100, true}, {100, 0, 100, false},  // length 0
      {-1, 0, 100, false},                                            //
      {0, 1, 0, false},                                               // window 0
      {0, 1, 100, true},   {99, 1, 100, true}, {100, 1, 100, false},  //
      {-5, 5, 100, false}, {-5, 6, 100, true},                        // ends inside
      {99, 50, 100, true},                                            // begins inside
  };
  for (const auto& c : kCases) {
    Receiver receiver;
    receiver.Start(kIrs, c.window, 0);
    EXPECT_EQ(receiver.IsAcceptable(receiver.nxt() + static_cast<uint32_t>(c.seq), c.length), c.acceptable)
        << c.seq << "+" << c.length << " window " << c.window;
  }
}

TEST_F(ReceiverTest, TheFirstWindowIsWhatTheSynPromised) {
  Start(1u << 20, 5);
  EXPECT_EQ(receiver_.window(), 65535u);
  EXPECT_EQ(receiver_.Advertise(kMss), (1u << 20) >> 5);
  EXPECT_EQ(receiver_.window(), 1u << 20);
}

TEST_F(ReceiverTest, InOrderDataTakesWhatWaited) {
  Start(10000);
  const SeqNum nxt = receiver_.nxt();
  EXPECT_TRUE(receiver_.AcceptOutOfOrder(nxt + 5, memory_.Chain("fgh")));
  EXPECT_EQ(receiver_.AcceptInOrder(memory_.Chain("abcde")), 8u);
  EXPECT_EQ(receiver_.nxt(), nxt + 8);
  EXPECT_EQ(receiver_.Take(3).ToString(), "abc");
  EXPECT_EQ(receiver_.Take(100).ToString(), "defgh");
  EXPECT_EQ(receiver_.readable_bytes(), 0u);
}

TEST_F(ReceiverTest, UnreadDataClosesTheWindow) {
  Start(3000);
  EXPECT_EQ(receiver_.Advertise(kMss), 3000);
  Accept(2000);
  EXPECT_EQ(receiver_.Advertise(kMss), 1000);
  Accept(1000);
  EXPECT_EQ(receiver_.Advertise(kMss), 0);
}

// RFC 9293 §3.8.6.2.2: the edge moves by a segment or half the buffer, or not at all.
TEST_F(ReceiverTest, SmallReadsDoNotOpenTheWindow) {
  Start(4000);
  Accept(4000);
  EXPECT_EQ(receiver_.Advertise(kMss), 0);
  receiver_.Take(999);
  EXPECT_FALSE(receiver_.NeedsWindowUpdate(kMss));
  EXPECT_EQ(receiver_.Advertise(kMss), 0);
  receiver_.Take(1);
  EXPECT_TRUE(receiver_.NeedsWindowUpdate(kMss));
  EXPECT_EQ(receiver_.Advertise(kMss), 1000);
  EXPECT_FALSE(receiver_.NeedsWindowUpdate(kMss));
}

TEST_F(ReceiverTest, ABufferSmallerThanASegmentOpensByHalves) {
  Start(600);
  Accept(600);
  EXPECT_EQ(receiver_.Advertise(kMss), 0);
  receiver_.Take(299);
  EXPECT_FALSE(receiver_.NeedsWindowUpdate(kMss));
  receiver_.Take(1);
  EXPECT_TRUE(receiver_.NeedsWindowUpdate(kMss));
  EXPECT_EQ(receiver_.Advertise(kMss), 300);
}

TEST_F(ReceiverTest, TheFinTakesANumberEvenWithoutAWindow) {
  Start(100);
  Accept(100);
  receiver_.AcceptFin();
  EXPECT_EQ(receiver_.nxt(), kIrs + 102);
  EXPECT_EQ(receiver_.window(), 0u);
}

// Whatever the scale and the sizes: RCV.NXT and the edge never go left, the field never takes a promise back, and the
// buffer overflows by no more than the documented eighth.
TEST_F(ReceiverTest, TheEdgeNeverMovesLeftNorDrifts) {
  const char* replay = std::getenv("LUNA_TEST_SEED");
  const uint64_t seed = replay != nullptr ? std::strtoull(replay, nullptr, 0) : 5;
  SCOPED_TRACE("LUNA_TEST_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  for (int round = 0; round < 200; ++round) {
    const auto shift = static_cast<uint8_t>(random() % 8);
    const auto buffer = static_cast<uint32_t>(4096 + random() % 60000);
    const uint64_t most = random() % 2 ? 1500 : 3;
    Receiver receiver;
    receiver.Start(SeqNum(static_cast<uint32_t>(random())), buffer, shift);
    for (int step = 0; step < 300; ++step) {
      const SeqNum nxt = receiver.nxt();
      const SeqNum edge = receiver.edge();
      if (random() % 10 != 0) {
        const uint32_t n = std::min<uint32_t>(receiver.window(), static_cast<uint32_t>(1 + random() % most));
        if (n > 0) receiver.AcceptInOrder(memory_.Chain(std::string(n, 'x')));
      } else {
        receiver.Take(random() % 3000);
      }
      const uint32_t field = receiver.Advertise(kMss);
      ASSERT_TRUE(receiver.nxt() >= nxt);
      ASSERT_TRUE(receiver.edge() >= edge);
      ASSERT_GE(int64_t{field} << shift, int64_t{receiver.window()} - (1 << shift) + 1);
      ASSERT_LE(int64_t{field} << shift, receiver.window());
      ASSERT_LE(receiver.readable_bytes() + receiver.window(), buffer + std::max(buffer / 8, 1u << shift));
    }
  }
}

// A promise is only rounded down once tiny segments have made the edge drift by an eighth of the buffer.
TEST_F(ReceiverTest, OrdinarySegmentsNeverSeeAPromiseTakenBack) {
  Start(1u << 20, 5);
  receiver_.Advertise(kMss);
  while (receiver_.window() >= 1448) {
    Accept(1448);
    const SeqNum before = receiver_.edge();
    const uint32_t field = receiver_.Advertise(kMss);
    ASSERT_TRUE(receiver_.nxt() + (field << 5) >= before);
  }
}

}  // namespace
}  // namespace luna::tcp
