#include "luna/net/tcp/testing/sockets/profile.h"

#include <algorithm>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace luna::tcp::testing {
namespace {

using Numbers = std::vector<int64_t>;

// False: not a value for it.
using Setter = bool (*)(const Numbers& values, HostProfile* profile);

struct Knob {
  const char* name;
  Setter set;  // null: accepted, and of no meaning here
};

constexpr uint32_t kLargestBuffer = 1u << 30;

bool IsBuffer(int64_t value) { return value >= 0 && value <= kLargestBuffer; }

bool SetReceiveBuffers(const Numbers& values, HostProfile* profile) {
  if (values.size() != 3 || !IsBuffer(values[1]) || !IsBuffer(values[2]) || values[1] == 0) return false;
  profile->sockets.receive_buffer_bytes = static_cast<uint32_t>(values[1]);
  // Half stands for the system's own overhead; the largest decides the window scale, whole.
  profile->stack.receive_buffer_bytes = static_cast<uint32_t>(std::max<int64_t>(values[1] / 2, 1));
  profile->stack.receive_buffer_max_bytes = static_cast<uint32_t>(std::max(values[1], values[2]));
  return true;
}

bool SetSendBuffers(const Numbers& values, HostProfile* profile) {
  if (values.size() != 3 || !IsBuffer(values[1])) return false;
  profile->sockets.send_buffer_bytes = static_cast<uint32_t>(values[1]);
  return true;
}

bool SetEcn(const Numbers& values, HostProfile* profile) {
  constexpr EcnMode kModes[] = {EcnMode::kOff, EcnMode::kAlways, EcnMode::kOnRequest};
  if (values[0] < 0 || values[0] > 2) return false;
  profile->stack.ecn = kModes[values[0]];
  return true;
}

bool SetPorts(const Numbers& values, HostProfile* profile) {
  if (values.size() != 2 || values[0] < 1 || values[1] > 65535 || values[0] > values[1]) return false;
  profile->stack.ephemeral_first = static_cast<uint16_t>(values[0]);
  profile->stack.ephemeral_last = static_cast<uint16_t>(values[1]);
  return true;
}

bool SetReceiveSpace(const Numbers& values, HostProfile* profile) {
  if (values[0] < 1 || !IsBuffer(values[0])) return false;
  profile->sockets.receive_buffer_bytes = static_cast<uint32_t>(values[0]);
  profile->stack.receive_buffer_bytes = static_cast<uint32_t>(values[0]);
  return true;
}

bool SetSendSpace(const Numbers& values, HostProfile* profile) {
  if (!IsBuffer(values[0])) return false;
  profile->sockets.send_buffer_bytes = static_cast<uint32_t>(values[0]);
  return true;
}

bool SetDelayedAck(const Numbers& values, HostProfile* profile) {
  if (values[0] == 0) profile->stack.delayed_ack = Duration::Zero();
  return true;
}

// Bit 0: RACK.
bool SetRecovery(const Numbers& values, HostProfile* profile) {
  profile->stack.rack = (values[0] & 1) != 0;
  return true;
}

// 3 and 4: tail loss probes.
bool SetEarlyRetransmit(const Numbers& values, HostProfile* profile) {
  profile->stack.tail_loss_probe = values[0] >= 3;
  return true;
}

bool SetSynCookies(const Numbers& values, HostProfile* profile) {
  constexpr SynCookies kModes[] = {SynCookies::kOff, SynCookies::kWhenFull, SynCookies::kAlways};
  if (values[0] < 0 || values[0] > 2) return false;
  profile->stack.syn_cookies = kModes[values[0]];
  return true;
}

bool SetListenBacklog(const Numbers& values, HostProfile* profile) {
  if (values[0] < 0 || values[0] > 1 << 20) return false;
  profile->sockets.listen_backlog_limit = static_cast<uint32_t>(values[0]);
  return true;
}

template <auto kMember>
bool SetSwitch(const Numbers& values, HostProfile* profile) {
  profile->stack.*kMember = values[0] != 0;
  return true;
}

template <auto kMember, int64_t kLow = 0, int64_t kHigh = 255>
bool SetNumber(const Numbers& values, HostProfile* profile) {
  if (values[0] < kLow || values[0] > kHigh) return false;
  profile->stack.*kMember = static_cast<std::remove_reference_t<decltype(profile->stack.*kMember)>>(values[0]);
  return true;
}

template <auto kMember, int64_t kUnitMicroseconds>
bool SetTime(const Numbers& values, HostProfile* profile) {
  constexpr int64_t kMost = int64_t{1} << 31;
  if (values[0] < 0 || values[0] > kMost) return false;
  profile->stack.*kMember = Duration::Microseconds(values[0] * kUnitMicroseconds);
  return true;
}

constexpr int64_t kMillisecond = 1000;
constexpr int64_t kSecond = 1000 * kMillisecond;

constexpr Knob kKnobs[] = {
    // Linux.
    {"net.core.somaxconn", SetListenBacklog},
    {"net.ipv4.ip_default_ttl", SetNumber<&StackConfig::ttl, 1>},
    {"net.ipv4.ip_local_port_range", SetPorts},
    {"net.ipv4.tcp_challenge_ack_limit", SetNumber<&StackConfig::challenge_acks_per_second, 0, 1 << 30>},
    {"net.ipv4.tcp_dsack", SetSwitch<&StackConfig::dsack>},
    {"net.ipv4.tcp_early_retrans", SetEarlyRetransmit},
    {"net.ipv4.tcp_ecn", SetEcn},
    {"net.ipv4.tcp_fin_timeout", SetTime<&StackConfig::fin_wait_2, kSecond>},
    {"net.ipv4.tcp_frto", SetSwitch<&StackConfig::frto>},
    {"net.ipv4.tcp_keepalive_intvl", SetTime<&StackConfig::keep_alive_interval, kSecond>},
    {"net.ipv4.tcp_keepalive_probes", SetNumber<&StackConfig::keep_alive_probes, 1>},
    {"net.ipv4.tcp_keepalive_time", SetTime<&StackConfig::keep_alive_idle, kSecond>},
    {"net.ipv4.tcp_max_reordering", SetNumber<&StackConfig::reordering_limit, 1, 1 << 20>},
    {"net.ipv4.tcp_max_tw_buckets", SetNumber<&StackConfig::time_wait_limit, 0, 1 << 30>},
    {"net.ipv4.tcp_min_tso_segs", SetNumber<&StackConfig::push_every_segments, 0, 1 << 16>},
    {"net.ipv4.tcp_notsent_lowat", SetNumber<&StackConfig::unsent_low_water, 1, UINT32_MAX>},
    {"net.ipv4.tcp_orphan_retries", SetNumber<&StackConfig::closed_retries>},
    {"net.ipv4.tcp_recovery", SetRecovery},
    {"net.ipv4.tcp_reordering", SetNumber<&StackConfig::reordering_segments, 1, 1 << 20>},
    {"net.ipv4.tcp_retries1", SetNumber<&StackConfig::r1_retries>},
    {"net.ipv4.tcp_retries2", SetNumber<&StackConfig::data_retries>},
    {"net.ipv4.tcp_rmem", SetReceiveBuffers},
    {"net.ipv4.tcp_rto_min_us", SetTime<&StackConfig::rto_min, 1>},
    {"net.ipv4.tcp_sack", SetSwitch<&StackConfig::sack>},
    {"net.ipv4.tcp_slow_start_after_idle", SetSwitch<&StackConfig::idle_restart>},
    {"net.ipv4.tcp_syn_retries", SetNumber<&StackConfig::syn_retries>},
    {"net.ipv4.tcp_syncookies", SetSynCookies},
    {"net.ipv4.tcp_timestamps", SetSwitch<&StackConfig::timestamps>},
    {"net.ipv4.tcp_window_scaling", SetSwitch<&StackConfig::window_scale>},
    {"net.ipv4.tcp_wmem", SetSendBuffers},
    // Known, and of no meaning to this stack.
    {"net.core.default_qdisc", nullptr},
    {"net.core.netdev_max_backlog", nullptr},
    {"net.core.rmem_default", nullptr},
    {"net.core.rmem_max", nullptr},
    {"net.core.wmem_default", nullptr},
    {"net.core.wmem_max", nullptr},
    {"net.ipv4.tcp_abort_on_overflow", nullptr},
    {"net.ipv4.tcp_adv_win_scale", nullptr},
    {"net.ipv4.tcp_app_win", nullptr},
    {"net.ipv4.tcp_autocorking", nullptr},
    {"net.ipv4.tcp_comp_sack_delay_ns", nullptr},
    {"net.ipv4.tcp_comp_sack_nr", nullptr},
    {"net.ipv4.tcp_comp_sack_slack_ns", nullptr},
    {"net.ipv4.tcp_fastopen", nullptr},
    {"net.ipv4.tcp_invalid_ratelimit", nullptr},
    {"net.ipv4.tcp_limit_output_bytes", nullptr},
    {"net.ipv4.tcp_max_syn_backlog", nullptr},
    {"net.ipv4.tcp_min_rtt_wlen", nullptr},
    {"net.ipv4.tcp_moderate_rcvbuf", nullptr},
    {"net.ipv4.tcp_mtu_probing", nullptr},
    {"net.ipv4.tcp_no_metrics_save", nullptr},
    {"net.ipv4.tcp_pacing_ca_ratio", nullptr},
    {"net.ipv4.tcp_pacing_ss_ratio", nullptr},
    {"net.ipv4.tcp_rfc1337", nullptr},
    {"net.ipv4.tcp_shrink_window", nullptr},
    {"net.ipv4.tcp_stdurg", nullptr},
    {"net.ipv4.tcp_synack_retries", nullptr},
    {"net.ipv4.tcp_thin_linear_timeouts", nullptr},
    {"net.ipv4.tcp_tso_rtt_log", nullptr},
    {"net.ipv4.tcp_tso_win_divisor", nullptr},
    {"net.ipv4.tcp_tw_reuse", nullptr},
    // FreeBSD.
    {"kern.ipc.soacceptqueue", SetListenBacklog},
    {"net.inet.ip.ttl", SetNumber<&StackConfig::ttl, 1>},
    {"net.inet.tcp.delacktime", SetTime<&StackConfig::delayed_ack, kMillisecond>},
    {"net.inet.tcp.delayed_ack", SetDelayedAck},
    {"net.inet.tcp.ecn.enable", SetEcn},
    {"net.inet.tcp.finwait2_timeout", SetTime<&StackConfig::fin_wait_2, kMillisecond>},
    {"net.inet.tcp.initcwnd_segments", SetNumber<&StackConfig::initial_window_segments, 1>},
    {"net.inet.tcp.keepcnt", SetNumber<&StackConfig::keep_alive_probes, 1>},
    {"net.inet.tcp.keepidle", SetTime<&StackConfig::keep_alive_idle, kMillisecond>},
    {"net.inet.tcp.keepintvl", SetTime<&StackConfig::keep_alive_interval, kMillisecond>},
    {"net.inet.tcp.recvspace", SetReceiveSpace},
    {"net.inet.tcp.rexmit_initial", SetTime<&StackConfig::rto_initial, kMillisecond>},
    {"net.inet.tcp.rexmit_min", SetTime<&StackConfig::rto_min, kMillisecond>},
    {"net.inet.tcp.rfc1323", SetSwitch<&StackConfig::timestamps>},
    {"net.inet.tcp.sack.enable", SetSwitch<&StackConfig::sack>},
    {"net.inet.tcp.sendspace", SetSendSpace},
    {"net.inet.tcp.syncookies", SetSynCookies},
    {"kern.ipc.maxsockbuf", nullptr},
    {"net.inet.tcp.blackhole", nullptr},
    {"net.inet.tcp.drop_synfin", nullptr},
    {"net.inet.tcp.hostcache.enable", nullptr},
    {"net.inet.tcp.hostcache.purgenow", nullptr},
    {"net.inet.tcp.insecure_rst", nullptr},
    {"net.inet.tcp.insecure_syn", nullptr},
    {"net.inet.tcp.minmss", nullptr},
    {"net.inet.tcp.path_mtu_discovery", nullptr},
    {"net.inet.tcp.recvbuf_auto", nullptr},
    {"net.inet.tcp.rexmit_slop", nullptr},
    {"net.inet.tcp.rfc3042", nullptr},
    {"net.inet.tcp.rfc3390", nullptr},
    {"net.inet.tcp.rfc3465", nullptr},
    {"net.inet.tcp.sendbuf_auto", nullptr},
    {"net.inet.tcp.tso", nullptr},
};

absl::Status SetCongestion(absl::string_view name, HostProfile* profile) {
  if (name != "cubic" && name != "reno" && name != "newreno") {
    return absl::InvalidArgumentError(absl::StrCat("no congestion control \"", name, "\": reno, newreno or cubic"));
  }
  profile->stack.congestion = name == "cubic" ? CongestionAlgorithm::kCubic : CongestionAlgorithm::kNewReno;
  return absl::OkStatus();
}

std::string Canonical(absl::string_view name) {
  absl::ConsumePrefix(&name, "/proc/sys/");
  return absl::StrReplaceAll(name, {{"/", "."}});
}

}  // namespace

HostProfile LinuxTestProfile() {
  HostProfile profile;
  StackConfig& stack = profile.stack;
  stack = StackConfig::Rfc();
  stack.rto_initial = Duration::Seconds(1);
  stack.rto_min = Duration::Milliseconds(200);
  stack.rto_max = Duration::Seconds(120);
  stack.syn_retries = 6;
  stack.data_retries = 15;
  stack.closed_retries = 8;
  stack.delayed_ack = Duration::Milliseconds(40);
  stack.rto_min_is_margin = true;
  stack.tail_probe_ack_delay = Duration::Milliseconds(200);
  stack.tail_probe_slack = Duration::Milliseconds(2);
  stack.congestion = CongestionAlgorithm::kCubic;
  stack.reduce_from_window = true;
  stack.push_every_segments = 2;
  stack.idle_restart = false;
  stack.quick_acks = 16;
  stack.ack_on_read = true;
  stack.delay_fin_ack = true;
  stack.answer_unsent_acks = false;
  stack.time_wait = Duration::Seconds(60);
  stack.fin_wait_2 = Duration::Seconds(60);
  stack.soft_errors_end_handshake = true;
  stack.send_buffer_bytes = 64u << 20;  // the socket layer's own limit is what counts
  stack.receive_buffer_bytes = 65535;
  stack.receive_buffer_max_bytes = 15u << 20;  // window scale 8
  stack.send_slices_limit = 1u << 20;
  stack.receive_slices_limit = 1u << 20;
  stack.ephemeral_first = 32768;
  stack.ephemeral_last = 60999;
  stack.secret = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
  return profile;
}

HostProfile BsdTestProfile() {
  HostProfile profile = LinuxTestProfile();
  profile.sockets = {.bsd = true,
                     .send_buffer_bytes = 32768,
                     .receive_buffer_bytes = 65536,
                     .buffer_limit_bytes = 2 << 20,
                     .listen_backlog_limit = 128,
                     .double_buffers = false};
  profile.stack.rto_min_is_margin = false;
  profile.stack.congestion = CongestionAlgorithm::kNewReno;
  profile.stack.reduce_from_window = false;
  profile.stack.push_every_segments = 0;
  profile.stack.quick_acks = 0;
  profile.stack.ack_on_read = false;
  profile.stack.delay_fin_ack = false;
  profile.stack.answer_unsent_acks = true;
  profile.stack.soft_errors_end_handshake = false;
  profile.stack.ack_small_segments = true;
  profile.stack.receive_buffer_bytes = 65536;
  profile.stack.receive_buffer_max_bytes = 2u << 20;  // window scale 6
  profile.stack.ephemeral_first = 10000;
  profile.stack.ephemeral_last = 65535;
  return profile;
}

absl::StatusOr<HostProfile> ProfileByName(absl::string_view name) {
  if (name == "linux-test") return LinuxTestProfile();
  if (name == "bsd-test") return BsdTestProfile();
  return absl::NotFoundError(absl::StrCat("no profile \"", name, "\": linux-test or bsd-test"));
}

absl::Status ApplySysctl(absl::string_view name, absl::string_view value, HostProfile* profile) {
  const std::string canonical = Canonical(name);
  if (canonical == "net.ipv4.tcp_congestion_control" || canonical == "net.inet.tcp.cc.algorithm") {
    return SetCongestion(value, profile);
  }
  const Knob* knob =
      std::find_if(std::begin(kKnobs), std::end(kKnobs), [&](const Knob& k) { return canonical == k.name; });
  if (knob == std::end(kKnobs)) return absl::NotFoundError(absl::StrCat("no sysctl \"", name, "\" here"));
  if (knob->set == nullptr) return absl::OkStatus();
  Numbers values;
  for (const absl::string_view word : absl::StrSplit(value, absl::ByAnyChar(" \t"), absl::SkipWhitespace())) {
    if (!absl::SimpleAtoi(word, &values.emplace_back())) values.clear();
  }
  HostProfile changed = *profile;
  if (values.empty() || !knob->set(values, &changed) || !Validate(changed.stack).ok()) {
    return absl::InvalidArgumentError(absl::StrCat("sysctl ", name, " cannot be \"", value, "\""));
  }
  *profile = std::move(changed);
  return absl::OkStatus();
}

}  // namespace luna::tcp::testing
