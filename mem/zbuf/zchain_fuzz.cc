// Fuzzes ZChain against ZChainModel: five bytes of input make one step.

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "luna/mem/zbuf/zchain_model.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  luna::zbuf::ZChainModel model;
  for (size_t at = 0; at + 5 <= size; at += 5) {
    uint32_t which;
    std::memcpy(&which, data + at + 1, sizeof(which));
    model.Step(data[at], which);
  }
  model.CheckAll();
  return 0;
}
