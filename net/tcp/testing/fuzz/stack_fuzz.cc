// One stack under a hostile peer that knows its state, a careless application, a broken network and want of memory:
// every invariant that can be seen from one side holds after every step (checked_host.h), and every transition is
// legal.

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "luna/net/tcp/testing/fuzz/stack_program.h"
#include "luna/net/tcp/testing/fuzz/step_mutator.h"
#include "luna/net/tcp/testing/fuzz/transitions.h"

namespace {

using luna::tcp::testing::TransitionLog;

// libFuzzer counts these like edges of the code: an input with a new transition is kept.
__attribute__((section("__libfuzzer_extra_counters"))) uint8_t g_transitions[TransitionLog::kCells];

TransitionLog& Log() {
  static auto* log = [] {
    auto* fresh = new TransitionLog;
    fresh->set_counters(g_transitions);
    std::atexit([] { std::fprintf(stderr, "%s\n", Log().Summary().c_str()); });
    return fresh;
  }();
  return *log;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  luna::tcp::testing::RunStackProgram(data, size, &Log());
  return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
  return luna::tcp::testing::MutateSteps(data, size, max_size, seed, luna::tcp::testing::UsualStackSteps());
}

extern "C" size_t LLVMFuzzerCustomCrossOver(const uint8_t* a, size_t a_size, const uint8_t* b, size_t b_size,
                                            uint8_t* out, size_t max_size, unsigned seed) {
  return luna::tcp::testing::CrossSteps({a, a_size}, {b, b_size}, out, max_size, seed);
}
