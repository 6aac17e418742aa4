#include "luna/net/tcp/testing/packetscript/runner.h"

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"
#include "luna/net/tcp/testing/packetscript/parser.h"

namespace luna::tcp::packetscript {
namespace {

RunReport RunText(absl::string_view text, const RunOptions& options = {}) {
  const absl::StatusOr<Script> script = ParseScript(text, "t.pkt");
  if (script.ok()) return RunScript(*script, options);
  RunReport report;
  report.status = script.status();
  return report;
}

// A connection that a peer opened: descriptor 4. Then `more`.
std::string Server(absl::string_view more) {
  return absl::StrCat(
      "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n"
      "+0 bind(3, ..., ...) = 0\n"
      "+0 listen(3, 1) = 0\n"
      "+.1 < S 0:0(0) win 20000 <mss 1000,nop,wscale 7>\n"
      "+0 > S. 0:0(0) ack 1 <mss 1460,nop,wscale 8>\n"
      "+.1 < . 1:1(0) ack 1 win 500\n"
      "+0 accept(3, ..., ...) = 4\n",
      more);
}

// The message, "" for a script that passes.
std::string Failure(absl::string_view more) { return std::string(RunText(Server(more)).status.message()); }

void ExpectPasses(absl::string_view text) {
  const RunReport report = RunText(text);
  EXPECT_TRUE(report.status.ok()) << report.status;
}

TEST(RunnerTest, AServerAndItsData) {
  const RunReport report =
      RunText(Server("+0 write(4, ..., 3000) = 3000\n"
                     "+0 > P. 1:3001(3000) ack 1\n"
                     "+.05 < . 1:1(0) ack 3001 win 500\n"
                     "+0 < P. 1:11(10) ack 3001 win 500\n"
                     "+0 read(4, ..., 100) = 10\n"));
  EXPECT_TRUE(report.status.ok()) << report.status;
  ASSERT_FALSE(report.trace.empty());
  EXPECT_EQ(report.trace[0], " 0.000000 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3");
  EXPECT_EQ(report.trace[3], " 0.100000 < S 0:0(0) win 20000 <mss 1000,nop,wscale 7>");
}

TEST(RunnerTest, AClientWithTimestamps) {
  ExpectPasses(
      "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n"
      "+0...0.1 connect(3, ..., ...) = 0\n"
      "+0 > S 5:5(0) <mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 8>\n"
      "+.1 < S. 70:70(0) ack 6 win 20000 <mss 1000,sackOK,TS val 9000 ecr 100,nop,wscale 0>\n"
      "+0 > . 1:1(0) ack 1 <nop,nop,TS val 200 ecr 9000>\n"
      "+.1 write(3, ..., 10) = 10\n"
      "+0 > P. 1:11(10) ack 1 <nop,nop,TS val 300 ecr 9000>\n"
      "+.1 < . 1:1(0) ack 11 win 20000 <nop,nop,TS val 9200 ecr 300>\n");
}

TEST(RunnerTest, EveryFieldOfAPacketIsCompared) {
  struct {
    const char* expected;
    const char* error;
  } const cases[] = {
      {"> . 1:1001(1000) ack 1", "t.pkt:9: the flag PSH is set; "},
      {"> P. 2:1002(1000) ack 1", "t.pkt:9: the sequence number is 1, expected 2; "},
      {"> P. 1:1001(1000) ack 2", "t.pkt:9: the acknowledgement number is 1, expected 2; "},
      {"> P. 1:1001(1000) ack 1 win 1", "t.pkt:9: the window is "},
      {"> P. 1:1001(1000) ack 1 urg 1", "t.pkt:9: the urgent pointer is 0, expected 1; "},
      {"> P. 1:501(500) ack 1", "t.pkt:9: the payload's size is 1000, expected 500; "},
      {"> P. 1:1001(1000) ack 1 <nop,nop,TS val 1 ecr 1>", "t.pkt:9: the TCP options differ in number; "},
      {"> FP. 1:1001(1000) ack 1", "t.pkt:9: the flag FIN is not set; "},
      {"> PU. 1:1001(1000) ack 1", "t.pkt:9: the flag URG is not set; "},
      {"> PE. 1:1001(1000) ack 1", "t.pkt:9: the flag ECE is not set; "},
      {"> [ce] P. 1:1001(1000) ack 1", "t.pkt:9: the ECN codepoint is 0, expected 3; "},
      {"> (ttl 9) P. 1:1001(1000) ack 1", "t.pkt:9: the TTL is 64, expected 9; "},
      {"> P. 1:1001(1000) ack 1", ""},
      {"> (ttl 64) P. 1:1001(1000) ack 1 <...>", ""},
      {"> [noecn] P. 1:1001(1000) ack 1", ""},
  };
  for (const auto& c : cases) {
    const std::string error = Failure(absl::StrCat("+0 write(4, ..., 1000) = 1000\n+0 ", c.expected));
    EXPECT_EQ(error.substr(0, std::string(c.error).size()), c.error) << c.expected << ": " << error;
    EXPECT_EQ(error.empty(), std::string(c.error).empty()) << c.expected << ": " << error;
  }
}

TEST(RunnerTest, OptionsHaveAnOrder) {
  const auto syn_ack = [](absl::string_view options) {
    return RunText(absl::StrCat(
                       "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0 bind(3, ..., ...) = 0\n+0 listen(3, 1) = 0\n"
                       "+.1 < S 0:0(0) win 20000 <mss 1000,nop,wscale 7>\n+0 > S. 0:0(0) ack 1 <",
                       options, ">\n"))
        .status.ok();
  };
  EXPECT_TRUE(syn_ack("mss 1460,nop,wscale 8"));
  EXPECT_TRUE(syn_ack("..."));
  EXPECT_FALSE(syn_ack("mss 1460,wscale 8,nop"));
  EXPECT_FALSE(syn_ack("mss 1461,nop,wscale 8"));
  EXPECT_FALSE(syn_ack("mss 1460,nop,wscale 7"));
  EXPECT_FALSE(syn_ack("mss 1460"));
}

TEST(RunnerTest, PiecesAreGluedUnlessStrict) {
  const std::string script = Server("+0 write(4, ..., 3000) = 3000\n+0 > P. 1:3001(3000) ack 1\n");
  ExpectPasses(script);
  EXPECT_FALSE(RunText(absl::StrCat("--strict_segments\n", script)).status.ok());
  ExpectPasses(
      absl::StrCat("--strict_segments\n", Server("+0 write(4, ..., 2000) = 2000\n"
                                                 "+0 > . 1:1001(1000) ack 1\n+0 > P. 1001:2001(1000) ack 1\n")));
  // More than the script says.
  EXPECT_EQ(Failure("+0 write(4, ..., 3000) = 3000\n+0 > P. 1:1001(1000) ack 1\n").substr(0, 42),
            "t.pkt:9: the flag PSH is not set; expected");
}

TEST(RunnerTest, TimesAreChecked) {
  // The retransmission comes 400 ms after a first one that took an RTT of 100 ms.
  const std::string sent = "+0 write(4, ..., 10) = 10\n+0 > P. 1:11(10) ack 1\n";
  EXPECT_EQ(Failure(sent + "+.3~+.5 > P. 1:11(10) ack 1\n"), "");
  EXPECT_EQ(Failure(sent + "* > P. 1:11(10) ack 1\n"), "");
  EXPECT_TRUE(absl::StrContains(Failure(sent + "+.05 > P. 1:11(10) ack 1\n"), "expected at 0.250000 s"));
  EXPECT_TRUE(absl::StrContains(Failure(sent + "+2 > P. 1:11(10) ack 1\n"), "expected at 2.200000 s"));
  // A tolerance of the script's own.
  EXPECT_TRUE(RunText("--tolerance_usecs=900000\n" + Server(sent + "+.5 > P. 1:11(10) ack 1\n")).status.ok());
  EXPECT_TRUE(absl::StrContains(Failure("+0 > . 1:1(0) ack 1\n"), "no packet came, expected > . 1:1(0) ack 1"));
}

TEST(RunnerTest, TimestampValuesAreCheckedWhenAsked) {
  const auto with_tick = [](absl::string_view tick, int value) {
    return RunText(absl::StrCat(tick,
                                "\n0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0 bind(3, ..., ...) = 0\n"
                                "+0 listen(3, 1) = 0\n"
                                "+0 < S 0:0(0) win 20000 <mss 1000,sackOK,TS val 100 ecr 0>\n"
                                "+0 > S. 0:0(0) ack 1 <mss 1460,sackOK,TS val 50 ecr 100>\n"
                                "+.1 < . 1:1(0) ack 1 win 20000 <nop,nop,TS val 200 ecr 50>\n"
                                "+0 accept(3, ..., ...) = 4\n"
                                "+1 write(4, ..., 10) = 10\n+0 > P. 1:11(10) ack 1 <nop,nop,TS val ",
                                value, " ecr 200>\n"))
        .status.ok();
  };
  EXPECT_TRUE(with_tick("--tcp_ts_tick_usecs=1000", 1150));
  EXPECT_FALSE(with_tick("--tcp_ts_tick_usecs=1000", 1250));
  EXPECT_TRUE(with_tick("--mss=1000", 1250));
}

TEST(RunnerTest, EchoedTimestampsMustHaveBeenSent) {
  const std::string script =
      "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0 bind(3, ..., ...) = 0\n+0 listen(3, 1) = 0\n"
      "+0 < S 0:0(0) win 20000 <mss 1000,sackOK,TS val 100 ecr 0>\n"
      "+0 > S. 0:0(0) ack 1 <mss 1460,sackOK,TS val 50 ecr 100>\n"
      "+.1 < . 1:1(0) ack 1 win 20000 <nop,nop,TS val 200 ecr 60>\n";
  EXPECT_EQ(RunText(script).status.message(), "t.pkt:6: no packet was sent with TS val 60");
  ExpectPasses(absl::StrCat("--tcp_ts_ecr_scaled\n", script));
}

TEST(RunnerTest, ResultsOfCallsAreCompared) {
  EXPECT_EQ(Failure("+0 write(4, ..., 10) = 9\n"), "t.pkt:8: write() gave 10, expected 9");
  EXPECT_EQ(Failure("+0 write(4, NULL, 10) = 10\n"), "t.pkt:8: write() gave -1 EFAULT, expected 10");
  EXPECT_EQ(Failure("+0 write(4, ..., 10) = -1 EPIPE\n"), "t.pkt:8: write() gave 10, expected -1 EPIPE");
  EXPECT_EQ(Failure("+0 read(4, ..., 10) = 10\n"), "t.pkt:8: read() would block, expected an answer at once");
  EXPECT_EQ(Failure("+0 read(9, ..., 10) = -1 EBADF (Bad file descriptor)\n"), "");
  EXPECT_EQ(Failure("+0 frobnicate(4) = 0\n"), "t.pkt:8: no system call is called frobnicate");
  EXPECT_EQ(Failure("+0 getsockopt(4, SOL_TCP, TCP_NODELAY, [1], [4]) = 0\n"),
            "t.pkt:8: the option is [0], expected [1]");
  EXPECT_EQ(Failure("+0 setsockopt(4, SOL_TCP, TCP_BOGUS, [1], 4) = 0\n"),
            "t.pkt:8: setsockopt(): the name TCP_BOGUS is not known");
  EXPECT_EQ(Failure("+0 poll([{fd=4, events=POLLOUT, revents=POLLIN}], 1, 0) = 1\n"),
            "t.pkt:8: revents of descriptor 0 is 4, expected 1");
  EXPECT_EQ(Failure("+0 write(4, \"abc\", 3) = 3\n+0 > P. 1:4(3) ack 1\n").substr(0, 37),
            "t.pkt:9: the payload has other octets");
}

TEST(RunnerTest, BlockedCallsEndInTime) {
  EXPECT_EQ(Failure("+0...0.3 read(4, ..., 10) = 10\n+.3 < P. 1:11(10) ack 1 win 500\n"), "");
  EXPECT_EQ(Failure("+0...0.3 read(4, ..., 10) = 10\n+.3 < P. 1:11(10) ack 1 win 500\n+.2 close(4) = 0\n"), "");
  EXPECT_EQ(Failure("+0...0.1 read(4, ..., 10) = 10\n+.3 < P. 1:11(10) ack 1 win 500\n+.2 close(4) = 0\n"),
            "t.pkt:8: the call ends at 0.500000 s, expected at 0.300000 s");
  EXPECT_EQ(Failure("+0...0.1 read(4, ..., 10) = 10\n"), "t.pkt:8: the call does not end");
  EXPECT_EQ(Failure("+0...0.1 read(4, ..., 10) = 5\n+.1 < P. 1:11(10) ack 1 win 500\n+.2 close(4) = 0\n"),
            "t.pkt:8: read() gave 10, expected 5");
}

TEST(RunnerTest, AssertionsSeeTheSocket) {
  EXPECT_EQ(Failure("+0 %{ assert tcpi_snd_cwnd == 10, tcpi_snd_cwnd }%\n"), "");
  EXPECT_EQ(Failure("+0 %{ assert tcpi_snd_mss == 999 }%\n"),
            "t.pkt:8: assert tcpi_snd_mss == 999: tcpi_snd_mss = 1000");
  EXPECT_EQ(Failure("+0 close(4) = 0\n+0 %{ assert 1 }%\n"), "t.pkt:9: there is no TCP_INFO: EBADF");
}

TEST(RunnerTest, UnaskedPacketsAreRemarkedUpon) {
  const RunReport report = RunText(Server("+0 write(4, ..., 10) = 10\n"));
  EXPECT_TRUE(report.status.ok());
  ASSERT_EQ(report.unexpected.size(), 1u);
  EXPECT_EQ(report.unexpected[0].substr(0, 32), " 0.200000 > P. 1:11(10) ack 1 wi");
  RunOptions strict;
  strict.strict_end = true;
  EXPECT_FALSE(RunText(Server("+0 write(4, ..., 10) = 10\n"), strict).status.ok());
  EXPECT_TRUE(RunText(Server(""), strict).status.ok());
}

TEST(RunnerTest, CommandsAreReadAsSettings) {
  const RunReport report = RunText(absl::StrCat(
      "`./defaults.sh\nsysctl -q net.ipv4.tcp_window_scaling=0; sysctl -q net.ipv4.bogus=1; tc qdisc show`\n"
      "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0 bind(3, ..., ...) = 0\n+0 listen(3, 1) = 0\n"
      "+.1 < S 0:0(0) win 20000 <mss 1000,nop,wscale 7>\n+0 > S. 0:0(0) ack 1 <mss 1460>\n"));
  EXPECT_TRUE(report.status.ok()) << report.status;
  ASSERT_EQ(report.skipped.size(), 2u);
  EXPECT_EQ(report.skipped[0].substr(0, 17), "net.ipv4.bogus=1:");
  EXPECT_EQ(report.skipped[1], "tc qdisc show");
}

TEST(RunnerTest, OptionsOfTheScript) {
  ExpectPasses(
      "--mtu=1000\n--local_ip=10.0.0.1\n--remote_ip=10.0.0.2/24\n--connect_port=99\n"
      "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n"
      "+0 fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0\n"
      "+0 connect(3, ..., ...) = -1 EINPROGRESS (Operation now in progress)\n"
      "+0 > S 0:0(0) <mss 960,sackOK,TS val 100 ecr 0,nop,wscale 8>\n");
  EXPECT_EQ(RunText("--ip_version=ipv6\n0 close(3) = -1 EBADF").status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_EQ(RunText("--mtu=x\n0 close(3) = -1 EBADF").status.message(), "t.pkt: --mtu cannot be \"x\"");
  EXPECT_EQ(RunText("--mtu=60\n0 close(3) = -1 EBADF").status.code(), absl::StatusCode::kInvalidArgument);
}

TEST(RunnerTest, PacketsWithoutAConnection) {
  // Nobody listens: a reset answers.
  ExpectPasses("0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0 < S 0:0(0) win 5\n+0 > R. 0:0(0) ack 1\n");
  EXPECT_EQ(RunText("0 > S 0:0(0)\n").status.message(), "t.pkt:1: the packet belongs to no connection");
}

TEST(RunnerTest, TheSameEachTime) {
  const std::string script = Server("+0 write(4, ..., 30000) = 30000\n+0 > P. 1:30001(30000) ack 1\n");
  EXPECT_EQ(RunText(script).trace, RunText(script).trace);
}

}  // namespace
}  // namespace luna::tcp::packetscript
