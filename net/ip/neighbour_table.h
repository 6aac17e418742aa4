#ifndef LUNA_NET_IP_NEIGHBOUR_TABLE_H_
#define LUNA_NET_IP_NEIGHBOUR_TABLE_H_

// NeighbourTable: link-layer addresses that somebody else looks after: static entries, and a mirror of the kernel's
// table. An immutable value, published in a SnapshotBox. (Entries that Luna resolves itself live in Arp, which changes
// all the time.) One thread while it is filled in; any number of readers once it is published and no longer changed.

#include <cstddef>
#include <cstdint>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "luna/net/wire/address.h"

namespace luna::ip {

enum class NeighbourState : uint8_t {
  kPermanent,   // configured: never expires, never checked
  kReachable,   // confirmed recently by whoever looks after the table
  kStale,       // usable, but wants a confirmation once it is used
  kIncomplete,  // being resolved: no address yet
  kFailed,      // did not answer
};

struct Neighbour {
  wire::MacAddress mac;  // meaningful when usable()
  NeighbourState state = NeighbourState::kIncomplete;

  bool usable() const { return state != NeighbourState::kIncomplete && state != NeighbourState::kFailed; }
  friend bool operator==(const Neighbour&, const Neighbour&) = default;
};

class NeighbourTable {
 public:
  using Map = absl::flat_hash_map<wire::IpAddress, Neighbour>;

  // Knows nobody.
  NeighbourTable() = default;
  explicit NeighbourTable(Map neighbours) : neighbours_(std::move(neighbours)) {}

  // Null when the address is unknown. The pointer lives as long as the table. O(1).
  const Neighbour* Find(const wire::IpAddress& address) const {
    const auto it = neighbours_.find(address);
    return it == neighbours_.end() ? nullptr : &it->second;
  }

  // While building.
  void Set(const wire::IpAddress& address, const Neighbour& neighbour) { neighbours_[address] = neighbour; }
  void SetPermanent(const wire::IpAddress& address, const wire::MacAddress& mac) {
    Set(address, {mac, NeighbourState::kPermanent});
  }
  void Erase(const wire::IpAddress& address) { neighbours_.erase(address); }

  size_t size() const { return neighbours_.size(); }
  const Map& neighbours() const { return neighbours_; }
  friend bool operator==(const NeighbourTable& a, const NeighbourTable& b) { return a.neighbours_ == b.neighbours_; }

 private:
  Map neighbours_;
};

}  // namespace luna::ip

#endif  // LUNA_NET_IP_NEIGHBOUR_TABLE_H_
