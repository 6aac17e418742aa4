#include "luna/sched/clock/time_format.h"

#include <cstdint>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace luna {
namespace {

// The magnitude as unsigned, so that the most negative value has one.
uint64_t Magnitude(int64_t ns) { return ns < 0 ? uint64_t{0} - static_cast<uint64_t>(ns) : static_cast<uint64_t>(ns); }

// `value` in units of 10^digits, exact, without trailing zeros.
std::string Decimal(uint64_t value, int digits) {
  uint64_t unit = 1;
  for (int i = 0; i < digits; ++i) unit *= 10;
  std::string text = absl::StrCat(value / unit);
  uint64_t fraction = value % unit;
  if (fraction == 0) return text;
  std::string decimals = absl::StrFormat("%0*d", digits, fraction);
  decimals.erase(decimals.find_last_not_of('0') + 1);
  return absl::StrCat(text, ".", decimals);
}

}  // namespace

std::string ToString(Duration d) {
  if (d == Duration::Infinite()) return "infinite";
  const uint64_t ns = Magnitude(d.nanoseconds());
  const char* sign = d < Duration::Zero() ? "-" : "";
  if (ns < 1'000) return absl::StrCat(sign, ns, "ns");
  if (ns < 1'000'000) return absl::StrCat(sign, Decimal(ns, 3), "us");
  if (ns < 1'000'000'000) return absl::StrCat(sign, Decimal(ns, 6), "ms");
  return absl::StrCat(sign, Decimal(ns, 9), "s");
}

std::string ToString(Time t) {
  if (t.is_infinite()) return "infinite";
  const uint64_t ns = Magnitude(t.nanoseconds());
  return absl::StrFormat("%s%d.%09d", t.nanoseconds() < 0 ? "-" : "", ns / 1'000'000'000, ns % 1'000'000'000);
}

std::ostream& operator<<(std::ostream& out, Duration d) { return out << ToString(d); }
std::ostream& operator<<(std::ostream& out, Time t) { return out << ToString(t); }

}  // namespace luna
