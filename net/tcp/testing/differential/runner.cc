#include "luna/net/tcp/testing/differential/runner.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "luna/net/tcp/testing/differential/application.h"
#include "luna/net/tcp/testing/differential/segment_codec.h"

namespace luna::tcp::differential {
namespace {

// For both hosts alike. No timer of theirs may go off unless the list waits for it: a retransmission would come between
// whatever two events real time has put it.
constexpr std::pair<const char*, const char*> kSettings[] = {
    {"net.ipv4.tcp_rto_min_us", "30000000"},
    {"net.ipv4.tcp_early_retrans", "0"},
    {"net.ipv4.tcp_timestamps", "1"},
    {"net.ipv4.tcp_sack", "1"},
    {"net.ipv4.tcp_dsack", "1"},
    {"net.ipv4.tcp_window_scaling", "1"},
    {"net.ipv4.tcp_ecn", "0"},
};

absl::Status Set(const EventList& list, System& system) {
  for (const auto& [name, value] : kSettings) {
    if (absl::Status status = system.SetSysctl(name, value); !status.ok()) return status;
  }
  for (const auto& [name, value] : list.settings) {
    if (absl::Status status = system.SetSysctl(name, value); !status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace

std::string Step::Outcome() const { return absl::StrJoin(lines, " | "); }

absl::StatusOr<Trace> Run(const EventList& list, const wire::Endpoint& host, const wire::Endpoint& peer,
                          System& system) {
  if (absl::Status status = system.Begin(host, peer); !status.ok()) return status;
  if (absl::Status status = Set(list, system); !status.ok()) return status;
  SegmentCodec codec(host, peer, list.peer_isn, list.timestamps);
  Application application(system, host, peer);
  Trace trace;
  std::string state = "-";
  for (const Event& event : list.events) {
    Step step{.event = event.text, .before = state};
    if (event.packet.has_value()) system.Inject(codec.Encode(*event.packet));
    if (event.call.has_value()) step.lines.push_back(application.Do(*event.call));
    const bool waits = !event.packet.has_value() && !event.call.has_value();
    const Duration duration = waits ? Duration::Milliseconds(event.advance_ms) : kSettleTime;
    for (const std::string& packet : system.Advance(duration)) {
      if (const auto line = codec.Reduce(packet)) step.lines.push_back(absl::StrCat("> ", *line));
    }
    state = system.State();
    step.lines.push_back(absl::StrCat("state ", state));
    trace.push_back(std::move(step));
  }
  application.End();
  if (const std::string trouble = system.End(); !trouble.empty()) return absl::InternalError(trouble);
  return trace;
}

}  // namespace luna::tcp::differential
