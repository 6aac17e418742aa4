#include "luna/net/tcp/testing/simulator/connection_checker.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace luna::tcp::simulator {
namespace {

// States from which `to` can be come to by any number of steps, as a bit set for each `from`.
std::array<uint16_t, kStates> Reachable() {
  std::array<uint16_t, kStates> reach = kSuccessors;
  for (size_t step = 0; step < kStates; ++step) {
    for (size_t from = 0; from < kStates; ++from) {
      for (size_t to = 0; to < kStates; ++to) {
        if ((reach[from] >> to & 1) != 0 && to != Index(State::kClosed)) reach[from] |= reach[to];
      }
    }
  }
  return reach;
}

}  // namespace

void ConnectionChecker::Check(Stack& stack, bool all) {
  ++rounds_;
  const size_t count = stack.connections();
  if (!all && rounds_ < next_look_) return;
  next_look_ = rounds_ + std::max<size_t>(1, count / kFew);
  uint64_t held = 0;
  stack.ForEachConnection([&](Connection& connection) {
    CheckOne(stack, connection);
    held += connection.receiver().held_bytes() + connection.sender().queued_bytes();
  });
  if (held != stack.held_bytes()) {
    report_(absl::StrCat("the stack says that ", stack.held_bytes(), " octets are held, its connections hold ", held));
  }
  const uint64_t limit = stack.config().memory_limit_bytes;
  // One chain or segment may overshoot it, for each connection at once at worst.
  if (limit != 0 && held > limit + uint64_t{64} * 1024 * (1 + count)) {
    report_(absl::StrCat(held, " octets are held of at most ", limit));
  }
  if (seen_.size() > 2 * count + 64) seen_.clear();
}

void ConnectionChecker::CheckOne(Stack& stack, Connection& connection) {
  Seen& seen = seen_[&connection];
  const Sender& sender = connection.sender();
  const Receiver& receiver = connection.receiver();
  // Another connection in the same place.
  if (seen.looks > 0 && seen.iss != sender.iss()) seen = Seen();
  if (seen.looks > 0) {
    CheckState(connection, seen);
    CheckSender(connection, seen);
    if (seen.synchronised) CheckReceiver(stack, connection, seen);
  }
  ++seen.looks;
  seen.iss = sender.iss();
  seen.una = sender.una();
  seen.nxt = sender.nxt();
  seen.synchronised = IsSynchronised(connection.state());
  seen.rcv_nxt = receiver.nxt();
  seen.edge = receiver.edge();
  seen.state = connection.state();
  seen.pipe = sender.pipe();
  seen.round = rounds_;
}

void ConnectionChecker::CheckState(const Connection& connection, const Seen& before) {
  static const std::array<uint16_t, kStates> kReachable = Reachable();
  const State state = connection.state();
  if (state == before.state) return;
  ++transitions_[Index(before.state)][Index(state)];
  if ((kReachable[Index(before.state)] & Bit(state)) == 0) {
    Fail(connection, "a state that cannot follow", static_cast<int64_t>(state), static_cast<int64_t>(before.state));
  }
}

void ConnectionChecker::CheckSender(const Connection& connection, const Seen& before) {
  const Sender& sender = connection.sender();
  const Scoreboard& board = sender.board();
  if (sender.una() < before.una) Fail(connection, "SND.UNA moved left by", before.una - sender.una(), 0);
  if (sender.una() > sender.nxt()) Fail(connection, "SND.UNA beyond SND.NXT by", sender.una() - sender.nxt(), 0);
  if (sender.nxt() > sender.max()) Fail(connection, "SND.NXT beyond SND.MAX by", sender.nxt() - sender.max(), 0);
  // A recount is as long as the board: its turn comes as rarely.
  if (before.looks % (4 + board.size() / 16) == 0 && !board.IsConsistent()) {
    Fail(connection, "the scoreboard miscounts; records:", static_cast<int64_t>(board.size()), 0);
  }
  if (!board.empty() && (board.front().seq != sender.una() || board.back().end() != sender.nxt())) {
    Fail(connection, "the scoreboard is not what is in flight: begins", board.front().seq - sender.una(), 0);
  }
  if (sender.pipe() > sender.flight())
    Fail(connection, "pipe beyond what is in flight", sender.pipe(), sender.flight());
  // Between two looks further apart the window may have been larger.
  if (before.round + 1 != rounds_) return;
  // Limited transmit's two segments (RFC 3042) and a tail probe (RFC 8985 §7.3) are beside the window.
  const uint64_t probed = before.pipe + uint64_t{sender.mss()};
  const uint64_t allowed = std::max(sender.congestion().window() + 3 * uint64_t{sender.mss()}, probed);
  if (sender.nxt() > before.nxt && sender.pipe() > before.pipe && sender.pipe() > allowed) {
    Fail(connection, "sent beyond the congestion window", sender.pipe(), static_cast<int64_t>(allowed));
  }
}

void ConnectionChecker::CheckReceiver(const Stack& stack, const Connection& connection, const Seen& before) {
  const Receiver& receiver = connection.receiver();
  if (receiver.nxt() < before.rcv_nxt) Fail(connection, "RCV.NXT moved left by", before.rcv_nxt - receiver.nxt(), 0);
  if (receiver.edge() < before.edge) Fail(connection, "the right edge moved left by", before.edge - receiver.edge(), 0);
  const uint32_t bound = std::max(stack.config().receive_buffer_max_bytes, connection.options().receive_buffer_bytes);
  if (receiver.held_bytes() > bound) Fail(connection, "received and held", receiver.held_bytes(), bound);
}

void ConnectionChecker::Fail(const Connection& connection, const char* what, int64_t value, int64_t limit) {
  report_(absl::StrCat(connection.ToString(), ": ", what, " ", value, " (limit ", limit, ")"));
}

}  // namespace luna::tcp::simulator
