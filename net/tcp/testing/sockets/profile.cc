#include "luna/net/tcp/testing/sockets/profile.h"

#include <algorithm>
#include <string>
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
  if (values.size() != 3 || !IsBuffer(values[1]) || !IsBuffer(values[2])) return false;
  profile->sockets.receive_buffer_bytes = static_cast<uint32_t>(values[1]);
  profile->stack.receive_buffer_bytes = static_cast<uint32_t>(std::max(values[1], values[2]));
  return true;
}

bool SetSendBuffers(const Numbers& values, HostProfile* profile) {
  if (values.size() != 3 || !IsBuffer(values[1])) return false;
  profile->sockets.send_buffer_bytes = static_cast<uint32_t>(values[1]);
  return true;
}

template <bool StackConfig::*kSwitch>
bool SetSwitch(const Numbers& values, HostProfile* profile) {
  profile->stack.*kSwitch = values[0] != 0;
  return true;
}

constexpr Knob kKnobs[] = {
    // Linux.
    {"net.ipv4.tcp_timestamps", SetSwitch<&StackConfig::timestamps>},
    {"net.ipv4.tcp_window_scaling", SetSwitch<&StackConfig::window_scale>},
    {"net.ipv4.tcp_rmem", SetReceiveBuffers},
    {"net.ipv4.tcp_wmem", SetSendBuffers},
    {"net.ipv4.tcp_tso_win_divisor", nullptr},
    {"net.ipv4.tcp_min_tso_segs", nullptr},
    // FreeBSD.
    {"net.inet.tcp.rfc1323", SetSwitch<&StackConfig::timestamps>},
};

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
  stack.delayed_ack = Duration::Milliseconds(40);
  stack.time_wait = Duration::Seconds(60);
  stack.fin_wait_2 = Duration::Seconds(60);
  stack.send_buffer_bytes = 64u << 20;     // the socket layer's own limit is what counts
  stack.receive_buffer_bytes = 15u << 20;  // window scale 8
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
                     .double_buffers = false};
  profile.stack.receive_buffer_bytes = 65536;
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
  const Knob* knob =
      std::find_if(std::begin(kKnobs), std::end(kKnobs), [&](const Knob& k) { return canonical == k.name; });
  if (knob == std::end(kKnobs)) return absl::NotFoundError(absl::StrCat("no sysctl \"", name, "\" here"));
  if (knob->set == nullptr) return absl::OkStatus();
  Numbers values;
  for (const absl::string_view word : absl::StrSplit(value, absl::ByAnyChar(" \t"), absl::SkipWhitespace())) {
    if (!absl::SimpleAtoi(word, &values.emplace_back())) values.clear();
  }
  if (values.empty() || !knob->set(values, profile)) {
    return absl::InvalidArgumentError(absl::StrCat("sysctl ", name, " cannot be \"", value, "\""));
  }
  return absl::OkStatus();
}

}  // namespace luna::tcp::testing
