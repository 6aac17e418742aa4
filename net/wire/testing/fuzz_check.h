#ifndef LUNA_NET_WIRE_TESTING_FUZZ_CHECK_H_
#define LUNA_NET_WIRE_TESTING_FUZZ_CHECK_H_

// FUZZ_CHECK(condition): what a fuzzer asserts. Names the condition and aborts, which libFuzzer and the replay both
// report together with the input.

#include <cstdio>
#include <cstdlib>

#define FUZZ_CHECK(condition)                                                                 \
  do {                                                                                        \
    if (!(condition)) {                                                                       \
      std::fprintf(stderr, "%s:%d: FUZZ_CHECK(%s) failed\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                           \
    }                                                                                         \
  } while (false)

#endif  // LUNA_NET_WIRE_TESTING_FUZZ_CHECK_H_
