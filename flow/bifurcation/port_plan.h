#ifndef LUNA_FLOW_BIFURCATION_PORT_PLAN_H_
#define LUNA_FLOW_BIFURCATION_PORT_PLAN_H_

// PortPlan: which TCP traffic belongs to Luna; all the rest is the kernel's (LUNA paper §7.1).
//
// A plan is made of a PortPlanSpec (what a person configures: listening ports and client port ranges) and holds rules
// (what a NIC or an XDP program can match: an optional destination address and a destination port under a mask). A
// range becomes the smallest set of prefixes: 61440-65535 is the one rule (port & 0xf000) == 0xf000.
//
// Value type, immutable after Create. Any thread may read it. Ports are in host order.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/optional.h"
#include "luna/net/wire/address.h"

namespace luna::bifurcation {

// Ports [first, last], both inclusive.
struct PortRange {
  uint16_t first = 0;
  uint16_t last = 0;

  // "61440-65535", or "61441" when the range is one port.
  std::string ToString() const;
  friend bool operator==(const PortRange&, const PortRange&) = default;
};

// A port under a mask: matches p when (p & mask) == value. Bits of value outside mask are 0.
struct PortMatch {
  uint16_t value = 0;
  uint16_t mask = 0xffff;

  constexpr bool Matches(uint16_t port) const { return (port & mask) == value; }
  // "61440/0xf000", or "61441" when every bit counts.
  std::string ToString() const;
  friend bool operator==(const PortMatch&, const PortMatch&) = default;
};

// The smallest set of prefix matches (mask = leading ones) that covers `range` exactly, ascending. At most 30; empty
// when first > last. O(result).
std::vector<PortMatch> DecomposeRange(PortRange range);

inline constexpr uint8_t kProtocolTcp = 6;

// One match rule. A frame that matches any rule of a plan belongs to Luna.
struct Rule {
  uint8_t protocol = kProtocolTcp;                        // always TCP today
  absl::optional<wire::Ipv4Address> destination_address;  // nullopt: any address
  PortMatch destination_port;
  // How many low bits of the source port choose the receive queue: 0 is one queue, 2 is four (the paper's server side).
  // Data for installers that can spread; an installer that cannot refuses a rule where it is not 0.
  uint8_t source_port_hash_bits = 0;

  friend bool operator==(const Rule&, const Rule&) = default;
};

// What a person configures.
struct PortPlanSpec {
  std::vector<wire::Ipv4Address> addresses;  // Luna's addresses on the link; empty: every destination address
  std::vector<uint16_t> listen_ports;        // server side: exact ports
  std::vector<PortRange> client_ranges;      // source ports of connections that Luna opens; replies arrive at them
  uint8_t listen_hash_bits = 0;              // Rule::source_port_hash_bits of the listening rules, at most 8
  bool allow_privileged = false;             // permits ports below 1024, which usually belong to sshd and its kin
  // Permits a listening port inside a client range. It then needs no rule of its own, but an ephemeral port may equal
  // it.
  bool allow_listen_in_client_range = false;
};

class PortPlan {
 public:
  // The plan without rules: all traffic is the kernel's.
  PortPlan() = default;

  // InvalidArgument, in one line that names the port or range and the mend, when: there is neither a listening port nor
  // a range; a range is empty (first > last); a port is 0, or privileged without leave; a listening port or address is
  // given twice; two client ranges overlap; a listening port lies in a client range without leave, or with leave and
  // listen_hash_bits (its rule could not be told from the range's); an address is not unicast.
  // ResourceExhausted when more than kMaxRules would result. Adjacent client ranges are merged.
  static absl::StatusOr<PortPlan> Create(const PortPlanSpec& spec);

  // No NIC table and no XDP program of ours takes more.
  static constexpr size_t kMaxRules = 1024;

  // Whether TCP segments to this address and port are Luna's. O(rules).
  bool Matches(wire::Ipv4Address address, uint16_t port) const;

  // How many entries of a NIC's rule table the plan takes; known before anything is installed.
  size_t rule_count() const { return rules_.size(); }
  const std::vector<Rule>& rules() const { return rules_; }
  bool empty() const { return rules_.empty(); }

  // One line: "tcp to 10.0.0.2 port 61440/0xf000; tcp to any port 8080"; "nothing" when empty.
  std::string ToString() const;

  friend bool operator==(const PortPlan&, const PortPlan&) = default;

 private:
  explicit PortPlan(std::vector<Rule> rules) : rules_(std::move(rules)) {}

  std::vector<Rule> rules_;
};

}  // namespace luna::bifurcation

#endif  // LUNA_FLOW_BIFURCATION_PORT_PLAN_H_
