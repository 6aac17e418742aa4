#ifndef LUNA_NET_TCP_TESTING_PACKETSCRIPT_CURSOR_H_
#define LUNA_NET_TCP_TESTING_PACKETSCRIPT_CURSOR_H_

// Cursor: a place in the text of a script, and the small words of the language read from there.
//
// A Take…() function skips blanks and comments, reads what it is named for and moves on; when that is not there, it
// says no and stays. The first Fail() is kept with its line; afterwards the cursor is at the end, so that a parser
// needs to look at ok() only where it loops.
//
// The text must outlive the cursor. Reads never go outside it, whatever it holds. One thread.

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace luna::tcp::packetscript {

class Cursor {
 public:
  explicit Cursor(absl::string_view text) : text_(text) {}

  bool ok() const { return error_.empty(); }
  const std::string& error() const { return error_; }
  int error_line() const { return error_line_; }
  // Of the next word, once blanks are skipped.
  int line();

  // Keeps the first one.
  void Fail(absl::string_view message);
  // Fail("expected <what>, found <what is there>").
  void FailExpected(absl::string_view what);

  // Nothing is left but blanks and comments.
  bool AtEnd();
  // The next character; '\0' at the end.
  char Peek();
  // The text ahead begins with `prefix`.
  bool LooksAt(absl::string_view prefix);
  // Takes `punctuation` ("...", "<", "="), whatever follows it.
  bool Take(absl::string_view punctuation);
  // Like Take(), or Fail().
  bool Expect(absl::string_view punctuation);
  // The word of letters, digits and underscores ahead, without taking it; empty when there is none.
  absl::string_view PeekWord();
  // Takes the word ahead if it is exactly `word`.
  bool TakeWord(absl::string_view word);
  bool TakeAnyWord(std::string* word);
  // Decimal, with a sign, or 0x…; or Fail() when there is none. Out of int64: Fail().
  bool TakeInteger(int64_t* value);
  bool LooksAtInteger();
  // An unsigned decimal or 0x… in [0, max], else Fail(). `what` names it.
  bool ExpectUnsigned(uint64_t max, absl::string_view what, uint64_t* value);
  // Seconds with up to any number of decimals: "1", ".5", "0.25". Microseconds are what is kept.
  bool LooksAtTime();
  bool ExpectTime(int64_t* usecs);
  // A string in quotes, escapes resolved; or Fail().
  bool ExpectString(std::string* value);
  // Everything up to `terminator`, which is taken, too; or Fail(). Backslash protects a character when `escapes`.
  bool TakeUntil(absl::string_view terminator, bool escapes, std::string* value);
  // Everything up to the next blank.
  std::string TakeToBlank();
  // Characters up to a blank, or quotes with all that is in them: the value of an option.
  std::string TakeOptionValue();

 private:
  void SkipBlanks();
  bool SkipComment();
  absl::string_view rest() const { return text_.substr(at_); }

  absl::string_view text_;
  size_t at_ = 0;
  int line_ = 1;
  std::string error_;
  int error_line_ = 0;
};

}  // namespace luna::tcp::packetscript

#endif  // LUNA_NET_TCP_TESTING_PACKETSCRIPT_CURSOR_H_
