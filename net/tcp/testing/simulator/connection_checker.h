#ifndef LUNA_NET_TCP_TESTING_SIMULATOR_CONNECTION_CHECKER_H_
#define LUNA_NET_TCP_TESTING_SIMULATOR_CONNECTION_CHECKER_H_

// ConnectionChecker: looks into the connections of a stack after each round of its thread, and holds them against what
// no connection may be (CONFORMANCE F.1: S3, S4, S5, S6, S11):
//
//   SND.UNA <= SND.NXT <= SND.MAX; SND.UNA, RCV.NXT and the right edge never move left; the scoreboard's accounts are
//   what a recount gives, and lie in what is in flight; new data leaves within the congestion window; what is held
//   keeps to its bounds, and the stack's sum is the sum; states follow each other as RFC 9293 has it.
//
// Few connections are looked at in every round, many each after as many rounds as there are: O(1) amortised.

#include <array>
#include <cstdint>
#include <functional>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "luna/net/tcp/connection.h"
#include "luna/net/tcp/seq.h"
#include "luna/net/tcp/stack.h"
#include "luna/net/tcp/state.h"

namespace luna::tcp::simulator {

class ConnectionChecker {
 public:
  using Report = std::function<void(const std::string&)>;
  explicit ConnectionChecker(Report report) : report_(std::move(report)) {}

  // After a round. `all`: at once, whoever's turn it is.
  void Check(Stack& stack, bool all);
  // The host has lost its memory.
  void Forget() { seen_.clear(); }

  // Times that each state was seen to follow each other one, between two looks.
  using Transitions = std::array<std::array<uint64_t, kStates>, kStates>;
  const Transitions& transitions() const { return transitions_; }

 private:
  // What a look has found.
  struct Seen {
    SeqNum iss;
    SeqNum una, nxt;
    bool synchronised = false;
    SeqNum rcv_nxt, edge;
    State state = State::kClosed;
    uint32_t pipe = 0;
    uint64_t looks = 0;
    uint64_t round = 0;
  };
  static constexpr size_t kFew = 2;

  void CheckOne(Stack& stack, Connection& connection);
  void CheckSender(const Connection& connection, const Seen& before);
  void CheckReceiver(const Stack& stack, const Connection& connection, const Seen& before);
  void CheckState(const Connection& connection, const Seen& before);
  void Fail(const Connection& connection, const char* what, int64_t value, int64_t limit);

  Report report_;
  absl::flat_hash_map<const Connection*, Seen> seen_;
  Transitions transitions_{};
  uint64_t rounds_ = 0;
  uint64_t next_look_ = 0;
};

}  // namespace luna::tcp::simulator

#endif  // LUNA_NET_TCP_TESTING_SIMULATOR_CONNECTION_CHECKER_H_
