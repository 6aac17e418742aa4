// main() of a fuzz target when libFuzzer is not linked: replays every corpus file named on the command line, then runs
// a bounded number of seeded mutations of them, half of them by the target's own mutator if it has one. LUNA_FUZZ_SEED
// and LUNA_FUZZ_RUNS override; a failure prints the seed.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
// Null where the target has none.
extern "C" __attribute__((weak)) size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                                                unsigned seed);

namespace {

using Bytes = std::vector<uint8_t>;

uint64_t FromEnvironment(const char* name, uint64_t fallback) {
  const char* text = std::getenv(name);
  return text == nullptr ? fallback : std::strtoull(text, nullptr, 0);
}

Bytes Mutate(Bytes input, std::mt19937_64& random) {
  static constexpr uint8_t kInteresting[] = {0, 1, 2, 3, 4, 8, 20, 40, 60, 0x7f, 0x80, 0xff};
  const int edits = 1 + static_cast<int>(random() % 8);
  for (int i = 0; i < edits; ++i) {
    const size_t at = input.empty() ? 0 : random() % input.size();
    switch (random() % 5) {
      case 0:
        if (!input.empty()) input[at] ^= static_cast<uint8_t>(1u << (random() % 8));
        break;
      case 1:
        if (!input.empty()) input[at] = kInteresting[random() % std::size(kInteresting)];
        break;
      case 2:
        input.insert(input.begin() + static_cast<std::ptrdiff_t>(at), static_cast<uint8_t>(random()));
        break;
      case 3:
        if (!input.empty()) input.erase(input.begin() + static_cast<std::ptrdiff_t>(at));
        break;
      default:
        input.resize(random() % (input.size() + 64));
        break;
    }
  }
  return input;
}

// More than any target looks at.
constexpr size_t kMostBytes = 8192;

Bytes MutateAsTarget(Bytes input, std::mt19937_64& random) {
  const size_t size = std::min(input.size(), kMostBytes);
  input.resize(kMostBytes);
  input.resize(LLVMFuzzerCustomMutator(input.data(), size, kMostBytes, static_cast<unsigned>(random())));
  return input;
}

}  // namespace

// What libFuzzer gives a target's own mutator to use.
extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size) {
  static std::mt19937_64 random(1);
  const Bytes mutated = Mutate(Bytes(data, data + size), random);
  const size_t kept = std::min(mutated.size(), max_size);
  std::copy(mutated.begin(), mutated.begin() + static_cast<std::ptrdiff_t>(kept), data);
  return kept;
}

int main(int argc, char** argv) {
  std::vector<Bytes> corpus;
  for (int i = 1; i < argc; ++i) {
    std::ifstream file(argv[i], std::ios::binary);
    if (!file) {
      std::fprintf(stderr, "cannot read corpus file %s\n", argv[i]);
      return 1;
    }
    corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  for (const Bytes& input : corpus) LLVMFuzzerTestOneInput(input.data(), input.size());
  corpus.emplace_back();

  const uint64_t seed = FromEnvironment("LUNA_FUZZ_SEED", 1);
  const uint64_t runs = FromEnvironment("LUNA_FUZZ_RUNS", 20000);
  std::printf("replayed %zu corpus files; %llu mutations from LUNA_FUZZ_SEED=%llu\n", corpus.size() - 1,
              static_cast<unsigned long long>(runs), static_cast<unsigned long long>(seed));
  std::fflush(stdout);
  std::mt19937_64 random(seed);
  for (uint64_t i = 0; i < runs; ++i) {
    const Bytes& parent = corpus[random() % corpus.size()];
    const bool own = LLVMFuzzerCustomMutator != nullptr && random() % 2 == 0;
    const Bytes input = own ? MutateAsTarget(parent, random) : Mutate(parent, random);
    LLVMFuzzerTestOneInput(input.data(), input.size());
    if (corpus.size() < 256 && random() % 64 == 0) corpus.push_back(input);
  }
  return 0;
}
