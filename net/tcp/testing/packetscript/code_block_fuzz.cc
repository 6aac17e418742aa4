// The blocks of assertions: any text ends in a status.

#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "luna/net/tcp/testing/packetscript/code_block.h"
#include "luna/net/wire/testing/fuzz_check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  luna::tcp::packetscript::CodeScope scope;
  scope.Set("tcpi_snd_cwnd", 10);
  scope.Set("a", -1);
  const absl::Status status = scope.Run(absl::string_view(reinterpret_cast<const char*>(data), size));
  FUZZ_CHECK(status.ok() || !status.message().empty());
  return 0;
}
