#ifndef LUNA_CTRL_NETLINK_MESSAGE_H_
#define LUNA_CTRL_NETLINK_MESSAGE_H_

// Reading and writing rtnetlink messages (netlink(7), rtnetlink(7)): the four kinds that a mirror of one link needs.
//
// Readers accept any bytes at any alignment, trust no length and never read outside the span given; they keep views
// into it. Messages of other families, and attributes that nobody here knows, are passed over. No state, no allocation
// except where a struct holds a vector or a string. Any thread.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/types/optional.h"
#include "absl/types/span.h"
#include "luna/net/wire/address.h"

namespace luna::netlink {

// One message of a datagram: its header's fields and what follows the header.
struct RawMessage {
  uint16_t type = 0;   // NLMSG_* or RTM_*
  uint16_t flags = 0;  // NLM_F_*
  uint32_t sequence = 0;
  absl::Span<const uint8_t> payload;
};

// Walks the messages of one datagram.
class MessageReader {
 public:
  explicit MessageReader(absl::Span<const uint8_t> datagram) : rest_(datagram) {}
  // Fills in the next message; false at the end or where the bytes stop making sense (then malformed() is true).
  bool Next(RawMessage* out);
  bool malformed() const { return malformed_; }

 private:
  absl::Span<const uint8_t> rest_;
  bool malformed_ = false;
};

// One attribute (type without the NLA_F_* flag bits).
struct Attribute {
  uint16_t type = 0;
  absl::Span<const uint8_t> payload;

  // The payload as one integer of host order; nullopt when it is not that long.
  absl::optional<uint32_t> U32() const;
  // The payload as an address; nullopt when it is not that long.
  absl::optional<wire::Ipv4Address> Ipv4() const;
  absl::optional<wire::MacAddress> Mac() const;
};

// Walks attributes, also nested ones, like MessageReader.
class AttributeReader {
 public:
  explicit AttributeReader(absl::Span<const uint8_t> bytes) : rest_(bytes) {}
  bool Next(Attribute* out);
  bool malformed() const { return malformed_; }

 private:
  absl::Span<const uint8_t> rest_;
  bool malformed_ = false;
};

// What became of a message's payload.
enum class Parsed : uint8_t {
  kOk,
  kIgnored,    // well-formed, but not IPv4 or not of a kind that matters here
  kMalformed,  // shorter than its fixed part, or broken attributes
};

// RTM_NEWLINK, RTM_DELLINK.
struct LinkMessage {
  int ifindex = 0;
  uint32_t flags = 0;  // IFF_*
  std::string name;
  absl::optional<wire::MacAddress> mac;  // absent on links that are not Ethernet
  absl::optional<uint32_t> mtu;
};

// RTM_NEWADDR, RTM_DELADDR of AF_INET.
struct AddressMessage {
  int ifindex = 0;
  wire::Ipv4Prefix prefix;  // the local address and the network's length
};

// RTM_NEWROUTE, RTM_DELROUTE of AF_INET.
struct RouteMessage {
  struct NextHop {
    int ifindex = 0;
    absl::optional<wire::Ipv4Address> gateway;  // absent: on link
    bool usable = true;                         // false: dead, or a gateway of another family
  };
  uint32_t table = 0;  // RT_TABLE_*
  uint8_t type = 0;    // RTN_*
  uint8_t tos = 0;
  wire::Ipv4Prefix destination;
  absl::optional<wire::Ipv4Address> preferred_source;
  uint32_t metric = 0;             // RTA_PRIORITY: lower wins
  uint32_t mtu = 0;                // RTAX_MTU; 0: none
  std::vector<NextHop> next_hops;  // in the kernel's order; weights are not read
};

// RTM_NEWNEIGH, RTM_DELNEIGH of AF_INET.
struct NeighbourMessage {
  int ifindex = 0;
  wire::Ipv4Address address;
  absl::optional<wire::MacAddress> mac;
  uint16_t state = 0;  // NUD_*
  uint8_t flags = 0;   // NTF_*
};

// On kOk every field of `out` is set; otherwise its content is unspecified.
Parsed ParseLink(absl::Span<const uint8_t> payload, LinkMessage* out);
Parsed ParseAddress(absl::Span<const uint8_t> payload, AddressMessage* out);
Parsed ParseRoute(absl::Span<const uint8_t> payload, RouteMessage* out);
Parsed ParseNeighbour(absl::Span<const uint8_t> payload, NeighbourMessage* out);
// The errno value (positive; 0: acknowledgement) of an NLMSG_ERROR, or of an NLMSG_DONE that carries one.
absl::optional<int> ParseError(absl::Span<const uint8_t> payload);

// A request to dump all objects of a kind: RTM_GETLINK, RTM_GETADDR, RTM_GETROUTE or RTM_GETNEIGH (IPv4 where it
// applies).
std::vector<uint8_t> DumpRequest(uint16_t type, uint32_t sequence);
// A request to behave as if the kernel itself had just sent something to `address` on that link: it starts address
// resolution, or re-confirms a stale entry (RTM_NEWNEIGH with NUD_NONE and NTF_USE). Needs CAP_NET_ADMIN.
std::vector<uint8_t> ResolveRequest(int ifindex, wire::Ipv4Address address, uint32_t sequence);

}  // namespace luna::netlink

#endif  // LUNA_CTRL_NETLINK_MESSAGE_H_
