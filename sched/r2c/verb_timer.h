#ifndef LUNA_SCHED_R2C_VERB_TIMER_H_
#define LUNA_SCHED_R2C_VERB_TIMER_H_

// VerbTimer: how a worker's time is shared out among its verbs, from a sample of its iterations.
//
// A sampled iteration reads the clock each time the verb changes, which makes it longer by some 20 to 40 ns a change:
// take the figures as shares. The others pay a predicted branch. Thread: the worker's; the counters, any.

#include <array>
#include <cstddef>
#include <cstdint>

#include "luna/ctrl/stats/counter.h"
#include "luna/sched/clock/clock.h"

namespace luna::r2c {

enum class Verb : uint8_t {
  kReceive,   // from the device
  kIngest,    // parsing, IP and TCP input
  kDeliver,   // the application, timers of its own included
  kFlush,     // TCP and IP output
  kTransmit,  // to the device
  kRest,      // protocol timers, control plane, kernel descriptors, memory
};
inline constexpr size_t kVerbs = 6;

class VerbTimer {
 public:
  struct Counters {
    stats::Counter iterations;                       // that were sampled
    std::array<stats::Counter, kVerbs> nanoseconds;  // of these
  };

  // Samples one in `interval` iterations; 0: none. `clock` outlives this.
  VerbTimer(Clock& clock, uint32_t interval) : clock_(clock), interval_(interval), left_(interval) {}

  // An iteration begins, with `verb`, at `now`.
  void Begin(Verb verb, Time now) {
    if (interval_ == 0 || --left_ > 0) [[likely]]
      return;
    left_ = interval_;
    sampling_ = true;
    verb_ = verb;
    since_ = now;
    counters_.iterations.Increment();
  }
  // What follows is `verb`'s.
  void Enter(Verb verb) {
    if (sampling_) [[unlikely]]
      Switch(verb);
  }
  void End() {
    if (!sampling_) [[likely]]
      return;
    Switch(Verb::kRest);
    sampling_ = false;
  }

  const Counters& counters() const { return counters_; }

 private:
  void Switch(Verb verb) {
    const Time now = clock_.Now();
    counters_.nanoseconds[static_cast<size_t>(verb_)].Add(static_cast<uint64_t>((now - since_).nanoseconds()));
    since_ = now;
    verb_ = verb;
  }

  Clock& clock_;
  const uint32_t interval_;
  uint32_t left_;
  bool sampling_ = false;
  Verb verb_ = Verb::kRest;
  Time since_;
  Counters counters_;
};

}  // namespace luna::r2c

#endif  // LUNA_SCHED_R2C_VERB_TIMER_H_
