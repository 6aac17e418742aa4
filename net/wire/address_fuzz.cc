// Address texts: what parses prints, and what is printed parses to the same value. The C library is the oracle for IP
// texts.

#include <arpa/inet.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "luna/net/wire/address.h"
#include "luna/net/wire/testing/fuzz_check.h"

namespace luna::wire {
namespace {

template <typename T>
void CheckRoundTrip(absl::string_view text) {
  const absl::optional<T> value = T::Parse(text);
  if (!value) return;
  FUZZ_CHECK(T::Parse(value->ToString()) == value);
}

void CheckAgainstCLibrary(const std::string& text) {
  if (text.find('\0') != std::string::npos) return;
  uint8_t bytes[16];
  const absl::optional<Ipv4Address> v4 = Ipv4Address::Parse(text);
  FUZZ_CHECK((inet_pton(AF_INET, text.c_str(), bytes) == 1) == v4.has_value());
  if (v4) FUZZ_CHECK(*v4 == Ipv4Address::FromBytes(bytes));
  if (text.find(':') == std::string::npos) return;
  const absl::optional<IpAddress> v6 = IpAddress::Parse(text);
  FUZZ_CHECK((inet_pton(AF_INET6, text.c_str(), bytes) == 1) == v6.has_value());
  if (v6) FUZZ_CHECK(*v6 == IpAddress::FromBytes(bytes));
}

}  // namespace
}  // namespace luna::wire

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace luna::wire;
  const std::string text(reinterpret_cast<const char*>(data), size);
  CheckRoundTrip<MacAddress>(text);
  CheckRoundTrip<Ipv4Address>(text);
  CheckRoundTrip<IpAddress>(text);
  CheckRoundTrip<Ipv4Prefix>(text);
  CheckRoundTrip<Endpoint>(text);
  CheckAgainstCLibrary(text);
  return 0;
}
