#ifndef LUNA_NET_TCP_EVENT_H_
#define LUNA_NET_TCP_EVENT_H_

// What TCP hands up. TCP makes no upcalls: Ingest() and NextEvent() return an Event, and the caller acts on it.
// Thread of the stack's worker. An Event owns nothing: its connection is the stack's and lives until Reap().

#include <cstdint>

namespace luna::tcp {

class Connection;

// Bits of Event::what, in the order in which a caller should act on them.
struct EventBits {
  static constexpr uint32_t kAccepted = 1u << 0;    // a listener's new connection is established
  static constexpr uint32_t kConnected = 1u << 1;   // Connect() succeeded
  static constexpr uint32_t kUrgent = 1u << 2;      // the peer's urgent pointer moved ahead: Connection::urgent_bytes()
  static constexpr uint32_t kReadable = 1u << 3;    // Connection::Read() has octets
  static constexpr uint32_t kPeerClosed = 1u << 4;  // the peer's FIN: no more octets will come after those readable now
  static constexpr uint32_t kWritable = 1u << 5;    // after back-pressure, the send queue has room again
  static constexpr uint32_t kSoftError = 1u << 6;  // the network complains: Connection::soft_error(); nothing has ended
  static constexpr uint32_t kLingered = 1u << 7;   // after Close() with linger: all was acknowledged, or time is up
  static constexpr uint32_t kClosed = 1u << 8;     // the end: close_reason() says which; valid until Reap()
};

struct Event {
  Connection* connection = nullptr;  // null: nothing happened that the application has to know
  uint32_t what = 0;                 // EventBits

  explicit operator bool() const { return connection != nullptr; }
  bool Has(uint32_t bit) const { return (what & bit) != 0; }
};

// Why a connection ended (RFC 9293 MUST-12: tell a normal close from an abort).
enum class CloseReason : uint8_t {
  kNone,
  kNormal,        // both sides sent their FIN
  kAborted,       // Abort(), or Close() with unread data or no time to linger
  kReset,         // the peer's RST
  kRefused,       // RST in answer to our SYN
  kTimedOut,      // R2 or the user timeout: no acknowledgement for too long; soft_error() may know more
  kUnreachable,   // a hard ICMP error during the handshake: soft_error() says which
  kKeepAlive,     // keep-alive probes went unanswered
  kNoFin,         // the application had closed, all was acknowledged, and the peer's FIN did not come (FIN-WAIT-2)
  kOutOfOrphans,  // the application had closed, and too many such connections were left
};

constexpr const char* Name(CloseReason reason) {
  constexpr const char* kNames[] = {
      "open",      "closed",      "aborted",           "reset by peer", "refused",
      "timed out", "unreachable", "keep-alive failed", "no FIN",        "too many closed connections"};
  return kNames[static_cast<int>(reason)];
}

}  // namespace luna::tcp

#endif  // LUNA_NET_TCP_EVENT_H_
