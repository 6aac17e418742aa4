// Each rule of the wire checker: a conversation that keeps it passes, and one segment that breaks it is reported.

#include "luna/net/tcp/testing/simulator/wire_checker.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "luna/net/wire/byte_cursor.h"
#include "luna/net/wire/tcp_header.h"
#include "luna/net/wire/tcp_options.h"

namespace luna::tcp::simulator {
namespace {

using wire::TcpFlags;

constexpr uint16_t kAck = TcpFlags::kAck;
constexpr uint16_t kSynAck = TcpFlags::kSyn | TcpFlags::kAck;
constexpr uint16_t kFinAck = TcpFlags::kFin | TcpFlags::kAck;
// Both pass 2^32 soon.
constexpr uint32_t kIsn[2] = {0xffffff00, 0xfffffff0};

class Conversation : public ::testing::Test {
 protected:
  Conversation() : checker_([this](const std::string& what) { reports_.push_back(what); }) {}

  struct Out {
    int from = 0;
    uint16_t flags = kAck;
    uint32_t seq = 0;  // relative
    uint32_t ack = 0;  // relative
    uint16_t window = 1000;
    std::string payload = {};
    std::vector<wire::TcpSackBlock> sacks = {};  // relative
    uint16_t corrupt = 0;
  };
  void Emit(const Out& out) {
    const wire::Endpoint ends[2] = {{wire::Ipv4Address(10, 0, 0, 1), 1}, {wire::Ipv4Address(10, 0, 0, 2), 2}};
    const wire::FourTuple tuple = {ends[out.from], ends[1 - out.from]};
    wire::TcpOptions options;
    for (const wire::TcpSackBlock& block : out.sacks) {
      options.sack[options.sack_count++] = {block.left + kIsn[1 - out.from], block.right + kIsn[1 - out.from]};
    }
    wire::TcpHeader header;
    header.source_port = tuple.local.port;
    header.destination_port = tuple.remote.port;
    header.sequence = isn_[out.from] + out.seq;
    header.acknowledgment = (out.flags & kAck) != 0 ? isn_[1 - out.from] + out.ack : 0;
    header.flags = out.flags;
    header.window = out.window;
    std::vector<uint8_t> bytes(wire::TcpHeader::kMaximumSize);
    header.header_length = static_cast<uint8_t>(wire::TcpHeader::kSize +
                                                wire::WriteTcpOptions(options, bytes.data() + wire::TcpHeader::kSize));
    wire::Write(header, bytes.data());
    bytes.resize(header.header_length);
    bytes.insert(bytes.end(), out.payload.begin(), out.payload.end());
    const uint16_t sum = wire::TcpChecksum(tuple.local.address.v4(), tuple.remote.address.v4(), bytes);
    wire::StoreBe16(bytes.data() + 16, static_cast<uint16_t>(sum ^ out.corrupt));
    checker_.OnEmitted(tuple, 1500, bytes);
  }
  void Shake() {
    Emit({.from = 0, .flags = TcpFlags::kSyn});
    Emit({.from = 1, .flags = kSynAck, .ack = 1});
    Emit({.from = 0, .seq = 1, .ack = 1});
    ASSERT_TRUE(reports_.empty()) << reports_[0];
  }
  // The one report so far has these words.
  void ExpectReport(const std::string& words) {
    ASSERT_EQ(reports_.size(), 1u);
    EXPECT_NE(reports_[0].find(words), std::string::npos) << reports_[0];
  }

  std::vector<std::string> reports_;
  WireChecker checker_;
  uint32_t isn_[2] = {kIsn[0], kIsn[1]};
};

TEST_F(Conversation, ThatKeepsTheRulesPasses) {
  Shake();
  Emit({.from = 0, .seq = 1, .ack = 1, .payload = std::string(500, 'a')});
  Emit({.from = 0, .seq = 501, .ack = 1, .payload = std::string(500, 'b')});
  Emit({.from = 1, .seq = 1, .ack = 1, .window = 1000, .sacks = {{501, 1001}}});
  Emit({.from = 0, .seq = 1, .ack = 1, .payload = std::string(500, 'a')});  // again
  Emit({.from = 1, .seq = 1, .ack = 1001, .window = 0});
  Emit({.from = 0, .seq = 1001, .ack = 1, .payload = "?"});  // a probe
  Emit({.from = 1, .seq = 1, .ack = 1002, .window = 10});
  Emit({.from = 0, .flags = kFinAck, .seq = 1002, .ack = 1});
  Emit({.from = 1, .flags = kFinAck, .seq = 1, .ack = 1003, .window = 10});
  Emit({.from = 0, .seq = 1003, .ack = 2});
  EXPECT_TRUE(reports_.empty()) << reports_[0];
}

TEST_F(Conversation, WrongChecksum) {
  Emit({.flags = TcpFlags::kSyn, .corrupt = 0x100});
  ExpectReport("wrong checksum");
}

TEST_F(Conversation, LongerThanTheMtu) {
  Shake();
  Emit({.from = 1, .seq = 1, .ack = 1, .window = 9000});
  Emit({.seq = 1, .ack = 1, .payload = std::string(1461, 'a')});
  ExpectReport("longer than the MTU");
}

TEST_F(Conversation, BeyondTheRightEdge) {
  Shake();
  Emit({.seq = 1, .ack = 1, .payload = std::string(1002, 'a')});
  ExpectReport("beyond the right edge");
}

TEST_F(Conversation, BeyondTheFin) {
  Shake();
  Emit({.flags = kFinAck, .seq = 1, .ack = 1});
  Emit({.seq = 2, .ack = 1, .payload = "more"});
  ASSERT_FALSE(reports_.empty());
  EXPECT_NE(reports_[0].find("beyond the FIN"), std::string::npos) << reports_[0];
}

TEST_F(Conversation, AnotherFin) {
  Shake();
  Emit({.flags = kFinAck, .seq = 1, .ack = 1, .payload = "ab"});
  Emit({.flags = kFinAck, .seq = 1, .ack = 1, .payload = "a"});
  ExpectReport("the FIN moved");
}

TEST_F(Conversation, AGap) {
  Shake();
  Emit({.seq = 3, .ack = 1, .payload = "c"});
  ExpectReport("a gap before");
}

TEST_F(Conversation, OtherOctetsThanBefore) {
  Shake();
  Emit({.seq = 1, .ack = 1, .payload = "abc"});
  Emit({.seq = 2, .ack = 1, .payload = "xcd"});
  ExpectReport("other octets");
}

TEST_F(Conversation, AcknowledgedWhatWasNotSent) {
  Shake();
  Emit({.seq = 1, .ack = 1, .payload = "abc"});
  Emit({.from = 1, .seq = 1, .ack = 5});
  ExpectReport("acknowledged what was not sent");
}

TEST_F(Conversation, RcvNxtMovedLeft) {
  Shake();
  Emit({.seq = 1, .ack = 1, .payload = "abc"});
  Emit({.from = 1, .seq = 1, .ack = 4, .window = 1000});
  Emit({.from = 1, .seq = 1, .ack = 3, .window = 1001});
  ExpectReport("RCV.NXT moved left");
}

TEST_F(Conversation, TheRightEdgeMovedLeft) {
  Shake();
  Emit({.from = 1, .seq = 1, .ack = 1, .window = 999});
  ExpectReport("the right edge moved left");
}

TEST_F(Conversation, SackOfWhatWasNotSent) {
  Shake();
  Emit({.seq = 1, .ack = 1, .payload = "abc"});
  Emit({.from = 1, .seq = 1, .ack = 1, .sacks = {{2, 5}}});
  ExpectReport("SACK block of what was not sent");
}

TEST_F(Conversation, SackThatIsEmpty) {
  Shake();
  Emit({.seq = 1, .ack = 1, .payload = "abc"});
  Emit({.from = 1, .seq = 1, .ack = 1, .sacks = {{3, 3}}});
  ExpectReport("empty SACK block");
}

TEST_F(Conversation, SackThatIsAcknowledged) {
  Shake();
  Emit({.seq = 1, .ack = 1, .payload = "abcdef"});
  Emit({.from = 1, .seq = 1, .ack = 3, .window = 998, .sacks = {{4, 5}, {2, 3}}});
  ExpectReport("not ahead of a hole");
}

TEST_F(Conversation, SackTwice) {
  Shake();
  Emit({.seq = 1, .ack = 1, .payload = "abcdef"});
  Emit({.from = 1, .seq = 1, .ack = 1, .sacks = {{2, 3}, {4, 5}, {4, 6}}});
  ExpectReport("SACK block twice");
}

TEST_F(Conversation, TheIsnOfAnEarlierIncarnation) {
  Shake();
  Emit({.seq = 1, .ack = 1, .payload = "abc"});
  Emit({.flags = TcpFlags::kSyn});
  ExpectReport("the ISN of an earlier incarnation");
}

TEST_F(Conversation, AnotherIncarnationBeginsAnew) {
  Shake();
  Emit({.seq = 1, .ack = 1, .payload = "abc"});
  isn_[0] += 100000;
  Emit({.flags = TcpFlags::kSyn});
  // The other end still speaks of the first.
  isn_[0] -= 100000;
  Emit({.from = 1, .seq = 1, .ack = 4});
  EXPECT_TRUE(reports_.empty()) << reports_[0];
}

TEST_F(Conversation, OnceTheNetworkForgesOnlySegmentsAreJudged) {
  Shake();
  checker_.Distrust();
  Emit({.from = 1, .seq = 1, .ack = 5, .window = 1});
  EXPECT_TRUE(reports_.empty());
  Emit({.from = 1, .seq = 1, .ack = 5, .corrupt = 1});
  ExpectReport("wrong checksum");
}

}  // namespace
}  // namespace luna::tcp::simulator
