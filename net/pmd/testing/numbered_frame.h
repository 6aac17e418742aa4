#ifndef LUNA_NET_PMD_TESTING_NUMBERED_FRAME_H_
#define LUNA_NET_PMD_TESTING_NUMBERED_FRAME_H_

// Frames that say their number, to see what a wire did to each. Pure functions: any thread.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "absl/types/span.h"
#include "glog/logging.h"

namespace luna::pmd {

// The number in the first four bytes (the machine's order), 0x55 after them. Pre: size_bytes >= 4.
inline std::vector<uint8_t> NumberedFrame(uint32_t number, size_t size_bytes = 60) {
  CHECK_GE(size_bytes, sizeof(number));
  std::vector<uint8_t> frame(size_bytes, 0x55);
  std::memcpy(frame.data(), &number, sizeof(number));
  return frame;
}

// The number of such a frame, whatever became of the bytes after it. Pre: at least four bytes.
inline uint32_t FrameNumber(absl::Span<const uint8_t> frame) {
  uint32_t number = 0;
  CHECK_GE(frame.size(), sizeof(number));
  std::memcpy(&number, frame.data(), sizeof(number));
  return number;
}

}  // namespace luna::pmd

#endif  // LUNA_NET_PMD_TESTING_NUMBERED_FRAME_H_
