#ifndef LUNA_SCHED_TIMER_TIMER_WHEEL_MODEL_H_
#define LUNA_SCHED_TIMER_TIMER_WHEEL_MODEL_H_

// Test only: what a TimerWheel must do, done slowly with a std::multimap, and a pair that runs both and compares them.

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "luna/sched/clock/time.h"
#include "luna/sched/timer/timer_wheel.h"

namespace luna::timer {

// Runs every operation on a wheel and on the model. Each returns what is wrong, or "" when the two agree.
class WheelAndModel {
 public:
  WheelAndModel(int timers, Time start) : wheel_(start), reached_(Floor(start)), positions_(timers, due_.end()) {
    for (int i = 0; i < timers; ++i) timers_.push_back(std::make_unique<Timer>(static_cast<uint16_t>(i)));
  }
  ~WheelAndModel() {
    for (auto& timer : timers_) wheel_.Cancel(*timer);
  }

  std::string Arm(int i, Time deadline) {
    wheel_.Arm(*timers_[i], deadline);
    Forget(i);
    const int64_t due = Ceiling(deadline);
    if (due != INT64_MAX) positions_[i] = due_.emplace(std::max(due, reached_), i);
    if (due != INT64_MAX && timers_[i]->deadline() != deadline) return "deadline() differs from what was armed";
    return Compare();
  }

  std::string Cancel(int i) {
    wheel_.Cancel(*timers_[i]);
    Forget(i);
    return Compare();
  }

  std::string PopOne(Time now) {
    Timer* const popped = wheel_.PopExpired(now);
    const auto first = due_.begin();
    const bool due = first != due_.end() && first->first <= Floor(now);
    if ((popped != nullptr) != due)
      return absl::StrCat(due ? "popped nothing" : "popped early", " at ", now.nanoseconds());
    if (popped == nullptr) {
      reached_ = std::max(reached_, Floor(now));
      return Compare();
    }
    if (popped->armed()) return "a popped timer says that it is armed";
    const auto position = positions_[popped->kind()];
    if (position == due_.end()) return "popped a timer that was not armed";
    // Any of those that are due together.
    if (position->first != first->first)
      return absl::StrCat("popped one of ", position->first, " before ", first->first);
    reached_ = first->first;
    Forget(popped->kind());
    return Compare();
  }

  std::string PopAll(Time now) {
    for (size_t left = due_.size() + 1; left > 0; --left) {
      const bool last = due_.empty() || due_.begin()->first > Floor(now);
      if (std::string problem = PopOne(now); !problem.empty()) return problem;
      if (!last) continue;
      if (wheel_.NextDeadline() <= now) return "NextDeadline() is not after a drained now";
      return "";
    }
    return "draining does not end";
  }

  const TimerWheel& wheel() const { return wheel_; }
  bool empty() const { return due_.empty(); }
  // When the earliest timer is due: rounded up to the granule.
  Time earliest() const { return due_.empty() ? Time::Infinite() : Time::FromNanoseconds(due_.begin()->first); }

 private:
  static constexpr int64_t kGranule = 1024;
  static int64_t Floor(Time t) { return t.nanoseconds() & -kGranule; }
  // INT64_MAX when the next granule does not exist any more.
  static int64_t Ceiling(Time t) {
    const int64_t ns = t.nanoseconds();
    if (ns > INT64_MAX - kGranule + 1) return INT64_MAX;
    return (ns + kGranule - 1) & -kGranule;
  }

  void Forget(int i) {
    if (positions_[i] != due_.end()) due_.erase(positions_[i]);
    positions_[i] = due_.end();
  }

  std::string Compare() const {
    if (wheel_.size() != due_.size()) return absl::StrCat("size ", wheel_.size(), ", should be ", due_.size());
    if (wheel_.empty() != due_.empty()) return "empty() is wrong";
    for (size_t i = 0; i < timers_.size(); ++i) {
      if (timers_[i]->armed() != (positions_[i] != due_.end())) return absl::StrCat("armed() of ", i, " is wrong");
    }
    if (wheel_.NextDeadline() > earliest()) return "NextDeadline() is later than the earliest timer";
    if (!due_.empty() && wheel_.NextDeadline().nanoseconds() < reached_) return "NextDeadline() lies in the past";
    return "";
  }

  TimerWheel wheel_;
  std::vector<std::unique_ptr<Timer>> timers_;
  // Granule at which a timer is due, in nanoseconds, to the timer's number.
  std::multimap<int64_t, int> due_;
  int64_t reached_;
  std::vector<std::multimap<int64_t, int>::iterator> positions_;
};

}  // namespace luna::timer

#endif  // LUNA_SCHED_TIMER_TIMER_WHEEL_MODEL_H_
