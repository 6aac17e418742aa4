#include "luna/net/tcp/time_wait.h"

#include "gtest/gtest.h"

namespace luna::tcp {
namespace {

constexpr Time At(int64_t ms) { return Time::FromNanoseconds(ms * 1000 * 1000); }

wire::FourTuple Tuple(uint16_t port) {
  return {{wire::Ipv4Address(10, 0, 0, 2), 80}, {wire::Ipv4Address(10, 0, 0, 1), port}};
}

TEST(TimeWait, ExpiresAfterItsTime) {
  TimeWaitTable table(Duration::Milliseconds(100), 10, {1, 2});
  EXPECT_TRUE(table.NextDeadline().is_infinite());
  table.Add(Tuple(1), {.rcv_nxt = SeqNum(5)}, At(0));
  table.Add(Tuple(2), {}, At(50));
  EXPECT_EQ(table.NextDeadline(), At(100));
  ASSERT_NE(table.Find(Tuple(1)), nullptr);
  EXPECT_EQ(table.Find(Tuple(1))->rcv_nxt(), SeqNum(5));
  table.Expire(At(99));
  EXPECT_EQ(table.size(), 2u);
  table.Expire(At(100));
  EXPECT_EQ(table.Find(Tuple(1)), nullptr);
  EXPECT_NE(table.Find(Tuple(2)), nullptr);
  table.Expire(At(150));
  EXPECT_EQ(table.size(), 0u);
  EXPECT_TRUE(table.NextDeadline().is_infinite());
}

TEST(TimeWait, ExtendBeginsAgain) {
  TimeWaitTable table(Duration::Milliseconds(100), 10, {1, 2});
  table.Add(Tuple(1), {}, At(0));
  table.Extend(table.Find(Tuple(1)), At(60));
  table.Expire(At(159));
  EXPECT_EQ(table.size(), 1u);
  table.Expire(At(160));
  EXPECT_EQ(table.size(), 0u);
}

TEST(TimeWait, OldestGoesWhenFull) {
  TimeWaitTable table(Duration::Milliseconds(100), 3, {1, 2});
  for (uint16_t port = 1; port <= 3; ++port) table.Add(Tuple(port), {}, At(port));
  table.Remove(Tuple(1));
  table.Add(Tuple(1), {}, At(4));  // the oldest is now 2
  table.Add(Tuple(4), {}, At(5));
  EXPECT_EQ(table.size(), 3u);
  EXPECT_EQ(table.Find(Tuple(2)), nullptr);
  for (uint16_t port : {uint16_t{1}, uint16_t{3}, uint16_t{4}}) EXPECT_NE(table.Find(Tuple(port)), nullptr) << port;
}

TEST(TimeWait, ExtendedOnesDoNotHoldUpTheOthers) {
  TimeWaitTable table(Duration::Milliseconds(100), 10, {1, 2});
  table.Add(Tuple(1), {.snd_nxt = SeqNum(7), .timestamps = true}, At(0));
  table.Add(Tuple(2), {}, At(10));
  TimeWaitRecord* record = table.Extend(table.Find(Tuple(1)), At(50));
  EXPECT_EQ(record->snd_nxt(), SeqNum(7));
  EXPECT_TRUE(record->timestamps());
  EXPECT_FALSE(table.Find(Tuple(2))->timestamps());
  table.Expire(At(110));
  EXPECT_EQ(table.Find(Tuple(2)), nullptr);
  EXPECT_NE(table.Find(Tuple(1)), nullptr);
  table.Expire(At(150));
  EXPECT_EQ(table.size(), 0u);
  EXPECT_EQ(table.queued(), 0u);
}

// A peer that repeats its FIN without end does not push the others out.
TEST(TimeWait, ExtendingTakesNoPlaceEachTime) {
  TimeWaitTable table(Duration::Milliseconds(100), 20, {1, 2});
  table.Add(Tuple(2), {}, At(0));
  table.Add(Tuple(1), {}, At(0));
  for (int64_t t = 0; t < 99; ++t) table.Extend(table.Find(Tuple(1)), At(t));
  EXPECT_NE(table.Find(Tuple(2)), nullptr);
  EXPECT_LE(table.queued(), 10u);
}

// A client that uses one port again and again: the queue must not grow with each incarnation.
TEST(TimeWait, ReuseOfATupleLeavesNothingBehind) {
  TimeWaitTable table(Duration::Milliseconds(100), 10, {1, 2});
  for (int64_t t = 0; t < 10000; ++t) {
    table.Add(Tuple(1), {.snd_nxt = SeqNum(static_cast<uint32_t>(t))}, At(t));
    table.Expire(At(t));
    ASSERT_NE(table.Find(Tuple(1)), nullptr);
    ASSERT_LE(table.queued(), 101u);
    table.Remove(Tuple(1));
  }
}

// A caller that waits until then must not find that nothing is to be done.
TEST(TimeWait, TheDeadlineIsOfARecordThatIsThere) {
  TimeWaitTable table(Duration::Milliseconds(100), 10, {1, 2});
  for (uint16_t port = 1; port <= 4; ++port) table.Add(Tuple(port), {}, At(10 * port));
  table.Remove(Tuple(2));
  EXPECT_EQ(table.NextDeadline(), At(110));
  table.Remove(Tuple(1));
  EXPECT_EQ(table.NextDeadline(), At(130));
  EXPECT_EQ(table.queued(), 2u);
  table.Remove(Tuple(4));
  table.Extend(table.Find(Tuple(3)), At(60));
  EXPECT_EQ(table.NextDeadline(), At(160));
  table.Remove(Tuple(3));
  EXPECT_TRUE(table.NextDeadline().is_infinite());
  EXPECT_EQ(table.queued(), 0u);
}

}  // namespace
}  // namespace luna::tcp
