#include "luna/net/wire/testing/frame_builder.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace luna::wire {
namespace {

[[noreturn]] void Fail(const char* what) {
  std::fprintf(stderr, "frame_builder: %s\n", what);
  std::abort();
}

// Zeros up to a multiple of 4, the End-of-options of both IPv4 and TCP.
std::vector<uint8_t> Padded(std::vector<uint8_t> options) {
  options.resize((options.size() + 3) / 4 * 4);
  if (options.size() > 40) Fail("more than 40 bytes of options");
  return options;
}

void Append(std::vector<uint8_t>* to, const std::vector<uint8_t>& bytes) {
  to->insert(to->end(), bytes.begin(), bytes.end());
}

std::vector<uint8_t> OptionBytes(const TcpFrame& f) {
  if (f.raw_options) return Padded(*f.raw_options);
  std::vector<uint8_t> bytes(TcpOptionsSize(f.options));
  WriteTcpOptions(f.options, bytes.data());
  return bytes;
}

std::vector<uint8_t> WithEthernet(const EthernetHeader& ethernet, const std::vector<uint8_t>& payload, bool pad) {
  std::vector<uint8_t> frame(ethernet.size());
  Write(ethernet, frame.data());
  Append(&frame, payload);
  if (pad && frame.size() < EthernetHeader::kMinimumFrameSize) frame.resize(EthernetHeader::kMinimumFrameSize);
  return frame;
}

void Truncate(std::vector<uint8_t>* frame, const absl::optional<size_t>& size) {
  if (size && *size < frame->size()) frame->resize(*size);
}

}  // namespace

std::vector<uint8_t> Text(absl::string_view text) { return std::vector<uint8_t>(text.begin(), text.end()); }

std::vector<uint8_t> Pattern(size_t size, size_t seed) {
  std::vector<uint8_t> bytes(size);
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<uint8_t>((i + seed) % 251);
  return bytes;
}

std::vector<uint8_t> Hex(absl::string_view digits) {
  std::vector<uint8_t> bytes;
  int high = -1;
  for (char c : digits) {
    if (c == ' ' || c == '\n') continue;
    const absl::string_view kDigits = "0123456789abcdef";
    const size_t digit = kDigits.find(c);
    if (digit == absl::string_view::npos) Fail("not a lower-case hex digit");
    if (high < 0) {
      high = static_cast<int>(digit);
    } else {
      bytes.push_back(static_cast<uint8_t>(high << 4 | static_cast<int>(digit)));
      high = -1;
    }
  }
  if (high >= 0) Fail("odd number of hex digits");
  return bytes;
}

std::vector<uint8_t> TcpFrame::BuildSegment() const {
  const std::vector<uint8_t> option_bytes = OptionBytes(*this);
  std::vector<uint8_t> segment(TcpHeader::kSize);
  TcpHeader tcp = {.source_port = source.port,
                   .destination_port = destination.port,
                   .sequence = sequence,
                   .acknowledgment = acknowledgment,
                   .header_length = static_cast<uint8_t>(TcpHeader::kSize + option_bytes.size()),
                   .flags = flags,
                   .window = window,
                   .urgent_pointer = urgent_pointer};
  if (data_offset) tcp.header_length = static_cast<uint8_t>(4 * (*data_offset & 0xf));
  Write(tcp, segment.data());
  Append(&segment, option_bytes);
  Append(&segment, payload);
  uint16_t checksum = TcpChecksum(source.address.v4(), destination.address.v4(), segment);
  if (bad_tcp_checksum) checksum ^= 0x0100;
  StoreBe16(&segment[16], checksum);
  return segment;
}

std::vector<uint8_t> TcpFrame::BuildPacket() const {
  const std::vector<uint8_t> options_v4 = Padded(ip_options);
  const std::vector<uint8_t> segment = BuildSegment();
  std::vector<uint8_t> packet(Ipv4Header::kSize);
  Append(&packet, options_v4);
  const size_t header_size = packet.size();
  Append(&packet, segment);
  const Ipv4Header ip = {.header_length = static_cast<uint8_t>(header_size),
                         .tos = tos,
                         .total_length = total_length.value_or(static_cast<uint16_t>(packet.size())),
                         .identification = identification,
                         .fragment = fragment,
                         .ttl = ttl,
                         .protocol = protocol,
                         .source = source.address.v4(),
                         .destination = destination.address.v4()};
  Write(ip, packet.data());
  // Fields that Write() cannot get wrong. The checksum is mended so that only they are wrong.
  const uint16_t before = LoadBe16(packet.data());
  if (ip_version) packet[0] = static_cast<uint8_t>(*ip_version << 4 | (packet[0] & 0x0f));
  if (ihl) packet[0] = static_cast<uint8_t>((packet[0] & 0xf0) | (*ihl & 0x0f));
  uint16_t checksum = UpdateChecksum16(LoadBe16(&packet[10]), before, LoadBe16(packet.data()));
  if (bad_ip_checksum) checksum ^= 0x0100;
  StoreBe16(&packet[10], checksum);
  return packet;
}

std::vector<uint8_t> TcpFrame::Build() const {
  const EthernetHeader ethernet = {.destination = destination_mac,
                                   .source = source_mac,
                                   .ether_type = ether_type,
                                   .has_vlan = vlan.has_value(),
                                   .vlan_tci = vlan.value_or(0)};
  std::vector<uint8_t> frame = WithEthernet(ethernet, BuildPacket(), pad_to_ethernet_minimum);
  Truncate(&frame, truncate_to);
  return frame;
}

std::vector<uint8_t> ArpFrame::Build() const {
  const ArpPacket arp = {operation, sender_mac, sender_ip, target_mac, target_ip};
  std::vector<uint8_t> payload(ArpPacket::kSize);
  Write(arp, payload.data());
  std::vector<uint8_t> frame =
      WithEthernet({destination_mac, source_mac, EtherType::kArp}, payload, pad_to_ethernet_minimum);
  Truncate(&frame, truncate_to);
  return frame;
}

std::vector<uint8_t> Ipv4Frame::Build() const {
  std::vector<uint8_t> packet(Ipv4Header::kSize);
  Append(&packet, payload);
  Ipv4Header ip = header;
  ip.header_length = Ipv4Header::kSize;
  ip.total_length = static_cast<uint16_t>(packet.size());
  Write(ip, packet.data());
  return WithEthernet({destination_mac, source_mac, EtherType::kIpv4}, packet, false);
}

absl::optional<ParsedTcpFrame> ParseTcpFrame(absl::Span<const uint8_t> frame) {
  ParsedTcpFrame f;
  if (Parse(frame, &f.ethernet) != ParseResult::kOk || f.ethernet.ether_type != EtherType::kIpv4) return absl::nullopt;
  const absl::Span<const uint8_t> packet = frame.subspan(f.ethernet.size());
  if (Parse(packet, &f.ip) != ParseResult::kOk || f.ip.IsFragment() || f.ip.protocol != IpProtocol::kTcp) {
    return absl::nullopt;
  }
  const absl::Span<const uint8_t> segment = f.ip.Payload(packet);
  if (Parse(segment, &f.tcp) != ParseResult::kOk) return absl::nullopt;
  if (!TcpChecksumIsRight(f.ip.source, f.ip.destination, segment)) return absl::nullopt;
  ParseTcpOptions(f.tcp.Options(segment), &f.options);
  f.payload = f.tcp.Payload(segment);
  return f;
}

}  // namespace luna::wire
