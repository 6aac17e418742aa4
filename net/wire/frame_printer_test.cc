#include "luna/net/wire/frame_printer.h"

#include <random>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "luna/net/wire/icmpv4.h"
#include "luna/net/wire/testing/frame_builder.h"

namespace luna::wire {
namespace {

std::vector<uint8_t> IcmpFragmentationNeeded() {
  std::vector<uint8_t> message(Icmpv4Header::kSize + 28);
  Write(Icmpv4Header{.type = 3, .code = 4, .rest = 1400}, absl::MakeSpan(message));
  Ipv4Frame frame;
  frame.header.protocol = IpProtocol::kIcmp;
  frame.payload = message;
  return frame.Build();
}

std::vector<uint8_t> Udp() {
  Ipv4Frame frame;
  frame.header.protocol = IpProtocol::kUdp;
  frame.payload = std::vector<uint8_t>(8);
  return frame.Build();
}

TEST(FramePrinter, OneLinePerFrame) {
  const TcpOptions kSynOptions = {.has_mss = true,
                                  .has_window_scale = true,
                                  .sack_permitted = true,
                                  .has_timestamp = true,
                                  .window_scale = 7,
                                  .mss = 1460,
                                  .tsval = 1};
  const struct {
    std::vector<uint8_t> frame;
    const char* text;
  } kCases[] = {
      {TcpFrame{.flags = TcpFlags::kSyn, .window = 64240, .options = kSynOptions}.Build(),
       "10.0.0.1:40000 > 10.0.0.2:61441: [S] seq 1 win 64240 mss 1460 sackOK TS 1/0 wscale 7 length 0"},
      {TcpFrame{.sequence = 0xfffffffe,
                .acknowledgment = 7,
                .flags = TcpFlags::kAck | TcpFlags::kPsh,
                .payload = Text("hello")}
           .Build(),
       "10.0.0.1:40000 > 10.0.0.2:61441: [P.] seq 4294967294:3 ack 7 win 65535 length 5"},
      {TcpFrame{.options = {.sack_count = 2, .sack = {{{5, 9}, {20, 30}}}}}.Build(),
       "10.0.0.1:40000 > 10.0.0.2:61441: [.] seq 1 ack 0 win 65535 sack 2 {5:9}{20:30} length 0"},
      {TcpFrame{.flags = TcpFlags::kUrg, .urgent_pointer = 3, .raw_options = Hex("02 00")}.Build(),
       "10.0.0.1:40000 > 10.0.0.2:61441: [U] seq 1 win 65535 urg 3 (malformed options) length 0"},
      {TcpFrame{.vlan = 100}.Build(), "vlan 100 10.0.0.1:40000 > 10.0.0.2:61441: [.] seq 1 ack 0 win 65535 length 0"},
      {TcpFrame{.bad_tcp_checksum = true}.Build(),
       "10.0.0.1:40000 > 10.0.0.2:61441: [.] seq 1 ack 0 win 65535 length 0 (bad tcp checksum)"},
      {TcpFrame{.bad_ip_checksum = true}.Build(),
       "10.0.0.1:40000 > 10.0.0.2:61441: [.] seq 1 ack 0 win 65535 length 0 (bad ip checksum)"},
      {TcpFrame{.data_offset = 3}.Build(), "10.0.0.1 > 10.0.0.2: tcp: bad header length (20 bytes)"},
      {TcpFrame{.identification = 9, .fragment = 0x2001}.Build(), "10.0.0.1 > 10.0.0.2: tcp fragment 9@8+ length 20"},
      {TcpFrame{.total_length = 19}.Build(), "ip: bad total length (40 bytes)"},
      {TcpFrame{.ip_version = 6}.Build(), "ip: bad version (40 bytes)"},
      {TcpFrame{.truncate_to = 9}.Build(), "ethernet: truncated (9 bytes)"},
      {TcpFrame{.truncate_to = 33}.Build(), "ip: truncated (19 bytes)"},
      {TcpFrame{.ether_type = 0x86dd}.Build(), "02:00:00:00:00:01 > 02:00:00:00:00:02: ethertype 0x86dd length 40"},
      {TcpFrame{.protocol = 89}.Build(), "10.0.0.1 > 10.0.0.2: protocol 89 length 20"},
      {ArpFrame{}.Build(), "arp who-has 10.0.0.2 tell 10.0.0.1 (02:00:00:00:00:01)"},
      {ArpFrame{.operation = ArpPacket::kReply}.Build(), "arp reply 10.0.0.1 is-at 02:00:00:00:00:01"},
      {ArpFrame{.operation = 9}.Build(), "arp operation 9"},
      {ArpFrame{.truncate_to = 20}.Build(), "arp: truncated (6 bytes)"},
      {Udp(), "10.0.0.1 > 10.0.0.2: udp length 8"},
      {IcmpFragmentationNeeded(), "10.0.0.1 > 10.0.0.2: icmp type 3 code 4 mtu 1400 length 36"},
      {{}, "ethernet: truncated (0 bytes)"},
  };
  for (const auto& c : kCases) EXPECT_EQ(PrintFrame(c.frame), c.text);
}

TEST(FramePrinter, Flags) {
  EXPECT_EQ(PrintTcpFlags(0), "none");
  EXPECT_EQ(PrintTcpFlags(TcpFlags::kSyn | TcpFlags::kAck), "S.");
  EXPECT_EQ(PrintTcpFlags(TcpFlags::kAll), "FSRPUEWe.");
}

// Whatever the bytes, there is one line of text, and asan watches where it comes from.
TEST(FramePrinter, DamagedFrames) {
  const char* env = getenv("LUNA_TEST_SEED");
  const uint32_t seed = env != nullptr ? static_cast<uint32_t>(atoll(env)) : std::random_device()();
  SCOPED_TRACE(absl::StrCat("LUNA_TEST_SEED=", seed));
  std::mt19937 random(seed);
  const std::vector<uint8_t> frames[] = {TcpFrame{.payload = Text("x")}.Build(), ArpFrame{}.Build(),
                                         IcmpFragmentationNeeded(), Udp()};
  for (int round = 0; round < 20000; ++round) {
    std::vector<uint8_t> frame = frames[random() % 4];
    frame.resize(random() % (frame.size() + 1));
    frame.shrink_to_fit();
    for (int i = 0; i < 3 && !frame.empty(); ++i) frame[random() % frame.size()] = static_cast<uint8_t>(random());
    const std::string text = PrintFrame(frame);
    ASSERT_FALSE(text.empty());
    ASSERT_FALSE(absl::StrContains(text, "\n"));
  }
}

}  // namespace
}  // namespace luna::wire
