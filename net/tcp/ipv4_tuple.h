#ifndef LUNA_NET_TCP_IPV4_TUPLE_H_
#define LUNA_NET_TCP_IPV4_TUPLE_H_

// Ipv4Tuple: a four-tuple of IPv4 in 12 octets, where FourTuple takes 40: what a connection keeps of it. A value.

#include <cstdint>

#include "luna/net/wire/address.h"

namespace luna::tcp {

class Ipv4Tuple {
 public:
  constexpr Ipv4Tuple() = default;
  // Pre: both addresses are IPv4.
  explicit constexpr Ipv4Tuple(const wire::FourTuple& tuple)
      : local_(tuple.local.address.v4()),
        remote_(tuple.remote.address.v4()),
        local_port_(tuple.local.port),
        remote_port_(tuple.remote.port) {}

  constexpr wire::FourTuple Wide() const { return {{local_, local_port_}, {remote_, remote_port_}}; }

  constexpr bool operator==(const wire::FourTuple& t) const {
    return local_port_ == t.local.port && remote_port_ == t.remote.port && t.local.address.IsV4() &&
           t.remote.address.IsV4() && local_ == t.local.address.v4() && remote_ == t.remote.address.v4();
  }

 private:
  wire::Ipv4Address local_;
  wire::Ipv4Address remote_;
  uint16_t local_port_ = 0;
  uint16_t remote_port_ = 0;
};
static_assert(sizeof(Ipv4Tuple) == 12);

}  // namespace luna::tcp

#endif  // LUNA_NET_TCP_IPV4_TUPLE_H_
