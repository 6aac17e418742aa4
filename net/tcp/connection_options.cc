// What the application may choose, taken in and looked at: options and the snapshot.

#include <algorithm>
#include <utility>

#include "luna/net/tcp/connection.h"

namespace luna::tcp {
namespace {

uint8_t Saturate8(uint32_t value) { return static_cast<uint8_t>(std::min<uint32_t>(value, 0xff)); }

}  // namespace

absl::Status Connection::SetOptions(const ConnectionOptions& options, Time now) {
  if (absl::Status status = Validate(options); !status.ok()) return status;
  const ConnectionOptions old = this->options();
  StoreOptions(options);
  if (options.nagle != old.nagle) sender_.set_nagle(options.nagle);
  if (options.cork != old.cork) sender_.set_cork(options.cork);
  if (state_ == State::kSynSent && syns_sent_ == 0) {
    ChooseSynValues();  // the SYN has not been sent: it says what is chosen now
  } else if (options.receive_buffer_bytes != old.receive_buffer_bytes) {
    if (receive_limit() == options.receive_buffer_bytes) tuner_.Stop();
    FollowTuner(now);
    if (!tuner_.on()) receiver_.SetBuffer(options.receive_buffer_bytes);
  }
  receiver_.SetClamp(options.window_clamp);
  if (finished_) return absl::OkStatus();  // nothing may arm its timer any more
  if (options.mss_clamp != old.mss_clamp) SetPathMtu(path_mtu_, now);
  if (options.keep_alive != old.keep_alive || options.keep_alive_idle != old.keep_alive_idle) SetKeepAlive(now);
  if (options.user_timeout != old.user_timeout && !retransmit_deadline_.is_infinite()) SetRetransmitTimer(now);
  if (want_writable_) {
    if (const uint32_t events = WritableEvent()) Post(events);
  }
  NoteOutput();  // what a cork or Nagle held may go, and the window may have opened
  if (CanReceive(state_) && receiver_.NeedsWindowUpdate(mss_)) AckNow();
  return absl::OkStatus();
}

void Connection::StoreOptions(const ConnectionOptions& options) {
  const ConnectionOptions& defaults = core_.config;
  if (own_options_ != nullptr) {
    *own_options_ = options;
  } else if (options != defaults) {
    own_options_ = std::make_unique<ConnectionOptions>(options);
  }
}

// Smallest shift with which the whole receive buffer can be advertised (RFC 7323 §2.3), and the largest segment that
// fits the link (RFC 9293 §3.7.1 MUST-67).
void Connection::ChooseSynValues() {
  const uint32_t mss = route_mtu_ - kIpv4TcpHeaderBytes;
  mss_ = static_cast<uint16_t>(options().mss_clamp == 0 ? mss : std::min<uint32_t>(mss, options().mss_clamp));
  uint8_t shift = 0;
  while (core_.config.window_scale && shift < kMaxWindowShift && (receive_limit() >> shift) > 0xffff) {
    ++shift;
  }
  receiver_.set_shift(shift);
}

// A size that differs from the stack's was chosen for this connection.
uint32_t Connection::receive_limit() const {
  const bool chosen = options().receive_buffer_bytes != core_.config.receive_buffer_bytes;
  return chosen ? options().receive_buffer_bytes
                : std::max(options().receive_buffer_bytes, core_.config.receive_buffer_max_bytes);
}

void Connection::SetQuickAck(bool on) {
  if (acks_.SetQuick(on, core_.config) && state_ != State::kClosed) NoteOutput();
}

ConnectionInfo Connection::Info(Time now) const {
  ConnectionInfo info;
  info.state = state_;
  info.timestamps = timestamps_;
  info.window_scale = window_scale_;
  info.sack = sack_;
  info.ecn = ecn_.negotiated();
  info.snd_wscale = peer_shift_;
  info.rcv_wscale = receiver_.shift();
  info.ato = core_.config.delayed_ack;
  info.advmss = mss_;
  info.rcv_mss = static_cast<uint16_t>(acks_.segment_bytes());
  info.pmtu = path_mtu_;
  info.rcv_wnd = receiver_.window();
  info.rcv_space = options().receive_buffer_bytes;
  info.rcv_ssthresh = receiver_.largest_window();
  info.rcv_ooopack = tally_.segments_ahead;
  info.probes = Saturate8(unanswered_probes_);
  FillSendInfo(&info);
  info.last_data_sent = now - std::max(sender_.last_sent(), handshake_at_);
  info.last_data_recv = now - std::max(acks_.last_received(), handshake_at_);
  info.last_ack_recv = now - last_heard();
  info.busy_time = send_clock_.Busy(now);
  info.rwnd_limited = send_clock_.PeerLimited(now);
  info.sndbuf_limited = send_clock_.BufferLimited(now);
  info.bytes_acked = BytesAcked();
  info.bytes_received = BytesReceived();
  info.bytes_sent = BytesSent() + tally_.bytes_retransmitted;
  info.bytes_retrans = tally_.bytes_retransmitted;
  info.total_retrans = tally_.segments_retransmitted;
  info.segs_in = segments_in_;
  info.segs_out = tally_.segments_out;
  info.data_segs_in = data_segments_in_;
  info.data_segs_out = tally_.data_segments_out;
  return info;
}

// From the numbers themselves; SYN and FIN have one each.
uint64_t Connection::BytesAcked() const {
  if (tally_.rounds_acked == 0 && sender_.una() == sender_.iss()) return 0;
  const uint64_t end = (uint64_t{tally_.rounds_acked} << 32) + sender_.una().raw();
  return end - sender_.iss().raw() - 1 - (sender_.FinAcknowledged() ? 1 : 0);
}

uint64_t Connection::BytesSent() const {
  if (BytesAcked() == 0 && sender_.una() == sender_.iss()) return 0;  // the SYN is in flight
  return BytesAcked() + sender_.flight() - (sender_.FinInFlight() ? 1 : 0);
}

uint64_t Connection::BytesReceived() const {
  if (tally_.rounds_received == 0 && receiver_.nxt() == receiver_.irs()) return 0;
  const uint64_t end = (uint64_t{tally_.rounds_received} << 32) + receiver_.nxt().raw();
  return end - (receiver_.irs() + 1).raw() - (fin_received_ ? 1 : 0);
}

void Connection::FillSendInfo(ConnectionInfo* info) const {
  const RttEstimator& rtt = sender_.rtt();
  const uint32_t mss = std::max<uint32_t>(sender_.mss(), 1);
  // Both count the states alike.
  info->ca_state = static_cast<ConnectionInfo::Recovery>(sender_.state());
  info->sacked = sender_.sacked_segments();
  info->lost = sender_.board().lost().segments;
  info->retrans = sender_.board().retransmitted().segments;
  info->reordering = sender_.reordering();
  info->reord_seen = sender_.rack().reordering_seen() ? 1 : 0;
  info->dsack_dups = sender_.dsacks();
  info->delivered = sender_.delivered();
  info->delivered_ce = sender_.delivered_ce();
  info->retransmits = Saturate8(sender_.timeouts());
  info->backoff = Saturate8(persisting_ ? persist_count_ : rtt.backoff());
  info->rto = rtt.rto();
  info->rtt = rtt.srtt();
  info->rttvar = rtt.rttvar();
  info->min_rtt = rtt.min_rtt();
  info->snd_mss = sender_.mss();
  info->unacked = (sender_.flight() + mss - 1) / mss;
  info->snd_ssthresh = sender_.threshold_segments();
  info->snd_cwnd = sender_.window_segments();
  info->snd_wnd = sender_.window();
  info->notsent_bytes = sender_.unsent_bytes();
}

}  // namespace luna::tcp
