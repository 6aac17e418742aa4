#ifndef LUNA_NET_TCP_TESTING_PACKETSCRIPT_SCRIPT_H_
#define LUNA_NET_TCP_TESTING_PACKETSCRIPT_SCRIPT_H_

// A packet script as a value: what parser.h makes out of the text, before anything is judged or run.
//
// The language is packetdrill's: options first, then events in the order of the file, each with a time and one of a
// packet, a system call, a shell command in back quotes, or a block of assertions in %{ … }%. README.md describes it.
//
// Plain values, no thread.

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/types/optional.h"

namespace luna::tcp::packetscript {

// When an event is to happen, in microseconds of the script.
struct EventTime {
  enum class Kind : uint8_t {
    kAbsolute,       // 1.5       since the first event
    kRelative,       // +1.5      since the event before
    kAny,            // *         whenever (outbound packets only)
    kAbsoluteRange,  // 1~1.5     not before, not after
    kRelativeRange,  // +1~+1.5
  };
  Kind kind = Kind::kAbsolute;
  int64_t usecs = 0;
  int64_t end_usecs = 0;  // of a range
};

// An argument or a result of a system call: one grammar for all, the system call gives it a meaning.
struct Expression {
  enum class Kind : uint8_t {
    kEllipsis,  // ...                    whatever
    kInteger,   // 17, -1, 0x02           number
    kWord,      // SOCK_STREAM            text
    kString,    // "abc"                  text, escapes resolved; `open` when "abc"...
    kOr,        // A|B                    items
    kAssign,    // name = value           items[0] is a kWord or a kCall, items[1] the value
    kCall,      // htons(80)              text(items)
    kList,      // [a, b]                 items
    kStruct,    // {a, name=b}            items
  };
  Kind kind = Kind::kEllipsis;
  bool open = false;
  int64_t number = 0;
  std::string text;
  std::vector<Expression> items;

  bool IsWord(const char* word) const { return kind == Kind::kWord && text == word; }
};

struct SackBlock {
  uint32_t left = 0;
  uint32_t right = 0;
};

struct TcpOptionSpec {
  enum class Kind : uint8_t { kNop, kEol, kMss, kWindowScale, kSackOk, kSack, kTimestamp, kFastOpen, kRaw };
  Kind kind = Kind::kNop;
  uint32_t value = 0;             // of mss, wscale, TS val
  uint32_t echo = 0;              // TS ecr
  std::vector<SackBlock> blocks;  // of sack
  uint8_t raw_kind = 0;           // of kRaw: an option by its number, `bytes` behind kind and length
  bool experimental = false;      // FOEXP
  std::vector<uint8_t> bytes;     // of FO, md5 and kRaw
};

// A range of sequence numbers, as "1:1001(1000)".
struct SequenceRange {
  uint32_t start = 0;
  uint32_t payload_bytes = 0;
};

struct IcmpSpec {
  std::string type;  // "unreachable"
  std::string code;  // "frag_needed", may be empty
  absl::optional<uint32_t> mtu;
  uint32_t echo_id = 0;
  absl::optional<SequenceRange> echoed;
};

struct PacketSpec {
  enum class EcnCheck : uint8_t { kNone, kExact, kEct01, kTos };
  bool outbound = false;
  EcnCheck ecn_check = EcnCheck::kNone;
  uint8_t tos = 0;                     // the ECN codepoint, or the octet of kTos
  absl::optional<uint8_t> ttl;         //
  absl::optional<int> socket_fd;       // sock(4)
  uint16_t source_port = 0;            // 0: the connection's
  uint16_t destination_port = 0;       //
  absl::optional<IcmpSpec> icmp;       // then nothing below matters
  absl::optional<uint32_t> udp_bytes;  //
  uint16_t flags = 0;                  // wire::TcpFlags
  absl::optional<uint8_t> ace;         // accurate ECN: the three bits together are this number
  SequenceRange sequence;
  uint32_t ack = 0;
  absl::optional<uint16_t> window;  // outbound and absent: not looked at
  uint16_t urgent_pointer = 0;
  bool any_options = false;  // <...>
  std::vector<TcpOptionSpec> options;
};

struct SystemCallSpec {
  bool blocking = false;  // "+0...1.5 read(…)"
  int64_t end_usecs = 0;  // in the sense of the event's time
  std::string name;
  std::vector<Expression> arguments;
  Expression result;
  std::string error;  // "EAGAIN", empty: none expected
};

struct Event {
  enum class Kind : uint8_t { kPacket, kSystemCall, kCommand, kCode };
  Kind kind = Kind::kPacket;
  int line = 0;
  EventTime time;
  PacketSpec packet;
  SystemCallSpec call;
  std::string text;  // of a command or a block of assertions
};

struct Script {
  std::string path;  // as given to the parser, for messages
  // "--mss=1000" is {"mss", "1000"}.
  std::vector<std::pair<std::string, std::string>> options;
  std::vector<Event> events;
};

}  // namespace luna::tcp::packetscript

#endif  // LUNA_NET_TCP_TESTING_PACKETSCRIPT_SCRIPT_H_
