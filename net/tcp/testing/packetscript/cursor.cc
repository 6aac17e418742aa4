#include "luna/net/tcp/testing/packetscript/cursor.h"

#include <limits>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace luna::tcp::packetscript {
namespace {

bool IsWordCharacter(char c) { return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_'; }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// The value of a hexadecimal digit, or -1.
int HexDigit(char c) {
  if (IsDigit(c)) return c - '0';
  const char lower = absl::ascii_tolower(static_cast<unsigned char>(c));
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

}  // namespace

void Cursor::Fail(absl::string_view message) {
  if (!error_.empty()) return;
  error_ = std::string(message);
  error_line_ = line_;
  at_ = text_.size();
}

void Cursor::FailExpected(absl::string_view what) {
  SkipBlanks();
  absl::string_view found = rest().substr(0, rest().find('\n'));
  constexpr size_t kShown = 30;
  if (found.size() > kShown) found = found.substr(0, kShown);
  Fail(absl::StrCat("expected ", what, ", found ", at_ == text_.size() ? "the end" : absl::StrCat("\"", found, "\"")));
}

int Cursor::line() {
  SkipBlanks();
  return line_;
}

// Comments are "// …" to the end of the line, "/* … */", and "# …" behind a blank.
bool Cursor::SkipComment() {
  const absl::string_view left = rest();
  if (left.substr(0, 2) == "//" || (left[0] == '#' && (at_ == 0 || absl::ascii_isspace(text_[at_ - 1])))) {
    while (at_ < text_.size() && text_[at_] != '\n') ++at_;
    return true;
  }
  if (left.substr(0, 2) != "/*") return false;
  const size_t end = left.find("*/", 2);
  if (end == absl::string_view::npos) {
    Fail("a comment is not closed");
    return false;
  }
  for (size_t i = 0; i < end + 2; ++i, ++at_) line_ += text_[at_] == '\n' ? 1 : 0;
  return true;
}

void Cursor::SkipBlanks() {
  while (at_ < text_.size()) {
    const char c = text_[at_];
    if (c == '\n') ++line_;
    if (absl::ascii_isspace(static_cast<unsigned char>(c))) {
      ++at_;
    } else if ((c != '/' && c != '#') || !SkipComment()) {
      return;
    }
  }
}

bool Cursor::AtEnd() {
  SkipBlanks();
  return at_ == text_.size();
}

char Cursor::Peek() { return AtEnd() ? '\0' : text_[at_]; }

bool Cursor::LooksAt(absl::string_view prefix) {
  SkipBlanks();
  return rest().substr(0, prefix.size()) == prefix;
}

bool Cursor::Take(absl::string_view punctuation) {
  if (!LooksAt(punctuation)) return false;
  at_ += punctuation.size();
  return true;
}

bool Cursor::Expect(absl::string_view punctuation) {
  if (Take(punctuation)) return true;
  FailExpected(absl::StrCat("'", punctuation, "'"));
  return false;
}

absl::string_view Cursor::PeekWord() {
  SkipBlanks();
  size_t end = at_;
  while (end < text_.size() && IsWordCharacter(text_[end])) ++end;
  return text_.substr(at_, end - at_);
}

bool Cursor::TakeWord(absl::string_view word) {
  if (PeekWord() != word) return false;
  at_ += word.size();
  return true;
}

bool Cursor::TakeAnyWord(std::string* word) {
  *word = std::string(PeekWord());
  at_ += word->size();
  return !word->empty();
}

bool Cursor::LooksAtInteger() {
  const char c = Peek();
  return IsDigit(c) || (c == '-' && at_ + 1 < text_.size() && IsDigit(text_[at_ + 1]));
}

bool Cursor::TakeInteger(int64_t* value) {
  *value = 0;
  if (!LooksAtInteger()) {
    FailExpected("a number");
    return false;
  }
  const bool negative = text_[at_] == '-';
  if (negative) ++at_;
  int base = 10;
  if (LooksAt("0x") || LooksAt("0X")) {
    base = 16;
    at_ += 2;
  }
  for (; at_ < text_.size(); ++at_) {
    const int digit = HexDigit(text_[at_]);
    if (digit < 0 || digit >= base) break;
    if (*value > (std::numeric_limits<int64_t>::max() - digit) / base) {
      Fail("a number is too large");
      return false;
    }
    *value = *value * base + digit;
  }
  if (negative) *value = -*value;
  return true;
}

bool Cursor::ExpectUnsigned(uint64_t max, absl::string_view what, uint64_t* value) {
  *value = 0;
  int64_t number = 0;
  if (!LooksAtInteger()) {
    FailExpected(what);
    return false;
  }
  if (!TakeInteger(&number)) return false;
  if (number < 0 || static_cast<uint64_t>(number) > max) {
    Fail(absl::StrCat(what, " is out of range: ", number));
    return false;
  }
  *value = static_cast<uint64_t>(number);
  return true;
}

bool Cursor::LooksAtTime() {
  const char c = Peek();
  return IsDigit(c) || (c == '.' && at_ + 1 < text_.size() && IsDigit(text_[at_ + 1]));
}

bool Cursor::ExpectTime(int64_t* usecs) {
  constexpr int64_t kMaxSeconds = 10'000'000;
  *usecs = 0;
  if (!LooksAtTime()) {
    FailExpected("a time");
    return false;
  }
  int64_t seconds = 0;
  for (; at_ < text_.size() && IsDigit(text_[at_]); ++at_) {
    seconds = seconds * 10 + (text_[at_] - '0');
    if (seconds > kMaxSeconds) {
      Fail("a time is too large");
      return false;
    }
  }
  int64_t fraction = 0;
  // "0...1" is the time 0 and an ellipsis.
  if (at_ + 1 < text_.size() && text_[at_] == '.' && IsDigit(text_[at_ + 1])) {
    ++at_;
    for (int64_t unit = 100'000; at_ < text_.size() && IsDigit(text_[at_]); ++at_, unit /= 10) {
      fraction += (text_[at_] - '0') * unit;
    }
  }
  *usecs = seconds * 1'000'000 + fraction;
  return true;
}

bool Cursor::TakeUntil(absl::string_view terminator, bool escapes, std::string* value) {
  value->clear();
  while (at_ < text_.size()) {
    if (rest().substr(0, terminator.size()) == terminator) {
      at_ += terminator.size();
      return true;
    }
    if (escapes && text_[at_] == '\\' && at_ + 1 < text_.size()) value->push_back(text_[at_++]);
    if (text_[at_] == '\n') ++line_;
    value->push_back(text_[at_++]);
  }
  Fail(absl::StrCat("expected ", terminator, ", found the end"));
  return false;
}

bool Cursor::ExpectString(std::string* value) {
  std::string raw;
  value->clear();
  if (!Expect("\"") || !TakeUntil("\"", /*escapes=*/true, &raw)) return false;
  for (size_t i = 0; i < raw.size(); ++i) {
    if (raw[i] != '\\') {
      value->push_back(raw[i]);
      continue;
    }
    if (++i >= raw.size()) break;
    switch (raw[i]) {
      case 'n':
        value->push_back('\n');
        break;
      case 't':
        value->push_back('\t');
        break;
      case 'r':
        value->push_back('\r');
        break;
      case '0':
        value->push_back('\0');
        break;
      case 'x':
        if (i + 2 < raw.size() && HexDigit(raw[i + 1]) >= 0 && HexDigit(raw[i + 2]) >= 0) {
          value->push_back(static_cast<char>(HexDigit(raw[i + 1]) * 16 + HexDigit(raw[i + 2])));
          i += 2;
        }
        break;
      default:
        value->push_back(raw[i]);
        break;
    }
  }
  return true;
}

std::string Cursor::TakeToBlank() {
  SkipBlanks();
  std::string value;
  while (at_ < text_.size() && !absl::ascii_isspace(static_cast<unsigned char>(text_[at_]))) {
    value.push_back(text_[at_++]);
  }
  return value;
}

std::string Cursor::TakeOptionValue() {
  std::string value;
  while (at_ < text_.size() && !absl::ascii_isspace(static_cast<unsigned char>(text_[at_]))) {
    const char c = text_[at_++];
    if (c != '"' && c != '`') {
      value.push_back(c);
      continue;
    }
    std::string quoted;
    if (!TakeUntil(absl::string_view(&c, 1), /*escapes=*/true, &quoted)) return value;
    absl::StrAppend(&value, absl::string_view(&c, 1), quoted, absl::string_view(&c, 1));
  }
  return value;
}

}  // namespace luna::tcp::packetscript
