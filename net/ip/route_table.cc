#include "luna/net/ip/route_table.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"

namespace luna::ip {
namespace {

// Longest prefix first, then by network, then the route that wins.
bool Before(const Route& a, const Route& b) {
  return std::make_tuple(-a.destination.length(), a.destination.address(), a.metric) <
         std::make_tuple(-b.destination.length(), b.destination.address(), b.metric);
}

}  // namespace

std::string Route::ToString() const {
  std::string text = wire::Ipv4Prefix(destination.network(), destination.length()).ToString();
  if (gateway) absl::StrAppend(&text, " via ", gateway->ToString());
  if (source) absl::StrAppend(&text, " source ", source->ToString());
  if (metric != 0) absl::StrAppend(&text, " metric ", metric);
  if (mtu != 0) absl::StrAppend(&text, " mtu ", mtu);
  return text;
}

const Route* RouteTable::Lookup(wire::Ipv4Address destination) const {
  for (const Group& group : groups_) {
    const wire::Ipv4Address network(destination.value() & group.mask);
    const auto end = routes_.begin() + group.end;
    const auto it =
        std::lower_bound(routes_.begin() + group.begin, end, network,
                         [](const Route& route, wire::Ipv4Address a) { return route.destination.address() < a; });
    if (it != end && it->destination.address() == network) return &*it;
  }
  return nullptr;
}

std::string RouteTable::ToString() const {
  std::string text;
  for (const Route& route : routes_) absl::StrAppend(&text, route.ToString(), "\n");
  return text;
}

RouteTable::Builder& RouteTable::Builder::Add(Route route) {
  route.destination = wire::Ipv4Prefix(route.destination.network(), route.destination.length());
  routes_.push_back(std::move(route));
  return *this;
}

RouteTable::Builder& RouteTable::Builder::AddInterface(const wire::Ipv4Prefix& address) {
  Route route;
  route.destination = address;
  route.source = address.address();
  return Add(std::move(route));
}

RouteTable::Builder& RouteTable::Builder::AddDefault(wire::Ipv4Address gateway) {
  Route route;
  route.gateway = gateway;
  return Add(std::move(route));
}

RouteTable RouteTable::Builder::Build() {
  RouteTable table;
  table.routes_ = std::move(routes_);
  routes_.clear();
  std::vector<Route>& routes = table.routes_;
  std::stable_sort(routes.begin(), routes.end(), Before);
  routes.erase(std::unique(routes.begin(), routes.end(),
                           [](const Route& a, const Route& b) { return a.destination == b.destination; }),
               routes.end());
  for (uint32_t i = 0; i < routes.size(); ++i) {
    const uint32_t mask = routes[i].destination.mask().value();
    if (table.groups_.empty() || table.groups_.back().mask != mask) table.groups_.push_back(Group{mask, i, i});
    table.groups_.back().end = i + 1;
  }
  return table;
}

}  // namespace luna::ip
