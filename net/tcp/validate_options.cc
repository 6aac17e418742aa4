#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "luna/net/tcp/config.h"
#include "luna/net/tcp/connection_options.h"

namespace luna::tcp {
namespace {

absl::Status Bad(absl::string_view name, int64_t value, absl::string_view wanted) {
  return absl::InvalidArgumentError(absl::StrCat("connection option ", name, " = ", value, ": ", wanted));
}

absl::Status BadSetting(absl::string_view name, int64_t value, absl::string_view wanted) {
  return absl::InvalidArgumentError(absl::StrCat("TCP setting ", name, " = ", value, ": ", wanted));
}

absl::Status BadTime(absl::string_view name, Duration value, absl::string_view wanted) {
  return absl::InvalidArgumentError(absl::StrCat("TCP setting ", name, " = ", value.microseconds(), " us: ", wanted));
}

absl::Status ValidateTimes(const StackConfig& c) {
  if (c.rto_min <= Duration::Zero()) return BadTime("rto_min", c.rto_min, "more than zero");
  if (c.rto_max < c.rto_min) return BadTime("rto_max", c.rto_max, "rto_min at least");
  if (c.rto_initial <= Duration::Zero()) return BadTime("rto_initial", c.rto_initial, "more than zero");
  if (c.rto_after_syn_loss <= Duration::Zero()) {
    return BadTime("rto_after_syn_loss", c.rto_after_syn_loss, "more than zero");
  }
  if (c.tail_probe_ack_delay < Duration::Zero()) {
    return BadTime("tail_probe_ack_delay", c.tail_probe_ack_delay, "zero or more");
  }
  if (c.tail_probe_slack < Duration::Zero()) return BadTime("tail_probe_slack", c.tail_probe_slack, "zero or more");
  if (c.delayed_ack < Duration::Zero() || c.delayed_ack >= Duration::Milliseconds(500)) {
    return BadTime("delayed_ack", c.delayed_ack, "zero, or less than 500 ms (RFC 9293 MUST-40)");
  }
  if (c.time_wait < Duration::Zero()) return BadTime("time_wait", c.time_wait, "zero or more");
  if (c.path_mtu_life < Duration::Seconds(300)) {
    return BadTime("path_mtu_life", c.path_mtu_life, "5 minutes at least (RFC 1191 section 6.3)");
  }
  if (c.cork_limit <= Duration::Zero()) return BadTime("cork_limit", c.cork_limit, "more than zero");
  if (c.timestamp_tick < Duration::Milliseconds(1) || c.timestamp_tick > Duration::Seconds(1)) {
    return BadTime("timestamp_tick", c.timestamp_tick, "1 ms to 1 s (RFC 7323 section 5.4)");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status Validate(const ConnectionOptions& o) {
  constexpr uint32_t kMostBuffer = std::numeric_limits<int32_t>::max();
  if (o.ttl == 0) return Bad("ttl", o.ttl, "1 to 255");
  if (o.dscp > 63) return Bad("dscp", o.dscp, "0 to 63");
  if (o.mss_clamp != 0 && o.mss_clamp < kMinMss) return Bad("mss_clamp", o.mss_clamp, "0, or 64 and more");
  if (o.send_buffer_bytes == 0 || o.send_buffer_bytes > kMostBuffer) {
    return Bad("send_buffer_bytes", o.send_buffer_bytes, "1 to 2^31 - 1");
  }
  if (o.receive_buffer_bytes == 0 || o.receive_buffer_bytes > kMostBuffer) {
    return Bad("receive_buffer_bytes", o.receive_buffer_bytes, "1 to 2^31 - 1");
  }
  if (o.keep_alive_idle <= Duration::Zero() || o.keep_alive_interval <= Duration::Zero()) {
    return Bad("keep_alive_idle or keep_alive_interval", 0, "more than zero");
  }
  if (o.unsent_low_water == 0) return Bad("unsent_low_water", 0, "1 at least");
  if (o.keep_alive_probes == 0) return Bad("keep_alive_probes", 0, "1 to 255");
  if (o.user_timeout < Duration::Zero()) return Bad("user_timeout", o.user_timeout.nanoseconds(), "zero or more");
  if (o.linger_time < Duration::Zero()) return Bad("linger_time", o.linger_time.nanoseconds(), "zero or more");
  if (o.fin_wait_2 < Duration::Zero()) return Bad("fin_wait_2", o.fin_wait_2.nanoseconds(), "zero or more");
  return absl::OkStatus();
}

absl::Status Validate(const StackConfig& c) {
  constexpr uint32_t kMostBuffer = std::numeric_limits<int32_t>::max();
  const ConnectionOptions& defaults = c;
  if (absl::Status status = Validate(defaults); !status.ok()) return status;
  if (absl::Status status = ValidateTimes(c); !status.ok()) return status;
  if (c.ack_every_segments == 0) return BadSetting("ack_every_segments", 0, "1 at least (RFC 5681: 2)");
  if (c.reordering_segments == 0) return BadSetting("reordering_segments", 0, "1 at least (RFC 5681: 3)");
  if (c.reordering_limit == 0) return BadSetting("reordering_limit", 0, "1 at least");
  if (c.initial_window_segments == 0) return BadSetting("initial_window_segments", 0, "1 at least");
  if (c.receive_buffer_max_bytes > kMostBuffer) {
    return BadSetting("receive_buffer_max_bytes", c.receive_buffer_max_bytes, "at most 2^31 - 1");
  }
  if (c.receive_slices_limit == 0) return BadSetting("receive_slices_limit", 0, "1 at least");
  if (c.send_slices_limit == 0) return BadSetting("send_slices_limit", 0, "1 at least");
  constexpr uint32_t kLeastMtu = 68;  // RFC 791
  if (c.mtu < kLeastMtu || c.mtu > 0xffff) return BadSetting("mtu", c.mtu, "68 to 65535");
  if (c.tso_payload_bytes > kMostTsoPayloadBytes) {
    return BadSetting("tso_payload_bytes", c.tso_payload_bytes, "what an IPv4 datagram holds");
  }
  if (c.min_path_mtu < kLeastMtu) return BadSetting("min_path_mtu", c.min_path_mtu, "68 at least");
  if (c.ephemeral_first == 0 || c.ephemeral_first > c.ephemeral_last) {
    return BadSetting("ephemeral_first", c.ephemeral_first, "1 to ephemeral_last");
  }
  if (c.max_connections == 0) return BadSetting("max_connections", 0, "1 at least");
  return absl::OkStatus();
}

}  // namespace luna::tcp
