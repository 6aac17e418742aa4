// The printer walks through every parser: any frame gives one line.

#include <cstddef>
#include <cstdint>
#include <string>

#include "luna/net/wire/frame_printer.h"
#include "luna/net/wire/testing/fuzz_check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text = luna::wire::PrintFrame({data, size});
  FUZZ_CHECK(!text.empty() && text.find('\n') == std::string::npos);
  return 0;
}
