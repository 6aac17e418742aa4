#include "luna/net/tcp/state.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace luna::tcp {
namespace {

// RFC 9293 figure 5 written out again: rows from, columns to, in the order of the enum. CLOSED's column is "abort, RST,
// R2, delete TCB"; LISTEN is not a state here.
TEST(State, EveryPairOfTheTransitionTable) {
  const char* kTable[kStates] = {
      // C SS SR ES F1 F2 CW CG LA TW
      ".XX.......",  // CLOSED
      "X.XX......",  // SYN-SENT
      "X..XX.X...",  // SYN-RECEIVED
      "X...X.X...",  // ESTABLISHED
      "X....X.X.X",  // FIN-WAIT-1
      "X........X",  // FIN-WAIT-2
      "X.......X.",  // CLOSE-WAIT
      "X........X",  // CLOSING
      "X.........",  // LAST-ACK
      "X.........",  // TIME-WAIT
  };
  for (size_t from = 0; from < kStates; ++from) {
    for (size_t to = 0; to < kStates; ++to) {
      EXPECT_EQ(IsLegalTransition(static_cast<State>(from), static_cast<State>(to)), kTable[from][to] == 'X')
          << Name(static_cast<State>(from)) << " -> " << Name(static_cast<State>(to));
    }
  }
}

TEST(State, Predicates) {
  const struct {
    State state;
    bool synchronised, send, receive;
  } kCases[] = {
      {State::kClosed, false, false, false},      {State::kSynSent, false, false, false},
      {State::kSynReceived, false, false, false}, {State::kEstablished, true, true, true},
      {State::kFinWait1, true, false, true},      {State::kFinWait2, true, false, true},
      {State::kCloseWait, true, true, false},     {State::kClosing, true, false, false},
      {State::kLastAck, true, false, false},      {State::kTimeWait, true, false, false},
  };
  for (const auto& c : kCases) {
    EXPECT_EQ(IsSynchronised(c.state), c.synchronised) << Name(c.state);
    EXPECT_EQ(CanSend(c.state), c.send) << Name(c.state);
    EXPECT_EQ(CanReceive(c.state), c.receive) << Name(c.state);
  }
}

}  // namespace
}  // namespace luna::tcp
