#include "luna/net/tcp/testing/packetscript/code_block.h"

#include <string>

#include "absl/status/status.h"
#include "gtest/gtest.h"

namespace luna::tcp::packetscript {
namespace {

CodeScope Scope() {
  CodeScope scope;
  scope.Set("tcpi_snd_cwnd", 10);
  scope.Set("tcpi_rto", 204000);
  scope.Set("tcpi_ca_state", 3);
  scope.Set("TCP_CA_Recovery", 3);
  scope.Set("zero", 0);
  return scope;
}

TEST(CodeBlockTest, WhatHolds) {
  for (const char* text : {
           "assert tcpi_snd_cwnd == 10, tcpi_snd_cwnd",
           " assert tcpi_snd_cwnd == 10, tcpi_snd_cwnd; assert tcpi_rto > 200000, 'rto %d' % tcpi_rto ",
           "\nassert tcpi_ca_state == TCP_CA_Recovery, tcpi_ca_state\nassert (tcpi_snd_cwnd <= 10)\n",
           "assert tcpi_snd_cwnd == 10 and \\\n  tcpi_rto != 5",
           "assert (tcpi_snd_cwnd == 10 and\n tcpi_rto != 5), \"no; #way\"  # a comment; assert 0",
           "assert 9 < tcpi_snd_cwnd <= 10",
           "assert not zero",
           "assert not not tcpi_snd_cwnd",
           "assert zero == 0 or unknown_name",
           "assert not (zero and unknown_name)",
           "assert tcpi_snd_cwnd in (9, 10)",
           "assert tcpi_snd_cwnd not in [9, 11]",
           "assert abs(5 - tcpi_snd_cwnd) == 5 and max(1, 2) == 2 and min([4, 3]) == 3 and len([1, 2]) == 2",
           "assert 2 + 3 * 4 - 6 // 4 == 13",
           "assert -7 // 2 == -4 and -7 % 3 == 2 and 7 / 2 == 3.5 and 2 ** 3 == 8",
           "assert (tcpi_snd_cwnd & 2) | 1 == 3 and 1 << 4 == 0x10 and 5 ^ 1 == 4 and ~0 == -1",
           "assert 1e3 == 1000 and .5 < 1 and round(2.6) == 3 and int(2.6) == 2 and float(1) == 1",
           "assert (1, 2) < (1, 3) and 'a' + 'b' == \"ab\" and sum([1, 2]) == 3",
           "x = tcpi_snd_cwnd * 2; assert x == 20",
           "import sys; print(tcpi_snd_cwnd); pass; tcpi_snd_cwnd",
           "if tcpi_snd_cwnd > 5: assert zero == 0",
           "if zero: assert 0",
           "assert True; assert not False; assert None == 0",
           "",
           " \n ; \n",
       }) {
    CodeScope scope = Scope();
    EXPECT_TRUE(scope.Run(text).ok()) << text << ": " << scope.Run(text);
  }
}

TEST(CodeBlockTest, WhatDoesNotHoldNamesItsValues) {
  CodeScope scope = Scope();
  const absl::Status status = scope.Run("assert zero == 0; assert tcpi_snd_cwnd == 9 and tcpi_rto == 1, 'message'");
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(status.message(), "assert tcpi_snd_cwnd == 9 and tcpi_rto == 1, 'message': tcpi_snd_cwnd = 10");
  for (const char* text : {"assert 0", "assert 1 == 2", "assert 1 < 1", "assert 2 <= 1", "assert 1 >= 2",
                           "assert 1 > 1", "assert 1 != 1", "assert not 1", "assert 1 < 2 < 2", "assert 3 in (1, 2)",
                           "assert ''", "assert []", "assert 0.0", "assert 1 and 0", "assert 0 or 0"}) {
    EXPECT_EQ(scope.Run(text).code(), absl::StatusCode::kFailedPrecondition) << text;
  }
}

TEST(CodeBlockTest, WhatIsNotOfTheLanguage) {
  for (const char* text : {"assert unknown_name == 1", "assert 1 ==", "assert (1", "assert 1 1", "for x in y: pass",
                           "assert 1 / zero", "assert 1 % 0", "assert 'a' * 2 == 4", "if 1:", "assert foo(1)",
                           "assert 1 << 99", "x = ", "assert 12ab", "assert 'open", "assert min()", "assert $"}) {
    CodeScope scope = Scope();
    EXPECT_EQ(scope.Run(text).code(), absl::StatusCode::kInvalidArgument) << text;
  }
  CodeScope scope = Scope();
  EXPECT_EQ(scope.Run("assert nobody == 1").message(), "the name nobody is not known: assert nobody == 1");
  EXPECT_EQ(scope.Run(std::string(1000, '(')).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(scope.Run(std::string(1000, '-')).code(), absl::StatusCode::kInvalidArgument);
}

TEST(CodeBlockTest, NamesStayForLaterBlocks) {
  CodeScope scope = Scope();
  EXPECT_TRUE(scope.Run("before = tcpi_snd_cwnd").ok());
  scope.Set("tcpi_snd_cwnd", 11);
  EXPECT_TRUE(scope.Run("assert tcpi_snd_cwnd == before + 1").ok());
}

}  // namespace
}  // namespace luna::tcp::packetscript
