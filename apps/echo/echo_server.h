#ifndef LUNA_APPS_ECHO_ECHO_SERVER_H_
#define LUNA_APPS_ECHO_ECHO_SERVER_H_

#include <cstdint>
#include <utility>

#include "luna/ctrl/stats/counter.h"
#include "luna/sched/r2c/handler.h"

namespace luna::apps {

// Sends back whatever arrives: the very objs that the device wrote go out again, without a copy. Listen with
// Delivery::hold_reads_while_send_full, so that a peer which does not read is not read from either. One for each
// worker; they share no cache line.
class alignas(64) EchoServer final : public r2c::Handler {
 public:
  void OnAccepted(tcp::Connection&) override { accepted_.Increment(); }
  void OnReadable(tcp::Connection& connection, zbuf::ZChain data) override {
    bytes_.Add(data.bytes());
    // Below its limit the queue takes a chain of any length, and reads are held above it: this cannot be refused, but
    // for a connection that was closed meanwhile.
    if (connection.Send(std::move(data)) == tcp::SendResult::kBackpressure) connection.Abort();
  }
  void OnClosed(tcp::Connection&, tcp::CloseReason reason) override {
    if (reason != tcp::CloseReason::kNormal) abnormal_ends_.Increment();
  }

  uint64_t accepted() const { return accepted_.value(); }
  uint64_t bytes() const { return bytes_.value(); }
  uint64_t abnormal_ends() const { return abnormal_ends_.value(); }

 private:
  stats::Counter accepted_;
  stats::Counter bytes_;
  stats::Counter abnormal_ends_;
};

}  // namespace luna::apps

#endif  // LUNA_APPS_ECHO_ECHO_SERVER_H_
