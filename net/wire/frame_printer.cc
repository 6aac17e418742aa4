#include "luna/net/wire/frame_printer.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "luna/net/wire/arp.h"
#include "luna/net/wire/ethernet.h"
#include "luna/net/wire/icmpv4.h"
#include "luna/net/wire/ipv4.h"
#include "luna/net/wire/tcp_header.h"

namespace luna::wire {
namespace {

std::string Unread(absl::string_view layer, ParseResult why, size_t size) {
  return absl::StrCat(layer, ": ", ParseResultName(why), " (", size, " bytes)");
}

std::string PrintTcp(const Ipv4Header& ip, absl::Span<const uint8_t> segment) {
  TcpHeader tcp;
  if (const ParseResult r = Parse(segment, &tcp); r != ParseResult::kOk) {
    return absl::StrCat(ip.source.ToString(), " > ", ip.destination.ToString(), ": ", Unread("tcp", r, segment.size()));
  }
  TcpOptions options;
  ParseTcpOptions(tcp.Options(segment), &options);
  const size_t length = tcp.Payload(segment).size();
  std::string text = absl::StrCat(Endpoint{ip.source, tcp.source_port}.ToString(), " > ",
                                  Endpoint{ip.destination, tcp.destination_port}.ToString(), ": [",
                                  PrintTcpFlags(tcp.flags), "] seq ", tcp.sequence);
  // Sequence numbers wrap, and so does the end of the range.
  if (length != 0) absl::StrAppend(&text, ":", static_cast<uint32_t>(tcp.sequence + length));
  if (tcp.Has(TcpFlags::kAck)) absl::StrAppend(&text, " ack ", tcp.acknowledgment);
  absl::StrAppend(&text, " win ", tcp.window);
  if (tcp.Has(TcpFlags::kUrg)) absl::StrAppend(&text, " urg ", tcp.urgent_pointer);
  absl::StrAppend(&text, PrintTcpOptions(options), " length ", length);
  if (!TcpChecksumIsRight(ip.source, ip.destination, segment)) absl::StrAppend(&text, " (bad tcp checksum)");
  return text;
}

std::string PrintIcmp(const Ipv4Header& ip, absl::Span<const uint8_t> message) {
  std::string text = absl::StrCat(ip.source.ToString(), " > ", ip.destination.ToString(), ": ");
  Icmpv4Header icmp;
  const ParseResult r = Parse(message, &icmp);
  if (r == ParseResult::kTruncated) return absl::StrCat(text, Unread("icmp", r, message.size()));
  absl::StrAppend(&text, "icmp type ", int{icmp.type}, " code ", int{icmp.code});
  if (icmp.IsFragmentationNeeded()) absl::StrAppend(&text, " mtu ", icmp.next_hop_mtu());
  absl::StrAppend(&text, " length ", message.size());
  if (r != ParseResult::kOk) absl::StrAppend(&text, " (bad icmp checksum)");
  return text;
}

std::string PrintDatagram(const Ipv4Header& ip, absl::Span<const uint8_t> payload) {
  if (!ip.IsFragment()) {
    if (ip.protocol == IpProtocol::kTcp) return PrintTcp(ip, payload);
    if (ip.protocol == IpProtocol::kIcmp) return PrintIcmp(ip, payload);
  }
  std::string text = absl::StrCat(ip.source.ToString(), " > ", ip.destination.ToString(), ": ");
  if (ip.protocol == IpProtocol::kUdp) {
    absl::StrAppend(&text, "udp");
  } else if (ip.protocol == IpProtocol::kTcp) {
    absl::StrAppend(&text, "tcp");
  } else {
    absl::StrAppend(&text, "protocol ", int{ip.protocol});
  }
  if (ip.IsFragment()) {
    absl::StrAppend(&text, " fragment ", ip.identification, "@", ip.fragment_offset_bytes(),
                    ip.more_fragments() ? "+" : "");
  }
  return absl::StrCat(text, " length ", payload.size());
}

std::string PrintArp(absl::Span<const uint8_t> payload) {
  ArpPacket arp;
  if (const ParseResult r = Parse(payload, &arp); r != ParseResult::kOk) return Unread("arp", r, payload.size());
  switch (arp.operation) {
    case ArpPacket::kRequest:
      return absl::StrCat("arp who-has ", arp.target_ip.ToString(), " tell ", arp.sender_ip.ToString(), " (",
                          arp.sender_mac.ToString(), ")");
    case ArpPacket::kReply:
      return absl::StrCat("arp reply ", arp.sender_ip.ToString(), " is-at ", arp.sender_mac.ToString());
    default:
      return absl::StrCat("arp operation ", arp.operation);
  }
}

}  // namespace

std::string PrintTcpFlags(uint16_t flags) {
  constexpr struct {
    uint16_t bit;
    char letter;
  } kLetters[] = {{TcpFlags::kFin, 'F'}, {TcpFlags::kSyn, 'S'}, {TcpFlags::kRst, 'R'},
                  {TcpFlags::kPsh, 'P'}, {TcpFlags::kUrg, 'U'}, {TcpFlags::kEce, 'E'},
                  {TcpFlags::kCwr, 'W'}, {TcpFlags::kAe, 'e'},  {TcpFlags::kAck, '.'}};
  std::string text;
  for (const auto& entry : kLetters) {
    if ((flags & entry.bit) != 0) text.push_back(entry.letter);
  }
  return text.empty() ? "none" : text;
}

std::string PrintTcpOptions(const TcpOptions& options) {
  std::string text;
  if (options.has_mss) absl::StrAppend(&text, " mss ", options.mss);
  if (options.sack_permitted) absl::StrAppend(&text, " sackOK");
  if (options.has_timestamp) absl::StrAppend(&text, " TS ", options.tsval, "/", options.tsecr);
  if (options.has_window_scale) absl::StrAppend(&text, " wscale ", int{options.window_scale});
  if (options.sack_count != 0) {
    absl::StrAppend(&text, " sack ", int{options.sack_count}, " ");
    for (const TcpSackBlock& block : options.sack_blocks()) {
      absl::StrAppend(&text, "{", block.left, ":", block.right, "}");
    }
  }
  if (options.malformed) absl::StrAppend(&text, " (malformed options)");
  return text;
}

std::string PrintIpv4Packet(absl::Span<const uint8_t> packet) {
  Ipv4Header ip;
  const ParseResult r = Parse(packet, &ip);
  if (r != ParseResult::kOk && r != ParseResult::kBadChecksum) return Unread("ip", r, packet.size());
  std::string text = PrintDatagram(ip, ip.Payload(packet));
  if (r == ParseResult::kBadChecksum) absl::StrAppend(&text, " (bad ip checksum)");
  return text;
}

std::string PrintFrame(absl::Span<const uint8_t> frame) {
  EthernetHeader ethernet;
  if (const ParseResult r = Parse(frame, &ethernet); r != ParseResult::kOk) {
    return Unread("ethernet", r, frame.size());
  }
  const std::string tag = ethernet.has_vlan ? absl::StrCat("vlan ", ethernet.vlan_id(), " ") : "";
  const absl::Span<const uint8_t> payload = frame.subspan(ethernet.size());
  switch (ethernet.ether_type) {
    case EtherType::kIpv4:
      return tag + PrintIpv4Packet(payload);
    case EtherType::kArp:
      return tag + PrintArp(payload);
    default:
      return absl::StrCat(tag, ethernet.source.ToString(), " > ", ethernet.destination.ToString(), ": ethertype 0x",
                          absl::Hex(ethernet.ether_type, absl::kZeroPad4), " length ", payload.size());
  }
}

}  // namespace luna::wire
