#ifndef LUNA_NET_TCP_TESTING_PACKETSCRIPT_CODE_BLOCK_H_
#define LUNA_NET_TCP_TESTING_PACKETSCRIPT_CODE_BLOCK_H_

// The blocks of assertions in packet scripts: %{ assert tcpi_snd_cwnd == 10, tcpi_snd_cwnd }%
//
// They are Python for packetdrill; here, the part of it that scripts use: `assert`, assignments to names, `if` with its
// statement behind the colon, `pass`; `print` and `import` are skipped. Expressions have numbers, strings, names,
// lists and tuples, or and not, comparisons (chains and `in`, too), the operators of numbers, and the functions abs,
// min, max, len, int, float, round and sum. Loops, functions and indented blocks are not there and are said so.
//
// One thread.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace luna::tcp::packetscript {

// A value of the language. Truth values are the numbers 0 and 1.
struct CodeValue {
  enum class Kind : uint8_t { kInteger, kFloat, kString, kList };
  Kind kind = Kind::kInteger;
  int64_t integer = 0;
  double real = 0;
  std::string text;
  std::vector<CodeValue> items;

  static CodeValue Of(int64_t number);
  static CodeValue Of(double number);
  // As the language has it: not 0 and not empty.
  bool IsTrue() const;
  std::string ToString() const;
};

// The names of one script, and what runs its blocks, one after the other.
class CodeScope {
 public:
  void Set(const std::string& name, int64_t value) { names_[name] = CodeValue::Of(value); }

  // Runs `text`. FailedPrecondition "assert …: the names in it and their values" for an assertion that does not hold;
  // InvalidArgument for what is not of the language. `line` of the message counts from the block's first.
  absl::Status Run(absl::string_view text);

 private:
  std::map<std::string, CodeValue> names_;
};

}  // namespace luna::tcp::packetscript

#endif  // LUNA_NET_TCP_TESTING_PACKETSCRIPT_CODE_BLOCK_H_
