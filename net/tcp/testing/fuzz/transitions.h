#ifndef LUNA_NET_TCP_TESTING_FUZZ_TRANSITIONS_H_
#define LUNA_NET_TCP_TESTING_FUZZ_TRANSITIONS_H_

// The transitions of RFC 9293 (figure 5 and §3.10, with RFC 5961, RFC 6191, RFC 1337 and RFC 4987) as a table of
// (state, cause, next state), and a log of those that were seen.
//
// A row is held against what happens while one cause is being dealt with: a segment that ends the handshake and brings
// a FIN goes from SYN-RECEIVED to CLOSE-WAIT at once. Whatever is not in the table is a violation: the process ends.
// Whatever is in the table can happen, and the corpus of stack_fuzz has each of them (transitions_test).
// One thread.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "luna/net/tcp/connection.h"

namespace luna::tcp::testing {

// Of a four-tuple: a connection's, or what there is without one.
enum class TupleState : uint8_t {
  kClosed,
  kListen,
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
inline constexpr size_t kTupleStates = 11;
const char* Name(TupleState state);
// Not for kClosed: whether that is CLOSED or LISTEN the connection does not know.
TupleState FromConnection(State state);

enum class Cause : uint8_t {
  // --- Segments, by their flags and by what they mean to the connection that gets them ---
  kBroken,          // wrong checksum, truncated
  kSyn,             // without ACK
  kSynAckGood,      // in SYN-SENT and SYN-RECEIVED: acknowledges our SYN
  kSynAckOther,     // any other
  kRstGood,         // exactly at RCV.NXT; in SYN-SENT: acknowledges our SYN
  kRstOther,        // any other
  kNoAck,           // no SYN, no RST, no ACK
  kAck,             // ACK, perhaps with data, without FIN
  kAckOfFin,        // the same, acknowledges our FIN
  kFin,             // with FIN
  kFinAckOfFin,     // the same, acknowledges our FIN
  kFill,            // without FIN, fills the hole before one that came earlier
  kFillAckOfFin,    // the same, acknowledges our FIN
  kDataAfterClose,  // data that nobody will read
  // --- Application ---
  kListen,
  kStopListening,
  kConnect,
  kSend,
  kRead,
  kShutdownWrite,
  kShutdownRead,
  kClose,      // with nothing unread
  kCloseHard,  // with unread octets, or no time to linger
  kAbort,
  kSetOptions,
  // --- Else ---
  kTimer,     // NextEvent()
  kIcmpHard,  // protocol or port unreachable, prohibited
  kIcmpSoft,
  kFlush,
  kReap,
};
inline constexpr size_t kCauses = 30;
const char* Name(Cause cause);

bool IsLegal(TupleState from, Cause cause, TupleState to);

class TransitionLog {
 public:
  // CHECK fails, with `detail`, when there is no such transition.
  void Note(TupleState from, Cause cause, TupleState to, absl::FunctionRef<std::string()> detail);
  size_t seen() const;
  // How many rows the table has.
  static size_t all();
  // Rows of the table that were not seen: "ESTABLISHED --FIN--> CLOSE-WAIT".
  std::vector<std::string> Missing() const;
  // "212 of 215 transitions; missing: …".
  std::string Summary() const;

  static constexpr size_t kCells = kTupleStates * kCauses * kTupleStates;
  static constexpr size_t Cell(TupleState from, Cause cause, TupleState to) {
    return (static_cast<size_t>(from) * kCauses + static_cast<size_t>(cause)) * kTupleStates + static_cast<size_t>(to);
  }
  // kCells octets, of which each row that is seen sets its own: libFuzzer's extra counters. Null: none.
  void set_counters(uint8_t* counters) { counters_ = counters; }

 private:
  std::array<bool, kCells> seen_{};
  uint8_t* counters_ = nullptr;
};

}  // namespace luna::tcp::testing

#endif  // LUNA_NET_TCP_TESTING_FUZZ_TRANSITIONS_H_
