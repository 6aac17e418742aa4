#include "luna/flow/bifurcation/port_plan.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace luna::bifurcation {
namespace {

constexpr uint16_t kFirstUnprivilegedPort = 1024;
constexpr uint8_t kMaxHashBits = 8;

bool Contains(const PortRange& range, uint16_t port) { return range.first <= port && port <= range.last; }

absl::Status CheckPort(uint16_t port, const std::string& what, bool allow_privileged) {
  if (port == 0) return absl::InvalidArgumentError(absl::StrCat(what, " holds port 0, which TCP reserves"));
  if (port < kFirstUnprivilegedPort && !allow_privileged) {
    return absl::InvalidArgumentError(absl::StrCat(what, " holds privileged ports, which the kernel's services use: ",
                                                   "take ports from 1024 up, or allow privileged ports"));
  }
  return absl::OkStatus();
}

absl::Status CheckAddresses(std::vector<wire::Ipv4Address> addresses) {
  for (wire::Ipv4Address a : addresses) {
    if (!a.IsUnicast()) return absl::InvalidArgumentError(absl::StrCat("address ", a.ToString(), " is not unicast"));
  }
  std::sort(addresses.begin(), addresses.end());
  auto twice = std::adjacent_find(addresses.begin(), addresses.end());
  if (twice == addresses.end()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("address ", twice->ToString(), " is given twice"));
}

absl::Status CheckListenPorts(const PortPlanSpec& spec) {
  std::vector<uint16_t> ports = spec.listen_ports;
  std::sort(ports.begin(), ports.end());
  for (uint16_t port : ports) {
    absl::Status status = CheckPort(port, absl::StrCat("listening port ", port), spec.allow_privileged);
    if (!status.ok()) return status;
  }
  auto twice = std::adjacent_find(ports.begin(), ports.end());
  if (twice != ports.end()) {
    return absl::InvalidArgumentError(absl::StrCat("listening port ", *twice, " is given twice"));
  }
  return absl::OkStatus();
}

// Sorted and merged. Ranges that touch become one, so that the fewest rules result.
absl::StatusOr<std::vector<PortRange>> MergeRanges(const PortPlanSpec& spec) {
  std::vector<PortRange> ranges = spec.client_ranges;
  std::sort(ranges.begin(), ranges.end(), [](const PortRange& a, const PortRange& b) { return a.first < b.first; });
  std::vector<PortRange> merged;
  for (const PortRange& range : ranges) {
    if (range.first > range.last) {
      return absl::InvalidArgumentError(
          absl::StrFormat("client range %d-%d is empty: its first port is above its last", range.first, range.last));
    }
    absl::Status status =
        CheckPort(range.first, absl::StrCat("client range ", range.ToString()), spec.allow_privileged);
    if (!status.ok()) return status;
    if (!merged.empty() && range.first <= merged.back().last) {
      return absl::InvalidArgumentError(absl::StrCat("client range ", range.ToString(), " overlaps another up to port ",
                                                     merged.back().last, ": give each application its own ports"));
    }
    if (!merged.empty() && range.first == merged.back().last + 1) {
      merged.back().last = range.last;
    } else {
      merged.push_back(range);
    }
  }
  return merged;
}

// The listening ports that need a rule of their own.
absl::StatusOr<std::vector<uint16_t>> ExactPorts(const PortPlanSpec& spec, const std::vector<PortRange>& ranges) {
  std::vector<uint16_t> exact;
  for (uint16_t port : spec.listen_ports) {
    auto in = std::find_if(ranges.begin(), ranges.end(), [port](const PortRange& r) { return Contains(r, port); });
    if (in == ranges.end()) {
      exact.push_back(port);
    } else if (!spec.allow_listen_in_client_range) {
      return absl::InvalidArgumentError(absl::StrCat("listening port ", port, " lies in client range ", in->ToString(),
                                                     ": move one of them, or allow listening in the client range"));
    } else if (spec.listen_hash_bits != 0) {
      return absl::InvalidArgumentError(absl::StrCat("listening port ", port, " lies in client range ", in->ToString(),
                                                     " and cannot be spread over queues there: move one of them"));
    }
  }
  std::sort(exact.begin(), exact.end());
  return exact;
}

}  // namespace

std::string PortRange::ToString() const { return first == last ? absl::StrCat(first) : absl::StrCat(first, "-", last); }

std::string PortMatch::ToString() const {
  return mask == 0xffff ? absl::StrCat(value) : absl::StrFormat("%d/%#06x", value, mask);
}

std::vector<PortMatch> DecomposeRange(PortRange range) {
  std::vector<PortMatch> matches;
  uint32_t next = range.first;
  while (next <= range.last) {
    // The largest block that starts here is bounded by the alignment of its start and by what is left. Taking it
    // greedily is minimal: any other block that holds `next` is a part of this one.
    const uint32_t left = range.last - next + 1;
    const uint32_t aligned = next == 0 ? 0x10000u : 1u << std::countr_zero(next);
    const uint32_t block = std::min(aligned, std::bit_floor(left));
    matches.push_back({static_cast<uint16_t>(next), static_cast<uint16_t>(~(block - 1))});
    next += block;
  }
  return matches;
}

absl::StatusOr<PortPlan> PortPlan::Create(const PortPlanSpec& spec) {
  if (spec.listen_ports.empty() && spec.client_ranges.empty()) {
    return absl::InvalidArgumentError("a port plan needs a listening port or a client range");
  }
  if (spec.listen_hash_bits > kMaxHashBits) {
    return absl::InvalidArgumentError(
        absl::StrCat("listen_hash_bits is ", spec.listen_hash_bits, ": at most ", kMaxHashBits));
  }
  if (absl::Status status = CheckAddresses(spec.addresses); !status.ok()) return status;
  if (absl::Status status = CheckListenPorts(spec); !status.ok()) return status;
  absl::StatusOr<std::vector<PortRange>> ranges = MergeRanges(spec);
  if (!ranges.ok()) return ranges.status();
  absl::StatusOr<std::vector<uint16_t>> exact = ExactPorts(spec, *ranges);
  if (!exact.ok()) return exact.status();

  std::vector<Rule> ports;
  for (uint16_t port : *exact)
    ports.push_back({.destination_port = {port}, .source_port_hash_bits = spec.listen_hash_bits});
  for (const PortRange& range : *ranges) {
    for (const PortMatch& match : DecomposeRange(range)) ports.push_back({.destination_port = match});
  }
  const size_t count = ports.size() * std::max<size_t>(spec.addresses.size(), 1);
  if (count > kMaxRules) {
    return absl::ResourceExhaustedError(absl::StrCat("the port plan needs ", count, " rules, at most ", kMaxRules,
                                                     ": use fewer ports, or ranges aligned to powers of two"));
  }
  if (spec.addresses.empty()) return PortPlan(std::move(ports));
  std::vector<Rule> rules;
  for (wire::Ipv4Address address : spec.addresses) {
    for (Rule rule : ports) {
      rule.destination_address = address;
      rules.push_back(rule);
    }
  }
  return PortPlan(std::move(rules));
}

bool PortPlan::Matches(wire::Ipv4Address address, uint16_t port) const {
  for (const Rule& rule : rules_) {
    if (rule.destination_address.has_value() && *rule.destination_address != address) continue;
    if (rule.destination_port.Matches(port)) return true;
  }
  return false;
}

std::string PortPlan::ToString() const {
  if (rules_.empty()) return "nothing";
  return absl::StrJoin(rules_, "; ", [](std::string* out, const Rule& rule) {
    const std::string address = rule.destination_address ? rule.destination_address->ToString() : "any";
    absl::StrAppend(out, "tcp to ", address, " port ", rule.destination_port.ToString());
    if (rule.source_port_hash_bits != 0) {
      absl::StrAppend(out, " by ", rule.source_port_hash_bits, " low bits of the source port");
    }
  });
}

}  // namespace luna::bifurcation
