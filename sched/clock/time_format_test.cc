#include "luna/sched/clock/time_format.h"

#include <cstdint>
#include <limits>
#include <sstream>
#include <string>

#include "gtest/gtest.h"

namespace luna {
namespace {

TEST(DurationToString, Table) {
  const struct {
    int64_t ns;
    std::string text;
  } kCases[] = {
      {0, "0ns"},
      {1, "1ns"},
      {-1, "-1ns"},
      {999, "999ns"},
      {1'000, "1us"},
      {1'500, "1.5us"},
      {1'005, "1.005us"},
      {999'999, "999.999us"},
      {20'000'000, "20ms"},
      {-20'000'000, "-20ms"},
      {1'000'000'000, "1s"},
      {1'000'000'001, "1.000000001s"},
      {3'600'000'000'000, "3600s"},
      {std::numeric_limits<int64_t>::max() - 1, "9223372036.854775806s"},
      {std::numeric_limits<int64_t>::max(), "infinite"},
      {std::numeric_limits<int64_t>::min(), "-9223372036.854775808s"},
  };
  for (const auto& c : kCases) EXPECT_EQ(ToString(Duration::Nanoseconds(c.ns)), c.text);
}

TEST(TimeToString, Table) {
  const struct {
    int64_t ns;
    std::string text;
  } kCases[] = {
      {0, "0.000000000"},
      {345, "0.000000345"},
      {12'000'000'345, "12.000000345"},
      {-1, "-0.000000001"},
      {std::numeric_limits<int64_t>::max(), "infinite"},
      {std::numeric_limits<int64_t>::min(), "-9223372036.854775808"},
  };
  for (const auto& c : kCases) EXPECT_EQ(ToString(Time::FromNanoseconds(c.ns)), c.text);
}

TEST(TimeFormat, Streams) {
  std::ostringstream out;
  out << Duration::Microseconds(3) << ' ' << Time::FromNanoseconds(7);
  EXPECT_EQ(out.str(), "3us 0.000000007");
}

}  // namespace
}  // namespace luna
