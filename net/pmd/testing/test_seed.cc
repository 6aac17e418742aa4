#include "luna/net/pmd/testing/test_seed.h"

#include <cstdlib>
#include <iostream>

#include "absl/strings/numbers.h"
#include "glog/logging.h"

namespace luna::pmd {

uint64_t TestSeed(uint64_t fallback) {
  uint64_t seed = fallback;
  if (const char* text = std::getenv("LUNA_TEST_SEED"); text != nullptr && *text != '\0') {
    CHECK(absl::SimpleAtoi(text, &seed)) << "LUNA_TEST_SEED is not a number: " << text;
  }
  std::cerr << "seed " << seed << " (again with --test_env=LUNA_TEST_SEED=" << seed << ")\n";
  return seed;
}

}  // namespace luna::pmd
