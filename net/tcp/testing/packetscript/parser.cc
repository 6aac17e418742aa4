#include "luna/net/tcp/testing/packetscript/parser.h"

#include <fstream>
#include <iterator>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "luna/net/tcp/testing/packetscript/cursor.h"
#include "luna/net/tcp/testing/packetscript/expression_parser.h"

namespace luna::tcp::packetscript {
namespace {

// "--name", "--name=value" and "--name value" of `define`.
void ParseOptions(Cursor& in, Script* script, Defines* defines) {
  while (in.ok() && in.Take("--")) {
    std::string name;
    if (!in.TakeAnyWord(&name)) return in.FailExpected("the name of an option");
    std::string value;
    if (in.Take("=")) value = in.TakeOptionValue();
    if (name == "define") {
      const size_t equals = value.find('=');
      if (equals == std::string::npos) return in.Fail("--define=NAME=value");
      (*defines)[value.substr(0, equals)] = value.substr(equals + 1);
    }
    if (value.size() >= 2 && value.front() == '"' && value.back() == '"') value = value.substr(1, value.size() - 2);
    script->options.emplace_back(std::move(name), std::move(value));
  }
}

void ParseTime(Cursor& in, EventTime* time) {
  if (in.Take("*")) {
    time->kind = EventTime::Kind::kAny;
    return;
  }
  const bool relative = in.Take("+");
  time->kind = relative ? EventTime::Kind::kRelative : EventTime::Kind::kAbsolute;
  if (!in.ExpectTime(&time->usecs)) return;
  if (!in.Take("~")) return;
  time->kind = relative ? EventTime::Kind::kRelativeRange : EventTime::Kind::kAbsoluteRange;
  in.Take("+");
  in.ExpectTime(&time->end_usecs);
  if (time->end_usecs < time->usecs) in.Fail("the range of time is backwards");
}

// A word that --define made a command.
bool TakeDefinedCommand(Cursor& in, const Defines& defines, std::string* text) {
  const auto defined = defines.find(std::string(in.PeekWord()));
  if (defined == defines.end() || defined->second.empty() || defined->second[0] != '`') return false;
  std::string word;
  in.TakeAnyWord(&word);
  *text = defined->second.substr(1, defined->second.size() - 2);
  return true;
}

void ParseAction(Cursor& in, const Defines& defines, Event* event) {
  if (in.Take("`")) {
    event->kind = Event::Kind::kCommand;
    in.TakeUntil("`", /*escapes=*/true, &event->text);
  } else if (TakeDefinedCommand(in, defines, &event->text)) {
    event->kind = Event::Kind::kCommand;
  } else if (in.Take("%{")) {
    event->kind = Event::Kind::kCode;
    in.TakeUntil("}%", /*escapes=*/false, &event->text);
  } else if (in.Take("<")) {
    event->packet = ParsePacket(in, /*outbound=*/false);
  } else if (in.Take(">")) {
    event->packet = ParsePacket(in, /*outbound=*/true);
  } else {
    event->kind = Event::Kind::kSystemCall;
    int64_t end_usecs = 0;
    const bool blocking = in.Take("...");
    if (blocking) in.ExpectTime(&end_usecs);
    event->call = ParseSystemCall(in, defines);
    event->call.blocking = blocking;
    event->call.end_usecs = end_usecs;
    if (blocking && end_usecs < event->time.usecs) in.Fail("the system call ends before it begins");
  }
}

Event ParseEvent(Cursor& in, const Defines& defines) {
  Event event;
  event.line = in.line();
  // A command before the first event or behind the last one has no time.
  if (in.LooksAt("`") || in.LooksAt("%{")) {
    event.time.kind = EventTime::Kind::kRelative;
  } else {
    ParseTime(in, &event.time);
  }
  if (in.ok()) ParseAction(in, defines, &event);
  const bool outbound = event.kind == Event::Kind::kPacket && event.packet.outbound;
  const bool point = event.time.kind == EventTime::Kind::kAbsolute || event.time.kind == EventTime::Kind::kRelative;
  if (!outbound && !point) in.Fail("only outbound packets can have such a time");
  // "{mut ip ihl}": what a mutating build of packetdrill would do to the packet.
  std::string ignored;
  if (event.kind == Event::Kind::kPacket && in.Take("{")) in.TakeUntil("}", /*escapes=*/false, &ignored);
  return event;
}

}  // namespace

absl::StatusOr<Script> ParseScript(absl::string_view text, absl::string_view path) {
  Script script;
  script.path = std::string(path);
  Cursor in(text);
  Defines defines;
  ParseOptions(in, &script, &defines);
  while (in.ok() && !in.AtEnd()) script.events.push_back(ParseEvent(in, defines));
  if (in.ok() && script.events.empty()) in.Fail("there is no event");
  if (!in.ok()) return absl::InvalidArgumentError(absl::StrCat(path, ":", in.error_line(), ": ", in.error()));
  return script;
}

absl::StatusOr<Script> LoadScript(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return absl::NotFoundError(absl::StrCat(path, ": cannot be read"));
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  return ParseScript(text, path);
}

}  // namespace luna::tcp::packetscript
