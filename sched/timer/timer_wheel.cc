#include "luna/sched/timer/timer_wheel.h"

namespace luna::timer {

TimerWheel::TimerWheel(Time now) : cursor_(NowGranule(now)) {}

TimerWheel::~TimerWheel() {
  while (!empty()) {
    const Position at = Earliest();
    Unlink(*slots_[at.level][at.slot]);
  }
}

void TimerWheel::Arm(Timer& timer, Time deadline) {
  if (timer.armed()) Unlink(timer);
  const uint64_t granule = DeadlineGranule(deadline);
  if (granule > kLastGranule) return;
  timer.deadline_ = deadline;
  Link(timer, granule);
  ++size_;
}

void TimerWheel::Cancel(Timer& timer) {
  if (timer.armed()) Unlink(timer);
}

Timer* TimerWheel::PopExpired(Time now) {
  const uint64_t now_granule = NowGranule(now);
  while (!empty()) {
    const Position at = Earliest();
    if (at.granule > now_granule) break;
    cursor_ = at.granule;
    if (at.level == 0) {
      Timer* timer = slots_[0][at.slot];
      Unlink(*timer);
      return timer;
    }
    Cascade(at.level, at.slot);
  }
  // No timer lies between the cursor and now, so every timer's highest differing digit stays the same one.
  if (now_granule > cursor_) cursor_ = now_granule;
  return nullptr;
}

Time TimerWheel::NextDeadline() const {
  if (empty()) return Time::Infinite();
  return GranuleStart(Earliest().granule);
}

TimerWheel::Position TimerWheel::Earliest() const {
  const int level = std::countr_zero(occupied_levels_);
  const int slot = std::countr_zero(occupied_slots_[level]);
  const int shift = level * kLevelBits;
  const uint64_t above = cursor_ >> shift & ~kSlotMask;
  return {level, slot, (above | static_cast<uint64_t>(slot)) << shift};
}

void TimerWheel::Link(Timer& timer, uint64_t granule) {
  if (granule < cursor_) granule = cursor_;
  // The lowest digit's bits set: equal granules belong to level 0 as well.
  const int highest_bit = std::bit_width((granule ^ cursor_) | kSlotMask) - 1;
  const int level = highest_bit / kLevelBits;
  const int slot = static_cast<int>(granule >> (level * kLevelBits) & kSlotMask);
  timer.level_ = static_cast<uint8_t>(level);
  timer.slot_ = static_cast<uint8_t>(slot);
  Timer*& first = slots_[level][slot];
  if (first == nullptr) {
    timer.next_ = timer.prev_ = &timer;
    first = &timer;
    occupied_slots_[level] |= uint64_t{1} << slot;
    occupied_levels_ |= 1u << level;
    return;
  }
  timer.next_ = first;
  timer.prev_ = first->prev_;
  first->prev_->next_ = &timer;
  first->prev_ = &timer;
}

void TimerWheel::Unlink(Timer& timer) {
  const int level = timer.level_;
  const int slot = timer.slot_;
  Timer*& first = slots_[level][slot];
  if (timer.next_ == &timer) {
    DCHECK_EQ(first, &timer) << "a Timer of another wheel";
    first = nullptr;
    occupied_slots_[level] &= ~(uint64_t{1} << slot);
    if (occupied_slots_[level] == 0) occupied_levels_ &= ~(1u << level);
  } else {
    if (first == &timer) first = timer.next_;
    timer.prev_->next_ = timer.next_;
    timer.next_->prev_ = timer.prev_;
  }
  timer.next_ = timer.prev_ = nullptr;
  timer.deadline_ = Time::Infinite();
  --size_;
}

void TimerWheel::Cascade(int level, int slot) {
  Timer* const first = slots_[level][slot];
  slots_[level][slot] = nullptr;
  occupied_slots_[level] &= ~(uint64_t{1} << slot);
  if (occupied_slots_[level] == 0) occupied_levels_ &= ~(1u << level);
  // In list order, and before anything else can reach the lower slots: arming order within a granule survives.
  Timer* timer = first;
  do {
    Timer* const next = timer->next_;
    Link(*timer, DeadlineGranule(timer->deadline_));
    timer = next;
  } while (timer != first);
}

}  // namespace luna::timer
