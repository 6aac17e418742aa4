#ifndef LUNA_FLOW_BIFURCATION_XDP_TESTING_FRAMES_H_
#define LUNA_FLOW_BIFURCATION_XDP_TESTING_FRAMES_H_

// Frames of every kind that a traffic classifier must tell apart, built byte by byte and without the code under test.

#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

#include "luna/net/wire/address.h"

namespace luna::bifurcation::xdp {

// A frame in fields, each of which a test may spoil.
struct FrameSpec {
  int vlan_tags = 0;
  uint16_t ether_type = 0x0800;
  uint8_t version = 4;
  uint8_t header_words = 5;    // IHL; options are filled with NOPs
  uint16_t fragment = 0x4000;  // DF
  uint8_t protocol = 6;
  wire::Ipv4Address destination{10, 0, 0, 2};
  uint16_t source_port = 40000;
  uint16_t destination_port = 61441;
  size_t truncate_to = SIZE_MAX;  // bytes kept of the whole frame
};

// Ethernet, tags, IPv4 and 20 bytes of TCP header; at least 14 bytes of Ethernet unless truncated.
std::vector<uint8_t> BuildFrame(const FrameSpec& spec);

// What a reader of the RFCs would say: a whole, untagged (or singly tagged, when `tagged_too`), unfragmented IPv4 frame
// that carries TCP as far as its ports.
bool IsWholeTcp(const FrameSpec& spec, bool tagged_too);

// Spoils each field with some probability; addresses and ports are drawn from `addresses` and from `ports` and
// neighbours.
FrameSpec RandomFrame(std::mt19937& random, const std::vector<wire::Ipv4Address>& addresses,
                      const std::vector<uint16_t>& ports);

}  // namespace luna::bifurcation::xdp

#endif  // LUNA_FLOW_BIFURCATION_XDP_TESTING_FRAMES_H_
