#include "luna/net/tcp/testing/differential/event.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "luna/net/wire/tcp_header.h"

namespace luna::tcp::differential {
namespace {

using Words = std::vector<std::string>;
using wire::TcpFlags;

constexpr int64_t kMostAdvanceMs = 10'000;

// A number as a sequence number: "-1" is the one before 0.
bool ToSequence(absl::string_view text, uint32_t* out) {
  int64_t value = 0;
  if (!absl::SimpleAtoi(text, &value) || value < INT32_MIN || value > UINT32_MAX) return false;
  *out = static_cast<uint32_t>(value);
  return true;
}

bool ToUint16(absl::string_view text, uint16_t* out) {
  uint32_t value = 0;
  if (!absl::SimpleAtoi(text, &value) || value > UINT16_MAX) return false;
  *out = static_cast<uint16_t>(value);
  return true;
}

bool ReadFlags(absl::string_view letters, uint16_t* flags) {
  constexpr std::pair<char, uint16_t> kLetters[] = {{'F', TcpFlags::kFin}, {'S', TcpFlags::kSyn}, {'R', TcpFlags::kRst},
                                                    {'P', TcpFlags::kPsh}, {'.', TcpFlags::kAck}, {'U', TcpFlags::kUrg},
                                                    {'E', TcpFlags::kEce}, {'W', TcpFlags::kCwr}, {'-', 0}};
  for (const char letter : letters) {
    bool known = false;
    for (const auto& [name, bit] : kLetters) {
      if (letter != name) continue;
      *flags |= bit;
      known = true;
    }
    if (!known) return false;
  }
  return true;
}

// "100" or "100+50": a sequence number, and octets of payload.
bool ReadRange(absl::string_view text, PacketEvent* packet) {
  const std::vector<std::string> parts = absl::StrSplit(text, '+');
  if (parts.size() > 2 || !ToSequence(parts[0], &packet->sequence)) return false;
  return parts.size() == 1 || (absl::SimpleAtoi(parts[1], &packet->payload_bytes) && packet->payload_bytes <= 20000);
}

// "101:201,301:401"
bool ReadSack(absl::string_view text, wire::TcpOptions* options) {
  for (const absl::string_view block : absl::StrSplit(text, ',')) {
    const std::vector<std::string> edges = absl::StrSplit(block, ':');
    if (edges.size() != 2 || options->sack_count == options->sack.size()) return false;
    wire::TcpSackBlock& out = options->sack[options->sack_count++];
    if (!ToSequence(edges[0], &out.left) || !ToSequence(edges[1], &out.right)) return false;
  }
  return true;
}

// Words with no value behind them.
bool ReadSwitch(absl::string_view word, PacketEvent* packet) {
  if (word == "sackOK") {
    packet->options.sack_permitted = true;
  } else if (word == "badsum") {
    packet->bad_checksum = true;
  } else if (word == "nots") {
    packet->has_explicit_timestamp = true;
  } else {
    return false;
  }
  return true;
}

bool ReadField(absl::string_view word, absl::string_view value, PacketEvent* packet) {
  wire::TcpOptions& options = packet->options;
  if (word == "ack") return ToSequence(value, &packet->ack);
  if (word == "win") return ToUint16(value, &packet->window);
  if (word == "urg") return ToUint16(value, &packet->urgent_pointer);
  if (word == "sack") return ReadSack(value, &options);
  if (word == "mss") {
    options.has_mss = true;
    return ToUint16(value, &options.mss);
  }
  if (word == "wscale") {
    uint16_t shift = 0;
    options.has_window_scale = ToUint16(value, &shift);
    options.window_scale = static_cast<uint8_t>(shift);
    return options.has_window_scale;
  }
  if (word == "ts") {
    options.has_timestamp = packet->has_explicit_timestamp = true;
    return ToSequence(value, &options.tsval);
  }
  if (word == "ecr") {
    packet->echoes_last = false;
    return ToSequence(value, &options.tsecr);
  }
  return false;
}

// "< P. 1+100 ack 1 win 1000"
bool ReadPacket(const Words& words, Event* event) {
  PacketEvent packet;
  if (words.size() < 3 || !ReadFlags(words[1], &packet.flags) || !ReadRange(words[2], &packet)) return false;
  for (size_t i = 3; i < words.size(); ++i) {
    if (ReadSwitch(words[i], &packet)) continue;
    if (i + 1 == words.size() || !ReadField(words[i], words[i + 1], &packet)) return false;
    ++i;
  }
  event->packet = std::move(packet);
  return true;
}

bool ReadCall(const Words& words, Event* event) {
  constexpr absl::string_view kNoArgument[] = {"listen", "connect",     "accept", "close", "close-listener",
                                               "error",  "linger-zero", "poll",   "cork",  "uncork"};
  constexpr absl::string_view kNumber[] = {"write", "read", "write-urgent", "read-urgent", "receive-buffer"};
  CallEvent call{.name = words[0]};
  for (const absl::string_view name : kNoArgument) {
    if (call.name == name && words.size() == 1) event->call = call;
  }
  for (const absl::string_view name : kNumber) {
    if (call.name == name && words.size() == 2 && absl::SimpleAtoi(words[1], &call.number)) event->call = call;
  }
  if (call.name == "shutdown" && words.size() == 2) {
    call.word = words[1];
    event->call = call;
  }
  return event->call.has_value();
}

bool ReadEvent(absl::string_view line, EventList* list) {
  const Words words = absl::StrSplit(line, ' ', absl::SkipEmpty());
  Event event;
  event.text = absl::StrJoin(words, " ");
  const bool is_advance = words[0] == "advance" && words.size() == 2 && absl::SimpleAtoi(words[1], &event.advance_ms) &&
                          event.advance_ms > 0 && event.advance_ms <= kMostAdvanceMs;
  if (!is_advance && !(words[0] == "<" ? ReadPacket(words, &event) : ReadCall(words, &event))) return false;
  list->events.push_back(std::move(event));
  return true;
}

// The usual beginnings in one word each: `options` are of the peer's SYN, besides its MSS.
bool ReadOpening(absl::string_view which, absl::string_view options, EventList* list) {
  std::string text = "mss 1460 sackOK wscale 0";
  if (options == "bare") text = "";
  if (options == "plain") text = "mss 1460";
  list->timestamps = options == "ts";
  if (!options.empty() && options != "bare" && options != "plain" && options != "ts") return false;
  if (which == "passive") {
    return ReadEvent("listen", list) && ReadEvent(absl::StrCat("< S 0 ", text), list) &&
           ReadEvent("< . 1 ack 1", list) && ReadEvent("accept", list);
  }
  return ReadEvent("connect", list) && ReadEvent(absl::StrCat("< S. 0 ack 1 ", text), list) && ReadEvent("error", list);
}

bool ReadLine(absl::string_view line, EventList* list) {
  const std::vector<absl::string_view> head = absl::StrSplit(line, absl::MaxSplits(' ', 1));
  const absl::string_view rest = head.size() == 2 ? absl::StripAsciiWhitespace(head[1]) : "";
  if (head[0] == "passive" || head[0] == "active") return ReadOpening(head[0], rest, list);
  if (head[0] == "timestamps") return list->timestamps = true;
  if (head[0] == "isn") return absl::SimpleAtoi(rest, &list->peer_isn);
  if (head[0] == "set") {
    const std::vector<std::string> pair = absl::StrSplit(rest, absl::MaxSplits(' ', 1));
    if (pair.size() == 2) list->settings.emplace_back(pair[0], pair[1]);
    return pair.size() == 2;
  }
  return ReadEvent(line, list);
}

}  // namespace

std::string EventList::ToString() const {
  std::string out = absl::StrCat("list ", name, "\nisn ", peer_isn, "\n");
  if (timestamps) absl::StrAppend(&out, "timestamps\n");
  for (const auto& [key, value] : settings) absl::StrAppend(&out, "set ", key, " ", value, "\n");
  for (const Event& event : events) absl::StrAppend(&out, event.text, "\n");
  return out;
}

absl::StatusOr<std::vector<EventList>> ParseEventLists(absl::string_view text) {
  std::vector<EventList> lists;
  int number = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    line = absl::StripAsciiWhitespace(line.substr(0, line.find('#')));
    if (line.empty()) continue;
    if (absl::ConsumePrefix(&line, "list ")) {
      lists.emplace_back().name = std::string(absl::StripAsciiWhitespace(line));
    } else if (lists.empty() || !ReadLine(line, &lists.back())) {
      return absl::InvalidArgumentError(absl::StrCat("line ", number, " is no event: \"", line, "\""));
    }
  }
  return lists;
}

}  // namespace luna::tcp::differential
