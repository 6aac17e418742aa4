#include "luna/net/tcp/testing/packetscript/wire_packet.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "luna/net/wire/byte_cursor.h"
#include "luna/net/wire/icmpv4.h"
#include "luna/net/wire/ipv4.h"
#include "luna/net/wire/tcp_header.h"
#include "luna/net/wire/tcp_options.h"

namespace luna::tcp::packetscript {
namespace {

using wire::LoadBe16;
using wire::LoadBe32;
using wire::StoreBe16;
using wire::StoreBe32;
using wire::TcpFlags;
using wire::TcpOption;

constexpr uint8_t kFastOpenKind = 34;
constexpr uint8_t kExperimentalKind = 254;
constexpr uint16_t kFastOpenMagic = 0xf989;

void Append16(std::vector<uint8_t>* out, uint16_t value) {
  out->push_back(static_cast<uint8_t>(value >> 8));
  out->push_back(static_cast<uint8_t>(value));
}

void Append32(std::vector<uint8_t>* out, uint32_t value) {
  Append16(out, static_cast<uint16_t>(value >> 16));
  Append16(out, static_cast<uint16_t>(value));
}

bool HasLength(const RawOption& option) { return option.kind != TcpOption::kNop && option.kind != TcpOption::kEnd; }

// Without padding.
size_t OptionBytes(const Segment& segment) {
  size_t size = 0;
  for (const RawOption& option : segment.options) size += HasLength(option) ? 2 + option.data.size() : 1;
  return size;
}

RawOption ToRaw(const TcpOptionSpec& spec) {
  using Kind = TcpOptionSpec::Kind;
  RawOption raw;
  switch (spec.kind) {
    case Kind::kNop:
      raw.kind = TcpOption::kNop;
      break;
    case Kind::kEol:
      raw.kind = TcpOption::kEnd;
      break;
    case Kind::kMss:
      raw.kind = TcpOption::kMss;
      Append16(&raw.data, static_cast<uint16_t>(spec.value));
      break;
    case Kind::kWindowScale:
      raw.kind = TcpOption::kWindowScale;
      raw.data.push_back(static_cast<uint8_t>(spec.value));
      break;
    case Kind::kSackOk:
      raw.kind = TcpOption::kSackPermitted;
      break;
    case Kind::kSack:
      raw.kind = TcpOption::kSack;
      for (const SackBlock& block : spec.blocks) {
        Append32(&raw.data, block.left);
        Append32(&raw.data, block.right);
      }
      break;
    case Kind::kTimestamp:
      raw.kind = TcpOption::kTimestamp;
      Append32(&raw.data, spec.value);
      Append32(&raw.data, spec.echo);
      break;
    case Kind::kFastOpen:
      raw.kind = spec.experimental ? kExperimentalKind : kFastOpenKind;
      if (spec.experimental) Append16(&raw.data, kFastOpenMagic);
      raw.data.insert(raw.data.end(), spec.bytes.begin(), spec.bytes.end());
      break;
    case Kind::kRaw:
      raw.kind = spec.raw_kind;
      raw.data = spec.bytes;
      break;
  }
  return raw;
}

// False when a length is wrong.
bool ReadOptions(absl::Span<const uint8_t> bytes, std::vector<RawOption>* out) {
  while (!bytes.empty()) {
    RawOption option;
    option.kind = bytes[0];
    size_t length = 1;
    if (HasLength(option)) {
      if (bytes.size() < 2 || bytes[1] < 2 || bytes[1] > bytes.size()) return false;
      length = bytes[1];
      option.data.assign(bytes.begin() + 2, bytes.begin() + static_cast<std::ptrdiff_t>(length));
    }
    bytes.remove_prefix(length);
    out->push_back(std::move(option));
  }
  return true;
}

std::string OptionToString(const RawOption& option) {
  const uint8_t* p = option.data.data();
  const size_t size = option.data.size();
  if (option.kind == TcpOption::kNop) return "nop";
  if (option.kind == TcpOption::kEnd) return "eol";
  if (option.kind == TcpOption::kMss && size == 2) return absl::StrCat("mss ", LoadBe16(p));
  if (option.kind == TcpOption::kWindowScale && size == 1) return absl::StrCat("wscale ", p[0]);
  if (option.kind == TcpOption::kSackPermitted && size == 0) return "sackOK";
  if (option.kind == TcpOption::kTimestamp && size == 8) {
    return absl::StrCat("TS val ", LoadBe32(p), " ecr ", LoadBe32(p + 4));
  }
  if (option.kind == TcpOption::kSack && size % 8 == 0) {
    std::string text = "sack";
    for (size_t i = 0; i < size; i += 8) absl::StrAppend(&text, " ", LoadBe32(p + i), ":", LoadBe32(p + i + 4));
    return text;
  }
  std::string text = option.kind == kFastOpenKind ? "FO " : absl::StrCat("option ", option.kind, " ");
  for (const uint8_t byte : option.data) absl::StrAppend(&text, absl::Hex(byte, absl::kZeroPad2));
  return text;
}

absl::Status Bad(absl::string_view why) { return absl::InvalidArgumentError(why); }

absl::Status DissectTcp(const wire::Ipv4Header& ip, absl::Span<const uint8_t> bytes, Segment* out) {
  wire::TcpHeader tcp;
  if (const wire::ParseResult result = wire::Parse(bytes, &tcp); result != wire::ParseResult::kOk) {
    return Bad(absl::StrCat("TCP header: ", wire::ParseResultName(result)));
  }
  if (!wire::TcpChecksumIsRight(ip.source, ip.destination, bytes)) return Bad("the TCP checksum is wrong");
  out->source.port = tcp.source_port;
  out->destination.port = tcp.destination_port;
  out->flags = tcp.flags;
  out->reserved = static_cast<uint8_t>(bytes[12] & 0x0e);
  out->sequence = tcp.sequence;
  out->ack = tcp.acknowledgment;
  out->window = tcp.window;
  out->urgent_pointer = tcp.urgent_pointer;
  if (!ReadOptions(tcp.Options(bytes), &out->options)) return Bad("a TCP option has a wrong length");
  const absl::Span<const uint8_t> payload = tcp.Payload(bytes);
  out->payload.assign(payload.begin(), payload.end());
  return absl::OkStatus();
}

// Writes the IPv4 header and sums up what stands behind it.
std::vector<uint8_t> Datagram(const Segment& about, uint8_t protocol, absl::Span<const uint8_t> body) {
  wire::Ipv4Header ip;
  ip.tos = about.tos;
  ip.ttl = about.ttl;
  ip.protocol = protocol;
  ip.source = about.source.address.v4();
  ip.destination = about.destination.address.v4();
  ip.total_length = static_cast<uint16_t>(wire::Ipv4Header::kSize + body.size());
  std::vector<uint8_t> packet(wire::Ipv4Header::kSize);
  wire::Write(ip, packet.data());
  packet.insert(packet.end(), body.begin(), body.end());
  return packet;
}

std::vector<uint8_t> TcpBytes(const Segment& segment) {
  std::vector<uint8_t> bytes(wire::TcpHeader::kSize);
  for (const RawOption& option : segment.options) {
    bytes.push_back(option.kind);
    if (!HasLength(option)) continue;
    bytes.push_back(static_cast<uint8_t>(2 + option.data.size()));
    bytes.insert(bytes.end(), option.data.begin(), option.data.end());
  }
  bytes.resize((bytes.size() + 3) / 4 * 4);
  wire::TcpHeader tcp;
  tcp.source_port = segment.source.port;
  tcp.destination_port = segment.destination.port;
  tcp.sequence = segment.sequence;
  tcp.acknowledgment = segment.ack;
  tcp.header_length = static_cast<uint8_t>(bytes.size());
  tcp.flags = segment.flags;
  tcp.window = segment.window;
  tcp.urgent_pointer = segment.urgent_pointer;
  wire::Write(tcp, bytes.data());
  bytes.insert(bytes.end(), segment.payload.begin(), segment.payload.end());
  StoreBe16(bytes.data() + 16, wire::TcpChecksum(segment.source.address.v4(), segment.destination.address.v4(), bytes));
  return bytes;
}

}  // namespace

size_t Segment::HeaderBytes() const { return (wire::TcpHeader::kSize + OptionBytes(*this) + 3) / 4 * 4; }

absl::optional<Timestamp> FindTimestamp(const Segment& segment) {
  for (const RawOption& option : segment.options) {
    if (option.kind == TcpOption::kTimestamp && option.data.size() == 8) {
      return Timestamp{LoadBe32(option.data.data()), LoadBe32(option.data.data() + 4)};
    }
  }
  return absl::nullopt;
}

void SetTimestamp(Segment* segment, Timestamp timestamp) {
  for (RawOption& option : segment->options) {
    if (option.kind != TcpOption::kTimestamp || option.data.size() != 8) continue;
    StoreBe32(option.data.data(), timestamp.value);
    StoreBe32(option.data.data() + 4, timestamp.echo);
  }
}

void ShiftSackBlocks(Segment* segment, uint32_t offset) {
  for (RawOption& option : segment->options) {
    if (option.kind != TcpOption::kSack) continue;
    for (size_t i = 0; i + 4 <= option.data.size(); i += 4) {
      StoreBe32(option.data.data() + i, LoadBe32(option.data.data() + i) + offset);
    }
  }
}

absl::StatusOr<Segment> Dissect(absl::Span<const uint8_t> packet, Time at) {
  wire::Ipv4Header ip;
  if (const wire::ParseResult result = wire::Parse(packet, &ip); result != wire::ParseResult::kOk) {
    return Bad(absl::StrCat("IPv4 header: ", wire::ParseResultName(result)));
  }
  Segment segment;
  segment.at = at;
  segment.source.address = ip.source;
  segment.destination.address = ip.destination;
  segment.tos = ip.tos;
  segment.ttl = ip.ttl;
  const absl::Span<const uint8_t> body = ip.Payload(packet);
  if (ip.protocol == wire::IpProtocol::kIcmp) {
    wire::Icmpv4Header icmp;
    if (wire::Parse(body, &icmp) != wire::ParseResult::kOk) return Bad("the ICMP message is broken");
    segment.is_icmp = true;
    segment.icmp_type = icmp.type;
    segment.icmp_code = icmp.code;
    return segment;
  }
  if (ip.protocol != wire::IpProtocol::kTcp) return Bad("neither TCP nor ICMP");
  if (absl::Status status = DissectTcp(ip, body, &segment); !status.ok()) return status;
  return segment;
}

Segment FromScript(const PacketSpec& packet) {
  Segment segment;
  segment.source.port = packet.source_port;
  segment.destination.port = packet.destination_port;
  segment.tos = packet.tos;
  segment.ttl = packet.ttl.value_or(segment.ttl);
  segment.flags = packet.flags;
  segment.sequence = packet.sequence.start;
  segment.ack = packet.ack;
  segment.window = packet.window.value_or(0);
  segment.urgent_pointer = packet.urgent_pointer;
  for (const TcpOptionSpec& option : packet.options) segment.options.push_back(ToRaw(option));
  while (OptionBytes(segment) % 4 != 0) segment.options.emplace_back();
  segment.payload.assign(packet.sequence.payload_bytes, '\0');
  return segment;
}

std::vector<uint8_t> Assemble(const Segment& segment) {
  return Datagram(segment, wire::IpProtocol::kTcp, TcpBytes(segment));
}

absl::StatusOr<IcmpName> FindIcmp(const IcmpSpec& icmp) {
  static constexpr std::pair<const char*, uint8_t> kTypes[] = {
      {"echo_reply", 0},   {"unreachable", 3},    {"source_quench", 4},     {"redirect", 5},
      {"echo_request", 8}, {"time_exceeded", 11}, {"parameter_problem", 12}};
  static constexpr std::pair<const char*, uint8_t> kUnreachable[] = {{"net", 0},
                                                                     {"host", 1},
                                                                     {"protocol", 2},
                                                                     {"port", 3},
                                                                     {"frag_needed", 4},
                                                                     {"source_route_failed", 5},
                                                                     {"net_unknown", 6},
                                                                     {"host_unknown", 7},
                                                                     {"source_host_isolated", 8},
                                                                     {"net_prohibited", 9},
                                                                     {"host_prohibited", 10},
                                                                     {"net_tos", 11},
                                                                     {"host_tos", 12},
                                                                     {"packet_filtered", 13},
                                                                     {"precedence_violation", 14},
                                                                     {"precedence_cutoff", 15},
                                                                     // Both spellings are in use.
                                                                     {"net_unreachable", 0},
                                                                     {"host_unreachable", 1},
                                                                     {"protocol_unreachable", 2},
                                                                     {"port_unreachable", 3}};
  static constexpr std::pair<const char*, uint8_t> kExceeded[] = {
      {"ttl", 0}, {"frag_time", 1}, {"exc_ttl", 0}, {"exc_fragtime", 1}};
  IcmpName name;
  uint32_t number = 0;
  const auto* type = std::find_if(std::begin(kTypes), std::end(kTypes), [&](auto& t) { return icmp.type == t.first; });
  if (type != std::end(kTypes)) {
    name.type = type->second;
  } else if (absl::SimpleAtoi(icmp.type, &number) && number <= 0xff) {
    name.type = static_cast<uint8_t>(number);
  } else {
    return absl::NotFoundError(absl::StrCat("no ICMP type is called ", icmp.type));
  }
  if (icmp.code.empty()) return name;
  const auto codes = name.type == 3 ? absl::MakeConstSpan(kUnreachable) : absl::MakeConstSpan(kExceeded);
  const auto code = std::find_if(codes.begin(), codes.end(), [&](auto& c) { return icmp.code == c.first; });
  if (code != codes.end()) {
    name.code = code->second;
  } else if (absl::SimpleAtoi(icmp.code, &number) && number <= 0xff) {
    name.code = static_cast<uint8_t>(number);
  } else {
    return absl::NotFoundError(absl::StrCat("no code of ICMP ", icmp.type, " is called ", icmp.code));
  }
  return name;
}

std::vector<uint8_t> AssembleIcmp(const IcmpSpec& icmp, IcmpName name, const Segment& about, size_t about_payload) {
  // RFC 792: the IP header and eight octets of what is complained about.
  constexpr size_t kEchoedTcpBytes = 8;
  Segment cut = about;
  cut.options.clear();
  cut.payload.assign(about_payload, '\0');
  std::vector<uint8_t> echoed = Assemble(cut);
  echoed.resize(wire::Ipv4Header::kSize + kEchoedTcpBytes);
  std::vector<uint8_t> message(wire::Icmpv4Header::kSize);
  message.insert(message.end(), echoed.begin(), echoed.end());
  wire::Icmpv4Header header;
  header.type = name.type;
  header.code = name.code;
  header.rest = icmp.mtu.has_value() ? *icmp.mtu : icmp.echo_id << 16;
  wire::Write(header, absl::MakeSpan(message));
  Segment outer;
  outer.source.address = about.destination.address;
  outer.destination.address = about.source.address;
  return Datagram(outer, wire::IpProtocol::kIcmp, message);
}

std::string ToString(const Segment& segment) {
  if (segment.is_icmp) return absl::StrCat("icmp type ", segment.icmp_type, " code ", segment.icmp_code);
  static constexpr std::pair<uint16_t, char> kLetters[] = {
      {TcpFlags::kFin, 'F'}, {TcpFlags::kSyn, 'S'}, {TcpFlags::kRst, 'R'}, {TcpFlags::kPsh, 'P'}, {TcpFlags::kUrg, 'U'},
      {TcpFlags::kEce, 'E'}, {TcpFlags::kCwr, 'W'}, {TcpFlags::kAe, 'A'},  {TcpFlags::kAck, '.'}};
  static constexpr const char* kEcn[] = {"", "[ect1] ", "[ect0] ", "[ce] "};
  std::string text = kEcn[segment.tos & 3];
  const size_t before = text.size();
  for (const auto& [bit, letter] : kLetters) {
    if (segment.Has(bit)) text.push_back(letter);
  }
  if (text.size() == before) text.push_back('-');
  const auto size = static_cast<uint32_t>(segment.payload.size());
  absl::StrAppend(&text, " ", segment.sequence, ":", segment.sequence + size, "(", size, ")");
  if (segment.Has(TcpFlags::kAck)) absl::StrAppend(&text, " ack ", segment.ack);
  absl::StrAppend(&text, " win ", segment.window);
  if (segment.urgent_pointer != 0) absl::StrAppend(&text, " urg ", segment.urgent_pointer);
  if (segment.options.empty()) return text;
  absl::StrAppend(&text, " <",
                  absl::StrJoin(segment.options, ",",
                                [](std::string* out, const RawOption& o) { absl::StrAppend(out, OptionToString(o)); }),
                  ">");
  return text;
}

}  // namespace luna::tcp::packetscript
