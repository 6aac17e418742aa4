#ifndef LUNA_NET_TCP_TESTING_SIMULATOR_RANDOM_H_
#define LUNA_NET_TCP_TESTING_SIMULATOR_RANDOM_H_

// Random: numbers that are the same for every compiler and library (those of <random>'s distributions are not).
// Each part of a simulation has a stream of its own, so that taking one part away changes nothing for the others.
// A plain value.

#include <cstdint>

#include "luna/sched/clock/time.h"

namespace luna::tcp::simulator {

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  // The stream `name` of `seed`.
  Random(uint64_t seed, uint64_t name) : state_(Mix(seed) ^ Mix(~name)) {}

  // SplitMix64 (Steele, Lea and Flood 2014).
  uint64_t Next() {
    state_ += 0x9e3779b97f4a7c15u;
    return Mix(state_);
  }
  // 0 to n - 1; 0 when n is 0.
  uint64_t Below(uint64_t n) { return n == 0 ? 0 : Next() % n; }
  // From `low` to `high`, both included.
  uint64_t Between(uint64_t low, uint64_t high) { return low + Below(high - low + 1); }
  // In [0, 1).
  double Unit() { return static_cast<double>(Next() >> 11) * 0x1p-53; }
  // Draws nothing when the answer is sure.
  bool Chance(double probability) { return probability > 0 && (probability >= 1 || Unit() < probability); }
  // In [0, most).
  Duration Upto(Duration most) {
    return Duration::Nanoseconds(
        static_cast<int64_t>(most <= Duration::Zero() ? 0 : Below(static_cast<uint64_t>(most.nanoseconds()))));
  }
  // From 1 to `most`, about as often in each octave.
  uint64_t Octaves(uint64_t most) {
    uint64_t bits = 0;
    while (most >> bits > 1) ++bits;
    const uint64_t floor = uint64_t{1} << Between(0, bits);
    const uint64_t value = floor + Below(floor);
    return value < most ? value : most;
  }

 private:
  static constexpr uint64_t Mix(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  uint64_t state_;
};

}  // namespace luna::tcp::simulator

#endif  // LUNA_NET_TCP_TESTING_SIMULATOR_RANDOM_H_
