#include "luna/net/tcp/coalesce.h"

#include <string>
#include <utility>

#include "gtest/gtest.h"
#include "luna/mem/zbuf/testing/test_slab.h"
#include "luna/net/wire/tcp_header.h"

namespace luna::tcp {
namespace {

using wire::TcpFlags;

class CoalesceTest : public ::testing::Test {
 protected:
  Segment Data(uint32_t seq, const std::string& payload) {
    Segment s;
    s.tuple = {{wire::Ipv4Address(10, 0, 0, 2), 80}, {wire::Ipv4Address(10, 0, 0, 1), 4000}};
    s.seq = SeqNum(seq);
    s.ack = SeqNum(500);
    s.flags = TcpFlags::kAck;
    s.window = 100;
    s.options.has_timestamp = true;
    s.options.tsval = 7000;
    s.options.tsecr = 3000;
    if (!payload.empty()) s.payload = memory_.Chain(payload);
    return s;
  }

  zbuf::TestSlab memory_;
};

TEST_F(CoalesceTest, TheSecondContinuesTheFirst) {
  Segment held = Data(0xfffffffe, "abc"), next = Data(1, "def");
  next.flags |= TcpFlags::kPsh;
  next.window = 90;
  ASSERT_TRUE(Coalesce(&held, &next));
  EXPECT_EQ(held.payload.ToString(), "abcdef");
  EXPECT_EQ(held.seq, SeqNum(0xfffffffe));
  EXPECT_EQ(held.end(), SeqNum(4));
  EXPECT_EQ(held.ack, SeqNum(500));
  EXPECT_EQ(held.window, 90);
  EXPECT_EQ(held.flags, TcpFlags::kAck | TcpFlags::kPsh);
  EXPECT_EQ(held.joined, 2);
  EXPECT_TRUE(next.payload.empty());

  Segment third = Data(4, "g");
  ASSERT_TRUE(Coalesce(&held, &third)) << "a PSH in the middle is no end";
  EXPECT_EQ(held.joined, 3);
  EXPECT_EQ(held.flags, TcpFlags::kAck | TcpFlags::kPsh);
}

TEST_F(CoalesceTest, WhatIsNotTheSameToTcpStaysApart) {
  const struct {
    const char* what;
    void (*change)(Segment* held, Segment* next);
  } kCases[] = {
      {"a hole", [](Segment*, Segment* n) { n->seq += 1; }},
      {"an overlap", [](Segment*, Segment* n) { n->seq = n->seq - 1; }},
      {"another connection", [](Segment*, Segment* n) { n->tuple.remote.port = 4001; }},
      {"another address", [](Segment*, Segment* n) { n->tuple.remote.address = wire::Ipv4Address(10, 0, 0, 9); }},
      {"an older ACK", [](Segment*, Segment* n) { n->ack = n->ack - 1; }},
      {"SYN", [](Segment* h, Segment*) { h->flags |= TcpFlags::kSyn; }},
      {"FIN", [](Segment*, Segment* n) { n->flags |= TcpFlags::kFin; }},
      {"FIN before", [](Segment* h, Segment*) { h->flags |= TcpFlags::kFin; }},
      {"RST", [](Segment*, Segment* n) { n->flags |= TcpFlags::kRst; }},
      {"URG", [](Segment*, Segment* n) { n->flags |= TcpFlags::kUrg; }},
      {"ECE", [](Segment*, Segment* n) { n->flags |= TcpFlags::kEce; }},
      {"CWR", [](Segment* h, Segment*) { h->flags |= TcpFlags::kCwr; }},
      {"no ACK", [](Segment*, Segment* n) { n->flags = 0; }},
      {"no data behind", [](Segment*, Segment* n) { n->payload.Clear(); }},
      {"no data before", [](Segment* h, Segment* n) { h->payload.Clear(), n->seq = h->seq; }},
      {"a congestion mark", [](Segment*, Segment* n) { n->ecn = ip::Ecn::kCe; }},
      {"a SACK block", [](Segment*, Segment* n) { n->options.sack_count = 1; }},
      {"a SACK block before", [](Segment* h, Segment*) { h->options.sack_count = 1; }},
      {"no timestamp", [](Segment*, Segment* n) { n->options.has_timestamp = false; }},
      {"a newer ACK", [](Segment*, Segment* n) { n->ack = n->ack + 1; }},
      {"another timestamp", [](Segment*, Segment* n) { n->options.tsval += 1; }},
      {"another echo", [](Segment*, Segment* n) { n->options.tsecr += 1; }},
  };
  for (const auto& c : kCases) {
    SCOPED_TRACE(c.what);
    Segment held = Data(1000, "abc"), next = Data(1003, "def");
    c.change(&held, &next);
    const std::string before = held.payload.ToString(), behind = next.payload.ToString();
    EXPECT_FALSE(Coalesce(&held, &next));
    EXPECT_EQ(held.payload.ToString(), before);
    EXPECT_EQ(next.payload.ToString(), behind);
    EXPECT_EQ(held.joined, 1);
  }
  Segment held = Data(1000, "abc"), next = Data(1003, "def");
  EXPECT_TRUE(Coalesce(&held, &next)) << "and without any change they are joined";
}

TEST_F(CoalesceTest, NoLongerThanADatagram) {
  Segment held = Data(0, std::string(40'000, 'x'));
  Segment next = Data(40'000, std::string(kMostCoalescedBytes - 40'000 + 1, 'y'));
  EXPECT_FALSE(Coalesce(&held, &next));
  next.payload.TrimBack(1);
  EXPECT_TRUE(Coalesce(&held, &next));
  EXPECT_EQ(held.payload_bytes(), kMostCoalescedBytes);
}

}  // namespace
}  // namespace luna::tcp
