// The IPv4 layer of a VirtualHost: bare packets, no Ethernet, no routes, no fragments.

#include "luna/net/ip/finish_checksum.h"
#include "luna/net/tcp/testing/sockets/virtual_host.h"
#include "luna/net/wire/ipv4.h"
#include "luna/net/wire/tcp_header.h"

namespace luna::tcp::testing {
namespace {

using stats::DropReason;
using wire::Ipv4Header;
using wire::ParseResult;

absl::Span<const uint8_t> AsBytes(absl::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

DropReason ReasonOf(ParseResult result) {
  switch (result) {
    case ParseResult::kOk:
      return DropReason::kNone;
    case ParseResult::kBadVersion:
      return DropReason::kIpBadVersion;
    case ParseResult::kBadHeaderLength:
      return DropReason::kIpBadHeaderLength;
    case ParseResult::kBadTotalLength:
      return DropReason::kIpBadTotalLength;
    case ParseResult::kBadChecksum:
      return DropReason::kIpBadChecksum;
    default:
      return DropReason::kIpTruncated;
  }
}

}  // namespace

void VirtualHost::Inject(absl::string_view packet) {
  Ipv4Header header;
  DropReason reason = ReasonOf(wire::Parse(AsBytes(packet), &header));
  if (reason == DropReason::kNone && header.IsFragment()) reason = DropReason::kIpFragment;
  if (reason != DropReason::kNone) {
    drops_.Count(reason);
    return;
  }
  stack_of_sockets();
  const absl::string_view payload = packet.substr(header.header_length, header.payload_length());
  if (header.protocol == wire::IpProtocol::kIcmp) {
    IngestIcmp(payload);
  } else if (header.protocol == wire::IpProtocol::kTcp) {
    auto chain = zbuf::ZChain::CopyFrom(*slab_, payload);
    if (!chain.has_value()) {
      drops_.Count(DropReason::kRxNoBuffers);
      return;
    }
    ip::Datagram datagram;
    datagram.source = header.source;
    datagram.destination = header.destination;
    datagram.protocol = header.protocol;
    datagram.ttl = header.ttl;
    datagram.dscp = header.tos >> 2;
    datagram.ecn = static_cast<ip::Ecn>(header.ecn());
    datagram.packet.data = *std::move(chain);
    datagram.packet.rx.arrival = now_;
    IngestTcp(std::move(datagram));
  } else {
    drops_.Count(DropReason::kIpUnknownProtocol);
  }
  Pump();
  if (NoteRoom()) Pump();
}

void VirtualHost::IngestTcp(ip::Datagram&& datagram) {
  if (const Event event = stack_->Ingest(std::move(datagram), now_)) Handle(event);
}

void VirtualHost::IngestIcmp(absl::string_view message) { stack_->OnIcmp(AsBytes(message), now_); }

void VirtualHost::Emit(ip::OutDatagram datagram) {
  if (refuse_packets_) return;
  ip::FinishChecksum(datagram);
  Ipv4Header header;
  header.tos = static_cast<uint8_t>(datagram.dscp << 2 | static_cast<uint8_t>(datagram.ecn));
  header.total_length = static_cast<uint16_t>(Ipv4Header::kSize + datagram.packet.data.bytes());
  header.ttl = datagram.ttl;
  header.protocol = datagram.protocol;
  header.source = datagram.source.v4();
  header.destination = datagram.destination.v4();
  std::string bytes(Ipv4Header::kSize, '\0');
  wire::Write(header, reinterpret_cast<uint8_t*>(bytes.data()));
  bytes += datagram.packet.data.ToString();
  packets_.push_back({std::move(bytes), now_});
}

}  // namespace luna::tcp::testing
