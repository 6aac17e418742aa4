// Fuzzes Slab against SlabModel: five bytes of input make one step.

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "luna/mem/zbuf/slab_model.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  luna::zbuf::SlabModel model(data[0] % 3);
  for (size_t at = 1; at + 5 <= size; at += 5) {
    uint32_t which;
    std::memcpy(&which, data + at + 1, sizeof(which));
    model.Step(data[at], which);
  }
  model.CheckAll();
  return 0;
}
