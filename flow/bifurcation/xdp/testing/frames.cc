#include "luna/flow/bifurcation/xdp/testing/frames.h"

namespace luna::bifurcation::xdp {
namespace {

void Append16(std::vector<uint8_t>& out, uint16_t value) {
  out.push_back(static_cast<uint8_t>(value >> 8));
  out.push_back(static_cast<uint8_t>(value));
}

size_t PortsEnd(const FrameSpec& spec) {
  return 14 + 4 * static_cast<size_t>(spec.vlan_tags) + 4 * size_t{spec.header_words} + 4;
}

}  // namespace

std::vector<uint8_t> BuildFrame(const FrameSpec& spec) {
  std::vector<uint8_t> f(12, 0x02);
  for (int tag = 0; tag < spec.vlan_tags; ++tag) {
    Append16(f, 0x8100);
    Append16(f, static_cast<uint16_t>(100 + tag));
  }
  Append16(f, spec.ether_type);
  f.push_back(static_cast<uint8_t>(spec.version << 4 | spec.header_words));
  f.push_back(0);
  Append16(f, static_cast<uint16_t>(4 * spec.header_words + 20));
  Append16(f, 7);
  Append16(f, spec.fragment);
  f.push_back(64);
  f.push_back(spec.protocol);
  Append16(f, 0);
  for (uint8_t byte : {10, 0, 0, 1}) f.push_back(byte);
  f.resize(f.size() + 4);
  spec.destination.CopyTo(f.data() + f.size() - 4);
  for (int word = 5; word < spec.header_words; ++word) f.insert(f.end(), 4, 0x01);
  Append16(f, spec.source_port);
  Append16(f, spec.destination_port);
  f.insert(f.end(), 16, 0x50);
  if (f.size() > spec.truncate_to) f.resize(spec.truncate_to);
  return f;
}

bool IsWholeTcp(const FrameSpec& spec, bool tagged_too) {
  if (spec.vlan_tags > (tagged_too ? 1 : 0)) return false;
  if (spec.ether_type != 0x0800 || spec.version != 4 || spec.header_words < 5) return false;
  if ((spec.fragment & 0x3fff) != 0 || spec.protocol != 6) return false;
  return spec.truncate_to >= PortsEnd(spec);
}

FrameSpec RandomFrame(std::mt19937& random, const std::vector<wire::Ipv4Address>& addresses,
                      const std::vector<uint16_t>& ports) {
  const auto one_in = [&random](uint32_t n) { return random() % n == 0; };
  FrameSpec spec;
  if (one_in(8)) spec.vlan_tags = static_cast<int>(random() % 3);
  if (one_in(16)) spec.ether_type = one_in(2) ? 0x86dd : static_cast<uint16_t>(random());
  if (one_in(16)) spec.version = random() & 0xf;
  if (one_in(4)) spec.header_words = random() & 0xf;
  if (one_in(8)) spec.fragment = static_cast<uint16_t>(random());
  if (one_in(8)) spec.protocol = one_in(2) ? 17 : static_cast<uint8_t>(random());
  spec.destination = addresses[random() % addresses.size()];
  if (one_in(8)) spec.destination = wire::Ipv4Address(static_cast<uint32_t>(random()));
  spec.source_port = static_cast<uint16_t>(random());
  spec.destination_port = static_cast<uint16_t>(ports[random() % ports.size()] + random() % 3 - 1);
  if (one_in(4)) spec.destination_port = static_cast<uint16_t>(random());
  if (one_in(8)) spec.truncate_to = random() % 100;
  return spec;
}

}  // namespace luna::bifurcation::xdp
