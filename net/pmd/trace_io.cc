#include "luna/net/pmd/trace_io.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "luna/net/wire/byte_cursor.h"
#include "luna/net/wire/ethernet.h"
#include "luna/net/wire/frame_printer.h"
#include "luna/net/wire/ipv4.h"

namespace luna::pmd {
namespace {

// Ethernet with a tag, IPv4 with all options, and the first 8 bytes of TCP, which hold the ports and the sequence
// number.
constexpr size_t kTcpFingerprintBytes = 8;
constexpr size_t kRecordSnapBytes = 18 + 60 + kTcpFingerprintBytes;

// Checksums are not looked at: the device may yet have to fill them in.
uint64_t Fingerprint(absl::Span<const uint8_t> front, uint32_t frame_bytes) {
  wire::EthernetHeader ethernet;
  if (Parse(front, &ethernet) != wire::ParseResult::kOk) return 0;
  if (ethernet.ether_type != wire::EtherType::kIpv4) return ethernet.ether_type;
  const absl::Span<const uint8_t> packet = front.subspan(ethernet.size());
  wire::Ipv4Header ip;
  const wire::ParseResult result = ParseFront(packet, frame_bytes - ethernet.size(), &ip, wire::ChecksumCheck::kSkip);
  if (result != wire::ParseResult::kOk || ip.protocol != wire::IpProtocol::kTcp) return ethernet.ether_type;
  const absl::Span<const uint8_t> segment = packet.subspan(ip.header_length);
  if (segment.size() < kTcpFingerprintBytes) return ethernet.ether_type;
  return uint64_t{wire::LoadBe32(segment.data())} << 32 | wire::LoadBe32(segment.data() + 4);
}

}  // namespace

absl::string_view FrameTraceEventName(uint64_t event) {
  switch (static_cast<FrameTraceEvent>(event)) {
    case FrameTraceEvent::kReceived:
      return "rx";
    case FrameTraceEvent::kSent:
      return "tx";
  }
  return "?";
}

TracePacketIo::TracePacketIo(PacketIo& inner, TraceIoOptions options)
    : ObserverPacketIo(inner, options.sink ? kWholeFrame : kRecordSnapBytes), options_(std::move(options)) {}

void TracePacketIo::Observe(FrameDirection direction, absl::Span<const uint8_t> front, uint32_t frame_bytes,
                            Time time) {
  const auto event = static_cast<uint64_t>(direction == FrameDirection::kReceived ? FrameTraceEvent::kReceived
                                                                                  : FrameTraceEvent::kSent);
  if (options_.ring != nullptr) options_.ring->Append(time, event, frame_bytes, Fingerprint(front, frame_bytes));
  if (!Printing()) return;
  ++lines_;
  const int64_t ns = time.nanoseconds();
  options_.sink(absl::StrCat(absl::StrFormat("%d.%09d ", ns / 1'000'000'000, ns % 1'000'000'000),
                             FrameTraceEventName(event), " ", wire::PrintFrame(front)));
}

}  // namespace luna::pmd
