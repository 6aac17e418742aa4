#include "luna/net/tcp/core.h"

#include <cstring>
#include <utility>

#include "luna/net/pmd/packet.h"
#include "luna/net/wire/byte_cursor.h"
#include "luna/net/wire/tcp_header.h"
#include "luna/net/wire/tcp_options.h"

namespace luna::tcp {

using wire::TcpFlags;

std::byte* Core::AllocHeader(bool of_connection) {
  std::byte* obj = of_connection ? headers.Alloc() : headers.AllocOrdinary();
  if (obj == nullptr) {
    counters.send_no_memory.Increment();
    return nullptr;
  }
  counters.segments_out.Increment();
  return obj + pmd::kTxHeadroomBytes;
}

bool Core::BuildLike(const ip::OutDatagram& like, absl::Span<const uint8_t> octets, SeqNum seq, ip::OutDatagram* out) {
  std::byte* const at = AllocHeader(true);
  if (at == nullptr) return false;
  std::memcpy(at, octets.data(), octets.size());
  wire::StoreBe32(reinterpret_cast<uint8_t*>(at) + wire::TcpHeader::kSequenceAt, seq.raw());
  out->source = like.source;
  out->destination = like.destination;
  out->ttl = like.ttl;
  out->dscp = like.dscp;
  out->ecn = like.ecn;
  out->dont_fragment = like.dont_fragment;
  out->like_last = like.packet.tx.tso_segment_bytes == 0;  // a super-packet is longer
  out->packet.data.Append(zbuf::ZRef::Adopt(at), static_cast<uint32_t>(octets.size()));
  return true;
}

bool Core::Build(const SegmentHeader& header, ip::OutDatagram* out, bool of_connection) {
  std::byte* const at = AllocHeader(of_connection);
  if (at == nullptr) return false;
  auto* const bytes = reinterpret_cast<uint8_t*>(at);
  wire::TcpHeader tcp;
  tcp.source_port = header.tuple.local.port;
  tcp.destination_port = header.tuple.remote.port;
  tcp.sequence = header.seq.raw();
  tcp.acknowledgment = header.ack.raw();
  tcp.flags = header.flags;
  tcp.window = header.window;
  tcp.urgent_pointer = header.urgent;
  if (header.options != nullptr) {
    tcp.header_length = static_cast<uint8_t>(tcp.header_length +
                                             wire::WriteTcpOptions(*header.options, bytes + wire::TcpHeader::kSize));
  }
  wire::Write(tcp, bytes);

  out->source = header.tuple.local.address;
  out->destination = header.tuple.remote.address;
  out->ttl = header.ttl != 0 ? header.ttl : config.ttl;
  out->dscp = header.dscp;
  out->dont_fragment = !header.may_fragment;
  out->packet.data.Append(zbuf::ZRef::Adopt(at), tcp.header_length);
  return true;
}

void Core::Reply(const SegmentHeader& header) {
  if (replies.size() >= kMaxReplies) {
    drops.Count(stats::DropReason::kTxRingFull);
    return;
  }
  ip::OutDatagram datagram;
  if (Build(header, &datagram, /*of_connection=*/false)) replies.push_back(std::move(datagram));
}

void Core::ReplyReset(const Segment& segment, Time now) {
  if (segment.Has(TcpFlags::kRst)) return;
  if (!resets.Allow(now)) {
    drops.Count(stats::DropReason::kTcpRstRateLimited);
    return;
  }
  counters.resets_sent.Increment();
  if (segment.Has(TcpFlags::kAck)) {
    Reply({.tuple = segment.tuple, .seq = segment.ack, .flags = TcpFlags::kRst});
  } else {
    Reply({.tuple = segment.tuple, .ack = segment.end(), .flags = TcpFlags::kRst | TcpFlags::kAck});
  }
}

}  // namespace luna::tcp
