// What the application may choose, taken in and looked at: options and the snapshot.

#include <algorithm>

#include "luna/net/tcp/connection.h"

namespace luna::tcp {
namespace {

uint8_t Saturate8(uint32_t value) { return static_cast<uint8_t>(std::min<uint32_t>(value, 0xff)); }

}  // namespace

absl::Status Connection::SetOptions(const ConnectionOptions& options, Time) {
  if (absl::Status status = Validate(options); !status.ok()) return status;
  options_ = options;
  ApplyOptions();
  if (state_ != State::kClosed) NoteOutput();  // what a cork or Nagle held may go
  return absl::OkStatus();
}

void Connection::ApplyOptions() {
  sender_.set_nagle(options_.nagle);
  sender_.set_cork(options_.cork);
  receiver_.SetClamp(options_.window_clamp);
  if (state_ == State::kClosed || (state_ == State::kSynSent && syns_sent_ == 0)) {
    // The SYN has not been sent: it says what is chosen now.
    const uint32_t mss = core_.config.mtu - kIpv4TcpHeaderBytes;
    mss_ = static_cast<uint16_t>(options_.mss_clamp == 0 ? mss : std::min<uint32_t>(mss, options_.mss_clamp));
    uint8_t shift = 0;
    const uint32_t buffer = receive_limit();
    while (core_.config.window_scale && shift < kMaxWindowShift && (buffer >> shift) > 0xffff) ++shift;
    receiver_.set_shift(shift);
  } else {
    if (receive_limit() == options_.receive_buffer_bytes) tuner_.Stop();
    if (!tuner_.on()) receiver_.SetBuffer(options_.receive_buffer_bytes);
  }
}

// A size that differs from the stack's was chosen for this connection.
uint32_t Connection::receive_limit() const {
  const bool chosen = options_.receive_buffer_bytes != core_.config.receive_buffer_bytes;
  return chosen ? options_.receive_buffer_bytes
                : std::max(options_.receive_buffer_bytes, core_.config.receive_buffer_max_bytes);
}

void Connection::SetQuickAck(bool on) {
  if (acks_.SetQuick(on, core_.config) && state_ != State::kClosed) NoteOutput();
}

ConnectionInfo Connection::Info(Time) const {
  ConnectionInfo info;
  const RttEstimator& rtt = sender_.rtt();
  info.state = state_;
  info.retransmits = Saturate8(sender_.timeouts());
  info.probes = Saturate8(unanswered_probes_);
  info.backoff = Saturate8(persisting_ ? persist_count_ : rtt.backoff());
  info.timestamps = timestamps_;
  info.window_scale = window_scale_;
  info.snd_wscale = peer_shift_;
  info.rcv_wscale = receiver_.shift();
  info.rto = rtt.rto();
  info.ato = core_.config.delayed_ack;
  info.snd_mss = sender_.mss();
  info.advmss = mss_;
  info.rcv_mss = static_cast<uint16_t>(acks_.segment_bytes());
  const uint32_t mss = std::max<uint32_t>(sender_.mss(), 1);
  info.unacked = (sender_.flight() + mss - 1) / mss;
  info.pmtu = core_.config.mtu;
  info.rtt = rtt.srtt();
  info.rttvar = rtt.rttvar();
  info.min_rtt = rtt.min_rtt();
  info.snd_ssthresh = sender_.congestion().threshold() / mss;
  info.snd_cwnd = sender_.congestion().window() / mss;
  info.snd_wnd = sender_.window();
  info.rcv_wnd = receiver_.window();
  return info;
}

}  // namespace luna::tcp
