#ifndef LUNA_MEM_ZBUF_TESTING_MODEL_SEED_H_
#define LUNA_MEM_ZBUF_TESTING_MODEL_SEED_H_

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>

namespace luna::zbuf {

// The seed of a randomised test: a new one per run, or the number in the environment variable LUNA_TEST_SEED. Prints
// it, flushed, so that it is known even of a run that dies. Header only: it must not link Zbuf, of which the debug
// tests have a build of their own.
inline uint64_t ModelSeed() {
  const char* const text = std::getenv("LUNA_TEST_SEED");
  const uint64_t seed = text != nullptr ? std::strtoull(text, nullptr, 0) : std::random_device()();
  std::printf("LUNA_TEST_SEED=%llu\n", static_cast<unsigned long long>(seed));
  std::fflush(stdout);
  return seed;
}

}  // namespace luna::zbuf

#endif  // LUNA_MEM_ZBUF_TESTING_MODEL_SEED_H_
