#include "luna/net/tcp/testing/differential/segment_codec.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/types/span.h"
#include "luna/net/wire/byte_cursor.h"
#include "luna/net/wire/ipv4.h"
#include "luna/net/wire/parse_result.h"
#include "luna/net/wire/tcp_header.h"
#include "luna/net/wire/tcp_options.h"

namespace luna::tcp::differential {
namespace {

using wire::Ipv4Header;
using wire::TcpFlags;
using wire::TcpHeader;
using wire::TcpOptions;

constexpr size_t kChecksumOffset = 16;

absl::Span<const uint8_t> AsBytes(absl::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

uint8_t* Writable(std::string* text) { return reinterpret_cast<uint8_t*>(text->data()); }

std::string FlagLetters(uint16_t flags) {
  constexpr std::pair<char, uint16_t> kLetters[] = {{'S', TcpFlags::kSyn}, {'F', TcpFlags::kFin}, {'R', TcpFlags::kRst},
                                                    {'P', TcpFlags::kPsh}, {'.', TcpFlags::kAck}, {'U', TcpFlags::kUrg},
                                                    {'E', TcpFlags::kEce}, {'W', TcpFlags::kCwr}};
  std::string letters;
  for (const auto& [name, bit] : kLetters) {
    if ((flags & bit) != 0) letters += name;
  }
  return letters.empty() ? "-" : letters;
}

// Relative numbers below the SYN's are shown as negative ones.
int32_t Relative(uint32_t number, uint32_t isn) { return static_cast<int32_t>(number - isn); }

std::string BlockText(const wire::TcpSackBlock& block, uint32_t isn) {
  return absl::StrCat(Relative(block.left, isn), ":", Relative(block.right, isn));
}

// RFC 2883 §4: the first block is a report of a duplicate when it lies below the cumulative ACK or inside the second.
bool IsDuplicateReport(const TcpOptions& options, uint32_t ack) {
  const wire::TcpSackBlock& first = options.sack[0];
  if (static_cast<int32_t>(first.left - ack) < 0) return true;
  const wire::TcpSackBlock& second = options.sack[1];
  return options.sack_count > 1 && static_cast<int32_t>(first.left - second.left) >= 0 &&
         static_cast<int32_t>(second.right - first.right) >= 0;
}

std::string SynText(const TcpOptions& options) {
  return absl::StrCat(options.has_mss ? absl::StrCat(" mss ", options.mss) : "",
                      options.sack_permitted ? " sackOK" : "", options.has_window_scale ? " wscale" : "");
}

bool IsRightPayload(absl::Span<const uint8_t> payload, uint32_t offset) {
  for (size_t i = 0; i < payload.size(); ++i) {
    if (static_cast<char>(payload[i]) != HostOctet(offset + static_cast<uint32_t>(i))) return false;
  }
  return true;
}

std::string PayloadText(const TcpHeader& tcp, absl::Span<const uint8_t> payload, uint32_t relative) {
  if (payload.empty()) return "";
  const uint32_t offset = relative - (tcp.Has(TcpFlags::kSyn) ? 0 : 1);
  std::string text = absl::StrCat("+", payload.size());
  if (!IsRightPayload(payload, offset)) absl::StrAppend(&text, "(WRONG OCTETS)");
  return text;
}

}  // namespace

uint32_t Fingerprint(absl::string_view bytes) {
  uint32_t hash = 2166136261u;
  for (const char byte : bytes) hash = (hash ^ static_cast<uint8_t>(byte)) * 16777619u;
  return hash;
}

wire::TcpSackBlock SegmentCodec::WithoutFin(wire::TcpSackBlock block) const {
  if (fins_.contains(block.right - 1 - peer_isn_)) --block.right;
  return block;
}

std::string SegmentCodec::SackText(const TcpOptions& options, uint32_t ack) const {
  std::string duplicate;
  std::vector<std::pair<int32_t, std::string>> blocks;
  for (size_t i = 0; i < options.sack_count; ++i) {
    const wire::TcpSackBlock block = WithoutFin(options.sack[i]);
    if (block.left == block.right) continue;
    const std::string text = BlockText(block, peer_isn_);
    if (i == 0 && IsDuplicateReport(options, ack)) {
      duplicate = absl::StrCat(" dsack ", text);
    } else {
      blocks.emplace_back(Relative(block.left, peer_isn_), text);
    }
  }
  if (blocks.empty()) return duplicate;
  std::sort(blocks.begin(), blocks.end());
  const auto print = [](std::string* out, const auto& block) { absl::StrAppend(out, block.second); };
  return absl::StrCat(duplicate, " sack ", absl::StrJoin(blocks, ",", print));
}

std::string SegmentCodec::Encode(const PacketEvent& packet) {
  TcpOptions options = packet.options;
  if (timestamps_ && !packet.has_explicit_timestamp) {
    options.has_timestamp = true;
    options.tsval = next_tsval_++;
  }
  if (options.has_timestamp && packet.echoes_last && (packet.flags & TcpFlags::kAck) != 0) options.tsecr = last_tsval_;
  for (size_t i = 0; i < options.sack_count; ++i) {
    options.sack[i].left += host_isn_;
    options.sack[i].right += host_isn_;
  }
  constexpr uint16_t kTaken = TcpFlags::kFin | TcpFlags::kAck;  // without an ACK it is dropped
  if ((packet.flags & kTaken) == kTaken) fins_.insert(packet.sequence + packet.payload_bytes);
  std::string segment(TcpHeader::kSize + wire::TcpOptionsSize(options), '\0');
  wire::WriteTcpOptions(options, Writable(&segment) + TcpHeader::kSize);
  TcpHeader tcp;
  tcp.source_port = peer_.port;
  tcp.destination_port = host_.port;
  tcp.sequence = peer_isn_ + packet.sequence;
  tcp.acknowledgment = (packet.flags & TcpFlags::kAck) != 0 ? host_isn_ + packet.ack : 0;
  tcp.header_length = static_cast<uint8_t>(segment.size());
  tcp.flags = packet.flags;
  tcp.window = packet.window;
  tcp.urgent_pointer = packet.urgent_pointer;
  wire::Write(tcp, Writable(&segment));
  const uint32_t offset = packet.sequence - ((packet.flags & TcpFlags::kSyn) != 0 ? 0 : 1);
  for (uint32_t i = 0; i < packet.payload_bytes; ++i) segment += PeerOctet(offset + i);
  uint16_t sum = wire::TcpChecksum(peer_.address.v4(), host_.address.v4(), AsBytes(segment));
  if (packet.bad_checksum) sum ^= 0x0101;
  wire::StoreBe16(Writable(&segment) + kChecksumOffset, sum);

  Ipv4Header ip;
  ip.ttl = 64;
  ip.protocol = wire::IpProtocol::kTcp;
  ip.source = peer_.address.v4();
  ip.destination = host_.address.v4();
  ip.total_length = static_cast<uint16_t>(Ipv4Header::kSize + segment.size());
  std::string bytes(Ipv4Header::kSize, '\0');
  wire::Write(ip, Writable(&bytes));
  return bytes + segment;
}

absl::optional<std::string> SegmentCodec::Reduce(absl::string_view packet) {
  Ipv4Header ip;
  if (packet.empty() || static_cast<uint8_t>(packet[0]) >> 4 != 4) return absl::nullopt;
  if (wire::Parse(AsBytes(packet), &ip) != wire::ParseResult::kOk) return "(BROKEN IPv4 HEADER)";
  if (ip.protocol != wire::IpProtocol::kTcp || ip.IsFragment()) return absl::nullopt;
  const absl::Span<const uint8_t> segment = AsBytes(packet.substr(ip.header_length, ip.payload_length()));
  TcpHeader tcp;
  if (wire::Parse(segment, &tcp) != wire::ParseResult::kOk) return "(BROKEN TCP HEADER)";
  if (tcp.source_port != host_.port || tcp.destination_port != peer_.port) return absl::nullopt;
  if (!wire::TcpChecksumIsRight(ip.source, ip.destination, segment)) return "(WRONG CHECKSUM)";
  TcpOptions options;
  wire::ParseTcpOptions(tcp.Options(segment), &options);
  if (options.malformed) return "(BROKEN OPTIONS)";

  if (tcp.Has(TcpFlags::kSyn)) host_isn_ = tcp.sequence;
  if (options.has_timestamp) last_tsval_ = options.tsval;
  const auto relative = static_cast<uint32_t>(Relative(tcp.sequence, host_isn_));
  // A reset for what acknowledged nothing has the number 0 as such (RFC 9293 §3.5.3).
  const bool is_bare_zero = tcp.Has(TcpFlags::kRst) && tcp.sequence == 0;
  std::string text =
      absl::StrCat(FlagLetters(tcp.flags), " ", is_bare_zero ? "zero" : absl::StrCat(Relative(tcp.sequence, host_isn_)),
                   PayloadText(tcp, tcp.Payload(segment), relative));
  if (tcp.Has(TcpFlags::kAck)) absl::StrAppend(&text, " ack ", Relative(tcp.acknowledgment, peer_isn_));
  absl::StrAppend(&text, SackText(options, tcp.acknowledgment), SynText(options));
  if (options.has_timestamp) absl::StrAppend(&text, " ecr ", options.tsecr);
  if (tcp.Has(TcpFlags::kUrg)) absl::StrAppend(&text, " urg ", tcp.urgent_pointer);
  if (tcp.window == 0 && !tcp.Has(TcpFlags::kRst)) absl::StrAppend(&text, " win 0");
  return text;
}

}  // namespace luna::tcp::differential
