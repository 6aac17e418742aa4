#include "luna/net/tcp/testing/fuzz/step_mutator.h"

#include <algorithm>
#include <cstring>
#include <random>
#include <vector>

// libFuzzer's own mutations, the dictionary's among them; tools/build/fuzz_replay_main.cc has a stand-in.
extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace luna::tcp::testing {
namespace {

using Random = std::minstd_rand;

std::vector<Step> ToSteps(absl::Span<const uint8_t> data) {
  const Steps steps(data.data(), data.size());
  std::vector<Step> list;
  for (size_t i = 0; i < steps.size(); ++i) list.push_back(steps[i]);
  return list;
}

size_t Write(const std::array<uint8_t, kHeadBytes>& head, const std::vector<Step>& steps, uint8_t* out, size_t room) {
  if (room < kHeadBytes) return 0;
  std::memcpy(out, head.data(), kHeadBytes);
  const size_t count = std::min(steps.size(), (room - kHeadBytes) / kStepBytes);
  for (size_t i = 0; i < count; ++i) std::memcpy(out + kHeadBytes + i * kStepBytes, steps[i].data(), kStepBytes);
  return kHeadBytes + count * kStepBytes;
}

std::ptrdiff_t Any(size_t size, Random& random) { return static_cast<std::ptrdiff_t>(random() % size); }

// One octet of one step: nudged, a bit flipped, or anything.
void ChangeOctet(Step& step, Random& random) {
  uint8_t& octet = step[random() % kStepBytes];
  switch (random() % 4) {
    case 0:
      octet = static_cast<uint8_t>(octet + (random() % 2 == 0 ? 1 : -1));
      break;
    case 1:
      octet = static_cast<uint8_t>(octet ^ 1u << random() % 8);
      break;
    case 2:
      octet = static_cast<uint8_t>(random() % 16);
      break;
    default:
      octet = static_cast<uint8_t>(random());
      break;
  }
}

void Change(std::vector<Step>& steps, Random& random, absl::Span<const Step> usual) {
  const uint32_t what = random() % 16;
  if (steps.empty() || what < 4) {
    steps.insert(steps.begin() + Any(steps.size() + 1, random), usual[random() % usual.size()]);
    return;
  }
  const std::ptrdiff_t at = Any(steps.size(), random);
  const std::ptrdiff_t other = Any(steps.size(), random);
  if (what < 10) {
    ChangeOctet(steps[static_cast<size_t>(at)], random);
  } else if (what == 10) {
    std::swap(steps[static_cast<size_t>(at)], steps[static_cast<size_t>(other)]);
  } else if (what == 11) {
    const std::vector<Step> run(steps.begin() + std::min(at, other), steps.begin() + std::max(at, other));
    steps.insert(steps.begin() + Any(steps.size() + 1, random), run.begin(), run.end());
  } else if (what == 12) {
    steps.erase(steps.begin() + std::min(at, other), steps.begin() + std::max(at, other));
  } else if (what == 13) {
    steps.erase(steps.begin() + at);
  } else if (what == 14) {
    steps.insert(steps.begin() + at, steps[static_cast<size_t>(other)]);
  } else {
    Step& step = steps[static_cast<size_t>(at)];
    LLVMFuzzerMutate(step.data(), kStepBytes, kStepBytes);
  }
}

}  // namespace

size_t MutateSteps(uint8_t* data, size_t size, size_t room, unsigned seed, absl::Span<const Step> usual) {
  Random random(seed);
  if (random() % 16 == 0) return LLVMFuzzerMutate(data, size, room);
  std::array<uint8_t, kHeadBytes> head = Steps(data, size).Head();
  std::vector<Step> steps = ToSteps({data, size});
  if (random() % 16 == 0) LLVMFuzzerMutate(head.data(), kHeadBytes, kHeadBytes);
  for (uint32_t edits = 1 + random() % 4; edits > 0; --edits) Change(steps, random, usual);
  return Write(head, steps, data, room);
}

size_t CrossSteps(absl::Span<const uint8_t> a, absl::Span<const uint8_t> b, uint8_t* out, size_t room, unsigned seed) {
  Random random(seed);
  std::vector<Step> steps = ToSteps(a);
  const std::vector<Step> others = ToSteps(b);
  steps.resize(random() % (steps.size() + 1));
  if (!others.empty()) steps.insert(steps.end(), others.begin() + Any(others.size(), random), others.end());
  const bool first = random() % 2 == 0;
  return Write(Steps(first ? a.data() : b.data(), first ? a.size() : b.size()).Head(), steps, out, room);
}

}  // namespace luna::tcp::testing
