#ifndef LUNA_NET_TCP_TESTING_DIFFERENTIAL_EVENT_H_
#define LUNA_NET_TCP_TESTING_DIFFERENTIAL_EVENT_H_

// What happens to a host, one thing after another: packets that come in, calls of its application, time that passes.
// The same list is run against Luna and against the kernel (runner.h); README.md describes the text that lists are
// written in. Plain values; any thread.

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "luna/net/wire/tcp_options.h"

namespace luna::tcp::differential {

// A segment from the peer. Sequence numbers count from the SYN of the side that they belong to, which is 0.
struct PacketEvent {
  uint16_t flags = 0;  // wire::TcpFlags
  uint32_t sequence = 0;
  uint32_t payload_bytes = 0;
  uint32_t ack = 0;
  uint16_t window = 65535;
  uint16_t urgent_pointer = 0;
  wire::TcpOptions options;
  bool echoes_last = true;  // the TS echo is the last TSval that the host sent, not options.tsecr
  bool bad_checksum = false;
  bool has_explicit_timestamp = false;  // "ts" or "nots": not the list's own
};

// "write 100": a call of the application, on the one socket that it has.
struct CallEvent {
  std::string name;
  std::string word;  // "rd" of shutdown
  int64_t number = 0;
};

struct Event {
  std::string text;  // as written
  absl::optional<PacketEvent> packet;
  absl::optional<CallEvent> call;
  int64_t advance_ms = 0;  // when it is neither of the above
};

struct EventList {
  std::string name;
  bool timestamps = false;  // packets have a TS option of their own accord
  uint32_t peer_isn = 0x10000000;
  std::vector<std::pair<std::string, std::string>> settings;  // sysctls of both hosts
  std::vector<Event> events;

  std::string ToString() const;
};

// Lists of a file: each begins with "list NAME". InvalidArgument names the line.
absl::StatusOr<std::vector<EventList>> ParseEventLists(absl::string_view text);

// Octet `offset` of what the peer sends, and of what the application writes.
constexpr char PeerOctet(uint32_t offset) { return static_cast<char>('A' + offset % 53); }
constexpr char HostOctet(uint32_t offset) { return static_cast<char>('a' + offset % 61); }

}  // namespace luna::tcp::differential

#endif  // LUNA_NET_TCP_TESTING_DIFFERENTIAL_EVENT_H_
