#ifndef LUNA_SCHED_TIMER_TIMER_WHEEL_H_
#define LUNA_SCHED_TIMER_TIMER_WHEEL_H_

// A hierarchical timing wheel of intrusive timers: O(1) to arm, re-arm and cancel, no allocation, no callbacks.
//
// The wheel knows nothing of what a timer is for. It hands expired timers up as return values; the caller acts on them
// when no layer of its own is on the call stack:
//
//   while (Timer* t = wheel.PopExpired(now)) Handle(*t);
//   sleep_until(wheel.NextDeadline());                      // or poll on
//
// Granularity. Deadlines are rounded up to a granule of 1,024 ns, so a timer is never handed out early and is handed
// out by every PopExpired(now) with now >= deadline + 1,023 ns (RoundUp(deadline) <= now, to be exact).
//
// Range. Nine levels of 64 slots: 54 bits of granules, the whole of Time. There is no horizon, and no deadline is
// clamped.
//
// Shape. With `cursor` the granule up to which everything is done, level l cuts granules into slots of 64^l, and 64
// slots into a block. It holds timers of the cursor's block and of the block after it, 128 slots in all; a timer lies
// on the lowest level that reaches it:
//
//   level                0       1        2        3       4         5        6       7        8
//   a slot is            1.0 us  65.5 us  4.19 ms  268 ms  17.2 s    18.3 min 19.5 h  52.1 d   9.1 y
//   reaches at least     65.5 us 4.19 ms  268 ms   17.2 s  18.3 min  19.5 h   52.1 d  9.1 y    584 y
//
// Each level has an occupancy bitmap, so its first slot is two bit scans away. When the cursor reaches a slot of a
// higher level, the slot's timers move to lower ones ("cascade"), each timer at most eight times in its life. The
// cursor jumps from occupied slot to occupied slot, so work depends on the timers passed and never on the time passed:
// a jump of a year over an empty wheel costs one step.
//
// No stall. A hundred thousand connections with a timeout of 200 ms fill one slot of level 3; to move them all when the
// cursor gets there would hold up every packet for milliseconds. Hence the second block: a slot's timers may move down
// from the moment when the cursor enters the slot before it, and each PopExpired that finds nothing due moves
// kAheadTimers of them. A loop that polls once per granule has by then moved 512 timers of a slot of level 1, 32,768 of
// level 2 and two million of level 3. What is left moves at once, as it does after a sleep.
//
// Lazy re-arm. A timer whose deadline is pushed out by every packet (retransmission, keep-alive, idle) need not be
// touched by every packet. The owner keeps the true deadline beside the timer and leaves an entry that is armed for an
// earlier time:
//
//   void SetRto(Connection& c, Time deadline) {             // per packet: a compare, mostly no more
//     c.rto_deadline = deadline;
//     if (!c.timer.armed() || deadline < c.timer.deadline()) wheel.Arm(c.timer, deadline);
//   }
//   void OnPopped(Connection& c, Time now) {                // at most once per old deadline
//     if (c.rto_deadline > now) { if (!c.rto_deadline.is_infinite()) wheel.Arm(c.timer, c.rto_deadline); return; }
//     Retransmit(c);
//   }
//
// The same way one entry serves several deadlines of its owner: arm it for their minimum, look at all of them when
// popped.
//
// Threads: none of this is thread-safe; a wheel and its timers belong to one worker.

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "glog/logging.h"
#include "luna/sched/clock/time.h"

namespace luna::timer {

// An entry to embed in what it times. 32 bytes. Neither copied nor moved, since the wheel links to it.
//
// To get from a popped Timer* to its owner, derive: `class Connection : public timer::Timer`, or
// `struct RtoTimer : timer::Timer { Connection* connection; }`, and static_cast. When several types share one wheel,
// `kind` (the owner's to choose) tells which cast is right.
class Timer {
 public:
  explicit Timer(uint16_t kind = 0) : kind_(kind) {}
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  // Cancel first: the wheel would keep a dangling link.
  ~Timer() { DCHECK(!armed()) << "an armed Timer was destroyed"; }

  bool armed() const { return next_ != nullptr; }
  // The deadline as armed, not rounded. Time::Infinite() when not armed.
  Time deadline() const { return deadline_; }
  uint16_t kind() const { return kind_; }

 private:
  friend class TimerWheel;

  // Neighbours in the slot's circular list; null when not armed.
  Timer* next_ = nullptr;
  Timer* prev_ = nullptr;
  Time deadline_ = Time::Infinite();
  uint8_t level_ = 0;
  uint8_t slot_ = 0;
  uint16_t kind_;
};

static_assert(sizeof(Timer) <= 32);

class TimerWheel {
 public:
  static constexpr Duration kGranule = Duration::Nanoseconds(1024);
  // How many timers one PopExpired moves down ahead of time.
  static constexpr int kAheadTimers = 8;

  // `now`: where the caller's clock stands. Any Time is right; one near the clock saves the first timers a few
  // cascades.
  explicit TimerWheel(Time now = Time());
  TimerWheel(const TimerWheel&) = delete;
  TimerWheel& operator=(const TimerWheel&) = delete;
  // Timers still armed become disarmed. O(size()).
  ~TimerWheel();

  // Arms `timer` for `deadline`; when it is armed already, it is as if cancelled first. A deadline in the past is due
  // at once. Time::Infinite() (and the last granule before it) is "never": the same as Cancel. O(1). Within a drain
  // loop, a timer armed with a deadline <= now comes out again in the same loop.
  void Arm(Timer& timer, Time deadline);

  // Disarms. Nothing happens when it is not armed. O(1).
  void Cancel(Timer& timer);

  // Takes out one timer that is due at `now` and disarms it; null when none is.
  // Order: by granule. Within a granule the order is unspecified, but a function of the calls alone, so that a run
  // replays. A deadline that was past when armed counts as of the granule that the wheel had reached. `now` should not
  // decrease; when it does, timers wait and none is early. O(1) amortised; without a due timer a few instructions and
  // at most kAheadTimers moves. Call until null before sleeping by NextDeadline().
  Timer* PopExpired(Time now) {
    const uint64_t granule = NowGranule(now);
    if (granule < first_granule_ && granule >> kLevelBits == ahead_block_ && levels_ahead_ == 0) [[likely]] {
      if (granule > cursor_) cursor_ = granule;
      return nullptr;
    }
    return PopFrom(granule);
  }

  // When to call PopExpired next: never later than the earliest RoundUp(deadline), Time::Infinite() when empty.
  // Exact when that timer is less than 64 granules away; otherwise a bound at which PopExpired makes progress, so that
  // a loop that sleeps until NextDeadline() wakes at most eight times too often per timer. After PopExpired(now)
  // returned null, it is > now. O(1).
  Time NextDeadline() const;

  bool empty() const { return occupied_levels_ == 0; }
  // Armed timers.
  size_t size() const { return size_; }
  // How often a timer was moved to a lower level, in all. For tests and benchmarks: the wheel's hidden work.
  uint64_t moves() const { return moves_; }

  // The first Time at which a timer armed for `deadline` may be handed out. Time::Infinite() for what Arm takes as
  // never.
  static constexpr Time RoundUp(Time deadline) {
    const uint64_t granule = DeadlineGranule(deadline);
    return granule > kLastGranule ? Time::Infinite() : GranuleStart(granule);
  }

 private:
  static constexpr int kGranuleBits = 10;
  static constexpr int kLevelBits = 6;
  static constexpr int kLevels = 9;
  // Two blocks.
  static constexpr int kSlots = 128;
  static_assert(kGranuleBits + kLevels * kLevelBits == 64);
  // A granule is the number of whole kGranules since the least Time.
  static constexpr uint64_t kLastGranule = (uint64_t{1} << (kLevels * kLevelBits)) - 1;
  static constexpr uint64_t kNoGranule = UINT64_MAX;

  // Signed nanoseconds to unsigned ones of the same order, and back.
  static constexpr uint64_t Offset(Time t) { return static_cast<uint64_t>(t.nanoseconds()) ^ (uint64_t{1} << 63); }
  static constexpr uint64_t NowGranule(Time t) { return Offset(t) >> kGranuleBits; }
  // Rounded up; kLastGranule + 1 for the last granule of Time.
  static constexpr uint64_t DeadlineGranule(Time t) {
    return (Offset(t) >> kGranuleBits) + ((Offset(t) & ((1 << kGranuleBits) - 1)) != 0 ? 1 : 0);
  }
  static constexpr Time GranuleStart(uint64_t granule) {
    return Time::FromNanoseconds(static_cast<int64_t>((granule << kGranuleBits) ^ (uint64_t{1} << 63)));
  }

  // One slot: its level, its number there (a granule's digits above the level's, modulo 128), and its first granule.
  struct Position {
    int level;
    int slot;
    uint64_t granule;
  };

  static constexpr int SlotOf(uint64_t granule, int level) {
    return static_cast<int>(granule >> (level * kLevelBits) & (kSlots - 1));
  }

  // PopExpired() where something may be due, or is to be moved.
  Timer* PopFrom(uint64_t now_granule);
  // The occupied slot that begins first; of those that begin together the one of the highest level, since its timers
  // have still to be sorted among the others. The wheel must not be empty.
  Position Earliest() const;
  Position FirstOf(int level) const;

  // Puts the timer on the lowest level that reaches `granule`, or the cursor when that is later. Returns its slot's
  // first granule.
  uint64_t Link(Timer& timer, uint64_t granule);
  // Takes the timer out of its slot; leaves its deadline and size_ alone.
  void Unlink(Timer& timer);
  // Takes the timer out and disarms it.
  void Disarm(Timer& timer);
  // Moves at most `limit` timers of a slot to lower levels.
  void Cascade(int level, int slot, size_t limit);
  // Nothing is due: moves the cursor up to `now` and some timers down ahead of time.
  void Advance(uint64_t now);
  // The levels from 1 on whose slot after the cursor's is occupied, as bits.
  uint32_t LevelsAhead() const;

  // The granule up to which the wheel has worked. Every armed timer's granule is at or after it; on levels above 0 even
  // the start of its slot is after it.
  uint64_t cursor_;
  // No slot begins before this granule. May be too small after a Cancel; PopExpired mends it when it gets there.
  uint64_t first_granule_ = kNoGranule;
  // LevelsAhead() as of the block of level 0 that is ahead_block_, less the slots that were emptied since.
  uint64_t ahead_block_;
  uint32_t levels_ahead_ = 0;
  // Bit l: level l has an occupied slot.
  uint32_t occupied_levels_ = 0;
  size_t size_ = 0;
  uint64_t moves_ = 0;
  // Bit s of [l][h]: slots_[l][64 * h + s] is not empty.
  std::array<std::array<uint64_t, 2>, kLevels> occupied_slots_ = {};
  // The first timer of each slot's circular list, or null.
  std::array<std::array<Timer*, kSlots>, kLevels> slots_ = {};
};

}  // namespace luna::timer

#endif  // LUNA_SCHED_TIMER_TIMER_WHEEL_H_
