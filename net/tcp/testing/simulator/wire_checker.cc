#include "luna/net/tcp/testing/simulator/wire_checker.h"

#include <algorithm>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "luna/net/tcp/config.h"
#include "luna/net/wire/parse_result.h"
#include "luna/net/wire/tcp_options.h"

namespace luna::tcp::simulator {

using wire::TcpFlags;

struct WireChecker::Segment {
  const wire::FourTuple& tuple;
  wire::TcpHeader header;
  wire::TcpOptions options;
  absl::Span<const uint8_t> payload;
};

namespace {

// Of `number` from `isn`, wherever in its 2^32 near `near` it is.
int64_t Relative(uint32_t number, uint32_t isn, int64_t near) {
  const auto offset = static_cast<int32_t>(number - isn - static_cast<uint32_t>(near));
  return near + offset;
}

}  // namespace

void WireChecker::OnEmitted(const wire::FourTuple& tuple, size_t mtu, absl::Span<const uint8_t> bytes) {
  Segment segment = {tuple, {}, {}, {}};
  if (wire::Parse(bytes, &segment.header) != wire::ParseResult::kOk) {
    return Fail(segment, "does not parse: length, limit", static_cast<int64_t>(bytes.size()), 0);
  }
  const wire::TcpHeader& header = segment.header;
  if (!wire::TcpChecksumIsRight(tuple.local.address.v4(), tuple.remote.address.v4(), bytes)) {
    return Fail(segment, "wrong checksum", header.checksum, 0);
  }
  if (bytes.size() + kIpv4TcpHeaderBytes - wire::TcpHeader::kSize > mtu) {
    Fail(segment, "longer than the MTU: ", static_cast<int64_t>(bytes.size()), static_cast<int64_t>(mtu));
  }
  wire::ParseTcpOptions(header.Options(bytes), &segment.options);
  segment.payload = header.Payload(bytes);
  if (!trusts_) return;
  End& end = Find(tuple);
  Flow& flow = end.flow;
  if (header.Has(TcpFlags::kRst)) return;
  if (header.Has(TcpFlags::kSyn) && !Begin(segment, &flow)) return;
  if (!flow.begun) return;  // TIME-WAIT after a new SYN of the other end, or an answer from nobody
  Flow nobody;
  Flow& reverse = end.peer == nullptr ? nobody : end.peer->flow;
  CheckSequence(segment, &flow, reverse);
  if (!header.Has(TcpFlags::kAck) || !reverse.begun) return;
  if (!flow.knows_peer) {
    flow.knows_peer = true;
    const int64_t ack = Relative(header.acknowledgment, reverse.isn, reverse.sent);
    const bool is_of_this = !reverse.had_predecessor || (ack >= 0 && ack <= reverse.sent);
    flow.peer_isn = is_of_this ? reverse.isn : ~reverse.isn;
  }
  // An end that knows the other's earlier incarnation speaks of that one.
  if (flow.peer_isn == reverse.isn) {
    CheckAck(segment, &flow, &reverse);
    CheckSack(segment, flow, reverse);
  }
}

WireChecker::End& WireChecker::Find(const wire::FourTuple& tuple) {
  if (last_ != nullptr && last_->tuple == tuple) return *last_;
  if (last_ != nullptr && last_->peer != nullptr && last_->peer->tuple == tuple) return *(last_ = last_->peer);
  std::unique_ptr<End>& end = ends_[tuple];
  if (end == nullptr) {
    end = std::make_unique<End>();
    end->tuple = tuple;
    last_ = end.get();
    if (const auto peer = ends_.find(tuple.Reversed()); peer != ends_.end()) {
      last_->peer = peer->second.get();
      last_->peer->peer = last_;
    }
    return *last_;
  }
  return *(last_ = end.get());
}

void WireChecker::Forget(const wire::IpAddress& address) {
  for (auto& [tuple, end] : ends_) {
    if (tuple.local.address != address) continue;
    end->flow = Flow();
    // What it has sent is still under way.
    end->flow.had_predecessor = true;
  }
}

// False: this SYN begins nothing.
bool WireChecker::Begin(const Segment& segment, Flow* flow) {
  const uint32_t isn = segment.header.sequence;
  if (flow->begun && flow->isn == isn) {
    if (flow->sent <= 1) return true;
    // A SYN cookie answers an old duplicate of the SYN with the number that it gave then (RFC 4987 §3.6).
    if (!segment.header.Has(TcpFlags::kAck)) Fail(segment, "the ISN of an earlier incarnation", isn, 0);
    return false;
  }
  const bool had_predecessor = flow->begun || flow->had_predecessor;
  *flow = Flow();
  flow->had_predecessor = had_predecessor;
  flow->begun = true;
  flow->isn = isn;
  flow->has_scale = segment.options.has_window_scale;
  flow->shift = std::min<uint8_t>(segment.options.window_scale, kMaxWindowShift);
  return true;
}

void WireChecker::CheckSequence(const Segment& segment, Flow* flow, const Flow& reverse) {
  const wire::TcpHeader& header = segment.header;
  const bool syn = header.Has(TcpFlags::kSyn);
  const int64_t seq = Relative(header.sequence, flow->isn, flow->sent);
  const int64_t end =
      seq + static_cast<int64_t>(segment.payload.size()) + (syn ? 1 : 0) + (header.Has(TcpFlags::kFin) ? 1 : 0);
  if (header.Has(TcpFlags::kFin)) {
    if (flow->fin_end != kNoFin && flow->fin_end != end) Fail(segment, "the FIN moved", end, flow->fin_end);
    flow->fin_end = end;
  }
  if (end > flow->fin_end) Fail(segment, "sent beyond the FIN", end, flow->fin_end);
  if (end > seq && !syn && reverse.begun) {
    if (seq > reverse.edge || end > std::max(reverse.edge, seq) + 1) {
      Fail(segment, "sent beyond the right edge", end, reverse.edge);
    }
  }
  CheckPayload(segment, syn ? seq + 1 : seq, flow);
  flow->sent = std::max(flow->sent, end);
}

void WireChecker::CheckPayload(const Segment& segment, int64_t seq, Flow* flow) {
  const std::string_view payload(reinterpret_cast<const char*>(segment.payload.data()), segment.payload.size());
  if (payload.empty()) return;
  const int64_t known_end = flow->bytes_begin + static_cast<int64_t>(flow->bytes.size());
  if (seq > known_end) return Fail(segment, "a gap before", seq, known_end);
  // What is older than what is kept is no news.
  const auto skip = static_cast<size_t>(std::max<int64_t>(flow->bytes_begin - seq, 0));
  if (skip >= payload.size()) return;
  const auto at = static_cast<size_t>(seq + static_cast<int64_t>(skip) - flow->bytes_begin);
  const size_t known = std::min(payload.size() - skip, flow->bytes.size() - at);
  if (flow->bytes.compare(at, known, payload.substr(skip, known)) != 0) {
    Fail(segment, "other octets than before at", seq, known_end);
  }
  flow->bytes.append(payload.substr(skip + known));
}

void WireChecker::CheckAck(const Segment& segment, Flow* flow, Flow* reverse) {
  const wire::TcpHeader& header = segment.header;
  const int64_t ack = Relative(header.acknowledgment, reverse->isn, reverse->sent);
  const bool scaled = !header.Has(TcpFlags::kSyn) && flow->has_scale && reverse->has_scale;
  const int64_t edge = ack + int64_t{header.window} * (scaled ? int64_t{1} << flow->shift : 1);
  // What a field can say is rounded, up or down.
  const int64_t unit = int64_t{1} << flow->shift;
  if (ack > reverse->sent) return Fail(segment, "acknowledged what was not sent", ack, reverse->sent);
  // A SYN-ACK may be a cookie's, given again to an old duplicate of the SYN.
  if (flow->has_edge && !header.Has(TcpFlags::kSyn)) {
    if (ack < flow->ack) Fail(segment, "RCV.NXT moved left", ack, flow->ack);
    // Nothing comes after a FIN: then the window has no meaning (and TIME-WAIT remembers none).
    if (edge <= flow->edge - unit && ack < reverse->fin_end)
      Fail(segment, "the right edge moved left", edge, flow->edge);
  }
  flow->has_edge = true;
  flow->ack = std::max(flow->ack, ack);
  flow->edge = std::max(flow->edge, edge);
  // Octets that are acknowledged, and a good deal more, will not be sent again.
  const int64_t old = flow->ack - reverse->bytes_begin - static_cast<int64_t>(kKeepBytes);
  // Half of it at a time, or the rest would be moved again and again.
  if (old > static_cast<int64_t>(std::max(kKeepBytes, reverse->bytes.size() / 2))) {
    reverse->bytes.erase(0, static_cast<size_t>(old));
    reverse->bytes_begin += old;
  }
}

// RFC 2018 §4, RFC 2883 §4: blocks of what the other end has sent, ahead of the acknowledgement but for a D-SACK in the
// first place, and each once but for the one around a D-SACK.
void WireChecker::CheckSack(const Segment& segment, const Flow& flow, const Flow& reverse) {
  const wire::TcpOptions& options = segment.options;
  for (size_t i = 0; i < options.sack_count; ++i) {
    const int64_t left = Relative(options.sack[i].left, reverse.isn, reverse.sent);
    const int64_t right = Relative(options.sack[i].right, reverse.isn, reverse.sent);
    if (left >= right) Fail(segment, "an empty SACK block", left, right);
    if (right > reverse.sent) Fail(segment, "a SACK block of what was not sent", right, reverse.sent);
    if (i > 0 && left <= flow.ack) Fail(segment, "a SACK block that is not ahead of a hole", left, flow.ack);
    for (size_t j = 1; j < i; ++j) {
      if (options.sack[j].left == options.sack[i].left) Fail(segment, "a SACK block twice", left, right);
    }
  }
}

void WireChecker::Fail(const Segment& segment, const char* what, int64_t number, int64_t limit) {
  report_(absl::StrCat(segment.tuple.ToString(), ": ", what, " ", number, " (limit ", limit, "; flags ",
                       segment.header.flags, ", payload ", segment.payload.size(), ")"));
}

}  // namespace luna::tcp::simulator
