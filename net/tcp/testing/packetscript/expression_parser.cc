#include "luna/net/tcp/testing/packetscript/expression_parser.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace luna::tcp::packetscript {
namespace {

using Kind = Expression::Kind;

// Deeper than any sensible argument.
constexpr int kMaxDepth = 12;

std::vector<Expression> ParseItems(Cursor& in, const Defines& defines, absl::string_view close, int depth) {
  std::vector<Expression> items;
  if (in.Take(close)) return items;
  do {
    items.push_back(ParseExpression(in, defines, depth));
  } while (in.ok() && in.Take(","));
  in.Expect(close);
  return items;
}

// A word that --define gave a value.
Expression Defined(const std::string& value) {
  Expression result;
  const bool quoted = value.size() >= 2 && (value[0] == '"' || value[0] == '`');
  result.kind = quoted ? Kind::kString : Kind::kWord;
  result.text = quoted ? value.substr(1, value.size() - 2) : value;
  return result;
}

Expression ParseString(Cursor& in) {
  Expression result;
  result.kind = Kind::kString;
  while (in.ok() && in.LooksAt("\"")) {
    std::string piece;
    in.ExpectString(&piece);
    result.text += piece;
  }
  result.open = in.Take("...");
  return result;
}

Expression ParseWord(Cursor& in, const Defines& defines, int depth) {
  Expression result;
  result.kind = Kind::kWord;
  in.TakeAnyWord(&result.text);
  if (const auto defined = defines.find(result.text); defined != defines.end()) return Defined(defined->second);
  if (in.Take("(")) {
    result.kind = Kind::kCall;
    result.items = ParseItems(in, defines, ")", depth - 1);
  }
  if (!in.ok() || !in.Take("=")) return result;
  Expression assignment;
  assignment.kind = Kind::kAssign;
  assignment.items.push_back(std::move(result));
  assignment.items.push_back(ParseExpression(in, defines, depth - 1));
  return assignment;
}

Expression ParseTerm(Cursor& in, const Defines& defines, int depth) {
  Expression result;
  if (in.Take("...")) return result;
  if (in.LooksAtInteger()) {
    result.kind = Kind::kInteger;
    in.TakeInteger(&result.number);
  } else if (in.LooksAt("\"")) {
    result = ParseString(in);
  } else if (in.Take("[")) {
    result.kind = Kind::kList;
    result.items = ParseItems(in, defines, "]", depth - 1);
  } else if (in.Take("{")) {
    result.kind = Kind::kStruct;
    result.items = ParseItems(in, defines, "}", depth - 1);
  } else if (!in.PeekWord().empty()) {
    result = ParseWord(in, defines, depth);
  } else {
    in.FailExpected("an argument");
  }
  return result;
}

// "(Resource temporarily unavailable)"
void SkipNote(Cursor& in) {
  std::string note;
  if (in.Take("(")) in.TakeUntil(")", /*escapes=*/false, &note);
}

}  // namespace

Expression ParseExpression(Cursor& in, const Defines& defines, int depth) {
  if (depth <= 0) {
    in.Fail("arguments are nested too deeply");
    return {};
  }
  Expression first = ParseTerm(in, defines, depth);
  if (!in.ok() || !in.LooksAt("|")) return first;
  Expression result;
  result.kind = Kind::kOr;
  result.items.push_back(std::move(first));
  while (in.ok() && in.Take("|")) result.items.push_back(ParseTerm(in, defines, depth));
  return result;
}

SystemCallSpec ParseSystemCall(Cursor& in, const Defines& defines) {
  SystemCallSpec call;
  if (!in.TakeAnyWord(&call.name)) in.FailExpected("a packet, a system call, a command or a block of code");
  if (!in.Expect("(")) return call;
  call.arguments = ParseItems(in, defines, ")", kMaxDepth);
  if (!in.Expect("=")) return call;
  call.result = ParseExpression(in, defines, kMaxDepth);
  const absl::string_view error = in.PeekWord();
  if (!error.empty() && !absl::ascii_isdigit(static_cast<unsigned char>(error[0]))) in.TakeAnyWord(&call.error);
  SkipNote(in);
  return call;
}

}  // namespace luna::tcp::packetscript
