#ifndef LUNA_NET_PMD_TESTING_TEST_SEED_H_
#define LUNA_NET_PMD_TESTING_TEST_SEED_H_

#include <cstdint>

namespace luna::pmd {

// The seed of a randomised test: `fallback`, or the decimal number in the environment variable LUNA_TEST_SEED. Prints
// which, with the line that repeats the run. CHECK-fails when the variable is not a number.
//
//   bazel test //net/tcp:stack_test --test_env=LUNA_TEST_SEED=4711
uint64_t TestSeed(uint64_t fallback);

}  // namespace luna::pmd

#endif  // LUNA_NET_PMD_TESTING_TEST_SEED_H_
