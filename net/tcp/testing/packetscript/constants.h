#ifndef LUNA_NET_TCP_TESTING_PACKETSCRIPT_CONSTANTS_H_
#define LUNA_NET_TCP_TESTING_PACKETSCRIPT_CONSTANTS_H_

// Names of system headers in scripts, and their numbers on this system. Pure functions; any thread.

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "luna/net/tcp/testing/packetscript/script.h"

namespace luna::tcp::packetscript {

// "SOCK_STREAM" or "EAGAIN". NotFound for an unknown name.
absl::StatusOr<int64_t> ConstantByName(absl::string_view name);
// "EAGAIN", or the number in digits.
std::string ErrnoName(int error);

// The number that an expression stands for: a number, a name, several with | between, htons(n), inet_addr("a.b.c.d").
// InvalidArgument for others.
absl::StatusOr<int64_t> IntegerOf(const Expression& expression);

}  // namespace luna::tcp::packetscript

#endif  // LUNA_NET_TCP_TESTING_PACKETSCRIPT_CONSTANTS_H_
