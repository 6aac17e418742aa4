#include "luna/net/tcp/syn_cookie.h"

#include "gtest/gtest.h"

namespace luna::tcp {
namespace {

constexpr Secret kSecret = {1, 2};
const wire::FourTuple kTuple = {{wire::Ipv4Address(10, 0, 0, 2), 80}, {wire::Ipv4Address(10, 0, 0, 1), 40000}};
constexpr SeqNum kIrs = SeqNum(0xdeadbeef);

Time At(int64_t seconds) { return Time::FromNanoseconds(seconds * 1000 * 1000 * 1000); }

TEST(SynCookie, BringsTheSegmentSizeBack) {
  const struct {
    uint16_t offered;
    uint16_t back;
  } kCases[] = {{0, 64},      {64, 64},     {535, 64},    {536, 536},   {1300, 1220},
                {1459, 1440}, {1460, 1460}, {9000, 8960}, {65535, 8960}};
  for (const auto& c : kCases) {
    const SeqNum cookie = MakeSynCookie(kSecret, kTuple, kIrs, c.offered, At(1000));
    EXPECT_EQ(ReadSynCookie(kSecret, kTuple, kIrs, cookie, At(1000)), c.back) << c.offered;
  }
}

TEST(SynCookie, LivesOneToTwoTicks) {
  const SeqNum cookie = MakeSynCookie(kSecret, kTuple, kIrs, 1460, At(64 * 100));
  EXPECT_TRUE(ReadSynCookie(kSecret, kTuple, kIrs, cookie, At(64 * 101 + 63)).has_value());
  EXPECT_FALSE(ReadSynCookie(kSecret, kTuple, kIrs, cookie, At(64 * 102)).has_value());
  EXPECT_FALSE(ReadSynCookie(kSecret, kTuple, kIrs, cookie, At(64 * 99)).has_value());
}

TEST(SynCookie, HoldsForTheseEndsThisNumberAndThisSecretOnly) {
  const SeqNum cookie = MakeSynCookie(kSecret, kTuple, kIrs, 1460, At(1000));
  wire::FourTuple other = kTuple;
  ++other.remote.port;
  EXPECT_FALSE(ReadSynCookie(kSecret, other, kIrs, cookie, At(1000)).has_value());
  EXPECT_FALSE(ReadSynCookie(kSecret, kTuple.Reversed(), kIrs, cookie, At(1000)).has_value());
  EXPECT_FALSE(ReadSynCookie(kSecret, kTuple, kIrs + 1, cookie, At(1000)).has_value());
  EXPECT_FALSE(ReadSynCookie({1, 3}, kTuple, kIrs, cookie, At(1000)).has_value());
}

TEST(SynCookie, GuessesFail) {
  int hits = 0;
  for (uint32_t i = 0; i < 200000; ++i)
    hits += ReadSynCookie(kSecret, kTuple, kIrs, SeqNum(i * 21474), At(1000)).has_value();
  EXPECT_LE(hits, 1);  // 0.001 expected
}

// Ahead of the acknowledgement there is no telling the peer's ISN.
TEST(SynCookie, IsKnownByItsUpperBitsAlone) {
  for (uint32_t isn = 0; isn < 1000; ++isn) {
    const SeqNum cookie = MakeSynCookie(kSecret, kTuple, SeqNum(isn * 0x01234567), 1460, At(64 * 100));
    ASSERT_TRUE(MayBeSynCookie(kSecret, kTuple, cookie, At(64 * 101 + 63)));
    ASSERT_TRUE(ReadSynCookie(kSecret, kTuple, SeqNum(isn * 0x01234567), cookie, At(64 * 100)).has_value());
    ASSERT_FALSE(MayBeSynCookie(kSecret, kTuple, cookie, At(64 * 102)));
  }
  int others = 0;
  wire::FourTuple other = kTuple;
  for (uint16_t port = 1; port <= 20000; ++port) {
    other.remote.port = port;
    others += MayBeSynCookie(kSecret, other, MakeSynCookie(kSecret, kTuple, kIrs, 1460, At(1000)), At(1000));
  }
  EXPECT_LE(others, 100);  // 39 expected
}

TEST(CookieOffer, RidesInTheTimestampAndNeverAhead) {
  for (uint32_t clock = 0xffffff00u; clock != 0x100; ++clock) {
    for (const CookieOffer& offer :
         {CookieOffer{}, CookieOffer{.window_scale = 0}, CookieOffer{.window_scale = 14, .sack = true, .ecn = true},
          CookieOffer{.sack = true}}) {
      const uint32_t value = PutCookieOffer(clock, offer);
      ASSERT_LE(clock - value, 63u);
      ASSERT_TRUE(GetCookieOffer(value) == offer);
    }
  }
}

}  // namespace
}  // namespace luna::tcp
