// The parser of packet scripts: any text gives a script or one line that says where it is wrong.

#include <cstddef>
#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "luna/net/tcp/testing/packetscript/parser.h"
#include "luna/net/wire/testing/fuzz_check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  const auto script = luna::tcp::packetscript::ParseScript(text, "fuzz");
  if (!script.ok()) {
    FUZZ_CHECK(absl::string_view(script.status().message()).substr(0, 5) == "fuzz:");
    return 0;
  }
  FUZZ_CHECK(!script->events.empty() && script->events.size() <= size);
  int line = 1;
  for (const auto& event : script->events) {
    FUZZ_CHECK(event.line >= line);
    line = event.line;
    FUZZ_CHECK(event.time.usecs >= 0 && event.packet.options.size() <= 40);
  }
  return 0;
}
