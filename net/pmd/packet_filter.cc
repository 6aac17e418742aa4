#include "luna/net/pmd/packet_filter.h"

#include <linux/if_ether.h>
#include <linux/if_packet.h>

#include "glog/logging.h"

namespace luna::pmd {
namespace {

constexpr uint32_t kWhole = 0x40000;     // longer than any frame
constexpr uint32_t kEtherTypeAt = 12;    // in a frame without tag
constexpr uint32_t kDestinationAt = 30;  // of the IPv4 header
constexpr uint32_t kVlanIdMask = 0xfff;

// What the kernel knows of a frame besides its bytes.
constexpr uint32_t Fact(int which) { return static_cast<uint32_t>(SKF_AD_OFF + which); }

constexpr sock_filter Load(uint16_t size, uint32_t at) {
  return BPF_STMT(static_cast<uint16_t>(BPF_LD | size | BPF_ABS), at);
}
constexpr sock_filter Mask(uint32_t mask) { return BPF_STMT(BPF_ALU | BPF_AND | BPF_K, mask); }
constexpr sock_filter Pass() { return BPF_STMT(BPF_RET | BPF_K, kWhole); }
constexpr sock_filter Refuse() { return BPF_STMT(BPF_RET | BPF_K, 0); }
// Skips the next instruction when equal (or not).
constexpr sock_filter SkipIfEqual(uint32_t value) { return BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 1, 0); }
constexpr sock_filter SkipUnlessEqual(uint32_t value) { return BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1); }
constexpr sock_filter SkipIfBelow(uint32_t value) { return BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, value, 0, 1); }

}  // namespace

std::vector<sock_filter> PacketFilter(absl::Span<const wire::Ipv4Address> addresses) {
  CHECK_LE(addresses.size(), kMaxFilterAddresses);
  std::vector<sock_filter> program = {
      Load(BPF_B, Fact(SKF_AD_PKTTYPE)),
      SkipIfBelow(PACKET_OTHERHOST),
      Refuse(),
      Load(BPF_W, Fact(SKF_AD_VLAN_TAG)),
      Mask(kVlanIdMask),
      SkipIfEqual(0),
      Refuse(),
      Load(BPF_H, kEtherTypeAt),
      SkipUnlessEqual(ETH_P_ARP),
      Pass(),
      SkipIfEqual(ETH_P_IP),
      Refuse(),
      Load(BPF_W, kDestinationAt),
  };
  for (const wire::Ipv4Address& address : addresses) {
    program.push_back(SkipUnlessEqual(address.value()));
    program.push_back(Pass());
  }
  program.push_back(Refuse());
  return program;
}

}  // namespace luna::pmd
