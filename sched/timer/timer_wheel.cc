#include "luna/sched/timer/timer_wheel.h"

#include <algorithm>
#include <limits>

namespace luna::timer {

TimerWheel::TimerWheel(Time now) : cursor_(NowGranule(now)), ahead_block_(cursor_ >> kLevelBits) {}

TimerWheel::~TimerWheel() {
  while (!empty()) {
    const Position at = Earliest();
    Disarm(*slots_[at.level][at.slot]);
  }
}

void TimerWheel::Arm(Timer& timer, Time deadline) {
  if (timer.armed()) Disarm(timer);
  const uint64_t granule = DeadlineGranule(deadline);
  if (granule > kLastGranule) return;
  timer.deadline_ = deadline;
  ++size_;
  first_granule_ = std::min(first_granule_, Link(timer, granule));
}

void TimerWheel::Cancel(Timer& timer) {
  if (timer.armed()) Disarm(timer);
}

Timer* TimerWheel::PopFrom(uint64_t now_granule) {
  while (first_granule_ <= now_granule) {
    if (empty()) {
      first_granule_ = kNoGranule;
      break;
    }
    const Position at = Earliest();
    first_granule_ = at.granule;
    if (at.granule > now_granule) break;
    cursor_ = at.granule;
    if (at.level == 0) {
      Timer* const timer = slots_[0][at.slot];
      Disarm(*timer);
      return timer;
    }
    Cascade(at.level, at.slot, std::numeric_limits<size_t>::max());
  }
  Advance(now_granule);
  return nullptr;
}

void TimerWheel::Advance(uint64_t now) {
  // No slot begins between the cursor and now, so no timer is left in a slot or a block that it must not lie in.
  if (now > cursor_) cursor_ = now;
  const uint64_t block = cursor_ >> kLevelBits;
  if (block != ahead_block_) {
    ahead_block_ = block;
    levels_ahead_ = LevelsAhead();
  }
  if (levels_ahead_ == 0) return;
  // The lowest level is the most pressing.
  const int level = std::countr_zero(levels_ahead_);
  const int slot = SlotOf(cursor_ + (uint64_t{1} << (level * kLevelBits)), level);
  if (slots_[level][slot] != nullptr) Cascade(level, slot, kAheadTimers);
  if (slots_[level][slot] == nullptr) levels_ahead_ &= levels_ahead_ - 1;
}

uint32_t TimerWheel::LevelsAhead() const {
  uint32_t ahead = 0;
  for (uint32_t levels = occupied_levels_ & ~1u; levels != 0; levels &= levels - 1) {
    const int level = std::countr_zero(levels);
    const int slot = SlotOf(cursor_ + (uint64_t{1} << (level * kLevelBits)), level);
    if (slots_[level][slot] != nullptr) ahead |= 1u << level;
  }
  return ahead;
}

Time TimerWheel::NextDeadline() const {
  if (empty()) return Time::Infinite();
  return GranuleStart(Earliest().granule);
}

TimerWheel::Position TimerWheel::Earliest() const {
  Position earliest = FirstOf(std::countr_zero(occupied_levels_));
  for (uint32_t levels = occupied_levels_ & (occupied_levels_ - 1); levels != 0; levels &= levels - 1) {
    const Position first = FirstOf(std::countr_zero(levels));
    if (first.granule <= earliest.granule) earliest = first;
  }
  return earliest;
}

TimerWheel::Position TimerWheel::FirstOf(int level) const {
  const int shift = level * kLevelBits;
  uint64_t block = cursor_ >> shift >> kLevelBits;
  // Slots that the cursor has passed are empty, so a bit of the cursor's block is always ahead of it.
  if (occupied_slots_[level][block & 1] == 0) ++block;
  const uint64_t slot =
      block << kLevelBits | static_cast<uint64_t>(std::countr_zero(occupied_slots_[level][block & 1]));
  return {level, static_cast<int>(slot & (kSlots - 1)), slot << shift};
}

uint64_t TimerWheel::Link(Timer& timer, uint64_t granule) {
  granule = std::max(granule, cursor_);
  // This level's block is at most one after the cursor's; so may be the next lower level's.
  int level = (std::bit_width((granule - cursor_) | 1) - 1) / kLevelBits;
  if (level > 0 && (granule >> (level * kLevelBits)) - (cursor_ >> (level * kLevelBits)) <= 1) --level;
  const int slot = SlotOf(granule, level);
  timer.level_ = static_cast<uint8_t>(level);
  timer.slot_ = static_cast<uint8_t>(slot);
  Timer*& first = slots_[level][slot];
  if (first == nullptr) {
    timer.next_ = timer.prev_ = &timer;
    first = &timer;
    occupied_slots_[level][slot >> kLevelBits] |= uint64_t{1} << (slot & 63);
    occupied_levels_ |= 1u << level;
  } else {
    timer.next_ = first;
    timer.prev_ = first->prev_;
    first->prev_->next_ = &timer;
    first->prev_ = &timer;
  }
  return granule >> (level * kLevelBits) << (level * kLevelBits);
}

void TimerWheel::Unlink(Timer& timer) {
  const int level = timer.level_;
  const int slot = timer.slot_;
  Timer*& first = slots_[level][slot];
  if (timer.next_ == &timer) {
    DCHECK_EQ(first, &timer) << "a Timer of another wheel";
    first = nullptr;
    occupied_slots_[level][slot >> kLevelBits] &= ~(uint64_t{1} << (slot & 63));
    if ((occupied_slots_[level][0] | occupied_slots_[level][1]) == 0) occupied_levels_ &= ~(1u << level);
  } else {
    if (first == &timer) first = timer.next_;
    timer.prev_->next_ = timer.next_;
    timer.next_->prev_ = timer.prev_;
  }
}

void TimerWheel::Disarm(Timer& timer) {
  Unlink(timer);
  timer.next_ = timer.prev_ = nullptr;
  timer.deadline_ = Time::Infinite();
  --size_;
}

void TimerWheel::Cascade(int level, int slot, size_t limit) {
  for (size_t moved = 0; moved < limit && slots_[level][slot] != nullptr; ++moved) {
    Timer& timer = *slots_[level][slot];
    Unlink(timer);
    Link(timer, DeadlineGranule(timer.deadline_));
    DCHECK_LT(timer.level_, level);
    ++moves_;
  }
}

}  // namespace luna::timer
