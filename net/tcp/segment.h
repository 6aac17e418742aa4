#ifndef LUNA_NET_TCP_SEGMENT_H_
#define LUNA_NET_TCP_SEGMENT_H_

// Segment: a received TCP segment, parsed and checked, with its payload still in the objs that the device wrote.

#include <cstdint>

#include "luna/ctrl/stats/drop_reason.h"
#include "luna/mem/zbuf/zchain.h"
#include "luna/net/ip/datagram.h"
#include "luna/net/tcp/seq.h"
#include "luna/net/wire/address.h"
#include "luna/net/wire/tcp_header.h"
#include "luna/net/wire/tcp_options.h"
#include "luna/sched/clock/time.h"

namespace luna::tcp {

struct Segment {
  wire::FourTuple tuple;  // local = destination of the packet, remote = its source
  SeqNum seq;
  SeqNum ack;           // meaningless without the ACK flag
  uint16_t flags = 0;   // wire::TcpFlags
  uint16_t window = 0;  // as on the wire, unscaled
  uint16_t urgent = 0;
  ip::Ecn ecn = ip::Ecn::kNotEct;
  uint16_t joined = 1;  // segments that came, where several were made one (coalesce.h)
  Time arrival;         // when the burst was taken from the device
  wire::TcpOptions options;
  zbuf::ZChain payload;

  bool Has(uint16_t flag) const { return (flags & flag) != 0; }
  uint32_t payload_bytes() const { return static_cast<uint32_t>(payload.bytes()); }
  // SEG.LEN of RFC 9293 §3.4: SYN and FIN occupy one number each.
  uint32_t length() const {
    return payload_bytes() + (Has(wire::TcpFlags::kSyn) ? 1u : 0u) + (Has(wire::TcpFlags::kFin) ? 1u : 0u);
  }
  // One past the last sequence number of the segment.
  SeqNum end() const { return seq + length(); }

  // Cuts what lies before `from` (SYN first, then data). Pre: from <= end().
  void TrimBefore(SeqNum from);
  // Cuts what lies at or after `to` (FIN first, then data). Pre: to >= seq.
  void TrimAfter(SeqNum to);
};

// Parses `datagram` (whose payload begins with the TCP header, at any slice layout) into `out`, which takes the
// payload. Returns kNone, or why the segment was refused: truncated, bad offset, bad checksum, port 0. Malformed
// options do not refuse a segment (RFC 9293 MUST-7): what was read before the fault stands. O(header), plus O(payload)
// when the checksum has to be verified in software.
stats::DropReason ParseSegment(ip::Datagram&& datagram, Segment* out);

}  // namespace luna::tcp

#endif  // LUNA_NET_TCP_SEGMENT_H_
