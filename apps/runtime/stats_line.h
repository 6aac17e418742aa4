#ifndef LUNA_APPS_RUNTIME_STATS_LINE_H_
#define LUNA_APPS_RUNTIME_STATS_LINE_H_

// What a running process has counted, as one line of JSON: {"tcp.segments_in":12,"drop.tcp_bad_checksum":3,...}.
// Names are owner first; counts since the start, and levels (connections, memory) as they stand. Drop reasons that were
// never counted are left out.

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>

#include "luna/ctrl/stats/drop_counters.h"
#include "luna/mem/zbuf/zbuf.h"
#include "luna/net/pmd/packet_io.h"
#include "luna/net/tcp/stack.h"
#include "luna/sched/clock/time.h"
#include "luna/sched/r2c/idler.h"
#include "luna/sched/r2c/mailbox.h"
#include "luna/sched/r2c/worker.h"

namespace luna::apps {

// All of them outlive the line's making; none is changed.
struct StatsSources {
  size_t index;  // of the worker
  const tcp::Stack& stack;
  const zbuf::Slab& slab;
  const pmd::PacketIo& io;
  const r2c::Worker& worker;
  const r2c::Idler* idler;      // null: it spins for ever
  const r2c::Mailbox* mailbox;  // null: there is none
  const stats::DropCounters& drops;
};

// Without a newline. The thread of the worker. Cold path: allocates.
std::string StatsLine(const StatsSources& sources);

// One line for each worker. Writes the line to `out` again and again, on the worker's wheel, which waits for no reader:
// a line for which a pipe or a terminal has no room is left out, and the next one counts it ("stats.lines_left_out").
// Takes itself off the wheel.
class StatsPrinter final : public r2c::AppTimer {
 public:
  // `worker` is that of `sources`; `out` outlives the printer, and nobody but other printers has octets waiting in its
  // buffer.
  StatsPrinter(const StatsSources& sources, r2c::Worker& worker, Duration interval, std::FILE* out);
  ~StatsPrinter() override;
  StatsPrinter(const StatsPrinter&) = delete;
  StatsPrinter& operator=(const StatsPrinter&) = delete;

  void OnTimer(Time now) override;
  // Now, and waits for room: the last word of a process that ends.
  void Print();

 private:
  void Write();

  const StatsSources sources_;
  r2c::Worker& worker_;
  const Duration interval_;
  std::FILE* const out_;
  uint64_t left_out_ = 0;  // lines
};

}  // namespace luna::apps

#endif  // LUNA_APPS_RUNTIME_STATS_LINE_H_
