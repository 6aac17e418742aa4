#ifndef LUNA_SCHED_R2C_HANDLER_H_
#define LUNA_SCHED_R2C_HANDLER_H_

// Handler: the application of a connection, called by the worker between its verbs, never inside one.
//
// Everything may be called from a callback: Send, Read, Close, Abort on any connection of this worker, Connect, Listen.
// Such calls only append to queues; what they cause happens in the worker's next verbs. A callback that does not return
// soon holds up all connections of its worker.
// Thread: the worker's.

#include "luna/mem/zbuf/zchain.h"
#include "luna/net/tcp/connection.h"
#include "luna/net/tcp/event.h"
#include "luna/sched/clock/time.h"
#include "luna/sched/timer/timer_wheel.h"

namespace luna::r2c {

class Handler {
 public:
  virtual ~Handler() = default;

  // A peer connected to a listener of this handler.
  virtual void OnAccepted(tcp::Connection&) {}
  // Connect() succeeded. When it fails, OnClosed is the only call.
  virtual void OnConnected(tcp::Connection&) {}
  // Octets in order, as references to the objs that the device wrote. The handler owns `data` and may keep it, forward
  // it or drop it; the receive window has been reopened.
  virtual void OnReadable(tcp::Connection& connection, zbuf::ZChain data) = 0;
  // After a Send() that gave back-pressure (or Connection::WantWritable()): there is room again.
  virtual void OnWritable(tcp::Connection&) {}
  // The peer will send no more; all it sent has been delivered. Close this side too, or go on sending.
  virtual void OnPeerClosed(tcp::Connection& connection) { connection.Close(); }
  // The peer has urgent octets ahead: Connection::urgent_bytes().
  virtual void OnUrgent(tcp::Connection&) {}
  // The network complains (an ICMP error, or no answer for long): Connection::soft_error() says how. Nothing has ended.
  virtual void OnSoftError(tcp::Connection&) {}
  // The end, exactly once for each accepted connection and each successful Connect() call. The reference is good until
  // this returns.
  virtual void OnClosed(tcp::Connection&, tcp::CloseReason) {}
};

// How a worker delivers to a handler.
struct Delivery {
  // While the connection's send queue is full, received octets stay in TCP, so the peer's window closes: back-pressure
  // from end to end for handlers that answer what they receive (echo, a storage server) without a line of their own.
  // Not for a side that produces requests on its own account: two such sides could wait for each other for ever.
  bool hold_reads_while_send_full = false;
  // OnReadable() brings an empty chain, and the handler takes what it wants, when it wants, by Connection::Read(): what
  // it leaves closes the window. OnPeerClosed() then comes when the FIN does, before all is read. For layers that
  // buffer by themselves (net/socket). Not together with the other.
  bool leave_data = false;

  friend bool operator==(const Delivery&, const Delivery&) = default;
};

// A timer of the application on the worker's wheel. Embed or derive; cancel (Worker::Cancel) before destruction.
class AppTimer : public timer::Timer {
 public:
  virtual ~AppTimer() = default;
  virtual void OnTimer(Time now) = 0;
};

}  // namespace luna::r2c

#endif  // LUNA_SCHED_R2C_HANDLER_H_
