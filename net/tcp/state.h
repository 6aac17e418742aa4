#ifndef LUNA_NET_TCP_STATE_H_
#define LUNA_NET_TCP_STATE_H_

// The connection states of RFC 9293 §3.3.2 and the legal transitions between them (figure 5, plus aborts and
// time-outs). LISTEN is not in the list: a Listener is a type of its own, and a connection that it makes begins in
// SYN-RECEIVED. TIME-WAIT is in the list for the transition table only: there a connection becomes a TimeWait record.

#include <array>
#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"

namespace luna::tcp {

enum class State : uint8_t {
  kClosed,
  kSynSent,
  kSynReceived,
  kEstablished,
  kFinWait1,
  kFinWait2,
  kCloseWait,
  kClosing,
  kLastAck,
  kTimeWait,
};
inline constexpr size_t kStates = 10;

constexpr size_t Index(State state) { return static_cast<size_t>(state); }

constexpr absl::string_view Name(State state) {
  constexpr absl::string_view kNames[kStates] = {"CLOSED",     "SYN-SENT",   "SYN-RECEIVED", "ESTABLISHED",
                                                 "FIN-WAIT-1", "FIN-WAIT-2", "CLOSE-WAIT",   "CLOSING",
                                                 "LAST-ACK",   "TIME-WAIT"};
  return kNames[Index(state)];
}

constexpr uint16_t Bit(State state) { return static_cast<uint16_t>(1u << Index(state)); }

// Successors of each state, as a bit set. CLOSED is reachable from everywhere (abort, RST, R2).
inline constexpr std::array<uint16_t, kStates> kSuccessors = [] {
  std::array<uint16_t, kStates> next{};
  next[Index(State::kClosed)] = Bit(State::kSynSent) | Bit(State::kSynReceived);
  next[Index(State::kSynSent)] = Bit(State::kSynReceived) | Bit(State::kEstablished);
  next[Index(State::kSynReceived)] = Bit(State::kEstablished) | Bit(State::kFinWait1) | Bit(State::kCloseWait);
  next[Index(State::kEstablished)] = Bit(State::kFinWait1) | Bit(State::kCloseWait);
  next[Index(State::kFinWait1)] = Bit(State::kFinWait2) | Bit(State::kClosing) | Bit(State::kTimeWait);
  next[Index(State::kFinWait2)] = Bit(State::kTimeWait);
  next[Index(State::kCloseWait)] = Bit(State::kLastAck);
  next[Index(State::kClosing)] = Bit(State::kTimeWait);
  for (size_t i = 1; i < kStates; ++i) next[i] |= Bit(State::kClosed);
  return next;
}();

constexpr bool IsLegalTransition(State from, State to) { return (kSuccessors[Index(from)] & Bit(to)) != 0; }

// The peer's SYN has been received and acknowledged sequence numbers make sense (RFC 9293: "synchronized").
constexpr bool IsSynchronised(State state) { return state >= State::kEstablished; }

// The application may still queue data to be sent.
constexpr bool CanSend(State state) { return state == State::kEstablished || state == State::kCloseWait; }

// Data from the peer is still expected.
constexpr bool CanReceive(State state) {
  return state == State::kEstablished || state == State::kFinWait1 || state == State::kFinWait2;
}

static_assert(IsLegalTransition(State::kFinWait1, State::kTimeWait));
static_assert(!IsLegalTransition(State::kTimeWait, State::kEstablished));

}  // namespace luna::tcp

#endif  // LUNA_NET_TCP_STATE_H_
