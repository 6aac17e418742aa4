#ifndef LUNA_NET_TCP_LISTENER_H_
#define LUNA_NET_TCP_LISTENER_H_

// Listener: the LISTEN state. Owned by the Stack; application thread = the stack's.

#include <cstdint>
#include <limits>
#include <optional>

#include "luna/net/tcp/connection_options.h"
#include "luna/net/wire/address.h"
#include "luna/sched/clock/time.h"

namespace luna::tcp {

struct ListenOptions {
  // Handshakes under way at a time. A SYN beyond them gets a cookie, or is dropped and counted
  // (StackConfig::syn_cookies).
  uint32_t backlog = 1024;
  // Established connections that the layer above has not yet Taken(). Beyond them SYNs are dropped, and the
  // acknowledgement that would complete a handshake is ignored: the peer's next segment tries again. Who does not call
  // Taken() leaves it unbounded.
  uint32_t accept_backlog = std::numeric_limits<uint32_t>::max();
  void* owner = nullptr;                             // Connection::owner() of what is accepted
  void* context = nullptr;                           // its context(), until somebody sets another
  std::optional<ConnectionOptions> connection = {};  // of what is accepted; none: the stack's defaults
};

class Listener {
 public:
  Listener(const wire::Endpoint& local, const ListenOptions& options) : local_(local), options_(options) {}

  // An unspecified address listens on every address of the host.
  const wire::Endpoint& local() const { return local_; }
  const ListenOptions& options() const { return options_; }
  // For connections that begin from now on. Pre: Validate().
  void set_connection_options(const ConnectionOptions& options) { options_.connection = options; }
  // New limits, as by a second listen().
  void SetBacklog(uint32_t backlog, uint32_t accept_backlog) {
    options_.backlog = backlog;
    options_.accept_backlog = accept_backlog;
  }

  uint32_t half_open() const { return half_open_; }
  bool Full() const { return half_open_ >= options_.backlog; }
  // Accepted and not taken. The layer above takes each connection of a kAccepted event once, also one that is gone.
  uint32_t waiting() const { return waiting_; }
  bool AcceptFull() const { return waiting_ >= options_.accept_backlog; }
  void Taken() { --waiting_; }

  // --- For the stack ---
  void HandshakeStarted() { ++half_open_; }
  void HandshakeEnded() { --half_open_; }
  void Accepted() { ++waiting_; }
  void NoteCookie(Time now) { cookies_until_ = now + kCookieLife; }
  // An acknowledgement without a connection may answer a cookie of ours.
  bool ExpectsCookies(Time now) const { return now <= cookies_until_; }

 private:
  wire::Endpoint local_;
  ListenOptions options_;
  static constexpr Duration kCookieLife = Duration::Seconds(128);  // syn_cookie.h: two ticks

  uint32_t half_open_ = 0;
  uint32_t waiting_ = 0;
  Time cookies_until_ = Time::FromNanoseconds(std::numeric_limits<int64_t>::min());
};

}  // namespace luna::tcp

#endif  // LUNA_NET_TCP_LISTENER_H_
