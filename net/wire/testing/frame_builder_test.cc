#include "luna/net/wire/testing/frame_builder.h"

#include <vector>

#include "gtest/gtest.h"
#include "luna/net/wire/checksum.h"

namespace luna::wire {
namespace {

TEST(FrameBuilder, AFrameOfDefaultsIsRight) {
  for (size_t size : {0u, 1u, 5u, 6u, 7u, 1460u}) {
    const std::vector<uint8_t> frame = TcpFrame{.payload = Pattern(size), .pad_to_ethernet_minimum = true}.Build();
    EXPECT_GE(frame.size(), 60u);
    const absl::optional<ParsedTcpFrame> parsed = ParseTcpFrame(frame);
    ASSERT_TRUE(parsed) << size;
    EXPECT_EQ(parsed->payload, absl::MakeConstSpan(Pattern(size)));
    EXPECT_EQ(parsed->tcp.destination_port, kServer.port);
  }
}

TEST(FrameBuilder, EachHookBreaksTheFrame) {
  const struct {
    const char* name;
    TcpFrame frame;
  } kCases[] = {
      {"ip checksum", {.bad_ip_checksum = true}},
      {"tcp checksum", {.bad_tcp_checksum = true}},
      {"version", {.ip_version = 5}},
      {"ihl", {.ihl = 4}},
      {"total length", {.total_length = 41}},
      {"data offset", {.data_offset = 6}},
      {"fragment", {.fragment = Ipv4Header::kMoreFragments}},
      {"protocol", {.protocol = IpProtocol::kUdp}},
      {"ether type", {.ether_type = EtherType::kArp}},
      {"truncation", {.truncate_to = 53}},
  };
  for (const auto& c : kCases) EXPECT_FALSE(ParseTcpFrame(c.frame.Build())) << c.name;
  // The rest of a frame that is wrong in its version is right.
  Ipv4Header ip;
  std::vector<uint8_t> packet = TcpFrame{.ip_version = 5}.BuildPacket();
  EXPECT_EQ(ChecksumSum(absl::MakeConstSpan(packet).first(20)), 0xffff);
  EXPECT_EQ(Parse(packet, &ip), ParseResult::kBadVersion);
}

TEST(FrameBuilder, ByteHelpers) {
  EXPECT_EQ(Text("ab"), (std::vector<uint8_t>{'a', 'b'}));
  EXPECT_EQ(Hex("0a ff\n 01"), (std::vector<uint8_t>{10, 255, 1}));
  EXPECT_EQ(Pattern(3, 250), (std::vector<uint8_t>{250, 0, 1}));
  EXPECT_DEATH(Hex("0"), "odd number");
  EXPECT_DEATH(Hex("0g"), "hex digit");
}

TEST(FrameBuilder, ArpFrame) {
  const std::vector<uint8_t> frame = ArpFrame{}.Build();
  EXPECT_EQ(frame.size(), 60u);
  ArpPacket arp;
  ASSERT_EQ(Parse(absl::MakeConstSpan(frame).subspan(14), &arp), ParseResult::kOk);
  EXPECT_EQ(arp.target_ip, kServer.address.v4());
}

}  // namespace
}  // namespace luna::wire
