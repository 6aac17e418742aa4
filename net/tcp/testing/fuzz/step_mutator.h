#ifndef LUNA_NET_TCP_TESTING_FUZZ_STEP_MUTATOR_H_
#define LUNA_NET_TCP_TESTING_FUZZ_STEP_MUTATOR_H_

// What LLVMFuzzerCustomMutator and LLVMFuzzerCustomCrossOver of a fuzzer call whose inputs are lists of steps. Pure but
// for libFuzzer's own state. One thread.

#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"
#include "luna/net/tcp/testing/fuzz/steps.h"

namespace luna::tcp::testing {

// Changes `data` (`size` octets in a buffer of `room`) and returns the new size. `usual`: steps worth inserting.
size_t MutateSteps(uint8_t* data, size_t size, size_t room, unsigned seed, absl::Span<const Step> usual);
// Steps of both, into `out`. Returns its size.
size_t CrossSteps(absl::Span<const uint8_t> a, absl::Span<const uint8_t> b, uint8_t* out, size_t room, unsigned seed);

}  // namespace luna::tcp::testing

#endif  // LUNA_NET_TCP_TESTING_FUZZ_STEP_MUTATOR_H_
