#include "luna/net/pmd/testing/nic_offload.h"

#include <vector>

#include "gtest/gtest.h"
#include "luna/net/wire/byte_cursor.h"
#include "luna/net/wire/checksum.h"
#include "luna/net/wire/testing/frame_builder.h"

namespace luna::pmd {
namespace {

using wire::TcpFlags;
using wire::TcpFrame;

constexpr size_t kIp = 14;
constexpr size_t kTcp = 34;

// The frame as a stack hands it to a NIC that does the checksums.
std::vector<uint8_t> Unfinished(std::vector<uint8_t> frame, bool segmented = false) {
  const auto l4_bytes = static_cast<uint16_t>(segmented ? 0 : wire::LoadBe16(&frame[kIp + 2]) - 20);
  wire::StoreBe16(&frame[kIp + 10], 0);
  wire::StoreBe16(&frame[kTcp + 16], wire::Ipv4PseudoHeaderSum(wire::kClient.address.v4(), wire::kServer.address.v4(),
                                                               wire::IpProtocol::kTcp, l4_bytes));
  return frame;
}

TxMeta Request() { return {.ip_checksum = true, .l4_checksum = true, .l2_bytes = 14, .l3_bytes = 20, .l4_bytes = 20}; }

TEST(NicOffloadTest, WithoutARequestTheFrameStays) {
  const std::vector<uint8_t> frame = Unfinished(TcpFrame{}.Build());
  EXPECT_EQ(ApplyTxOffload(frame, {}), (std::vector<std::vector<uint8_t>>{frame}));
}

TEST(NicOffloadTest, FillsInBothChecksums) {
  for (size_t payload : {0, 1, 2, 999, 1000}) {
    for (bool padded : {false, true}) {
      const auto frame = TcpFrame{.payload = wire::Pattern(payload), .pad_to_ethernet_minimum = padded}.Build();
      EXPECT_EQ(ApplyTxOffload(Unfinished(frame), Request()), (std::vector<std::vector<uint8_t>>{frame})) << payload;
    }
  }
}

TEST(NicOffloadTest, FillsInOnlyWhatIsAsked) {
  const auto frame = TcpFrame{.payload = wire::Pattern(100)}.Build();
  TxMeta only_ip = Request();
  only_ip.l4_checksum = false;
  auto sent = ApplyTxOffload(Unfinished(frame), only_ip)[0];
  EXPECT_EQ(wire::LoadBe16(&sent[kIp + 10]), wire::LoadBe16(&frame[kIp + 10]));
  EXPECT_NE(wire::LoadBe16(&sent[kTcp + 16]), wire::LoadBe16(&frame[kTcp + 16]));
  TxMeta only_tcp = Request();
  only_tcp.ip_checksum = false;
  sent = ApplyTxOffload(Unfinished(frame), only_tcp)[0];
  EXPECT_EQ(wire::LoadBe16(&sent[kIp + 10]), 0);
  EXPECT_EQ(wire::LoadBe16(&sent[kTcp + 16]), wire::LoadBe16(&frame[kTcp + 16]));
}

TEST(NicOffloadTest, SegmentsAreWholeTcpFrames) {
  const auto frame = TcpFrame{.sequence = 0xffffff00,
                              .flags = TcpFlags::kAck | TcpFlags::kPsh | TcpFlags::kFin | TcpFlags::kCwr,
                              .payload = wire::Pattern(2500),
                              .identification = 0xffff}
                         .Build();
  TxMeta tx = Request();
  tx.tso_segment_bytes = 1000;
  const auto sent = ApplyTxOffload(Unfinished(frame, true), tx);
  ASSERT_EQ(sent.size(), 3u);
  std::vector<uint8_t> payload;
  for (size_t i = 0; i < sent.size(); ++i) {
    const auto parsed = wire::ParseTcpFrame(sent[i]);  // checks the checksums
    ASSERT_TRUE(parsed.has_value()) << i;
    EXPECT_EQ(parsed->tcp.sequence, static_cast<uint32_t>(0xffffff00 + 1000 * i));
    EXPECT_EQ(parsed->ip.identification, static_cast<uint16_t>(0xffff + i));
    const uint16_t last = i == 2 ? TcpFlags::kPsh | TcpFlags::kFin : 0;
    const uint16_t first = i == 0 ? TcpFlags::kCwr : 0;
    EXPECT_EQ(parsed->tcp.flags, TcpFlags::kAck | last | first);
    EXPECT_EQ(parsed->payload.size(), i == 2 ? 500u : 1000u);
    payload.insert(payload.end(), parsed->payload.begin(), parsed->payload.end());
  }
  EXPECT_EQ(payload, wire::Pattern(2500));
}

TEST(NicOffloadTest, WhatFitsOneSegmentIsOneSegment) {
  for (size_t payload : {0, 1, 1000}) {
    const auto frame = TcpFrame{.payload = wire::Pattern(payload)}.Build();
    TxMeta tx = Request();
    tx.tso_segment_bytes = 1000;
    EXPECT_EQ(ApplyTxOffload(Unfinished(frame, true), tx), (std::vector<std::vector<uint8_t>>{frame}));
  }
}

TEST(NicOffloadTest, ARequestThatDoesNotFitTheFrameIsABug) {
  TxMeta tx = Request();
  tx.l3_bytes = 0;
  EXPECT_DEATH(ApplyTxOffload(TcpFrame{}.Build(), tx), "l3_bytes");
  EXPECT_DEATH(ApplyTxOffload(std::vector<uint8_t>(50), Request()), "frame.size");
}

struct JudgeCase {
  const char* what;
  std::vector<uint8_t> frame;
  ChecksumStatus ip;
  ChecksumStatus l4;
};

TEST(NicOffloadTest, JudgesReceivedFrames) {
  constexpr auto kUnknown = ChecksumStatus::kUnknown;
  constexpr auto kGood = ChecksumStatus::kGood;
  constexpr auto kBad = ChecksumStatus::kBad;
  const std::vector<JudgeCase> cases = {
      {"right", TcpFrame{.payload = wire::Pattern(9)}.Build(), kGood, kGood},
      {"padded", TcpFrame{.pad_to_ethernet_minimum = true}.Build(), kGood, kGood},
      {"tagged", TcpFrame{.vlan = 5}.Build(), kGood, kGood},
      {"bad tcp", TcpFrame{.bad_tcp_checksum = true}.Build(), kGood, kBad},
      {"bad ip", TcpFrame{.bad_ip_checksum = true}.Build(), kBad, kUnknown},
      {"fragment", TcpFrame{.fragment = 0x2000}.Build(), kGood, kUnknown},
      {"udp", TcpFrame{.protocol = wire::IpProtocol::kUdp}.Build(), kGood, kUnknown},
      {"arp", wire::ArpFrame{}.Build(), kUnknown, kUnknown},
      {"truncated", TcpFrame{.truncate_to = 20}.Build(), kUnknown, kUnknown},
      {"nothing", {}, kUnknown, kUnknown},
  };
  for (const JudgeCase& c : cases) {
    const RxMeta meta = JudgeChecksums(c.frame);
    EXPECT_EQ(meta.ip_checksum, c.ip) << c.what;
    EXPECT_EQ(meta.l4_checksum, c.l4) << c.what;
  }
}

}  // namespace
}  // namespace luna::pmd
