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
  static constexpr uint32_t kReadable = 1u << 2;    // Connection::Read() has octets
  static constexpr uint32_t kPeerClosed = 1u << 3;  // the peer's FIN: no more octets will come after those readable now
  static constexpr uint32_t kWritable = 1u << 4;    // after back-pressure, the send queue has room again
  static constexpr uint32_t kClosed = 1u << 5;      // the end: close_reason() says which; valid until Reap()
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
  kNormal,    // both sides sent their FIN
  kAborted,   // Abort(), or Close() with unread data
  kReset,     // the peer's RST
  kRefused,   // RST in answer to our SYN
  kTimedOut,  // R2: no acknowledgement for too long
};

constexpr const char* Name(CloseReason reason) {
  constexpr const char* kNames[] = {"open", "closed", "aborted", "reset by peer", "refused", "timed out"};
  return kNames[static_cast<int>(reason)];
}

}  // namespace luna::tcp

#endif  // LUNA_NET_TCP_EVENT_H_
