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
  if (o.keep_alive_probes == 0) return Bad("keep_alive_probes", 0, "1 to 255");
  if (o.user_timeout < Duration::Zero()) return Bad("user_timeout", o.user_timeout.nanoseconds(), "zero or more");
  if (o.linger_time < Duration::Zero()) return Bad("linger_time", o.linger_time.nanoseconds(), "zero or more");
  if (o.fin_wait_2 < Duration::Zero()) return Bad("fin_wait_2", o.fin_wait_2.nanoseconds(), "zero or more");
  return absl::OkStatus();
}

}  // namespace luna::tcp
