#ifndef LUNA_NET_TCP_TESTING_PACKETSCRIPT_PARSER_H_
#define LUNA_NET_TCP_TESTING_PACKETSCRIPT_PARSER_H_

// The text of a packet script to a Script. Pure functions; any thread.

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "luna/net/tcp/testing/packetscript/script.h"

namespace luna::tcp::packetscript {

// Errors: InvalidArgument, "path:line: what was expected", for the first thing that is not of the language; so is what
// the language has and this house does not: encapsulation, UDP and ICMP out, MPTCP. Never crashes, whatever the text.
absl::StatusOr<Script> ParseScript(absl::string_view text, absl::string_view path);

// Reads the file first. Errors: also NotFound.
absl::StatusOr<Script> LoadScript(const std::string& path);

}  // namespace luna::tcp::packetscript

#endif  // LUNA_NET_TCP_TESTING_PACKETSCRIPT_PARSER_H_
