#include "luna/net/tcp/testing/packetscript/packet_match.h"

#include <algorithm>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "luna/net/wire/tcp_header.h"
#include "luna/net/wire/tcp_options.h"

namespace luna::tcp::packetscript {
namespace {

using wire::TcpFlags;

// Fields one after the other; the first difference stays.
class Comparison {
 public:
  void Field(absl::string_view name, int64_t expected, int64_t actual) {
    if (expected != actual) Fail(absl::StrCat(name, " is ", actual, ", expected ", expected));
  }
  void Flag(absl::string_view name, uint16_t bit, uint16_t expected, uint16_t actual) {
    if (((expected ^ actual) & bit) == 0) return;
    Fail(absl::StrCat("the flag ", name, (actual & bit) != 0 ? " is set" : " is not set"));
  }
  void Fail(absl::string_view message) {
    if (status_.ok()) status_ = absl::FailedPreconditionError(message);
  }
  const absl::Status& status() const { return status_; }

 private:
  absl::Status status_;
};

void CompareIp(const PacketSpec& expected, const Segment& actual, Comparison* c) {
  const uint8_t ecn = actual.tos & 3;
  switch (expected.ecn_check) {
    case PacketSpec::EcnCheck::kNone:
      break;
    case PacketSpec::EcnCheck::kExact:
      c->Field("the ECN codepoint", expected.tos, ecn);
      break;
    case PacketSpec::EcnCheck::kEct01:
      if (ecn != 1 && ecn != 2) c->Field("the ECN codepoint", 2, ecn);
      break;
    case PacketSpec::EcnCheck::kTos:
      c->Field("the TOS octet", expected.tos, actual.tos);
      break;
  }
  if (expected.ttl.has_value()) c->Field("the TTL", *expected.ttl, actual.ttl);
}

void CompareFlags(const PacketSpec& expected, const Segment& actual, Comparison* c) {
  c->Flag("FIN", TcpFlags::kFin, expected.flags, actual.flags);
  c->Flag("SYN", TcpFlags::kSyn, expected.flags, actual.flags);
  c->Flag("RST", TcpFlags::kRst, expected.flags, actual.flags);
  c->Flag("PSH", TcpFlags::kPsh, expected.flags, actual.flags);
  c->Flag("ACK", TcpFlags::kAck, expected.flags, actual.flags);
  c->Flag("URG", TcpFlags::kUrg, expected.flags, actual.flags);
  if (expected.ace.has_value()) {
    c->Field("the ACE counter", *expected.ace, actual.flags >> 6 & 7);
  } else {
    c->Flag("ECE", TcpFlags::kEce, expected.flags, actual.flags);
    c->Flag("CWR", TcpFlags::kCwr, expected.flags, actual.flags);
    c->Flag("AE", TcpFlags::kAe, expected.flags, actual.flags);
  }
  c->Field("the reserved bits", 0, actual.reserved);
}

void CompareOption(const RawOption& expected, const RawOption& actual, const TimestampTolerance& tolerance,
                   Comparison* c) {
  if (expected.kind != actual.kind || expected.data.size() != actual.data.size()) {
    return c->Fail("the TCP options differ in kind or order");
  }
  if (expected.kind != wire::TcpOption::kTimestamp) {
    if (expected.data != actual.data) c->Fail(absl::StrCat("the TCP option ", actual.kind, " has another value"));
    return;
  }
  // The echo is not looked at, and the value only where the script asked for it.
  if (tolerance.tick_usecs == 0 || expected.data.size() != 8) return;
  const int64_t off = static_cast<int32_t>(wire::LoadBe32(actual.data.data()) - wire::LoadBe32(expected.data.data()));
  if (std::abs(off) * tolerance.tick_usecs > tolerance.usecs) {
    c->Fail(absl::StrCat("TS val is off by ", off));
  }
}

}  // namespace

absl::Status MatchPacket(const PacketSpec& expected, const Segment& actual, const TimestampTolerance& tolerance) {
  Comparison c;
  if (expected.icmp.has_value() || actual.is_icmp) {
    c.Fail("ICMP is not sent by a TCP stack");
    return c.status();
  }
  const Segment wanted = FromScript(expected);
  CompareFlags(expected, actual, &c);
  c.Field("the sequence number", wanted.sequence, actual.sequence);
  c.Field("the payload's size", static_cast<int64_t>(wanted.payload.size()),
          static_cast<int64_t>(actual.payload.size()));
  c.Field("the acknowledgement number", wanted.ack, actual.ack);
  if (expected.window.has_value()) c.Field("the window", *expected.window, actual.window);
  c.Field("the urgent pointer", wanted.urgent_pointer, actual.urgent_pointer);
  CompareIp(expected, actual, &c);
  if (!expected.any_options) {
    if (wanted.options.size() != actual.options.size()) c.Fail("the TCP options differ in number");
    for (size_t i = 0; c.status().ok() && i < wanted.options.size(); ++i) {
      CompareOption(wanted.options[i], actual.options[i], tolerance, &c);
    }
  }
  if (wanted.payload != actual.payload) c.Fail("the payload has other octets");
  return c.status();
}

absl::Status MatchPiece(const Segment& last, const Segment& next, size_t missing) {
  Comparison c;
  c.Field("the header's size", static_cast<int64_t>(last.HeaderBytes()), static_cast<int64_t>(next.HeaderBytes()));
  for (const auto& [name, bit] :
       {std::pair("SYN", TcpFlags::kSyn), std::pair("RST", TcpFlags::kRst), std::pair("ACK", TcpFlags::kAck),
        std::pair("URG", TcpFlags::kUrg), std::pair("ECE", TcpFlags::kEce), std::pair("AE", TcpFlags::kAe)}) {
    c.Flag(name, bit, last.flags, next.flags);
  }
  c.Field("the sequence number", static_cast<uint32_t>(last.sequence + last.payload.size()), next.sequence);
  c.Field("the acknowledgement number", last.ack, next.ack);
  c.Field("the window", last.window, next.window);
  c.Field("the urgent pointer", last.urgent_pointer, next.urgent_pointer);
  if (next.payload.size() < missing) {
    c.Field("the payload's size", static_cast<int64_t>(last.payload.size()), static_cast<int64_t>(next.payload.size()));
  }
  return c.status();
}

Segment Glue(const Segment& first, const Segment& last) {
  Segment glued = last;
  glued.sequence = first.sequence;
  glued.flags = static_cast<uint16_t>((last.flags & ~TcpFlags::kCwr) | (first.flags & TcpFlags::kCwr));
  glued.payload = first.payload + last.payload;
  return glued;
}

}  // namespace luna::tcp::packetscript
