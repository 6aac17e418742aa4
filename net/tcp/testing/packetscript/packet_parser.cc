#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "luna/net/tcp/testing/packetscript/expression_parser.h"
#include "luna/net/wire/tcp_header.h"
#include "luna/net/wire/tcp_options.h"

namespace luna::tcp::packetscript {
namespace {

using wire::TcpFlags;
using OptionKind = TcpOptionSpec::Kind;

constexpr uint64_t kMax8 = 0xff;
constexpr uint64_t kMax16 = 0xffff;
constexpr uint64_t kMax32 = 0xffffffff;
// What a data offset leaves for options.
constexpr size_t kMaxOptions = 40;
constexpr size_t kMaxSackBlocks = 4;
constexpr uint8_t kMd5Kind = 19;

template <typename T>
T Unsigned(Cursor& in, uint64_t max, absl::string_view what) {
  uint64_t value = 0;
  in.ExpectUnsigned(max, what, &value);
  return static_cast<T>(value);
}

SequenceRange ParseRange(Cursor& in) {
  SequenceRange range;
  range.start = Unsigned<uint32_t>(in, kMax32, "a sequence number");
  in.Expect(":");
  const auto end = Unsigned<uint32_t>(in, kMax32, "a sequence number");
  in.Expect("(");
  range.payload_bytes = Unsigned<uint32_t>(in, kMax16, "a payload size");
  in.Expect(")");
  if (in.ok() && end != range.start + range.payload_bytes) {
    in.Fail(absl::StrCat("sequence numbers and payload size differ: ", range.start, ":", end, "(", range.payload_bytes,
                         ")"));
  }
  return range;
}

// "[ect0]", "(tos 0x2, ttl 64)": the inside.
void ParseIpInfo(Cursor& in, absl::string_view close, PacketSpec* packet) {
  do {
    std::string word;
    in.TakeAnyWord(&word);
    packet->ecn_check = PacketSpec::EcnCheck::kExact;
    if (word == "noecn") {
      packet->tos = 0;
    } else if (word == "ect1") {
      packet->tos = 1;
    } else if (word == "ect0") {
      packet->tos = 2;
    } else if (word == "ce") {
      packet->tos = 3;
    } else if (word == "ect01") {
      packet->ecn_check = PacketSpec::EcnCheck::kEct01;
      if (!packet->outbound) in.Fail("[ect01] is for outbound packets only");
    } else if (word == "tos") {
      packet->ecn_check = PacketSpec::EcnCheck::kTos;
      packet->tos = Unsigned<uint8_t>(in, kMax8, "a TOS octet");
    } else if (word == "ttl") {
      packet->ecn_check = PacketSpec::EcnCheck::kNone;
      packet->ttl = Unsigned<uint8_t>(in, kMax8, "a TTL");
    } else {
      in.Fail(absl::StrCat("\"", word, "\" is nothing to say of an IP header"));
    }
  } while (in.ok() && in.Take(","));
  in.Expect(close);
}

void ApplyFlag(Cursor& in, char c, PacketSpec* packet) {
  static constexpr std::pair<char, uint16_t> kFlags[] = {
      {'F', TcpFlags::kFin}, {'S', TcpFlags::kSyn}, {'R', TcpFlags::kRst}, {'P', TcpFlags::kPsh},
      {'.', TcpFlags::kAck}, {'U', TcpFlags::kUrg}, {'E', TcpFlags::kEce}, {'W', TcpFlags::kCwr},
      {'C', TcpFlags::kCwr}, {'A', TcpFlags::kAe},  {'N', TcpFlags::kAe},
  };
  for (const auto& [letter, bit] : kFlags) {
    if (letter != c) continue;
    if ((packet->flags & bit) != 0) in.Fail("a TCP flag comes twice");
    packet->flags |= bit;
    return;
  }
  if (c < '0' || c > '7' || packet->ace.has_value())
    return in.Fail(absl::StrCat("no TCP flag is called '", std::string(1, c), "'"));
  packet->ace = static_cast<uint8_t>(c - '0');
  packet->flags |= static_cast<uint16_t>(*packet->ace << 6);  // ECE, CWR, AE are neighbours
}

// "S.", "SEW", "-", ".5": the letters stand together; a digit is AccECN's counter.
void ParseFlags(Cursor& in, PacketSpec* packet) {
  const std::string letters = in.TakeToBlank();
  if (letters.empty()) return in.FailExpected("TCP flags");
  if (letters == "-") return;
  for (const char c : letters) ApplyFlag(in, c, packet);
}

std::vector<uint8_t> ParseHex(Cursor& in) {
  std::string digits;
  in.TakeAnyWord(&digits);
  if (digits.size() % 2 != 0 || digits.size() > 2 * kMaxOptions) in.Fail("octets are written with two digits each");
  for (const char c : digits) {
    if (!absl::ascii_isxdigit(static_cast<unsigned char>(c))) {
      in.Fail("octets are written in hexadecimal");
      return {};
    }
  }
  const std::string bytes = absl::HexStringToBytes(digits.substr(0, digits.size() / 2 * 2));
  return {bytes.begin(), bytes.end()};
}

void ParseSack(Cursor& in, TcpOptionSpec* option) {
  while (in.ok() && in.LooksAtInteger()) {
    SackBlock block;
    block.left = Unsigned<uint32_t>(in, kMax32, "a sequence number");
    in.Expect(":");
    block.right = Unsigned<uint32_t>(in, kMax32, "a sequence number");
    option->blocks.push_back(block);
    if (option->blocks.size() > kMaxSackBlocks) in.Fail("so many SACK blocks do not fit");
  }
  if (option->blocks.empty()) in.FailExpected("a SACK block");
}

TcpOptionSpec ParseOption(Cursor& in) {
  TcpOptionSpec option;
  std::string name;
  in.TakeAnyWord(&name);
  if (name == "nop") {
    option.kind = OptionKind::kNop;
  } else if (name == "eol") {
    option.kind = OptionKind::kEol;
  } else if (name == "mss") {
    option.kind = OptionKind::kMss;
    option.value = Unsigned<uint32_t>(in, kMax16, "an MSS");
  } else if (name == "wscale") {
    option.kind = OptionKind::kWindowScale;
    option.value = Unsigned<uint32_t>(in, kMax8, "a window scale");
  } else if (name == "sackOK") {
    option.kind = OptionKind::kSackOk;
  } else if (name == "sack") {
    option.kind = OptionKind::kSack;
    ParseSack(in, &option);
  } else if (name == "TS") {
    option.kind = OptionKind::kTimestamp;
    if (!in.TakeWord("val")) in.FailExpected("val");
    option.value = Unsigned<uint32_t>(in, kMax32, "a timestamp");
    if (!in.TakeWord("ecr")) in.FailExpected("ecr");
    option.echo = Unsigned<uint32_t>(in, kMax32, "a timestamp");
  } else if (name == "FO" || name == "FOEXP") {
    option.kind = OptionKind::kFastOpen;
    option.experimental = name == "FOEXP";
    option.bytes = ParseHex(in);
  } else if (name == "md5") {
    option.kind = OptionKind::kRaw;
    option.raw_kind = kMd5Kind;
    option.bytes = ParseHex(in);
  } else {
    in.Fail(absl::StrCat("\"", name, "\" is no TCP option that this runner knows"));
  }
  return option;
}

// Octets on the wire.
size_t SizeOf(const TcpOptionSpec& option) {
  switch (option.kind) {
    case OptionKind::kNop:
    case OptionKind::kEol:
      return 1;
    case OptionKind::kMss:
      return wire::TcpOption::kMssLength;
    case OptionKind::kWindowScale:
      return wire::TcpOption::kWindowScaleLength;
    case OptionKind::kSackOk:
      return wire::TcpOption::kSackPermittedLength;
    case OptionKind::kSack:
      return 2 + wire::TcpOption::kSackBlockLength * option.blocks.size();
    case OptionKind::kTimestamp:
      return wire::TcpOption::kTimestampLength;
    case OptionKind::kFastOpen:
      return (option.experimental ? 4 : 2) + option.bytes.size();
    case OptionKind::kRaw:
      return 2 + option.bytes.size();
  }
  return 0;
}

void ParseOptions(Cursor& in, PacketSpec* packet) {
  if (!in.Take("<")) return;
  if (in.Take("...")) {
    packet->any_options = true;
    if (!packet->outbound) in.Fail("<...> is for outbound packets only");
  } else {
    size_t size = 0;
    do {
      packet->options.push_back(ParseOption(in));
      size += SizeOf(packet->options.back());
      if (size > kMaxOptions) in.Fail("so many options do not fit into a header");
    } while (in.ok() && in.Take(","));
  }
  in.Expect(">");
}

// "unreachable frag_needed mtu 1300 [1:1461(1460)]"
IcmpSpec ParseIcmp(Cursor& in) {
  IcmpSpec icmp;
  if (!in.TakeAnyWord(&icmp.type)) in.FailExpected("an ICMP type");
  const absl::string_view next = in.PeekWord();
  if (!next.empty() && next != "mtu" && next != "id" && !absl::ascii_isdigit(static_cast<unsigned char>(next[0]))) {
    in.TakeAnyWord(&icmp.code);
  }
  if (in.TakeWord("mtu")) icmp.mtu = Unsigned<uint32_t>(in, kMax16, "an MTU");
  if (in.TakeWord("id")) icmp.echo_id = Unsigned<uint32_t>(in, kMax16, "an echo identifier");
  if (!in.Take("[")) return icmp;
  if (in.TakeWord("udp") || in.TakeWord("raw")) {
    in.Fail("only TCP is echoed by ICMP here");
  } else {
    icmp.echoed = ParseRange(in);
  }
  in.Expect("]");
  return icmp;
}

void ParseTcp(Cursor& in, PacketSpec* packet) {
  if (in.LooksAtInteger()) {
    packet->source_port = Unsigned<uint16_t>(in, kMax16, "a port");
    in.Expect(">");
    packet->destination_port = Unsigned<uint16_t>(in, kMax16, "a port");
  }
  ParseFlags(in, packet);
  packet->sequence = ParseRange(in);
  if (in.TakeWord("ack")) packet->ack = Unsigned<uint32_t>(in, kMax32, "an acknowledgement number");
  if (in.TakeWord("win")) packet->window = Unsigned<uint16_t>(in, kMax16, "a window");
  if (in.TakeWord("urg")) packet->urgent_pointer = Unsigned<uint16_t>(in, kMax16, "an urgent pointer");
  ParseOptions(in, packet);
}

}  // namespace

PacketSpec ParsePacket(Cursor& in, bool outbound) {
  PacketSpec packet;
  packet.outbound = outbound;
  if (in.TakeWord("sock")) {
    in.Expect("(");
    packet.socket_fd = Unsigned<int>(in, kMax16, "a descriptor");
    in.Expect(")");
  }
  for (const char* other : {"ipv4", "ipv6", "gre", "GREv0", "mpls", "sctp", "udplite"}) {
    if (in.PeekWord() == other) in.Fail(absl::StrCat(other, " packets are not for a TCP stack"));
  }
  if (in.Take("[")) {
    ParseIpInfo(in, "]", &packet);
  } else if (in.Take("(")) {
    ParseIpInfo(in, ")", &packet);
  }
  if (in.TakeWord("icmp")) {
    packet.icmp = ParseIcmp(in);
  } else if (in.TakeWord("udp")) {
    in.Fail("UDP is not for a TCP stack");
  } else if (in.ok()) {
    ParseTcp(in, &packet);
  }
  return packet;
}

}  // namespace luna::tcp::packetscript
