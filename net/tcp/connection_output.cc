// Segment emission: SYNs, data, acknowledgements. Called by Stack::Flush() only.

#include <algorithm>
#include <utility>

#include "luna/net/tcp/connection.h"

namespace luna::tcp {

using wire::TcpFlags;

bool Connection::Output(Time now, size_t limit, ip::OutBatch* out) {
  const size_t before = out->size();
  const bool complete = OutputByState(now, limit, out);
  tally_.segments_out += static_cast<uint32_t>(out->size() - before);
  return complete;
}

bool Connection::OutputByState(Time now, size_t limit, ip::OutBatch* out) {
  switch (state_) {
    case State::kClosed:
      return true;
    case State::kSynSent:
    case State::kSynReceived:
      // Before the handshake is over only what is out of place is acknowledged (RFC 9293 §3.10.7.4, first).
      return (!syn_pending_ || OutputSyn(now, out)) && (!acks_.due() || OutputAck(now, out));
    case State::kTimeWait:
      return !acks_.due() || OutputAck(now, out);
    default:
      return OutputData(now, limit, out) && OutputAcks(now, limit, out);
  }
}

bool Connection::OutputAcks(Time now, size_t limit, ip::OutBatch* out) {
  while (acks_.duplicates_owed() > 0) {
    if (out->size() >= limit || !OutputAck(now, out)) return false;
    acks_.OnDuplicateSent();
  }
  return !acks_.due() || (out->size() < limit && OutputAck(now, out));
}

bool Connection::OutputSyn(Time now, ip::OutBatch* out) {
  wire::TcpOptions options;
  options.has_mss = true;
  options.mss = mss_;
  const bool answer = state_ == State::kSynReceived;
  // An answer offers only what the peer's SYN offered (RFC 7323 §2.2, §3.2; RFC 2018 §2).
  options.has_window_scale = answer ? window_scale_ : core_.config.window_scale;
  options.window_scale = receiver_.shift();
  options.has_timestamp = answer ? timestamps_ : core_.config.timestamps;
  options.tsval = TimestampNow(now);
  options.tsecr = answer ? ts_recent_ : 0;
  options.sack_permitted = answer ? sack_ : core_.config.sack;
  const uint16_t ecn_flags = answer ? ecn_.synack_flags() : ecn_.OfferInSyn(core_.config.ecn, syns_sent_ > 0);
  const SegmentHeader header{
      .tuple = tuple(),
      .seq = sender_.iss(),
      .ack = answer ? receiver_.nxt() : SeqNum(),
      .flags = static_cast<uint16_t>(TcpFlags::kSyn | (answer ? TcpFlags::kAck : 0) | ecn_flags),
      .window = receiver_.AdvertiseInSyn(this->options().receive_buffer_bytes),
      .ttl = this->options().ttl,
      .dscp = this->options().dscp,
      .may_fragment = may_fragment_,
      .options = &options,
  };
  ip::OutDatagram datagram;
  const bool cookie = out == &core_.replies;
  if (!core_.Build(header, &datagram, !cookie)) return false;
  out->push_back(std::move(datagram));
  syn_pending_ = false;
  handshake_at_ = now;
  if (syns_sent_ < 2) ++syns_sent_;
  acks_.OnSent();
  return true;
}

bool Connection::OutputData(Time now, size_t limit, ip::OutBatch* out) {
  if (sender_.flight() == 0 && sender_.queued_bytes() > 0) sender_.MaybeRestartAfterIdle(now);
  sender_.BeginBurst();
  bool complete = (!probe_pending_ || OutputProbe(now, out)) &&
                  (!keep_probe_pending_ || (out->size() < limit && OutputKeepAlive(now, out)));
  while (complete) {
    const auto plan = sender_.Next();
    if (!plan) break;
    complete = out->size() < limit && OutputSegment(*plan, now, out);
    if (!complete) break;
    sender_.OnSent(*plan, now);
    const uint32_t row = sender_.RowBehind(*plan, static_cast<uint32_t>(limit - out->size()));
    if (row > 0) complete = OutputRow(row, now, out);
  }
  // Whatever is in flight has a timer, also when the rest has to wait for the device or for memory.
  if (sender_.flight() > 0) {
    FollowSender(now);
  } else if (complete && NeedsProbe()) {
    if (!persisting_) {
      SetRetransmitTimer(now);
    } else if (owed_since_.is_infinite()) {  // the probing began with nothing queued
      HeedUserTimeout(now);
      Rearm();
    }
  }
  if (complete) FollowSending(now);
  return complete;
}

void Connection::FollowSending(Time now) {
  using State = SendClock::State;
  State state = State::kBusy;
  if (!sender_.HasUnsent()) {
    if (want_writable_ || upper_full_) {
      state = State::kBufferLimited;
    } else if (sender_.flight() == 0) {
      state = State::kIdle;
    }
  } else if (sender_.IsPeerLimited()) {
    state = State::kPeerLimited;
  }
  send_clock_.Set(state, now);
}

bool Connection::OutputProbe(Time now, ip::OutBatch* out) {
  if (const auto plan = sender_.Probe()) {
    if (!OutputSegment(*plan, now, out)) return false;
    sender_.OnProbeSent(*plan, now);
    core_.counters.window_probes.Increment();
    if (sender_.flight() > 0) SetRetransmitTimer(now);
  } else if (WaitsForWindow()) {
    wire::TcpOptions options;  // with nothing to send beyond the window the probe is a keep-alive's
    if (!OutputEmpty(sender_.una() - 1, now, &options, out)) return false;
    core_.counters.window_probes.Increment();
  }
  probe_pending_ = false;
  return true;
}

bool Connection::OutputSegment(const Sender::Plan& plan, Time now, ip::OutBatch* out) {
  wire::TcpOptions options;
  // What the payload leaves of a full-sized segment is for SACK blocks.
  const wire::TcpOptions* filled = FillOptions(now, sender_.mss() - std::min(sender_.mss(), plan.bytes), &options);
  uint16_t flags = TcpFlags::kAck | ecn_.echo_flags();
  // RFC 3168 §6.1.4, §6.1.5: only new data is ECT, and only there does CWR count.
  const bool ect = ecn_.sends_ect() && plan.ect && !probe_pending_;
  if (ect && plan.cwr) flags |= TcpFlags::kCwr;
  if (plan.fin) flags |= TcpFlags::kFin;
  if (plan.push && plan.bytes > 0) flags |= TcpFlags::kPsh;  // a FIN alone pushes nothing
  SegmentHeader header{.tuple = tuple(),
                       .seq = plan.seq,
                       .ack = receiver_.nxt(),
                       .flags = flags,
                       .window = Window(),
                       .ttl = this->options().ttl,
                       .dscp = this->options().dscp,
                       .may_fragment = may_fragment_,
                       .options = filled};
  if (sender_.urgent()) PointToUrgent(&header);
  ip::OutDatagram datagram;
  if (!core_.Build(header, &datagram)) return false;
  sender_.AppendPayload(plan.seq, plan.bytes, &datagram.packet.data);
  if (ect) datagram.ecn = ip::Ecn::kEct0;
  out->push_back(std::move(datagram));
  core_.counters.bytes_out.Add(plan.bytes);
  if (plan.retransmit) {
    core_.counters.segments_retransmitted.Increment();
    ++tally_.segments_retransmitted;
    tally_.bytes_retransmitted += std::min(plan.bytes, static_cast<uint32_t>(sender_.nxt() - plan.seq));
  }
  if (plan.bytes > 0) {
    if (!plan.retransmit) acks_.OnDataSent(core_.config, now);
    ++tally_.data_segments_out;
  }
  NoteAckSent(options);
  return true;
}

// Segmentation by gather: the header is copied from the segment before, the payload is shared. Or, by the device.
bool Connection::OutputRow(uint32_t segments, Time now, ip::OutBatch* out) {
  const uint32_t bytes = sender_.mss();
  const zbuf::ZSlice& header = out->back().packet.data.front();
  const auto* const octets = reinterpret_cast<const uint8_t*>(header.data());
  const uint32_t header_bytes = header.length;
  SeqNum seq = sender_.nxt();
  uint32_t sent = 0, joined = 0;
  for (; sent < segments; ++sent, seq += bytes) {
    if (JoinForTso(seq, &out->back())) {
      ++joined;
      continue;
    }
    ip::OutDatagram datagram;
    if (!core_.BuildLike(out->back(), {octets, header_bytes}, seq, &datagram)) break;
    sender_.AppendPayload(seq, bytes, &datagram.packet.data);
    out->push_back(std::move(datagram));
  }
  if (sent == 0) return false;
  sender_.OnRowSent(sent, now);
  core_.counters.bytes_out.Add(uint64_t{sent} * bytes);
  core_.counters.segments_out.Add(joined);
  tally_.segments_out += joined;
  tally_.data_segments_out += sent;
  return sent == segments;
}

bool Connection::JoinForTso(SeqNum seq, ip::OutDatagram* datagram) {
  const uint32_t bytes = sender_.mss();
  zbuf::ZChain& data = datagram->packet.data;
  if (data.bytes() - data.front().length + bytes > core_.config.tso_payload_bytes) return false;
  if (!datagram->dont_fragment) return false;  // devices count identifications up by themselves (RFC 6864)
  sender_.AppendPayload(seq, bytes, &data);
  if (data.slice_count() - 1 > core_.config.tso_payload_slices) {
    data.TrimBack(bytes);
    return false;
  }
  datagram->packet.tx.tso_segment_bytes = static_cast<uint16_t>(bytes);
  datagram->like_last = false;
  return true;
}

bool Connection::OutputAck(Time now, ip::OutBatch* out) {
  wire::TcpOptions options;
  const SeqNum seq = state_ == State::kSynReceived ? sender_.max() : sender_.AckSequence();
  if (!OutputEmpty(seq, now, &options, out)) return false;
  NoteAckSent(options);
  return true;
}

bool Connection::OutputEmpty(SeqNum seq, Time now, wire::TcpOptions* options, ip::OutBatch* out) {
  const wire::TcpOptions* filled = FillOptions(now, wire::TcpOptions::kMaximumSize, options);
  SegmentHeader header{.tuple = tuple(),
                       .seq = seq,
                       .ack = receiver_.nxt(),
                       .flags = static_cast<uint16_t>(TcpFlags::kAck | ecn_.echo_flags()),
                       .window = Window(),
                       .ttl = this->options().ttl,
                       .dscp = this->options().dscp,
                       .may_fragment = may_fragment_,
                       .options = filled};
  if (sender_.urgent()) PointToUrgent(&header);
  ip::OutDatagram datagram;
  if (!core_.Build(header, &datagram)) return false;
  out->push_back(std::move(datagram));
  return true;
}

// RFC 9293 §3.8.4: the number before SND.NXT, which the peer has acknowledged, so that it has to answer. It may ignore
// all else that an unacceptable segment says: an acknowledgement that is due stays due.
bool Connection::OutputKeepAlive(Time now, ip::OutBatch* out) {
  wire::TcpOptions options;
  if (!OutputEmpty(sender_.una() - 1, now, &options, out)) return false;
  keep_probe_pending_ = false;
  return true;
}

// RFC 9293 §3.8.5. Urgent data further ahead than the field can say is announced as far as it can, then further.
void Connection::PointToUrgent(SegmentHeader* header) const {
  if (sender_.up() <= header->seq) return;
  header->flags |= TcpFlags::kUrg;
  header->urgent = static_cast<uint16_t>(std::min<uint32_t>(static_cast<uint32_t>(sender_.up() - header->seq), 0xffff));
}

void Connection::NoteAckSent(const wire::TcpOptions& options) {
  last_ack_sent_ = receiver_.nxt();
  // Data that left no room for the blocks has not said what was to be said at once.
  const bool untold = acks_.due() && options.sack_count == 0 && HasSackNews();
  acks_.OnSent();
  if (untold) acks_.Now();
  if (options.sack_count > 0) sacks_.OnSent();
}

const wire::TcpOptions* Connection::FillOptions(Time now, uint32_t room, wire::TcpOptions* options) const {
  if (timestamps_) {
    options->has_timestamp = true;
    options->tsval = TimestampNow(now);
    options->tsecr = ts_recent_;
  }
  constexpr uint32_t kHead = 4;  // nop, nop, kind, length
  if (HasSackNews() && room >= kHead) {
    const uint32_t blocks = std::min<uint32_t>((room - kHead) / wire::TcpOption::kSackBlockLength, timestamps_ ? 3 : 4);
    sacks_.Fill(receiver_.out_of_order(), receiver_.nxt(), blocks, options);
  }
  return timestamps_ || options->sack_count > 0 ? options : nullptr;
}

uint32_t Connection::TimestampNow(Time now) const { return timestamp_offset_ + core_.timestamp_clock.Ticks(now); }

}  // namespace luna::tcp
