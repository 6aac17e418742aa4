#ifndef LUNA_NET_IP_ROUTE_TABLE_H_
#define LUNA_NET_IP_ROUTE_TABLE_H_

// RouteTable: where a datagram goes next. An immutable value: built once, published in a SnapshotBox, read by every
// worker.
//
// Longest prefix first; among routes of one prefix the lowest metric, then the one added first (RFC 1812 §5.2.4.3).
// Routes that never win are dropped while building. Lookup is a binary search per prefix length in use: O(lengths × log
// routes), tens of nanoseconds for the handful of routes a host has. Connections remember the result; see Egress.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/types/optional.h"
#include "luna/net/wire/address.h"

namespace luna::ip {

struct Route {
  wire::Ipv4Prefix destination;               // host bits are ignored
  absl::optional<wire::Ipv4Address> gateway;  // absent: the destination is on the link itself
  absl::optional<wire::Ipv4Address> source;   // preferred source address for connections that have none yet
  uint32_t metric = 0;                        // lower wins
  uint32_t mtu = 0;                           // bytes; 0: the device's

  // Whose link-layer address a datagram to `destination` needs.
  wire::Ipv4Address NextHop(wire::Ipv4Address to) const { return gateway.value_or(to); }
  // "10.0.0.0/24 via 10.0.0.1 source 10.0.0.2 metric 100 mtu 1400": what is absent is left out.
  std::string ToString() const;

  friend bool operator==(const Route&, const Route&) = default;
};

class RouteTable {
 public:
  class Builder;

  // No routes.
  RouteTable() = default;

  // The best route to `destination`; null when there is none, and for addresses that are not IPv4. The pointer lives as
  // long as the table. Says nothing of whether the destination is us, multicast or broadcast.
  const Route* Lookup(const wire::IpAddress& destination) const {
    return destination.IsV4() ? Lookup(destination.v4()) : nullptr;
  }
  const Route* Lookup(wire::Ipv4Address destination) const;

  // Longest prefixes first.
  const std::vector<Route>& routes() const { return routes_; }
  // One route per line.
  std::string ToString() const;

  friend bool operator==(const RouteTable& a, const RouteTable& b) { return a.routes_ == b.routes_; }

 private:
  // The routes of one prefix length: routes_[begin, end), ordered by network, all different.
  struct Group {
    uint32_t mask;
    uint32_t begin;
    uint32_t end;
  };
  std::vector<Route> routes_;
  std::vector<Group> groups_;  // longest first
};

// Collects routes. Not thread-safe.
class RouteTable::Builder {
 public:
  Builder& Add(Route route);
  // What an interface address implies: its network is on the link, reached from that address.
  Builder& AddInterface(const wire::Ipv4Prefix& address);
  // Everything else goes to `gateway`, which must itself be on a link for Egress to reach it.
  Builder& AddDefault(wire::Ipv4Address gateway);
  // Leaves the builder empty.
  RouteTable Build();

 private:
  std::vector<Route> routes_;
};

}  // namespace luna::ip

#endif  // LUNA_NET_IP_ROUTE_TABLE_H_
