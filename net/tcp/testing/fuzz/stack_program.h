#ifndef LUNA_NET_TCP_TESTING_FUZZ_STACK_PROGRAM_H_
#define LUNA_NET_TCP_TESTING_FUZZ_STACK_PROGRAM_H_

// An input of stack_fuzz: settings of one stack, and steps of a hostile peer, an application, the network and the
// clock. See README.md for what the octets of a step mean. One thread.

#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"
#include "luna/net/tcp/testing/fuzz/steps.h"
#include "luna/net/tcp/testing/fuzz/transitions.h"

namespace luna::tcp::testing {

inline constexpr size_t kMostStackSteps = 300;

// Step[0] modulo its number of kinds.
struct StepKind {
  static constexpr uint8_t kSegment = 0;  // 0 to 7
  static constexpr uint8_t kCall = 8;     // 8 to 10
  static constexpr uint8_t kOption = 11;
  static constexpr uint8_t kTime = 12;  // 12 and 13
  static constexpr uint8_t kIcmp = 14;
  static constexpr uint8_t kMemory = 15;
  static constexpr uint8_t kCount = 16;
};

// Step[1] of kCall modulo its number of calls.
struct StepCall {
  static constexpr uint8_t kListen = 0, kStopListening = 1, kConnect = 2, kSend = 3, kRead = 4, kShutdownWrite = 5,
                           kShutdownRead = 6, kClose = 7, kAbort = 8, kWantWritable = 9, kPush = 10, kCount = 11;
};

// Runs the program to its end, and then the stack to its own. Any input; a violation ends the process.
void RunStackProgram(const uint8_t* data, size_t size, TransitionLog* log);

// For MutateSteps().
absl::Span<const Step> UsualStackSteps();

}  // namespace luna::tcp::testing

#endif  // LUNA_NET_TCP_TESTING_FUZZ_STACK_PROGRAM_H_
