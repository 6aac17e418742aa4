// What CheckedHost holds its stack against: every connection after every step, and every segment that it emits.

#include <algorithm>
#include <utility>

#include "glog/logging.h"
#include "luna/net/ip/finish_checksum.h"
#include "luna/net/pmd/packet.h"
#include "luna/net/tcp/testing/fuzz/checked_host.h"

namespace luna::tcp::testing {

using wire::TcpFlags;

namespace {

// The longest chain or segment: memory_limit_bytes may be overshot by one.
constexpr uint64_t kLongestChain = 65536;

int64_t Relative(uint32_t number, uint32_t base) { return static_cast<int32_t>(number - base); }

absl::Span<const uint8_t> AsBytes(absl::string_view text) {
  return absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(text.data()), text.size());
}

// RFC 6675's pipe from the records alone.
uint32_t Pipe(const Scoreboard& board) {
  uint32_t pipe = 0;
  for (size_t i = 0; i < board.size(); ++i) {
    const Scoreboard::Record& r = board.at(i);
    const bool there = !r.Is(Scoreboard::Record::kSacked) && !r.Is(Scoreboard::Record::kLost);
    pipe += there || r.Is(Scoreboard::Record::kRetransmitted) ? r.length() : 0;
  }
  return pipe;
}

}  // namespace

void CheckedHost::Check() {
  bool needs_timer = false;
  for (auto& flow : flows_) {
    if (!flow->live) continue;
    const Connection& c = *flow->connection;
    CheckConnection(*flow, c);
    needs_timer |= c.state() == State::kSynSent || c.state() == State::kSynReceived || c.sender().flight() > 0;
  }
  // Between the verbs something may wait for the next Flush().
  if (needs_timer && !stack_->HasOutput()) {
    CHECK(stack_->NextDeadline() <= now_ + config_.rto_max + Duration::Seconds(1)) << "no timer\n" << Describe();
  }
  CheckMemory();
}

void CheckedHost::CheckConnection(Flow& flow, const Connection& c) const {
  const Sender& s = c.sender();
  CHECK(s.una() <= s.nxt() && s.nxt() <= s.max()) << Describe();
  const Scoreboard& board = s.board();
  CHECK(board.IsConsistent()) << Describe();
  CHECK_EQ(board.pipe(), Pipe(board));
  if (!board.empty()) {
    CHECK(board.front().seq == s.una() && board.back().end() <= s.max() && board.back().end() >= s.nxt()) << Describe();
  }
  const Receiver& r = c.receiver();
  if (!flow.has_irs) return;
  const int64_t nxt = Relative(r.nxt().raw(), flow.irs);
  const int64_t edge = Relative(r.edge().raw(), flow.irs);
  CHECK(nxt >= flow.nxt && edge >= flow.edge && nxt <= edge) << "RCV.NXT or the edge moved left\n" << Describe();
  flow.nxt = nxt;
  flow.edge = edge;
  const int64_t all = flow.came.EndFrom(1);
  CHECK_LE(nxt, all + (c.peer_closed() ? 1 : 0)) << "RCV.NXT is beyond what came\n" << Describe();
  CHECK_LE(r.held_bytes(), std::max<uint64_t>(65535, flow.largest_buffer) / 8 * 9 + kLongestChain) << Describe();
  int64_t last = nxt;
  uint32_t bytes = 0;
  for (const Reassembly::Block& block : r.out_of_order().blocks()) {
    const int64_t start = Relative(block.start.raw(), flow.irs);
    const int64_t end = Relative(block.end().raw(), flow.irs);
    CHECK(start > last && end > start && end <= edge) << "blocks are not in order\n" << Describe();
    CHECK(flow.came.Has(start, end)) << "octets that did not come";
    last = end;
    bytes += static_cast<uint32_t>(block.data.bytes());
  }
  CHECK_EQ(bytes, r.out_of_order().bytes());
}

void CheckedHost::CheckMemory() {
  uint64_t held = 0;
  stack_->ForEachConnection(
      [&](const Connection& c) { held += c.sender().queued_bytes() + c.receiver().held_bytes(); });
  CHECK_LE(held, stack_->held_bytes());
  // What has ended and was not reaped may hold what the application has not read.
  if (stack_->counters().connections_closed.value() == reaped_) CHECK_EQ(held, stack_->held_bytes());
  const uint64_t limit = config_.memory_limit_bytes;
  if (limit > 0) CHECK_LE(stack_->held_bytes(), limit + limit / 8 + kLongestChain);
}

void CheckedHost::Emit(ip::OutDatagram datagram, std::vector<Segment>* out) {
  CHECK_GE(datagram.packet.data.HeadRoom(), pmd::kTxHeadroomBytes);
  ip::FinishChecksum(datagram);
  Segment segment;
  segment.bytes = datagram.packet.data.ToString();
  segment.ecn = datagram.ecn;
  const auto bytes = AsBytes(segment.bytes);
  wire::TcpHeader header;
  CHECK(wire::Parse(bytes, &header) == wire::ParseResult::kOk);
  CHECK(wire::TcpChecksumIsRight(datagram.source.v4(), datagram.destination.v4(), bytes));
  CHECK_LE(segment.bytes.size() + wire::TcpHeader::kSize, config_.mtu) << "larger than the link's MTU";
  segment.tuple = {{datagram.source, header.source_port}, {datagram.destination, header.destination_port}};
  if (Flow* flow = Find(segment.tuple)) CheckEmitted(*flow, header, segment.bytes);
  if (out != nullptr) out->push_back(std::move(segment));
}

void CheckedHost::CheckEmitted(Flow& flow, const wire::TcpHeader& h, absl::string_view bytes) {
  if (trace_) TraceSegment("out", flow, bytes);
  wire::TcpOptions options;
  wire::ParseTcpOptions(h.Options(AsBytes(bytes)), &options);
  CHECK(!options.malformed);
  const absl::string_view payload = bytes.substr(h.header_length);
  flow.emitted = true;
  flow.last_ack = h.acknowledgment;
  flow.last_seq_end = h.sequence + static_cast<uint32_t>(payload.size()) + (h.Has(TcpFlags::kSyn) ? 1u : 0u) +
                      (h.Has(TcpFlags::kFin) ? 1u : 0u);
  if (options.has_timestamp) flow.last_tsval = options.tsval;
  CHECK(payload == Octets(h.sequence, payload.size())) << "other octets at " << h.sequence - flow.iss;
  if (h.Has(TcpFlags::kRst)) {
    CHECK(payload.empty());
    return;
  }
  if (h.Has(TcpFlags::kFin) && flow.live) flow.fin_sent = true;
  if (h.Has(TcpFlags::kSyn)) {
    CHECK(payload.empty());
    if (!flow.live || h.sequence != flow.iss) return;  // a cookie
    flow.syn_seen = true;
    flow.max_sent = std::max<int64_t>(flow.max_sent, 1);
  }
  if (!flow.syn_seen) return;  // perhaps of the connection before
  if (!h.Has(TcpFlags::kSyn)) CheckData(flow, h, payload);
  if (h.Has(TcpFlags::kAck) && flow.has_irs) CheckAcknowledgement(flow, h, options);
}

void CheckedHost::CheckData(Flow& flow, const wire::TcpHeader& h, absl::string_view payload) {
  const int64_t seq = Relative(h.sequence, flow.iss);
  const int64_t end_of_data = seq + static_cast<int64_t>(payload.size());
  const int64_t end = end_of_data + (h.Has(TcpFlags::kFin) ? 1 : 0);
  CHECK(payload.empty() || end_of_data <= 1 + flow.queued) << "octets that nobody queued";
  if (h.Has(TcpFlags::kFin)) {
    CHECK(flow.fin_asked && end_of_data == 1 + flow.queued) << "a FIN at the wrong place";
  }
  if (end == seq) {
    CHECK_LE(seq, flow.max_sent) << "a number that was not reached";
    return;
  }
  CHECK(flow.live) << "data of what is closed";
  const Sender& s = flow.connection->sender();
  CHECK_LE(payload.size(), s.mss());
  CHECK_LE(seq, flow.max_sent) << "a gap";
  const int64_t right = Relative((s.una() + s.window()).raw(), flow.iss);
  CHECK(end <= flow.max_sent || end <= right + 1) << "beyond the right edge " << right << ": " << end << "\n"
                                                  << Describe();
  flow.max_sent = std::max(flow.max_sent, end);
}

void CheckedHost::CheckAcknowledgement(Flow& flow, const wire::TcpHeader& h, const wire::TcpOptions& options) {
  const int64_t ack = Relative(h.acknowledgment, flow.irs);
  int64_t all = flow.came.EndFrom(1);
  if (flow.fins.contains(all)) ++all;
  CHECK_LE(ack, all) << "acknowledges what did not come\n" << Describe();
  CHECK_GE(ack, flow.acked) << "an acknowledgement moved left\n" << Describe();
  flow.acked = ack;
  for (size_t i = 0; i < options.sack_count; ++i) {
    const int64_t left = Relative(options.sack[i].left, flow.irs);
    int64_t right = Relative(options.sack[i].right, flow.irs);
    if (flow.fins.contains(right - 1)) --right;  // a D-SACK may tell of the FIN
    CHECK(left < Relative(options.sack[i].right, flow.irs) && flow.came.Has(left, right))
        << "SACK of what did not come: " << left << " " << right << "\n"
        << Describe();
    if (i > 0) CHECK_GT(left, ack) << "SACK of what is acknowledged";
  }
  if (!flow.live) return;
  const Receiver& r = flow.connection->receiver();
  const bool syn = h.Has(TcpFlags::kSyn);
  const int64_t unit = syn ? 1 : int64_t{1} << r.shift();
  const int64_t edge = ack + h.window * unit;
  CHECK_LE(edge, Relative(r.edge().raw(), flow.irs)) << "promises what it will not take\n" << Describe();
  if (syn) return;  // it has no scale: perhaps it cannot say what an acknowledgement before it has said
  CHECK_GT(edge, flow.announced - unit) << "the right edge moved left\n" << Describe();
  flow.announced = std::max(flow.announced, edge);
}

}  // namespace luna::tcp::testing
