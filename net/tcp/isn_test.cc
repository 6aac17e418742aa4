#include "luna/net/tcp/isn.h"

#include <set>

#include "gtest/gtest.h"

namespace luna::tcp {
namespace {

constexpr Secret kKey = {0x0706050403020100, 0x0f0e0d0c0b0a0908};

const wire::FourTuple kTuple{{wire::Ipv4Address(10, 0, 0, 1), 1000}, {wire::Ipv4Address(10, 0, 0, 2), 2000}};

// The reference vectors of SipHash-2-4 (key 00 … 0f, input 00 01 02 …) of 0, 8 and 16 octets.
TEST(SipHash, ReferenceVectors) {
  const uint64_t input[] = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
  EXPECT_EQ(SipHash24(kKey, input, 0), 0x726fdb47dd0e0e31u);
  EXPECT_EQ(SipHash24(kKey, input, 1), 0x93f5f5799a932462u);
  EXPECT_EQ(SipHash24(kKey, input, 2), 0x3f2acc7f57c29bdbu);
}

TEST(Isn, TicksEveryFourMicroseconds) {
  const Time t = Time::FromNanoseconds(4'000'000'000);
  const SeqNum a = InitialSequenceNumber(kKey, kTuple, t);
  EXPECT_EQ(InitialSequenceNumber(kKey, kTuple, t + Duration::Nanoseconds(3999)) - a, 0);
  EXPECT_EQ(InitialSequenceNumber(kKey, kTuple, t + Duration::Microseconds(4)) - a, 1);
  EXPECT_EQ(InitialSequenceNumber(kKey, kTuple, t + Duration::Seconds(1)) - a, 250000);
}

TEST(Isn, DiffersByEveryPartOfTheTupleAndTheSecret) {
  const Time t;
  std::set<uint32_t> seen;
  std::set<uint32_t> offsets;
  const auto add = [&](const Secret& key, const wire::FourTuple& tuple) {
    EXPECT_TRUE(seen.insert(InitialSequenceNumber(key, tuple, t).raw()).second);
    EXPECT_TRUE(offsets.insert(TimestampOffset(key, tuple)).second);
  };
  add(kKey, kTuple);
  add({kKey[0] + 1, kKey[1]}, kTuple);
  add({kKey[0], kKey[1] + 1}, kTuple);
  wire::FourTuple tuple = kTuple;
  tuple.local.port++;
  add(kKey, tuple);
  tuple = kTuple;
  tuple.remote.port++;
  add(kKey, tuple);
  tuple = kTuple;
  tuple.local.address = wire::Ipv4Address(10, 0, 0, 3);
  add(kKey, tuple);
  tuple = kTuple;
  tuple.remote.address = wire::Ipv4Address(10, 0, 0, 3);
  add(kKey, tuple);
  add(kKey, kTuple.Reversed());
  // The uses of the hash are separate.
  EXPECT_NE(InitialSequenceNumber(kKey, kTuple, t).raw(), TimestampOffset(kKey, kTuple));
}

}  // namespace
}  // namespace luna::tcp
