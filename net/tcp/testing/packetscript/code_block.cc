#include "luna/net/tcp/testing/packetscript/code_block.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"

namespace luna::tcp::packetscript {
namespace {

using Kind = CodeValue::Kind;

constexpr int kMaxDepth = 40;

bool IsNumber(const CodeValue& v) { return v.kind == Kind::kInteger || v.kind == Kind::kFloat; }
double Real(const CodeValue& v) { return v.kind == Kind::kFloat ? v.real : static_cast<double>(v.integer); }

// -1, 0, 1 as with operator<=>; lists element by element.
int Compare(const CodeValue& a, const CodeValue& b) {
  if (a.kind == Kind::kInteger && b.kind == Kind::kInteger) {
    return a.integer < b.integer ? -1 : a.integer > b.integer ? 1 : 0;
  }
  if (IsNumber(a) && IsNumber(b)) return Real(a) < Real(b) ? -1 : Real(a) > Real(b) ? 1 : 0;
  if (a.kind != b.kind) return a.kind < b.kind ? -1 : 1;
  if (a.kind == Kind::kString) return a.text.compare(b.text);
  for (size_t i = 0; i < a.items.size() && i < b.items.size(); ++i) {
    if (const int order = Compare(a.items[i], b.items[i]); order != 0) return order;
  }
  return a.items.size() < b.items.size() ? -1 : a.items.size() > b.items.size() ? 1 : 0;
}

// Wraps instead of overflowing: scripts compare counters, they do not do large arithmetic.
int64_t Wrap(uint64_t number) { return static_cast<int64_t>(number); }

// Reads and evaluates one statement's text. The first error stays; what is not evaluated (the right side of a false
// `and`) makes none.
class Evaluator {
 public:
  Evaluator(absl::string_view text, const std::map<std::string, CodeValue>& names) : text_(text), names_(names) {}

  const std::string& error() const { return error_; }
  const std::set<std::string>& used() const { return used_; }

  absl::string_view rest() {
    SkipBlanks();
    return text_.substr(at_);
  }
  bool AtEnd() { return rest().empty(); }
  bool Take(absl::string_view symbol) {
    if (!absl::StartsWith(rest(), symbol)) return false;
    at_ += symbol.size();
    return true;
  }
  absl::string_view PeekName() {
    const absl::string_view left = rest();
    size_t end = 0;
    while (end < left.size() && (absl::ascii_isalnum(left[end]) || left[end] == '_')) ++end;
    return left.substr(0, end);
  }
  bool TakeName(absl::string_view name) {
    if (PeekName() != name) return false;
    at_ += name.size();
    return true;
  }

  CodeValue Or() {
    if (++depth_ > kMaxDepth) {
      Fail("nested too deeply");
      at_ = text_.size();
    }
    CodeValue left = And();
    while (TakeName("or")) {
      const bool known = left.IsTrue();
      quiet_ += known ? 1 : 0;
      CodeValue right = And();
      quiet_ -= known ? 1 : 0;
      if (!known) left = std::move(right);
    }
    --depth_;
    return left;
  }

 private:
  CodeValue And();
  CodeValue Not();
  CodeValue Comparison();
  CodeValue Binary(size_t level);
  CodeValue Unary();
  CodeValue Primary();
  CodeValue Number();
  CodeValue String();
  CodeValue Name();
  CodeValue Call(absl::string_view function);
  std::vector<CodeValue> Items(absl::string_view close, bool* comma);
  CodeValue Apply(absl::string_view op, const CodeValue& a, const CodeValue& b);
  CodeValue ApplyToIntegers(absl::string_view op, int64_t a, int64_t b);

  void SkipBlanks() {
    while (at_ < text_.size() && (absl::ascii_isspace(text_[at_]) || text_[at_] == '\\')) ++at_;
  }
  void Fail(absl::string_view message) {
    if (quiet_ == 0 && error_.empty()) error_ = std::string(message);
  }

  absl::string_view text_;
  const std::map<std::string, CodeValue>& names_;
  size_t at_ = 0;
  int quiet_ = 0;
  int depth_ = 0;
  std::string error_;
  std::set<std::string> used_;
};

CodeValue Evaluator::And() {
  CodeValue left = Not();
  while (TakeName("and")) {
    const bool known = !left.IsTrue();
    quiet_ += known ? 1 : 0;
    CodeValue right = Not();
    quiet_ -= known ? 1 : 0;
    if (!known) left = std::move(right);
  }
  return left;
}

CodeValue Evaluator::Not() {
  bool negated = false;
  bool any = false;
  while (TakeName("not")) {
    negated = !negated;
    any = true;
  }
  CodeValue value = Comparison();
  return any ? CodeValue::Of(static_cast<int64_t>(value.IsTrue() != negated)) : value;
}

CodeValue Evaluator::Comparison() {
  CodeValue left = Binary(0);
  bool any = false;
  bool holds = true;
  while (true) {
    bool now = false;
    const bool negated_in = PeekName() == "not";
    if (negated_in || PeekName() == "in") {
      TakeName("not");
      if (!TakeName("in")) Fail("expected in");
      CodeValue list = Binary(0);
      const bool found = std::any_of(list.items.begin(), list.items.end(),
                                     [&left](const CodeValue& item) { return Compare(item, left) == 0; });
      now = found != negated_in;
      left = std::move(list);
    } else {
      absl::string_view op;
      for (const char* candidate : {"==", "!=", "<=", ">=", "<", ">"}) {
        if (op.empty() && Take(candidate)) op = candidate;
      }
      if (op.empty()) break;
      CodeValue right = Binary(0);
      const int order = Compare(left, right);
      now = op == "=="   ? order == 0
            : op == "!=" ? order != 0
            : op == "<=" ? order <= 0
            : op == ">=" ? order >= 0
            : op == "<"  ? order < 0
                         : order > 0;
      left = std::move(right);
    }
    any = true;
    holds = holds && now;
  }
  return any ? CodeValue::Of(static_cast<int64_t>(holds)) : left;
}

// Left-associative operators, the loosest first.
CodeValue Evaluator::Binary(size_t level) {
  static const std::vector<std::vector<absl::string_view>> kLevels = {
      {"|"}, {"^"}, {"&"}, {"<<", ">>"}, {"+", "-"}, {"**", "//", "*", "/", "%"}};
  if (level == kLevels.size()) return Unary();
  CodeValue left = Binary(level + 1);
  while (error_.empty()) {
    absl::string_view op;
    for (const absl::string_view candidate : kLevels[level]) {
      if (op.empty() && Take(candidate)) op = candidate;
    }
    if (op.empty()) break;
    const CodeValue right = Binary(level + 1);
    left = Apply(op, left, right);
  }
  return left;
}

CodeValue Evaluator::Apply(absl::string_view op, const CodeValue& a, const CodeValue& b) {
  // "…" % values is only ever a message.
  if (a.kind == Kind::kString && op == "%") return a;
  if (a.kind == Kind::kString && b.kind == Kind::kString && op == "+") {
    CodeValue joined = a;
    joined.text += b.text;
    return joined;
  }
  if (!IsNumber(a) || !IsNumber(b)) {
    Fail(absl::StrCat("operator ", op, " is for numbers"));
    return {};
  }
  if ((op == "/" || op == "//" || op == "%") && Real(b) == 0) {
    Fail("division by zero");
    return {};
  }
  if (op == "/") return CodeValue::Of(Real(a) / Real(b));
  if (op == "**") return CodeValue::Of(std::pow(Real(a), Real(b)));
  if (a.kind == Kind::kInteger && b.kind == Kind::kInteger) return ApplyToIntegers(op, a.integer, b.integer);
  if (op == "+") return CodeValue::Of(Real(a) + Real(b));
  if (op == "-") return CodeValue::Of(Real(a) - Real(b));
  if (op == "*") return CodeValue::Of(Real(a) * Real(b));
  if (op == "//") return CodeValue::Of(std::floor(Real(a) / Real(b)));
  if (op == "%") return CodeValue::Of(Real(a) - std::floor(Real(a) / Real(b)) * Real(b));
  Fail(absl::StrCat("operator ", op, " is for integers"));
  return {};
}

CodeValue Evaluator::ApplyToIntegers(absl::string_view op, int64_t a, int64_t b) {
  const auto ua = static_cast<uint64_t>(a);
  const auto ub = static_cast<uint64_t>(b);
  if (op == "+") return CodeValue::Of(Wrap(ua + ub));
  if (op == "-") return CodeValue::Of(Wrap(ua - ub));
  if (op == "*") return CodeValue::Of(Wrap(ua * ub));
  if (op == "|") return CodeValue::Of(a | b);
  if (op == "^") return CodeValue::Of(a ^ b);
  if (op == "&") return CodeValue::Of(a & b);
  if (op == "<<" || op == ">>") {
    if (b < 0 || b > 62) Fail("shift out of range");
    return CodeValue::Of(b < 0 || b > 62 ? int64_t{0} : op == "<<" ? Wrap(ua << b) : a >> b);
  }
  if (b == -1) return CodeValue::Of(op == "//" ? Wrap(0 - ua) : int64_t{0});
  // Rounds down, and the remainder has the sign of b.
  const int64_t quotient = a / b - ((a % b != 0 && (a % b < 0) != (b < 0)) ? 1 : 0);
  return CodeValue::Of(op == "//" ? quotient : a - quotient * b);
}

CodeValue Evaluator::Unary() {
  if (++depth_ > kMaxDepth) {
    Fail("nested too deeply");
    at_ = text_.size();
  }
  CodeValue value;
  if (Take("-")) {
    value = Apply("-", CodeValue::Of(int64_t{0}), Unary());
  } else if (Take("+")) {
    value = Unary();
  } else if (Take("~")) {
    value = Apply("-", CodeValue::Of(int64_t{-1}), Unary());
  } else {
    value = Primary();
  }
  --depth_;
  return value;
}

CodeValue Evaluator::Primary() {
  const absl::string_view left = rest();
  if (left.empty()) {
    Fail("a value is missing at the end");
    return {};
  }
  const char c = left[0];
  if (absl::ascii_isdigit(c) || (c == '.' && left.size() > 1 && absl::ascii_isdigit(left[1]))) return Number();
  if (c == '"' || c == '\'') return String();
  if (absl::ascii_isalpha(c) || c == '_') return Name();
  const bool list = c == '[';
  if (list || c == '(') {
    ++at_;
    bool comma = list;
    CodeValue value;
    value.kind = Kind::kList;
    value.items = Items(list ? "]" : ")", &comma);
    if (!comma && value.items.size() == 1) return value.items[0];
    return value;
  }
  Fail(absl::StrCat("\"", left.substr(0, 10), "\" is no value"));
  at_ = text_.size();
  return {};
}

CodeValue Evaluator::Number() {
  const absl::string_view left = rest();
  const bool hexadecimal = absl::StartsWith(left, "0x");
  size_t end = hexadecimal ? 2 : 0;
  bool real = false;
  while (end < left.size() && (absl::ascii_isalnum(left[end]) || left[end] == '.')) {
    real = real || (!hexadecimal && (left[end] == '.' || left[end] == 'e'));
    ++end;
  }
  const absl::string_view digits = left.substr(0, end);
  at_ += end;
  CodeValue value;
  uint64_t integer = 0;
  if (real && absl::SimpleAtod(digits, &value.real)) return CodeValue::Of(value.real);
  if (hexadecimal && absl::SimpleHexAtoi(digits, &integer)) return CodeValue::Of(Wrap(integer));
  if (!real && !hexadecimal && absl::SimpleAtoi(digits, &integer)) return CodeValue::Of(Wrap(integer));
  Fail(absl::StrCat("\"", digits, "\" is no number"));
  return value;
}

CodeValue Evaluator::String() {
  CodeValue value;
  value.kind = Kind::kString;
  const char quote = rest()[0];
  for (++at_; at_ < text_.size() && text_[at_] != quote; ++at_) {
    if (text_[at_] == '\\' && at_ + 1 < text_.size()) ++at_;
    value.text.push_back(text_[at_]);
  }
  if (at_ < text_.size()) {
    ++at_;
  } else {
    Fail("a string is not closed");
  }
  return value;
}

CodeValue Evaluator::Name() {
  const std::string name(PeekName());
  at_ += name.size();
  if (Take("(")) return Call(name);
  if (name == "True" || name == "False" || name == "None") return CodeValue::Of(static_cast<int64_t>(name == "True"));
  const auto found = names_.find(name);
  if (found == names_.end()) {
    Fail(absl::StrCat("the name ", name, " is not known"));
    return {};
  }
  if (quiet_ == 0) used_.insert(name);
  return found->second;
}

std::vector<CodeValue> Evaluator::Items(absl::string_view close, bool* comma) {
  std::vector<CodeValue> items;
  while (!Take(close)) {
    if (AtEnd()) {
      Fail(absl::StrCat("expected ", close));
      break;
    }
    items.push_back(Or());
    if (Take(",")) {
      *comma = true;
    } else if (!absl::StartsWith(rest(), close)) {
      Fail(absl::StrCat("expected ", close));
      break;
    }
  }
  return items;
}

CodeValue Evaluator::Call(absl::string_view function) {
  bool comma = false;
  std::vector<CodeValue> arguments = Items(")", &comma);
  if (arguments.size() == 1 && arguments[0].kind == Kind::kList && function != "len") {
    arguments = std::vector<CodeValue>(arguments[0].items);
  }
  if (function == "str" || function == "hex") {
    CodeValue text;
    text.kind = Kind::kString;
    text.text = arguments.empty() ? "" : arguments[0].ToString();
    return text;
  }
  if (arguments.empty()) {
    Fail(absl::StrCat(function, "() needs arguments"));
    return {};
  }
  const CodeValue& first = arguments[0];
  const auto less = [](const CodeValue& a, const CodeValue& b) { return Compare(a, b) < 0; };
  if (function == "min") return *std::min_element(arguments.begin(), arguments.end(), less);
  if (function == "max") return *std::max_element(arguments.begin(), arguments.end(), less);
  if (function == "sum") {
    CodeValue sum;
    for (const CodeValue& item : arguments) sum = Apply("+", sum, item);
    return sum;
  }
  if (function == "abs") return Real(first) < 0 ? Apply("-", CodeValue::Of(int64_t{0}), first) : first;
  if (function == "len") {
    return CodeValue::Of(static_cast<int64_t>(first.kind == Kind::kList ? first.items.size() : first.text.size()));
  }
  if (function == "float") return CodeValue::Of(Real(first));
  if (function == "int" || function == "round") {
    constexpr double kLimit = 9e18;
    const double real = std::clamp(Real(first), -kLimit, kLimit);
    if (first.kind == Kind::kInteger || std::isnan(real)) return CodeValue::Of(first.integer);
    return CodeValue::Of(static_cast<int64_t>(function == "int" ? real : std::nearbyint(real)));
  }
  Fail(absl::StrCat("the function ", function, " is not known"));
  return {};
}

// Statements end at a semicolon or a line's end outside of brackets and strings; '#' begins a comment.
std::vector<std::string> SplitStatements(absl::string_view text) {
  std::vector<std::string> statements(1);
  int brackets = 0;
  char quote = '\0';
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quote != '\0') {
      statements.back().push_back(c);
      if (c == '\\' && i + 1 < text.size()) {
        statements.back().push_back(text[++i]);
      } else if (c == quote) {
        quote = '\0';
      }
      continue;
    }
    if (c == '#') {
      while (i + 1 < text.size() && text[i + 1] != '\n') ++i;
      continue;
    }
    if (c == '\\' && i + 1 < text.size() && text[i + 1] == '\n') {
      ++i;
      continue;
    }
    if (c == '"' || c == '\'') quote = c;
    brackets += c == '(' || c == '[' ? 1 : c == ')' || c == ']' ? -1 : 0;
    if ((c == '\n' || c == ';') && brackets <= 0) {
      statements.emplace_back();
      brackets = 0;
    } else {
      statements.back().push_back(c);
    }
  }
  return statements;
}

// "tcpi_snd_cwnd = 9, tcpi_rto = 5".
std::string Values(const std::set<std::string>& used, const std::map<std::string, CodeValue>& names) {
  std::vector<std::string> pairs;
  for (const std::string& name : used) pairs.push_back(absl::StrCat(name, " = ", names.at(name).ToString()));
  return absl::StrJoin(pairs, ", ");
}

absl::Status Invalid(absl::string_view statement, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(why, ": ", statement));
}

absl::Status RunAssert(absl::string_view statement, Evaluator& in, const std::map<std::string, CodeValue>& names) {
  const CodeValue value = in.Or();
  if (!in.error().empty()) return Invalid(statement, in.error());
  // Behind the comma is a message that needs no reading.
  if (!in.AtEnd() && !in.Take(",")) return Invalid(statement, absl::StrCat("\"", in.rest(), "\" is not understood"));
  if (value.IsTrue()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(statement, ": ", Values(in.used(), names)));
}

absl::Status RunStatement(absl::string_view statement, std::map<std::string, CodeValue>& names) {
  statement = absl::StripAsciiWhitespace(statement);
  Evaluator in(statement, names);
  if (in.AtEnd() || in.PeekName() == "print" || in.PeekName() == "import" || in.PeekName() == "from" ||
      in.PeekName() == "pass") {
    return absl::OkStatus();
  }
  if (in.TakeName("assert")) return RunAssert(statement, in, names);
  if (in.TakeName("if")) {
    const CodeValue condition = in.Or();
    if (!in.error().empty() || !in.Take(":")) return Invalid(statement, in.error());
    if (in.AtEnd()) return Invalid(statement, "the statement of an if has to stand behind its colon");
    return condition.IsTrue() ? RunStatement(in.rest(), names) : absl::OkStatus();
  }
  for (const char* word : {"for", "while", "def", "class", "try", "with", "else", "elif"}) {
    if (in.PeekName() == word) return Invalid(statement, "such a statement is not known");
  }
  const std::string name(in.PeekName());
  Evaluator assignment(statement, names);
  if (!name.empty() && assignment.TakeName(name) && !absl::StartsWith(assignment.rest(), "==") &&
      assignment.Take("=")) {
    CodeValue value = assignment.Or();
    if (!assignment.error().empty() || !assignment.AtEnd()) return Invalid(statement, assignment.error());
    names[name] = std::move(value);
    return absl::OkStatus();
  }
  in.Or();
  if (!in.error().empty() || !in.AtEnd()) return Invalid(statement, in.error());
  return absl::OkStatus();
}

}  // namespace

CodeValue CodeValue::Of(int64_t number) {
  CodeValue value;
  value.integer = number;
  return value;
}

CodeValue CodeValue::Of(double number) {
  CodeValue value;
  value.kind = Kind::kFloat;
  value.real = number;
  return value;
}

bool CodeValue::IsTrue() const {
  switch (kind) {
    case Kind::kInteger:
      return integer != 0;
    case Kind::kFloat:
      return real != 0;
    case Kind::kString:
      return !text.empty();
    case Kind::kList:
      return !items.empty();
  }
  return false;
}

std::string CodeValue::ToString() const {
  switch (kind) {
    case Kind::kInteger:
      return absl::StrCat(integer);
    case Kind::kFloat:
      return absl::StrCat(real);
    case Kind::kString:
      return text;
    case Kind::kList:
      return absl::StrCat(
          "[",
          absl::StrJoin(items, ", ",
                        [](std::string* out, const CodeValue& item) { absl::StrAppend(out, item.ToString()); }),
          "]");
  }
  return "";
}

absl::Status CodeScope::Run(absl::string_view text) {
  for (const std::string& statement : SplitStatements(text)) {
    if (absl::Status status = RunStatement(statement, names_); !status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace luna::tcp::packetscript
