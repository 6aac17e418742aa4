#ifndef LUNA_CTRL_STATS_REGISTRY_H_
#define LUNA_CTRL_STATS_REGISTRY_H_

#include <map>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "luna/ctrl/stats/counter.h"
#include "luna/ctrl/stats/drop_counters.h"
#include "luna/ctrl/stats/histogram.h"

namespace luna::stats {

// The counters of a process by name, for printing. Not a singleton: the composition root has one and hands it round.
//
// The registry points at what it is given and never owns it: an object leaves (Remove) before it dies. Names are lower
// case with dots and underscores, owner first: "worker0.tcp.segments_received". A name that is taken, or holds anything
// but [A-Za-z0-9_.:/-], is a programmer error (CHECK).
//
// Threads: all of it may be called from any thread, at any time; the writers of the counters are not disturbed and not
// waited for. Cold path: takes a mutex and allocates.
class Registry {
 public:
  Registry() = default;
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  // `help`: one line, without a full stop.
  void Add(absl::string_view name, absl::string_view help, const Counter* counter);
  // Values are nanoseconds. Renders as count, min, mean, p50, p99, p999, max.
  void Add(absl::string_view name, absl::string_view help, const Histogram* histogram);
  // Renders as one counter per reason that is not zero, named `name`.<reason>, with the reason's own help.
  void Add(absl::string_view name, const DropCounters* drops);

  // Removes the entry `name` and all whose names begin with `name` and a dot. Returns how many.
  int Remove(absl::string_view name);

  // A table sorted by name: name, value, help. Ends with a newline unless empty.
  std::string RenderText() const;

  // One JSON object per line, sorted by name:
  //   {"name":"worker0.rx_packets","value":12}
  //   {"name":"worker0.rtt","count":3,"min_ns":1,"mean_ns":2.0,"p50_ns":2,"p99_ns":3,"p999_ns":3,"max_ns":3}
  std::string RenderJsonLines() const;

 private:
  // Exactly one pointer is set.
  struct Entry {
    std::string help;
    const Counter* counter = nullptr;
    const Histogram* histogram = nullptr;
    const DropCounters* drops = nullptr;
  };

  void AddEntry(absl::string_view name, Entry entry);

  mutable absl::Mutex mutex_;
  std::map<std::string, Entry> entries_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace luna::stats

#endif  // LUNA_CTRL_STATS_REGISTRY_H_
