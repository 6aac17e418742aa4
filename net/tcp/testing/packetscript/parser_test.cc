#include "luna/net/tcp/testing/packetscript/parser.h"

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"
#include "luna/net/wire/tcp_header.h"

namespace luna::tcp::packetscript {
namespace {

using wire::TcpFlags;

Script Parse(absl::string_view text) {
  absl::StatusOr<Script> script = ParseScript(text, "t.pkt");
  EXPECT_TRUE(script.ok()) << script.status();
  return script.ok() ? *script : Script();
}

// The one event of a script that is `text` at time 0.
Event One(absl::string_view text) {
  const Script script = Parse(absl::StrCat("+0 ", text));
  EXPECT_EQ(script.events.size(), 1u) << text;
  return script.events.empty() ? Event() : script.events[0];
}

PacketSpec Packet(absl::string_view text) { return One(text).packet; }

std::string ErrorOf(absl::string_view text) {
  const absl::StatusOr<Script> script = ParseScript(text, "t.pkt");
  return script.ok() ? "" : std::string(script.status().message());
}

TEST(ParserTest, TimesOfEveryKind) {
  const Script script = Parse(
      "0.25 close(3) = 0\n"
      "+.1 close(3) = 0\n"
      "* > . 1:1(0) ack 1\n"
      "1~2.5 > . 1:1(0) ack 1\n"
      "+.21~+.215 > . 1:1(0) ack 1\n"
      " +1 ... 2.000001 accept(3, ..., ...) = 4\n"
      "+0...0 connect(3, ..., ...) = 0\n");
  ASSERT_EQ(script.events.size(), 7u);
  EXPECT_EQ(script.events[0].time.kind, EventTime::Kind::kAbsolute);
  EXPECT_EQ(script.events[0].time.usecs, 250'000);
  EXPECT_EQ(script.events[1].time.kind, EventTime::Kind::kRelative);
  EXPECT_EQ(script.events[1].time.usecs, 100'000);
  EXPECT_EQ(script.events[2].time.kind, EventTime::Kind::kAny);
  EXPECT_EQ(script.events[3].time.kind, EventTime::Kind::kAbsoluteRange);
  EXPECT_EQ(script.events[3].time.usecs, 1'000'000);
  EXPECT_EQ(script.events[3].time.end_usecs, 2'500'000);
  EXPECT_EQ(script.events[4].time.kind, EventTime::Kind::kRelativeRange);
  EXPECT_EQ(script.events[4].time.end_usecs, 215'000);
  EXPECT_TRUE(script.events[5].call.blocking);
  EXPECT_EQ(script.events[5].call.end_usecs, 2'000'001);
  EXPECT_EQ(script.events[5].line, 6);
  EXPECT_TRUE(script.events[6].call.blocking);
  EXPECT_EQ(script.events[6].time.usecs, 0);
}

TEST(ParserTest, CommentsOfEveryKindAndTheirLines) {
  const Script script = Parse(
      "// one\n"
      "/* two\n   three */ --mss=1000 // four\n"
      "# five\n"
      "`sysctl -q a=1  # not a comment\n"
      " echo` // eight\n"
      "0 close(3) /* inside */ = // across\n 0\n");
  ASSERT_EQ(script.events.size(), 2u);
  EXPECT_EQ(script.options[0].second, "1000");
  EXPECT_EQ(script.events[0].kind, Event::Kind::kCommand);
  EXPECT_EQ(script.events[0].line, 5);
  EXPECT_EQ(script.events[0].text, "sysctl -q a=1  # not a comment\n echo");
  EXPECT_EQ(script.events[1].line, 7);
}

TEST(ParserTest, OptionsAndDefines) {
  const Script script = Parse(
      "--ip_version=ipv4 --tcp_ts_ecr_scaled\n--local_ip=192.168.0.1\n"
      "--define=CC=\"new reno\"\n--define=PROTO=IPPROTO_TCP\n--define=END=`date`\n"
      "0 socket(PROTO, CC) = 3\n+0 END\n");
  ASSERT_EQ(script.options.size(), 6u);
  EXPECT_EQ(script.options[0].first, "ip_version");
  EXPECT_EQ(script.options[0].second, "ipv4");
  EXPECT_EQ(script.options[1].second, "");
  EXPECT_EQ(script.options[2].second, "192.168.0.1");
  ASSERT_EQ(script.events.size(), 2u);
  EXPECT_TRUE(script.events[0].call.arguments[0].IsWord("IPPROTO_TCP"));
  EXPECT_EQ(script.events[0].call.arguments[1].kind, Expression::Kind::kString);
  EXPECT_EQ(script.events[0].call.arguments[1].text, "new reno");
  EXPECT_EQ(script.events[1].text, "date");
}

TEST(ParserTest, FlagsOfPackets) {
  struct {
    const char* text;
    uint16_t flags;
  } const cases[] = {
      {"S", TcpFlags::kSyn},
      {"S.", TcpFlags::kSyn | TcpFlags::kAck},
      {".", TcpFlags::kAck},
      {"-", 0},
      {"FP.", TcpFlags::kFin | TcpFlags::kPsh | TcpFlags::kAck},
      {"F.", TcpFlags::kFin | TcpFlags::kAck},
      {"R", TcpFlags::kRst},
      {"U.", TcpFlags::kUrg | TcpFlags::kAck},
      {"SEW", TcpFlags::kSyn | TcpFlags::kEce | TcpFlags::kCwr},
      {"SE.", TcpFlags::kSyn | TcpFlags::kEce | TcpFlags::kAck},
      {"SEWA", TcpFlags::kSyn | TcpFlags::kEce | TcpFlags::kCwr | TcpFlags::kAe},
      {".5", TcpFlags::kAck | TcpFlags::kEce | TcpFlags::kAe},
      {"P.2", TcpFlags::kPsh | TcpFlags::kAck | TcpFlags::kCwr},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(Packet(absl::StrCat("< ", c.text, " 0:0(0) ack 1 win 5")).flags, c.flags) << c.text;
  }
  EXPECT_EQ(*Packet("> .5 1:1(0) ack 1").ace, 5);
  EXPECT_FALSE(Packet("> . 1:1(0) ack 1").ace.has_value());
}

TEST(ParserTest, NumbersOfPackets) {
  const PacketSpec full = Packet("<  P. 4294967290:4(10)  ack 7   win 257 urg 9");
  EXPECT_FALSE(full.outbound);
  EXPECT_EQ(full.sequence.start, 4294967290u);
  EXPECT_EQ(full.sequence.payload_bytes, 10u);
  EXPECT_EQ(full.ack, 7u);
  EXPECT_EQ(*full.window, 257);
  EXPECT_EQ(full.urgent_pointer, 9);
  const PacketSpec bare = Packet("> . 1:1(0)");
  EXPECT_TRUE(bare.outbound);
  EXPECT_FALSE(bare.window.has_value());
  EXPECT_TRUE(bare.options.empty());
  EXPECT_FALSE(bare.any_options);
  const PacketSpec ports = Packet("< 1234>80 S 0:0(0) win 5");
  EXPECT_EQ(ports.source_port, 1234);
  EXPECT_EQ(ports.destination_port, 80);
  EXPECT_EQ(*Packet("> sock(5) S 0:0(0)").socket_fd, 5);
}

TEST(ParserTest, IpHeaderOfPackets) {
  EXPECT_EQ(Packet("> [ect0] . 1:1(0)").tos, 2);
  EXPECT_EQ(Packet("< [ce] . 1:1(0)").tos, 3);
  EXPECT_EQ(Packet("> (ect1) . 1:1(0)").tos, 1);
  EXPECT_EQ(Packet("> [noecn] . 1:1(0)").ecn_check, PacketSpec::EcnCheck::kExact);
  EXPECT_EQ(Packet("> [ect01] . 1:1(0)").ecn_check, PacketSpec::EcnCheck::kEct01);
  EXPECT_EQ(Packet("> (tos 0x88) . 1:1(0)").tos, 0x88);
  EXPECT_EQ(Packet("> (tos 0x88) . 1:1(0)").ecn_check, PacketSpec::EcnCheck::kTos);
  EXPECT_EQ(*Packet("> (ttl 5) . 1:1(0)").ttl, 5);
  EXPECT_EQ(Packet("> . 1:1(0)").ecn_check, PacketSpec::EcnCheck::kNone);
}

TEST(ParserTest, TcpOptions) {
  const PacketSpec p = Packet("< S 0:0(0) win 1 <mss 1460 ,sackOK,TS val 4000000000 ecr 2,nop,wscale 7,FO 0a1b,eol>");
  using Kind = TcpOptionSpec::Kind;
  ASSERT_EQ(p.options.size(), 7u);
  EXPECT_EQ(p.options[0].value, 1460u);
  EXPECT_EQ(p.options[1].kind, Kind::kSackOk);
  EXPECT_EQ(p.options[2].value, 4000000000u);
  EXPECT_EQ(p.options[2].echo, 2u);
  EXPECT_EQ(p.options[4].value, 7u);
  EXPECT_EQ(p.options[5].kind, Kind::kFastOpen);
  EXPECT_EQ(p.options[5].bytes, (std::vector<uint8_t>{0x0a, 0x1b}));
  EXPECT_EQ(p.options[6].kind, Kind::kEol);
  const PacketSpec sack = Packet("> . 1:1(0) ack 1 <nop,nop,sack 1:2 5:9 11:12>");
  ASSERT_EQ(sack.options.size(), 3u);
  ASSERT_EQ(sack.options[2].blocks.size(), 3u);
  EXPECT_EQ(sack.options[2].blocks[1].left, 5u);
  EXPECT_EQ(sack.options[2].blocks[2].right, 12u);
  EXPECT_TRUE(Packet("> S. 0:0(0) ack 1 <...>").any_options);
}

TEST(ParserTest, IcmpPackets) {
  const PacketSpec p = Packet("< icmp unreachable frag_needed mtu 1300 [1:1461(1460)]");
  ASSERT_TRUE(p.icmp.has_value());
  EXPECT_EQ(p.icmp->type, "unreachable");
  EXPECT_EQ(p.icmp->code, "frag_needed");
  EXPECT_EQ(*p.icmp->mtu, 1300u);
  EXPECT_EQ(p.icmp->echoed->payload_bytes, 1460u);
  const PacketSpec bare = Packet("< icmp source_quench mtu 5");
  EXPECT_EQ(bare.icmp->code, "");
  EXPECT_FALSE(bare.icmp->echoed.has_value());
}

TEST(ParserTest, SystemCalls) {
  const SystemCallSpec failed = One("read(4, ..., 1000) = -1 EAGAIN (Resource temporarily unavailable)").call;
  EXPECT_EQ(failed.name, "read");
  EXPECT_EQ(failed.arguments.size(), 3u);
  EXPECT_EQ(failed.result.number, -1);
  EXPECT_EQ(failed.error, "EAGAIN");
  const SystemCallSpec noted = One("fcntl(4, F_GETFL) = 0x802 (flags O_RDWR|O_NONBLOCK)").call;
  EXPECT_EQ(noted.result.number, 0x802);
  EXPECT_EQ(noted.error, "");
  EXPECT_TRUE(One("pipe() = 0").call.arguments.empty());
}

TEST(ParserTest, ArgumentsOfEveryKind) {
  using Kind = Expression::Kind;
  const std::vector<Expression> a =
      One("f(O_RDWR | O_NONBLOCK, [1], {onoff=1, linger=0}, \"ab\" \"c\\x01\"..., [{fd=4, events=POLLIN}], "
          "{msg_name(...)=..., msg_iov(2)=[{..., 3}, {..., 4}], msg_flags=0}, NULL, -5) = 0")
          .call.arguments;
  ASSERT_EQ(a.size(), 8u);
  EXPECT_EQ(a[0].kind, Kind::kOr);
  EXPECT_TRUE(a[0].items[1].IsWord("O_NONBLOCK"));
  EXPECT_EQ(a[1].kind, Kind::kList);
  EXPECT_EQ(a[1].items[0].number, 1);
  EXPECT_EQ(a[2].kind, Kind::kStruct);
  EXPECT_EQ(a[2].items[1].kind, Kind::kAssign);
  EXPECT_TRUE(a[2].items[1].items[0].IsWord("linger"));
  EXPECT_EQ(a[3].text, absl::StrCat("abc", "\x01"));
  EXPECT_TRUE(a[3].open);
  EXPECT_EQ(a[4].items[0].items[0].items[1].number, 4);
  const Expression& iov = a[5].items[1];
  EXPECT_EQ(iov.items[0].kind, Kind::kCall);
  EXPECT_EQ(iov.items[0].text, "msg_iov");
  EXPECT_EQ(iov.items[1].items[1].items[1].number, 4);
  EXPECT_TRUE(a[6].IsWord("NULL"));
  EXPECT_EQ(a[7].number, -5);
}

TEST(ParserTest, CodeKeepsItsText) {
  const Event event = One("%{ assert a == 1, {a}; \\\n assert b }%");
  EXPECT_EQ(event.kind, Event::Kind::kCode);
  EXPECT_EQ(event.text, " assert a == 1, {a}; \\\n assert b ");
}

TEST(ParserTest, ErrorsNameTheLine) {
  struct {
    const char* text;
    const char* error;
  } const cases[] = {
      {"", "t.pkt:1: there is no event"},
      {"0 close(3) = 0\n+0 < S 0:1(0) win 5", "t.pkt:2: sequence numbers and payload size differ: 0:1(0)"},
      {"0 close(3) =", "t.pkt:1: expected an argument, found the end"},
      {"0 close(3 = 0", "t.pkt:1: expected ')', found \"= 0\""},
      {"\n\n0 < SZ 0:0(0)", "t.pkt:3: no TCP flag is called 'Z'"},
      {"0 < SS 0:0(0)", "t.pkt:1: a TCP flag comes twice"},
      {"0 < S 0:0(0) win 65536", "t.pkt:1: a window is out of range: 65536"},
      {"0 < S 0:0(0) win 1 <mss 1, bogus>", "t.pkt:1: \"bogus\" is no TCP option that this runner knows"},
      {"0 < S 0:0(0) win 1 <...>", "t.pkt:1: <...> is for outbound packets only"},
      {"0 < S 0:0(0) <sack 1:2 1:2 1:2 1:2 1:2>", "t.pkt:1: so many SACK blocks do not fit"},
      {"0 > . 0:0(0) <sack 1:2 1:2 1:2,TS val 1 ecr 1,mss 5,nop>", "t.pkt:1: so many options do not fit into a header"},
      {"* close(3) = 0", "t.pkt:1: only outbound packets can have such a time"},
      {"0~1 close(3) = 0", "t.pkt:1: only outbound packets can have such a time"},
      {"1~0 > . 0:0(0)", "t.pkt:1: the range of time is backwards"},
      {"1...0 close(3) = 0", "t.pkt:1: the system call ends before it begins"},
      {"0 `sysctl", "t.pkt:1: expected `, found the end"},
      {"/* 0 close(3) = 0", "t.pkt:1: a comment is not closed"},
      {"0 > udp (5)", "t.pkt:1: UDP is not for a TCP stack"},
      {"0 > ipv6 1::2 > 3::4: S", "t.pkt:1: ipv6 packets are not for a TCP stack"},
      {"0 f(((((((((((((((1 = 0", "t.pkt:1: expected an argument, found \"((((((((((((((1 = 0\""},
      {"0 f([[[[[[[[[[[[[[[1 = 0", "t.pkt:1: arguments are nested too deeply"},
      {"0 f(99999999999999999999) = 0", "t.pkt:1: a number is too large"},
  };
  for (const auto& c : cases) EXPECT_EQ(ErrorOf(c.text), c.error) << c.text;
}

TEST(ParserTest, AFileThatIsNotThere) {
  EXPECT_EQ(LoadScript("no/such.pkt").status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace luna::tcp::packetscript
