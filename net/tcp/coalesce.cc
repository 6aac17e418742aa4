#include "luna/net/tcp/coalesce.h"

#include <utility>

#include "luna/net/wire/tcp_header.h"

namespace luna::tcp {
namespace {

bool IsPlainData(const Segment& s) {
  using wire::TcpFlags;
  return (s.flags & ~TcpFlags::kPsh) == TcpFlags::kAck && !s.payload.empty() && s.options.sack_count == 0;
}

bool SameTimestamp(const wire::TcpOptions& a, const wire::TcpOptions& b) {
  return a.has_timestamp == b.has_timestamp && a.tsval == b.tsval && a.tsecr == b.tsecr;
}

}  // namespace

bool Coalesce(Segment* held, Segment* next) {
  if (next->seq != held->seq + held->payload_bytes() || next->tuple != held->tuple) return false;
  if (!IsPlainData(*held) || !IsPlainData(*next)) return false;
  if (next->ack != held->ack || next->ecn != held->ecn || !SameTimestamp(held->options, next->options)) return false;
  if (held->payload_bytes() + next->payload_bytes() > kMostCoalescedBytes) return false;
  held->window = next->window;
  held->flags |= next->flags;
  held->joined = static_cast<uint16_t>(held->joined + next->joined);
  held->payload.Append(std::move(next->payload));
  return true;
}

}  // namespace luna::tcp
