#include "luna/apps/runtime/stats_line.h"

#include <poll.h>

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace luna::apps {
namespace {

// A flat JSON object of numbers. The names are our own: nothing in them needs escaping.
class Numbers {
 public:
  void Add(absl::string_view name, uint64_t value) {
    absl::StrAppend(&text_, text_.empty() ? "{" : ",", "\"", name, "\":", value);
  }
  std::string Take() && { return std::move(text_) + "}"; }

 private:
  std::string text_;
};

void AddTcp(const tcp::Stack& stack, Numbers* out) {
  const tcp::StackCounters& c = stack.counters();
  const std::pair<absl::string_view, const stats::Counter*> counters[] = {
      {"segments_in", &c.segments_in},
      {"segments_out", &c.segments_out},
      {"segments_retransmitted", &c.segments_retransmitted},
      {"bytes_in", &c.bytes_in},
      {"bytes_out", &c.bytes_out},
      {"fast_path_segments", &c.fast_path_segments},
      {"connections_opened", &c.connections_opened},
      {"connections_accepted", &c.connections_accepted},
      {"connections_closed", &c.connections_closed},
      {"resets_sent", &c.resets_sent},
      {"resets_received", &c.resets_received},
      {"ecn_connections", &c.ecn_connections},
      {"ecn_marks_in", &c.ecn_marks_in},
      {"keep_alive_probes", &c.keep_alive_probes},
      {"window_probes", &c.window_probes},
      {"memory_waits", &c.memory_waits},
      {"memory_short", &c.memory_short},
      {"memory_refused", &c.memory_refused},
      {"orphans_refused", &c.orphans_refused},
      {"icmp_errors", &c.icmp_errors},
      {"path_mtu_lowered", &c.path_mtu_lowered},
      {"syn_cookies_sent", &c.syn_cookies_sent},
      {"syn_cookies_accepted", &c.syn_cookies_accepted},
      {"timeouts", &c.timeouts},
      {"send_no_memory", &c.send_no_memory},
  };
  static_assert(sizeof(counters) / sizeof(counters[0]) * sizeof(stats::Counter) == sizeof(c), "one is left out");
  for (const auto& [name, counter] : counters) out->Add(absl::StrCat("tcp.", name), counter->value());
  out->Add("tcp.connections", stack.connections());
  out->Add("tcp.time_wait", stack.time_wait());
  out->Add("tcp.held_bytes", stack.held_bytes());
  out->Add("tcp.held_limit_bytes", stack.config().memory_limit_bytes);
}

void AddMemory(const zbuf::Slab& slab, Numbers* out) {
  const zbuf::SlabStats stats = slab.Stats();
  uint64_t zones = stats.zones_parked, objs_bytes = 0;
  for (const zbuf::ClassStats& kind : stats.classes) {
    zones += kind.zones;
    objs_bytes += kind.outstanding() * kind.obj_bytes;
  }
  out->Add("zbuf.objs", stats.outstanding());
  out->Add("zbuf.objs_bytes", objs_bytes);
  out->Add("zbuf.zones_bytes", zones * zbuf::kZoneBytes);
  out->Add("zbuf.limit_bytes", slab.arena().bytes());
  out->Add("zbuf.exhausted", stats.exhausted());
}

void AddDevice(const pmd::IoStats& stats, Numbers* out) {
  out->Add("io.rx_packets", stats.rx_packets);
  out->Add("io.rx_bytes", stats.rx_bytes);
  out->Add("io.tx_packets", stats.tx_packets);
  out->Add("io.tx_bytes", stats.tx_bytes);
  out->Add("io.rx_dropped", stats.rx_dropped);
  out->Add("io.rx_no_buffer", stats.rx_no_buffer);
  out->Add("io.tx_full", stats.tx_full);
  out->Add("io.tx_dropped", stats.tx_dropped);
  out->Add("io.tx_linearised", stats.tx_linearised);
  out->Add("io.bytes_copied_rx", stats.bytes_copied_rx);
  out->Add("io.bytes_copied_tx", stats.bytes_copied_tx);
}

void AddWorker(const r2c::Worker& worker, Numbers* out) {
  const r2c::WorkerCounters& c = worker.counters();
  const std::pair<absl::string_view, const stats::Counter*> counters[] = {
      {"iterations", &c.iterations},
      {"busy_iterations", &c.busy_iterations},
      {"events_delivered", &c.events_delivered},
      {"reads_held", &c.reads_held},
      {"busy_ns", &c.busy_ns},
      {"idle_ns", &c.idle_ns},
      {"bursts", &c.bursts},
      {"full_bursts", &c.full_bursts},
      {"stalls", &c.stalls},
      {"longest_stall_ns", &c.longest_stall_ns},
  };
  static_assert(sizeof(counters) / sizeof(counters[0]) * sizeof(stats::Counter) == sizeof(c), "one is left out");
  for (const auto& [name, counter] : counters) out->Add(absl::StrCat("worker.", name), counter->value());
  constexpr absl::string_view kVerbNames[r2c::kVerbs] = {"receive", "ingest", "deliver", "flush", "transmit", "rest"};
  out->Add("worker.sampled_iterations", worker.verbs().iterations.value());
  for (size_t i = 0; i < r2c::kVerbs; ++i) {
    out->Add(absl::StrCat("worker.sampled_", kVerbNames[i], "_ns"), worker.verbs().nanoseconds[i].value());
  }
}

// The printers of several workers share an output: of the room that one has found it has the use.
std::mutex& OneAtATime() {
  static auto* const mutex = new std::mutex;
  return *mutex;
}

// A pipe that can be written to takes PIPE_BUF octets (4,096; pipe(7)) without making the writer wait: more than a
// line, which has some 60 numbers.
bool HasRoom(std::FILE* out) {
  pollfd p{fileno(out), POLLOUT, 0};
  return poll(&p, 1, 0) == 1;
}

}  // namespace

std::string StatsLine(const StatsSources& sources) {
  Numbers numbers;
  numbers.Add("worker.index", sources.index);
  AddTcp(sources.stack, &numbers);
  AddMemory(sources.slab, &numbers);
  AddDevice(sources.io.stats(), &numbers);
  AddWorker(sources.worker, &numbers);
  if (sources.idler != nullptr) {
    numbers.Add("idle.sleeps", sources.idler->counters().sleeps.value());
    numbers.Add("idle.slept_ns", sources.idler->counters().slept_ns.value());
  }
  if (sources.mailbox != nullptr) {
    numbers.Add("mailbox.delivered", sources.mailbox->counters().delivered.value());
    numbers.Add("mailbox.wakes", sources.mailbox->counters().wakes.value());
  }
  sources.drops.ForEachNonZero([&numbers](stats::DropReason reason, uint64_t count) {
    numbers.Add(absl::StrCat("drop.", stats::DropReasonName(reason)), count);
  });
  return std::move(numbers).Take();
}

StatsPrinter::StatsPrinter(const StatsSources& sources, r2c::Worker& worker, Duration interval, std::FILE* out)
    : sources_(sources), worker_(worker), interval_(interval), out_(out) {
  worker_.Arm(*this, worker_.now() + interval_);
}

StatsPrinter::~StatsPrinter() { worker_.Cancel(*this); }

void StatsPrinter::OnTimer(Time now) {
  const std::lock_guard<std::mutex> lock(OneAtATime());
  if (HasRoom(out_)) {
    Write();
  } else {
    ++left_out_;
  }
  worker_.Arm(*this, now + interval_);
}

void StatsPrinter::Print() {
  const std::lock_guard<std::mutex> lock(OneAtATime());
  Write();
}

void StatsPrinter::Write() {
  std::string line = StatsLine(sources_);
  if (left_out_ > 0) {
    line.pop_back();
    absl::StrAppend(&line, ",\"stats.lines_left_out\":", left_out_, "}");
  }
  std::fprintf(out_, "%s\n", line.c_str());
  std::fflush(out_);
}

}  // namespace luna::apps
