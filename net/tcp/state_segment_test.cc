// Every state × every kind of segment: what is answered, and which state follows. The table is RFC 9293 §3.10.7.3 and
// §3.10.7.4 (with RFC 5961's challenge ACKs) worked out by hand.
//
// In each state RCV.NXT is the peer's next number n, SND.UNA..SND.NXT as Reach() leaves them: in FIN-WAIT-1, CLOSING
// and LAST-ACK our FIN (number 1) is in flight.

#include <string>

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "gtest/gtest.h"
#include "luna/net/tcp/testing/stack_tester.h"

namespace luna::tcp {
namespace {

using testing::Incoming;
using testing::kAck;
using testing::kFin;
using testing::kRst;
using testing::kSyn;
using testing::StackTester;

constexpr State kStatesTested[] = {State::kSynReceived, State::kEstablished, State::kFinWait1, State::kFinWait2,
                                   State::kCloseWait,   State::kClosing,     State::kLastAck};

struct Row {
  const char* name;
  // Made for n = the peer's next number, and una = 1.
  Incoming (*make)(int64_t n, int64_t all);
  // Per state of kStatesTested: "answer>state". The answer is a flag string ("" nothing); n stands for RCV.NXT; the
  // state is omitted when it stays.
  const char* expected[7];
};

Incoming Plain(uint16_t flags, int64_t seq, int64_t ack, const char* payload = "") {
  return {.flags = flags, .seq = seq, .ack = ack, .payload = payload};
}

// Short names of states, as they stand in the table.
std::string Short(State state) {
  constexpr const char* kNames[] = {"CLOSED", "SYNSENT", "SYNRCVD", "ESTAB", "FW1",
                                    "FW2",    "CLOSEW",  "CLOSING", "LAST",  "TIMEW"};
  return kNames[Index(state)];
}

// clang-format off
const Row kRows[] = {
    // What                                                          SYN-RCVD     ESTAB        FIN-WAIT-1   FIN-WAIT-2   CLOSE-WAIT   CLOSING      LAST-ACK
    {"ack of everything",
     [](int64_t n, int64_t all) { return Plain(kAck, n, all); },    {"> ESTAB",   "",          "> FW2",     "",          "",          "> TIMEW",   "> CLOSED"}},
    {"ack again of what was acknowledged",
     [](int64_t n, int64_t) { return Plain(kAck, n, 1); },          {"> ESTAB",   "",          "",          "",          "",          "",          ""}},
    {"ack of what was never sent",
     [](int64_t n, int64_t all) { return Plain(kAck, n, all + 9); },{"R",         "A",         "A",         "A",         "A",         "A",         "A"}},
    {"data in order",
     [](int64_t n, int64_t) { return Plain(kAck, n, 1, "ab"); },    {"A > ESTAB", "A",         "A",         "A",         "",          "",          ""}},
    {"data out of order",
     [](int64_t n, int64_t) { return Plain(kAck, n + 5, 1, "ab"); },{"A > ESTAB", "A",         "A",         "A",         "",          "",          ""}},
    {"data received before",
     [](int64_t n, int64_t) { return Plain(kAck, n - 1, 1, "a"); }, {"A",         "A",         "A",         "A",         "A",         "A",         "A"}},
    {"data beyond the window",
     [](int64_t n, int64_t) { return Plain(kAck, n + 65535, 1, "a"); },{"A",      "A",         "A",         "A",         "A",         "A",         "A"}},
    {"data of another incarnation",
     [](int64_t n, int64_t) { return Plain(kAck, n + 9'000'000, 3'000'000, "a"); },{"R", "A",      "A",         "A",         "A",         "A",         "A"}},
    {"old data, and an ack of what was never sent",
     [](int64_t n, int64_t all) { return Plain(kAck, n - 1, all + 9, "a"); },{"R","A",      "A",         "A",         "A",         "A",         "A"}},
    {"FIN in order",
     [](int64_t n, int64_t) { return Plain(kAck | kFin, n, 1); },   {"A > CLOSEW","A > CLOSEW","A > CLOSING","A > TIMEW","A",         "A",         "A"}},
    {"FIN with ack of everything",
     [](int64_t n, int64_t all) { return Plain(kAck | kFin, n, all); },{"A > CLOSEW","A > CLOSEW","A > TIMEW","A > TIMEW","A",        "> TIMEW",   "> CLOSED"}},
    {"FIN out of order",
     [](int64_t n, int64_t) { return Plain(kAck | kFin, n + 5, 1); },{"A > ESTAB","A",         "A",         "A",         "A",         "A",         "A"}},
    {"FIN received before",
     [](int64_t n, int64_t) { return Plain(kAck | kFin, n - 1, 1); },{"A",        "A",         "A",         "A",         "A",         "A",         "A"}},
    {"RST exact",
     [](int64_t n, int64_t) { return Plain(kRst, n, 0); },          {"> CLOSED",  "> CLOSED",  "> CLOSED",  "> CLOSED",  "> CLOSED",  "> CLOSED",  "> CLOSED"}},
    {"RST exact with data",
     [](int64_t n, int64_t) { return Plain(kRst | kAck, n, 1, "oops"); },{"> CLOSED","> CLOSED","> CLOSED", "> CLOSED",  "> CLOSED",  "> CLOSED",  "> CLOSED"}},
    {"RST in the window",
     [](int64_t n, int64_t) { return Plain(kRst, n + 1, 0); },      {"A",         "A",         "A",         "A",         "A",         "A",         "A"}},
    {"RST before the window",
     [](int64_t n, int64_t) { return Plain(kRst, n - 1, 0); },      {"",          "",          "",          "",          "",          "",          ""}},
    {"RST beyond the window",
     [](int64_t n, int64_t) { return Plain(kRst, n + 2'000'000, 0); }, {"",          "",          "",          "",          "",          "",          ""}},
    {"SYN in the window",
     [](int64_t n, int64_t) { return Plain(kSyn, n + 1, 0); },      {"A",         "A",         "A",         "A",         "A",         "A",         "A"}},
    {"SYN, the first one again",
     [](int64_t, int64_t) { return Plain(kSyn, 0, 0); },            {"SA",        "A",         "A",         "A",         "A",         "A",         "A"}},
    {"SYN-ACK, the first one again",
     [](int64_t, int64_t) { return Plain(kSyn | kAck, 0, 1); },     {"> ESTAB",   "A",         "A",         "A",         "A",         "A",         "A"}},
    {"no ACK flag",
     [](int64_t n, int64_t) { return Plain(0, n, 0, "ab"); },       {"",          "",          "",          "",          "",          "",          ""}},
    {"FIN without ACK flag",
     [](int64_t n, int64_t) { return Plain(kFin, n, 0); },          {"",          "",          "",          "",          "",          "",          ""}},
};
// clang-format on

TEST(StateBySegment, Table) {
  for (const Row& row : kRows) {
    for (size_t i = 0; i < std::size(kStatesTested); ++i) {
      SCOPED_TRACE(std::string(row.name) + " in " + std::string(Name(kStatesTested[i])));
      StackTester t;
      Connection& c = t.Reach(kStatesTested[i]);
      const bool fin_in_flight = kStatesTested[i] == State::kFinWait1 || kStatesTested[i] == State::kClosing ||
                                 kStatesTested[i] == State::kLastAck;
      const bool fin_acknowledged = kStatesTested[i] == State::kFinWait2;
      const int64_t all = fin_in_flight || fin_acknowledged ? 2 : 1;
      Incoming in = row.make(t.peer().next, all);
      // The FIN of FIN-WAIT-2 is acknowledged already: "1" would be an old acknowledgement.
      if (fin_acknowledged && in.ack == 1) in.ack = 2;
      const uint64_t unsent = t.drops(stats::DropReason::kTcpUnacceptableAck);
      t.In(in);
      (void)unsent;
      std::string answers = absl::StrJoin(t.TakeOut(), " ", [](std::string* text, const testing::Emitted& out) {
        const std::string flags = out.ToString();
        text->append(flags.substr(0, flags.find(' ')));
      });
      std::string got = answers;
      if (c.state() != kStatesTested[i]) got += (got.empty() ? "> " : " > ") + Short(c.state());
      EXPECT_EQ(got, row.expected[i]);
      const bool ended = c.state() == State::kClosed || c.state() == State::kTimeWait;
      EXPECT_EQ((t.TakeEvents() & EventBits::kClosed) != 0, ended);
      EXPECT_EQ(t.stack().connections(), ended ? 0u : 1u);
      EXPECT_EQ(t.stack().time_wait(), c.state() == State::kTimeWait ? 1u : 0u);
    }
  }
}

// RFC 9293 §3.10.7.3.
TEST(StateBySegment, SynSent) {
  const struct {
    uint16_t flags;
    int64_t ack;
    const char* expected;
  } kCases[] = {
      {kSyn | kAck, 1, "A 1+0 a1 > ESTAB"},
      {kSyn, 0, "SA 0+0 a1 > SYNRCVD"},
      {kSyn | kAck, 2, "R 2+0"},
      {kSyn | kAck, 0, "R 0+0"},
      {kAck, 1, ""},
      {kAck, 2, "R 2+0"},
      {kFin, 0, ""},
      {kFin | kAck, 1, ""},
      {kFin | kAck, 3, "R 3+0"},
      {0, 0, ""},
      {kRst, 0, ""},
      {kRst | kAck, 1, " > CLOSED"},
      {kRst | kAck, 2, ""},
      {kRst | kSyn | kAck, 1, " > CLOSED"},
      {kRst | kSyn, 0, ""},
      {kSyn | kFin | kAck, 1, "A 1+0 a2 > CLOSEW"},
  };
  for (const auto& c : kCases) {
    StackTester t;
    Connection& connection = t.Reach(State::kSynSent);
    t.In({.flags = c.flags, .seq = 0, .ack = c.ack});
    std::string got = t.Out();
    if (connection.state() != State::kSynSent) got += " > " + Short(connection.state());
    EXPECT_EQ(got, c.expected) << c.flags << " " << c.ack;
  }
}

}  // namespace
}  // namespace luna::tcp
