// Super-packets: what a sender on the same machine or GRO puts together arrives as one segment of up to 65,495 octets,
// many times the MSS. To TCP it is a long segment; these are the places where that could go wrong.

#include <string>

#include "gtest/gtest.h"
#include "luna/net/tcp/testing/stack_tester.h"

namespace luna::tcp {
namespace {

using testing::kAck;
using testing::kFin;
using testing::StackTester;

constexpr size_t kLongest = 65'535 - 40;  // what an IPv4 datagram holds without options
constexpr size_t kSliceBytes = 2304;      // as the devices scatter it

std::string Octets(size_t n, size_t from = 0) {
  std::string octets(n, '\0');
  for (size_t i = 0; i < n; ++i) octets[i] = static_cast<char>((from + i) * 13 + (from + i) / 251);
  return octets;
}

StackConfig Delayed() {
  StackConfig config = StackTester::Plain();
  config.delayed_ack = Duration::Microseconds(500);
  return config;
}

TEST(SuperPacket, OneSegmentOneEventOneAcknowledgementAtOnce) {
  StackTester t(Delayed());
  t.Establish();
  t.In({.payload = Octets(kLongest), .slice_bytes = kSliceBytes});
  EXPECT_EQ(t.TakeEvents(), EventBits::kReadable);
  EXPECT_EQ(t.Out(), "A 1+0 a65496");  // more than two full-sized segments: not delayed (RFC 5681 §4.2)
  EXPECT_EQ(t.Read(), Octets(kLongest));
}

TEST(SuperPacket, OutOfOrderAndOverlapping) {
  StackTester t;
  t.Establish();
  t.In({.seq = 20'001, .payload = Octets(40'000, 20'000), .slice_bytes = kSliceBytes});
  EXPECT_EQ(t.Read(), "");
  t.In({.seq = 1, .payload = Octets(30'000), .slice_bytes = kSliceBytes});
  EXPECT_EQ(t.Read(), Octets(60'000));
  t.In({.seq = 10'001, .payload = Octets(50'010, 10'000), .slice_bytes = kSliceBytes});
  EXPECT_EQ(t.Read(), Octets(10, 60'000));
}

TEST(SuperPacket, WhatIsBeyondTheWindowIsCutOff) {
  StackConfig config = StackTester::Plain();
  config.receive_buffer_bytes = 10'000;
  StackTester t(config);
  t.Establish();
  t.In({.flags = kAck | kFin, .payload = Octets(kLongest), .slice_bytes = kSliceBytes});
  const std::string got = t.Read();
  EXPECT_GE(got.size(), 10'000u);
  EXPECT_LE(got.size(), 11'250u);  // and an eighth: see receiver.h
  EXPECT_EQ(got, Octets(got.size()));
  EXPECT_FALSE(t.TakeEvents() & EventBits::kPeerClosed);  // the FIN was beyond it, too
}

TEST(SuperPacket, WithAFin) {
  StackTester t;
  t.Establish();
  t.In({.flags = kAck | kFin, .payload = Octets(50'000), .slice_bytes = kSliceBytes});
  EXPECT_EQ(t.Out(), "A 1+0 a50002");
  EXPECT_EQ(t.Read(), Octets(50'000));
}

}  // namespace
}  // namespace luna::tcp
